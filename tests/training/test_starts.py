"""From one training to the next: what is taken over is counted, what was learned is there, the first run stays as it was."""

from __future__ import annotations

import gc
import hashlib
import shutil
import threading
from dataclasses import replace

import pytest
import torch
from drawn_colours import drawn
from events_of import of
from safetensors.torch import load_file

from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.errors import BadRecipe, BadWeights, NotFound
from transfer_core.events import Cached, Epoch, Evaluated, Finished, Step, Transferred
from transfer_core.training import checkpoint
from transfer_core.training.finish import finish
from transfer_core.training.fit import fit
from transfer_core.training.models import build, head_tensors, load_run

RUN = "a" * 32


@pytest.fixture
def first(recipe, manifest, home):
    """A finished training of three colours."""
    list(fit(recipe.but(epochs=3), manifest, home, home.run(RUN), device="cpu"))
    return home.run(RUN)


@pytest.fixture
def two(home, manifest) -> Manifest:
    """The same photos, but two other classes: bluish or not."""
    images = [Image(image.sha256, image.file, "yes" if image.label == "blue" else "no", image.split, image.group, image.width,
                    image.height) for image in manifest.images]
    return written(home, Manifest.of_images("bluish", 1, images))


def written(home, manifest: Manifest) -> Manifest:
    manifest.write(home)
    return manifest


def hashes(folder) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir()) if file.is_file()}


def onward(recipe, **settings):
    return recipe.but(weights="run", start_from=RUN, **settings)


def test_what_is_taken_over_is_counted(recipe, first, two, home, tmp_path):
    before = hashes(first)
    events = list(fit(onward(recipe, dataset="bluish"), two, home, tmp_path / "second", device="cpu"))
    model, classes, _ = load_run(tmp_path / "second")
    (taken,), names, head = of(Transferred, events), set(model.state_dict()), head_tensors(model)
    assert classes == ["no", "yes"]
    assert taken == Transferred(run=RUN, copied=len(names - head), skipped=len(head), initialized=len(head))
    assert of(Finished, events) and hashes(first) == before


def test_the_same_classes_keep_their_classifier(recipe, first, manifest, home):
    built = build(onward(recipe), 3, home, manifest.classes)
    tensors = load_file(first / "model.safetensors")
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in built.model.state_dict().items())
    assert (built.transferred.copied, built.transferred.skipped, built.transferred.initialized) == (len(tensors), 0, 0)


def test_the_same_names_in_another_order_do_not(recipe, first, home):
    built = build(onward(recipe), 3, home, ["red", "green", "blue"])
    assert not built.model.get_classifier().weight.any()
    assert built.transferred.initialized > 0


def test_the_backbone_is_the_runs_and_its_classifier_is_what_can_be_forgotten(recipe, first, home):
    built, tensors = build(onward(recipe), 2, home, ["no", "yes"]), load_file(first / "model.safetensors")
    head = head_tensors(built.model)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in built.model.state_dict().items() if name not in head)
    assert built.source_classes == ["blue", "green", "red"]
    assert torch.equal(built.source_head[0].weight, tensors[next(name for name in head if name.endswith("weight"))])


@pytest.mark.parametrize("source_loss", ["lwf", "features", "co_tuning", "ewc"])
def test_every_source_loss_works_on_what_a_run_knew(recipe, first, two, home, tmp_path, source_loss):
    chosen = onward(recipe, dataset="bluish", source_loss=source_loss, freeze=1)
    events = list(fit(chosen, two, home, tmp_path / "second", device="cpu"))
    last = of(Epoch, events)[-1]
    assert of(Cached, events) and last.train.source is not None and last.kept.agreement is not None


