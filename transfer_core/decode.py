"""Any picture file of a stranger → an upright RGB image, or a `BadImage` that says why not.

The size a file claims is checked before a pixel is decoded; only formats people really send are tried (Pillow knows
forty, some of which start other programs). What had to be done on the way is kept, so that it can be reported.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from transfer_core.errors import BadImage

MAX_PIXELS = 100_000_000
"""An image that claims more is refused before it is decoded (100 megapixels are 300 MB as RGB)."""
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "HEIF", "JPEG2000", "TIFF", "BMP", "DIB", "PPM", "ICO")

# Formats a browser or an old program may not show: worth a word in the report.
_REPORTED = {"HEIF": "heic", "AVIF": "avif", "WEBP": "webp", "JPEG2000": "jpeg2000", "TIFF": "tiff"}
_TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
          5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
          8: Image.Transpose.ROTATE_90}
_ORIENTATION = 0x0112
# White ends of the bit depths that cameras, scanners and microscopes write into 16-bit files: 8, 10, 12, 14, 16.
_WHITES = (255, 1023, 4095, 16383, 65535)


@dataclass(frozen=True)
class Decoded:
    image: Image.Image
    """RGB, upright."""
    size: tuple[int, int]
    """Width and height of the upright original; `image` may be smaller when a draft was asked for."""
    converted: tuple[str, ...]
    """What had to be done: "exif", "palette", "cmyk", "16bit", "float", "alpha", "animated", "heic", …"""


def decode(source: Path | bytes | BinaryIO, draft: int | None = None) -> Decoded:
    """Open, check, decode, turn upright, convert to RGB.

    `draft`: decode a JPEG at a reduced scale (1/2, 1/4, 1/8) whose sides are still at least this many pixels. The
    whole file is read all the same, so damage is found; a 24-megapixel photo takes a third of the time.
    Raises `BadImage`: `empty_file lfs_pointer html_page drawing_file text_file not_a_picture too_many_pixels truncated_image
    damaged_image`.
    """
    _prepare()
    try:
        with Image.open(_stream(source), formats=FORMATS) as image:
            return _decode(image, draft)
    except BadImage:
        raise
    except UnidentifiedImageError:
        raise BadImage(_what_else(source)) from None
    except Image.DecompressionBombError as error:  # Pillow's own limit: twice ours, seen a moment earlier
        pixels = int(re.search(r"\d+", str(error))[0])
        raise BadImage("too_many_pixels", megapixels=round(pixels / 1e6), most=MAX_PIXELS // 10**6) from None
    except Exception as error:  # decoders raise anything on damaged bytes: OSError, SyntaxError, struct.error, …
        cut = "truncated" in str(error).lower()
        raise BadImage("truncated_image" if cut else "damaged_image", detail=str(error)[:200]) from error


@cache
def _prepare() -> None:
    from pillow_heif import register_heif_opener  # only where images are opened

    register_heif_opener()
    # Pillow warns above its own limit; ours is checked by hand just after opening.
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def _stream(source: Path | bytes | BinaryIO) -> Path | BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _decode(image: Image.Image, draft: int | None) -> Decoded:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadImage("too_many_pixels", megapixels=round(width * height / 1e6), most=MAX_PIXELS // 10**6)
    done = [_REPORTED[image.format]] if image.format in _REPORTED else []
    if image.format not in ("JPEG", "MPO") and _animated(image):
        done.append("animated")
    if draft and image.format in ("JPEG", "MPO") and min(width, height) >= 2 * draft:
        image.draft(None, (draft, draft))
    image.load()
    turn = _orientation(image)
    picture = _rgb(image, done)
    if turn:
        done.append("exif")
        picture = picture.transpose(_TURNS[turn])
        if turn >= 5:
            width, height = height, width
    return Decoded(picture, (width, height), tuple(dict.fromkeys(done)))


def _animated(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001 — a damaged second frame does not matter: only the first is used
        return True


def _orientation(image: Image.Image) -> int | None:
    """2 to 8 when the camera was held otherwise than the pixels lie; 0, 1, 99 and broken EXIF mean nothing."""
    try:
        turn = image.getexif().get(_ORIENTATION)
    except Exception:  # noqa: BLE001 — a picture with a broken EXIF block is still a picture
        return None
    return turn if turn in _TURNS else None


def _rgb(image: Image.Image, done: list[str]) -> Image.Image:
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image  # its pixels stay when the file is closed
    if mode in ("P", "PA"):
        done.append("palette")
    if mode == "CMYK":
        done.append("cmyk")
    if mode == "F":
        done.append("float")
        return _scaled(np.asarray(image), whites=(1, 255))
    if mode.startswith("I"):
        done.append("16bit")
        return _scaled(np.asarray(image).astype(np.float32))
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _on_white(image.convert("RGBA"), done)
    return image.convert("RGB")


def _on_white(image: Image.Image, done: list[str]) -> Image.Image:
    """Transparent parts become white: what people see in a viewer, and not the hidden (often black) colour below."""
    if image.getextrema()[3][0] == 255:
        return image.convert("RGB")
    done.append("alpha")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")


def _scaled(values: np.ndarray, whites: tuple[int, ...] = _WHITES) -> Image.Image:
    """16-bit integers or floats → 8 bits. `convert("RGB")` alone would clip everything above 255 to white."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if low < 0 or high > whites[-1]:
        scaled = (values - low) / ((high - low) or 1)
    else:
        scaled = values / next(white for white in whites if high <= white)
    return Image.fromarray((255 * scaled + 0.5).astype(np.uint8)).convert("RGB")


def _what_else(source: Path | bytes | BinaryIO) -> str:
    """What a file that is no picture is instead, from its first bytes."""
    head = _head(source)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "empty_file"
    if text.startswith(b"version https://git-lfs"):
        return "lfs_pointer"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "html_page"
    if text.startswith((b"%pdf", b"%!ps", b"<svg")) or (text.startswith((b"<?xml", b"<!--")) and b"<svg" in text):
        return "drawing_file"
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8")):
        return "damaged_image" if len(head) > 100 else "truncated_image"
    if b"\x00" not in head and sum(byte < 9 or 13 < byte < 32 for byte in head) == 0:
        return "text_file"
    return "not_a_picture"


def _head(source: Path | bytes | BinaryIO, count: int = 512) -> bytes:
    if isinstance(source, bytes):
        return source[:count]
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(count)
    source.seek(0)
    return source.read(count)
