"""A limit of minutes: the best model by then, in any case one, and a learning rate that falls at its end. The clock
is the test's: no machine is too fast or too slow for it."""

from __future__ import annotations

import pytest
import torch
from drawn_colours import drawn
from events_of import of
from safetensors.torch import load_file

from transfer_core.errors import BadRecipe
from transfer_core.events import Cached, Epoch, Finished, Note, Progressed, Started, Step
from transfer_core.progress import Progress, fold, verdict
from transfer_core.training import loop
from transfer_core.training.budget import Budget
from transfer_core.training.fit import fit
from transfer_core.training.models import load_run
from transfer_core.training.step import train_step

STEPS = 4
"""Of an epoch: 24 photos, 6 in a batch."""


class Clock:
    """Time passes when a step is made (a second), when validation images are looked at, and when the test says so."""

    def __init__(self, monkeypatch, looking: float = 0.0) -> None:
        self.now = 1000.0
        real = loop._validate

        def look(*given):
            self.now += looking
            return real(*given)

        monkeypatch.setattr(loop, "_validate", look)

    def __call__(self) -> float:
        return self.now

    def step(self, training, images, labels):
        self.now += 1.0
        return train_step(training, images, labels)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def trained(recipe, manifest, home, out, clock, **more):
    return list(fit(recipe, manifest, home, out, device="cpu", clock=clock, step=clock.step, **more))


def told(events) -> str:
    return verdict(fold(Progress(), events)).say()


