"""A sweep over λ: real trainings on coloured squares, and the rules it judges by on numbers made up for them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from drawn_colours import drawn
from events_of import until

from transfer_core.errors import BadRecipe
from transfer_core.events import Epoch, Finished, Note, Swept
from transfer_core.jobs import TASKS, StopAsked
from transfer_core.jobs.discard import discard_queued
from transfer_core.jobs.run import resumable
from transfer_core.jobs.sweeps import answer
from transfer_core.metrics import packed, unpacked
from transfer_core.recipe import Recipe
from transfer_core.regularizers import REGULARIZERS
from transfer_core.store import Store
from transfer_core.sweeping import check, grid, hopeless, numbers, recommend, told_apart, tried


def point(value: float, accuracy: float, kept: float | None = 0.5, turn: int = 0, n: int = 100) -> Swept:
    return Swept(value=value, seed=turn, turn=turn, accuracy=accuracy, low=0, high=1, n=n, kept=kept, run=f"run-{value:g}-{turn}")


# The rules

def test_what_is_as_good_and_keeps_more_is_taken():
    """90 of 100 has a standard error of 3 points: 88 is as good, 80 is not."""
    points = [point(0.1, 0.80, 0.99), point(1.0, 0.88, 0.8), point(10.0, 0.90, 0.4)]
    found, why = recommend(points)
    assert (found.value, why.key) == (1.0, "sweep.why_keeps")
    assert (why.values["best_value"], why.values["kept"], why.values["error"]) == ("10", "80", "3")


def seen(value: float, wrong: range, kept: float, turn: int = 0, n: int = 60) -> Swept:
    """A point of which is known which images it named rightly: all but those."""
    right = ~np.isin(np.arange(n), wrong)
    return point(value, right.mean(), kept, turn, n).model_copy(update={"right": packed(right)})


def test_what_is_never_better_is_worse_though_the_scores_alone_would_forgive_it():
    """47 of 60 and 44 of 60: one standard error of a score is 5 points, of the difference 4 where they agree on 57 images."""
    best, less = seen(1.0, range(13), 0.5), seen(10.0, range(16), 0.9)
    alone = [each.model_copy(update={"right": None}) for each in (best, less)]
    assert recommend(alone)[0].value == 10.0 and recommend([best, less])[0].value == 1.0
    elsewhere = seen(10.0, range(10, 26), 0.9)  # wrong on 13 others, right on 10 that the best does not know
    found, why = recommend([best, elsewhere])
    assert (found.value, why.values["error"]) == (10.0, "8")


def test_one_image_of_difference_says_nothing():
    assert recommend([seen(1.0, range(3), 0.5), seen(10.0, range(4), 0.9)])[0].value == 10.0


def test_hopeless_image_by_image():
    points = [seen(1.0, range(13), 0.5), seen(10.0, range(19), 0.5)]
    assert hopeless(points) == {10.0}
    assert hopeless([point.model_copy(update={"right": None}) for point in points]) == set()


def test_images_are_compared_over_all_seeds():
    """What two seeds name rightly in turn is half right in each of them."""
    found, = tried([seen(1.0, range(10), 0.5, 0), seen(1.0, range(10, 20), 0.5, 1)])
    assert found.right.tolist() == [0.5] * 20 + [1.0] * 40 and found.accuracy == pytest.approx(found.right.mean())


@pytest.mark.parametrize("n", [0, 1, 8, 61])
def test_bits_survive(n):
    right = np.arange(n) % 3 == 0
    assert unpacked(packed(right), n).tolist() == right.tolist()
    with pytest.raises(ValueError, match="bits"):
        unpacked(packed(right), n + 9)


def test_the_best_that_keeps_most_needs_no_excuse():
    for kept, key in ((0.6, "sweep.why_best"), (None, "sweep.why_learns")):
        _, why = recommend([point(1.0, 0.7, kept), point(2.0, 0.95, kept)])
        assert why.key == key
    assert recommend([]) is None


def test_seeds_are_averaged_and_do_not_make_more_images():
    found, = tried([point(1.0, 0.8, 0.5, 0), point(1.0, 0.9, 0.7, 1)])
    assert (found.accuracy, found.kept, found.seeds) == (pytest.approx(0.85), pytest.approx(0.6), 2)
    assert found.error == pytest.approx((0.85 * 0.15 / 100) ** 0.5)


def test_hopeless_is_what_lies_two_standard_errors_behind():
    points = [point(0.1, 0.80), point(1.0, 0.86), point(10.0, 0.90)]  # 2 × 3 points behind 90 is 84
    assert hopeless(points) == {0.1}
    assert hopeless([]) == set() and hopeless(points[:1]) == set()


def test_a_perfect_score_of_few_images_rules_nothing_out():
    """Of 10 images all right: the error is not 0, but half an image' worth."""
    assert hopeless([point(1.0, 1.0, n=10), point(2.0, 0.9, n=10)]) == set()


