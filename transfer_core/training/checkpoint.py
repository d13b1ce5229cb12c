"""What a training leaves on disk, so that it can be resumed, evaluated and taken home. Every file is replaced whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from transfer_core.errors import BadRecipe
from transfer_core.events import Epoch, from_json, to_json
from transfer_core.paths import replacing, write_json
from transfer_core.recipe import Recipe

LAST, BEST, SOURCE_HEAD = "last.pt", "model.safetensors", "source_head.safetensors"
EPOCHS = "epochs.jsonl"
"""What each whole epoch reported, a line each."""


@dataclass
class State:
    """Where a training stands after a whole epoch."""

    epoch: int = 0
    step: int = 0
    batch_size: int = 0
    best_accuracy: float = -1.0
    best_loss: float = float("inf")
    """At the best epoch, as its accuracy."""
    best_epoch: int | None = None
    lowest: float = float("inf")
    """Loss of any epoch so far."""
    improved: int = 0
    """The last epoch that was the best, or had the lowest loss."""
    seconds: float = 0.0
    begun: float = 0.0
    """Of those, before the first step."""
    looking: float = 0.0
    """Of the last look at the validation images."""
    out_of_time: bool = False


def write_description(out: Path, recipe: Recipe, classes: list[str], info: Mapping[str, Any]) -> None:
    """`recipe.json`, `classes.json` (in the order of the logits) and `info.json`: what `load_run` and exports need."""
    for name, content in (("recipe.json", recipe.model_dump()), ("classes.json", classes), ("info.json", dict(info))):
        write_json(out / name, content)


def check_same_recipe(out: Path, recipe: Recipe) -> None:
    """Raises `BadRecipe` when `out` holds a training with other settings."""
    path = out / "recipe.json"
    if path.is_file() and Recipe(**json.loads(path.read_text("utf-8"))) != recipe:
        raise BadRecipe("other_recipe")


def save_best(out: Path, model: nn.Module, source_heads: Sequence[nn.Module] = ()) -> None:
    """The weights under timm's names, new head included; source classifiers that learned along in a file beside them."""
    save_weights(out / BEST, model)
    if source_heads:
        save_weights(out / SOURCE_HEAD, nn.ModuleList(source_heads))


def save_weights(file: Path, model: nn.Module, facts: Mapping[str, str] | None = None) -> None:
    """safetensors, with `facts` as its metadata."""
    tensors, seen = {}, set()
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        # CoaT lends one module to several blocks; the file must name its weights each time, and safetensors wants each apart.
        tensors[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    with replacing(file) as part:
        save_file(tensors, part, dict(facts) if facts else None)


def save_last(out: Path, model: nn.Module, optimizer: Optimizer, scaler: GradScaler, state: State,
              source_heads: Sequence[nn.Module] = ()) -> None:
    """Everything to go on from here: weights, optimiser, loss scale, random numbers, counts. (The learning rate is a
    function of the counts.) Plain tensors and containers only, so that it loads with `weights_only`."""
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scaler": scaler.state_dict(),
               "random": torch.get_rng_state(), "state": asdict(state),
               "source_heads": [head.state_dict() for head in source_heads]}
    if torch.cuda.is_available():
        content["cuda_random"] = torch.cuda.get_rng_state_all()
    with replacing(out / LAST) as part, part.open("wb") as file:  # of a path, torch does not tell that the disk is full
        torch.save(content, file)


def note_epoch(out: Path, epoch: Epoch) -> None:
    """Write down what an epoch reports, before the checkpoint that makes it a whole one. A process that is killed after that has
    trained it and told nobody: reports are stored a moment later (`jobs.run.FLUSH`)."""
    with (out / EPOCHS).open("ab") as file:
        file.write(to_json(epoch).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())  # its name reaches the disk with that of the checkpoint


def noted_epochs(out: Path, after: int, until: int) -> Iterator[Epoch]:
    """The whole epochs from `after` + 1 to `until`. What follows those was cut off in the middle and is forgotten here."""
    file = out / EPOCHS
    whole, lines = [], file.read_bytes().splitlines() if file.is_file() else []
    for line in lines:
        try:
            event = from_json(line)
        except ValidationError:
            continue
        if isinstance(event, Epoch) and len(whole) < event.epoch <= until:
            whole.append((event, line))
    if len(whole) < len(lines):
        with replacing(file) as part:
            part.write_bytes(b"".join(line + b"\n" for _, line in whole))
    yield from (event for event, _ in whole if event.epoch > after)


def sweep_up(out: Path) -> None:
    """Remove what a killed process had half written: a checkpoint can be as large as the model, three times."""
    for part in out.glob(".*.part"):
        part.unlink(missing_ok=True)


def load_last(out: Path, model: nn.Module, optimizer: Optimizer, scaler: GradScaler,
              source_heads: Sequence[nn.Module] = ()) -> State:
    """The reverse of `save_last`, into objects made from the same recipe."""
    content: dict[str, Tensor | Any] = torch.load(out / LAST, map_location="cpu", weights_only=True)
    model.load_state_dict(content["model"])
    for head, tensors in zip(source_heads, content.get("source_heads", ()), strict=True):
        head.load_state_dict(tensors)
    optimizer.load_state_dict(content["optimizer"])
    if content["scaler"]:
        scaler.load_state_dict(content["scaler"])
    torch.set_rng_state(content["random"])
    if "cuda_random" in content and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(content["cuda_random"])
    state = State(**content["state"])
    if "improved" not in content["state"]:  # written before accuracy chose the best epoch
        state = replace(state, lowest=state.best_loss, improved=state.best_epoch or 0)
    return state
