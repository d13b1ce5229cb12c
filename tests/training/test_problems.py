"""What may be wrong with a dataset, each part with something that is wrong, and with nothing that is."""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest
from drawn_colours import draw, drawn
from events_of import ended
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture
from PIL import ImageFilter

from transfer_core.datasets.duplicates import joined
from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.events import Note
from transfer_core.jobs import run_job
from transfer_core.jobs.tasks import last_check
from transfer_core.store import Store
from transfer_core.training.instant.head import best_head
from transfer_core.training.problems import find_problems, finding
from transfer_core.training.problems.leaks import alike, leaks
from transfer_core.training.problems.mislabelled import suspects
from transfer_core.training.problems.odd import FAR, oddness
from transfer_core.training.problems.quality import faults, measures
from transfer_core.training.problems.scores import both_scores
from transfer_core.training.scenes import close_pairs
from transfer_core.words import message

TINY = "test_resnet.r160_in1k"


def clouds(count: int, classes: int, apart: float, seed: int = 0, wide: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """`count` points a class around centres `apart` from each other."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, wide)) * apart
    labels = np.repeat(np.arange(classes), count)
    return (centres[labels] + chance.normal(size=(len(labels), wide))).astype(np.float32), labels


def bursts(photos: int, frames: int, classes: int, apart: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every point of a cloud again and again, a little off: features, labels, and which point each came from."""
    points, labels = clouds(photos, classes, apart)
    of = np.repeat(np.arange(len(points)), frames)
    noise = np.random.default_rng(7).normal(size=(len(of), points.shape[1]))
    return (points[of] + 0.15 * noise).astype(np.float32), labels[of], of


# Neighbours


def test_frames_of_one_scene_are_found_and_a_crowd_is_not():
    features, labels, of = bursts(30, 4, 2, 0.2)
    found = {tuple(pair) for pair in close_pairs(features, labels)}
    assert found == {(a, b) for a in range(240) for b in range(a + 1, 240) if of[a] == of[b]}
    crowd, label = clouds(60, 2, 5.0)  # each class one tight heap: cosine above 0.9 everywhere
    assert len(close_pairs(crowd, label)) == 0


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_hardly_any_images_have_no_neighbours(count):
    assert close_pairs(np.ones((count, 4), np.float32), np.zeros(count, int)).shape == (0, 2)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29))))
def test_joined_groups_hold_together_what_was_together(groups, pairs):
    groups = np.array(groups)
    pairs = [(a % len(groups), b % len(groups)) for a, b in pairs]
    found = joined(groups, pairs)
    assert all(found[a] == found[b] for a, b in pairs)
    assert all(len(set(found[groups == group])) == 1 for group in groups)
    assert (joined(groups, []) == groups).all()


# Leaks


def image(name: str, label: str, split: str, group: int, sha256: str = "") -> Image:
    return Image(sha256 or name * 64, f"{label}/{name}.jpg", label, split, group, 40, 40)


def test_what_lies_on_both_sides_is_told_and_what_was_left_out():
    images = [image("a", "cat", "train", 0), image("b", "cat", "test", 1), image("c", "cat", "test", 2),
              image("d", "dog", "left_out", 2), image("e", "dog", "train", 4), image("f", "dog", "train", 4, "e" * 64),
              image("g", "cat", "left_out", 5, "0" * 64), image("h", "dog", "left_out", 5, "0" * 64)]
    groups = joined(np.array([each.group for each in images]), [(0, 1)])
    across, out = leaks(images, groups)
    assert (across["kind"], across["how"], across["labels"], across["size"]) == ("straddles", "scene", ["cat"], 2)
    assert (out["kind"], out["how"], [row["file"] for row in out["images"]]) == ("left_out", "near", ["dog/d.jpg", "cat/c.jpg"])
    assert Counter(group["how"] for group in alike(images, groups)) == {"scene": 1, "near": 1, "copy": 2}


# Scores


def test_bursts_flatter_a_score_that_divides_them():
    features, labels, of = bursts(12, 5, 4, 0.35)
    fresh, truth = clouds(300, 4, 0.35, seed=1)  # the same centres, other points
    scores, unseen = both_scores(features, labels, 4, of)
    naive, honest = scores["naive"], scores["honest"]
    assert naive["accuracy"] > 0.95 and naive["low"] > honest["high"] and scores["differ"] and scores["p"] < 0.001
    assert (honest["n"], honest["groups"], unseen.shape) == (240, 48, (240, 4))
    again = best_head(features, labels, 4, groups=of).probabilities(fresh).argmax(1) == truth
    assert honest["low"] < again.mean() < honest["high"]


