"""Take home without a browser: each file with its size and its proof."""

from __future__ import annotations

import pytest
import stories

from pages.shared.share import files
from transfer_core.events import Finished
from transfer_core.words import languages, say


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
    assert app.code[0].value.startswith("unzip 'My colours.zip' -d my-model")


@pytest.mark.parametrize(("difference", "key", "value"), [
    (0.0, "below", "0.001"), (9e-7, "below", "0.001"), (1e-5, "below", "0.01"), (2e-4, "below", "0.1"), (0.001, "up_to", "0.1"),
    (0.0234, "up_to", "2.3")])
def test_a_difference_is_said_in_percentage_points(difference, key, value):
    assert files._apart(difference) == say(f"share.{key}", value=value)


def test_a_run_without_files_says_so(visit, store):
    stories.dataset(store)
    run = stories.running(store)
    store.append(run.id, Finished(seconds=3))
    store.end(run.id, "finished", {"epochs": 2})
    app = visit("share", run=run.id)
    assert not app.exception and app.info[0].value == say("share.none")