@pytest.mark.parametrize("regularizer", REGULARIZERS.names())
def test_every_grid_can_be_trained(regularizer):
    recipe = Recipe(dataset="x", freeze=0, regularizer=regularizer)
    values = grid(recipe)
    assert check(recipe, values) == sorted(values) and len(values) >= 4 and values[0] == 0


def test_values_are_checked_before_anything_is_trained():
    recipe = Recipe(dataset="x", source_loss="lwf")
    assert check(recipe, [10, 1, 1, 0]) == [0.0, 1.0, 10.0]
    nothing = recipe.but(source_loss=None, regularizer=None)
    for wrong, given in ((recipe, [-1.0]), (recipe, []), (recipe, [float("nan")]), (nothing, [1.0])):
        with pytest.raises(BadRecipe):
            check(wrong, given)


# The job

@pytest.fixture
def store(home) -> Store:
    manifest = drawn(home)
    manifest.write(home)
    return Store(home)


@pytest.fixture
def sweep(store, recipe):
    def submitted(values, seeds=1, **settings):
        base = recipe.but(**{"regularizer": "l2_sp", "epochs": 2, **settings})
        return store.submit("sweep", {"recipe": base.model_dump(mode="json"), "values": values, "seeds": seeds}, "cpu")

    return submitted


def run(store, job):
    """Its events (in the store too, as a worker would have them), and its answer."""
    return until(store, job, Swept, math.inf)


def test_each_point_is_a_run_that_can_be_gone_on_with(store, sweep, monkeypatch):
    monkeypatch.setattr("transfer_core.jobs.sweeps.hopeless", lambda points: set())
    events, answered = run(store, sweep([0.0, 1e5], seeds=2))
    rows = answered["points"]
    assert [(row["lambda"], row["seed"]) for row in rows] == [(0.0, 0), (1e5, 0), (0.0, 1), (1e5, 1)]
    assert [event.run for event in events if isinstance(event, Swept)] == [row["run"] for row in rows]
    assert rows[1]["drift"] < 0.2 * rows[0]["drift"]
    for event in (event for event in events if isinstance(event, Swept)):
        best = [epoch for _, epoch in store.events(event.run) if isinstance(epoch, Epoch) and epoch.best][-1]
        assert unpacked(event.right, event.n).sum() == round(event.accuracy * event.n) and event.right == best.right
    assert answered["recommended"]["lambda"] in (0.0, 1e5) and answered["split"] == "validation"
    chosen = store.job(answered["recommended"]["run"])
    assert chosen.state == "stopped" and chosen.result is None
    store.requeue(chosen.id)
    going, work = [], TASKS["train"](store.job(chosen.id), store)
    while True:
        try:
            going.append(next(work))
        except StopIteration as end:
            result = end.value
            break
    assert [event for event in going if isinstance(event, Finished)] and "onnx" in result["files"]
    assert Recipe(**chosen.payload["recipe"]).lambda_omega == answered["recommended"]["lambda"]


def test_an_interrupted_sweep_trains_nothing_twice(store, sweep):
    job = sweep([0.0, 1.0, 10.0])
    work = TASKS["sweep"](job, store)
    for event in work:
        store.append(job.id, event)
        if isinstance(event, Swept) and event.value == 1.0:
            next(work)  # the third has begun
            work.close()
            break
    assert len(store.jobs("train")) == 2  # what had only begun is gone
    events, answered = run(store, job)
    assert [event.value for event in events if isinstance(event, Swept)] == [10.0]
    assert [row["lambda"] for row in answered["points"]] == [0.0, 1.0, 10.0]
    assert len(store.jobs("train")) == 3


@pytest.mark.parametrize(("how", "left"), [("keep", 1), ("discard", 0)])
def test_stopping_keeps_what_is_there_or_throws_all_away(store, sweep, how, left):
    job = sweep([0.0, 1.0])
    work = TASKS["sweep"](job, store)
    for event in work:
        store.append(job.id, event)
        if isinstance(event, Swept):
            break
    next(work)
    try:
        work.throw(StopAsked(how))
    except StopIteration as end:
        assert how == "keep" and len(end.value["points"]) == 1
    except StopAsked:
        assert how == "discard"
    assert len(store.jobs("train")) == left
    assert len([folder for folder in (store.home.root / "runs").iterdir() if (folder / "model.safetensors").is_file()]) == left


