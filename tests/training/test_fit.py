"""Whole trainings of a tiny network on drawn images: what they report, what they leave, and what happens when they break."""

from __future__ import annotations

import json
import math

import pytest
import torch
from drawn_colours import COLOURS, drawn
from safetensors.torch import load_file

from transfer_core.datasets.manifest import Manifest
from transfer_core.errors import BadRecipe, NotFound, TrainingFailed, Unavailable
from transfer_core.events import Epoch, Finished, Note, Started, Step, from_json, to_json
from transfer_core.recipe import Recipe
from transfer_core.training.fit import fit
from transfer_core.training.models import build, load_run
from transfer_core.training.pipeline import ImageInputs
from transfer_core.training.step import train_step


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def keys(events) -> list[str]:
    return [note.message.key for note in of(Note, events)]


def best(out) -> dict[str, torch.Tensor]:
    return load_file(out / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_training_from_start_to_end(recipe, manifest, home, tmp_path):
    out = tmp_path / "run"
    events = list(fit(recipe.but(epochs=4), manifest, home, out, device="cpu"))
    started, epochs, finished = of(Started, events)[0], of(Epoch, events), events[-1]
    assert started.classes == sorted(COLOURS)
    assert started.images == {"train": 24, "validation": 12, "test": 0}
    assert (started.epochs, started.steps_per_epoch, started.batch_size) == (4, 4, 6)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4]
    assert epochs[-1].step == of(Step, events)[-1].step == 16
    assert [sum(row) for row in epochs[-1].confusion] == [4, 4, 4]
    assert epochs[-1].validation_accuracy == sum(epochs[-1].confusion[i][i] for i in range(3)) / 12
    assert epochs[-1].train_accuracy > 0.9
    assert isinstance(finished, Finished)
    assert finished.best_epoch == max(epoch.epoch for epoch in epochs if epoch.best)
    best = max(epochs, key=lambda epoch: (epoch.validation_accuracy, -epoch.validation.target))
    assert finished.best_epoch == best.epoch, "most validation photos right; of equals, the lower loss"
    assert all(from_json(to_json(event)) == event for event in events)
    assert {file.name for file in out.iterdir()} == {
        "recipe.json", "classes.json", "info.json", "epochs.jsonl", "model.safetensors", "last.pt"}
    assert Recipe(**json.loads((out / "recipe.json").read_text())) == recipe.but(epochs=4)


def test_the_run_loads_and_answers_as_it_was_measured(recipe, manifest, home, tmp_path):
    events = list(fit(recipe.but(epochs=4), manifest, home, tmp_path, device="cpu"))
    model, classes, how = load_run(tmp_path)
    inputs = ImageInputs.of(manifest.of("validation"), classes, home, how)
    images, labels = next(inputs.batches([list(range(12))], 0))
    with torch.inference_mode():
        guesses = model(images).argmax(1)
    measured = next(epoch for epoch in reversed(of(Epoch, events)) if epoch.best)
    assert float((guesses == labels).float().mean()) == pytest.approx(measured.validation_accuracy)
    assert how.size == (32, 32)
    assert not model.training


def test_weights_that_two_layers_share_are_kept_under_both_names(recipe, manifest, home, tmp_path):
    list(fit(recipe.but(model="coat_lite_tiny", freeze="all", epochs=1), manifest, home, tmp_path, device="cpu"))
    model, _, _ = load_run(tmp_path)
    assert set(best(tmp_path)) == set(model.state_dict())
    pointers = [tensor.data_ptr() for tensor in model.state_dict().values()]
    assert len(set(pointers)) < len(pointers)  # they are shared, and not by chance only equal


def test_nothing_trained_is_said(tmp_path):
    with pytest.raises(NotFound):
        load_run(tmp_path)


def test_the_first_loss_is_ln_of_the_number_of_classes(recipe, manifest, home, tmp_path):
    first = of(Step, fit(recipe.but(batch_size=24, epochs=1), manifest, home, tmp_path, device="cpu"))[0]
    assert first.losses.target == pytest.approx(math.log(3), abs=1e-6)


