"""Take home without a browser: each file with its size and its proof."""

from __future__ import annotations

import pytest
import stories

from pages.shared.share import files, snippets
from transfer_core.events import Exported, Failed, Finished
from transfer_core.words import languages, message, say


def links(app) -> str:
    return "".join(element.proto.body for element in app.get("html"))


@pytest.mark.parametrize("language", languages())
def test_the_files_and_what_they_answered(visit, store, language):
    stories.dataset(store)
    run = stories.finished(store)
    app = visit("share", run=run.id, lang=language)
    assert not app.exception
    assert f'href="/files/{run.id}/My%20colours.zip" download' in links(app)
    assert f'href="/files/{run.id}/model.onnx" download' in links(app)
    assert say("share.download", language, size="27.1 MB") in links(app)
    checked = say("share.replayed", language, n=18, difference=say("share.below", language, value="0.001"))  # 6e-7
    assert any(checked in caption.value for caption in app.caption)
    # One of 18 answers differs: that is no small print.
    apart = say("share.up_to", language, value="2")
    assert app.warning[0].value == say("share.differs", language, n=18, same=17, difference=apart)
    assert app.code[0].value.startswith('python -m zipfile -e "My colours.zip" my-model\ncd my-model\n')


@pytest.mark.parametrize(("difference", "key", "value"), [
    (0.0, "below", "0.001"), (9e-7, "below", "0.001"), (1e-5, "below", "0.01"), (2e-4, "below", "0.1"), (0.001, "up_to", "0.1"),
    (0.0234, "up_to", "2.3")])
def test_a_difference_is_said_in_percentage_points(difference, key, value):
    assert files._apart(difference) == say(f"share.{key}", value=value)


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("page", ["evaluate", "share"])
def test_a_report_is_offered_in_the_visitors_language(visit, store, page, language):
    stories.dataset(store)
    run = stories.finished(store)
    app = visit(page, run=run.id, lang=language)
    assert not app.exception
    assert f'href="/report/{run.id}?lang={language}" download' in links(app)
    assert say("share.report_download", language) in links(app)


def test_a_run_that_was_never_measured_offers_no_report(visit, store):
    stories.dataset(store)
    run = stories.running(store)
    store.append(run.id, Finished(seconds=3))
    store.end(run.id, "finished", {"epochs": 2})
    assert "/report/" not in links(visit("share", run=run.id))


@pytest.mark.parametrize(("name", "written"), [
    ("hats.zip", "hats.zip"), ("苹果 🍎.zip", '"苹果 🍎.zip"'), ("$HOME `ls`.zip", "'$HOME `ls`.zip'"),
    ("it's.zip", '"it\'s.zip"')])
def test_the_name_of_the_zip_is_one_word_for_a_terminal(name, written):
    assert snippets.quoted(name) == written


def test_a_run_without_files_says_so(visit, store):
    stories.dataset(store)
    run = stories.running(store)
    store.append(run.id, Finished(seconds=3))
    store.end(run.id, "finished", {"epochs": 2})
    app = visit("share", run=run.id)
    assert not app.exception and app.info[0].value == say("share.none")


def press(app, key: str):
    return next(button for button in app.button if button.key == key).click().run()


@pytest.mark.parametrize("language", languages())
def test_a_format_is_made_when_it_is_asked_for(visit, store, language):
    stories.dataset(store)
    run = stories.finished(store)
    app = visit("share", run=run.id, lang=language)
    press(app, "make-html")
    [job] = store.jobs("export")
    assert not app.exception and job.payload == {"run": run.id, "format": "html"}
    assert not any(button.key == "make-html" for button in app.button), "it is being made"
    store.claim(job.id, 1)
    made = Exported(format="html", file="My colours.html", bytes=22_000_000, replayed=18, same=18, largest_difference=6e-7)
    store.append(run.id, made)
    store.end(job.id, "finished", {})
    assert f'href="/files/{run.id}/My%20colours.html" download' in links(visit("share", run=run.id, lang=language))


def test_a_format_that_failed_says_why_and_can_be_tried_again(visit, store):
    stories.dataset(store)
    run = stories.finished(store)
    job = stories.begun(store, "export", {"run": run.id, "format": "pt2"})
    store.append(job.id, Failed(message=message("errors.no_web_runtime.text", version="1.0")))
    store.end(job.id, "failed")
    app = visit("share", run=run.id)
    assert not app.exception
    assert say("errors.no_web_runtime.text", version="1.0").split("(")[0] in app.error[0].value
    press(app, "make-pt2")
    assert len(store.jobs("export", "queued")) == 1


def test_what_a_small_file_costs_is_said(visit, store):
    stories.dataset(store)
    run = stories.finished(store)
    store.append(run.id, Exported(format="onnx-int8", file="model-int8.onnx", bytes=4_000_000, replayed=18, same=15,
                                  largest_difference=0.4, right=14, right_before=15))
    app = visit("share", run=run.id)
    said = say("share.quantized", n=18, right=14, low="54.8", high="91.0", before=15, same=15)
    assert any(said in caption.value for caption in app.caption)
