"""Compare without a browser: what differs, what is shown and what is luck, and what cannot be compared."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import stories

from transfer_core.words import languages, say


def texts(app) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption))


def answering(store, right: int, **settings):
    """A finished training that names the first `right` of 40 test photos rightly."""
    run = stories.finished(store, **settings)
    folder = store.home.run(run.id)
    classes = ["red", "green *x*", "<b>blue</b>"]
    rows = [{"sha256": f"{number:064x}", "file": f"{number}.jpg", "label": classes[number % 3],
             "predicted": classes[(number + (number >= right)) % 3], "probabilities": [0.5, 0.3, 0.2]} for number in range(40)]
    (folder / "predictions_test.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return run


@pytest.mark.parametrize("language", languages())
def test_what_is_shown_and_what_may_be_luck(visit, store, language):
    """Of 40: 30 against 39 right is 0 against 9 photos (p = 2/512); 39 against 37 is 2 against 0 (p = 1/2). Three pairs."""
    stories.dataset(store)
    runs = [answering(store, right, seed=seed) for seed, right in enumerate((30, 39, 37))]
    app = visit("compare", runs=",".join(run.id for run in runs), lang=language)
    assert not app.exception and not app.error
    shown, found = say("compare.shown", language), texts(app)
    assert shown.split("**")[1].format(first=1, second=2) in found  # the better one, whichever was chosen first
    assert found.count("p = 0.012") == 1 and "p = 0.031" in found, "2/512 · 3, and 2/128 · 2"
    assert say("compare.adjusted", language, count=3) in found
    settings = app.dataframe[1].value
    assert list(settings["setting"]) == [say("settings.seed", language)] and list(settings.iloc[0])[1:] == ["0", "1", "2"]


def test_the_better_one_is_named_whichever_was_chosen_first(visit, store):
    stories.dataset(store)
    good, bad = answering(store, 39), answering(store, 25, seed=1)
    for runs, first, second in (((good, bad), 2, 1), ((bad, good), 1, 2)):
        app = visit("compare", runs=",".join(run.id for run in runs))
        assert f"**{second} is better than {first}**: +35.0" in texts(app)


def test_one_alone_nothing_and_a_stranger_lead_to_the_runs(visit, store):
    stories.dataset(store)
    run = stories.finished(store)
    for runs in ({}, {"runs": run.id}, {"runs": f"{run.id},{run.id},gone,../../etc"}):
        app = visit("compare", **runs)
        assert not app.exception and say("compare.none") in texts(app)
        assert [button.key for button in app.button] == ["compare-to-runs"]


def test_what_was_not_measured_is_named_and_not_compared(visit, store):
    stories.dataset(store)
    runs = [stories.finished(store), stories.running(store, seed=5)]
    app = visit("compare", runs=",".join(run.id for run in runs))
    assert not app.exception and say("compare.unmeasured", numbers="2") in texts(app)
    assert "p = " not in texts(app)


def test_other_photos_are_said_to_be_others(visit, store):
    stories.dataset(store)
    one, other = answering(store, 30), answering(store, 30, seed=1)
    file = store.home.run(other.id) / "predictions_test.jsonl"
    file.write_text(file.read_text("utf-8").replace('"sha256": "0', '"sha256": "f'), "utf-8")
    app = visit("compare", runs=f"{one.id},{other.id}")
    assert say("compare.apart") in texts(app) and not app.exception


def test_several_chosen_runs_offer_it(visit, store):
    stories.dataset(store)
    runs = [stories.finished(store), stories.finished(store, seed=1)]
    app = visit("runs")
    app.session_state["runs-table"] = {"selection": {"rows": [0, 1], "columns": [], "cells": []}}
    app.run()
    next(button for button in app.button if button.key == "compare-runs").click()
    app.run()
    assert not app.exception and app.title[0].value == say("compare.title")
    assert set(str(app.query_params["runs"]).strip("[]'").split(",")) == {run.id for run in runs}
    assert isinstance(app.dataframe[0].value, pd.DataFrame) and len(app.dataframe[0].value) == 2