def test_two_equal_recipes_give_equal_models_and_another_seed_another(recipe, manifest, home, tmp_path):
    recipe = recipe.but(augmentation="strong")
    for name, settings in (("a", {}), ("b", {}), ("c", {"seed": 1})):
        list(fit(recipe.but(**settings), manifest, home, tmp_path / name, device="cpu"))
    assert same(best(tmp_path / "a"), best(tmp_path / "b"))
    assert not same(best(tmp_path / "a"), best(tmp_path / "c"))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_resumed_training_ends_bit_identical(recipe, manifest, home, tmp_path, optimizer):
    recipe = recipe.but(epochs=4, augmentation="medium", optimizer=optimizer, class_balance="sampler")
    whole = list(fit(recipe, manifest, home, tmp_path / "whole", device="cpu"))
    part = fit(recipe, manifest, home, tmp_path / "part", device="cpu")
    for event in part:
        if isinstance(event, Epoch) and event.epoch == 2:
            break
    # Killed in the middle of epoch 3: what it did since the last whole epoch is done again.
    next(part)
    part.close()
    torch.rand(17)  # whatever else used random numbers meanwhile
    rest = list(fit(recipe, manifest, home, tmp_path / "part", device="cpu", resume=True))
    assert of(Started, rest)[0].first_epoch == 3
    assert [e.validation for e in of(Epoch, rest)] == [e.validation for e in of(Epoch, whole)[2:]]
    for file in ("whole", "part"):
        last = torch.load(tmp_path / file / "last.pt", weights_only=True)
        assert last["state"]["epoch"] == 4
    assert same(best(tmp_path / "whole"), best(tmp_path / "part"))
    assert same(torch.load(tmp_path / "whole/last.pt", weights_only=True)["model"], last["model"])


def test_resuming_what_is_finished_finishes_at_once(recipe, manifest, home, tmp_path):
    list(fit(recipe, manifest, home, tmp_path, device="cpu"))
    before = best(tmp_path)
    events = list(fit(recipe, manifest, home, tmp_path, device="cpu", resume=True))
    assert isinstance(events[-1], Finished)
    assert not of(Started, events)
    assert same(before, best(tmp_path))


def test_resuming_with_other_settings_is_refused(recipe, manifest, home, tmp_path):
    list(fit(recipe, manifest, home, tmp_path, device="cpu"))
    with pytest.raises(BadRecipe) as error:
        list(fit(recipe.but(epochs=9), manifest, home, tmp_path, device="cpu", resume=True))
    assert error.value.code == "other_recipe"


@pytest.mark.parametrize("kind", [Started, Step, Epoch])
def test_closing_anywhere_leaves_whole_files(recipe, manifest, home, tmp_path, kind):
    training = fit(recipe, manifest, home, tmp_path, device="cpu")
    for event in training:
        if isinstance(event, kind):
            break
    training.close()
    assert not list(tmp_path.glob(".*"))
    assert (tmp_path / "model.safetensors").exists() == (kind is Epoch)
    if kind is Epoch:
        load_run(tmp_path)
    assert isinstance(list(fit(recipe, manifest, home, tmp_path, device="cpu", resume=True))[-1], Finished)


def failing(error: Exception, when):
    """A step that raises `error` while `when(number of calls, batch size)`."""
    calls = iter(range(1, 10_000))

    def step(training, images, labels):
        if when(next(calls), len(labels)):
            raise error
        return train_step(training, images, labels)

    return step


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
], ids=["gpu", "cpu"])
def test_out_of_memory_halves_the_batch_and_starts_the_epoch_again(recipe, manifest, home, tmp_path, error):
    step = failing(error, lambda call, size: call > 6 and size > 3)
    events = list(fit(recipe, manifest, home, tmp_path / "a", device="cpu", step=step))
    assert [(s.first_epoch, s.batch_size, s.steps_per_epoch) for s in of(Started, events)] == [(1, 6, 4), (2, 3, 8)]
    note = next(note for note in of(Note, events) if note.message.key == "fit.batch_halved")
    assert note.message.values["batch"] == 3
    assert "3" in note.message.say("zh")
    assert [epoch.epoch for epoch in of(Epoch, events)] == [1, 2]
    assert events[-2].step == 4 + 8
    assert torch.load(tmp_path / "a/last.pt", weights_only=True)["state"]["batch_size"] == 3


