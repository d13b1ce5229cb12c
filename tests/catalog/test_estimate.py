"""Estimates: parameters exact, time and memory by hand and never growing when more is frozen; the measurement itself."""

import itertools
import json

import pytest
import timm
from hypothesis import given
from hypothesis import strategies as st

from transfer_core import catalog
from transfer_core.errors import NotFound
from transfer_core.estimate import estimate
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.speeds import Speed, Speeds, speeds
from transfer_core.training import speed as measuring
from transfer_core.training.freezing import climb, freeze, trainable_parameters
from transfer_core.training.layers import head_parameters, layer_groups
from transfer_core.training.models import build
from transfer_core.training.tuning import low_rank

MODELS = ("tf_efficientnet_lite0.in1k", "resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k_ft_in1k", "densenet121.ra_in1k")
SPEED = Speed(images_per_second=50, backward=2, decode_seconds=0.01)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("freeze", [0, 2, "all"])
def test_parameters_are_exact(name, freeze):
    info, recipe = catalog.model(name), Recipe(dataset="d", model=name, freeze=freeze)
    model = timm.create_model(name, pretrained=False, num_classes=6)
    groups, sizes = layer_groups(model), {path: parameter.numel() for path, parameter in model.named_parameters()}
    learns = [path for index, group in enumerate(groups) if recipe.position(group.name, index, len(groups)) != "freeze"
              for path in group.parameters]
    found = estimate(recipe, info, 100, classes=6)
    assert found.trainable_parameters == sum(sizes[path] for path in (*learns, *head_parameters(model)))
    assert found.total_parameters == sum(sizes.values())
    assert found.seconds is None


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("settings", [{"head": "hidden", "head_width": 33}, {"tuning": "norm"}, {"tuning": "bias"},
                                      {"tuning": "lora", "lora_rank": 2}, {"kept_groups": 3, "freeze": 1}])
def test_another_shape_is_counted_as_it_will_be_built(name, settings, tmp_path):
    """Against the model that a training would build, with the ladder on it."""
    info, recipe = catalog.model(name), Recipe(dataset="d", model=name, weights="scratch", **{"freeze": 2, **settings})
    if recipe.kept_groups and recipe.kept_groups not in info.ends:
        pytest.skip(f"{name} cannot end there")
    built = build(recipe, 6, Home(tmp_path))
    ladder = climb(recipe, built.model, built.groups, 100)
    freeze(built.model, ladder)
    found = estimate(recipe, info, 100, SPEED, classes=6)
    assert found.total_parameters == sum(parameter.numel() for parameter in built.model.parameters())
    trainable = trainable_parameters(built.model, low_rank(recipe, built.model, ladder.learning("train")))
    if recipe.tuning == "lora":
        assert trainable <= found.trainable_parameters <= 1.02 * trainable, "narrow layers take less than the rank"
    else:
        assert found.trainable_parameters == trainable
    if recipe.kept_groups:
        assert found.seconds < estimate(recipe.but(kept_groups=None), info, 100, SPEED, classes=6).seconds


def test_a_flat_head_is_counted_as_it_will_be_built(tmp_path):
    info, recipe = catalog.model("resnet18.a1_in1k"), Recipe(dataset="d", model="resnet18", weights="scratch", head="flatten")
    built = build(recipe, 6, Home(tmp_path))
    assert estimate(recipe, info, 100, classes=6).total_parameters == sum(p.numel() for p in built.model.parameters())


@given(name=st.sampled_from(MODELS), data=st.data(), source=st.sampled_from([None, "lwf"]),
       regularizer=st.sampled_from([None, "l2", "l2_sp"]), augmentation=st.sampled_from(["none", "light"]))
def test_freezing_one_more_group_never_costs_more(name, data, source, regularizer, augmentation):
    info = catalog.model(name)
    names = [group.name for group in info.groups]
    positions = {group: data.draw(st.sampled_from(["train", "freeze"]), group) for group in names}
    more = data.draw(st.sampled_from(names))
    recipe = Recipe(dataset="d", model=name, freeze=0, positions=positions, source_loss=source, regularizer=regularizer,
                    augmentation=augmentation)
    before = estimate(recipe, info, 100, SPEED)
    after = estimate(recipe.but(positions={**positions, more: "freeze"}), info, 100, SPEED)
    assert after.trainable_parameters <= before.trainable_parameters
    assert after.memory_bytes <= before.memory_bytes
    assert after.seconds <= before.seconds
    assert after.total_parameters == before.total_parameters


@pytest.mark.parametrize("name", MODELS)
def test_the_slider_moves_every_number(name):
    info = catalog.model(name)
    steps = [estimate(Recipe(dataset="d", model=name, freeze=k), info, 1000, SPEED) for k in range(len(info.groups) + 1)]
    for less, more in itertools.pairwise(steps):
        assert more.trainable_parameters < less.trainable_parameters
        assert more.seconds < less.seconds
        assert more.memory_bytes <= less.memory_bytes
    assert steps[-1].memory_bytes < steps[0].memory_bytes


