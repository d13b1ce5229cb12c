"""Hugging Face Trainer around the same timm model: its defaults (AdamW 5e-5 falling in a line, batches of 8), the
augmentation of its image-classification guide (RandomResizedCrop and normalisation), evaluation after each epoch.

`hf-matched`: the trainer's loop with the recipe of the loop tuned by hand (see `loops`).
"""

from __future__ import annotations

import time

import numpy as np
import torch
from loops import DEVICE, calm, count, load, splits, tuned_steps, zeroed
from task import Task
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainingArguments


class Pairs(Dataset):
    """An ImageFolder as the trainer wants it."""

    def __init__(self, folder) -> None:
        self.folder = folder

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, index: int) -> dict[str, object]:
        image, label = self.folder[index]
        return {"pixel_values": image, "labels": label}


class Wrapped(torch.nn.Module):
    """What a transformers model answers: loss and logits."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        logits = self.network(pixel_values)
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


class Matched(Wrapped):
    """channels_last, BatchNorm's statistics as they came, a classifier of zeros."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__(zeroed(network).to(memory_format=torch.channels_last))

    def train(self, mode: bool = True) -> Matched:
        super().train(mode)
        if mode:
            calm(self.network)
        return self

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        return super().forward(pixel_values.to(memory_format=torch.channels_last), labels)


def main() -> None:
    task, began = Task.read(), time.perf_counter()
    matched = task.arm == "hf-matched"
    photos = splits(task, augmented=not matched)
    model = load(task, len(photos["train"].classes))
    for name, parameter in model.named_parameters():
        parameter.requires_grad = task.trains(name)
    more = {"per_device_train_batch_size": 32, "per_device_eval_batch_size": 32, "dataloader_num_workers": 2} if matched else {}
    arguments = TrainingArguments(
        output_dir="hf", num_train_epochs=task.epochs, seed=task.seed, eval_strategy="epoch", save_strategy="no",
        report_to="none", remove_unused_columns=False, use_cpu=not torch.cuda.is_available(), disable_tqdm=True, **more)
    network = (Matched if matched else Wrapped)(model)
    steps = tuned_steps(task, model, 3e-3, -(-len(photos["train"]) // 32)) if matched else (None, None)
    Trainer(network, arguments, train_dataset=Pairs(photos["train"]), eval_dataset=Pairs(photos["validation"]), optimizers=steps,
            compute_metrics=lambda found: {"accuracy": float(np.mean(found.predictions.argmax(-1) == found.label_ids))}).train()
    model.to(DEVICE)
    task.done(began, *count(model, DataLoader(photos["test"], batch_size=32 if matched else 8), tuned=matched))


if __name__ == "__main__":
    main()