def test_out_of_memory_at_one_image_fails_with_an_explanation(recipe, manifest, home, tmp_path):
    step = failing(torch.OutOfMemoryError("CUDA out of memory"), lambda call, size: True)
    events = []
    with pytest.raises(TrainingFailed) as error:
        for event in fit(recipe, manifest, home, tmp_path, device="cpu", step=step):
            events.append(event)
    assert error.value.code == "out_of_memory"
    assert [started.batch_size for started in of(Started, events)] == [6, 3, 1]


def test_other_errors_are_not_taken_for_lack_of_memory(recipe, manifest, home, tmp_path):
    with pytest.raises(RuntimeError, match="shape"):
        list(fit(recipe, manifest, home, tmp_path, device="cpu", step=failing(RuntimeError("shape"), lambda *_: True)))


def test_a_loss_that_is_not_finite_stops_and_overwrites_nothing(recipe, manifest, home, tmp_path):
    def step(training, images, labels):
        parts = train_step(training, images, labels)
        if training.optimizer.state and len(of(Epoch, events)) == 1:
            training.model.get_classifier().weight.data.fill_(math.nan)
            parts.total = parts.total * math.nan
        return parts

    events = []
    with pytest.raises(TrainingFailed) as error:
        for event in fit(recipe, manifest, home, tmp_path, device="cpu", step=step):
            events.append(event)
    assert error.value.code == "not_finite"
    assert "0.003" in error.value.hint()
    assert all(torch.isfinite(tensor).all() for tensor in best(tmp_path).values())
    assert torch.load(tmp_path / "last.pt", weights_only=True)["state"]["epoch"] == 1


def test_a_learning_rate_far_too_high_is_noticed(recipe, manifest, home, tmp_path):
    wild = recipe.but(learning_rate=10, optimizer="sgd", clip=0, epochs=30, warmup=0, regularizer=None, schedule="constant")
    events = []
    with pytest.raises(TrainingFailed):
        for event in fit(wild.but(batch_size=2), manifest, home, tmp_path, device="cpu",
                         step=lambda t, x, y: train_step(t, x * 1e30, y)):
            events.append(event)


def test_early_stopping_keeps_the_best_epoch(recipe, manifest, home, tmp_path):
    def worse(training, images, labels):
        parts = train_step(training, images, labels)
        if of(Epoch, events):
            training.model.get_classifier().weight.data.neg_()
        return parts

    events = []
    for event in fit(recipe.but(epochs=20, patience=2, batch_size=24), manifest, home, tmp_path, device="cpu", step=worse):
        events.append(event)
    finished = events[-1]
    assert finished.stopped_early
    epochs = of(Epoch, events)
    lowest = min(epochs, key=lambda epoch: epoch.validation.target).epoch
    assert epochs[-1].epoch == max(finished.best_epoch, lowest) + 2, "neither was better for two epochs"
    again = list(fit(recipe.but(epochs=20, patience=2, batch_size=24), manifest, home, tmp_path, device="cpu", resume=True))
    assert again[-1].stopped_early
    assert not of(Epoch, again)


def test_no_validation_images(recipe, home, tmp_path):
    events = list(fit(recipe, drawn(home, validation=0), home, tmp_path, device="cpu"))
    assert "fit.no_validation" in keys(events)
    epoch = of(Epoch, events)[-1]
    assert epoch.validation == epoch.train
    assert sum(map(sum, epoch.confusion)) == 24


def test_a_class_without_training_images_is_said(recipe, manifest, home, tmp_path):
    images = [i.but(split="test") if i.label == "red" and i.split == "train" else i for i in manifest.images]
    events = list(fit(recipe.but(class_balance="weights"), Manifest.of_images("x", 1, images), home, tmp_path, device="cpu"))
    assert "fit.class_without_training" in keys(events)


def test_data_that_cannot_be_trained_on(recipe, manifest, home, tmp_path):
    one = Manifest.of_images("x", 1, [image for image in manifest.images if image.label == "red"])
    none = Manifest.of_images("x", 1, [image.but(split="test") for image in manifest.images])
    for data, code in ((one, "too_few_classes"), (none, "nothing_to_train_on")):
        with pytest.raises(BadRecipe) as error:
            list(fit(recipe, data, home, tmp_path, device="cpu"))
        assert error.value.code == code


