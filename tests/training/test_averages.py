"""Models that were not trained but averaged: exact where it can be worked out, like any other run afterwards."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from drawn_colours import drawn
from events_of import ended, of
from safetensors.torch import load_file
from test_starts import hashes

from transfer_core.datasets.manifest import Manifest
from transfer_core.errors import BadRecipe, NotFound, StudioError, Unavailable
from transfer_core.events import Averaged, Cached, Epoch, Evaluated, Exported, Finished, Progressed, Started
from transfer_core.jobs import TASKS, StopAsked
from transfer_core.jobs.averages import can_be_mixed, mixture, soup
from transfer_core.jobs.run import resumable
from transfer_core.measured import predictions
from transfer_core.progress import Progress, fold, verdict
from transfer_core.recipe import Recipe
from transfer_core.store import Store
from transfer_core.sweeping import recommend_mixture
from transfer_core.training.averaging import Sum
from transfer_core.training.models import build, load_run
from transfer_core.training.soup import greedy

# What can be worked out

ACCURACY = {"a": 0.70, "b": 0.80, "c": 0.75, "d": 0.80}


def tried(outcomes):
    """A trial that looks the average's accuracy up, and notes who was asked about."""
    asked = []

    def trial(taken, name):
        asked.append((*taken, name))
        yield Progressed(stage="soup", done=0)
        return outcomes["".join(taken) + name]

    return trial, asked


def test_the_best_goes_first_and_what_does_not_lower_the_average_stays():
    trial, asked = tried({"bd": 0.79, "bc": 0.80, "bca": 0.81})
    _, made = ended(greedy(ACCURACY, trial))
    assert made.order == ["b", "d", "c", "a"]  # of equals the one named first
    assert asked == [("b", "d"), ("b", "c"), ("b", "c", "a")]  # d is out; c changes nothing, and stays
    assert (made.runs, made.left) == (["b", "c", "a"], ["d"])
    assert (made.alone, made.validation) == ([0.80, 0.80, 0.75, 0.70], [0.80, 0.79, 0.80, 0.81])


def test_what_was_reached_is_the_mark_for_the_next():
    trial, _ = tried({"bd": 0.9, "bdc": 0.85, "bda": 0.85})
    _, made = ended(greedy(ACCURACY, trial))
    assert made.runs == ["b", "d"] and made.validation == [0.80, 0.9, 0.85, 0.85]


def test_where_nothing_helps_the_best_stands_alone():
    trial, _ = tried({"bd": 0.1, "bc": 0.1, "ba": 0.1})
    _, made = ended(greedy(ACCURACY, trial))
    assert (made.runs, made.left) == (["b"], ["d", "c", "a"])


def test_the_mean_of_equal_weights_is_that_weight_and_the_mean_of_two_lies_between():
    chance = torch.Generator().manual_seed(0)
    one, other = ({"w": torch.randn(1000, generator=chance), "bn.running_mean": torch.ones(2), "bn.running_var": torch.ones(2),
                   "n": torch.tensor(7)} for _ in range(2))
    same, norms = Sum(one).mean(one)
    total = Sum(one)
    total.add(one)
    thrice, _ = total.mean(one)
    assert torch.equal(same["w"], one["w"]) and torch.equal(thrice["w"], one["w"]) and not norms
    other["bn.running_var"] = torch.full((2,), 3.0)
    mean, norms = Sum(one).mean(other)
    assert torch.equal(mean["w"], ((one["w"].double() + other["w"].double()) / 2).float())
    assert norms == ["bn"] and mean["n"] == 7


def found(*accuracies, kept=(1.0, 0.8, 0.5)):
    return {"alpha": [0.0, 0.5, 1.0], "accuracy": list(accuracies), "kept": kept and list(kept), "n": 100}