def test_without_groups_both_scores_are_one():
    features, labels = clouds(20, 2, 0.5)
    scores, _ = both_scores(features, labels, 2, np.arange(40))
    assert scores["naive"] == pytest.approx({name: value for name, value in scores["honest"].items() if name != "groups"})
    assert (scores["p"], scores["differ"]) == (1.0, False)


def test_labels_that_mean_nothing_are_at_chance():
    features, labels, of = bursts(30, 3, 2, 1.0)
    shuffled = np.random.default_rng(2).permutation(labels[::3])[of]  # every burst one label, none of them true
    scores, _ = both_scores(features, shuffled, 2, of)
    assert scores["honest"]["low"] < 0.5 < scores["honest"]["high"] < scores["naive"]["low"]


def test_one_group_a_class_can_not_be_scored():
    assert both_scores(np.ones((4, 3), np.float32), np.array([0, 0, 1, 1]), 2, np.array([0, 0, 1, 1]))[0] is None


# Labels


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_swapped_labels_are_found(share):
    features, labels = clouds(100, 4, 1.0)
    chance = np.random.default_rng(0)
    wrong = chance.choice(400, int(400 * share), replace=False)
    given = labels.copy()
    given[wrong] = (labels[wrong] + chance.integers(1, 4, len(wrong))) % 4
    _, unseen = both_scores(features, given, 4, np.arange(400))
    found = suspects(given, unseen, np.arange(400))
    hits = np.isin(found.places, wrong)
    assert hits.sum() >= 0.7 * len(wrong) and hits.mean() >= 0.9  # recall, precision: the count is a careful one
    assert (found.suggested[hits] == labels[found.places[hits]]).mean() > 0.95
    assert (np.diff(found.confidence) >= 0).all() and (found.suggested != given[found.places]).all()


def test_a_class_of_few_photos_is_never_doubted():
    features, labels = clouds(30, 3, 1.0)
    kept = np.r_[0:64]  # four of the third class
    _, unseen = both_scores(features[kept], labels[kept], 3, kept)
    found = suspects(labels[kept], unseen, kept)
    assert found.skipped == [2] and (labels[found.places] != 2).all() and (found.suggested != 2).all()
    alone = suspects(np.array([0, 0, 1]), np.ones((3, 2)) / 2, np.arange(3))
    assert len(alone.places) == 0 and alone.skipped == [0, 1]


# Odd ones


def test_a_stranger_is_odd_and_nobody_else():
    features, labels = clouds(60, 2, 0.0)
    features += 10  # photos of one kind have much in common
    features[5] = -features[5]
    scores = oddness(features, labels, np.arange(120))
    assert np.flatnonzero(scores > FAR).tolist() == [5] and scores.argmax() == 5


def test_a_copy_is_no_company():
    """Two copies of a stranger are one group, so each is as odd as one alone."""
    features, labels = clouds(60, 2, 0.0)
    features += 10
    features[6] = features[5] = -features[5]
    groups = np.arange(120)
    groups[6] = 5
    assert set(np.flatnonzero(oddness(features, labels, groups) > FAR)) == {5, 6}


def test_few_images_have_no_usual_distance():
    assert (oddness(*clouds(3, 2, 1.0), np.arange(6)) < FAR).all()


# Quality


def scene(seed: int) -> Picture.Image:
    """Coloured tiles with grain: sharp, neither dark nor bright."""
    chance = np.random.default_rng(seed)
    tiles = Picture.fromarray(chance.integers(20, 235, (12, 16, 3), np.uint8)).resize((256, 192), Picture.Resampling.NEAREST)
    grain = chance.normal(0, 8, (192, 256, 3))
    return Picture.fromarray(np.clip(np.asarray(tiles) + grain, 0, 255).astype(np.uint8))


def judged(*pictures: Picture.Image) -> list[str | None]:
    found = faults([measures(picture) | {"side": float(max(picture.size))} for picture in pictures])
    return [fault and fault["what"] for fault in found]


