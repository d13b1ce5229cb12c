"""Whether anything that is tested was also trained on: counted in a manifest, image by image."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from transfer_core.datasets.manifest import SPLITS, Manifest


@dataclass(frozen=True)
class Overlap:
    train: int
    test: int
    shared: int
    """Contents (by SHA-256) that lie both in train and in test."""
    groups: int
    """Groups of more than one image: copies and near-copies."""
    grouped: int
    """Images in those."""
    straddling: int
    """Groups with images in more than one split."""


def overlap(manifest: Manifest) -> Overlap:
    """Left-out images belong to no split. Near-copies are those the import found (see `duplicates`)."""
    contents = {split: {image.sha256 for image in manifest.of(split)} for split in SPLITS}
    splits: dict[int, list[str]] = defaultdict(list)
    for image in manifest.images:
        if image.split in SPLITS:
            splits[image.group].append(image.split)
    several = [where for where in splits.values() if len(where) > 1]
    return Overlap(len(manifest.of("train")), len(manifest.of("test")), len(contents["train"] & contents["test"]),
                   len(several), sum(map(len, several)), sum(len(set(where)) > 1 for where in several))
