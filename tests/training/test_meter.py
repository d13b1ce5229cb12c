"""The forgetting meter: it says what was kept, and more λ keeps more."""

from __future__ import annotations

import math

import pytest
import torch
from drawn_colours import drawn
from test_shorten import with_head

from transfer_core.events import Cached, Epoch, Kept
from transfer_core.paths import Home
from transfer_core.training import meter
from transfer_core.training.fit import fit
from transfer_core.training.models import build


@pytest.fixture
def original(monkeypatch) -> None:
    monkeypatch.setattr("transfer_core.training.fit.build", with_head)


def epochs(events) -> list[Epoch]:
    return [event for event in events if isinstance(event, Epoch)]


def kept(events) -> Kept:
    return epochs(events)[-1].kept


@pytest.mark.usefixtures("original")
def test_a_frozen_backbone_forgets_nothing(recipe, manifest, home, tmp_path):
    seen = kept(fit(recipe.but(freeze="all"), manifest, home, tmp_path, device="cpu"))
    assert (seen.agreement, seen.similarity, seen.drift, seen.moved) == (1.0, 1.0, {}, 0.0)


@pytest.mark.parametrize("frozen", ["all", 2, 0])
def test_averages_that_are_to_stand_still_do(recipe, manifest, home, tmp_path, frozen):
    """Few images: those of the groups that learn stand still, too."""
    seen = kept(fit(recipe.but(freeze=frozen, learning_rate=0.03), manifest, home, tmp_path, device="cpu"))
    norms = [module for module in build(recipe, 3, home).model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms and (seen.averages, seen.averages_moved) == (2 * len(norms), 0)


def test_averages_that_move_although_they_should_not_are_counted(recipe, manifest, home, tmp_path, monkeypatch):
    """The usual mistake: no gradient, and nothing else."""
    def without_gradient(model, ladder):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in ladder.parameters("freeze"))
        model.train()

    monkeypatch.setattr("transfer_core.training.preparing.freeze", without_gradient)
    seen = kept(fit(recipe.but(freeze=2), manifest, home, tmp_path, device="cpu", cache=False))
    assert seen.averages_moved == seen.averages > 0


@pytest.mark.usefixtures("original")
def test_every_epoch_says_what_is_left(recipe, manifest, home, tmp_path):
    chosen = recipe.but(freeze=2, epochs=4, learning_rate=0.03)
    found = epochs(fit(chosen, manifest, home, tmp_path, device="cpu"))
    names = [group.name for group in build(chosen, 3, home).groups]
    for epoch in found:
        assert epoch.kept.images == 12
        assert set(epoch.kept.drift) == set(names[2:])
        assert 0 <= epoch.kept.agreement <= 1 and epoch.kept.similarity < 1
    drifts = [epoch.kept.moved for epoch in found]
    assert drifts == sorted(drifts) and drifts[0] > 0
    assert found[-1].kept.agreement < 1


@pytest.mark.usefixtures("original")
def test_it_is_what_the_saved_weights_say(recipe, manifest, home, tmp_path):
    """Agreement and drift, worked out again from the model on disk and the model as it began."""
    from transfer_core.training.models import features_and_logits, load_run
    from transfer_core.training.pipeline import ImageInputs

    chosen = recipe.but(epochs=1, learning_rate=0.03)
    seen = kept(fit(chosen, manifest, home, tmp_path, device="cpu"))
    start, (model, classes, how) = with_head(chosen, 3, home), load_run(tmp_path)
    inputs = ImageInputs.of(manifest.of("validation"), classes, home, how)
    images, _ = next(inputs.batches([list(range(12))], 0))
    with torch.inference_mode():
        said = [start.source_head[0](features_and_logits(each, images)[0][0]) for each in (start.model.eval(), model)]
        features = [features_and_logits(each, images)[0][0] for each in (start.model, model)]
    assert seen.agreement == pytest.approx(float((said[0].argmax(1) == said[1].argmax(1)).float().mean()))
    assert seen.similarity == pytest.approx(float(torch.nn.functional.cosine_similarity(*features).mean()), abs=1e-4)
    names = [name for group in start.groups for name in group.parameters]
    before, now = dict(start.model.named_parameters()), dict(model.named_parameters())
    gone = sum(float(((now[name] - before[name]).double() ** 2).sum()) for name in names)
    size = sum(float((before[name].double() ** 2).sum()) for name in names)
    assert seen.moved == pytest.approx(math.sqrt(gone / size), rel=1e-4)