def test_poor_photos_are_named_among_good_ones():
    good = [scene(seed) for seed in range(20)]
    poor = [good[0].filter(ImageFilter.GaussianBlur(5)), good[1].point(lambda grey: grey // 6),
            good[2].point(lambda grey: 215 + grey // 7), Picture.new("RGB", (256, 192), (120, 130, 120)),
            good[3].resize((40, 30))]
    assert judged(*good, *poor) == [None] * 20 + ["blurred", "dark", "bright", "empty", "tiny"]


def test_what_all_photos_of_a_dataset_are_is_no_fault():
    night = [scene(seed).point(lambda grey: grey // 6) for seed in range(12)]
    assert judged(*night) == [None] * 12
    assert judged(*[Picture.new("RGB", (64, 64), "white")] * 5) == [None] * 5
    assert judged() == []


# All of it, with a tiny model


def check(manifest, home, **options):
    events, found = ended(find_problems(manifest, home, **{"model": TINY, "device": "cpu", **options}))
    return {event.message.key for event in events if isinstance(event, Note) and event.message.key.startswith("problems")}, found


def apart(manifest: Manifest) -> Manifest:
    """Every image a group of its own."""
    return Manifest.of_images(manifest.dataset, 1, [each.but(group=place) for place, each in enumerate(manifest.images)])


def test_a_wrong_label_is_found_among_drawn_squares(home, hub_free):
    images = list(apart(drawn(home, train=14, validation=4, test=4)).images)
    images[3] = images[3].but(label="red")  # a blue one
    notes, found = check(Manifest.of_images("colours", 1, images), home)
    first = found["label_errors"][0]
    assert (first["file"], first["label"], first["split"], first["suggested"]) == (images[3].file, "red", "train", "blue")
    assert first["confidence"] < 0.5 and first["sha256"] == images[3].sha256
    assert found["scores"]["honest"]["low"] > 0.8 and notes == set()
    assert (found["images"], found["looked_at"], found["seconds"] > 0) == (66, 66, True)


def test_a_large_dataset_is_looked_at_in_part_and_says_so(home, hub_free, monkeypatch):
    monkeypatch.setattr(finding, "MOST", 30)
    notes, found = check(apart(drawn(home)), home)
    assert notes == {"problems.some"} and (found["looked_at"], found["images"], found["scores"]["honest"]["n"]) == (30, 36, 30)


@pytest.mark.parametrize("case", ["one each", "all the same", "nothing left"])
def test_next_to_nothing_gives_a_clear_answer(home, hub_free, case):
    one, other = draw(home, "blue", 0, "train"), draw(home, "red", 1, "train")
    images = {"one each": [one, other],
              "all the same": [one.but(file=f"{label}/{number}", label=label, group=0) for label in ("blue", "red")
                               for number in range(6)],
              "nothing left": [one.but(split="left_out"), one.but(split="left_out", label="red", file="x")]}[case]
    notes, found = check(Manifest.of_images("few", 1, images), home)
    assert notes == {"problems.too_few"} and found["scores"] is None
    assert found["label_errors"] == found["odd"] == found["quality"] == found["leaks"] == []
    assert found["duplicates"]["count"] == (case != "one each")


def test_random_labels_doubt_nobody(home, hub_free):
    manifest = apart(drawn(home, train=10, validation=0))
    labels = np.random.default_rng(4).permutation([each.label for each in manifest.images])
    mixed = [each.but(label=str(label), file=str(place)) for place, (each, label) in
             enumerate(zip(manifest.images, labels, strict=True))]
    notes, found = check(Manifest.of_images("mixed", 1, mixed), home)
    assert notes == {"problems.guessing"} and found["label_errors"] == []
    assert found["scores"]["honest"]["low"] < 1 / 3 < found["scores"]["honest"]["high"]


def test_the_job_keeps_what_it_found(home, hub_free, monkeypatch):
    store, manifest = Store(home), drawn(home)
    manifest.write(home)
    store.add_dataset("Colours", "colours", message("cli.imported"), {"classes": manifest.counts()})
    monkeypatch.setitem(find_problems.__kwdefaults__, "model", TINY)
    job = store.submit("check", {"dataset": "colours", "version": 1}, "cpu")
    assert store.claim(job.id, os.getpid()) and run_job(store, store.job(job.id)) == "finished"
    assert last_check(store, "colours").result["images"] == 36
    assert last_check(store, "colours", 2) is None and last_check(store, "others") is None