@pytest.mark.parametrize(("points", "alpha", "key"), [
    (found(0.5, 0.88, 0.90), 0.5, "why_keeps"), (found(0.88, 0.88, 0.90), 0.0, "why_start_near"),
    (found(0.9, 0.88, 0.9), 0.0, "why_start"),
    (found(0.5, 0.9, 0.88), 0.5, "why_best"),
    (found(0.9, 0.6, 0.6, kept=None), 0.0, "why_learns_start"), (found(0.5, 0.6, 0.9, kept=None), 1.0, "why_learns_trained"),
    (found(0.5, 0.6, 0.9), 1.0, "why_trained"), (found(0.5, 0.9, 0.6, kept=None), 0.5, "why_learns")])
def test_the_suggestion_keeps_most_among_those_as_good_as_the_best(points, alpha, key):
    """90 of 100 has a standard error of 3 points: 88 is as good."""
    chosen, why = recommend_mixture(points)
    assert (chosen.value, why.key) == (alpha, f"mixture.{key}")
    for language in ("en", "zh"):
        assert f" {100 * alpha:.0f} %" in why.say(language) or key.endswith(("start", "start_near", "trained"))


# Real runs

@pytest.fixture
def store(home, monkeypatch) -> Store:
    """Its runs are measured, but not exported: that takes three seconds each."""
    monkeypatch.setattr("transfer_core.training.finish.export", lambda *_, **__: iter(()))
    drawn(home, test=4).write(home)
    return Store(home)


@pytest.fixture
def trained(store, recipe):
    """Makes a finished training, as the worker leaves it."""

    def train(**settings):
        job = store.submit("train", {"recipe": recipe.but(**settings).model_dump(mode="json"), "name": "Colours"}, "cpu")
        return work(store, job)

    return train


def left(store, **settings) -> str:
    """The id of a run that left some model."""
    recipe = Recipe(dataset="colours", model="test_resnet", **settings)
    job = store.submit("train", {"recipe": recipe.model_dump(mode="json"), "name": "Colours"}, "cpu")
    (store.home.run(job.id) / "model.safetensors").write_bytes(b"weights")
    store.end(job.id, "finished")
    return job.id


def work(store, job):
    """Do a job as a worker would; returns it as it is then."""
    events, work = [], TASKS[job.kind](job, store)
    try:
        while True:
            events.append(next(work))
            store.append(job.id, events[-1])
    except StopIteration as end:
        store.end(job.id, "finished", end.value)
    return store.job(job.id)


@pytest.fixture
def source(store, trained):
    """A training that went on from another of the same classes: it has a start worth mixing with."""
    first = trained(epochs=1, learning_rate=0.02)
    return trained(weights="run", start_from=first.id, epochs=2, learning_rate=0.02)


def mixed_run(store, source, alpha):
    return store.submit("train", mixture(store, source.id, alpha), "cpu")


def answers(store, job, split="test"):
    rows = predictions(store.home.run(job.id), split)
    return [row["probabilities"] for row in rows]


@pytest.mark.parametrize("freeze", [0, 2])
def test_a_mixture_is_a_run_like_any_other_and_answers_as_the_measured_point(store, trained, freeze, monkeypatch):
    first = trained(epochs=1, learning_rate=0.02)
    for limit in ("FEW_IMAGES", "SMALL_BATCH"):  # or BatchNorm would stand still
        monkeypatch.setattr(f"transfer_core.training.freezing.{limit}", 0)
    source = trained(weights="run", start_from=first.id, freeze=freeze, learning_rate=0.02)
    before = hashes(store.home.run(source.id))
    points = work(store, store.submit("blend", {"run": source.id}, "cpu")).result
    monkeypatch.undo()  # with all its files
    job = work(store, mixed_run(store, source, 0.6))
    events = [event for _, event in store.events(job.id)]
    assert of(Averaged, events) == [Averaged(runs=[source.id], alpha=0.6)]
    assert not [event for event in events if isinstance(event, (Epoch, Finished, Started, Cached))]
    assert {event.split for event in of(Evaluated, events)} == {"validation", "test"}
    assert {"onnx", "zip"} <= {event.format for event in of(Exported, events)}
    assert job.result["validation"]["accuracy"] == points["accuracy"][6] and job.result["epochs"] == 0
    assert job.result["averaged"]["alpha"] == 0.6 and job.result["test"]["n"] == 12
    assert hashes(store.home.run(source.id)) == before
    assert load_run(store.home.run(job.id))[1] == load_run(store.home.run(source.id))[1]


