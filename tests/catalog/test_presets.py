"""Presets: every one makes a valid recipe for every kind of model; the recommendation follows the number of images."""

import pytest

from transfer_core import catalog
from transfer_core.presets import PRESETS, recommend
from transfer_core.recipe import Recipe
from transfer_core.words import languages, say

MODELS = [suggestion.model.name for suggestion in catalog.suggested()] + ["vgg16_bn", "resnet18", "swin_tiny_patch4_window7_224"]


def summary(*counts: int, names: str = "class {}") -> dict:
    total = sum(counts)
    train = round(0.7 * total)
    return {"classes": {names.format(chr(97 + n) * 3): count for n, count in enumerate(counts)},
            "split": {"train": train, "validation": (total - train) // 2, "test": total - train - (total - train) // 2}}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("preset", PRESETS, ids=lambda choice: choice.name)
def test_every_preset_makes_a_recipe(preset, name):
    info = catalog.model(name)
    for facts in (summary(10, 10), summary(400, 400, 100), {}):
        recipe = Recipe(dataset="d", model=name, **preset(info, facts))
        assert recipe.freeze == "all" or 0 <= recipe.freeze < len(info.groups)


def test_the_words_of_every_preset():
    for language in languages():
        for name in PRESETS.names():
            assert say(f"catalog.presets.{name}.title", language) and say(f"catalog.presets.{name}.text", language)


def test_last_stages_of_lite0_by_hand():
    """Shares from the end: blocks.6 12.9 %, blocks.5 23.7 % make 36.6 %; blocks.4 with 22.4 % would be too much."""
    info = catalog.model("tf_efficientnet_lite0")
    assert [round(100 * group.share, 1) for group in info.groups][-3:] == [22.4, 23.7, 12.9]
    assert PRESETS["last_stages"](info, {})["freeze"] == 6


@pytest.mark.parametrize("name", MODELS)
def test_last_stages_lie_between_the_other_two(name):
    info = catalog.model(name)
    freeze = PRESETS["last_stages"](info, {})["freeze"]
    assert 0 < freeze < len(info.groups)
    assert PRESETS["everything"](info, {})["freeze"] == 0


@pytest.mark.parametrize(("each", "preset"), [(10, "head_only"), (42, "head_only"), (44, "last_stages"), (400, "last_stages"),
                                              (500, "everything")])
def test_the_recommendation_follows_training_images_a_class(each, preset):
    """Of `each` images a class 70 % train: 42 → 29, 44 → 31, 400 → 280, 500 → 350."""
    name, why = recommend(catalog.model("resnet18"), summary(each, each, each))
    assert name == preset
    for language in languages():
        assert str(round(0.7 * each)) in why.say(language)


def test_without_a_dataset_the_recommendation_is_safe():
    name, why = recommend(catalog.model("resnet18"), {})
    assert name == "head_only" and why.say("zh")


def test_uneven_classes_are_weighted_and_sides_are_not_mirrored():
    info, head = catalog.model("resnet18"), PRESETS["head_only"]
    assert head(info, summary(100, 20))["class_balance"] == "weights"
    assert head(info, summary(100, 50))["class_balance"] == "none"
    assert head(info, summary(10, 10))["flip"] is True
    assert head(info, {"classes": {"left hand": 3, "right hand": 3}})["flip"] is False
    assert head(info, {"classes": {"0": 3, "7": 3}})["flip"] is False, "a mirrored digit is another sign"
    assert head(info, {"classes": {"bright": 3, "leftover": 3}})["flip"] is True


def test_epochs_make_about_250_steps():
    info, last = catalog.model("resnet18"), PRESETS["last_stages"]
    assert last(info, {"split": {"train": 500}})["epochs"] == 16  # 250 · 32 / 500
    assert last(info, {"split": {"train": 50}})["epochs"] == 30
    assert last(info, {"split": {"train": 50_000}})["epochs"] == 8
