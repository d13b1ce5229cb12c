"""fastai around the same timm model: its `vision_learner` defaults (one-cycle, 1e-3, batches of 64, aug_transforms).

`fastai` trains BatchNorm in the frozen part, as it does unless told; `fastai-frozen` has `train_bn=False`. Its loader leaves out
a batch that is not full: fewer than 64 photos train nothing.
"""

from __future__ import annotations

import time
from functools import partial

import timm
from fastai.vision.all import (
    ImageDataLoaders,
    Learner,
    Normalize,
    Resize,
    accuracy,
    aug_transforms,
    get_image_files,
    set_seed,
    vision_learner,
)
from safetensors.torch import load_file
from task import STAGES, Task
from torch import nn


def main() -> None:
    task, began = Task.read(), time.perf_counter()
    set_seed(task.seed)
    data = timm.data.resolve_data_config(model=timm.create_model(task.model, pretrained=False))
    loaders = ImageDataLoaders.from_folder(
        task.photos, train="train", valid="validation", item_tfms=Resize(256),
        batch_tfms=[*aug_transforms(size=224), Normalize.from_stats(data["mean"], data["std"])])
    learner: Learner = vision_learner(loaders, task.model, pretrained=False, metrics=accuracy, normalize=False)
    body = learner.model[0].model
    weights = {name: tensor for name, tensor in load_file(task.weights).items() if not name.startswith("classifier")}
    missing, _ = body.load_state_dict(weights, strict=False)
    assert not missing, missing
    learner.splitter = partial(parts, task)
    learner.train_bn = task.arm == "fastai"
    learner.create_opt()
    if task.regime != "everything":
        learner.freeze()
    with learner.no_bar():
        learner.fit_one_cycle(task.epochs)
    test = loaders.test_dl(get_image_files(f"{task.photos}/test"), with_labels=True)
    answers, truth = learner.get_preds(dl=test)
    task.done(began, int((answers.argmax(1) == truth).sum()), len(truth))


def parts(task: Task, model: nn.Module) -> list[list[nn.Parameter]]:
    """fastai freezes all groups of parameters but the last."""
    starts = STAGES[task.regime] or ("-",)
    body = list(model[0].model.named_parameters())
    late = [parameter for name, parameter in body if name.startswith(starts)]
    early = [parameter for name, parameter in body if not name.startswith(starts)]
    return [group for group in (early, [*late, *model[1].parameters()]) if group]


if __name__ == "__main__":
    main()
