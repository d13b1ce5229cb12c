"""Heat maps and the hidden middle, without a browser: asked once, waited for, shown, or told why not."""

from __future__ import annotations

import pytest
import stories

from transfer_core.jobs.heat import picture
from transfer_core.words import languages, message, say

LOOKED = {"split": "test", "n": 40, "few": 30, "centre": 0.7, "baseline": 0.5, "baseline_class": "red",
          "full": {"correct": 38, "accuracy": 0.95, "low": 0.83, "high": 0.99},
          "centre_hidden": {"correct": 36, "accuracy": 0.9, "low": 0.77, "high": 0.96, "kept": 0.9},
          "centre_only": {"correct": 22, "accuracy": 0.55, "low": 0.4, "high": 0.69, "kept": 0.1},
          "verdict": "looks_at_background", "reason": "border_suffices"}


def ended(store, kind: str, payload: dict, result: dict | None, state: str = "finished"):
    job = stories.begun(store, kind, payload)
    store.end(job.id, state, result)
    return store.job(job.id)


def html(app) -> str:
    return "\n".join(element.proto.body for element in app.get("html"))


@pytest.mark.parametrize("language", languages())
def test_mistakes_are_asked_about_once_and_then_shown(visit, store, language):
    stories.dataset(store)
    run = stories.finished(store)
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception
    app.button(key="mistakes-heat").click().run()
    (job,) = store.jobs("explain")
    assert job.payload["run"] == run.id
    assert [photo["label"] for photo in job.payload["photos"]] == ["red", "green *x*", "green *x*"]
    app.run()
    assert len(store.jobs("explain")) == 1 and "mistakes-heat" not in {button.key for button in app.button}
    store.end(job.id, "finished", {"photos": [{"label": "<b>red", "probability": 0.9},
                                              {"error": message("errors.no_file.text", file="x").model_dump()}]})
    assert "mistakes-heat" in {button.key for button in visit("evaluate", run=run.id).button}, "no picture is there (any more)"
    picture(store.home, job.id, 0).write_bytes(b"a picture")
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception and f'src="/heat/{job.id}/0.webp"' in html(app) and "&lt;b&gt;red" in html(app)
    assert f"/heat/{job.id}/1.webp" not in html(app)


def test_a_model_that_cannot_be_asked_says_why_and_can_be_asked_again(visit, store):
    from transfer_core.events import Failed

    stories.dataset(store)
    run = stories.finished(store)
    app = visit("evaluate", run=run.id)
    app.button(key="mistakes-heat").click().run()
    (job,) = store.jobs("explain")
    store.append(job.id, Failed(message=message("errors.no_heat_map.text", model="coat")))
    store.end(job.id, "failed")
    app = visit("evaluate", run=run.id)
    assert not app.exception and any("coat" in each.value for each in app.error)
    assert "mistakes-heat" in {button.key for button in app.button}


@pytest.mark.parametrize("language", languages())
def test_a_model_that_looks_at_the_background_is_warned_of(visit, store, language):
    stories.dataset(store)
    run = stories.finished(store)
    app = visit("evaluate", run=run.id, lang=language)
    app.button(key="looks-check").click().run()
    (job,) = store.jobs("background")
    assert job.payload == {"run": run.id}
    store.end(job.id, "finished", LOOKED)
    app = visit("evaluate", run=run.id, lang=language)
    told = say("background.border_suffices", language, n=40, few=30, baseline="50", full="95", hidden="90", only="55")
    assert told in [each.value for each in app.warning] and not app.exception
    assert say("background.centre_only", language) in html(app)


def test_what_was_measured_of_other_weights_is_not_shown(visit, store):
    """The run was resumed, and ended anew, after it was looked at."""
    stories.dataset(store)
    run = stories.running(store)
    ended(store, "background", {"run": run.id}, LOOKED)
    stories.ended(store, run)
    assert "looks-check" in {button.key for button in visit("evaluate", run=run.id).button}
