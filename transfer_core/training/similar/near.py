"""The training photos that a run's model finds most like a photo, and how usual it is that they are so much like it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transfer_core.datasets.manifest import Image, Manifest, spread
from transfer_core.errors import BadImage, NotFound
from transfer_core.events import Event, Progressed
from transfer_core.images import open_image, preprocess
from transfer_core.paths import Home
from transfer_core.training.similar.features import Eye

SHOWN, MOST_SHOWN = 6, 24
MOST_TRAINING, MOST_MEASURED = 5000, 1000
"""Photos looked at, at most; classes in proportion."""
FEW = 20
"""Photos set aside below which it is not known what is usual: a photo of the usual kind is further away than all n of them with
probability 1 / (n + 1) already (the conformal p-value of Laxhammar & Falkman 2010)."""
RARE = 0.01
"""A photo is unlike all that was learned from when fewer of those set aside are as far from it."""
_ROWS = 512


def nearest(run_folder: Path | str, manifest: Manifest, home: Home, photos: Sequence[Path | Exception], k: int = SHOWN, *,
            device: str = "auto") -> Generator[Event, None, dict[str, Any]]:
    """The `k` training photos (1 to 24) whose features have the largest cosine with those of each photo.

    Returns `{"photos": [{"label", "probability", "near": [{"sha256", "file", "label", "similarity"}], "usual"} | {"error"}],
    "looked_at", "of"}`, the most alike first. `usual` is None where too few photos were set aside, else `{"split", "n", "closer",
    "median", "unlike"}`: of n photos of that split, so many are nearer to their nearest training photo than this one is to its
    own; `unlike` says that hardly any is as far away. Validation photos where there are 20, else training photos, each held
    against those of other groups: the model was fitted to these, so they lie closer than new photos would.
    A bad photo (or an exception in its place) is an answer of its own. Raises `NotFound` (no trained model, no photo left).
    """
    eye = Eye(run_folder, home, device)
    known = {split: eye.known(manifest.of(split)) for split in ("train", "validation")}
    train = spread(known["train"], MOST_TRAINING)
    if not train:
        raise NotFound("no_training_photos")
    split = "validation" if len(known["validation"]) >= FEW else "train"
    measured = spread(known[split], MOST_MEASURED)
    features = _sharp((yield from eye.see([*train, *measured]))[0])
    learned, held = features[:len(train)], features[len(train):]
    yield Progressed(stage="comparing", done=0)
    usual = _to_nearest(held, measured, learned, train) if len(measured) >= FEW else np.zeros(0)
    found = [_one(eye, photo, learned, train, usual, split, min(max(1, k), MOST_SHOWN)) for photo in photos]
    return {"photos": found, "looked_at": len(train), "of": len(manifest.of("train"))}


def _sharp(features: np.ndarray) -> np.ndarray:
    """float64, rows of length 1 again: a model that tells its classes apart well sees cosines of 0.9999997 within one, and
    float32 rounds to 0.0000001."""
    wide = features.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)


def _to_nearest(held: np.ndarray, measured: Sequence[Image], learned: np.ndarray, train: Sequence[Image]) -> np.ndarray:
    """The cosine of each measured photo with the training photo most like it, copies and near-copies apart; sorted."""
    own, theirs = (np.array([image.group for image in images]) for images in (measured, train))
    most = []
    for start in range(0, len(held), _ROWS):
        here = slice(start, start + _ROWS)
        cosine = held[here] @ learned.T
        cosine[own[here, None] == theirs[None]] = -1
        most.append(cosine.max(1))
    return np.sort(np.concatenate(most))


def _one(eye: Eye, photo: Path | Exception, learned: np.ndarray, train: Sequence[Image], usual: np.ndarray, split: str,
         k: int) -> dict[str, Any]:
    try:
        if isinstance(photo, Exception):
            raise photo
        features, probabilities = eye.one(preprocess(open_image(photo), eye.how))
    except (BadImage, NotFound) as error:
        return {"error": error.as_message().model_dump()}
    cosine = learned @ _sharp(features[None])[0]
    near: dict[str, dict[str, Any]] = {}
    for place in np.argsort(-cosine, kind="stable"):
        image = train[place]
        near.setdefault(image.sha256, {"sha256": image.sha256, "file": image.file, "label": image.label,
                                       "similarity": round(float(cosine[place]), 4)})
        if len(near) == k:
            break
    said = int(probabilities.argmax())
    return {"label": eye.classes[said], "probability": float(probabilities[said]), "near": list(near.values()),
            "usual": _usual(float(cosine.max()), usual, split)}


def _usual(similarity: float, usual: np.ndarray, split: str) -> dict[str, Any] | None:
    if not len(usual):
        return None
    n, closer = len(usual), int((usual > similarity).sum())
    return {"split": split, "n": n, "closer": closer, "median": round(float(np.median(usual)), 4),
            "unlike": n - closer < RARE * n}
