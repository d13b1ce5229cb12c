"""Also test every photo once: the switch beside Start, and what becomes of it."""

from __future__ import annotations

import json

import pytest
import stories
from photos import dataset, param
from test_folds import FOUND

from transfer_core.words import languages, say


def switch(app):
    (found,) = [toggle for toggle in app.toggle if toggle.key.startswith("folds-on")]
    return found


def texts(app) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption))


def start(app) -> None:
    next(button for button in app.button if button.key == "start").click()
    app.run()


@pytest.fixture
def few(store, tmp_path):
    return dataset(store, tmp_path / "photos", {"oak": 14, "maple": 10})


@pytest.mark.parametrize("language", languages())
def test_with_few_photos_it_is_on_by_itself_and_goes_into_the_job(visit, store, few, language):
    app = visit("train", dataset=few.id, lang=language)
    assert not app.exception and switch(app).value and not switch(app).disabled
    assert switch(app).label == say("beside.toggle", language, count=5)
    assert say("beside.takes_slow", language, time=say("model.about_minutes", language, count=1))[:12] in texts(app)
    start(app)
    (run,) = store.jobs("train")
    assert run.payload["folds"] == 5 and "folds" not in run.payload["recipe"]


def test_switched_off_it_stands_in_the_address_and_stays_off(visit, store, few):
    app = visit("train", dataset=few.id)
    switch(app).set_value(False).run()
    assert param(app, "folds") == "0" and not switch(app).value
    again = visit("train", dataset=few.id, folds="0")
    assert not switch(again).value
    start(again)
    assert "folds" not in store.jobs("train")[0].payload
    back = visit("train", dataset=few.id, folds="0")
    switch(back).set_value(True).run()
    assert "folds" not in back.query_params, "what goes without saying leaves the address"


@pytest.mark.parametrize("asked", ["yes", "", "999999", "-1", "<b>"])
def test_a_strange_address_is_no_answer(visit, few, asked):
    app = visit("train", dataset=few.id, folds=asked)
    assert not app.exception and switch(app).value


def test_with_many_photos_it_is_off_and_can_be_asked_for(visit, store, tmp_path, monkeypatch):
    monkeypatch.setattr("transfer_core.jobs.beside.FEW", 24)
    made = dataset(store, tmp_path / "photos", {"oak": 14, "maple": 10})
    app = visit("train", dataset=made.id)
    assert not switch(app).value and say("beside.many", count=24) in texts(app).replace("\\", "")
    switch(app).set_value(True).run()
    assert param(app, "folds") == "5"
    start(app)
    assert store.jobs("train")[0].payload["folds"] == 5


def test_with_too_few_it_cannot_be_and_says_why(visit, store, tmp_path):
    made = dataset(store, tmp_path / "photos", {"oak": 14, "<b>x *y*": 4})
    app = visit("train", dataset=made.id, folds="5")
    assert not app.exception and switch(app).disabled and not switch(app).value
    assert say("errors.too_few_to_fold.text", name="<b>x *y*", count=4, folds=5) in texts(app).replace("\\", "")
    assert "<b>x" not in texts(app)
    start(app)
    assert "folds" not in store.jobs("train")[0].payload


def test_without_its_photos_there_is_nothing_to_ask(visit, store):
    app = visit("train", dataset=stories.dataset(store))
    assert not app.exception and not [toggle for toggle in app.toggle if toggle.key.startswith("folds-on")]


@pytest.fixture
def run(store, few):
    return stories.ended(store, stories.running(store, dataset=few.id))


@pytest.mark.parametrize("language", languages())
def test_while_it_is_made_the_pages_say_so_and_list_no_second_run(visit, store, run, language):
    job = store.submit("crossvalidate", {"recipe": run.payload["recipe"], "folds": 5, "repeats": 1, "request": run.id}, "cpu")
    app = visit("train", run=run.id, lang=language)
    assert not app.exception and say("beside.under_way", language) in texts(app)
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception and "folds-stop" in {button.key for button in app.button}
    for page in ("home", "runs"):
        app = visit(page, lang=language)
        assert not app.exception and job.id not in texts(app)
    assert len(app.dataframe[0].value) == 1


@pytest.mark.parametrize("language", languages())
def test_the_score_says_both_and_which_to_quote(visit, store, run, language):
    before = visit("evaluate", run=run.id, lang=language)
    assert say("beside.quote", language, n=24, few=18) not in texts(before)
    job = store.submit("crossvalidate", {"recipe": run.payload["recipe"], "folds": 5, "repeats": 1}, "cpu")
    store.end(job.id, "finished", FOUND)
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception
    assert say("beside.both", language, n=24, value="75", low="55", high="88") in texts(app)
    assert say("beside.quote", language, n=24, few=18) in texts(app)


def test_what_few_photos_could_not_show_and_all_do_is_not_warned_of(visit, store, run):
    """15 of 18 are shown to be better than the baseline here; with a lower score they are not."""
    file = store.home.run(run.id) / "report.json"
    report = json.loads(file.read_text("utf-8"))
    report["test"] |= {"low": 0.3, "baseline": 0.33}
    file.write_text(json.dumps(report), "utf-8")
    warning = say("evaluate.no_better_than_baseline")
    assert warning in [each.value for each in visit("evaluate", run=run.id).warning]
    job = store.submit("crossvalidate", {"recipe": run.payload["recipe"], "folds": 5, "repeats": 1}, "cpu")
    store.end(job.id, "finished", FOUND)  # 55 to 88 %, where the largest class is 58
    assert warning in [each.value for each in visit("evaluate", run=run.id).warning]
    store.end(job.id, "finished", {**FOUND, "baseline": 0.5})
    assert warning not in [each.value for each in visit("evaluate", run=run.id).warning]
