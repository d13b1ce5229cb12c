"""The first look: the best head for given features, the guess without training, and a model that answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn_colours import drawn
from hypothesis import given
from hypothesis import strategies as st
from timm.data import ImageNetInfo

from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.errors import BadRecipe, Unavailable
from transfer_core.events import Evaluated, Exported
from transfer_core.images import open_image
from transfer_core.measured import predictions
from transfer_core.metrics import log_loss
from transfer_core.predictor import Predictor
from transfer_core.training.instant import first_model, guess
from transfer_core.training.instant.first_model import spread, with_scenes
from transfer_core.training.instant.head import STRENGTHS, best_head, folds_of, unseen_probabilities
from transfer_core.training.instant.source import looks_like, source_classifier
from transfer_core.training.pipeline import ImageInputs
from transfer_core.training.prefix import shorten


def clouds(count: int, classes: int, apart: float, seed: int = 0, wide: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """`count` points a class around centres `apart` from each other."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, wide)) * apart
    labels = np.repeat(np.arange(classes), count)
    return (centres[labels] + chance.normal(size=(len(labels), wide))).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_is_the_minimum_of_the_penalised_loss(classes):
    """At the minimum the gradient is zero: checked on the scaled features, where the penalty is."""
    features, labels = clouds(40, classes, 1.0)
    head = best_head(features, labels, classes)
    mean, scale = features.mean(0), features.std(0)
    scaled = torch.tensor((features - mean) / scale, dtype=torch.float64)
    weight = torch.tensor(head.weight * scale, dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(head.bias + head.weight @ mean, dtype=torch.float64, requires_grad=True)
    # Of two classes scikit-learn penalises the difference, ‖w₁ − w₀‖² = 2 ‖W‖² for W = (−w/2, w/2).
    penalty = (2 if classes == 2 else 1) * head.strength / 2 * weight.square().sum()
    loss = torch.nn.functional.cross_entropy(scaled @ weight.T + bias, torch.tensor(labels)) + penalty
    loss.backward()
    assert weight.grad.abs().max() < 1e-3 and bias.grad.abs().max() < 1e-3


def test_noise_is_met_with_more_strength_than_a_clear_case():
    clear, noise = clouds(30, 3, 4.0), clouds(30, 3, 0.0)
    assert best_head(*noise, 3).strength > best_head(*clear, 3).strength
    assert best_head(*noise, 3).strength in STRENGTHS


def test_a_class_without_training_images_is_never_the_answer():
    features, labels = clouds(20, 3, 3.0)
    head = best_head(features, np.where(labels == 1, 3, labels), 4)
    given = head.probabilities(features)
    assert given.shape == (60, 4) and given[:, 1].max() < 1e-9


def test_features_that_never_change_do_no_harm():
    features, labels = clouds(20, 2, 3.0)
    features = np.concatenate([features, np.full((40, 1), 7.0, np.float32)], axis=1)
    head = best_head(features, labels, 2)
    assert np.isfinite(head.weight).all() and (head.weight[:, -1] == 0).all()


def test_every_image_is_in_one_fold_and_classes_are_spread_over_them():
    labels = np.array([0] * 11 + [1] * 4 + [2])
    folds = folds_of(labels, 5, seed=3)
    assert set(folds) <= set(range(5))
    assert sorted(np.bincount(folds[labels == 0], minlength=5)) == [2, 2, 2, 2, 3]
    assert np.bincount(folds, minlength=5).max() - np.bincount(folds, minlength=5).min() <= 1


def dealt_out(labels: np.ndarray, seed: int) -> np.ndarray:
    """How folds were made before there were groups: class by class in turn, each beginning where the one before ended."""
    chance, found, first = np.random.default_rng(seed), np.zeros(len(labels), int), 0
    for label in np.unique(labels):
        places = chance.permutation(np.flatnonzero(labels == label))
        found[places] = (first + np.arange(len(places))) % 5
        first += len(places)
    return found


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(0, 9))
def test_images_without_copies_are_dealt_out_in_turn(labels, seed):
    labels = np.array(labels)
    alone = np.random.default_rng(seed).permutation(1000)[:len(labels)]
    assert (folds_of(labels, 5, seed) == dealt_out(labels, seed)).all()
    assert (folds_of(labels, 5, seed, alone) == dealt_out(labels, seed)).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 15)), min_size=1, max_size=80), st.integers(0, 9))
