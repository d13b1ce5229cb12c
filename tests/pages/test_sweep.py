"""The trial of several λ: asked for on the Model page, watched on its own, gone on with like any training."""

from __future__ import annotations

import pytest
import stories
from test_model import bound

from pages.shared.sweep.plot import spec
from pages.shared.text import plain
from transfer_core.events import Failed, Progressed, Swept
from transfer_core.metrics import wilson
from transfer_core.recipe import Recipe
from transfer_core.store import Store
from transfer_core.store.jobs import Job
from transfer_core.sweeping import Tried
from transfer_core.words import languages, message, say


@pytest.fixture
def dataset(store: Store) -> str:
    return stories.dataset(store)


def texts(app) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption))


def button(app, key: str):
    return next(each for each in app.button if each.key == key)


def began(store: Store, *accuracies: float, state: str = "running") -> Job:
    """A sweep over 0.1, 1, 10, … with λ of the source loss, as far as it has come."""
    recipe = Recipe(dataset="colours-1", freeze=0, source_loss="lwf", regularizer=None)
    values = [0.1, 1.0, 10.0, 100.0]
    job = stories.begun(store, "sweep", {"recipe": recipe.model_dump(mode="json"), "values": values, "seeds": 1})
    store.append(job.id, Progressed(stage="sweep", done=100 * len(accuracies), total=400))
    for value, accuracy, kept in zip(values, accuracies, (0.9, 0.7, 0.3, 0.1), strict=False):
        run = store.enter("train", {"recipe": recipe.but(lambda_target=value).model_dump(mode="json"), "sweep": job.id}, "cpu")
        store.append(job.id, Swept(value=value, seed=0, turn=0, accuracy=accuracy, low=0, high=1, n=50, kept=kept, drift=0.004,
                                   run=run))
    if state != "running":
        store.end(job.id, state, {})
    return store.job(job.id)


@pytest.mark.parametrize("language", languages())
def test_without_a_sweep_the_way_to_one_is_shown(visit, language):
    for where in ({}, {"job": "sweep-gone"}):
        app = visit("sweep", lang=language, **where)
        assert not app.exception and say("sweep.none", language) in texts(app) and button(app, "sweep-to-model")


@pytest.mark.parametrize("language", languages())
def test_the_recommended_one_stands_first_with_its_reason(visit, store, dataset, language):
    app = visit("sweep", job=began(store, 0.6, 0.88, 0.9, state="finished").id, lang=language)
    assert not app.exception and not app.error
    why = say("sweep.why_keeps", language, value="1", kept="70", accuracy="88", n=50, best="90", best_value="10", best_kept="30",
              error="4", seeds=1)
    assert why in texts(app)
    assert button(app, "sweep-use").label == say("sweep.use", language, value="1")
    assert app.dataframe[0].value["value"].tolist() == ["0.1", "1 ★", "10"]
    assert app.dataframe[0].value["kept"].tolist() == [90, 70, 30]


def test_while_it_goes_nothing_is_recommended_yet(visit, store, dataset):
    app = visit("sweep", job=began(store, 0.6, 0.9).id)
    assert not app.exception
    assert not [each for each in app.button if each.key == "sweep-use"] and button(app, "sweep-stop")
    assert len(app.dataframe[0].value) == 2
    button(app, "sweep-stop").click().run()
    assert store.jobs("sweep")[0].stop == "keep"


def test_before_the_first_point_it_says_so(visit, store, dataset):
    app = visit("sweep", job=began(store).id)
    assert not app.exception and say("sweep.waiting") in [info.value for info in app.info]


def test_one_that_failed_says_why(visit, store, dataset):
    job = began(store, state="failed")
    store.append(job.id, Failed(message=message("errors.worker_died.text")))
    assert plain(say("errors.worker_died.text")) in [error.value for error in visit("sweep", job=job.id).error]


def test_taking_one_goes_on_with_its_training(visit, store, dataset):
    app = visit("sweep", job=began(store, 0.6, 0.9, state="finished").id)
    button(app, "sweep-use").click().run()
    queued, = store.jobs("train", "queued")
    assert app.query_params["run"] in (queued.id, [queued.id])
    assert Recipe(**queued.payload["recipe"]).lambda_target == 1.0


def test_its_trainings_are_no_runs_until_one_is_taken(visit, store, dataset):
    began(store, 0.6, 0.9, state="finished")
    app = visit("runs")
    assert not app.exception and not app.dataframe
    assert say("sweep.listed") in [each.label for each in app.expander]
    store.requeue(store.jobs("train")[0].id)
    assert len(visit("runs").dataframe[0].value) == 1


