"""The draft: a recipe between the recommendation and the URL."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared import draft
from pages.shared.place import SETTINGS
from transfer_core import catalog, presets
from transfer_core.recipe import Recipe

EFFICIENTNET = ["stem", *(f"blocks.{number}" for number in range(7))]


def look(home, script: str = "", **query: str) -> tuple[AppTest, draft.Draft]:
    """Run a page that looks at the draft after `script`."""
    app = AppTest.from_string(f"""
import streamlit as st
from pages.shared import draft
{script}
st.session_state["seen"] = draft.current()
st.session_state["url"] = st.query_params.to_dict()
""")
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app, app.session_state["seen"]


@pytest.mark.parametrize(("positions", "freeze", "apart"), [
    (["train"] * 3, 0, {}),
    (["freeze"] * 3, "all", {}),
    (["freeze", "freeze", "train"], 2, {}),
    (["freeze", "anchor", "train"], 1, {"b": "anchor"}),
    (["train", "freeze", "freeze"], 0, {"b": "freeze", "c": "freeze"}),
    (["anchor", "anchor", "anchor"], 0, {"a": "anchor", "b": "anchor", "c": "anchor"}),
])
def test_positions_become_the_frozen_beginning_and_the_exceptions(positions, freeze, apart):
    groups = ["a", "b", "c"]
    settings = draft.freeze_settings(groups, positions)
    assert settings == {"freeze": freeze, "positions": apart}
    recipe = Recipe(dataset="-", **settings)
    assert [recipe.position(group, index, 3) for index, group in enumerate(groups)] == positions


def test_an_empty_url_is_the_recommendation(home):
    _, seen = look(home)
    assert seen.recipe == seen.usual
    assert seen.differences == [] and seen.dropped == ()
    assert seen.preset == seen.advised


@pytest.mark.parametrize(("name", "text", "value"), [
    ("epochs", "7", 7), ("learning_rate", "0.0003", 0.0003), ("flip", "false", False), ("regularizer", "none", None),
    ("image_size", "160", 160), ("source_loss", "lwf", "lwf"), ("optimizer", "sgd", "sgd"), ("freeze", "3", 3),
    ("positions", "blocks.5:anchor", {"blocks.5": "anchor"}), ("lambda_omega", "1e-05", 1e-5), ("augmentation", "none", "none"),
])
def test_a_setting_in_the_url_is_in_the_recipe(home, name, text, value):
    _, seen = look(home, preset="everything", **{name: text})
    assert getattr(seen.recipe, name) == value
    assert seen.differences == [name]


@pytest.mark.parametrize(("name", "text"), [
    ("epochs", "many"), ("epochs", "-3"), ("epochs", "9" * 5000), ("learning_rate", "nan"),
    ("learning_rate", "inf"), ("flip", "maybe"),
    ("positions", "nothing"), ("positions", "layer4:freeze"), ("positions", "blocks.1:melt"), ("freeze", "x"), ("freeze", "-1"),
    ("source_loss", "magic"), ("regularizer", "<b>"), ("weights", "file"), ("weights", "stolen"), ("weights_file", "abc"),
    ("seed", "1.5"),
])
def test_what_cannot_be_is_left_out_and_named(home, name, text):
    _, seen = look(home, **{name: text})
    assert seen.recipe == seen.usual
    assert seen.dropped == (name,)


def test_one_wrong_setting_takes_no_other_along(home):
    _, seen = look(home, epochs="many", seed="5", positions="blocks.0:anchor,no.such:freeze", preset="everything")
    assert (seen.recipe.seed, seen.recipe.epochs) == (5, seen.usual.epochs)
    assert seen.recipe.positions == {"blocks.0": "anchor"}
    assert set(seen.dropped) == {"epochs", "positions"}


def test_weights_of_a_persons_own_need_both_their_settings(home):
    _, seen = look(home, weights="file", weights_file="a" * 64)
    assert (seen.recipe.weights, seen.recipe.weights_file) == ("file", "a" * 64)
    _, seen = look(home, weights="run", start_from="0" * 32)
    assert (seen.recipe.weights, seen.recipe.start_from) == ("run", "0" * 32)
    _, seen = look(home, source_loss="replay", source_dataset="leaves-1", source_version="3")
    assert (seen.recipe.source_loss, seen.recipe.source_dataset, seen.recipe.source_version) == ("replay", "leaves-1", 3)
    for alone in ({"start_from": "0" * 32}, {"source_loss": "replay"}, {"source_dataset": "leaves-1"}, {"weights": "run"}):
        _, seen = look(home, **alone)
        assert not seen.differences and seen.dropped == tuple(alone)


def test_freezing_every_group_by_number_is_head_only(home):
    _, seen = look(home, freeze=str(len(EFFICIENTNET)), preset="head_only")
    assert seen.recipe.freeze == "all"
    assert seen.differences == []


def test_an_unknown_model_is_replaced_and_said(home):
    _, seen = look(home, model="no/such")
    assert seen.info.architecture == "tf_efficientnet_lite0"
    assert "no/such" in str(seen.unknown_model)


def test_another_model_starts_without_the_freezing_of_the_one_before(home):
    app, seen = look(home, 'draft.choose_model("resnet18.a1_in1k")', freeze="2", positions="blocks.5:anchor", epochs="9")
    assert seen.info.name == "resnet18.a1_in1k"
    assert not {"freeze", "positions"} & app.session_state["url"].keys()
    assert seen.recipe.epochs == 9


def test_a_changed_setting_goes_to_the_url_and_back_again(home):
    app, _ = look(home, 'draft.change(epochs=77, flip=False)')
    assert (app.session_state["url"]["epochs"], app.session_state["url"]["flip"]) == ("77", "false")
    _, again = look(home, "draft.change(epochs=draft.recommended().epochs)", epochs="77", flip="false")
    assert again.differences == ["flip"]


@pytest.mark.parametrize("name", [name for name in SETTINGS 
                                  if name not in ("model", "weights", "weights_file", "start_from", "source_dataset",
                                                  "source_version")])
def test_every_setting_survives_the_url(home, name):
    """Whatever value a recipe holds, the URL's text means the same value."""
    other = {"freeze": 2, "positions": {"blocks.6": "anchor"}, "lambda_anchor": 1e-7, "source_loss": "lwf", "lambda_target": 0.3,
             "regularizer": "l1", "lambda_omega": 3e-6, "epochs": 3, "batch_size": 8, "optimizer": "sgd", "learning_rate": 1e-5,
             "backbone_factor": 0.003, "schedule": "constant", "warmup": 0.3, "clip": 0.0, "label_smoothing": 0.1,
             "augmentation": "strong", "flip": False, "class_balance": "sampler", "image_size": 96, "precision": "float16",
             "stored_views": 4, "patience": 0, "seed": 123456789, "kept_groups": 6, "head": "hidden", "head_width": 64,
             "head_dropout": 0.35, "tuning": "lora", "lora_rank": 3, "minutes": 7.5}[name]
    app, seen = look(home, f"draft.change(**{{{name!r}: {other!r}}})", preset="everything")
    assert getattr(seen.recipe, name) == other
    assert name in app.session_state["url"]