def test_no_group_is_ever_divided(images, seed):
    labels, groups = np.array(images).T
    folds = folds_of(labels, 5, seed, groups)
    assert set(folds) <= set(range(5)) and (folds == folds_of(labels, 5, seed, groups)).all()
    assert all(len(set(folds[groups == group])) == 1 for group in groups)


def test_groups_are_spread_as_evenly_as_whole_ones_can_be():
    """Of each class: a burst of 6, two of 3, and 8 single images make 20, 4 for each of 5 folds but for the burst's."""
    sizes = [6, 3, 3, *[1] * 8]
    groups = np.repeat(np.arange(3 * len(sizes)), sizes * 3)
    labels = np.repeat([0, 1, 2], 20)
    folds = folds_of(labels, 5, 1, groups)
    for label in range(3):
        assert sorted(np.bincount(folds[labels == label], minlength=5)) == [3, 3, 4, 4, 6]


def test_copies_teach_nothing_about_their_own_photo():
    """Random labels, every image five times: whoever divides a group has memorised the answer."""
    points, _ = clouds(50, 2, 0.0, wide=60)
    groups = np.repeat(np.arange(100), 5)
    labels = np.random.default_rng(1).permutation([0, 1] * 50)[groups]
    leaking = unseen_probabilities(points[groups], labels, 2).argmax(1) == labels
    honest = unseen_probabilities(points[groups], labels, 2, groups=groups).argmax(1) == labels
    assert leaking.mean() > 0.95 and 0.35 < honest.mean() < 0.65


def test_unseen_answers_know_nothing_of_labels_that_mean_nothing():
    """With random labels a head that had seen its image would be right; one that had not is at chance."""
    features, _ = clouds(40, 2, 0.0, wide=60)
    labels = np.random.default_rng(5).integers(0, 2, len(features))
    seen = best_head(features, labels, 2).probabilities(features)
    unseen = unseen_probabilities(features, labels, 2)
    assert log_loss(labels, unseen) > log_loss(labels, seen)
    assert (unseen.argmax(1) == labels).mean() < 0.65


def test_the_class_table_is_leep_worked_out_by_hand():
    """Two images of class 0, one of class 1; three source classes, the last never seen."""
    source, labels = np.array([[0.5, 0.5, 0], [1, 0, 0], [0, 1, 0]]), np.array([0, 0, 1])
    table = source_classifier(source, labels, 2)
    # P(z=0) counts 1.5, all of class 0; P(z=1) counts 0.5 of class 0 and 1 of class 1; z=2 gives each class its share.
    assert table == pytest.approx(np.array([[1, 0], [1 / 3, 2 / 3], [2 / 3, 1 / 3]]))
    assert (np.array([[0.0, 1.0, 0.0]]) @ table)[0] == pytest.approx([1 / 3, 2 / 3])


def test_what_a_class_looks_like_has_names_and_shares():
    source = np.zeros((2, 1000))
    source[0, 281], source[0, 5], source[1, 281] = 0.75, 0.25, 0.25
    rows = looks_like(source, np.array([0, 0]), ["cat", "never"])
    assert rows[0]["images"] == 2
    assert rows[0]["like"][:2] == [{"source": ImageNetInfo().index_to_description(281), "share": 0.5},
                                   {"source": ImageNetInfo().index_to_description(5), "share": 0.125}]
    assert rows[1] == {"class": "never", "images": 0, "like": []}
    assert looks_like(source[:, :21], np.array([0, 0]), ["cat", "never"]) == []


def test_a_large_dataset_is_thinned_in_proportion_and_always_alike():
    def image(number: int, label: str) -> Image:
        return Image(f"{number * 7919 % 65536:064x}", f"{label}/{number}.jpg", label, "train", number, 8, 8)

    images = [image(number, "rare" if number % 10 == 0 else "usual") for number in range(1000)]
    chosen = spread(images, 100)
    assert len(chosen) == 100 and sum(each.label == "rare" for each in chosen) == 10
    assert {each.sha256 for each in spread(images[::-1], 100)} == {each.sha256 for each in chosen}
    assert spread(images, 1000) == images