def test_all_of_the_trained_model_is_the_trained_model(store, source):
    job = work(store, mixed_run(store, source, 1.0))
    one, other = (load_file(store.home.run(each.id) / "model.safetensors") for each in (source, job))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert answers(store, job) == answers(store, source)


def test_nothing_of_it_is_the_start_with_a_fitted_head(store, source):
    job = work(store, mixed_run(store, source, 0.0))
    start = build(TASKS_RECIPE(source), 3, store.home, start=store.home.run(source.id) / "start").model.state_dict()
    model = load_file(store.home.run(job.id) / "model.safetensors")
    head = {name for name in model if name.startswith("fc") or "head" in name}
    assert head and all(torch.equal(model[name], start[name]) for name in model if name not in head)
    assert all(model[name].any() for name in head if name.endswith("weight"))
    assert job.result["test"]["accuracy"] > 1 / 3


def TASKS_RECIPE(job):  # noqa: N802
    from transfer_core.recipe import Recipe

    return Recipe(**job.payload["recipe"])


def test_a_kill_costs_nothing_but_time(store, source):
    whole = work(store, mixed_run(store, source, 0.3))
    job = mixed_run(store, source, 0.3)
    begun = TASKS["train"](job, store)
    assert isinstance(next(begun), Progressed)
    begun.close()  # killed while it was mixed
    assert resumable(store, job)
    again = TASKS["train"](job, store)
    for event in again:
        if isinstance(event, Averaged):
            break
    again.close()  # killed once the weights were there
    shutil.rmtree(store.home.run(source.id))  # and what it was made from goes
    done_ = work(store, job)
    one, other = (hashes(store.home.run(each.id))["model.safetensors"] for each in (whole, job))
    assert one == other and done_.result["averaged"]["runs"] == [source.id]


def test_stopped_before_there_is_a_model_it_leaves_nothing(store, source):
    job = mixed_run(store, source, 0.5)
    begun = TASKS["train"](job, store)
    next(begun)
    with pytest.raises(StopAsked):
        begun.throw(StopAsked("keep"))
    assert not (store.home.root / "runs" / job.id).exists()


@pytest.mark.parametrize("alpha", [-0.1, 1.0001, float("nan"), float("inf")])
def test_a_share_lies_between_none_and_all(store, source, alpha):
    with pytest.raises(BadRecipe) as error:
        mixture(store, source.id, alpha)
    assert error.value.code == "alpha_outside"


def code_of(call, *given):
    with pytest.raises(StudioError) as error:
        call(*given)
    for language in ("en", "zh"):
        assert error.value.message(language) and error.value.hint(language)
    return error.value.code


def test_what_cannot_be_mixed_says_why(store, trained, source):
    scratch = trained()
    average = work(store, mixed_run(store, source, 0.5))
    assert code_of(can_be_mixed, store, scratch.id) == "blend_untrained"
    assert code_of(can_be_mixed, store, average.id) == "blend_average"
    with pytest.raises(BadRecipe) as error:
        can_be_mixed(store, average.id)
    assert source.id in error.value.hint()
    assert code_of(can_be_mixed, store, "train-gone") == "no_run"
    queued = store.submit("train", source.payload, "cpu")
    assert code_of(can_be_mixed, store, queued.id) == "no_trained_model"
    assert not (store.home.root / "runs" / queued.id).exists()
    shutil.copytree(store.home.run(source.id), store.home.run(queued.id), dirs_exist_ok=True)
    assert code_of(can_be_mixed, store, queued.id) == "average_live"


