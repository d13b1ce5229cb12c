"""Mixtures and averages on the pages: measured, chosen, taken, and called what they are wherever a run is named."""

from __future__ import annotations

import pytest
import stories
from test_model import bound

from pages.shared.evaluate.mixture import picture
from pages.shared.text import plain
from transfer_core.events import Averaged, Evaluated, Failed, Progressed
from transfer_core.metrics import wilson
from transfer_core.store import Job, Store
from transfer_core.words import languages, message, say

GROUPS = [("stem", "freeze"), ("layer4", "train")]
RIGHT = (30, 32, 36, 40, 43, 45, 46, 46, 45, 45, 44)  # of 50
KEPT = (1.0, 1.0, 0.98, 0.96, 0.92, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)


def found(kept=KEPT) -> dict:
    low, high = zip(*(wilson(count, 50) for count in RIGHT), strict=True)
    return {"alpha": [number / 10 for number in range(11)], "accuracy": [count / 50 for count in RIGHT], "low": list(low),
            "high": list(high), "kept": list(kept) if kept else None, "n": 50, "split": "validation"}


@pytest.fixture
def dataset(store: Store) -> str:
    return stories.dataset(store)


def trained(store: Store, groups=GROUPS, images=None, **settings) -> Job:
    """A finished training of which something other than the head learned."""
    run = stories.begun(store, "train", stories.payload(**settings))
    start = stories.started().model_copy(update={"groups": groups} | ({"images": images} if images else {}))
    store.append(run.id, start, *stories.epoch(1), *stories.epoch(2))
    run = stories.ended(store, run)
    (store.home.run(run.id) / "model.safetensors").write_bytes(b"weights")
    return run


@pytest.fixture
def run(store, dataset) -> Job:
    return trained(store, freeze=3)


def measured(store: Store, run: Job, result: dict | None = None) -> Job:
    job = store.submit("blend", {"run": run.id}, "cpu")
    store.end(job.id, "finished", result or found())
    return store.job(job.id)


def texts(app) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption))


def keys(app) -> set[str]:
    return {button.key for button in app.button}


def button(app, key: str):
    return next(each for each in app.button if each.key == key)


def titles(app) -> list[str]:
    return [each.value for each in app.subheader]


@pytest.mark.parametrize("language", languages())
def test_it_is_offered_for_a_training_and_measured_once(visit, store, run, language):
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception and say("mixture.title", language) in titles(app) and say("mixture.text", language) in texts(app)
    button(app, "mixture-measure").click().run()
    job, = store.jobs("blend")
    assert (job.payload, job.state) == ({"run": run.id}, "queued")
    assert not app.exception and "mixture-measure" not in keys(app) and say("mixture.waiting", language) in texts(app)
    again = visit("evaluate", run=run.id, lang=language)  # another tab, or a reload
    assert "mixture-measure" not in keys(again) and say("mixture.waiting", language) in texts(again)


def test_what_makes_no_sense_is_not_offered_or_says_why(visit, store, dataset):
    def section(**facts) -> tuple[bool, str]:
        app = visit("evaluate", run=trained(store, **facts).id)
        assert not app.exception and "mixture-measure" not in keys(app)
        return say("mixture.title") in titles(app), texts(app)

    assert section(groups=[("stem", "freeze"), ("layer4", "freeze")])[0] is False
    assert section(groups=[])[0] is False
    there, said = section(weights="scratch", freeze=0)
    assert there and say("mixture.scratch") in said
    there, said = section(images={"train": 84, "validation": 0, "test": 18})
    assert there and say("mixture.unmeasured") in said


