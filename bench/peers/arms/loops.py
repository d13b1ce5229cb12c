"""Two plain PyTorch loops: the transfer-learning tutorial's as it is written, and one tuned by hand.

`tutorial`: batches of 4, four worker processes, RandomResizedCrop and a flip, SGD 0.001 with momentum 0.9, a tenth of it every
seven epochs, training-mode BatchNorm, both splits in every epoch, the epoch with the best validation accuracy kept.
`tutorial-32`: the same with batches of 32 and eight times the learning rate, which a person with a CPU would soon try.
`tuned`: what ours does, by hand and without a cache: batches of 32, channels_last, two workers, no augmentation, frozen parts in
evaluation mode and without gradients, a classifier of zeros, AdamW at the same rates along a cosine with warm-up.
"""

from __future__ import annotations

import copy
import math
import time

import timm
import torch
from safetensors.torch import load_file
from task import Task
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TUTORIAL = {"tutorial": (4, 0.001), "tutorial-32": (32, 0.008)}


def main() -> None:
    task, began = Task.read(), time.perf_counter()
    torch.manual_seed(task.seed)
    tuned = task.arm == "tuned"
    batch, rate = (32, 3e-3) if tuned else TUTORIAL[task.arm]
    photos = splits(task, augmented=not tuned)
    workers = 2 if tuned else 4
    loaders = {name: DataLoader(photos[name], batch_size=batch, shuffle=name == "train", num_workers=workers)
               for name in ("train", "validation", "test")}
    model = load(task, len(photos["train"].classes))
    for name, parameter in model.named_parameters():
        parameter.requires_grad = task.trains(name)
    if tuned:
        zeroed(model)
    model.to(DEVICE, memory_format=torch.channels_last if tuned else torch.preserve_format)
    optimizer, schedule = (tuned_steps if tuned else tutorial_steps)(task, model, rate, len(loaders["train"]))
    best, kept = -1.0, None
    for _ in range(task.epochs):
        (calm if tuned else nn.Module.train)(model)
        for images, labels in loaders["train"]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(prepared(images, tuned)), labels.to(DEVICE)).backward()
            if tuned:
                nn.utils.clip_grad_norm_((p for p in model.parameters() if p.requires_grad), 1.0)
            optimizer.step()
            if tuned:
                schedule.step()
        if not tuned:
            schedule.step()
        right, n = count(model, loaders["validation"], tuned)
        if right / n > best:
            best, kept = right / n, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    task.done(began, *count(model, loaders["test"], tuned))


def splits(task: Task, augmented: bool) -> dict[str, datasets.ImageFolder]:
    data = timm.data.resolve_data_config(model=timm.create_model(task.model, pretrained=False))
    normal = transforms.Normalize(data["mean"], data["std"])
    crop, flip = transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()
    varied = transforms.Compose([crop, flip, transforms.ToTensor(), normal])
    plain = timm.data.create_transform(**data)
    return {split: datasets.ImageFolder(f"{task.photos}/{split}", varied if augmented and split == "train" else plain)
            for split in ("train", "validation", "test")}


def load(task: Task, classes: int) -> nn.Module:
    model = timm.create_model(task.model, pretrained=False, num_classes=classes)
    weights = {name: tensor for name, tensor in load_file(task.weights).items() if not name.startswith("classifier")}
    missing, extra = model.load_state_dict(weights, strict=False)
    assert not extra and all(name.startswith("classifier") for name in missing), (missing, extra)
    # As the tutorial replaces `fc`. timm's own start for this layer is ten times as wide, and costs a short training dearly.
    model.classifier = nn.Linear(model.classifier.in_features, classes)
    return model


def zeroed(model: nn.Module) -> nn.Module:
    for parameter in model.classifier.parameters():
        nn.init.zeros_(parameter)
    return model


def tutorial_steps(_task: Task, model: nn.Module, rate: float, _steps: int):
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=rate, momentum=0.9)
    return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)


def tuned_steps(task: Task, model: nn.Module, rate: float, steps: int):
    head = list(model.get_classifier().parameters())
    rest = [p for name, p in model.named_parameters() if p.requires_grad and not name.startswith("classifier")]
    groups = [{"params": head, "lr": rate}, *([{"params": rest, "lr": 0.1 * rate}] if rest else [])]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
    total, warm = steps * task.epochs, max(1, round(0.1 * steps * task.epochs))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def calm(model: nn.Module) -> None:
    """Training mode, but BatchNorm keeps the statistics it came with."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def prepared(images: torch.Tensor, tuned: bool) -> torch.Tensor:
    return images.to(DEVICE, memory_format=torch.channels_last if tuned else torch.preserve_format)


def count(model: nn.Module, loader: DataLoader, tuned: bool) -> tuple[int, int]:
    model.eval()
    right = n = 0
    with torch.no_grad():
        for images, labels in loader:
            right += int((model(prepared(images, tuned)).argmax(1).cpu() == labels).sum())
            n += len(labels)
    return right, n


if __name__ == "__main__":
    main()