def test_a_source_that_was_deleted_meanwhile_is_said(store, source):
    job = mixed_run(store, source, 0.5)
    store.delete_job(source.id)
    with pytest.raises(NotFound) as error:
        ended(TASKS["train"](job, store))
    assert error.value.code == "no_run"


def test_a_model_with_two_heads_is_refused(store, trained, recipe):
    first = trained(model="deit_tiny_distilled_patch16_224", epochs=1, image_size=32)
    second = trained(model="deit_tiny_distilled_patch16_224", epochs=1, image_size=32, weights="run", start_from=first.id)
    with pytest.raises(Unavailable) as error:
        ended(TASKS["train"](mixed_run(store, second, 0.5), store))
    assert error.value.code == "no_linear_head"


# Soups

def soup_run(store, *runs):
    return store.submit("train", soup(store, [run.id for run in runs]), "cpu")


@pytest.fixture
def three(store, trained):
    """Three trainings that go on from one."""
    first = trained(epochs=1, learning_rate=0.02)
    return [trained(weights="run", start_from=first.id, epochs=2, learning_rate=0.01, seed=seed, freeze=freeze)
            for seed, freeze in ((1, 0), (2, 0), (3, 2))]


def test_a_soup_is_a_run_and_says_what_is_in_it(store, three):
    before = {run.id: hashes(store.home.run(run.id)) for run in three}
    job = work(store, soup_run(store, *three))
    made, = of(Averaged, [event for _, event in store.events(job.id)])
    assert sorted(made.order) == sorted(run.id for run in three) and made.n == 12 and made.runs[0] == made.order[0]
    assert made.alone == sorted(made.alone, reverse=True) and made.validation[0] == made.alone[0]
    reached = made.validation[0]
    for run, value in zip(made.order[1:], made.validation[1:], strict=True):
        assert (run in made.runs) == (value >= reached)
        reached = max(reached, value)
    assert job.result["validation"]["accuracy"] == reached and job.result["test"]["n"] == 12
    assert {run.id: hashes(store.home.run(run.id)) for run in three} == before


def test_the_average_of_two_is_the_mean_of_their_tensors(store, trained, monkeypatch):
    from transfer_core.training import freezing
    from transfer_core.training import soup as soups

    def all_of_them(alone, trial):
        taken = list(alone)
        yield from ()
        return Averaged(runs=taken, order=taken, alone=list(alone.values()), validation=list(alone.values()))

    monkeypatch.setattr(soups, "greedy", all_of_them)
    monkeypatch.setattr(freezing, "FEW_IMAGES", 0)  # or BatchNorm would stand still
    monkeypatch.setattr(freezing, "SMALL_BATCH", 0)
    first = trained(epochs=1, learning_rate=0.02)
    two = [trained(weights="run", start_from=first.id, epochs=2, learning_rate=0.01, seed=seed) for seed in (1, 2)]
    job = work(store, soup_run(store, *two))
    one, other, mean = (load_file(store.home.run(run.id) / "model.safetensors") for run in (*two, job))
    learned = [name for name in one if one[name].is_floating_point() and "running" not in name]
    assert any(not torch.equal(one[name], other[name]) for name in learned)
    for name in learned:
        assert torch.allclose(mean[name], (one[name] + other[name]) / 2, atol=1e-7)
    averages = [name for name in one if "running_mean" in name]  # of BatchNorm: estimated, since both trainings moved them
    assert any(not torch.allclose(mean[name], (one[name] + other[name]) / 2, atol=1e-7) for name in averages)


