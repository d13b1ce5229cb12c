"""Batches: the right pixels, the right order, the same chance whoever draws it, and flat memory."""

from __future__ import annotations

import threading
from collections import Counter
from itertools import chain

import numpy as np
import pytest
import torch
from drawn_colours import drawn
from PIL import Image as Picture

from transfer_core.images import Preprocessing, open_image, preprocess
from transfer_core.recipe import Recipe
from transfer_core.training import pipeline
from transfer_core.training.augment import vary
from transfer_core.training.optim import schedule
from transfer_core.training.pipeline import ImageInputs, class_weights, in_order, shuffled

HOW = Preprocessing(size=(32, 24))
LABELS = torch.tensor([0] * 9 + [1] * 3)


def inputs(home, level="none", seed=0, split="train") -> ImageInputs:
    data = drawn(home)
    recipe = Recipe(dataset="x", augmentation=level, seed=seed) if level != "none" else None
    return ImageInputs.of(data.of(split), data.classes, home, HOW, recipe)


def test_evaluation_sees_exactly_what_predict_sees(home):
    split = inputs(home)
    images, labels = next(split.batches([[3, 0]], epoch=5))
    expected = [preprocess(open_image(home.image(split.images[index].sha256)), HOW) for index in (3, 0)]
    assert np.array_equal(images.numpy(), np.stack(expected))
    assert labels.tolist() == [split.labels[3], split.labels[0]]
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64


@pytest.mark.parametrize("level", ["light", "medium", "strong"])
def test_views_depend_on_seed_epoch_and_image_alone(home, level, monkeypatch):
    one = next(inputs(home, level).batches([[0, 1, 2]], epoch=1))[0]
    monkeypatch.setattr(pipeline, "threads", lambda: 1)
    again = list(inputs(home, level).batches([[2], [1], [0]], epoch=1))
    assert torch.equal(one, torch.cat([again[2][0], again[1][0], again[0][0]]))
    assert not torch.equal(one, next(inputs(home, level).batches([[0, 1, 2]], epoch=2))[0])
    assert not torch.equal(one, next(inputs(home, level, seed=1).batches([[0, 1, 2]], epoch=1))[0])
    assert one.shape == (3, 3, 32, 24)


def half_red() -> Picture.Image:
    picture = Picture.new("RGB", (64, 64), (0, 0, 255))
    picture.paste((255, 0, 0), (0, 0, 32, 64))
    return picture


def test_flip_only_where_asked():
    how = Preprocessing(size=(32, 32))

    def red_on_the_right(flip: bool) -> int:
        views = (np.asarray(vary(half_red(), how, "light", flip, np.random.default_rng(n))) for n in range(60))
        return sum(int(view[16, -1, 0]) > int(view[16, 0, 0]) for view in views)

    assert red_on_the_right(False) == 0
    assert 15 < red_on_the_right(True) < 45


def test_a_light_view_shows_at_least_half_the_image():
    """On a ramp from 0 to 255 the range of grey is the share of the width; width × height shares ≥ ½ of the area."""
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    picture = Picture.fromarray(np.stack([ramp, ramp.T, ramp], -1))
    how, shares = Preprocessing(size=(64, 64), interpolation="bilinear"), []
    for seed in range(100):
        view = np.asarray(vary(picture, how, "light", False, np.random.default_rng(seed))).astype(float)
        shares.append(np.ptp(view[..., 0]) * np.ptp(view[..., 1]) / 255**2)
    assert min(shares) > 0.44  # ½, less what interpolation and clipping at the border take
    assert max(shares) > 0.8


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (3, 3)])
def test_odd_shapes_survive_every_level(size):
    for level in ("light", "medium", "strong"):
        for seed in range(20):
            view = vary(Picture.new("RGB", size, (9, 9, 9)), HOW, level, True, np.random.default_rng(seed))
            assert (view.size, view.mode) == ((24, 32), "RGB")


def test_an_epoch_sees_every_image_once_in_another_order():
    one, other = shuffled(LABELS, 5, 0, 1, False), shuffled(LABELS, 5, 0, 2, False)
    assert sorted(chain(*one)) == sorted(chain(*other)) == list(range(12))
    assert one != other
    assert one == shuffled(LABELS, 5, 0, 1, False)
    assert [len(batch) for batch in one] == [5, 5, 2]


def test_a_last_batch_of_one_is_left_out_unless_it_is_all():
    assert [len(batch) for batch in shuffled(LABELS[:11], 5, 0, 1, False)] == [5, 5]
    assert [len(batch) for batch in shuffled(LABELS[:1], 5, 0, 1, False)] == [1]
    assert len(shuffled(LABELS, 1, 0, 1, False)) == 12


def test_the_balanced_sampler_draws_classes_equally():
    epochs = [chain(*shuffled(LABELS, 5, 0, epoch, True)) for epoch in range(200)]
    often = Counter(LABELS[index].item() for index in chain(*epochs))
    assert often[1] / often.total() == pytest.approx(0.5, abs=0.03)  # 2,400 draws: σ = 0.01


def test_class_weights_by_hand():
    """Effective number of n images at β = 0.999 is (1 − β^n) / (1 − β): 8.964 of 9, 2.997 of 3."""
    nine, three = (1 - 0.999**9) / 0.001, (1 - 0.999**3) / 0.001
    scale = 12 / (9 / nine + 3 / three)
    assert class_weights(LABELS, 3).tolist() == pytest.approx([scale / nine, scale / three, 0])


def test_validation_keeps_its_order():
    assert in_order(5, 2) == [[0, 1], [2, 3], [4]]
    assert in_order(0, 2) == []


def test_memory_is_flat_and_closing_ends_the_threads(home):
    split, decoded = inputs(home), []
    one = split.one
    split.one = lambda index, epoch: (decoded.append(index), one(index, epoch))[1]
    batches = split.batches([[0, 1]] * 1000, epoch=0)
    next(batches)
    assert len(decoded) <= 2 * (pipeline._AHEAD + 1)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_the_schedule_warms_up_and_falls_along_a_cosine():
    recipe = Recipe(dataset="x", warmup=0.2)
    assert [schedule(recipe, p) for p in (0, 0.1, 0.2)] == [0, 0.5, 1]
    assert schedule(recipe, 0.6) == pytest.approx(0.5)
    assert schedule(recipe, 1.0) == pytest.approx(0)
    assert schedule(recipe.but(schedule="constant", warmup=0), 0.9) == 1
