"""Does a model go by what is in the middle of photos, or by what is around it? Both are hidden in turn, and it is asked again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transfer_core.datasets.manifest import Image, Manifest, Split, spread
from transfer_core.errors import NotFound
from transfer_core.events import Event, Progressed
from transfer_core.metrics import evidence, mcnemar, usual_answer, wilson
from transfer_core.paths import Home
from transfer_core.training.evaluate import BATCH, full_float32
from transfer_core.training.fit import choose_device
from transfer_core.training.models import load_run
from transfer_core.training.pipeline import ImageInputs, in_order

CENTRE = 0.5**0.5
"""Side of the hidden square, as a share of the model's view: half its area. Both questions then leave equally much to see, so
that a difference between them is about where the model looks and not about how much it was shown."""
MOST = 400
"""Photos asked about; an accuracy is then known to ± 5 points."""
FEW = 30
"""Photos below which nothing is concluded: the interval of a share of one half is then wider than ± 17 points."""
CLOSE = 0.8
"""Share of what the model has above the baseline that counts as nearly all of it."""
WAYS = ("full", "centre_hidden", "centre_only")


def background(run_folder: Path | str, manifest: Manifest, home: Home, *,
               device: str = "auto") -> Generator[Event, None, dict[str, Any]]:
    """Measure a run's test photos (validation, where there are none): as they are, without their middle, and with nothing else.

    Returns `{"split", "n", "few", "centre", "baseline", "baseline_class", "full", "centre_hidden", "centre_only", "verdict",
    "reason"}`. Each of the three is `{"correct", "accuracy", "low", "high"}` (Wilson, 95 %), the last two with `"kept"`, the
    share of the model's lead over the baseline that is left, and `"change"`, McNemar's test against the photos as they are. See
    `verdict`.
    What is hidden becomes the mean colour of what is left: it tells nothing of what it covers, which a blur and the mean of the
    whole photo would. The run's folder is not changed. Raises `NotFound` (no trained model, no photos to measure on).
    """
    model, classes, how = load_run(Path(run_folder))
    split, images = _measured(manifest, set(classes))
    inputs, where = ImageInputs.of(images, classes, home, how), choose_device(device)
    model.to(where)
    right: dict[str, list[bool]] = {way: [] for way in WAYS}
    yield Progressed(stage="background", done=0, total=len(images))
    for batch, labels in inputs.batches(in_order(len(images), BATCH), epoch=0):
        for way, given in zip(WAYS, masked(batch), strict=True):
            right[way] += (_named(model, given.to(where)) == labels).tolist()
        yield Progressed(stage="background", done=len(right["full"]), total=len(images))
    counts = Counter(image.label for image in manifest.of("train"))
    support = [sum(image.label == name for image in images) for name in classes]
    usual = usual_answer(classes, counts, support)
    baseline = support[usual] / len(images)
    groups = [image.group for image in images]
    scores = {way: _score(right[way], right["full"], baseline, groups) for way in WAYS}
    code, reason = verdict(scores, len(images), baseline)
    return {"split": split, "n": len(images), "few": FEW, "centre": CENTRE, "baseline": baseline,
            "baseline_class": classes[usual], **scores, "verdict": code, "reason": reason}


def verdict(scores: dict[str, dict[str, Any]], n: int, baseline: float) -> tuple[str, str]:
    """A code, and why.

    `looks_at_background`: without the middle the model is still above the baseline (the lower end of its interval is) and keeps
    at least 80 % of its lead; `border_suffices`, or `either_suffices` where the middle alone would do as well: then the
    background tells the classes apart, or the things reach to the edges, and heat maps show which.
    `looks_at_object`: the middle alone keeps 80 % of the lead, without it less is left, and that loss is no chance (exact
    McNemar, p < 0.05): `centre_suffices`.
    `cannot_tell`: fewer than 30 photos (`few_photos`), no lead to lose (`no_lead`: the interval of the accuracy reaches down to
    the baseline), or neither of the above (`both_needed`).
    """
    if n < FEW:
        return "cannot_tell", "few_photos"
    if scores["full"]["low"] <= baseline:
        return "cannot_tell", "no_lead"
    border, centre = scores["centre_hidden"], scores["centre_only"]
    enough = centre["kept"] >= CLOSE
    if border["low"] > baseline and border["kept"] >= CLOSE:
        return "looks_at_background", "either_suffices" if enough else "border_suffices"
    if enough and border["change"]["different"]:
        return "looks_at_object", "centre_suffices"
    return "cannot_tell", "both_needed"


def masked(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """N × 3 × H × W as they are, with the middle hidden, and with nothing but the middle."""
    height, width = images.shape[2:]
    middle = torch.zeros(height, width, dtype=torch.bool)
    high, wide = round(height * CENTRE), round(width * CENTRE)
    top, left = (height - high) // 2, (width - wide) // 2
    middle[top:top + high, left:left + wide] = True
    return images, _hidden(images, middle), _hidden(images, ~middle)


def _hidden(images: Tensor, region: Tensor) -> Tensor:
    left = images[..., ~region].mean(-1)[..., None, None]
    return torch.where(region, left, images)


def _measured(manifest: Manifest, known: set[str]) -> tuple[Split, list[Image]]:
    for split in ("test", "validation"):
        if images := [image for image in manifest.of(split) if image.label in known]:
            return split, spread(images, MOST)
    raise NotFound("no_split", split="test")


def _named(model: nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode(), full_float32():
        return model(images).argmax(-1).cpu()


def _score(right: list[bool], full: list[bool], baseline: float, groups: list[int]) -> dict[str, Any]:
    n, correct, before = len(right), int(np.sum(right)), int(np.sum(full))
    different = evidence(groups)
    low, high = wilson(correct / n * different, different)
    score = {"correct": correct, "accuracy": correct / n, "low": low, "high": high}
    if right is full:
        return score
    lead = before / n - baseline
    return {**score, "kept": (correct / n - baseline) / lead if lead > 0 else None, "change": mcnemar(full, right, groups)}
