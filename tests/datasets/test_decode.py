"""Colours and sizes after decoding, worked out by hand."""

import io

import numpy as np
import pytest
from PIL import Image

from transfer_core.decode import MAX_PIXELS, decode
from transfer_core.errors import BadImage
from transfer_core.images import open_image


def saved(image: Image.Image, format: str = "PNG", **how) -> bytes:  # noqa: A002
    buffer = io.BytesIO()
    image.save(buffer, format, **how)
    return buffer.getvalue()


def pixel(data: bytes) -> tuple[int, int, int]:
    return open_image(data).getpixel((0, 0))


def test_transparent_becomes_white_and_half_becomes_half():
    assert pixel(saved(Image.new("RGBA", (4, 4), (0, 0, 0, 0)))) == (255, 255, 255)
    assert pixel(saved(Image.new("RGBA", (4, 4), (255, 0, 0, 128)))) == (255, 127, 127)
    assert pixel(saved(Image.new("LA", (4, 4), (0, 0)))) == (255, 255, 255)
    assert decode(saved(Image.new("RGBA", (4, 4), (9, 9, 9, 255)))).converted == ()


def test_a_transparent_colour_of_a_palette_grey_or_rgb_file_is_white_too():
    assert pixel(saved(Image.new("L", (4, 4), 7), transparency=7)) == (255, 255, 255)
    assert pixel(saved(Image.new("RGB", (4, 4), (1, 2, 3)), transparency=(1, 2, 3))) == (255, 255, 255)
    assert pixel(saved(Image.new("P", (4, 4), 0), transparency=0)) == (255, 255, 255)


@pytest.mark.parametrize(("value", "grey"), [(65535, 255), (32768, 128), (0, 0)])
def test_16_bit_is_scaled_not_clipped(value, grey):
    values = np.array([[value, 65535]], np.uint16)
    decoded = decode(saved(Image.fromarray(values)))
    assert decoded.image.getpixel((0, 0)) == (grey,) * 3
    assert decoded.converted == ("16bit",)


def test_12_bits_in_a_16_bit_file_use_the_whole_range():
    assert pixel(saved(Image.fromarray(np.array([[2048, 4095]], np.uint16)))) == (128, 128, 128)


def test_float_tiff():
    data = saved(Image.fromarray(np.array([[0.5, 1.0, np.nan]], np.float32)), "TIFF")
    assert np.asarray(open_image(data))[0, :, 0].tolist() == [128, 255, 0]


def test_cmyk():
    assert pixel(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100))[0] > 230


@pytest.mark.parametrize("turn", [0, 99])
def test_senseless_orientation_is_ignored(turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    assert decode(saved(Image.new("RGB", (8, 4)), "JPEG", exif=exif)).size == (8, 4)


def test_orientation_6_turns_clockwise_and_swaps_the_size():
    image = Image.new("RGB", (16, 8), "black")
    image.paste("white", (0, 0, 8, 8))  # left half white; turned clockwise it is the upper half
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decode(saved(image, "JPEG", exif=exif, quality=95))
    assert decoded.size == decoded.image.size == (8, 16)
    assert decoded.image.getpixel((4, 2))[0] > 200
    assert decoded.image.getpixel((4, 13))[0] < 50
    assert decoded.converted == ("exif",)


def test_draft_keeps_the_true_size_and_enough_pixels():
    decoded = decode(saved(Image.new("RGB", (3000, 2000)), "JPEG"), draft=320)
    assert decoded.size == (3000, 2000)
    assert min(decoded.image.size) in range(320, 640)


def test_size_is_checked_before_decoding():
    side = int(MAX_PIXELS**0.5) + 1
    with pytest.raises(BadImage) as caught:
        open_image(saved(Image.new("1", (side, side))))
    assert caught.value.code == "too_many_pixels"
    assert "100" in caught.value.message("en")


@pytest.mark.parametrize(("data", "code"), [
    (b"", "empty_file"), (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "lfs_pointer"),
    (b"\n<!DOCTYPE html><html>", "html_page"), (b"hello", "text_file"), (b"\x80\x04\x95\x00\x00", "not_a_picture"),
    (b"\xff\xd8\xff\xe0", "truncated_image"), (b"%!PS-Adobe-3.0 EPSF-3.0\n", "drawing_file"),
    (b"%PDF-1.7\n%\xe2\xe3", "drawing_file"), (b"<?xml version='1.0'?>\n<svg xmlns='x'>", "drawing_file")])
def test_what_it_is_instead(data, code):
    for source in (data, io.BytesIO(data)):
        with pytest.raises(BadImage) as caught:
            open_image(source)
        assert caught.value.code == code
        assert caught.value.hint("zh")


def test_path_bytes_and_stream_give_the_same(tmp_path):
    data = saved(Image.new("RGB", (5, 4), (1, 2, 3)))
    (tmp_path / "x").write_bytes(data)
    assert pixel(data) == open_image(tmp_path / "x").getpixel((0, 0)) == open_image(io.BytesIO(data)).getpixel((0, 0))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000"])
def test_damaged_bytes_never_raise_anything_else(format):  # noqa: A002
    data = bytearray(saved(Image.effect_noise((64, 64), 60).convert("RGB"), format))
    random = np.random.default_rng(0)
    for _ in range(40):
        broken = bytearray(data)
        for place in random.integers(0, len(data), 12):
            broken[place] = random.integers(256)
        try:
            assert open_image(bytes(broken[: random.integers(1, len(data))])).mode == "RGB"
        except BadImage as error:
            assert error.message()
