"""Every photo tested once, as the Check page offers and tells it."""

from __future__ import annotations

import pytest
import stories
from photos import dataset

from transfer_core.events import Note
from transfer_core.jobs.run import CAME_BACK
from transfer_core.words import languages, message, say

FOUND = {"n": 24, "groups": 24, "accuracy": {"value": 0.75, "low": 0.55, "high": 0.88}, "spread": 0.1, "baseline": 0.58,
         "repeats": [0.75], "folds": [{"repeat": 0, "fold": fold, "n": 5, "accuracy": share}
                                      for fold, share in enumerate((0.6, 0.8, 0.8, 1.0, 0.6))], "first": {}}


def texts(app) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption))


@pytest.fixture
def run(store, tmp_path):
    made = dataset(store, tmp_path / "photos", {"oak": 14, "maple": 10})
    return stories.ended(store, stories.running(store, dataset=made.id))


@pytest.mark.parametrize("language", languages())
def test_it_is_offered_begun_once_and_told(visit, store, run, language):
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception and say("folds.few", language, count=24) in texts(app)
    assert say("folds.count", language, count=5) in texts(app), "this machine's speed is not known"
    app.button(key="folds-start").click().run()
    (job,) = store.jobs("crossvalidate")
    assert job.payload == {"recipe": run.payload["recipe"], "folds": 5, "repeats": 1}
    store.end(job.id, "finished", FOUND)
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception and "folds-start" not in {button.key for button in app.button}
    assert say("folds.found", language, n=24, count=1, value="75", low="55", high="88", baseline="58") in texts(app)
    assert say("folds.spread", language, worst="60", best="100", count=5, spread="10") in texts(app)


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_one_that_failed_or_came_back_with_a_backup_goes_on_where_it_was(visit, store, run, state):
    app = visit("evaluate", run=run.id)
    app.button(key="folds-start").click().run()
    (job,) = store.jobs("crossvalidate")
    if state == "stopped":
        store.append(job.id, Note(message=message(CAME_BACK)))
    store.end(job.id, state)
    app = visit("evaluate", run=run.id)
    app.button(key="folds-start").click().run()
    (again,) = store.jobs("crossvalidate")
    assert (again.id, again.state) == (job.id, "queued") and not app.exception


def test_too_few_photos_are_said_to_be_too_few(visit, store, tmp_path):
    made = dataset(store, tmp_path / "photos", {"oak": 14, "maple": 4})
    run = stories.ended(store, stories.running(store, dataset=made.id))
    app = visit("evaluate", run=run.id)
    assert not app.exception and "folds-start" not in {button.key for button in app.button}
    assert say("errors.too_few_to_fold.text", name="maple", count=4, folds=5) in texts(app).replace("\\", "")


def test_without_its_photos_it_is_not_offered(visit, store):
    stories.dataset(store)  # a dataset of which no manifest lies here
    app = visit("evaluate", run=stories.finished(store).id)
    assert not app.exception and say("folds.title") not in [header.value for header in app.subheader]
