"""Trainings on stored activations: the same curve as the long way, nothing computed twice, and a way out of every trouble."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from drawn_colours import drawn
from safetensors.torch import load_file

from transfer_core.activations import Shelf
from transfer_core.events import Cached, Epoch, Note, Progressed
from transfer_core.measured import predictions
from transfer_core.training import evaluate, freezing
from transfer_core.training.fit import fit
from transfer_core.training.models import build, load_run
from transfer_core.training.objective import terms
from transfer_core.training.pipeline import ImageInputs
from transfer_core.training.prefix import engine, plan, shorten
from transfer_core.training.prefix.answers import StoredAnswers


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def keys(events) -> list[str]:
    return [note.message.key for note in of(Note, events)]


@pytest.fixture
def eager(monkeypatch):
    """No ONNX: bit for bit PyTorch."""
    monkeypatch.setattr(shorten, "choose", lambda parts, eager, *_: eager)


@pytest.fixture
def looked(monkeypatch) -> list[int]:
    """Places of images that were decoded."""
    seen: list[int] = []
    for name in ("plain", "varied"):
        real = getattr(ImageInputs, name)
        monkeypatch.setattr(ImageInputs, name, lambda self, place, *more, real=real: (seen.append(place),
                                                                                      real(self, place, *more))[1])
    return seen


@pytest.mark.parametrize("model", ["test_resnet", "test_vit", "test_efficientnet", "test_convnext"])
@pytest.mark.parametrize("freeze", ["all", 2])
@pytest.mark.usefixtures("eager")
def test_fifty_steps_are_those_of_the_long_way(recipe, manifest, home, tmp_path, model, freeze):
    chosen = recipe.but(model=model, freeze=freeze, epochs=13, image_size=None if model == "test_vit" else 64)
    short = list(fit(chosen, manifest, home, tmp_path / "short", device="cpu"))
    long = list(fit(chosen, manifest, home, tmp_path / "long", device="cpu", cache=False))
    assert of(Cached, short) and not of(Cached, long)
    assert of(Epoch, short)[-1].step == 52
    for one, other in zip(of(Epoch, short), of(Epoch, long), strict=True):
        assert (one.train.total, one.validation.total) == pytest.approx((other.train.total, other.validation.total), rel=1e-5)
        assert one.confusion == other.confusion
    one, other = load_file(tmp_path / "short" / "model.safetensors"), load_file(tmp_path / "long" / "model.safetensors")
    assert all(torch.allclose(one[name], other[name], rtol=1e-4, atol=1e-6) for name in other)


@pytest.mark.usefixtures("eager")
def test_what_dropout_draws_does_not_depend_on_the_store(recipe, manifest, home, tmp_path):
    chosen = recipe.but(model="ghostnet_050", freeze=8, epochs=2)
    assert build(chosen, 3, home).model.drop_rate > 0
    short, long = (of(Epoch, fit(chosen, manifest, home, tmp_path / str(cache), device="cpu", cache=cache))
                   for cache in (True, False))
    assert [epoch.train for epoch in short] == [epoch.train for epoch in long]


@pytest.mark.usefixtures("eager")
def test_averages_that_move_are_moved_by_the_training_only(recipe, manifest, home, tmp_path, monkeypatch):
    monkeypatch.setattr(freezing, "FEW_IMAGES", 0)
    monkeypatch.setattr(freezing, "SMALL_BATCH", 0)
    chosen = recipe.but(freeze=2)
    short, long = (list(fit(chosen, manifest, home, tmp_path / str(cache), device="cpu", cache=cache)) for cache in (True, False))
    assert of(Cached, short)
    assert [epoch.validation for epoch in of(Epoch, short)] == [epoch.validation for epoch in of(Epoch, long)]


@pytest.mark.usefixtures("eager")
def test_a_head_that_normalises_over_the_batch_is_no_hindrance(recipe, manifest, home, tmp_path):
    events = list(fit(recipe.but(model="levit_128s", freeze=3, epochs=1, image_size=64), manifest, home, tmp_path, device="cpu"))
    assert of(Cached, events) and of(Epoch, events)


@pytest.mark.parametrize("source_loss", ["lwf", "features"])
@pytest.mark.usefixtures("eager")
def test_source_losses_are_the_same_on_stored_activations(recipe, manifest, home, tmp_path, source_loss, monkeypatch):
    chosen = recipe.but(freeze=2, epochs=3, source_loss=source_loss)
    if source_loss == "lwf":
        monkeypatch.setattr("transfer_core.training.fit.build", with_head)
    short, long = (list(fit(chosen, manifest, home, tmp_path / str(cache), device="cpu", cache=cache)) for cache in (True, False))
    assert of(Cached, short)
    assert [epoch.train for epoch in of(Epoch, short)] == [epoch.train for epoch in of(Epoch, long)]
    assert of(Epoch, short)[-1].train.source > 0


@pytest.mark.usefixtures("eager")
def test_what_the_original_model_says_of_a_stored_view_is_asked_for_once(recipe, manifest, home, tmp_path, monkeypatch):
    chosen = recipe.but(freeze=2, epochs=5, source_loss="lwf", augmentation="light", stored_views=2)
    monkeypatch.setattr("transfer_core.training.fit.build", with_head)
    told = list(fit(chosen, manifest, home, tmp_path / "told", device="cpu"))
    monkeypatch.setattr(terms, "TOLD_BYTES", 0)
    asked = list(fit(chosen, manifest, home, tmp_path / "asked", device="cpu"))
    last = [event for event in of(Progressed, told) if event.stage == "asking"][-1]
    assert last.done == last.total == 2 * len(manifest.of("train")) + len(manifest.of("validation"))
    assert not [event for event in of(Progressed, asked) if event.stage == "asking"]
    for one, other in zip(of(Epoch, told), of(Epoch, asked), strict=True):
        assert (one.train.source, one.validation.source) == pytest.approx((other.train.source, other.validation.source), rel=1e-4)
        assert one.train.total == pytest.approx(other.train.total, rel=1e-5)


@pytest.mark.usefixtures("eager")
def test_as_many_stored_views_as_epochs_are_not_asked_about_beforehand(recipe, manifest, home, tmp_path, monkeypatch):
    monkeypatch.setattr("transfer_core.training.fit.build", with_head)
    chosen = recipe.but(freeze=2, epochs=2, source_loss="lwf", augmentation="light", stored_views=2)
    stages = {event.stage for event in of(Progressed, fit(chosen, manifest, home, tmp_path, device="cpu"))}
    assert stages and "asking" not in stages


def with_head(*given):
    """A model from random weights has no original classifier; this one gets one."""
    built = build(*given)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        built.source_head[:] = [torch.nn.Linear(built.model.num_features, 7).requires_grad_(False)]
    return built


def test_a_second_training_computes_nothing(recipe, manifest, home, tmp_path, looked):
    chosen = recipe.but(freeze=3)
    first = of(Cached, fit(chosen, manifest, home, tmp_path / "1", device="cpu"))[0]
    assert not first.hit
    assert first.bytes == Shelf(home).bytes - _facts(home) > 0
    looked.clear()
    other = chosen.but(learning_rate=1e-3, epochs=4, lambda_omega=1.0)
    again = of(Cached, fit(other, manifest, home, tmp_path / "2", device="cpu"))[0]
    assert again.hit and again.engine == first.engine
    assert set(looked) == {0, 1, 2, 3}, "the images of the self-check"


def _facts(home) -> int:
    return sum((Shelf(home).folder / stored.key / "spec.json").stat().st_size for stored in Shelf(home))


def test_new_images_are_added_to_the_entry(recipe, home, tmp_path, looked):
    chosen = recipe.but(freeze="all")
    list(fit(chosen, drawn(home, train=4, validation=2), home, tmp_path / "1", device="cpu"))
    larger = drawn(home, train=8, validation=4)
    known = {digest.hex() for stored in Shelf(home) for digest in Shelf(home).entry(stored.spec).images}
    fresh = {image.sha256 for image in larger.images} - known
    assert 0 < len(fresh) < len(larger.images)
    looked.clear()
    list(fit(chosen, larger, home, tmp_path / "2", device="cpu"))
    assert len(looked) <= len(fresh) + 2 * 4, "what is new, and twice the four images of trial and check"
    assert len(list(Shelf(home))) == 1


def test_stored_views_differ_between_epochs_and_are_shared_by_runs(recipe, manifest, home, tmp_path, looked):
    chosen = recipe.but(freeze=3, augmentation="light", epochs=4, stored_views=2)
    events = list(fit(chosen, manifest, home, tmp_path / "1", device="cpu"))
    assert of(Cached, events)[0].views == 2
    views = [stored for stored in Shelf(home) if stored.spec.view]
    assert sorted(stored.spec.view["number"] for stored in views) == [0, 1]
    train = [image.sha256 for image in manifest.of("train")]
    one, other = (Shelf(home).entry(stored.spec).rows(train).take(range(len(train)))[0] for stored in views)
    assert np.abs(one - other).max() > 0
    looked.clear()
    assert of(Cached, fit(chosen.but(optimizer="sgd"), manifest, home, tmp_path / "2", device="cpu"))[0].hit
    assert len(looked) <= 8


def test_fresh_views_go_the_long_way_and_say_so(recipe, manifest, home, tmp_path):
    events = list(fit(recipe.but(freeze=3, augmentation="light", stored_views=0), manifest, home, tmp_path, device="cpu"))
    assert not of(Cached, events)
    assert "fit.cache.fresh_views" in keys(events)


@pytest.mark.usefixtures("eager")
def test_a_stored_row_that_is_wrong_is_noticed_and_computed_anew(recipe, manifest, home, tmp_path):
    chosen = recipe.but(freeze=3)
    good = list(fit(chosen, manifest, home, tmp_path / "1", device="cpu"))
    (stored,) = Shelf(home)
    file = Shelf(home).folder / stored.key / "0.bin"
    file.write_bytes(bytes(np.random.default_rng(0).permutation(np.frombuffer(file.read_bytes(), np.float32)).tobytes()))
    again = list(fit(chosen, manifest, home, tmp_path / "2", device="cpu"))
    assert not of(Cached, again)[0].hit
    assert [epoch.validation for epoch in of(Epoch, again)] == [epoch.validation for epoch in of(Epoch, good)]


def test_no_room_and_a_full_disk_go_the_long_way(recipe, manifest, home, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_CACHE_BYTES", "1000")
    events = list(fit(recipe.but(freeze=3), manifest, home, tmp_path / "1", device="cpu"))
    assert "fit.cache.no_room" in keys(events) and len(of(Epoch, events)) == 2
    monkeypatch.delenv("TRANSFER_STUDIO_CACHE_BYTES")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transfer_core.activations.entry.Entry.append", full)
    events = list(fit(recipe.but(freeze=3), manifest, home, tmp_path / "2", device="cpu"))
    assert "fit.cache.disk_full" in keys(events) and len(of(Epoch, events)) == 2


@pytest.mark.usefixtures("eager")
def test_a_resumed_run_goes_on_as_it_began(recipe, manifest, home, tmp_path):
    chosen = recipe.but(freeze=3, epochs=4)
    whole = of(Epoch, fit(chosen, manifest, home, tmp_path / "whole", device="cpu"))
    run = fit(chosen, manifest, home, tmp_path / "cut", device="cpu")
    for event in run:
        if isinstance(event, Epoch) and event.epoch == 2:
            run.close()
            break
    assert json.loads((tmp_path / "cut" / shorten.CHOICE).read_text()) == {"engine": "pytorch", "dtype": "float32"}
    rest = of(Epoch, fit(chosen, manifest, home, tmp_path / "cut", device="cpu", resume=True))
    assert [epoch.validation for epoch in rest] == [epoch.validation for epoch in whole[2:]]


def test_closing_while_images_are_computed_keeps_what_is_done(recipe, manifest, home, tmp_path, monkeypatch):
    monkeypatch.setattr("transfer_core.training.prefix.fill._CHUNK", 4)
    monkeypatch.setattr(shorten, "Eager", lambda *given: engine.Eager(*given[:-1], 4))
    run = fit(recipe.but(freeze=3), manifest, home, tmp_path / "1", device="cpu")
    while getattr(next(run), "stage", "") != "features":
        pass
    run.close()
    (stored,) = Shelf(home)
    assert 4 <= stored.images < 36
    entry = Shelf(home).entry(stored.spec)
    assert entry.take_turn(0), "the turn was given back"
    entry.done()


# Engines


def test_onnx_runtime_agrees_and_is_kept_for_the_next_time(recipe, manifest, home, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_EXPORT_SECONDS", 0.0)
    monkeypatch.setattr(engine, "_BYTES_A_SECOND", 1e12)
    made = []
    real = engine._export
    monkeypatch.setattr(engine, "_export", lambda *given: (made.append(1), real(*given)))
    monkeypatch.setattr(engine, "_timed", lambda which, images: (which(images), {"pytorch": 1.0, "onnxruntime": 0.1}[which.name]))
    chosen = recipe.but(freeze=3)
    cached = of(Cached, fit(chosen, manifest, home, tmp_path / "1", device="cpu"))[0]
    assert cached.engine == "onnxruntime"
    shelf = Shelf(home)
    for stored in shelf:
        shelf.remove(stored.key)
    of(Cached, fit(chosen, manifest, home, tmp_path / "2", device="cpu"))
    assert made == [1]
    shelf.clear()
    of(Cached, fit(chosen, manifest, home, tmp_path / "3", device="cpu"))
    assert made == [1, 1]


def test_an_engine_that_differs_or_breaks_is_not_taken(recipe, manifest, home, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_EXPORT_SECONDS", 0.0)
    monkeypatch.setattr(engine, "_BYTES_A_SECOND", 1e12)
    real = engine.Onnx.__call__
    monkeypatch.setattr(engine.Onnx, "__call__", lambda self, images: tuple(1.01 * rows for rows in real(self, images)))
    cached = of(Cached, fit(recipe.but(freeze=3), manifest, home, tmp_path / "1", device="cpu"))[0]
    assert cached.engine == "pytorch"

    def broken(*_):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(engine, "_export", broken)
    cached = of(Cached, fit(recipe.but(freeze=2), manifest, home, tmp_path / "2", device="cpu"))[0]
    assert cached.engine == "pytorch"


# The plan


def test_bytes_decide_between_whole_and_half_precision(recipe, monkeypatch):
    from transfer_core.training.prefix.cut import Live

    class Parts:
        live = (Live((1000,), 1, False),)

    fits = plan.plan(recipe, Parts, 0.5, 1000, 100)
    assert (fits.dtype, fits.bytes, fits.reason) == ("float32", 1100 * 4032, "")
    large = plan.plan(recipe, Parts, 0.5, 1_000_000, 100)
    assert (large.dtype, large.bytes) == ("float16", 1_000_100 * 2032)


@pytest.mark.parametrize(("settings", "views", "reason"), [
    ({}, 0, ""), ({"augmentation": "light", "epochs": 20}, 4, ""), ({"augmentation": "light", "epochs": 3}, 2, ""),
    ({"augmentation": "light", "epochs": 2}, 2, ""), ({"augmentation": "light", "epochs": 1}, 1, ""),
    ({"augmentation": "light", "stored_views": 8, "epochs": 8}, 8, ""),
    ({"augmentation": "light", "stored_views": 8, "epochs": 7}, 8, "too_few_epochs"),
    ({"augmentation": "light", "stored_views": 0}, 0, "fresh_views")])
def test_views_follow_from_the_epochs(recipe, settings, views, reason):
    class Parts:
        live = ()

    found = plan.plan(recipe.but(**settings), Parts, 0.5, 10, 2)
    assert (found.views, found.reason) == (views, reason)


def test_too_little_frozen_is_not_stored(recipe):
    class Parts:
        live = ()

    assert plan.plan(recipe, Parts, 0.01, 10, 2).reason == "too_early"


# Measured through the store

@pytest.mark.parametrize("model", ["test_resnet", "test_vit"])
def test_the_score_is_the_one_of_the_whole_model(recipe, home, tmp_path, monkeypatch, model):
    data = drawn(home, train=6, validation=4, test=4)
    chosen = recipe.but(freeze=2, model=model, image_size=None)
    for folder, cache in (("short", True), ("long", False)):
        list(fit(chosen, data, home, tmp_path / folder, device="cpu", cache=cache))
    (tmp_path / "long" / "model.safetensors").write_bytes((tmp_path / "short" / "model.safetensors").read_bytes())
    whole = []
    real = evaluate.logits_of
    monkeypatch.setattr(evaluate, "logits_of", lambda *given: (whole.append(1), real(*given))[1])
    found = {}
    for folder, cut in (("short", True), ("long", False)):
        model_, classes, how = load_run(tmp_path / folder)
        stored = StoredAnswers(tmp_path / folder, model_, home, torch.device("cpu"))
        list(evaluate.evaluate(model_, classes, how, data, "test", home, tmp_path / folder, "cpu", stored))
        found[cut] = [row["probabilities"] for row in predictions(tmp_path / folder, "test")]
    assert len(whole) == 1, "only the run that went the long way asks its whole model"
    assert np.allclose(found[True], found[False], atol=1e-5)
    assert len(found[True]) == 12
