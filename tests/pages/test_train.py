"""Train without a browser: the card, and a run in each of its states, told by stories nobody trained."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa
import stories

from transfer_core.events import Finished, Note
from transfer_core.jobs.run import CAME_BACK
from transfer_core.store.schema import jobs
from transfer_core.words import languages, message, say


def keys(app) -> set[str]:
    return {button.key for button in app.button}


def texts(app) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption))


def numbers(app) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


@pytest.mark.parametrize("language", languages())
def test_without_photos_it_sends_to_the_photos(visit, store, language):
    app = visit("train", lang=language)
    assert not app.exception
    assert app.subheader[0].value == say("train.empty_title", language)
    assert keys(app) == {"to-data"}


@pytest.mark.parametrize("language", languages())
def test_the_card_says_what_will_happen(visit, store, language):
    app = visit("train", lang=language, dataset=stories.dataset(store), preset="head_only")
    assert not app.exception
    told = texts(app)
    assert say("train.card_split", language, train=84, validation=18, test=18) in told
    assert say("train.card_freeze_all", language) in told
    assert "Colours \\[a\\]" in told  # a stranger's brackets are no link
    assert numbers(app)[say("train.minutes", language)] == say("train.unknown", language)  # nothing was measured here


def test_start_queues_the_recipe_of_the_address_and_a_second_click_finds_it(visit, store):
    app = visit("train", dataset=stories.dataset(store), epochs="3", seed="7")
    start = next(button for button in app.button if button.key == "start")
    start.click()
    app.run()
    run, = store.jobs("train")
    assert (run.payload["recipe"]["epochs"], run.payload["recipe"]["seed"]) == (3, 7)
    assert run.payload["name"] == store.datasets()[0].name  # the run outlives its dataset
    assert run.id in str(app.query_params["run"])
    assert "start" not in keys(app)


def test_a_wrong_run_is_said_and_a_new_one_can_be_started_all_the_same(visit, store):
    app = visit("train", dataset=stories.dataset(store), run="train-gone")
    assert app.warning[0].value == say("train.no_such_run")
    next(button for button in app.button if button.key == "start").click()
    app.run()
    assert len(store.jobs("train")) == 1


def test_a_job_that_is_no_training_is_no_run(visit, store):
    job = store.submit("import", {"example": "leaves", "name": "Leaves"})
    for page in ("train", "evaluate", "predict", "share", "model", "data"):
        assert not visit(page, run=job.id).exception


@pytest.mark.parametrize("language", languages())
def test_a_queued_run_says_its_place(visit, store, language):
    stories.dataset(store)
    first, second, third = (stories.queued(store, seed=seed) for seed in range(3))
    assert say("train.starting", language) in texts(visit("train", run=first.id, lang=language))
    assert say("train.queued", language, count=1) in texts(visit("train", run=second.id, lang=language))
    assert say("train.queued", language, count=2) in texts(visit("train", run=third.id, lang=language))


@pytest.mark.parametrize("language", languages())
def test_a_running_one_shows_its_numbers_and_can_be_stopped(visit, store, language):
    stories.dataset(store)
    run = stories.running(store)
    app = visit("train", run=run.id, lang=language)
    assert not app.exception and not app.warning and not app.error
    assert numbers(app) == {
        say("train.epoch", language): "2 / 10", say("train.best", language): "67 %",  # 6 + 3 + 3 of 18
        say("train.rate", language): "0.00042", say("train.speed", language): say("train.per_second", language, count="12")}
    assert {"stop-keep", "stop-discard"} <= keys(app) and "to-evaluate" not in keys(app)
    next(button for button in app.button if button.key == "stop-keep").click()
    app.run()
    assert store.job(run.id).stop == "keep"
    assert say("train.stopping", language) in texts(app) and "stop-keep" not in keys(app)


def test_before_the_first_epoch_there_is_nothing_to_keep(visit, store):
    stories.dataset(store)
    run = stories.running(store, epochs=0)
    app = visit("train", run=run.id)
    keep = next(button for button in app.button if button.key == "stop-keep")
    assert keep.disabled and say("train.stop_early") in texts(app)
    next(button for button in app.button if button.key == "stop-discard").click()
    app.run()
    assert store.job(run.id).stop == "discard"


def test_a_worker_that_fell_silent_is_noticed(visit, store):
    stories.dataset(store)
    run = stories.running(store)
    with store._write() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == run.id).values(heartbeat=time.time() - 300))
    assert visit("train", run=run.id).warning[0].value.startswith(say("train.silent", seconds=300)[:12])


@pytest.mark.parametrize("language", languages())
def test_a_finished_one_leads_on(visit, store, language):
    stories.dataset(store)
    run = stories.finished(store)
    app = visit("train", run=run.id, lang=language)
    assert not app.exception
    found = numbers(app)
    assert found[say("train.test", language)] == "83 %"  # 15 of 18
    assert found[say("train.took", language)] == say("train.seconds", language, count=75)
    assert say("train.rate", language) not in found
    assert keys(app) == {"to-evaluate"}


@pytest.mark.parametrize("language", languages())
def test_a_failed_one_says_why_and_what_to_do(visit, store, language):
    stories.dataset(store)
    run = stories.failed(store)
    app = visit("train", run=run.id, lang=language)
    assert not app.exception
    error, = app.error
    assert "\\[c\\]\\(http" in error.value  # what a stranger named is no link
    assert keys(app) == {"resume"}
    next(button for button in app.button if button.key == "resume").click()
    app.run()
    assert store.job(run.id).state == "queued" and not app.error


def test_a_failed_one_without_a_checkpoint_cannot_be_resumed(visit, store):
    stories.dataset(store)
    assert keys(visit("train", run=stories.failed(store, resumable=False).id)) == set()


@pytest.mark.parametrize("language", languages())
def test_stopped_and_kept_stopped_and_thrown_away(visit, store, language):
    stories.dataset(store)
    kept = visit("train", run=stories.ended(store, stories.running(store), "stopped").id, lang=language)
    assert say("train.kept", language, epoch=2, percent="67") in texts(kept)
    assert keys(kept) == {"to-evaluate"}
    gone = visit("train", run=stories.thrown_away(store).id, lang=language)
    assert say("train.thrown_away", language) in texts(gone)
    assert keys(gone) == set()


def test_notes_are_text_and_warnings_stand_out(visit, store):
    stories.dataset(store)
    run = stories.running(store)
    odd = message("errors.no_such_model.text", model="<i>x</i>")
    store.append(run.id, Note(message=odd), Note(level="warning", message=odd))
    app = visit("train", run=run.id)
    assert "\\<i\\>" in app.warning[0].value
    assert say("train.notes", count=1) in {expander.label for expander in app.expander}


@pytest.mark.parametrize("language", languages())
def test_a_run_that_waits_says_when_it_is_likely_to_start(visit, store, language):
    stories.dataset(store)
    first = stories.running(store)
    second = stories.queued(store)
    store.append(first.id, *stories.epoch(3, left=228.0))
    app = visit("train", run=second.id, lang=language)
    assert not app.exception
    assert say("train.queued", language, count=1) in texts(app)
    assert say("train.starts_in", language, count=4) in texts(app)


def test_nobody_knows_when_a_run_behind_an_unmeasured_one_starts(visit, store):
    stories.dataset(store)
    stories.running(store, epochs=0)
    assert say("train.starts_unknown") in texts(visit("train", run=stories.queued(store).id))


@pytest.mark.parametrize("language", languages())
def test_a_time_limit_is_on_the_card_and_its_end_is_said(visit, store, language):
    dataset = stories.dataset(store)
    card = visit("train", lang=language, dataset=dataset, minutes="10")
    assert not card.exception and say("train.card_minutes", language, count=10) in texts(card)
    run = stories.running(store, epochs=0, minutes=10)
    store.append(run.id, stories.started(20).model_copy(update={"minutes": 10.0}), *stories.epoch(1), *stories.epoch(2),
                 Finished(best_epoch=2, seconds=600.0, out_of_time=True))
    store.end(run.id, "finished")
    app = visit("train", run=run.id, lang=language)
    assert not app.exception
    wanted = say("verdict.out_of_time", language, count=10, epoch=2, epochs=20, percent="67")
    assert wanted in texts(app)
    assert say("train.time_over", language) in {metric.delta for metric in app.metric}


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("epochs", [None, 0, 2])
def test_one_that_came_back_with_a_backup_waits_for_a_person(visit, store, language, epochs):
    stories.dataset(store)
    run = stories.queued(store) if epochs is None else stories.running(store, epochs=epochs)
    store.append(run.id, Note(level="warning", message=message(CAME_BACK)))
    store.end(run.id, "stopped")
    app = visit("train", run=run.id, lang=language)
    assert not app.exception and keys(app) == {"resume"}
    assert app.warning[0].value.replace("\\", "") == say(CAME_BACK, language)
    for wrong in ("train.thrown_away", "verdict.warming_up"):
        assert say(wrong, language) not in texts(app)
    assert say("verdict.learning", language, percent="67") not in texts(app), "it does not learn now"
    app.button(key="resume").click().run()
    assert store.job(run.id).state == "queued"


def test_a_failed_run_without_a_reason_can_be_resumed(visit, store):
    """Whoever was to say the reason was killed, too."""
    stories.dataset(store)
    run = stories.begun(store, "train", stories.payload())
    store.end(run.id, "failed")
    app = visit("train", run=run.id)
    assert not app.exception
    assert "resume" in keys(app)
    assert say("errors.worker_died.text").removesuffix(".") in app.error[0].value