@pytest.mark.usefixtures("original")
@pytest.mark.parametrize("settings", [{"source_loss": "lwf"}, {"source_loss": "features"}, {"source_loss": "ewc"}])
def test_a_larger_lambda_target_forgets_more(recipe, manifest, home, tmp_path, settings):
    chosen = recipe.but(**settings, epochs=3, learning_rate=3e-4)
    found = [kept(fit(chosen.but(lambda_target=value), manifest, home, tmp_path / str(value), device="cpu"))
             for value in (0.0, 0.1, 1e6)]
    drifts, similarities = [each.moved for each in found], [each.similarity for each in found]
    assert drifts == sorted(drifts) and drifts[0] < drifts[-1] / 2
    assert similarities == sorted(similarities, reverse=True)


def test_drift_falls_as_the_pull_to_the_start_grows(recipe, manifest, home, tmp_path):
    moved = [kept(fit(recipe.but(regularizer="l2_sp", lambda_omega=value), manifest, home, tmp_path / str(value),
                      device="cpu")).moved for value in (0.0, 1.0, 100.0, 1e6)]
    assert moved == sorted(moved, reverse=True) and moved[-1] < 0.2 * moved[0]  # biases and norms are not pulled


def test_without_a_classifier_there_is_no_agreement(recipe, manifest, home, tmp_path):
    seen = kept(fit(recipe, manifest, home, tmp_path, device="cpu"))
    assert seen.agreement is None and 0 < seen.similarity <= 1


@pytest.mark.usefixtures("original")
def test_it_is_the_same_on_stored_activations_and_after_a_resume(recipe, manifest, home, tmp_path, monkeypatch):
    monkeypatch.setattr("transfer_core.training.prefix.shorten.choose", lambda parts, eager, *_: eager)
    chosen = recipe.but(freeze=2, epochs=4, learning_rate=0.03)
    plain, short = (list(fit(chosen, manifest, home, tmp_path / str(cache), device="cpu", cache=cache))
                    for cache in (False, True))
    assert [event for event in short if isinstance(event, Cached)]
    assert [epoch.kept for epoch in epochs(plain)] == [epoch.kept for epoch in epochs(short)]
    run = fit(chosen, manifest, home, tmp_path / "broken", device="cpu")
    for event in run:
        if isinstance(event, Epoch) and event.epoch == 2:
            run.close()
            break
    rest = epochs(fit(chosen, manifest, home, tmp_path / "broken", device="cpu", resume=True))
    assert [epoch.kept for epoch in rest] == [epoch.kept for epoch in epochs(short)[2:]]


@pytest.mark.usefixtures("original")
def test_it_looks_at_some_images_only(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(meter, "PROBE", 5)
    home = Home(tmp_path / "home")
    seen = kept(fit(recipe.but(learning_rate=0.03), drawn(home), home, tmp_path / "run", device="cpu"))
    assert seen.images == 5 and round(5 * seen.agreement, 5) in range(6)


def test_without_validation_images_only_the_weights_are_measured(recipe, tmp_path):
    home = Home(tmp_path / "home")
    seen = kept(fit(recipe, drawn(home, validation=0), home, tmp_path / "run", device="cpu"))
    assert (seen.images, seen.agreement, seen.similarity) == (0, None, None) and seen.moved > 0
