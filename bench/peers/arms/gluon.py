"""AutoGluon MultiModal with the same backbone: its defaults for pictures (AdamW with rates that fall from layer to layer,
trivial augmentation, two looks at the validation photos in each epoch, an average of the best three).

It trains everything; there is no setting that freezes a timm backbone.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pandas
import timm
import torch
from autogluon.multimodal import MultiModalPredictor
from safetensors.torch import load_file
from task import Task


def main() -> None:
    task, began = Task.read(), time.perf_counter()
    rows = {split: photos(Path(task.photos) / split) for split in ("train", "validation", "test")}
    predictor = MultiModalPredictor(label="label", problem_type="classification", path="gluon", verbosity=1)
    predictor.fit(rows["train"], tuning_data=rows["validation"], seed=task.seed, hyperparameters={
        "model.names": ["timm_image"], "model.timm_image.checkpoint_name": str(backbone(task)), "optim.max_epochs": task.epochs,
        "env.num_gpus": min(1, torch.cuda.device_count()), "env.precision": "32"})
    named = predictor.predict(rows["test"].drop(columns="label"))
    task.done(began, int((named == rows["test"]["label"]).sum()), len(named))


def photos(folder: Path) -> pandas.DataFrame:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return pandas.DataFrame({"image": [str(file) for file in files], "label": [file.parent.name for file in files]})


def backbone(task: Task) -> Path:
    """A folder it takes a timm model from when no hub answers."""
    folder = Path("gluon-backbone")
    folder.mkdir(exist_ok=True)
    model = timm.create_model(task.model, num_classes=0)
    weights = {name: tensor for name, tensor in load_file(task.weights).items() if not name.startswith("classifier")}
    model.load_state_dict(weights)
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps({
        "architecture": task.model, "num_features": model.num_features, "pretrained_cfg": model.pretrained_cfg}))
    return folder


if __name__ == "__main__":
    main()
