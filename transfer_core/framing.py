"""What of a photo a model sees, in sizes and boxes only: timm's evaluation geometry, rounding for rounding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transfer_core.images import Preprocessing

Size = tuple[int, int]
"""Width and height in pixels, as Pillow gives them."""


@dataclass(frozen=True)
class Frame:
    """How a photo becomes what the model sees: `kept` of it is resized to `size`, and the middle taken."""

    kept: tuple[int, int, int, int]
    """Left, top, right, bottom in the photo's pixels."""
    size: Size


def frame_of(photo: Size, how: Preprocessing) -> Frame:
    """For an upright photo of this width and height."""
    height, width = how.size
    scaled = (math.floor(height / how.crop_share), math.floor(width / how.crop_share))
    if how.crop_mode == "squash":
        return Frame((0, 0, *photo), (scaled[1], scaled[0]))
    if how.crop_mode == "border":
        return Frame((0, 0, *photo), _keeping_ratio(photo, scaled, longest=True))
    kept = _without_ends(photo, scaled)
    wide, high = kept[2] - kept[0], kept[3] - kept[1]
    if scaled[0] != scaled[1]:
        return Frame(kept, _keeping_ratio((wide, high), scaled, longest=False))
    # A square target: torchvision's `Resize` sets the shorter edge exactly and rounds the longer one down.
    longer = int(scaled[0] * max(wide, high) / min(wide, high))
    return Frame(kept, (scaled[0], longer) if wide <= high else (longer, scaled[0]))


def seen(photo: Size, how: Preprocessing) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of what the model sees, in the photo's pixels; outside of it where a border was added."""
    frame, (height, width) = frame_of(photo, how), how.size
    across = _side(frame.size[0], width, frame.kept[0], frame.kept[2])
    down = _side(frame.size[1], height, frame.kept[1], frame.kept[3])
    return across[0], down[0], across[1], down[1]


def _side(there: int, wanted: int, start: int, end: int) -> tuple[float, float]:
    """Along one edge: the middle `wanted` of `there` pixels, with a border where there are fewer."""
    added = max(0, wanted - there) // 2
    first = round((max(there, wanted) - wanted) / 2) - added
    scale = (end - start) / there
    return start + first * scale, start + (first + wanted) * scale


_LARGEST = 16_000_000
"""Pixels of a resized image above which its ends, which the crop throws away anyway, are cut off first:
4000 × 3 would become 341,333 × 256, which is 262 MB."""


def _without_ends(photo: Size, scaled: Size) -> tuple[int, int, int, int]:
    """`scaled` is a height and a width, as models give them."""
    ratio = min(photo[1] / scaled[0], photo[0] / scaled[1])
    if photo[0] * photo[1] / ratio**2 <= _LARGEST:
        return 0, 0, *photo
    # Twice what the crop keeps, and 16 pixels for the filter's reach.
    width = min(photo[0], math.ceil(2 * scaled[1] * ratio) + 16)
    height = min(photo[1], math.ceil(2 * scaled[0] * ratio) + 16)
    left, top = (photo[0] - width) // 2, (photo[1] - height) // 2
    return left, top, left + width, top + height


def _keeping_ratio(photo: Size, scaled: Size, longest: bool) -> Size:
    """Width and height with one factor for both edges, so that the longer (or shorter) one reaches its target."""
    ratios = (photo[1] / scaled[0], photo[0] / scaled[1])
    ratio = max(ratios) if longest else min(ratios)
    return max(1, round(photo[0] / ratio)), max(1, round(photo[1] / ratio))