def run(manifest, home, out, **options):
    """(events, result) of a first look."""
    events, work = [], guess(manifest, home, out, **{"model": "test_resnet.r160_in1k", **options})
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return events, end.value


def test_from_photos_to_a_file_that_answers_as_was_measured(home, tmp_path, hub_free):
    manifest, out = drawn(home, train=8, validation=20, test=3), tmp_path / "look"
    events, found = run(manifest, home, out, name="Colours")
    [report] = [event.report for event in events if isinstance(event, Evaluated)]
    [made] = [event for event in events if isinstance(event, Exported)]
    assert found["images"] == found["of"] == {"train": 24, "validation": 60}
    score = found["score"]
    assert (score["on"], score["n"], score["correct"]) == ("validation", 60, report["correct"])
    assert score["accuracy"] > 0.9 and score["low"] < score["accuracy"] and score["baseline"] == pytest.approx(1 / 3)
    assert found["source"]["score"]["n"] == 60 and [row["class"] for row in found["source"]["looks_like"]] == manifest.classes
    assert (made.same, made.replayed) == (32, 32) and made.largest_difference < 1e-3
    predictor = Predictor(out / "model.onnx")
    rows = predictions(out, "validation")[::10]
    given = predictor.predict([open_image(home.image(row["sha256"])) for row in rows])
    assert given == pytest.approx(np.array([row["probabilities"] for row in rows]), abs=1e-3)
    assert not (out / "predictions_test.jsonl").exists()  # the test split is for what was chosen


def test_few_validation_images_are_divided_into_folds_with_the_others(home, tmp_path, hub_free):
    _, found = run(drawn(home, train=6, validation=2), home, tmp_path / "look")
    assert (found["score"]["on"], found["score"]["n"]) == ("folds", 24)


def test_without_validation_images_there_is_a_score_and_a_file(home, tmp_path, hub_free):
    events, found = run(drawn(home, train=6, validation=0), home, tmp_path / "look")
    assert (found["score"]["on"], found["score"]["n"]) == ("folds", 18)
    assert found["source"]["score"] is None
    assert any(isinstance(event, Exported) for event in events)


def test_a_second_look_reads_what_the_first_has_stored(home, tmp_path, hub_free, monkeypatch):
    looked: list[int] = []
    plain = ImageInputs.plain
    monkeypatch.setattr(ImageInputs, "plain", lambda inputs, place: looked.append(place) or plain(inputs, place))
    manifest = drawn(home, train=6, validation=6)
    _, first = run(manifest, home, tmp_path / "first")
    assert len(looked) >= 36
    looked.clear()
    _, second = run(manifest, home, tmp_path / "second")
    assert len(looked) <= 2 * shorten.CHECKED  # the self-check
    assert second | {"seconds": 0} == first | {"seconds": 0}


def test_nothing_to_tell_apart_is_said(home, tmp_path, hub_free):
    one = Manifest.of_images("one", 1, [image for image in drawn(home).images if image.label == "blue"])
    with pytest.raises(BadRecipe):
        run(one, home, tmp_path / "look")


def test_a_head_that_is_no_single_layer_is_refused_in_words(home, tmp_path, monkeypatch, hub_free):
    monkeypatch.setattr(first_model, "classifiers", lambda _model: [torch.nn.Sequential()])
    with pytest.raises(Unavailable, match="more than one layer"):
        run(drawn(home), home, tmp_path / "look")


def test_a_burst_is_one_group_and_is_counted_where_it_is_divided():
    """24 photos that stand apart; the last of each side are frames of one burst."""
    rng = np.random.default_rng(3)
    train, validation, burst = rng.normal(size=(16, 64)), rng.normal(size=(8, 64)), rng.normal(size=(1, 64))
    train[-2:], validation[-2:] = burst + 0.05 * rng.normal(size=(2, 64)), burst + 0.05 * rng.normal(size=(2, 64))
    features = {"train": train.astype(np.float32), "validation": validation.astype(np.float32)}
    labels = {"train": np.arange(16) % 2, "validation": np.arange(8) % 2}
    groups = {"train": np.arange(16), "validation": 100 + np.arange(8)}
    joined, scenes = with_scenes(features, labels, groups)
    assert scenes == {"groups": 1, "images": 2}
    assert joined["train"].tolist() == [*range(14), 14, 14]
    assert joined["validation"].tolist() == [*range(100, 106), 14, 14]
