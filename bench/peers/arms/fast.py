"""fastai around the same timm model: its `vision_learner` defaults (one-cycle, 1e-3, batches of 64, aug_transforms).

`fastai` trains BatchNorm in the frozen part, as it does unless told; `fastai-frozen` has `train_bn=False`. Its loader leaves out
a batch that is not full: fewer than 64 photos train nothing. `fastai-matched`: its `Learner` with the recipe of the loop tuned by
hand (see `loops`): the model's own head, no augmentation, batches of 32, channels_last, BatchNorm left alone, Adam without decay.
"""

from __future__ import annotations

import time
from functools import partial

import timm
import torch
from fastai.callback.channelslast import ChannelsLast
from fastai.vision.all import (
    Adam,
    BnFreeze,
    CrossEntropyLossFlat,
    ImageDataLoaders,
    Learner,
    Normalize,
    PILImage,
    Resize,
    Transform,
    accuracy,
    aug_transforms,
    get_image_files,
    set_seed,
    vision_learner,
)
from safetensors.torch import load_file
from task import STAGES, Task
from torch import nn
from torchvision.transforms import CenterCrop, Compose
from torchvision.transforms import Resize as Shorter


class Framed(Transform):
    """timm's evaluation geometry, as in the other arms. fastai's own would crop at random places, and sorts its steps by an order
    of theirs: `[Resize(256), CropPad(224)]` cuts 224 pixels out of the whole photo first."""

    def __init__(self, data: dict[str, object]) -> None:
        super().__init__()
        steps = timm.data.create_transform(**data).transforms
        self.steps = Compose([step for step in steps if isinstance(step, (Shorter, CenterCrop))])
        assert len(self.steps.transforms) == 2

    def encodes(self, photo: PILImage) -> PILImage:
        return PILImage(self.steps(photo))


def main() -> None:
    task, began = Task.read(), time.perf_counter()
    set_seed(task.seed)
    data = timm.data.resolve_data_config(model=timm.create_model(task.model, pretrained=False))
    normal = Normalize.from_stats(data["mean"], data["std"])
    matched = task.arm == "fastai-matched"
    how = {"item_tfms": Framed(data), "batch_tfms": [normal], "bs": 32, "num_workers": 2} if matched else {
        "item_tfms": Resize(256), "batch_tfms": [*aug_transforms(size=224), normal]}
    loaders = ImageDataLoaders.from_folder(task.photos, train="train", valid="validation", **how)
    learner = (plain if matched else usual)(task, loaders)
    learner.create_opt()
    if task.regime != "everything":
        learner.freeze_to(-2 if matched and task.regime == "last2" else -1)
    with learner.no_bar():
        learner.fit_one_cycle(task.epochs, *([slice(3e-4, 3e-3)] if matched else []))
    test = loaders.test_dl(get_image_files(f"{task.photos}/test"), with_labels=True)
    answers, truth = learner.get_preds(dl=test)
    task.done(began, int((answers.argmax(1) == truth).sum()), len(truth))


def usual(task: Task, loaders: ImageDataLoaders) -> Learner:
    learner = vision_learner(loaders, task.model, pretrained=False, metrics=accuracy, normalize=False)
    body = learner.model[0].model
    missing, _ = body.load_state_dict(body_weights(task), strict=False)
    assert not missing, missing
    learner.splitter = partial(parts, task)
    learner.train_bn = task.arm == "fastai"
    return learner


def body_weights(task: Task) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in load_file(task.weights).items() if not name.startswith("classifier")}


def plain(task: Task, loaders: ImageDataLoaders) -> Learner:
    model = timm.create_model(task.model, pretrained=False, num_classes=len(loaders.vocab))
    missing, _ = model.load_state_dict(body_weights(task), strict=False)
    assert all(name.startswith("classifier") for name in missing), missing
    for parameter in model.classifier.parameters():
        nn.init.zeros_(parameter)

    def split(network: nn.Module) -> list[list[nn.Parameter]]:
        trained = [[], [], []]
        for name, parameter in network.named_parameters():
            trained[2 if name.startswith("classifier") else 1 if task.trains(name) else 0].append(parameter)
        return [group for group in trained if group]

    return Learner(loaders, model, loss_func=CrossEntropyLossFlat(), opt_func=partial(Adam, wd=0.0), splitter=split,
                   metrics=accuracy, train_bn=False, cbs=[BnFreeze(), ChannelsLast()])


def parts(task: Task, model: nn.Module) -> list[list[nn.Parameter]]:
    """fastai freezes all groups of parameters but the last."""
    starts = STAGES[task.regime] or ("-",)
    body = list(model[0].model.named_parameters())
    late = [parameter for name, parameter in body if name.startswith(starts)]
    early = [parameter for name, parameter in body if not name.startswith(starts)]
    return [group for group in (early, [*late, *model[1].parameters()]) if group]


if __name__ == "__main__":
    main()
