"""Check without a browser: the score as it was worked out by hand, and what is said before there is one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import stories

from transfer_core import metrics
from transfer_core.words import languages, say

PAGES = ("evaluate", "predict", "share")


def texts(app) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption))


def keys(app) -> set[str]:
    return {button.key for button in app.button}


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("page", PAGES)
def test_without_a_model_it_says_what_is_missing(visit, store, page, language):
    app = visit(page, lang=language)
    assert not app.exception
    assert app.subheader[0].value == say("needs.title", language)
    assert say("needs.no_run", language) in texts(app)
    assert keys(app) == {"needs-data"}


@pytest.mark.parametrize("page", PAGES)
def test_a_wrong_address_offers_the_models_there_are(visit, store, page):
    stories.dataset(store)
    run = stories.finished(store)
    app = visit(page, run="train-gone")
    assert say("needs.unknown_run") in texts(app)
    choose = next(button for button in app.button if button.key == f"choose-{run.id}")
    assert "83 %" in choose.label
    choose.click()
    app.run()
    assert not app.exception and run.id in str(app.query_params["run"])
    assert "needs-data" not in keys(app)


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("page", PAGES)
def test_a_live_run_is_watched_first_and_a_run_without_a_model_is_named(visit, store, page, language):
    stories.dataset(store)
    live = visit(page, run=stories.running(store).id, lang=language)
    assert live.subheader[0].value == say("needs.live_title", language) and keys(live) == {"to-live"}
    failed = visit(page, run=stories.queued(store).id, lang=language)
    assert keys(failed) == {"to-live"}


@pytest.mark.parametrize("page", PAGES)
def test_failed_and_thrown_away_runs_left_no_model(visit, store, page):
    stories.dataset(store)
    for run in (stories.failed(store), stories.thrown_away(store)):
        app = visit(page, run=run.id)
        assert say("needs.no_model") in texts(app) and not app.exception


@pytest.mark.parametrize("page", PAGES)
def test_a_deleted_run_is_unknown_and_a_deleted_dataset_harms_nothing(visit, store, page):
    dataset = stories.dataset(store)
    run = stories.finished(store)
    store.delete_dataset(dataset)
    assert not visit(page, run=run.id).exception
    store.delete_job(run.id)
    assert say("needs.unknown_run") in texts(visit(page, run=run.id))


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("state", ["finished", "stopped"])
def test_the_score_comes_with_its_interval_its_baseline_and_its_n(visit, store, language, state):
    stories.dataset(store)
    run = stories.ended(store, stories.running(store), state)
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception and not app.error and not app.warning
    # 15 of 18: Wilson's interval is 0.608 … 0.942; six of eighteen are the largest class.
    sentence = say("evaluate.sentence_test", language, n=18, correct=15, low="61", high="94", baseline="33", name="red")
    assert sentence in texts(app)
    assert say("evaluate.wide", language, n=18, more=54) == app.info[0].value
    assert [metric.value for metric in app.metric[:2]] == ["83 %", "83 %"] and len(app.metric) == 6
    low, high = (float(bound) for bound in app.metric[3].delta.split(" – "))
    assert 0.5 < low < float(app.metric[3].value) < high < 1
    assert say("evaluate.alike", language, n=18, evidence=18) not in texts(app)
    assert say("evaluate.top", language, count=2, truth="\\<b\\>blue\\</b\\>", predicted="green \\*x\\*") in texts(app)
    assert "next-predict" in keys(app)


@pytest.mark.parametrize("language", languages())
def test_copies_among_the_test_photos_are_said_to_be_no_evidence(visit, store, language):
    stories.dataset(store)
    run = stories.ended(store, stories.running(store))
    report = store.home.run(run.id) / "report.json"
    found = json.loads(report.read_text("utf-8"))
    found["test"]["evidence"] = 11.6
    report.write_text(json.dumps(found), "utf-8")
    app = visit("evaluate", run=run.id, lang=language)
    assert f":material/straighten: {say('evaluate.alike', language, n=18, evidence=12)}" in [note.value for note in app.caption]
    assert say("evaluate.wide", language, n=18, more=35) == app.info[0].value


@pytest.mark.parametrize(("row", "column", "photos", "key"),
                         [(2, "1", 2, "cell"), (0, "0", 6, "cell_right"), (1, "2", 0, "cell")])
def test_a_cell_opens_its_photos(visit, store, row, column, photos, key):
    stories.dataset(store)
    app = visit("evaluate", run=stories.finished(store).id)
    app.session_state["confusion"] = {"selection": {"rows": [], "columns": [], "cells": [(row, column)]}}
    app.run()
    names = ["red", "green \\*x\\*", "\\<b\\>blue\\</b\\>"]
    assert not app.exception
    assert say(f"evaluate.{key}", count=photos, truth=names[row], predicted=names[int(column)]) in texts(app)
    grid = next(element.proto.body for element in app.get("html") if element.proto.body.startswith('<div class="photos">'))
    assert grid.count("<figure") == photos
    assert "<b>blue" not in grid.replace("<b>&lt;b&gt;blue", "")  # a class name is never markup


def test_a_score_from_validation_photos_says_so(visit, store):
    stories.dataset(store)
    run = stories.ended(store, stories.running(store), split="validation")
    app = visit("evaluate", run=run.id)
    assert say("evaluate.only_validation") in app.warning[0].value


def test_a_run_whose_results_are_gone_says_so(visit, store):
    stories.dataset(store)
    run = stories.finished(store)
    for file in store.home.run(run.id).glob("predictions_*"):
        file.unlink()
    assert visit("evaluate", run=run.id).info[0].value == say("evaluate.none")


KEPT = {"agreement": ({}, "75", "53", "89", 20), "source": ({"source_accuracy": 0.5, "source_images": 8}, "50", "22", "78", 8),
        "similarity": ({"agreement": None}, "90", "", "", 20), "frozen": ({"drift": {}, "agreement": 1.0}, "", "", "", 20)}


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("kind", KEPT)
def test_what_was_learned_stands_beside_what_it_cost(visit, store, kind, language):
    stories.dataset(store)
    changes, kept, low, high, n = KEPT[kind]
    run = stories.begun(store, "train", stories.payload())
    store.append(run.id, stories.started(), *(event for number in (1, 2) for event in stories.epoch(
        number, kept=stories.KEPT.model_copy(update=changes))))
    app = visit("evaluate", run=stories.ended(store, run).id, lang=language)
    assert not app.exception
    assert say(f"kept.{kind}", language, percent="67", kept=kept, n=n, low=low, high=high, epoch=2) in texts(app)
    drift = [each.label for each in app.expander if each.label == say("kept.drift", language, percent="1")]
    assert len(drift) == (kind != "frozen")


def test_a_training_from_before_it_was_measured_has_no_such_part(visit, store):
    stories.dataset(store)
    run = stories.begun(store, "train", stories.payload())
    store.append(run.id, stories.started(), *stories.epoch(1, kept=None))
    app = visit("evaluate", run=stories.ended(store, run).id)
    assert not app.exception and say("kept.title") not in [element.value for element in app.subheader]


@pytest.mark.parametrize("language", languages())
def test_a_model_that_came_without_its_photos_shows_what_its_zip_says(visit, store, language):
    run = stories.ended(store, stories.begun(store, "train", {**stories.payload(), "name": "Hats [b]", "claimed": True}))
    folder = store.home.run(run.id)
    for file in folder.glob("predictions_*"):
        file.unlink()
    told = metrics.named_only(np.array([[8, 2], [1, 7]]), ["red", "<b>blue"], {})
    (folder / "classes.json").write_text('["red", "<b>blue"]', "utf-8")
    (folder / "report.json").write_text(json.dumps({"claimed": True, "images": {}, "test": {**told, "log_loss": None}}), "utf-8")
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception
    assert app.warning[0].value == say("evaluate.claimed", language)
    assert say("evaluate.top", language, count=2, truth="red", predicted="\\<b\\>blue") in texts(app)
    assert any("Hats" in caption.value for caption in app.caption), "a name, and not the number of photos that are not here"
    assert "looks-check" not in keys(app), "nothing that needs the photos"
