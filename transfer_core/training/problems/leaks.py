"""Groups of like photos, and those of them that lie on both sides of the split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from transfer_core.datasets.manifest import Image
from transfer_core.datasets.summary import conflicts_of

SHOWN = 20
"""Images listed of one group; `size` counts them all."""


def row(image: Image) -> dict[str, str]:
    """What a list says of an image, wherever one is shown."""
    return {"sha256": image.sha256, "file": image.file, "label": image.label, "split": image.split}


def alike(images: Sequence[Image], groups: np.ndarray) -> list[dict[str, Any]]:
    """Groups of more than one image, the largest first: `{"how", "size", "labels", "images"}`.

    `how`: "copy" (the same bytes), "near" (perceptual hash and miniature, found at import) or "scene" (see `scenes`).
    """
    return sorted((_group(members) for members in _members(images, groups) if len(members) > 1),
                  key=lambda group: -group["size"])


def leaks(images: Sequence[Image], groups: np.ndarray) -> list[dict[str, Any]]:
    """Groups that would let a test know what was trained on, with a `kind`.

    "straddles": images of it are in train, and in validation or test; `files` are all of them. "left_out": it lay on both sides
    as it was uploaded, and the import left one side out, so nothing leaks any more. Pictures left out because they lie in two
    classes are no leak.
    """
    at_odds = {each["sha256"] for conflict in conflicts_of(images) for each in conflict}
    found = []
    for members in _members(images, groups):
        placed = [image for image in members if image.split != "left_out"]
        sides = {image.split for image in placed}
        if "train" in sides and len(sides) > 1:
            found.append({"kind": "straddles", **_group(placed), "files": [image.file for image in placed]})
        homes = {image.group for image in placed}
        out = [image for image in members
               if image.split == "left_out" and image.sha256 not in at_odds and image.group in homes]
        if out:
            with_them = {image.group for image in out}
            found.append({"kind": "left_out", **_group([*out, *(image for image in placed if image.group in with_them)])})
    return sorted(found, key=lambda leak: (leak["kind"] != "straddles", -leak["size"]))


def _members(images: Sequence[Image], groups: np.ndarray) -> list[list[Image]]:
    members: dict[int, list[Image]] = defaultdict(list)
    for image, group in zip(images, groups.tolist(), strict=True):
        members[group].append(image)
    return list(members.values())


def _group(members: Sequence[Image]) -> dict[str, Any]:
    how = "copy" if len({image.sha256 for image in members}) == 1 else "near" if len({image.group for image in members}) == 1 \
        else "scene"
    return {"how": how, "size": len(members), "labels": sorted({image.label for image in members}),
            "images": [row(image) for image in _mixed(members)[:SHOWN]]}


def _mixed(members: Sequence[Image]) -> list[Image]:
    """In turn from each split, so that both sides of a large group are among the first."""
    turns: Counter[str] = Counter()
    ranked = []
    for place, image in enumerate(members):
        ranked.append((turns[image.split], place, image))
        turns[image.split] += 1
    return [image for _, _, image in sorted(ranked, key=lambda each: each[:2])]
