"""Mixtures of a model as it began and as it is: θ_α = (1 − α) θ⁰ + α θ¹ (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903).

θ⁰ is the backbone the training started from with a head fitted to it exactly; θ¹ is the trained model. In between, much of the
old may be kept for little of the new, and nothing has to be trained for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from transfer_core.datasets.manifest import Manifest, spread
from transfer_core.errors import BadRecipe, Unavailable
from transfer_core.events import Averaged, Event, Progressed
from transfer_core.images import Preprocessing
from transfer_core.metrics import packed, wilson
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.training import weights
from transfer_core.training.averaging import ESTIMATED, State, answers, as_part, at_part, leave, mixed, moved, put_into
from transfer_core.training.calibrate import undivided
from transfer_core.training.checkpoint import BEST
from transfer_core.training.export.replay import read_json
from transfer_core.training.fit import choose_device
from transfer_core.training.instant.first_model import MOST_TRAINING, features_of, take_head
from transfer_core.training.instant.head import best_head
from transfer_core.training.listening import listening
from transfer_core.training.models import Built, build, classifiers, load_run
from transfer_core.training.pipeline import ImageInputs
from transfer_core.training.starts import KEPT

ALPHAS = tuple(number / 10 for number in range(11))
_STAGE = "blending"


@dataclass
class Ends:
    """What lies at both ends, and the way to anything in between."""

    model: nn.Module
    """Becomes each mixture in turn."""
    before: State
    after: State
    source_head: list[nn.Module]
    classes: list[str]
    how: Preprocessing
    train: ImageInputs
    where: torch.device

    def at(self, alpha: float) -> nn.Module:
        """The mixture, its BatchNorm averages estimated anew where the training moved them. The ends are what they are."""
        norms = moved(self.before, self.after) if 0 < alpha < 1 else []
        return put_into(self.model, mixed(self.before, self.after, alpha), norms, self.train, self.where)


def blend(run_folder: Path | str, manifest: Manifest, home: Home, *,
          device: str = "auto") -> Generator[Event, None, dict[str, Any]]:
    """Measure every mixture on the validation images, from stored activations where the run has them.

    Returns `{"alpha": […], "accuracy": […], "low": […], "high": […], "kept": […] | None, "right": […], "n",
    "split": "validation"}`: intervals are Wilson's, 95 %; `kept` is the share of images of which the original classifier says
    what it said at the start; `right` says of each image whether it was named rightly (see `metrics.packed`).
    The run's folder is not changed. Raises `NotFound` (no trained model), `BadRecipe` (it began from random weights, or there is
    nothing to measure with) and `Unavailable` (a head of more than one layer).
    """
    folder, where = Path(run_folder), choose_device(device)
    _, classes, how = load_run(folder)
    known = [image for image in manifest.of("validation") if image.label in set(classes)]
    _check_start(folder)
    if not known:
        raise BadRecipe("blend_unmeasured")
    ends = yield from _ends(folder, manifest, home, where)
    inputs = ImageInputs.of(known, classes, home, how)
    right, said = [], []
    for done, alpha in enumerate(ALPHAS):
        yield at_part(_STAGE, done, len(ALPHAS))
        mixture = ends.at(alpha)
        with _watched(mixture, ends.source_head, len(known)) as heard:
            answered = yield from as_part(answers(folder, mixture, inputs, home, where), _STAGE, done, len(ALPHAS))
        right.append(answered.argmax(1) == inputs.labels.numpy())
        said.append(heard())
    yield at_part(_STAGE, len(ALPHAS), len(ALPHAS))
    n, counts = len(known), [int(each.sum()) for each in right]
    low, high = zip(*(wilson(count, n) for count in counts), strict=True)
    kept = None if said[0] is None else [float((answers == said[0]).mean()) for answers in said]
    return {"alpha": list(ALPHAS), "accuracy": [count / n for count in counts], "low": list(low), "high": list(high),
            "kept": kept, "right": [packed(each) for each in right], "n": n, "split": "validation"}


def take(run: str, run_folder: Path | str, alpha: float, manifest: Manifest, home: Home, out: Path | str, *,
         device: str = "auto") -> Generator[Event, None, Averaged]:
    """Leave one mixture in `out`, as the folder of a run: the very model that `blend` measures at this α, 0 to 1.

    The folder of `run` is not changed. Raises what `blend` raises, but needs no validation images.
    """
    folder, out = Path(run_folder), Path(out)
    _check_start(folder)
    ends = yield from _ends(folder, manifest, home, choose_device(device))
    yield Progressed(stage=_STAGE, done=0)
    fact = Averaged(runs=[run], alpha=alpha)
    leave(out, folder, ends.at(alpha), fact)
    return fact


def _check_start(folder: Path) -> None:
    if read_json(folder / "recipe.json").get("weights") == "scratch":
        raise BadRecipe("blend_untrained")


def _ends(folder: Path, manifest: Manifest, home: Home, where: torch.device) -> Generator[Event, None, Ends]:
    end, classes, how = load_run(folder)
    recipe = Recipe(**read_json(folder / "recipe.json"))
    built = yield from _start(recipe, manifest, classes, home, where, folder / KEPT)
    before = {name: tensor.detach().cpu().clone() for name, tensor in built.model.state_dict().items()}
    after = undivided(folder / BEST)
    train = ImageInputs.of(spread(manifest.of("train"), ESTIMATED), classes, home, how)
    return Ends(end, before, after, built.source_head, classes, how, train, where)


def _start(recipe: Recipe, manifest: Manifest, classes: list[str], home: Home,
           where: torch.device, kept: Path) -> Generator[Event, None, Built]:
    """The model as the training began, with the best head for its features."""
    if recipe.weights == "pretrained":
        yield from weights.fetch(recipe.model)
    frozen = recipe.but(freeze="all", positions={}, augmentation="none", epochs=1, source_loss=None, source_dataset=None)
    built = build(frozen, len(classes), home, start=kept if recipe.weights == "run" else None)
    heads = classifiers(built.model)
    if len(heads) != 1 or not isinstance(heads[0], nn.Linear):
        raise Unavailable("no_linear_head", model=recipe.model)
    for head in built.source_head:
        head.to(where)
    chosen = {"train": spread([image for image in manifest.of("train") if image.label in set(classes)], MOST_TRAINING)}
    labels = np.array([classes.index(image.label) for image in chosen["train"]], int)
    groups = np.array([image.group for image in chosen["train"]], int)
    with tempfile.TemporaryDirectory() as out:
        features = yield from _progress_of(features_of(frozen, built, chosen, classes, home, Path(out), where))
    yield Progressed(stage="fitting_head", done=0)
    take_head(heads[0], best_head(features["train"], labels, len(classes), groups=groups))
    return built


def _progress_of(work: Generator[Event, None, Any]) -> Generator[Event, None, Any]:
    """How far it is, and nothing that would be said of a training."""
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return end.value
        if isinstance(event, Progressed):
            yield event


@contextmanager
def _watched(model: nn.Module, heads: list[nn.Module], count: int) -> Iterator:
    """What the original classifier says of the last `count` images the model is shown inside."""
    with listening(model) as told:
        def heard() -> np.ndarray | None:
            if not heads:
                return None
            with torch.inference_mode():
                return heads[0](told(count)[0]).argmax(-1).cpu().numpy()

        yield heard
