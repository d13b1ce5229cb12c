"""Cross-validation: every photo tested once a repeat, groups never divided, nothing trained twice, and what luck gives."""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest
from drawn_colours import drawn
from events_of import until
from hypothesis import given
from hypothesis import strategies as st

from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.errors import BadRecipe
from transfer_core.events import Folded
from transfer_core.jobs import TASKS
from transfer_core.jobs.crossvalidating import Turn, check, division, summary
from transfer_core.jobs.discard import discard, discard_queued
from transfer_core.store import Store


def images(groups: dict[str, list[int]]) -> list[Image]:
    """Label → the group of each of its images."""
    return [Image(f"{label}{number}", f"{label}{number}.png", label, "train", group, 8, 8)
            for label, of in groups.items() for number, group in enumerate(of)]


@given(st.lists(st.integers(0, 11), min_size=20, max_size=60), st.integers(2, 6), st.integers(0, 99))
def test_no_group_lies_on_two_sides_and_every_image_is_tested_once(groups, folds, seed):
    all_images = images({"a": groups, "b": [100 + group for group in range(20)]})
    tested: Counter[str] = Counter()
    for fold in range(folds):
        divided = division(all_images, folds, Turn(0, fold), seed)
        sides: dict[int, set[str]] = {}
        for image in divided:
            sides.setdefault(image.group, set()).add(image.split)
        assert all(len(found) == 1 for found in sides.values())
        tested.update(image.file for image in divided if image.split == "test")
    assert set(tested.values()) == {1} and len(tested) == len(all_images)


def test_classes_keep_their_share_and_repeats_divide_anew():
    all_images = images({"a": list(range(50)), "b": list(range(100, 120))})
    first = [division(all_images, 5, Turn(0, fold), 0) for fold in range(5)]
    for divided in first:
        counts = Counter((image.split, image.label) for image in divided)
        assert (counts["test", "a"], counts["test", "b"]) == (10, 4)
        assert counts["validation", "a"] in (6, 7) and counts["validation", "b"] in (2, 3)
    assert first == [division(all_images, 5, Turn(0, fold), 0) for fold in range(5)]
    assert first[0] != division(all_images, 5, Turn(1, 0), 0)


def test_a_class_of_few_different_photos_is_refused():
    check(images({"a": [1, 2, 3], "b": [4, 5, 6]}), 3)
    with pytest.raises(BadRecipe) as refused:
        check(images({"a": [1, 2, 3], "b": [4, 4, 5, 5]}), 3)
    assert refused.value.values == {"name": "b", "count": 2, "folds": 3}


def test_a_class_of_two_bursts_is_always_learned_from():
    """Two folds: one burst is the test, and the other must not go into validation."""
    all_images = images({"a": [1] * 5 + [2] * 5, "b": list(range(10, 40))})
    for repeat in range(10):
        for fold in range(2):
            divided = division(all_images, 2, Turn(repeat, fold), 0)
            assert {image.split for image in divided if image.label == "a"} == {"train", "test"}


def rows(said: list[str], labels: list[str], groups: list[int]) -> list[dict]:
    return [{"label": label, "group": group, "predicted": guess, "probabilities": [float(name == guess) for name in "ab"]}
            for guess, label, group in zip(said, labels, groups, strict=True)]


def test_the_summary_by_hand():
    """Folds of 3, 3 with 2 and 3 right, and again 3, 3 with 1 and 3 right: 5/6 and 4/6 pooled. Three groups of two."""
    labels = list("aab")
    answers = {Turn(0, 0): rows(list("aaa"), labels, [1, 1, 2]), Turn(0, 1): rows(labels, labels, [3, 3, 2]),
               Turn(1, 0): rows(list("aba"), labels, [1, 1, 2]), Turn(1, 1): rows(labels, labels, [3, 3, 2])}
    found = summary(["a", "b"], answers)
    assert (found["n"], found["groups"], found["evidence"]) == (6, 3, 3)
    assert found["repeats"] == [pytest.approx(5 / 6), pytest.approx(4 / 6)]
    assert found["accuracy"]["value"] == pytest.approx(4.5 / 6) and found["n"] == 6
    assert found["spread"] == pytest.approx(np.std([2 / 3, 1, 1 / 3, 1], ddof=1))
    low, high = found["accuracy"]["low"], found["accuracy"]["high"]
    share, z2 = 0.75, 1.96**2  # Wilson of 2.25 in 3, not of 4.5 in 6
    assert (low + high) / 2 == pytest.approx((share + z2 / 6) / (1 + z2 / 3), abs=1e-3)
    assert found["baseline"] == pytest.approx(4 / 6) and found["first"]["accuracy"]["value"] == pytest.approx(5 / 6)
    assert found["first"]["ece"] is None, "their percentages were not settled"


# The job

@pytest.fixture
def store(home) -> Store:
    drawn(home, test=3).write(home)
    return Store(home)


@pytest.fixture
def job(store, recipe):
    base = recipe.but(regularizer="l2_sp", epochs=2)
    return store.submit("crossvalidate", {"recipe": base.model_dump(mode="json"), "folds": 3, "repeats": 1}, "cpu")