@pytest.mark.parametrize("language", languages())
def test_the_suggestion_stands_first_and_the_slider_begins_at_it(visit, store, run, language):
    measured(store, run)
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception
    # 46 of 50 are best; its standard error is 3.8 points, so 45 (90 %) is as good, and α = 0.5 keeps most of those.
    why = say("mixture.why_keeps", language, share="50", kept="90", accuracy="90", n=50, best="92", best_share="60",
              best_kept="80", error="4")
    assert why in texts(app) and bound(app.slider, "mixture-share").value == 50
    low, high = (f"{100 * bound:.0f}" for bound in wilson(45, 50))
    assert say("mixture.point", language, share="50", rest="50", accuracy="90", n=50, low=low, high=high, kept="90") in texts(app)
    assert say("mixture.optimistic", language) in texts(app)


def test_the_slider_shows_any_point_and_the_address_keeps_it(visit, store, run):
    measured(store, run)
    app = visit("evaluate", run=run.id)
    bound(app.slider, "mixture-share").set_value(20).run()
    assert not app.exception and app.query_params["share"] in ("20", ["20"])
    low, high = (f"{100 * bound:.0f}" for bound in wilson(36, 50))
    assert say("mixture.point", share="20", rest="80", accuracy="72", n=50, low=low, high=high, kept="98") in texts(app)
    assert bound(visit("evaluate", run=run.id, share="20").slider, "mixture-share").value == 20
    for wrong in ("many", "25", "-10", "１０"):
        assert bound(visit("evaluate", run=run.id, share=wrong).slider, "mixture-share").value in (10, 50)


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize(("share", "kept", "key"), [
    ("0", KEPT, "point_start"), ("100", KEPT, "point_trained"), ("100", None, "point_trained_learned"),
    ("30", None, "point_learned")])