def test_seconds_by_hand():
    """100 images, 50 a second forward, 10 ms to decode; backward twice the forward; validation is a fifth of the training."""
    info, start = catalog.model("tf_efficientnet_lite0"), 12
    everything = Recipe(dataset="d", freeze=0, epochs=3)
    shares = [group.share for group in info.groups]
    # Forward 0.02; input gradient of all but the stem and weight gradient of all: 0.02 · (1 − stem + 1).
    training = 0.02 * (1 + 2 * ((1 - shares[0]) + 1) / 2) + 0.01
    assert estimate(everything, info, 100, SPEED).seconds == pytest.approx(start + 3 * 100 * (training + 0.2 * 0.03))
    head = Recipe(dataset="d", freeze="all", epochs=3, augmentation="none")
    once = 0.01 + 0.45 * 0.02  # decoded, and through the frozen layers by the faster engine
    assert estimate(head, info, 100, SPEED).seconds == pytest.approx(start + 100 * 1.2 * once), "epochs cost nothing"
    views = head.but(augmentation="light", stored_views=2)
    assert estimate(views, info, 100, SPEED).seconds == pytest.approx(start + 100 * 2.2 * once)
    fresh = head.but(augmentation="light", stored_views=0)
    assert estimate(fresh, info, 100, SPEED).seconds == pytest.approx(start + 3 * 100 * 1.2 * 0.03)
    six = head.but(freeze=6, epochs=10)
    learns, ahead = sum(shares[6:]), sum(shares[:6])
    epoch = 1.2 * 0.02 * learns + 0.02 * 2 * (sum(shares[7:]) + learns) / 2
    stored = 1.2 * (0.01 + 0.45 * ahead * 0.02)
    assert estimate(six, info, 100, SPEED).seconds == pytest.approx(start + 100 * (stored + 10 * epoch))
    twice = everything.but(image_size=448)
    assert estimate(twice, info, 100, SPEED).seconds == pytest.approx(start + 300 * (4 * (training - 0.01) + 0.01 + 0.2 * 0.09))


def test_what_the_source_loss_adds_by_hand():
    """100 images, 50 a second forward, 10 ms to decode, backward twice the forward, everything trained for 3 epochs."""
    info = catalog.model("tf_efficientnet_lite0")
    plain = Recipe(dataset="d", freeze=0, epochs=3)
    base = estimate(plain, info, 100, SPEED).seconds
    step = 0.02 * (1 + 2 * ((1 - info.groups[0].share) + 1) / 2)

    def more(**settings: object) -> float:
        others = settings.pop("others", 0)
        return estimate(plain.but(**settings), info, 100, SPEED, source_images=others).seconds - base

    assert more(source_loss="ewc") == pytest.approx(100 * (0.01 + step)), "each photo once, one at a time, both ways"
    assert more(source_loss="co_tuning") == pytest.approx(100 * (0.01 + 0.02)), "each photo once, forward"
    assert more(source_loss="lwf") == pytest.approx(3 * 120 * 0.02), "the model as it was is asked in every step"
    joint = more(source_loss="replay", source_dataset="e", others=50)
    assert joint == pytest.approx(3 * (100 * (step + 0.01) + 10 * 0.03)), "a second batch for each, 10 more to look at"


def test_a_second_training_stores_nothing_anew():
    info = catalog.model("tf_efficientnet_lite0")
    head = estimate(Recipe(dataset="d", freeze="all", epochs=3, augmentation="none"), info, 100, SPEED)
    assert head.seconds - head.seconds_again == pytest.approx(120 * (0.01 + 0.45 * 0.02))
    everything = estimate(Recipe(dataset="d", freeze=0, epochs=3), info, 100, SPEED)
    assert everything.seconds == everything.seconds_again


def test_a_second_dataset_is_stored_too():
    info = catalog.model("tf_efficientnet_lite0")
    joint = Recipe(dataset="d", freeze=7, source_loss="replay", source_dataset="e", augmentation="none")
    assert estimate(joint, info, 1000, source_images=500).stored_bytes == 1800 * 4 * 192 * 49


def test_stored_bytes_by_hand():
    """EfficientNet-Lite0: 1,280 features, and 192 × 7 × 7 numbers before the last group; a fifth more for validation."""
    info = catalog.model("tf_efficientnet_lite0")
    head = Recipe(dataset="d", freeze="all")
    assert estimate(head, info, 1000).stored_bytes == 1200 * 4 * 1280
    last = head.but(freeze=7, augmentation="light", stored_views=3)
    assert estimate(last, info, 1000).stored_bytes == 3200 * 4 * 192 * 49
    assert estimate(last, info, 10_000).stored_bytes == 32_000 * 2 * 192 * 49, "beyond 1 GB in half precision"