def test_with_time_for_everything_the_curve_is_that_of_no_limit(recipe, manifest, home, tmp_path, clock):
    free = trained(recipe.but(epochs=3), manifest, home, tmp_path / "free", clock)
    ample = trained(recipe.but(epochs=3, minutes=10), manifest, home, tmp_path / "ample", clock)
    assert [(e.train, e.validation) for e in of(Epoch, free)] == [(e.train, e.validation) for e in of(Epoch, ample)]
    assert not ample[-1].out_of_time and not free[-1].out_of_time
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("free", "ample"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_best_by_then_is_kept_and_said(recipe, manifest, home, tmp_path, clock):
    events = trained(recipe.but(epochs=20, minutes=10 / 60), manifest, home, tmp_path, clock)
    epochs, end = of(Epoch, events), events[-1]
    assert [epoch.step for epoch in epochs] == [STEPS, 2 * STEPS, 10]
    assert [epoch.whole for epoch in epochs] == [True, True, False]
    assert isinstance(end, Finished) and end.out_of_time and not end.stopped_early
    assert end.best_epoch == max(epoch.epoch for epoch in epochs if epoch.best)
    assert epochs[-1].seconds_left == 0
    assert f"epoch {end.best_epoch} of 20 was the best" in told(events)
    load_run(tmp_path)


def test_the_learning_rate_comes_to_its_end_with_the_time(recipe, manifest, home, tmp_path, clock, monkeypatch):
    monkeypatch.setattr(loop, "REPORT_EVERY", -1.0)
    limited = recipe.but(epochs=100, minutes=20 / 60, warmup=0)
    free = [step.learning_rate for step in of(Step, trained(limited.but(epochs=100, minutes=None), manifest, home, tmp_path / "a",
                                                              clock)) if step.epoch <= 5]
    rates = [step.learning_rate for step in of(Step, trained(limited, manifest, home, tmp_path / "b", clock))]
    assert len(rates) == 20
    assert rates[:16] == free[:16], "by the epochs, until the last fifth of the time"
    assert rates[16:] == pytest.approx([recipe.learning_rate * part for part in (1, 0.75, 0.5, 0.25)], rel=0.03)


def test_before_one_epoch_is_through_what_there_is_becomes_the_model(recipe, manifest, home, tmp_path, clock):
    """Of four seconds two are kept for the first look: nobody knows yet that it takes none."""
    events = trained(recipe.but(epochs=20, minutes=4 / 60), manifest, home, tmp_path, clock)
    only, = of(Epoch, events)
    assert (only.step, only.whole, only.best, events[-1].out_of_time) == (2, False, True, True)
    assert "before even one of 20 epochs was through" in told(events)
    load_run(tmp_path)


def test_a_look_at_the_validation_images_fits_in(recipe, manifest, home, tmp_path, monkeypatch):
    """It takes three seconds: of fifteen, two epochs of four seconds and two looks leave one, which is no time for another."""
    clock = Clock(monkeypatch, looking=3.0)
    events = trained(recipe.but(epochs=20, minutes=15 / 60), manifest, home, tmp_path, clock)
    assert [epoch.step for epoch in of(Epoch, events)] == [4, 8]
    assert events[-1].out_of_time and clock.now - 1000 <= 15


def test_time_counts_over_a_resume_and_not_while_nothing_runs(recipe, manifest, home, tmp_path, clock):
    limited = recipe.but(epochs=20, minutes=10 / 60)
    first = fit(limited, manifest, home, tmp_path, device="cpu", clock=clock, step=clock.step)
    for event in first:
        if isinstance(event, Epoch):
            break
    first.close()
    clock.now += 10_000
    rest = trained(limited, manifest, home, tmp_path, clock, resume=True)
    assert [epoch.step for epoch in of(Epoch, rest)] == [8, 10]
    assert rest[-1].seconds == pytest.approx(10)
    again = trained(limited, manifest, home, tmp_path, clock, resume=True)
    assert again[-1].out_of_time and not of(Started, again) and not of(Epoch, again)


def test_an_interrupted_training_with_a_limit_ends_as_an_undisturbed_one(recipe, manifest, home, tmp_path, clock):
    limited = recipe.but(epochs=20, minutes=10 / 60)
    whole = trained(limited, manifest, home, tmp_path / "whole", clock)
    part = fit(limited, manifest, home, tmp_path / "part", device="cpu", clock=clock, step=clock.step)
    for event in part:
        if isinstance(event, Epoch):
            break
    part.close()
    rest = trained(limited, manifest, home, tmp_path / "part", clock, resume=True)
    assert [e.validation for e in of(Epoch, rest)] == [e.validation for e in of(Epoch, whole)[1:]]


def test_what_is_stored_takes_its_time_of_it(recipe, home, hub_free, tmp_path, monkeypatch, clock):
    from transfer_core.training.prefix import shorten

    manifest, real = drawn(home, train=8, validation=4), shorten._fill

    def slow(*given):
        for event in real(*given):
            clock.now += seconds
            yield event

    monkeypatch.setattr(shorten, "_fill", slow)
    frozen = recipe.but(weights="pretrained", freeze="all", epochs=20, minutes=20 / 60)
    seconds = 1.0
    events = trained(frozen, manifest, home, tmp_path / "quick", clock)
    assert of(Cached, events) and events[-1].seconds > 0
    seconds = 19.0
    for entry in (home.cache / "activations").iterdir():
        if entry.is_dir():
            (entry / "rows").unlink(missing_ok=True)
    events = trained(frozen, manifest, home, tmp_path / "slow", clock)
    assert of(Epoch, events) and events[-1].out_of_time


def test_storing_that_would_take_all_the_time_is_given_up(clock):
    budget = Budget(100.0, clock, since=clock())
    at = lambda done: Progressed(stage="features", done=done, total=100)  # noqa: E731
    clock.now += 5
    assert not budget.hopeless(at(1)), "too early to tell"
    clock.now += 15
    assert budget.hopeless(at(10)) and not budget.hopeless(at(50)) and not budget.hopeless(at(100))
    assert not Budget(None, clock, since=0.0).hopeless(at(1))


def test_given_up_storing_is_said_and_training_goes_on(recipe, manifest, home, hub_free, tmp_path, monkeypatch, clock):
    monkeypatch.setattr(Budget, "hopeless", lambda _self, event: True)
    events = trained(recipe.but(weights="pretrained", freeze="all", epochs=2, minutes=5), manifest, home, tmp_path, clock)
    assert "fit.cache.no_time" in [note.message.key for note in of(Note, events)]
    assert not of(Cached, events) and isinstance(events[-1], Finished)
    assert "would take most of the time" in next(n for n in of(Note, events) if "no_time" in n.message.key).message.say()


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), "soon"])
def test_minutes_that_are_none_are_refused(recipe, minutes):
    with pytest.raises(BadRecipe) as error:
        recipe.but(minutes=minutes)
    assert error.value.values["setting"] == "minutes"
