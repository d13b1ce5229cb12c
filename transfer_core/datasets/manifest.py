"""A manifest: the list of images that one dataset version holds. Written once, one JSON object a line, never changed."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Literal

from transfer_core import depot
from transfer_core.paths import Home, replacing

Split = Literal["train", "validation", "test", "left_out"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Image:
    """One labelled image. Its bytes lie in the home under their hash; `file` is only the name it came with."""

    sha256: str
    file: str
    label: str
    split: Split
    group: int
    """Images of one group (duplicates, near-duplicates) never straddle a split."""
    width: int
    height: int
    """Upright, in pixels."""
    perceptual_hash: str = ""
    """64-bit pHash in hex (imagehash.phash)."""
    converted: tuple[str, ...] = ()
    """What had to be done to see it as RGB: "exif", "palette", "cmyk", "16bit", "alpha", "animated", "heic", …"""
    domain: str = ""
    """Second folder level, where a dataset has one (photo / sketch / …)."""

    def but(self, **changes: object) -> Image:
        return replace(self, **changes)


@dataclass(frozen=True)
class Manifest:
    dataset: str
    version: int
    images: tuple[Image, ...]

    @property
    def classes(self) -> list[str]:
        """Class names in the order every model of this dataset uses: sorted, fixed at import."""
        return sorted({image.label for image in self.images})

    def of(self, split: Split) -> list[Image]:
        return [image for image in self.images if image.split == split]

    def counts(self) -> dict[str, int]:
        return dict(sorted(Counter(image.label for image in self.images).items()))

    def write(self, home: Home, base: Manifest | None = None) -> Path:
        """`base`: a version on disk from which images were taken over as they are. Their lines are copied: to make 30,000 anew
        takes 400 ms, to copy them 20."""
        path = home.manifest(self.dataset, self.version)
        known = {} if base is None else base._lines(home)
        if base is None:
            os.sync()  # the pictures of an import: one wait instead of one for each
        with replacing(path) as part:
            with part.open("wb") as file:
                file.writelines(known.get(id(image)) or _line(image) for image in self.images)
            if depot.is_on():  # before anybody is told of it: whoever is told may be elsewhere
                from transfer_core.depot import things

                # And before it lies here: a list nobody else got must not be taken for that which another machine then makes.
                things.push_dataset(home, path, part.read_bytes(), () if base else [image.sha256 for image in self.images])
        _keep(path, self)
        return path

    def _lines(self, home: Home) -> dict[int, bytes]:
        """By the identity of the images: equal objects are not needed, the very same ones go from version to version."""
        lines = home.manifest(self.dataset, self.version).read_bytes().splitlines(keepends=True)
        return dict(zip(map(id, self.images), lines, strict=True))

    @classmethod
    def read(cls, home: Home, dataset: str, version: int) -> Manifest:
        """What was read or written lately is kept in memory: 30,000 images take 0.2 s to read and 15 MB to keep."""
        path = home.manifest(dataset, version)
        if depot.is_on():
            from transfer_core.depot.looking import bring

            bring(home, "datasets", dataset, path.name)
        if kept := _kept(path):
            return kept
        with path.open(encoding="utf-8", newline="\n") as lines:
            manifest = cls(dataset, version, tuple(_image(json.loads(line)) for line in lines))
        _keep(path, manifest)
        return manifest

    @classmethod
    def of_images(cls, dataset: str, version: int, images: Iterable[Image]) -> Manifest:
        return cls(dataset, version, tuple(images))


_FIELDS = tuple(field.name for field in fields(Image))
_values = attrgetter(*_FIELDS)
_encode = json.JSONEncoder(ensure_ascii=False).encode


def _line(image: Image) -> bytes:
    return (_encode(dict(zip(_FIELDS, _values(image), strict=True))) + "\n").encode()


def _image(found: dict) -> Image:
    for name in ("label", "split", "domain"):
        if name in found:
            found[name] = sys.intern(found[name])  # a few names, thousands of times
    found["converted"] = tuple(found["converted"])
    return Image(**found)


# What is kept in memory, the latest used last. A manifest's file never changes; its stamp is looked at all the same.

_MOST_IMAGES = 150_000
"""Of all kept manifests together; one is kept whatever its size."""
_memory: OrderedDict[Path, tuple[tuple[int, int], Manifest]] = OrderedDict()
_memory_lock = threading.Lock()


def _stamp(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_size


def _kept(path: Path) -> Manifest | None:
    with _memory_lock:
        stamp, manifest = _memory.get(path, (None, None))
        if manifest is None or stamp != _stamp(path):
            return None
        _memory.move_to_end(path)
        return manifest


def _keep(path: Path, manifest: Manifest) -> None:
    stamp = _stamp(path)
    with _memory_lock:
        _memory[path] = (stamp, manifest)
        _memory.move_to_end(path)
        while len(_memory) > 1 and sum(len(kept.images) for _, kept in _memory.values()) > _MOST_IMAGES:
            _memory.popitem(last=False)


def spread(images: Sequence[Image], most: int) -> list[Image]:
    """At most so many images, every class in its proportion, those with the smallest content hash: the same in each version."""
    if len(images) <= most:
        return list(images)
    counts, ranks = Counter(image.label for image in images), Counter()
    placed = []
    for image in sorted(images, key=lambda image: image.sha256):
        placed.append(((ranks[image.label] + 0.5) / counts[image.label], image.sha256, image))
        ranks[image.label] += 1
    return [image for _, _, image in sorted(placed, key=lambda entry: entry[:2])[:most]]