def test_pixels_are_kept_where_activations_are_not():
    """Rows of 224 × 224 as they are evaluated; of 316 × 421 when varied, so that half of it is no smaller than 224 × 224."""
    info = catalog.model("tf_efficientnet_lite0")
    everything = Recipe(dataset="d", freeze=0, augmentation="none")
    assert estimate(everything, info, 1000).stored_bytes == 1200 * 3 * 224 * 224
    varied = 1000 * 3 * 316 * 421 + 200 * 3 * 224 * 224
    assert estimate(everything.but(augmentation="light"), info, 1000).stored_bytes == varied
    fresh = Recipe(dataset="d", freeze=7, augmentation="light", stored_views=0)
    assert estimate(fresh, info, 1000).stored_bytes == varied
    assert estimate(everything.but(augmentation="light", epochs=4), info, 1000).stored_bytes == 200 * 3 * 224 * 224
    assert estimate(everything.but(epochs=1), info, 1000).stored_bytes == 0


def test_memory_counts_what_a_setting_adds():
    info = catalog.model("resnet18")
    sgd = Recipe(dataset="d", freeze=0, optimizer="sgd", regularizer=None)
    base = estimate(sgd, info, 1)
    assert estimate(sgd.but(optimizer="adamw"), info, 1).memory_bytes - base.memory_bytes == 4 * base.total_parameters
    assert estimate(sgd.but(regularizer="l2_sp"), info, 1).memory_bytes - base.memory_bytes == 4 * base.total_parameters
    assert estimate(sgd.but(source_loss="lwf"), info, 1).memory_bytes - base.memory_bytes == 4 * base.total_parameters
    larger = estimate(sgd.but(batch_size=64), info, 1).memory_bytes
    assert larger > base.memory_bytes
    both = sgd.but(source_loss="replay", source_dataset="e")
    assert estimate(both, info, 1).memory_bytes == larger, "a batch of 32 is joined by 32 of the second dataset"
    assert estimate(sgd.but(source_loss="ewc"), info, 1).memory_bytes - base.memory_bytes == 8 * base.trainable_parameters


def test_what_must_be_downloaded():
    info = catalog.model("resnet18")
    assert estimate(Recipe(dataset="d"), info, 1).download_bytes == 4 * info.parameters
    assert estimate(Recipe(dataset="d", weights="scratch"), info, 1).download_bytes == 0


def test_other_models_speed_is_worked_out_from_the_measured_ones():
    """Made-up machine: 10⁻¹¹ s a multiply-add, 2 · 10⁻¹⁰ s an activation. Three models are enough to find both."""
    def seconds(name: str) -> float:
        info = catalog.model(name)
        return 1e-11 * info.macs + 2e-10 * sum(group.activations for group in info.groups)

    known = ["tf_efficientnet_lite0.in1k", "resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k_ft_in1k"]
    measured = Speeds({name: Speed(1 / seconds(name), 2.5, 0.004) for name in known})
    other = measured.get("densenet121")
    assert other.images_per_second == pytest.approx(1 / seconds("densenet121"), rel=1e-6)
    assert (other.measured, other.backward, other.decode_seconds) == (False, 2.5, 0.004)
    assert list(measured) == known
    assert measured.get("tf_efficientnet_lite0") is measured["tf_efficientnet_lite0.in1k"]
    assert measured.get("no such model") is None
    assert Speeds({}).get("resnet18") is None


def test_one_measured_model_is_enough_for_a_guess():
    guess = Speeds({"resnet18.a1_in1k": Speed(50)}).get("resnet50.a1_in1k")
    assert 10 < guess.images_per_second < 40


def test_measuring_writes_what_pages_read(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "_SECONDS", 0.0)
    home = Home(tmp_path)
    assert not speeds(home)
    events = list(measuring.measure(["test_resnet.r160_in1k"], home))
    assert [(event.done, event.total) for event in events] == [(0, 1), (1, 1)]
    found = speeds(home)["test_resnet.r160_in1k"]
    assert found.images_per_second > 0 and found.backward >= 1 and 0 < found.decode_seconds < 1
    list(measuring.measure(["test_vit"], home))
    assert set(speeds(home)) == {"test_resnet.r160_in1k", "test_vit.r160_in1k"}, "added to, not replaced"


def test_another_device_forgets_what_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "_SECONDS", 0.0)
    (tmp_path / "speed.json").write_text(json.dumps({"device": "another", "decode_seconds": 1, "models": {
        "resnet18.a1_in1k": {"images_per_second": 5, "backward": 2}}}))
    list(measuring.measure(["test_resnet"], Home(tmp_path)))
    assert set(speeds(Home(tmp_path))) == {"test_resnet.r160_in1k"}


def test_an_unknown_model_is_refused_before_measuring(tmp_path):
    with pytest.raises(NotFound):
        next(measuring.measure(["test_resnet", "no_such_model"], Home(tmp_path)))
    assert not (tmp_path / "speed.json").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"models": {}}', '{"decode_seconds": 1, "models": {"gone": {}}}'])
def test_a_damaged_file_is_no_measurement(tmp_path, content):
    (tmp_path / "speed.json").write_text(content)
    assert len(speeds(Home(tmp_path))) == 0