def test_an_image_that_has_gone_is_named(recipe, manifest, home, tmp_path):
    home.image(manifest.of("validation")[0].sha256).unlink()
    with pytest.raises(NotFound) as error:
        list(fit(recipe, manifest, home, tmp_path, device="cpu"))
    assert manifest.of("validation")[0].file in error.value.message()


def test_a_device_that_is_not_there(recipe, manifest, home, tmp_path):
    with pytest.raises(Unavailable):
        list(fit(recipe, manifest, home, tmp_path, device="cuda:7"))


def test_permuted_labels_are_learned_by_heart_but_not_known(recipe, home, tmp_path):
    """A leak between the splits would lift validation accuracy above chance."""
    data = drawn(home, train=8, validation=30)
    names = sorted(COLOURS)
    images = [image.but(label=names[(index * 7 + index // 3) % 3]) for index, image in enumerate(data.images)]
    events = list(fit(recipe.but(epochs=6), Manifest.of_images("x", 1, images), home, tmp_path, device="cpu"))
    assert abs(of(Epoch, events)[-1].validation_accuracy - 1 / 3) < 0.13  # three standard errors of 90 images


# Head only

def test_head_only_changes_nothing_but_the_head(recipe, manifest, home, tmp_path):
    for name, augmentation in (("features", "none"), ("images", "light")):
        chosen = recipe.but(freeze="all", augmentation=augmentation, source_loss="lwf", weights="scratch")
        events = list(fit(chosen, manifest, home, tmp_path / name, device="cpu"))
        assert "fit.source_constant" in keys(events)
        start, end = build(chosen, 3, home).model.state_dict(), best(tmp_path / name)
        changed = {key for key in start if not torch.equal(start[key], end[key])}
        assert changed == {"fc.weight", "fc.bias"}


def test_augmentation_auto():
    assert Recipe(dataset="x").views == "none"
    assert Recipe(dataset="x", freeze=3).views == "light"
    assert Recipe(dataset="x", positions={"stem": "train"}).views == "light"
    assert Recipe(dataset="x", freeze=3, augmentation="none").views == "none"


def test_every_loss_part_is_reported(home, manifest, tmp_path, recipe, monkeypatch):
    """With a kept head, all four curves exist for training and validation."""
    monkeypatch.setattr("transfer_core.training.models.pretrained_state_dict", lambda name: _published())
    monkeypatch.setattr("transfer_core.training.weights.fetch", lambda name: iter(()))
    chosen = recipe.but(weights="pretrained", source_loss="lwf", regularizer="l2_sp", lambda_omega=0.5, epochs=2)
    epoch = of(Epoch, fit(chosen, manifest, home, tmp_path, device="cpu"))[-1]
    for losses in (epoch.train, epoch.validation):
        data = (losses.source + losses.target) / 2
        assert losses.penalty > 0
        assert losses.total == pytest.approx(data + 0.5 * losses.penalty, rel=1e-5)


def _published():
    import timm

    torch.manual_seed(3)
    return timm.create_model("test_resnet", num_classes=1000).state_dict()


def test_more_photos_right_count_more_than_a_lower_loss(recipe, manifest, home, tmp_path, monkeypatch):
    """From epoch to epoch the model names more photos right and is surer of the others: the loss rises all the time."""
    from transfer_core.training import loop
    from transfer_core.training.sums import Sums

    told = iter([(0.5, 1.0), (0.6, 2.0), (0.6, 3.0), (0.9, 4.0)])

    class Told(Sums):
        def __init__(self, accuracy: float, loss: float) -> None:
            super().__init__(3, torch.device("cpu"))
            self.count, self.values = 10, {"total": torch.tensor(10 * loss), "target": torch.tensor(10 * loss)}
            self.shown = accuracy

        accuracy = property(lambda self: self.shown)

    real = loop._validate
    monkeypatch.setattr(loop, "_validate", lambda *given: (Told(*next(told)), real(*given)[1]))
    events = list(fit(recipe.but(epochs=4, patience=2), manifest, home, tmp_path, device="cpu"))
    assert [epoch.best for epoch in of(Epoch, events)] == [True, True, False, True]
    assert events[-1].best_epoch == 4 and not events[-1].stopped_early
