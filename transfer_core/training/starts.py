"""Where a model starts that does not start from timm's weights: from a person's file, or from another run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

from transfer_core.errors import NotFound
from transfer_core.events import Transferred
from transfer_core.paths import Home, replacing
from transfer_core.training.structure import AS_IT_CAME, Structure
from transfer_core.training.weight_files import fit_weights
from transfer_core.words import Message

_BEST, KEPT = "model.safetensors", "start"


@dataclass(frozen=True)
class SourceRun:
    """A run's model, read and never written."""

    run: str
    classes: list[str]
    tensors: dict[str, Tensor]
    structure: Structure = AS_IT_CAME


@dataclass(frozen=True)
class Taken:
    """Tensors by name, for a report in three numbers."""

    run: str
    copied: Set[str]
    left: Set[str]
    new: Set[str]

    @property
    def event(self) -> Transferred:
        return Transferred(run=self.run, copied=len(self.copied), skipped=len(self.left), initialized=len(self.new))


@dataclass(frozen=True)
class Start:
    """What a start brings besides weights."""

    head: bool
    """Whether the classifier came with it."""
    classes: list[str] | None = None
    notes: list[Message] = field(default_factory=list)
    transferred: Taken | None = None
    structure: Structure = AS_IT_CAME
    pool: str | None = None


def run_folder(run: str, home: Home) -> Path:
    """Where a run's model lies; nothing is made there."""
    return home.at("runs", run)


def keep(run: str, home: Home, out: Path) -> Path:
    """Keep the start of a training beside it, in `out`: the run may learn on, or be deleted, before this training is resumed.

    Hard links where the disk has them, so it costs nothing. What is kept already stays. Raises `NotFound`.
    """
    folder, kept = run_folder(run, home), out / KEPT
    if not (kept / _BEST).is_file():
        kept.mkdir(parents=True, exist_ok=True)
        try:
            for name in ("classes.json", "info.json", _BEST):  # the weights last: with them it is whole
                _link(folder / name, kept / name)
        except FileNotFoundError as error:
            raise NotFound("no_start_run", run=run) from error
    return kept


def _link(file: Path, there: Path) -> None:
    with replacing(there) as part:
        part.unlink(missing_ok=True)
        try:
            part.hardlink_to(file)
        except FileNotFoundError:
            raise
        except OSError:  # a disk without hard links
            shutil.copyfile(file, part)


def read_run(run: str, folder: Path) -> SourceRun:
    """Raises `NotFound` when there is no such run, or it has no trained model."""
    try:
        classes = json.loads((folder / "classes.json").read_text("utf-8"))
        tensors = load_file(folder / _BEST)
        info = json.loads((folder / "info.json").read_text("utf-8")) if (folder / "info.json").is_file() else {}
    except FileNotFoundError as error:
        raise NotFound("no_start_run", run=run) from error
    return SourceRun(run, classes, tensors, Structure.from_dict(info.get("structure")))


def from_file(model: nn.Module, tensors: dict[str, Tensor], name: str) -> Start:
    _, notes = fit_weights(model, tensors, name)
    return Start(head=all(note.key != "fit.head_left_out" for note in notes), notes=notes)


def from_run(model: nn.Module, run: SourceRun) -> Start:
    """Take over every tensor whose name and shape agree. `model` has a classifier for the run's classes.

    Raises `BadWeights` when the run's model is so different that most of the backbone would start anew.
    """
    copied, notes = fit_weights(model, run.tensors, run.run)
    taken = Taken(run.run, copied, set(run.tensors) - copied, set(model.state_dict()) - copied)
    return Start(all(note.key != "fit.head_left_out" for note in notes), run.classes, notes, taken)


def without_head(taken: Taken | None, before: Set[str], after: Set[str]) -> Taken | None:
    """The classifier was replaced by a new one."""
    if taken is None:
        return None
    return replace(taken, copied=taken.copied - before, left=taken.left | (taken.copied & before),
                   new=(taken.new - before) | after)