OTHER = {"epochs": 7, "learning_rate": 1e-5, "flip": False, "regularizer": None, "image_size": 160, "source_loss": "lwf"}


@pytest.mark.parametrize("settings", [
    {"freeze": "all"}, {"freeze": 0}, OTHER, {"freeze": 3, "positions": {"blocks.5": "anchor"}},
    {"model": "resnet18.a1_in1k", "freeze": 2},
    {"kept_groups": 4, "freeze": 2}, {"kept_groups": 6, "freeze": "all", "head": "flatten"}, {"freeze": 6, "tuning": "lora"},
    {"weights": "file", "weights_file": "a" * 64, "patience": 0, "class_balance": "sampler"}, {"positions": {"stem": "freeze"}},
])
def test_the_address_of_a_recipe_is_that_recipe_again(home, settings):
    wanted = Recipe(dataset=draft.NO_DATASET, **settings)
    address = {key: value for key, value in draft.address(wanted).items() if value is not None}
    _, seen = look(home, **address)
    assert seen.dropped == () and seen.unknown_model is None
    info = catalog.model(wanted.model).shortened(wanted.kept_groups)
    assert seen.recipe.but(freeze=0, positions={}) == wanted.but(freeze=0, positions={}, model=info.name)
    assert seen.positions == [wanted.position(group.name, index, len(info.groups)) for index, group in enumerate(info.groups)]


def test_the_address_of_a_recommended_recipe_names_nothing_but_model_and_preset(home):
    for preset in presets.PRESETS.names():
        _, seen = look(home, preset=preset)
        address = draft.address(seen.recipe)
        assert {key: value for key, value in address.items() if value} == {"preset": preset, "model": seen.info.name}
        assert set(SETTINGS) <= address.keys()


def test_the_address_of_an_unknown_model_takes_no_setting_along(home):
    address = draft.address(Recipe(dataset="gone", model="no_such", epochs=3))
    assert {key for key, value in address.items() if value} == {"model"}


def test_reset_brings_back_one_or_all(home):
    _, seen = look(home, 'draft.reset("epochs")', epochs="7", seed="3")
    assert seen.differences == ["seed"]
    _, seen = look(home, "draft.reset()", epochs="7", seed="3", model="resnet18.a1_in1k")
    assert seen.differences == [] and seen.info.name == "resnet18.a1_in1k"


@pytest.mark.parametrize("name", [preset.name for preset in presets.PRESETS])
def test_a_preset_takes_the_place_of_a_freezing_made_by_hand(home, name):
    _, seen = look(home, f"draft.choose_preset({name!r})", freeze="2", positions="blocks.5:anchor", seed="4")
    assert seen.preset == name
    assert seen.differences == ["seed"]


WIDGET = """
import streamlit as st
from pages.shared import draft
st.number_input("Epochs", 1, 1000, step=1, **draft.bind("epochs"))
st.button("reset", on_click=draft.reset)
"""


def test_a_widget_follows_the_url_and_the_url_the_widget(home, caplog):
    app = AppTest.from_string(WIDGET)
    app.query_params["epochs"] = "12"
    app.run()
    assert app.number_input[0].value == 12
    app.number_input[0].set_value(25).run()
    assert app.query_params["epochs"] in ("25", ["25"])
    assert app.number_input[0].value == 25
    app.button[0].click().run()
    assert "epochs" not in app.query_params
    assert app.number_input[0].value != 25
    assert not app.warning and "default value" not in caplog.text
