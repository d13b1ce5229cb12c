"""Mixtures of a model as it began and as it is: θ_α = (1 − α) θ⁰ + α θ¹ (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903).

θ⁰ is the backbone the training started from with a head fitted to it exactly; θ¹ is the trained model. In between, much of the
old may be kept for little of the new, and nothing has to be trained for it.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transfer_core.datasets.manifest import Manifest
from transfer_core.errors import BadRecipe, Unavailable
from transfer_core.events import Event, Progressed
from transfer_core.metrics import wilson
from transfer_core.paths import Home
from transfer_core.predictor import softmax
from transfer_core.recipe import Recipe
from transfer_core.training import weights
from transfer_core.training.evaluate import full_float32, probabilities
from transfer_core.training.fit import choose_device
from transfer_core.training.instant.first_model import MOST_TRAINING, features_of, spread, take_head
from transfer_core.training.instant.head import best_head
from transfer_core.training.models import Built, build, classifiers, load_run
from transfer_core.training.pipeline import ImageInputs, in_order
from transfer_core.training.prefix.answers import StoredAnswers
from transfer_core.training.replay import read_json
from transfer_core.training.starts import KEPT

ALPHAS = tuple(number / 10 for number in range(11))
ESTIMATED = 512
"""Training images from which BatchNorm's averages of a mixture are estimated anew."""
_BATCH = 32


def blend(run_folder: Path | str, manifest: Manifest, home: Home, *,
          device: str = "auto") -> Generator[Event, None, dict[str, Any]]:
    """Measure every mixture on the validation images, from stored activations where the run has them.

    Returns `{"alpha": […], "accuracy": […], "low": […], "high": […], "kept": […] | None, "n", "split": "validation"}`: intervals
    are Wilson's, 95 %; `kept` is the share of images of which the original classifier says what it said at the start.
    The run's folder is not changed. Raises `NotFound` (no trained model), `BadRecipe` (it began from random weights, or there is
    nothing to measure with) and `Unavailable` (a head of more than one layer).
    """
    folder, where = Path(run_folder), choose_device(device)
    end, classes, how = load_run(folder)
    recipe = Recipe(**read_json(folder / "recipe.json"))
    known = [image for image in manifest.of("validation") if image.label in set(classes)]
    if recipe.weights == "scratch":
        raise BadRecipe("blend_untrained")
    if not known:
        raise BadRecipe("blend_unmeasured")
    built = yield from _start(recipe, manifest, classes, home, where, folder / KEPT)
    inputs = ImageInputs.of(known, classes, home, how)
    before = {name: tensor.detach().cpu().clone() for name, tensor in built.model.state_dict().items()}
    after = {name: tensor.detach().clone() for name, tensor in end.state_dict().items()}
    train = ImageInputs.of(spread(manifest.of("train"), ESTIMATED), classes, home, how)
    mixture, right, said = copy.deepcopy(end), [], []
    for done, alpha in enumerate(ALPHAS):
        yield Progressed(stage="blending", done=done, total=len(ALPHAS))
        mixture.cpu().load_state_dict(mixed(before, after, alpha))
        if 0 < alpha < 1:
            estimate(mixture, _moved(before, after), train, where)
        with _watched(mixture, built.source_head, len(known)) as heard:
            logits = yield from StoredAnswers(folder, mixture, home, where).logits(inputs)
            answered = softmax(logits) if logits is not None else (yield from probabilities(mixture, inputs, where))
        right.append(int((answered.argmax(1) == inputs.labels.numpy()).sum()))
        said.append(heard())
    yield Progressed(stage="blending", done=len(ALPHAS), total=len(ALPHAS))
    n = len(known)
    low, high = zip(*(wilson(count, n) for count in right), strict=True)
    kept = None if said[0] is None else [float((answers == said[0]).mean()) for answers in said]
    return {"alpha": list(ALPHAS), "accuracy": [count / n for count in right], "low": list(low), "high": list(high), "kept": kept,
            "n": n, "split": "validation"}


def mixed(before: Mapping[str, Tensor], after: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """(1 − α) of one and α of the other; at the ends exactly these. Counts (whole numbers) are taken from `after`."""
    return {name: torch.lerp(before[name], tensor, alpha) if tensor.is_floating_point() else tensor
            for name, tensor in after.items()}


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
    with tempfile.TemporaryDirectory() as out:
        features = yield from features_of(frozen, built, chosen, classes, home, Path(out), where)
    yield Progressed(stage="fitting_head", done=0)
    take_head(heads[0], best_head(features["train"], labels, len(classes)))
    return built


def _moved(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """BatchNorm modules whose averages the training moved. Where they stood still, both ends and all between share them."""
    return [name.removesuffix(".running_mean") for name, tensor in after.items()
            if name.endswith(".running_mean") and not torch.equal(tensor, before[name])]


def estimate(model: nn.Module, norms: list[str], images: ImageInputs, where: torch.device) -> None:
    """Averages of these BatchNorm modules anew, as the mean over batches of `images`: those of neither end fit a mixture."""
    parts = [model.get_submodule(name) for name in norms]
    if not parts or not len(images.labels):
        return
    model.eval().to(where)
    usual = [part.momentum for part in parts]
    for part in parts:
        part.reset_running_stats()
        part.momentum, part.training = None, True  # None: the plain mean of all batches
    with torch.inference_mode(), full_float32():
        for batch, _ in images.batches([places for places in in_order(len(images.labels), _BATCH) if len(places) > 1], 0):
            model(batch.to(where))
    for part, momentum in zip(parts, usual, strict=True):
        part.momentum, part.training = momentum, False


@contextmanager
def _watched(model: nn.Module, heads: list[nn.Module], count: int) -> Iterator:
    """What the original classifier says of the last `count` images the model is shown inside."""
    given: list[Tensor] = []
    listened = classifiers(model)[0].register_forward_pre_hook(lambda _head, inputs: given.append(inputs[0].detach()))

    def heard() -> np.ndarray | None:
        if not heads:
            return None
        with torch.inference_mode():
            return heads[0](torch.cat(given)[-count:]).argmax(-1).cpu().numpy()

    try:
        yield heard
    finally:
        listened.remove()