def test_it_is_asked_for_where_lambda_is_chosen(visit, store, dataset):
    app = visit("model", dataset=dataset, preset="everything", source_loss="lwf")
    values = next(each for each in app.text_input if each.key.startswith("sweep-values"))
    values.set_value("0, 1, 1, 10").run()
    assert say("sweep.count", count=3) in texts(app)
    button(app, "sweep-start").click().run()
    job, = store.jobs("sweep")
    assert (job.payload["values"], job.payload["seeds"]) == ([0, 1, 10], 1)
    assert Recipe(**job.payload["recipe"]).source_loss == "lwf"


@pytest.mark.parametrize("text", ["", "many", "-1", "1:2", "nan", "1, inf"])
def test_what_is_no_list_of_numbers_is_not_begun(visit, store, dataset, text):
    app = visit("model", dataset=dataset, preset="everything", source_loss="lwf")
    values = next(each for each in app.text_input if each.key.startswith("sweep-values"))
    values.set_value(text).run()
    assert say("sweep.bad_values") in [error.value for error in app.error]
    assert button(app, "sweep-start").disabled and not store.jobs("sweep")


def test_without_a_lambda_nothing_is_offered(visit, dataset):
    app = visit("model", dataset=dataset, regularizer="none")
    assert not [each for each in app.button if each.key == "sweep-start"]
    assert bound(app.radio, "setting-regularizer").value == "none"


def test_a_trial_is_deleted_with_the_trainings_nobody_took(visit, store, dataset):
    job = began(store, 0.6, 0.9, state="finished")
    taken = store.jobs("train")[0]
    store.requeue(taken.id)
    app = visit("sweep", job=job.id)
    button(app, "sweep-delete").click().run()
    assert not store.jobs("sweep") and [each.id for each in store.jobs("train")] == [taken.id]
    assert say("sweep.none") in texts(visit("sweep", job=job.id))


def test_one_that_was_interrupted_can_go_on(visit, store, dataset):
    app = visit("sweep", job=began(store, 0.6, state="failed").id)
    button(app, "sweep-resume").click().run()
    assert store.jobs("sweep")[0].state == "queued"


def test_where_there_are_two_lambdas_it_says_which_one_varies(visit, store, dataset):
    said = say("sweep.varies_lambda_target", name=say("objective.source_lwf_title"))
    both = visit("model", dataset=dataset, preset="everything", source_loss="lwf", regularizer="l2_sp")
    assert not both.exception and said in texts(both)
    assert said not in texts(visit("model", dataset=dataset, preset="everything", source_loss="lwf", regularizer="none"))


def test_both_axes_have_intervals_where_there_is_a_share():
    shares = [Tried(1.0, 0.9, 0.7, 1, 50, kept_n=40), Tried(10.0, 0.9, 0.95, 1, 50, kept_n=40)]
    drawn = spec(shares, shares[0])
    row = drawn["data"]["values"][0]
    assert (row["kept_low"], row["kept_high"]) == wilson(28, 40) and (row["low"], row["high"]) == wilson(45, 50)
    start, end = drawn["layer"][1]["encoding"]["x"]["scale"]["domain"]
    assert 0 < start < wilson(28, 40)[0] and end == 1
    assert [(row["right"], row["left"]) for row in drawn["data"]["values"]] == [("λ = 1", ""), ("", "λ = 10")]
    similar = Tried(1.0, 0.9, 0.7, 1, 50)
    row, = spec([similar], similar)["data"]["values"]
    assert row["kept_low"] == row["kept"] == row["kept_high"]


def test_the_repeats_of_the_recommended_one_are_averaged(visit, store, dataset):
    job = began(store, 0.6, state="finished")
    first = store.jobs("train")[0]
    app = visit("sweep", job=job.id)
    assert "sweep-average" not in [each.key for each in app.button]
    again = store.enter("train", {**first.payload, "recipe": {**first.payload["recipe"], "seed": 1}}, "cpu")
    for run in (first.id, again):
        (store.home.run(run) / "model.safetensors").write_bytes(b"")
    store.append(job.id, Swept(value=0.1, seed=1, turn=1, accuracy=0.7, low=0, high=1, n=50, kept=0.8, run=again))
    app = visit("sweep", job=job.id)
    assert not app.exception and button(app, "sweep-average").label == say("sweep.average", value="0.1", count=2)
    button(app, "sweep-average").click().run()
    queued, = store.jobs("train", "queued")
    assert queued.payload["soup"]["runs"] == [first.id, again]
    assert app.query_params["run"] in (queued.id, [queued.id])
