"""The public page of a demo, and the place where it is published, without a browser."""

from __future__ import annotations

import json
import re

import pytest
import stories

from pages.shared.demo import public
from transfer_core import demos
from transfer_core.words import languages, say


@pytest.fixture
def run(store):
    stories.dataset(store)
    return stories.finished(store)


def press(app, key: str):
    return next(button for button in app.button if button.key == key).click().run()


@pytest.mark.parametrize("language", languages())
def test_a_stranger_sees_the_model_and_no_way_into_the_studio(visit, store, run, language):
    demo, _ = demos.publish(store, run, description="For *gardeners* <b>only</b>")
    app = visit("demo", id=demo.id, lang=language)
    assert not app.exception
    assert "Colours" in app.title[0].value
    said = "\n".join(element.value for element in app.markdown)
    assert "For \\*gardeners\\*" in said, "what a person typed is no markup"
    report = demo.facts["measured"]
    numbers = {name: f"{100 * report[name]:.1f}" for name in ("accuracy", "low", "high")}
    assert say("demo.measured_test", language, n=18, **numbers) in said
    assert not app.get("page_link"), "no link leads to the photos or trainings of the owner"
    assert run.id not in str(app.main) and "colours-1" not in str(app.main)


def test_the_lines_of_a_description_stay_lines():
    assert public._lines("One *line*\n\n\nand   two") == "One \\*line\\*\n\nand two"


def test_each_opening_counts_once(visit, store, run):
    demo, _ = demos.publish(store, run)
    app = visit("demo", id=demo.id)
    app.run()
    assert store.demo(demo.id).views == 1
    visit("demo", id=demo.id)
    assert store.demo(demo.id).views == 2


@pytest.mark.parametrize("name", ["", "no-such-demo", "../../etc"])
def test_a_link_that_leads_nowhere_says_so(visit, store, run, name):
    app = visit("demo", id=name)
    assert not app.exception and app.title[0].value == say("demo.gone_title")
    assert not app.get("page_link")


@pytest.mark.parametrize("language", languages())
def test_publish_and_take_back(visit, store, run, language):
    app = visit("share", run=run.id, lang=language)
    next(box for box in app.text_input if box.key == "publish-title").set_value("My <b>model</b>")
    app.button[[button.label for button in app.button].index(say("publish.publish", language))].click().run()
    assert not app.exception
    [demo] = store.demos(run.id)
    assert demo.title == "My <b>model</b>" and demo.facts["examples"] == []
    codes = [code.value for code in app.code]
    key = next(code for code in codes if re.fullmatch(r"ts_[\w-]{32}", code))
    assert demo.opens(key)
    assert any(code.endswith(f"/demo?id={demo.id}") for code in codes)
    assert sum(key in code for code in codes) == 4, "the key itself, and in the three snippets"
    again = visit("share", run=run.id, lang=language)
    assert not any(key in code.value for code in again.code), "it is shown only once"
    press(again, f"renew-{demo.id}")
    assert not store.demo(demo.id).opens(key)
    press(again, f"ask-{demo.id}")
    press(again, f"keep-{demo.id}")
    assert store.demos(run.id), "asked once more"
    press(again, f"ask-{demo.id}")
    press(again, f"unpublish-{demo.id}")
    assert store.demos() == []
    assert any(button.label == say("publish.publish", language) for button in again.button)


def test_two_clicks_publish_once(visit, store, run):
    app = visit("share", run=run.id)
    demos.publish(store, run)
    app.button[[button.label for button in app.button].index(say("publish.publish"))].click().run()
    assert len(store.demos(run.id)) == 1


def test_a_studio_for_strangers_shows_nothing_but_demos(visit, store, run, monkeypatch):
    demo, _ = demos.publish(store, run)
    monkeypatch.setenv("TRANSFER_STUDIO_MODE", "demos")
    assert "Colours" in visit("demo", id=demo.id).title[0].value
    for name in ("home", "runs", "share", "data"):
        app = visit(name, run=run.id)
        assert not app.exception
        said = "\n".join(str(element.value) for element in (*app.title, *app.markdown, *app.caption))
        assert run.id not in said and not app.get("page_link") and not app.dataframe


def test_a_demo_whose_training_is_gone_is_taken_back_on_the_runs_page(visit, store, run):
    demo, _ = demos.publish(store, run)
    store.delete_job(run.id)
    app = press(visit("runs"), f"ask-{demo.id}")
    press(app, f"unpublish-{demo.id}")
    assert store.demos() == []


def test_numbers_nobody_measured_here_are_called_so(visit, store, run):
    file = store.home.run(run.id) / "report.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "claimed": True}))
    demo, _ = demos.publish(store, run)
    said = "\n".join(element.value for element in visit("demo", id=demo.id).markdown)
    numbers = {name: f"{100 * demo.facts['measured'][name]:.1f}" for name in ("accuracy", "low", "high")}
    assert say("demo.measured_claimed", n=18, **numbers) in said


def test_twelve_of_twelve_are_a_hundred_percent():
    row = public._row({"label": "=1+1", "support": 12, "recall": 1.0, "recall_low": 0.757, "recall_high": 1.0})
    assert list(row.values()) == ["=1+1", "12", "100 % (76 % – 100 %)"]