def run(store, job, most: int = 10**6):
    return until(store, job, Folded, most)


def test_every_photo_is_tested_and_an_interruption_costs_no_fold(store, job):
    begun, _ = run(store, job, most=2)
    events, found = run(store, store.job(job.id))
    assert [(event.repeat, event.fold) for event in events if isinstance(event, Folded)] == [(0, 2)]
    assert [(each["repeat"], each["fold"]) for each in found["folds"]] == [(0, 0), (0, 1), (0, 2)]
    assert found["n"] == 45 == sum(each["n"] for each in found["folds"])
    told = [event.accuracy for event in (*begun, *events) if isinstance(event, Folded)]
    assert [each["accuracy"] for each in found["folds"]] == told
    assert found["accuracy"]["low"] <= found["accuracy"]["value"] <= found["accuracy"]["high"]
    assert not list(store.home.job(job.id).rglob("*.safetensors")), "only the answers stay"


@pytest.mark.parametrize("seen", [{"weights": "run", "start_from": "train-1"},
                                  {"source_loss": "replay", "source_dataset": "other"}])
def test_what_may_have_seen_the_photos_is_refused(store, recipe, seen):
    payload = {"recipe": recipe.but(**seen).model_dump(mode="json"), "folds": 3, "repeats": 1}
    with pytest.raises(BadRecipe) as refused:
        run(store, store.submit("crossvalidate", payload, "cpu"))
    assert refused.value.code == "folds_seen"


def test_a_broken_off_fold_leaves_no_weights(store, job):
    work = TASKS["crossvalidate"](job, store)
    for event in work:
        if event.type == "progressed":
            break
    work.close()
    assert not list(store.home.job(job.id).rglob("*.pt")) and not list(store.home.job(job.id).rglob("*.safetensors"))


def test_thrown_away_it_leaves_nothing(store, job):
    run(store, job, most=1)
    assert list(store.home.job(job.id).glob("fold-*"))
    discard(store, store.job(job.id))
    assert not list(store.home.job(job.id).glob("fold-*"))


def test_with_labels_dealt_out_by_chance_it_is_chance(store, recipe, home):
    """The interval of what it finds holds a third: three classes, and labels that say nothing."""
    known = Manifest.read(home, "colours", 1)
    labels = np.random.default_rng(0).permutation([image.label for image in known.images])
    mixed = [image.but(label=str(label), group=number) for number, (image, label) in enumerate(
        zip(known.images, labels, strict=True))]
    Manifest.of_images("mixed", 1, mixed).write(home)
    payload = {"recipe": recipe.but(dataset="mixed", epochs=2).model_dump(mode="json"), "folds": 3, "repeats": 1}
    _, found = run(store, store.submit("crossvalidate", payload, "cpu"))
    assert found["accuracy"]["low"] < 1 / 3 < found["accuracy"]["high"]


def test_one_that_came_along_lets_the_next_training_go_first_and_then_goes_on(store, recipe):
    from transfer_core.jobs.run import run_job

    payload = {"recipe": recipe.model_dump(mode="json"), "folds": 2, "repeats": 1, "request": "train-before"}
    job = store.submit("crossvalidate", payload, "cpu")
    told = []

    def ask_for_more(event):
        told.append(event)
        if isinstance(event, Folded) and len(store.jobs("train")) == 0:
            store.submit("train", {"recipe": recipe.model_dump(mode="json")}, "cpu")

    assert store.claim(job.id, os.getpid())
    assert run_job(store, store.job(job.id), watch=ask_for_more) == "queued"
    (training,) = store.jobs("train")
    job = store.job(job.id)
    assert (job.state, job.result) == ("queued", None) and store.ahead(job) == 1 and store.ahead(training) == 0
    assert not store.claim(job.id, os.getpid()), "the training waits longer now"
    assert [folder.name for folder in store.home.job(job.id).glob("fold-*")] == ["fold-0-0"]
    store.ask_stop(training.id, "discard")
    discard_queued(store, store.job(training.id))
    assert store.claim(job.id, os.getpid())
    again = []
    assert run_job(store, store.job(job.id), watch=again.append) == "finished"
    assert [event.fold for event in again if isinstance(event, Folded)] == [1]
    assert store.job(job.id).result["n"] > 0


def test_two_that_came_along_do_not_give_way_to_each_other(store, recipe):
    from transfer_core.jobs.run import run_job

    first, second = (store.submit("crossvalidate", {"recipe": recipe.but(seed=seed).model_dump(mode="json"), "folds": 2,
                                                    "repeats": 1, "request": f"train-{seed}"}, "cpu") for seed in (1, 2))
    for job in (first, second):
        assert store.claim(job.id, os.getpid())
        assert run_job(store, store.job(job.id)) == "finished"


def test_one_that_was_asked_for_keeps_its_place(store, recipe):
    from transfer_core.jobs.run import run_job

    job = store.submit("crossvalidate", {"recipe": recipe.model_dump(mode="json"), "folds": 2, "repeats": 1}, "cpu")
    store.submit("train", {"recipe": recipe.model_dump(mode="json")}, "cpu")
    assert store.claim(job.id, os.getpid())
    assert run_job(store, store.job(job.id)) == "finished"