def test_the_ends_are_called_what_they_are(visit, store, run, language, share, kept, key):
    measured(store, run, found(kept))
    app = visit("evaluate", run=run.id, share=share, lang=language)
    count = RIGHT[int(share) // 10]
    low, high = (f"{100 * bound:.0f}" for bound in wilson(count, 50))
    values = {"accuracy": f"{2 * count}", "n": 50, "low": low, "high": high, "kept": "40", "share": share,
              "rest": f"{100 - int(share)}"}
    assert not app.exception and say(f"mixture.{key}", language, **values) in texts(app)
    assert button(app, "mixture-take").disabled == (share == "100")


def test_a_mixture_is_taken_once_and_found_again(visit, store, run):
    measured(store, run)
    app = visit("evaluate", run=run.id)
    assert button(app, "mixture-take").label == say("mixture.take")
    button(app, "mixture-take").click().run()
    made, = [job for job in store.jobs("train") if job.is_average]
    assert made.payload["mixture"] == {"run": run.id, "alpha": 0.5} and made.payload["recipe"] == run.payload["recipe"]
    assert not app.exception and app.query_params["run"] in (made.id, [made.id]) and app.title[0].value == say("train.title")
    again = visit("evaluate", run=run.id)
    assert button(again, "mixture-take").label == say("mixture.open")
    button(again, "mixture-take").click().run()
    assert len([job for job in store.jobs("train") if job.is_average]) == 1


def test_a_run_that_goes_while_its_page_is_open_is_said(visit, store, run):
    measured(store, run)
    app = visit("evaluate", run=run.id)
    (store.home.run(run.id) / "model.safetensors").unlink()
    button(app, "mixture-take").click().run()
    assert not app.exception and not [job for job in store.jobs("train") if job.is_average]
    assert plain(say("errors.no_trained_model.text", folder=run.id)) in [error.value for error in app.error]


def test_what_was_measured_of_older_weights_is_not_shown(visit, store, run):
    measured(store, run)
    store.end(run.id, "finished")  # it was resumed, and has ended again
    assert "mixture-measure" in keys(visit("evaluate", run=run.id))


@pytest.mark.parametrize("language", languages())
def test_a_measurement_that_failed_or_was_stopped_says_so_and_can_be_tried_again(visit, store, run, language):
    job = store.submit("blend", {"run": run.id}, "cpu")
    store.append(job.id, Failed(message=message("errors.no_linear_head.text", model="deit"),
                                hint=message("errors.no_linear_head.hint", model="deit")))
    store.end(job.id, "failed")
    app = visit("evaluate", run=run.id, lang=language)
    assert plain(say("errors.no_linear_head.text", language, model="deit")) in app.error[0].value
    button(app, "mixture-measure").click().run()
    assert store.jobs("blend")[0].state == "queued"
    store.ask_stop(store.jobs("blend")[0].id, "discard")
    app = visit("evaluate", run=run.id, lang=language)
    assert say("mixture.stopped", language) in texts(app) and "mixture-measure" in keys(app)


def test_the_picture_says_what_it_shows():
    drawn = picture(found(), 5)
    assert drawn.count("<circle") == 11 and drawn.count('<path d="M') == 11 and drawn.count('stroke-opacity=".4"') == 11
    assert say("mixture.alt", share="50", learned="90", kept="90") in drawn
    assert picture(found(None), 5).count('<path d="M') == 0


# A run that is an average

def average(store: Store, made: dict, averaged: Averaged | None = None, state: str = "finished") -> Job:
    run = stories.begun(store, "train", stories.payload() | made)
    store.append(run.id, Progressed(stage="blending", done=1, total=2))
    if averaged is None:
        return run
    report = stories.measured(store, run)
    store.append(run.id, averaged, Evaluated(split="test", report=report))
    score = {name: report[name] for name in ("accuracy", "low", "high", "n")}
    told = averaged.model_dump(exclude={"type"}) | {"left": averaged.left}
    store.end(run.id, state, {"epochs": 0, "best_epoch": None, "test": score, "files": {}, "averaged": told})
    return store.job(run.id)


@pytest.fixture
def mixture(store, run) -> Job:
    return average(store, {"mixture": {"run": run.id, "alpha": 0.6}}, Averaged(runs=[run.id], alpha=0.6))


@pytest.fixture
def soup(store, run) -> Job:
    runs = [run.id, trained(store).id, trained(store).id]
    return average(store, {"soup": {"runs": runs}}, Averaged(runs=runs[:2], order=runs, alone=[0.8, 0.75, 0.5],
                                                             validation=[0.8, 0.85, 0.6], n=20))


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("page", ["evaluate", "train", "runs", "home", "predict", "share"])
def test_wherever_it_is_named_it_is_no_training(visit, mixture, soup, page, language):
    for run, short in ((mixture, say("mixture.made.short_mixture", language, share="60")),
                       (soup, say("mixture.made.short_soup", language, count=2))):
        app = visit(page, run=run.id, lang=language)
        assert not app.exception and not app.error
        said = texts(app) + ("".join(app.dataframe[0].value["made"]) if page == "runs" else "")
        assert short in said
        assert "mixture-measure" not in keys(app) and say("mixture.title", language) not in titles(app)


@pytest.mark.parametrize("language", languages())
def test_its_pages_say_what_it_is_made_of_and_claim_no_epochs(visit, mixture, soup, language):
    whats = ((mixture, say("mixture.made.mixture", language, share="60", rest="40")),
             (soup, say("mixture.made.soup_of", language, count=2, tried=3)))
    for run, what in whats:
        for page in ("evaluate", "train"):
            app = visit(page, run=run.id, lang=language)
            assert what in texts(app) and not app.exception
        assert say("train.card_how", language, epochs=10, batch=32, rate="0.003", seed=0) not in texts(app)
        assert [metric.label for metric in app.metric] == [say("train.test", language)]
    assert app.dataframe[0].value["taken"].tolist() == [True, True, False]
    assert app.dataframe[0].value["together"].tolist() == [80, 85, 60]
    assert say("mixture.made.optimistic", language, n=20) in texts(app)


@pytest.mark.parametrize("language", languages())
def test_what_was_measured_before_it_was_taken_is_told_again(visit, store, run, mixture, language):
    assert say("mixture.recalled", language) not in texts(visit("evaluate", run=mixture.id, lang=language))
    measured(store, run)
    app = visit("evaluate", run=mixture.id, lang=language)
    low, high = (f"{100 * bound:.0f}" for bound in wilson(46, 50))
    assert say("mixture.point", language, share="60", rest="40", accuracy="92", n=50, low=low, high=high, kept="80") in texts(app)
    assert say("mixture.recalled", language) in texts(app) and not app.exception


@pytest.mark.parametrize("language", languages())
def test_while_it_is_made_and_when_it_fails(visit, store, run, language):
    made = average(store, {"mixture": {"run": run.id, "alpha": 0.6}})
    app = visit("train", run=made.id, lang=language)
    assert not app.exception and say("mixture.made.mixture", language, share="60", rest="40") in texts(app)
    assert "stop-keep" not in keys(app) and "stop-discard" in keys(app)
    store.append(made.id, Failed(message=message("errors.worker_died.text")))
    store.end(made.id, "failed")
    app = visit("train", run=made.id, lang=language)
    assert say("mixture.made.failed", language) in texts(app) and app.error
    button(app, "resume").click().run()
    assert store.job(made.id).state == "queued"


@pytest.mark.parametrize("ran", [False, True])
def test_one_that_was_stopped_can_go_on_unless_it_was_thrown_away(visit, store, run, ran):
    made = stories.payload() | {"mixture": {"run": run.id, "alpha": 0.6}}
    job = stories.begun(store, "train", made) if ran else store.submit("train", made, "cpu")
    store.ask_stop(job.id, "discard")
    if ran:
        store.end(job.id, "stopped", {})
    app = visit("train", run=job.id)
    assert not app.exception and ("resume" in keys(app)) == (not ran)
    assert (say("mixture.made.thrown_away") in texts(app)) == ran


def test_what_it_was_made_of_may_be_gone(visit, store, run, mixture, soup):
    store.delete_job(run.id)
    for made in (mixture, soup):
        for page in ("evaluate", "train", "runs"):
            app = visit(page, run=made.id)
            assert not app.exception and not app.error
    assert say("mixture.made.gone") in texts(visit("evaluate", run=mixture.id))


# Several chosen in the list

def choose(app, *rows: int):
    app.session_state["runs-table"] = {"selection": {"rows": list(rows), "columns": [], "cells": []}}
    return app.run()


@pytest.mark.parametrize("language", languages())
def test_several_of_a_kind_are_averaged(visit, store, run, language):
    other = trained(store, seed=5)
    app = choose(visit("runs", lang=language), 0, 1)
    assert not app.exception and "delete-run" not in keys(app)
    assert button(app, "average-runs").label == say("mixture.several.start", language, count=2)
    button(app, "average-runs").click().run()
    made, = [job for job in store.jobs("train") if job.is_average]
    assert made.payload["soup"] == {"runs": [other.id, run.id]}
    assert not app.exception and app.query_params["run"] in (made.id, [made.id])


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize(("settings", "key"), [
    ({"model": "resnet18.a1_in1k"}, "differs_model"), ({"image_size": 64}, "differs_image_size"),
    ({"version": 2}, "differs_version"), ({"dataset": "other-1"}, "differs_dataset"), ({"weights": "scratch"}, "soup_starts"),
    (None, "no_model")])
def test_several_that_do_not_go_together_say_why(visit, store, run, settings, key, language):
    if settings is None:
        stories.running(store)
    else:
        trained(store, **settings)
    app = choose(visit("runs", lang=language), 0, 1)
    assert not app.exception and "average-runs" not in keys(app)
    assert [info.value for info in app.info] == [say(f"mixture.several.{key}", language)]


def test_random_starts_are_no_start(visit, store, dataset):
    trained(store, weights="scratch", seed=1), trained(store, weights="scratch", seed=2)
    app = choose(visit("runs"), 0, 1)
    assert [info.value for info in app.info] == [say("mixture.several.soup_untrained")]
