"""What a dataset version holds, in numbers and warnings. Computed from its images, so an edited version is described alike."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from transfer_core.datasets.manifest import SPLITS, Image
from transfer_core.words import Message, message

FEW = 10
"""Images of a class in training below which a warning is due."""
EXTREME = 8
"""Longer to shorter side beyond which a centre crop keeps little of the picture."""
SMALL = 32
"""Pixels of the longer side below which a picture is enlarged many times over."""
_SHOWN = 50
"""Conflicts listed in a summary; `conflict_count` counts them all."""


def describe(images: Sequence[Image], found: dict[str, Any]) -> dict[str, Any]:
    """The summary of one version. `found` is what only the import could see (quarantine, layout, …)."""
    distinct = len({image.sha256 for image in images})
    converted = [reason for image in images for reason in image.converted]
    splits = Counter(image.split for image in images)
    conflicts = conflicts_of(images)
    warnings = [Message(**note) for note in found.get("carried_warnings", [])] + _warnings(images, conflicts)
    return {
        "classes": dict(sorted(Counter(image.label for image in images).items())),
        "imported": len(images),
        "converted": sum(bool(image.converted) for image in images),
        "conversions": dict(sorted(Counter(converted).items())),
        "duplicates": len(images) - distinct,
        "near_duplicates": distinct - len({image.group for image in images}),
        "conflicts": conflicts[:_SHOWN],
        "conflict_count": len(conflicts),
        "split": {name: splits[name] for name in SPLITS},
        "left_out": splits["left_out"],
        "domains": sorted({image.domain for image in images} - {""}),
        **found,
        "warnings": [warning.model_dump() for warning in warnings],
    }


def conflicts_of(images: Sequence[Image]) -> list[list[dict[str, str]]]:
    """The same picture (byte for byte) in two classes: each with one example a class."""
    seen: set[str] = set()
    twice = {image.sha256 for image in images if image.sha256 in seen or seen.add(image.sha256)}
    places: dict[str, dict[str, Image]] = defaultdict(dict)
    for image in images:
        if image.sha256 in twice:
            places[image.sha256].setdefault(image.label, image)
    return [[{"file": image.file, "label": image.label, "sha256": image.sha256} for image in labels.values()]
            for labels in places.values() if len(labels) > 1]


def _warnings(images: Sequence[Image], conflicts: list) -> list[Message]:
    warnings = []
    if conflicts:
        at_odds = {group[0]["sha256"] for group in conflicts}  # others are left out too, and have warnings of their own
        count = sum(image.split == "left_out" and image.sha256 in at_odds for image in images)
        warnings.append(message("import.warnings.conflicts", count=len(conflicts), left_out=count))
    if not any(image.split == "train" for image in images):
        warnings.append(message("import.warnings.nothing_left"))
    by_class: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(SPLITS, 0))
    for (label, split), count in Counter((image.label, image.split) for image in images).items():
        by_class[label][split] = count
    untested = [label for label, count in sorted(by_class.items()) if not all(count[name] for name in SPLITS)]
    few = [label for label, count in sorted(by_class.items()) if label not in untested and count["train"] < FEW]
    if untested:
        warnings.append(message("import.warnings.too_small_to_split", count=len(untested), classes=_listed(untested)))
    if few:
        warnings.append(message("import.warnings.few_images", count=len(few), classes=_listed(few), few=FEW))
    extreme = [image.file for image in images if image.width > EXTREME * image.height or image.height > EXTREME * image.width]
    if extreme:
        warnings.append(message("import.warnings.extreme_shape", count=len(extreme), files=_listed(extreme)))
    small = sum(image.width < SMALL and image.height < SMALL for image in images)
    if small:
        warnings.append(message("import.warnings.small_images", count=small, pixels=SMALL))
    return warnings


def _listed(names: Sequence[str], most: int = 8) -> str:
    short = [name if len(name) <= 40 else f"{name[:39]}…" for name in names[:most]]
    return ", ".join(short) + (" …" if len(names) > most else "")