def test_it_goes_on_after_an_interruption(recipe, first, two, home, tmp_path):
    chosen = onward(recipe, dataset="bluish", source_loss="co_tuning", epochs=4)  # whose classifier learns, too
    whole = list(fit(chosen, two, home, tmp_path / "whole", device="cpu"))
    broken = fit(chosen, two, home, tmp_path / "broken", device="cpu")
    next(event for event in broken if isinstance(event, Epoch) and event.epoch == 2)
    broken.close()
    rest = list(fit(chosen, two, home, tmp_path / "broken", device="cpu", resume=True))
    assert [epoch.validation for epoch in of(Epoch, rest)] == [epoch.validation for epoch in of(Epoch, whole)[2:]]
    one, other = (load_file(tmp_path / name / "source_head.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_start_stays_what_it_was_when_its_run_learns_on_or_goes(recipe, first, two, home, tmp_path):
    chosen = onward(recipe, dataset="bluish", source_loss="lwf", freeze=2, epochs=4)
    whole = list(fit(chosen, two, home, tmp_path / "whole", device="cpu"))
    broken = fit(chosen, two, home, tmp_path / "broken", device="cpu")
    next(event for event in broken if isinstance(event, Epoch) and event.epoch == 2)
    broken.close()
    checkpoint.save_best(first, build(recipe.but(seed=9), 3, home).model)  # the first run has other weights now
    rest = list(fit(chosen, two, home, tmp_path / "broken", device="cpu", resume=True))
    assert [epoch.validation for epoch in of(Epoch, rest)] == [epoch.validation for epoch in of(Epoch, whole)[2:]]
    shutil.rmtree(first)
    assert of(Finished, fit(chosen, two, home, tmp_path / "broken", device="cpu", resume=True))


def test_a_run_that_is_not_there_is_said(recipe, two, home, tmp_path):
    with pytest.raises(NotFound) as error:
        list(fit(onward(recipe), two, home, tmp_path, device="cpu"))
    assert error.value.code == "no_start_run"
    assert not (home.root / "runs" / RUN).exists()


@pytest.mark.parametrize("start", ["../../etc", "a/b", "", ".", "a b"])
def test_a_start_is_a_name_and_no_path(recipe, start):
    with pytest.raises(BadRecipe):
        recipe.but(weights="run", start_from=start)


def test_another_model_is_refused_and_says_how_little_fits(recipe, first, two, home, tmp_path):
    with pytest.raises(BadWeights) as error:
        list(fit(onward(recipe, model="test_efficientnet"), two, home, tmp_path, device="cpu"))
    assert error.value.code == "weights_do_not_fit"


# Two datasets at once

@pytest.mark.parametrize("freeze", [0, 2])
def test_two_datasets_are_learned_together(recipe, manifest, two, home, tmp_path, freeze):
    written(home, manifest)
    chosen = recipe.but(dataset="bluish", source_loss="replay", source_dataset="colours", freeze=freeze, epochs=6,
                        learning_rate=0.01, regularizer=None)
    events = list(fit(chosen, two, home, tmp_path / "joint", device="cpu"))
    last = of(Epoch, events)[-1]
    assert bool(of(Cached, events)) == (freeze > 0)
    assert last.validation.source is not None and last.train.source < of(Epoch, events)[0].train.source
    assert last.validation.total == pytest.approx((last.validation.source + last.validation.target) / 2, rel=1e-5)
    assert last.kept.source_images == 12 and last.kept.source_accuracy > 1 / 3
    assert last.validation_accuracy > 0.5
    heads = load_file(tmp_path / "joint" / "source_head.safetensors")
    assert {len(tensor) for tensor in heads.values()} == {3}
    model, classes, _ = load_run(tmp_path / "joint")  # what is taken home answers for the person's classes only
    assert classes == ["no", "yes"] and model.num_classes == 2


@pytest.mark.parametrize("settings", [{}, {"head": "flatten", "image_size": 64}, {"head": "hidden", "kept_groups": 4}])
def test_the_second_datasets_test_photos_are_asked_at_the_end(recipe, home, tmp_path, settings):
    colours = drawn(home, train=8, validation=4, test=5)
    written(home, colours)
    bluish = written(home, Manifest.of_images("bluish", 1, [replace(image, label="yes" if image.label == "blue" else "no")
                                                              for image in colours.images]))
    joint = {"dataset": "bluish", "source_loss": "replay", "source_dataset": "colours"}
    chosen = recipe.but(**joint, epochs=6, learning_rate=0.01, **settings)
    out = tmp_path / "joint"
    list(fit(chosen, bluish, home, out, device="cpu"))
    scores = {event.split: event.report for event in of(Evaluated, finish(out, bluish, home, name="n", device="cpu"))}
    assert scores["source"]["n"] == 15 and scores["source"]["accuracy"] > 0.5
    assert [row["label"] for row in scores["source"]["per_class"]] == ["blue", "green", "red"]
    assert scores["test"]["n"] == 15 and len(scores["test"]["per_class"]) == 2
    again = {event.split: event.report for event in of(Evaluated, finish(out, bluish, home, name="n", device="cpu"))}
    assert again == scores, "safe to run again"
    # Photos that either dataset trained on say nothing: here the run's own training photos come as the second's test photos.
    mixed = [replace(image, split="test") if image.split == "train" and place % 2 else image
             for place, image in enumerate(colours.images)]
    written(home, Manifest.of_images("colours", 1, mixed))
    (out / "report.json").unlink()
    fresh = {event.split: event.report for event in of(Evaluated, finish(out, bluish, home, name="n", device="cpu"))}
    assert fresh["source"]["n"] == 15, "the training photos are left out"
    home.manifest("colours", 1).unlink()
    (out / "report.json").unlink()
    assert "source" not in {event.split for event in of(Evaluated, finish(out, bluish, home, name="n", device="cpu"))}


def test_stored_and_plain_joint_trainings_are_the_same(recipe, manifest, two, home, tmp_path, monkeypatch):
    monkeypatch.setattr("transfer_core.training.prefix.shorten.choose", lambda parts, eager, *_: eager)
    written(home, manifest)
    chosen = recipe.but(dataset="bluish", source_loss="replay", source_dataset="colours", freeze=2, epochs=3)
    short, long = (of(Epoch, fit(chosen, two, home, tmp_path / str(cache), device="cpu", cache=cache)) for cache in (True, False))
    assert [epoch.train for epoch in short] == [epoch.train for epoch in long]
    assert [epoch.kept for epoch in short] == [epoch.kept for epoch in long]


def test_from_a_run_of_the_second_dataset_its_classifier_goes_on(recipe, manifest, two, first, home, tmp_path):
    """The strongest form: start from A, go on with B, and keep rehearsing A with the classifier it already has."""
    written(home, manifest)
    chosen = onward(recipe, dataset="bluish", source_loss="replay", source_dataset="colours", epochs=1)
    epoch, = of(Epoch, fit(chosen, two, home, tmp_path / "joint", device="cpu"))
    assert epoch.kept.source_accuracy >= 0.8


def test_a_huge_lambda_is_the_training_without_the_second_dataset(recipe, manifest, two, home, tmp_path):
    written(home, manifest)
    alone = of(Epoch, fit(recipe.but(dataset="bluish"), two, home, tmp_path / "alone", device="cpu"))[-1]
    joint = recipe.but(dataset="bluish", source_loss="replay", source_dataset="colours", lambda_target=1e6)
    beside = of(Epoch, fit(joint, two, home, tmp_path / "beside", device="cpu"))[-1]
    assert beside.train.target == pytest.approx(alone.train.target, rel=1e-2)


def test_the_second_dataset_and_replay_go_together(recipe):
    for settings in ({"source_loss": "replay"}, {"source_dataset": "x"}, {"source_loss": "lwf", "source_dataset": "x"}):
        with pytest.raises(BadRecipe) as error:
            recipe.but(**settings)
        assert error.value.code == "source_dataset_missing"


def test_no_thread_goes_on_decoding_the_second_dataset(recipe, manifest, two, home, tmp_path):
    written(home, manifest)
    chosen = recipe.but(dataset="bluish", source_loss="replay", source_dataset="colours")
    before, events = set(threading.enumerate()), fit(chosen, two, home, tmp_path, device="cpu", cache=False)
    next(event for event in events if isinstance(event, Step))
    assert set(threading.enumerate()) - before
    gc.disable()  # nobody waits for the collector
    try:
        next(event for event in events if isinstance(event, Epoch))
        assert set(threading.enumerate()) == before
    finally:
        gc.enable()
    events.close()
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("name", ["/etc", "../other", "a b", ""])
def test_a_second_dataset_is_a_name_and_no_path(recipe, name):
    with pytest.raises(BadRecipe):
        recipe.but(source_loss="replay", source_dataset=name)


def test_a_second_dataset_that_is_gone_is_said(recipe, manifest, home, tmp_path):
    with pytest.raises(NotFound) as error:
        list(fit(recipe.but(source_loss="replay", source_dataset="gone-1"), manifest, home, tmp_path, device="cpu"))
    assert error.value.code == "no_dataset"


def test_a_second_dataset_that_teaches_nothing_is_refused(recipe, manifest, home, tmp_path):
    written(home, Manifest.of_images("one", 1, [image for image in manifest.images if image.label == "blue"]))
    chosen = recipe.but(source_loss="replay", source_dataset="one")
    with pytest.raises(BadRecipe) as error:
        list(fit(chosen, drawn(home), home, tmp_path, device="cpu"))
    assert error.value.code == "too_few_classes"
