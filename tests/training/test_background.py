"""Photos whose middle decides, whose border does, or both: the check must tell which."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
import torch
from drawn_colours import COLOURS
from events_of import ended
from PIL import Image as Picture
from test_starts import hashes

from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.errors import NotFound
from transfer_core.events import Progressed
from transfer_core.training.explain import background
from transfer_core.training.explain.background import CENTRE, masked, verdict
from transfer_core.training.fit import fit

SIDE, RING = 64, 9
"""The ring lies outside and the middle 36 × 36 inside of what is hidden: the view is the middle 61, the square in it 43."""


def draw(home, label: str, number: int, split: str, where: str) -> Image:
    chance = np.random.default_rng((number, *COLOURS[label]))
    pixels = chance.integers(0, 256, (SIDE, SIDE, 3))
    coloured = np.array(COLOURS[label]) + chance.integers(-30, 30, pixels.shape)
    middle, ring = np.zeros((SIDE, SIDE), bool), np.ones((SIDE, SIDE), bool)
    middle[14:-14, 14:-14] = True
    ring[RING:-RING, RING:-RING] = False
    region = {"centre": middle, "border": ring, "both": middle | ring}[where]
    pixels[region] = coloured[region]
    stream = io.BytesIO()
    Picture.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "PNG")
    sha256 = hashlib.sha256(stream.getvalue()).hexdigest()
    home.image(sha256).write_bytes(stream.getvalue())
    return Image(sha256, f"{label}/{number}.png", label, split, number, SIDE, SIDE)


@pytest.fixture
def measured(home, recipe):
    """Trains on photos whose colour is in this part of them, and asks."""
    def on(where: str, test: int = 12, epochs: int = 5):
        splits = ["train"] * 16 + ["validation"] * 4 + ["test"] * test
        images = [draw(home, label, number, split, where) for label in COLOURS for number, split in enumerate(splits)]
        manifest, folder = Manifest.of_images("colours", 1, images), home.run("r" * 32)
        list(fit(recipe.but(image_size=64, epochs=epochs), manifest, home, folder, device="cpu"))
        before = hashes(folder)
        events, found = ended(background(folder, manifest, home, device="cpu"))
        assert hashes(folder) == before
        return events, found

    return on


@pytest.mark.parametrize(("where", "code", "reason"), [
    ("border", "looks_at_background", "border_suffices"), ("centre", "looks_at_object", "centre_suffices"),
])
def test_where_the_classes_differ_is_where_it_looks(measured, where, code, reason):
    events, found = measured(where)
    assert (found["verdict"], found["reason"]) == (code, reason)
    assert (found["split"], found["n"], found["baseline"], found["centre"]) == ("test", 36, pytest.approx(1 / 3), CENTRE)
    with_it, without = ("centre_hidden", "centre_only") if where == "border" else ("centre_only", "centre_hidden")
    assert found["full"]["accuracy"] > 0.9 and found[with_it]["accuracy"] > 0.8 and found[without]["accuracy"] < 0.7
    assert found[without]["change"]["lost"] > found[without]["change"]["gained"] and found[without]["change"]["different"]
    for way in ("full", "centre_hidden", "centre_only"):
        assert found[way]["low"] <= found[way]["accuracy"] <= found[way]["high"]
        assert found[way]["accuracy"] == found[way]["correct"] / 36
    progress = [event for event in events if isinstance(event, Progressed)]
    assert [event.done for event in progress] == [0, 32, 36] and {event.stage for event in progress} == {"background"}


def test_few_photos_and_a_model_that_knows_nothing(measured):
    assert measured("centre", test=4, epochs=1)[1]["reason"] == "few_photos"


def test_without_test_photos_validation_is_asked(measured):
    _, found = measured("centre", test=0, epochs=1)
    assert (found["split"], found["n"], found["verdict"]) == ("validation", 12, "cannot_tell")


def test_nothing_to_measure_on_and_no_model(measured, home, tmp_path):
    measured("centre", test=0, epochs=1)
    with pytest.raises(NotFound) as error:
        ended(background(home.run("r" * 32), Manifest.of_images("colours", 1, []), home, device="cpu"))
    assert error.value.code == "no_split"
    with pytest.raises(NotFound):
        ended(background(tmp_path, Manifest.of_images("colours", 1, []), home, device="cpu"))


def scores(n: int, full: int, hidden: int, only: int, baseline: float) -> dict:
    from transfer_core.training.explain.background import _score

    before = [number < full for number in range(n)]
    counted = {"full": before} | {way: [number < right for number in range(n)]
                                  for way, right in (("centre_hidden", hidden), ("centre_only", only))}
    return {way: _score(right, before, baseline, list(range(n))) for way, right in counted.items()}


@pytest.mark.parametrize(("n", "full", "hidden", "only", "baseline", "reason"), [
    (29, 29, 29, 10, 0.5, "few_photos"),
    (100, 95, 86, 50, 0.5, "border_suffices"),  # (0.86 − 0.5) / 0.45 = 0.8
    (100, 95, 85, 50, 0.5, "both_needed"),  # 0.78: neither part is enough
    (100, 95, 90, 90, 0.5, "either_suffices"),
    (100, 95, 70, 90, 0.5, "centre_suffices"),
    (100, 59, 58, 58, 0.5, "no_lead"),  # 59 of 100 may be a coin: 49 to 68
    (30, 30, 27, 12, 0.8, "both_needed"),  # 0.9 keeps only half of the lead
    (400, 368, 364, 160, 0.85, "border_suffices"),  # 0.06 of 0.07
    (100, 92, 91, 40, 0.9, "no_lead"),
    (40, 32, 29, 32, 0.5, "both_needed"),  # 0.75 of the lead, but three photos may be chance
])
def test_the_rule(n, full, hidden, only, baseline, reason):
    assert verdict(scores(n, full, hidden, only, baseline), n, baseline)[1] == reason


@pytest.mark.parametrize("size", [(32, 32), (224, 224), (31, 45)])
def test_what_is_hidden_leaves_no_trace(size):
    images = torch.randn(2, 3, *size)
    plain, hidden, only = masked(images)
    assert plain is images
    covered, kept = (hidden != images).all(1), (only == images).all(1)
    assert torch.equal(covered, kept), "what one hides is what the other shows"
    assert kept[0].float().mean() == pytest.approx(0.5, abs=0.04), "each half of the area"
    other = torch.where(covered[:, None], torch.randn_like(images), images)
    assert torch.equal(masked(other)[1], hidden), "another middle under the cover changes nothing"
    assert not torch.equal(masked(other)[2], only)
    rows, columns = np.nonzero(covered[0].numpy())
    assert abs(rows.min() + rows.max() + 1 - size[0]) <= 1 and abs(columns.min() + columns.max() + 1 - size[1]) <= 1
    torch.testing.assert_close(hidden[0, :, covered[0]].mean(1), images[0, :, ~covered[0]].mean(1))