def test_what_is_hopeless_gets_no_second_seed(store, sweep, monkeypatch):
    from transfer_core.jobs import sweeps

    monkeypatch.setattr(sweeps, "hopeless", lambda points: {1.0} if any(each.value == 1.0 for each in points) else set())
    events, answered = run(store, sweep([0.0, 1.0], seeds=2, epochs=1))
    assert [(row["lambda"], row["seed"]) for row in answered["points"]] == [(0.0, 0), (1.0, 0), (0.0, 1)]
    assert [event.message.key for event in events if isinstance(event, Note)] == ["sweep.dropped"]


def test_once_out_is_out_also_after_an_interruption(store, sweep, monkeypatch):
    """λ = 1 is hopeless by the first turn's numbers only: it must not come back when later ones look better."""
    from transfer_core.jobs import sweeps

    monkeypatch.setattr(sweeps, "hopeless", lambda points: {1.0} if {point.turn for point in points} == {0} else set())
    job = sweep([0.0, 1.0], seeds=3, epochs=1)
    work = TASKS["sweep"](job, store)
    for event in work:
        store.append(job.id, event)
        if isinstance(event, Swept) and event.turn == 1:
            work.close()
            break
    _, answered = run(store, job)
    assert [(row["lambda"], row["seed"]) for row in answered["points"]] == [(0.0, 0), (1.0, 0), (0.0, 1), (0.0, 2)]


def test_without_validation_images_nothing_is_chosen(home, recipe):
    drawn(home, validation=0).write(home)
    store = Store(home)
    job = store.submit("sweep", {"recipe": recipe.model_dump(mode="json"), "values": [0.0, 1.0], "seeds": 1}, "cpu")
    with pytest.raises(BadRecipe) as error:
        run(store, job)
    assert error.value.code == "sweep_unmeasured"


def test_it_can_go_on_and_its_points_go_when_it_is_thrown_away(store, sweep):
    job = sweep([0.0], epochs=1)
    assert resumable(store, job)
    run(store, job)
    store.claim(job.id, 1)
    store.end(job.id, "failed")
    store.requeue(job.id)
    store.ask_stop(job.id, "discard")
    assert discard_queued(store, store.job(job.id))
    assert not store.jobs("train") and not list((store.home.root / "runs").iterdir())


def test_one_that_explodes_does_not_end_the_others(store, sweep, monkeypatch):
    from transfer_core.errors import TrainingFailed
    from transfer_core.training import fit as fitting

    real = fitting.fit

    def fit(recipe, *given, **more):
        if recipe.lambda_omega == 1.0:
            raise TrainingFailed("not_finite", epoch=1, learning_rate=1.0)
        yield from real(recipe, *given, **more)

    def explodes(recipe, *given, **more):
        yield from fit(recipe, *given, **more)

    monkeypatch.setattr(fitting, "fit", explodes)
    events, answered = run(store, sweep([0.0, 1.0, 10.0], epochs=1))
    assert [row["lambda"] for row in answered["points"]] == [0.0, 10.0]
    assert len(store.jobs("train")) == 2
    note, why = [event for event in events if isinstance(event, Note)]
    assert why.message.key == "errors.not_finite.text"
    assert (note.message.key, note.level, note.message.values["value"]) == ("sweep.failed", "warning", "1")


def test_an_answer_without_points_recommends_nothing():
    assert answer([]) == {"points": [], "recommended": None, "split": "validation"}


@pytest.mark.parametrize("text", ["0, 0.1, 10", "0;0.1;10", "0，0.1、10", " 0 0.1  10 ", "0,\t0.1,,10"])
def test_values_may_be_parted_in_any_usual_way(text):
    assert numbers(text) == [0, 0.1, 10]


@pytest.mark.parametrize(("n", "kept_is_share", "shown"), [(6, True, False), (600, True, True), (600, False, False)])
def test_what_luck_may_have_done_is_not_shown(n, kept_is_share, shown):
    """Equal in what they learned, 95 and 80 % kept: six images cannot tell that apart, six hundred can."""
    points = [Swept(value=value, seed=0, turn=0, accuracy=0.9, low=0, high=1, n=n, kept=kept, kept_images=n,
                    kept_is_share=kept_is_share, run="run") for value, kept in ((1.0, 0.95), (10.0, 0.8))]
    assert told_apart(points) is shown
