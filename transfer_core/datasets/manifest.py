"""A manifest: the list of images that one dataset version holds. Written once, one JSON object a line, never changed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from transfer_core.paths import Home, replacing

Split = Literal["train", "validation", "test", "left_out"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
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

    def write(self, home: Home) -> Path:
        path = home.manifest(self.dataset, self.version)
        with replacing(path) as part:
            part.write_text("".join(json.dumps(asdict(image), ensure_ascii=False) + "\n" for image in self.images), "utf-8")
        return path

    @classmethod
    def read(cls, home: Home, dataset: str, version: int) -> Manifest:
        with home.manifest(dataset, version).open(encoding="utf-8") as lines:
            return cls(dataset, version, tuple(_image(json.loads(line)) for line in lines))

    @classmethod
    def of_images(cls, dataset: str, version: int, images: Iterable[Image]) -> Manifest:
        return cls(dataset, version, tuple(images))


def _image(fields: dict) -> Image:
    return Image(**{**fields, "converted": tuple(fields["converted"])})
