"""Example datasets, drawn at first use: nothing to download, free to ship, the same on every machine for a seed.

    for event in make_example("leaves", folder):
        print(event.done, "of", event.total)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from transfer_core.events import Event, Progressed
from transfer_core.examples.registry import EXAMPLES
from transfer_core.paths import replacing

__all__ = ["EXAMPLES", "make_example"]


def make_example(name: str, folder: Path, images_per_class: int | None = None, seed: int = 0) -> Iterator[Event]:
    """Draw the example `name` into `folder/<class>/<nnn>.jpg`; `Progressed` (stage `drawing`) after every picture.

    `images_per_class` defaults to the entry's own number and is capped where an example has no more. The classes take
    turns, so that a drawing that was stopped is still balanced; what is there already is drawn over.
    Raises `BadRecipe` for a name that is not registered, `ValueError` for fewer than one picture.
    """
    example = EXAMPLES[name]
    facts = example.facts
    count = facts["images_per_class"] if images_per_class is None else images_per_class
    if count < 1:
        raise ValueError(f"images_per_class must be at least 1, not {count}")
    count = min(count, facts["most"] or count)
    return _drawn(example, Path(folder), count, seed)


def _drawn(example, folder: Path, count: int, seed: int) -> Iterator[Event]:
    classes = example.facts["classes"]
    total = count * len(classes)
    yield Progressed(stage="drawing", done=0, total=total)
    for number in range(count):
        for k, label in enumerate(classes):
            with replacing(folder / label / f"{number:03d}.jpg", lasting=False) as part:
                example(label, number, seed).save(part, "JPEG", quality=90)
            yield Progressed(stage="drawing", done=number * len(classes) + k + 1, total=total)
