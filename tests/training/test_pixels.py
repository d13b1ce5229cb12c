"""Photos decoded once: the same epochs, from rows instead of files, and the plain way where rows cannot be had."""

from __future__ import annotations

import errno
import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture
from safetensors.torch import load_file

from transfer_core.activations import Entry, Shelf
from transfer_core.datasets.manifest import Image
from transfer_core.events import Epoch, Progressed
from transfer_core.images import Preprocessing
from transfer_core.training import pipeline
from transfer_core.training.fit import fit
from transfer_core.training.pipeline import ImageInputs
from transfer_core.training.pixels import KeptInputs, keep_pixels

HOW = Preprocessing(size=(32, 24))


def photo(home, number: int, width: int, height: int, turn: int = 0) -> Image:
    """A colourful photo with a bright corner, saved as JPEG; `turn`: the EXIF orientation it is written with."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    picture = Picture.fromarray(np.stack([x, y, np.full_like(x, 20 * number)], -1).astype(np.uint8))
    picture.paste((255, 255, 255), (0, 0, width // 8, height // 8))
    exif = Picture.Exif()
    if turn:
        exif[0x0112] = turn
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=95, exif=exif)
    sha256 = hashlib.sha256(stream.getvalue()).hexdigest()
    home.image(sha256).write_bytes(stream.getvalue())
    return Image(sha256, f"{number}.jpg", "ab"[number % 2], "train", number, *((height, width) if turn >= 5 else (width, height)))


@pytest.fixture
def photos(home) -> list[Image]:
    return [photo(home, 1, 300, 200), photo(home, 2, 200, 300), photo(home, 3, 301, 199, turn=6), photo(home, 4, 280, 210)]


def made(photos, home, level="none") -> ImageInputs:
    return replace(ImageInputs.of(photos, ["a", "b"], home, HOW), augmentation=level, flip=True)


def kept(inputs, home, epochs=10):
    """What `keep_pixels` returns for one split, and its events."""
    work, events = keep_pixels([inputs], epochs, home), []
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return end.value[0], events


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    seen: list[int] = []
    path = ImageInputs.path
    monkeypatch.setattr(ImageInputs, "path", lambda self, place: (seen.append(place), path(self, place))[1])
    return seen


def test_an_image_as_it_is_keeps_every_bit(photos, home, decoded):
    split = made(photos, home)
    rows, events = kept(split, home)
    assert [event.stage for event in events] == ["photos"]
    plain = [split.plain(place) for place in range(4)]
    decoded.clear()
    assert all(np.array_equal(rows.plain(place), plain[place]) for place in range(4))
    assert not decoded


@pytest.mark.parametrize("level", ["light", "medium", "strong"])
def test_a_varied_view_is_the_one_of_the_file_up_to_resampling(photos, home, decoded, level):
    split = made(photos, home, level)
    rows, _ = kept(split, home)
    assert isinstance(rows, KeptInputs)
    for place in range(4):
        for seed in range(5):
            one, other = (inputs.varied(place, np.random.default_rng(seed)) for inputs in (rows, split))
            assert np.abs(one - other).mean() < 0.1  # of a range of 4; another crop, mirroring or turning differs by 0.5
    assert np.abs(rows.varied(0, np.random.default_rng(0)) - split.varied(1, np.random.default_rng(0))).mean() > 0.2


def test_what_is_there_is_not_decoded_again_however_it_is_varied(photos, home, decoded):
    kept(made(photos[:3], home, "light"), home)
    decoded.clear()
    assert kept(made(photos[:3], home, "strong"), home)[1] == []
    assert not decoded


def test_small_files_are_decoded_as_fast_as_rows_are_read(home):
    small = [photo(home, number, 50, 40) for number in range(3)]
    split = made(small, home, "light")
    assert kept(split, home)[0] is split
    assert isinstance(kept(made(small, home), home)[0], KeptInputs)  # as they are evaluated they need no room


def test_no_room_is_no_harm(photos, home, monkeypatch):
    split = made(photos, home)
    monkeypatch.setenv("TRANSFER_STUDIO_CACHE_BYTES", str(2 * 4 * 32 * 24 * 3))  # twice the pixels; not yet with their digests
    assert kept(split, home)[0] is split
    assert not list(Shelf(home)) or all(not stored.images for stored in Shelf(home))


def test_a_full_disk_is_no_harm(photos, home, monkeypatch):
    def full(self, images, tensors):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Entry, "append", full)
    split = made(photos, home, "light")
    assert kept(split, home)[0] is split


def test_the_same_curve_bit_for_bit_and_each_file_opened_once(recipe, manifest, home, tmp_path, decoded):
    runs = {}
    for cache in (True, False):
        decoded.clear()
        events = list(fit(recipe.but(epochs=3), manifest, home, tmp_path / str(cache), device="cpu", cache=cache))
        runs[cache] = events, len(decoded)
    (short, opened), (long, opened_long) = runs[True], runs[False]
    assert (opened, opened_long) == (36, 3 * 36 + 2 + 12)  # the folding is tried on two, the meter begins with 12
    assert [event.done for event in short if isinstance(event, Progressed) and event.stage == "photos"][-1] == 36
    for one, other in zip(*([event for event in run if isinstance(event, Epoch)] for run in (short, long)), strict=True):
        assert (one.train, one.validation, one.confusion) == (other.train, other.validation, other.confusion)
    one, other = (load_file(tmp_path / str(cache) / "model.safetensors") for cache in (True, False))
    assert all(np.array_equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize(("level", "least"), [("none", 2), ("light", 5)])
def test_few_epochs_read_the_files(photos, home, level, least):
    split = made(photos, home, level)
    assert kept(split, home, least - 1) == (split, [])
    assert isinstance(kept(split, home, least)[0], KeptInputs)


def test_threads_read_rows_side_by_side(photos, home, monkeypatch):
    rows, _ = kept(made(photos, home, "light"), home)
    several = [batch[0] for batch in rows.batches([[0, 1], [2, 3]], 1)]
    monkeypatch.setattr(pipeline, "threads", lambda: 1)
    alone = [batch[0] for batch in rows.batches([[0, 1], [2, 3]], 1)]
    assert all(np.array_equal(one, other) for one, other in zip(several, alone, strict=True))
