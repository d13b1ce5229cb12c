"""Runs without a browser: the table in every state, opening, deleting and taking it back."""

from __future__ import annotations

from urllib.parse import parse_qsl

import numpy as np
import pytest
import stories

from pages.shared.runs.listing import PAGE
from transfer_core.activations import Shelf, Spec
from transfer_core.recipe import Recipe
from transfer_core.words import languages, say


def press(app, key: str):
    next(button for button in app.button if button.key == key).click()
    return app.run()


@pytest.mark.parametrize("language", languages())
def test_no_run_yet(visit, store, language):
    app = visit("runs", lang=language)
    assert not app.exception and app.subheader[0].value == say("runs.empty_title", language)
    assert [button.key for button in app.button] == ["runs-to-data"]


@pytest.mark.parametrize("language", languages())
def test_every_state_is_a_row(visit, store, language):
    stories.dataset(store)
    stories.finished(store, freeze=3)
    stories.failed(store)
    stories.thrown_away(store)
    stories.ended(store, stories.running(store, freeze=0), "stopped")
    stories.running(store)
    stories.queued(store)
    app = visit("runs", lang=language)
    assert not app.exception
    table = app.dataframe[0].value  # newest first
    states = [say(f"runs.state_{state}", language) for state in ("queued", "running", "stopped", "stopped", "failed", "finished")]
    assert list(table["state"]) == states
    assert list(table["score"].dropna().round(1)) == [83.3, 83.3]
    assert list(table["freeze"])[2:] == [say("runs.freeze_none", language), *[say("runs.freeze_all", language)] * 2,
                                         say("runs.freeze_some", language, count=3)]


def choose(app, row: int):
    """Choose a row, as a click on the canvas would."""
    app.session_state["runs-table"] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    return app.run()


def test_a_run_is_opened_where_it_is_of_use(visit, store):
    stories.dataset(store)
    done, live = stories.finished(store), stories.running(store)
    app = press(choose(visit("runs"), 1), "open-run")
    assert not app.exception and app.title[0].value == say("evaluate.title") and done.id in str(app.query_params["run"])
    app = press(choose(visit("runs"), 0), "open-run")
    assert not app.exception and app.title[0].value == say("train.title") and live.id in str(app.query_params["run"])


def test_a_live_run_cannot_be_deleted(visit, store):
    stories.dataset(store)
    stories.running(store)
    app = choose(visit("runs"), 0)
    assert next(button for button in app.button if button.key == "delete-run").disabled


def test_a_deleted_run_can_be_taken_back(visit, store):
    stories.dataset(store)
    run = stories.finished(store)
    app = press(choose(visit("runs"), 0), "delete-run")
    assert not app.exception and not store.jobs("train")
    press(app, "undo-delete")
    assert not app.exception and [job.id for job in store.jobs("train")] == [run.id]


def test_the_next_training_starts_with_the_settings_of_the_chosen_run(visit, store):
    stories.dataset(store)
    stories.finished(store, freeze=3, patience=9, seed=5)
    app = choose(visit("runs", epochs="12", lang="zh"), 0)
    link = next(link for link in app.get("page_link") if link.proto.label == say("train.another", "zh"))
    query = dict(parse_qsl(link.proto.query_string))
    assert (query["epochs"], query["patience"], query["seed"], query["freeze"]) == ("10", "9", "5", "3")
    assert "run" not in query and (query["lang"], query["dataset"]) == ("zh", "colours-1")


@pytest.mark.parametrize("language", languages())
def test_what_is_stored_is_shown_and_cleared(visit, store, language):
    stories.dataset(store)
    stories.finished(store)
    assert "clear-stored" not in {button.key for button in visit("runs", lang=language).button}
    shelf = Shelf(store.home)
    entry = shelf.entry(Spec("p", "pytorch", {}, {}, ((2_000_000,),), "float32"))
    assert entry.take_turn(5)
    entry.append(["0" * 64], [np.ones((1, 2_000_000), np.float32)])
    entry.done()
    app = visit("runs", lang=language)
    assert "8 MB" in "".join(caption.value for caption in app.caption)
    app = press(app, "clear-stored")
    assert shelf.bytes == 0
    assert "clear-stored" not in {button.key for button in app.button}


def test_many_runs_come_in_pages(visit, store):
    """51 trainings, and the points of a sweep among them, which are none: the newest 50 first, then the oldest."""
    name = stories.dataset(store)
    for _ in range(PAGE + 1):
        stories.queued(store)
        store.enter("train", {"recipe": Recipe(dataset=name).model_dump(), "sweep": "sweep-1"}, "cpu")
    app = visit("runs")
    assert not app.exception and len(app.dataframe[0].value) == PAGE == 50
    pages = next(each for each in app.get("pagination") if each.proto.id.endswith("runs-page-2"))
    assert pages.proto.num_pages == 2
    assert [run.created for run in store.runs(PAGE)] == sorted((run.created for run in store.runs(PAGE)), reverse=True)
    assert len(store.runs(PAGE, PAGE)) == 1 and store.run_count() == PAGE + 1
