"""Would more photos help? As the Check page offers it, draws it and says what would help most."""

from __future__ import annotations

import pytest
import stories
from photos import dataset

from transfer_core.words import languages, say

ODD = "<b>x</b> | $y$ *z*"


def point(share: float, train: int, value: float) -> dict:
    return {"share": share, "train": train, "epochs": 10, "spread": 0.01, "repeats": [value - 0.02, value, value + 0.02],
            "accuracy": {"value": value, "low": value - 0.1, "high": min(1, value + 0.1)}}


FOUND = {"split": "test", "n": 60, "groups": 60, "points": [point(0.25, 20, 0.6), point(0.5, 40, 0.7), point(1.0, 80, 0.8)],
         "gain": {"from": 40, "to": 80, "value": 0.1, "low": 0.031, "high": 0.169}, "verdict": "rising",
         "twice": {"train": 160, "low": 0.82, "high": 0.9}, "whole": [ODD], "baseline": 0.5, "baseline_class": "oak",
         "per_class": [{"label": ODD, "n": 30, "value": 0.5, "low": 0.3, "high": 0.7},
                       {"label": "oak", "n": 30, "value": 0.95, "low": 0.8, "high": 1.0}],
         "confusions": [], "mistakes": 12.0, "fit": {"train": 0.97, "validation": 0.9, "images": 20}, "trainings": 9, "hits": 8}


def texts(app) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption))


@pytest.fixture
def run(store, tmp_path):
    made = dataset(store, tmp_path / "photos", {"oak": 14, "maple": 10})
    return stories.ended(store, stories.running(store, dataset=made.id))


def told(visit, store, run, language="en", **changes):
    job = store.submit("learning_curve", {"recipe": run.payload["recipe"], "shares": [0.25, 0.5, 1.0], "repeats": 3}, "cpu")
    store.end(job.id, "finished", {**FOUND, **changes})
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception
    return app


@pytest.mark.parametrize("language", languages())
def test_it_is_offered_with_its_price_and_begun_once(visit, store, run, language):
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception and say("curve.text", language) in texts(app)
    before = say("curve.takes_slow", language, count=9, time="\0").split("\0")[0]
    assert any(line.value.startswith(before) for line in app.caption), "this machine's speed is not known"
    app.button(key="curve-start").click().run()
    (job,) = store.jobs("learning_curve")
    assert job.payload == {"recipe": run.payload["recipe"], "shares": [0.25, 0.5, 1.0], "repeats": 3}
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception and "curve-stop" in {button.key for button in app.button}
    store.end(job.id, "failed")
    app = visit("evaluate", run=run.id, lang=language)
    app.button(key="curve-start").click().run()
    assert [(each.id, each.state) for each in store.jobs("learning_curve")] == [(job.id, "queued")]


@pytest.mark.parametrize("language", languages())
def test_a_rising_curve_says_how_far_it_may_rise_and_what_helps(visit, store, run, language):
    app = told(visit, store, run, language)
    said = texts(app)
    assert say("curve.rising", language, first=40, second=80, n=60, gain="10.0", low="3.1", high="16.9") in said
    assert say("curve.twice", language, count=160, low="82", high="90") in said
    why = say("advice.photos.why_weak", language, names=f"{ODD} (50 %)", accuracy="80")
    assert why in said.replace("\\", "") and "<b>x" not in said, "a stranger's class name is text"


def test_what_is_not_shown_is_not_said_and_the_test_is_tested_first(visit, store, run):
    gain = {"from": 40, "to": 80, "value": 0.03, "low": -0.08, "high": 0.14}
    app = told(visit, store, run, verdict="not_shown", gain=gain, twice=None)
    said = texts(app)
    assert say("curve.not_shown_up_to", high="14") in said
    assert "power law" not in said
    assert f"[{say('advice.small.do_fold')}](#folds)" in said and say("advice.unchecked.why") in said.replace("\\", "")


@pytest.mark.parametrize("language", languages())
def test_no_points_more_are_not_called_more(visit, store, run, language):
    gain = {"from": 40, "to": 80, "value": 0.0, "low": -0.09, "high": 0.09}
    app = told(visit, store, run, language, verdict="not_shown", gain=gain, twice=None)
    assert say("curve.not_more", language, first=40, second=80, n=60, gain="0.0", low="-9.0", high="9.0") in texts(app)


def test_nothing_stands_out(visit, store, run):
    check = store.submit("check", {"dataset": run.payload["recipe"]["dataset"], "version": 1}, "cpu")
    store.end(check.id, "finished", {"looked_at": 24, "counts": {"label_errors": 0, "leaks": 0}})
    gain = {"from": 40, "to": 80, "value": 0.0, "low": -0.01, "high": 0.01}
    app = told(visit, store, run, verdict="level", gain=gain, twice=None)
    assert say("advice.none") in texts(app)


def test_too_few_to_leave_some_out_is_said(visit, store, tmp_path):
    made = dataset(store, tmp_path / "photos", {"oak": 3, "maple": 3})
    app = visit("evaluate", run=stories.ended(store, stories.running(store, dataset=made.id)).id)
    assert not app.exception and "curve-start" not in {button.key for button in app.button}


def test_without_its_photos_it_is_not_offered(visit, store):
    stories.dataset(store)
    app = visit("evaluate", run=stories.finished(store).id)
    assert not app.exception and say("curve.title") not in [header.value for header in app.subheader]