def test_a_soup_goes_on_after_a_kill(store, three):
    whole = work(store, soup_run(store, *three))
    job = soup_run(store, *three)
    begun = TASKS["train"](job, store)
    for event in begun:
        if isinstance(event, Progressed) and event.done >= 200:
            break
    begun.close()
    assert not (store.home.run(job.id) / "model.safetensors").exists()
    again = work(store, job)
    assert hashes(store.home.run(again.id))["model.safetensors"] == hashes(store.home.run(whole.id))["model.safetensors"]


def test_a_soup_of_what_differs_says_what(store, trained, three, home):
    other = trained(weights="run", start_from=three[0].payload["recipe"]["start_from"], image_size=40)
    assert code_of(soup, store, [three[0].id, other.id]) == "soup_differs"
    with pytest.raises(BadRecipe) as error:
        soup(store, [three[0].id, other.id])
    assert error.value.values["setting"] == "image_size"
    hidden = trained(weights="run", start_from=three[0].payload["recipe"]["start_from"], head="hidden")
    with pytest.raises(BadRecipe) as error:
        soup(store, [three[0].id, hidden.id])
    assert error.value.values["setting"] == "head"
    one, two = (left(store, weights="pretrained", head="hidden", seed=seed) for seed in (1, 2))
    assert code_of(soup, store, [one, two]) == "soup_hidden"
    assert code_of(can_be_mixed, store, one) == "blend_head"
    assert code_of(soup, store, [three[0].id, three[0].id]) == "soup_too_few"
    assert code_of(soup, store, [three[0].id, "train-gone"]) == "no_run"


def test_random_weights_share_no_start(store, trained, three):
    one, two = trained(seed=1), trained(seed=2)
    assert code_of(soup, store, [one.id, two.id]) == "soup_untrained"
    begun = {run.payload["recipe"]["seed"] for run in store.jobs("train") if run.payload["recipe"]["weights"] == "scratch"}
    assert begun == {0, 1, 2}
    assert code_of(soup, store, [three[0].id, one.id]) == "soup_untrained"  # the three go on from seed 0
    assert soup(store, [three[0].id, three[0].payload["recipe"]["start_from"]])["soup"]["runs"]  # one goes on from the other


def test_different_starts_are_no_start(store, trained):
    one, two = trained(seed=1), trained(seed=2)
    from_one, from_two = (trained(weights="run", start_from=run.id) for run in (one, two))
    store.delete_job(one.id), store.delete_job(two.id)
    assert code_of(soup, store, [from_one.id, from_two.id]) == "soup_starts"


def test_a_soup_without_validation_images_is_refused(store, three, home):
    job = soup_run(store, *three)
    some = Manifest.of_images("colours", 1, [image for image in Manifest.read(home, "colours", 1).images
                                             if image.split != "validation"])
    home.manifest("colours", 1).unlink()
    some.write(home)
    with pytest.raises(BadRecipe) as error:
        ended(TASKS["train"](job, store))
    assert error.value.code == "soup_unmeasured"


# What is said of them

def test_the_verdict_and_the_card_call_it_what_it_is(store, source, three):
    mixed, soup_ = work(store, mixed_run(store, source, 0.25)), work(store, soup_run(store, *three))
    for job, key in ((mixed, "mixture"), (soup_, "soup")):
        said = verdict(fold(Progress(), (event for _, event in store.events(job.id))))
        assert said.key.startswith(f"verdict.{key}")
        from transfer_core.training.card import model_card
        from transfer_core.training.export.replay import open_run

        run = open_run(store.home.run(job.id), store.home, "Colours")
        english, chinese = model_card(run, {}, "en"), model_card(run, {}, "zh")
        assert "not trained" in english and "不是训练而来" in chinese
    assert f"`{source.id}`" in model_card(open_run(store.home.run(mixed.id), store.home, "x"), {})
    assert "`epochs`" not in english and all(f"`{run}`" in english for run in run.averaged["runs"])
    assert json.loads((store.home.run(mixed.id) / "info.json").read_text())["averaged"]["alpha"] == 0.25
