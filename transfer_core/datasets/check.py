"""One picture at import: really decoded, hashed, and a thumbnail made. Runs in threads (Pillow lets go of the interpreter)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from transfer_core.decode import decode
from transfer_core.errors import BadImage
from transfer_core.paths import Home, replacing

THUMBNAIL = 320
"""Pixels of the longer side of a thumbnail."""
SMALLEST = 4
"""Pixels of the longer side below which nothing can be learned."""
SIGNATURE = 16
"""Side in pixels of the grey miniature that confirms a near-duplicate."""


@dataclass(frozen=True, slots=True)
class Checked:
    sha256: str
    width: int
    height: int
    perceptual_hash: str
    converted: tuple[str, ...]
    signature: bytes
    """Grey miniature, 16 × 16 uint8."""


def check(data: bytes, home: Home) -> Checked:
    """Raises `BadImage`. Writes the original bytes and the thumbnail under their hash; both may be there already."""
    decoded = decode(data, draft=THUMBNAIL)
    width, height = decoded.size
    if max(width, height) < SMALLEST:
        raise BadImage("tiny_image", width=width, height=height)
    sha256 = hashlib.sha256(data).hexdigest()
    small = decoded.image
    if max(small.size) > THUMBNAIL:
        small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC, reducing_gap=2.0)
    _store(home, sha256, data, small)
    grey = small.convert("L")
    miniature = grey.resize((SIGNATURE, SIGNATURE), Image.Resampling.BOX)
    return Checked(sha256, width, height, phash(grey), decoded.converted, miniature.tobytes())


def _store(home: Home, sha256: str, data: bytes, small: Image.Image) -> None:
    """They are forced to the disk all at once, before the list that names them is written (`Manifest.write`)."""
    original, thumbnail = home.image(sha256), home.thumbnail(sha256)
    if not original.exists():
        with replacing(original, lasting=False) as part:
            part.write_bytes(data)
    if not thumbnail.exists():
        with replacing(thumbnail, lasting=False) as part:
            small.save(part, "WEBP", quality=80, method=1)  # method 4, the default, takes three times as long


def phash(grey: Image.Image) -> str:
    """64-bit perceptual hash: signs of the 8 × 8 lowest frequencies around their median, in hex (= `imagehash.phash`)."""
    pixels = np.asarray(grey.resize((32, 32), Image.Resampling.LANCZOS), dtype=np.float64)
    low = (_dct() @ pixels @ _dct().T)[:8, :8]
    bits = (low > np.median(low)).flatten()
    return f"{int(''.join('1' if bit else '0' for bit in bits), 2):016x}"


@cache
def _dct(size: int = 32) -> np.ndarray:
    """Matrix of the type-II discrete cosine transform, unscaled as in SciPy."""
    k, n = np.mgrid[:size, :size]
    return 2 * np.cos(np.pi * k * (2 * n + 1) / (2 * size))
