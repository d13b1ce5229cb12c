"""The Model page without a browser: every way it can be met, in both languages."""

from __future__ import annotations

import json
import re

import pytest
import stories

from pages.shared.model import numbers, settings, structure
from pages.shared.model.price import pattern
from pages.shared.place import SETTINGS
from transfer_core import catalog, presets
from transfer_core.regularizers import REGULARIZERS
from transfer_core.source_losses import SOURCE_LOSSES
from transfer_core.store import Store
from transfer_core.words import has, languages, message, say

ELSEWHERE = {"model", "weights", "weights_file", "freeze", "positions", "lambda_anchor", "source_loss", "lambda_target",
             "regularizer", "lambda_omega", "start_from", "source_dataset", "source_version",
             *structure.SETTINGS}
"""Settings with a place of their own on the page."""


@pytest.fixture
def dataset(store: Store) -> str:
    summary = {"dataset": "hats-0001", "version": 1, "classes": {"hat <b>": 60, "shoe": 60}, "imported": 120,
               "split": {"train": 84, "validation": 18, "test": 18}}
    store.add_dataset("Hats & *shoes*", "hats-0001", message("app.name"), summary)
    return "hats-0001"


def settings_of(app) -> dict[str, str]:
    return {key: value if isinstance(value, str) else value[0] for key, value in app.query_params.items()}


def bound(widgets, name: str):
    """The widget of this name, whichever turn it is in: see `pages.shared.bound`."""
    return next(widget for widget in widgets if re.fullmatch(rf"{name}(-\d+)?", widget.key or ""))


def press(app, key: str):
    next(button for button in app.button if button.key == key).click()
    return app.run()


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("depth", ["simple", "guided", "expert"])
def test_the_page_with_a_dataset(visit, dataset, language, depth):
    app = visit("model", dataset=dataset, lang=language, depth=depth)
    assert not app.exception and not app.error and not app.warning
    assert app.title[0].value == say("model.title", language)
    assert {radio.key for radio in app.radio} >= {"preset-choice"}
    shown = {control.name for control in settings.CONTROLS
             for widget in (*app.number_input, *app.selectbox, *app.toggle) if widget.key == f"setting-{control.name}"}
    wanted = {control.name for control in settings.CONTROLS if depth == "expert" or control.depth == depth}
    assert shown == wanted
    assert ("setting-lambda_omega" in {slider.key for slider in app.select_slider}) == (depth != "simple")


@pytest.mark.parametrize("language", languages())
def test_without_a_dataset_it_can_be_looked_at_and_leads_to_the_photos(visit, language):
    app = visit("model", lang=language)
    assert say("model.no_dataset", language) in app.info[0].value
    assert "go-train" not in {button.key for button in app.button}
    assert "go-data" in {button.key for button in app.button}


@pytest.mark.parametrize("suggestion", catalog.suggested(), ids=lambda suggestion: suggestion.role)
def test_every_suggested_model_can_be_taken(visit, dataset, suggestion):
    app = visit("model", dataset=dataset, model="resnet18.a1_in1k", freeze="1", positions="layer2:anchor")
    press(app, f"take-{suggestion.role}")
    assert not app.exception
    url = settings_of(app)
    assert url["model"] == suggestion.model.name
    assert not {"freeze", "positions"} & url.keys()


@pytest.mark.parametrize("model", ["vgg11.tv_in1k", "swin_tiny_patch4_window7_224.ms_in1k", "vit_huge_patch14_224.orig_in21k",
                                   "densenet201.tv_in1k", "no/such model", "../../etc"])
def test_any_model_in_the_address_is_drawn(visit, dataset, model):
    assert not visit("model", dataset=dataset, model=model).exception


def test_models_with_very_many_groups_and_with_one(visit, dataset):
    pretrained = [info for info in catalog.models() if info.pretrained]
    most, least = max(pretrained, key=lambda info: len(info.groups)), min(pretrained, key=lambda info: len(info.groups))
    assert len(most.groups) > 25
    for info in (most, least):
        assert not visit("model", dataset=dataset, model=info.name, depth="guided").exception


def test_wrong_settings_are_named_and_leave_the_address(visit, dataset):
    app = visit("model", dataset=dataset, epochs="many", positions="layer9:freeze")
    assert say("settings.epochs") in app.warning[0].value
    assert not {"epochs", "positions"} & settings_of(app).keys()


def test_search_finds_and_takes_a_model(visit, dataset):
    app = visit("model", dataset=dataset)
    app.session_state["search-panel"] = True
    app.run()
    next(field for field in app.text_input if field.key == "search-text").set_value("resnet18 a1").run()
    press(app, "take-resnet18.a1_in1k")
    assert settings_of(app)["model"] == "resnet18.a1_in1k"
    next(field for field in app.text_input if field.key == "search-text").set_value("<script>zzzzqq").run()
    assert any("zzzzqq" in info.value for info in app.info) and not app.exception


def found(app) -> list[str]:
    """Names of the models the search shows."""
    return [button.key.removeprefix("take-") for button in app.button if button.key.startswith("take-") and "." in button.key]


def test_a_search_lies_in_the_address(visit, dataset):
    asked = {"find": "resnet", "family": "resnet", "most": "30M", "order": "small", "commercial": "true"}
    app = visit("model", dataset=dataset, **asked)
    expected = sorted(catalog.search("resnet", family="resnet", max_parameters=30_000_000, commercial=True),
                      key=lambda info: (info.toy, info.parameters))
    assert found(app) == [info.name for info in expected[:10]] and not any(name.startswith("test_") for name in found(app))
    press(app, "search-more")
    assert settings_of(app)["shown"] == "30" and found(app) == [info.name for info in expected[:30]]
    next(field for field in app.text_input if field.key == "search-text").set_value("resnet 18").run()
    assert settings_of(app)["find"] == "resnet 18" and "shown" not in settings_of(app)
    next(box for box in app.checkbox if box.key == "search-commercial").set_value(False).run()
    next(box for box in app.selectbox if box.key == "search-order").set_value("match").run()
    assert not {"commercial", "order"} & settings_of(app).keys()
    assert found(visit("model", **settings_of(app))) == found(app)


@pytest.mark.parametrize("broken", [{"most": "7"}, {"family": "<b>"}, {"order": "up"}, {"shown": "-3"}, {"shown": "9" * 30},
                                    {"find": "*_[x](y)", "here": "maybe"}])
def test_a_broken_search_in_the_address_is_no_error(visit, dataset, broken):
    assert not visit("model", dataset=dataset, **broken).exception


def test_presets_without_a_search_leave_it_folded(visit, dataset):
    app = visit("model", dataset=dataset, preset="everything")
    assert not [field for field in app.text_input if field.key == "search-text"]


def priced(app) -> dict:
    """What the page hands to the browser's price."""
    return next(json.loads(part.proto.json) for part in app.get("bidi_component") if part.proto.component_name == "studio_price")


def own_price(app) -> dict:
    data = priced(app)
    return data["prices"][pattern(data["positions"])]


def test_the_price_of_every_place_of_the_slider_is_sent_along_and_is_what_the_server_would_say(visit, dataset, home):
    speed = {"tf_efficientnet_lite0.in1k": {"images_per_second": 3, "backward": 2}}
    home.root.joinpath("speed.json").write_text(json.dumps({"device": "cpu", "decode_seconds": 0.004, "models": speed}))
    sent = priced(visit("model", dataset=dataset, preset="everything"))["prices"]
    later = [own_price(visit("model", dataset=dataset, preset="everything", freeze=str(first))) for first in range(9)]
    assert [sent["f" * first + "l" * (8 - first)] for first in range(9)] == later
    assert len({tuple(price["values"]) for price in later}) == 9


def test_the_price_of_every_single_part_is_sent_along_unless_parts_are_not_shown(visit, dataset):
    sent = priced(visit("model", dataset=dataset, preset="everything", regularizer="l2"))["prices"]
    anchored = own_price(visit("model", dataset=dataset, preset="everything", regularizer="l2", positions="blocks.2:anchor"))
    frozen = own_price(visit("model", dataset=dataset, preset="everything", regularizer="l2", positions="blocks.2:freeze"))
    assert sent["llllllll+"] == anchored
    assert sent["lllfllll"] == frozen != sent["llllllll"]
    assert "lllfllll" not in priced(visit("model", dataset=dataset, preset="everything", depth="simple"))["prices"]


def test_a_slider_drawn_over_an_anchor_and_back_is_priced_too(visit, dataset):
    sent = priced(visit("model", dataset=dataset, preset="everything", freeze="2", positions="blocks.3:anchor,blocks.5:freeze"))
    assert {"ffllllfl+", "llllllfl+", "fffffffl", "flllllll", "ffffllfl"} <= set(sent["prices"])


def test_a_price_in_chinese_is_chinese(visit, dataset):
    english, chinese = (priced(visit("model", dataset=dataset, lang=language)) for language in ("en", "zh"))
    assert chinese["tags"][0]["label"] == say("model.trainable", "zh")
    assert own_price(visit("model", dataset=dataset, lang="zh"))["text"].startswith("占")
    assert english["prices"].keys() == chinese["prices"].keys()


def test_presets_say_which_is_recommended(visit, dataset):
    app = visit("model", dataset=dataset)
    advised = presets.recommend(catalog.model("tf_efficientnet_lite0"), Store().dataset(dataset).latest.summary)[0]
    radio = bound(app.radio, "preset-choice")
    marked = [option for option in radio.options if say("model.recommended") in option]
    assert len(marked) == 1 and say(f"catalog.presets.{advised}.title") in marked[0]
    radio.set_value("everything").run()
    assert settings_of(app)["preset"] == "everything"
    app.query_params["freeze"] = "2"
    app.run()
    assert bound(app.radio, "preset-choice").value is None


def test_a_lambda_only_where_it_means_something(visit, dataset):
    sliders = lambda app: {slider.key for slider in app.select_slider}  # noqa: E731
    assert sliders(visit("model", dataset=dataset)) == {"setting-lambda_omega"}
    assert sliders(visit("model", dataset=dataset, regularizer="none")) == set()
    both = visit("model", dataset=dataset, preset="everything", source_loss="lwf", positions="blocks.6:anchor")
    assert sliders(both) == {"setting-lambda_omega", "setting-lambda_target", "setting-lambda_anchor"}
    captions = "\n".join(caption.value for caption in both.caption)
    for words in ("objective.keep", "objective.learn", "objective.free", "ladder.anchor_low", "ladder.anchor_high"):
        assert say(words) in captions


def test_the_formula_holds_the_numbers(visit, dataset):
    app = visit("model", dataset=dataset, preset="everything", source_loss="lwf", lambda_target="3", lambda_omega="0.00001",
                positions="blocks.6:anchor", lambda_anchor="10")
    latex = app.latex[0].value
    assert r"{1 + 3}" in latex and r"1 \cdot 10^{-5}" in latex and "10 \\cdot" in latex
    assert app.latex[0].value != visit("model", dataset=dataset).latex[0].value


def test_what_cannot_be_is_greyed_out_with_its_reason(visit, dataset):
    frozen = visit("model", dataset=dataset, preset="head_only")
    radio = bound(frozen.radio, "setting-source_loss")
    assert sum("material/block" in option for option in radio.options) == len(SOURCE_LOSSES)
    radio.set_value("lwf").run()
    assert bound(frozen.radio, "setting-source_loss").value == "none"
    assert "source_loss" not in settings_of(frozen)
    headless = visit("model", dataset=dataset, preset="everything", model="vit_small_patch14_dinov2.lvd142m")
    options = bound(headless.radio, "setting-source_loss").options
    assert {option for option in options if "material/block" in option} == {
        f":gray[:material/block: {say(f'objective.source_{name}_title')}]" for name in ("lwf", "co_tuning", "ewc", "replay")}


def test_another_omega_starts_with_its_own_lambda(visit, dataset):
    app = visit("model", dataset=dataset, lambda_omega="1.0")
    bound(app.radio, "setting-regularizer").set_value("l1").run()
    slider = bound(app.select_slider, "setting-lambda_omega")
    assert float(slider.value) == REGULARIZERS["l1"].facts["default"]


def test_another_source_loss_starts_with_its_own_lambda(visit, dataset):
    app = visit("model", dataset=dataset, preset="everything", lambda_target="7")
    for name in ("lwf", "co_tuning"):
        app = bound(app.radio, "setting-source_loss").set_value(name).run()
        shown = bound(app.select_slider, "setting-lambda_target").value
        assert shown == SOURCE_LOSSES[name].facts["default"], name
    app = bound(app.radio, "setting-source_loss").set_value("none").run()
    assert not {"source_loss", "lambda_target"} & settings_of(app).keys()


def test_differences_are_counted_listed_and_taken_back(visit, dataset):
    app = visit("model", dataset=dataset, epochs="77", seed="5", depth="expert")
    assert say("settings.differ", count=2) in "\n".join(text.value for text in app.markdown)
    press(app, "undo-seed")
    assert "seed" not in settings_of(app) and settings_of(app)["epochs"] == "77"
    press(app, "reset")
    assert "epochs" not in settings_of(app)
    assert say("settings.as_recommended") in "\n".join(caption.value for caption in app.caption)


def test_from_scratch_is_a_choice_with_a_warning(visit, dataset):
    app = visit("model", dataset=dataset)
    next(group for group in app.segmented_control if group.key == "weights-choice").set_value("scratch").run()
    assert settings_of(app)["weights"] == "scratch"
    assert say("model.scratch") in app.warning[0].value


def test_a_weight_file_becomes_the_recipes_once_it_fits(visit, dataset, store):
    job = store.submit("describe_weights", {"upload": "0" * 32, "name": "mine <b>.pt", "model": "x"})
    store.end(job.id, "finished", {"sha256": "a" * 64, "tensors": 10, "fitting": 9, "total": 10})
    app = visit("model", dataset=dataset, own="file", job=job.id, weights="file", weights_file="a" * 64)
    assert not app.exception
    assert "aaaaaaaaaaaa" in app.success[0].value
    assert "mine \\<b\\>" in "\n".join(caption.value for caption in app.caption)


@pytest.mark.parametrize("language", languages())
def test_every_setting_and_every_choice_has_words(language):
    for name in SETTINGS:
        assert has(f"settings.{name}"), name
    for control in settings.CONTROLS:
        assert has(f"settings.{control.name}_help"), control.name
        for choice in control.choices:
            assert has(f"settings.{control.name}_{choice}"), choice
    for kind, registry in (("source", SOURCE_LOSSES), ("omega", REGULARIZERS)):
        for choice in registry:
            for part in ("", "_title", "_text"):
                assert has(f"objective.{kind}_{choice.name}{part}")
            assert has(f"objective.words_{choice.name}")


def test_every_setting_has_exactly_one_place_on_the_page():
    names = [control.name for control in settings.CONTROLS]
    assert sorted([*names, *ELSEWHERE]) == sorted(SETTINGS)


@pytest.mark.parametrize(("number", "text"), [(640, "640"), (12_810, "12.8 k"), (999_600, "1 M"), (3_380_000, "3.38 M"),
                                              (86_600_000, "86.6 M"), (1.2e9, "1.2 G")])
def test_numbers_are_short(number, text):
    assert numbers.short(number) == text


@pytest.mark.parametrize(("probability", "places", "text"), [
    (0.873, 0, "87 %"), (0.8734, 1, "87.3 %"), (1.0, 1, "> 99.9 %"), (0.9995, 1, "> 99.9 %"), (0.9994, 1, "99.9 %"),
    (0.0, 1, "< 0.1 %"), (0.0004, 1, "< 0.1 %"), (0.0006, 1, "0.1 %"), (0.996, 0, "> 99 %"), (0.004, 0, "< 1 %"),
    (0.006, 0, "1 %")])
def test_a_probability_is_never_certain(probability, places, text):
    assert numbers.percent(probability, places) == text


def test_a_decimal_has_no_exponent():
    assert [numbers.decimal(number) for number in (1e-6, 0.01, 3.0, 1e4)] == ["0.000001", "0.01", "3", "10000"]
    assert numbers.logarithmic(0.01, 1) == [0.01, 0.03, 0.1, 0.3, 1.0]
    assert [numbers.digits(number) for number in (0.394, 4.1, 46.8, 120.4)] == ["0.39", "4.1", "47", "120"]


@pytest.mark.parametrize(("state", "again"), [("finished", True), ("failed", False), ("running", False)])
def test_the_speed_is_measured_again_when_measuring_gave_way(visit, store, dataset, state, again):
    job = store.submit("measure", {"models": ["test_resnet.r160_in1k"]}, "cpu")
    store.claim(job.id, 1)
    if state != "running":
        store.end(job.id, state)
    visit("model", dataset=dataset)
    assert len(store.jobs("measure")) == 1 + again


def test_a_training_can_be_the_start(visit, store, dataset):
    """Of this model only, and only where it left one."""
    stories.dataset(store)
    mine, other, failed = stories.finished(store), stories.finished(store, model="resnet18.a1_in1k"), stories.failed(store)
    for run in (mine, other, failed):
        store.home.run(run.id)
    for run in (mine, other):
        (store.home.run(run.id) / "model.safetensors").write_bytes(b"weights")
    app = visit("model", dataset=dataset, own="run", weights="run", start_from=mine.id)
    assert not app.exception
    choice = bound(app.selectbox, "setting-start_from")
    assert len(choice.options) == 1 and choice.value == mine.id and "83 %" in choice.options[0]
    assert settings_of(app)["start_from"] == mine.id


def test_a_start_brings_its_shape(visit, store, dataset):
    stories.dataset(store)
    run = stories.finished(store, kept_groups=4, freeze=2, head="hidden", head_width=32)
    (store.home.run(run.id) / "model.safetensors").write_bytes(b"weights")
    app = visit("model", dataset=dataset)
    app = bound(app.button_group, "weights-choice").set_value("run").run()
    assert not app.exception
    assert {name: settings_of(app).get(name) for name in ("start_from", "kept_groups", "head", "head_width")} == {
        "start_from": run.id, "kept_groups": "4", "head": "hidden", "head_width": "32"}


def test_without_such_a_training_it_is_said(visit, dataset):
    app = visit("model", dataset=dataset, own="run")
    assert say("model.run_none") in [info.value for info in app.info]
    assert not {"weights", "start_from"} & settings_of(app).keys()


def test_a_second_dataset_is_chosen_with_the_loss_that_needs_it(visit, store, dataset):
    alone = visit("model", dataset=dataset, preset="everything")
    assert say("objective.no_second") in "\n".join(bound(alone.radio, "setting-source_loss").proto.captions)
    stories.dataset(store)
    app = visit("model", dataset=dataset, preset="everything")
    bound(app.radio, "setting-source_loss").set_value("replay").run()
    assert (settings_of(app)["source_loss"], settings_of(app)["source_dataset"]) == ("replay", "colours-1")
    assert not app.exception
    assert bound(app.selectbox, "setting-source_dataset").value == "colours-1"
    bound(app.radio, "setting-source_loss").set_value("lwf").run()
    assert settings_of(app)["source_loss"] == "lwf" and "source_dataset" not in settings_of(app)
    gone = visit("model", dataset=dataset, preset="everything", source_loss="replay", source_dataset="gone-1")
    assert not gone.exception
    assert say("objective.second_gone") in [warning.value for warning in gone.warning]


def test_the_shape_of_the_model_is_for_experts_and_for_who_changed_it(visit, dataset):
    for depth, more, shown in (("simple", {}, False), ("guided", {}, False), ("expert", {}, True),
                               ("guided", {"tuning": "norm", "freeze": "6"}, True)):
        app = visit("model", dataset=dataset, depth=depth, **more)
        assert not app.exception
        assert (say("structure.title", "en") in [title.value for title in app.subheader]) == shown, (depth, more)


def test_a_shorter_model_has_a_shorter_ladder_and_costs_less(visit, dataset):
    app = visit("model", dataset=dataset, depth="expert", freeze="2")
    slider = bound(app.select_slider, "setting-kept_groups")
    assert slider.value == 0
    app = slider.set_value(4).run()
    assert not app.exception and not app.warning
    assert settings_of(app)["kept_groups"] == "4"
    share = catalog.model("tf_efficientnet_lite0").shortened(4).share
    assert any(say("structure.shorter", "en", share=f"{100 * share:.0f}") in caption.value for caption in app.caption)
    refused = list(bound(app.radio, "setting-source_loss").proto.captions)
    assert say("objective.no_classifier", "en") in refused, "its classifier read what is no longer there"


@pytest.mark.parametrize("kept", ["1", "5", "99", "x", "-2", "9" * 5000])
def test_a_length_the_model_cannot_have_is_left_out_and_said(visit, dataset, kept):
    app = visit("model", dataset=dataset, depth="expert", kept_groups=kept)
    assert not app.exception
    assert any(say("settings.kept_groups", "en") in warning.value for warning in app.warning)
    assert "kept_groups" not in settings_of(app)


def test_what_cannot_change_springs_back_with_the_reason(visit, dataset):
    app = visit("model", dataset=dataset, depth="expert", freeze="all")
    radio = bound(app.radio, "setting-tuning")
    assert radio.proto.captions[1] == say("structure.all_frozen", "en")
    app = radio.set_value("lora").run()
    assert "tuning" not in settings_of(app)
    app = visit("model", dataset=dataset, depth="expert", freeze="5", positions="blocks.6:anchor")
    app = bound(app.radio, "setting-tuning").set_value("lora").run()
    assert "tuning" not in settings_of(app)
    app = bound(app.radio, "setting-tuning").set_value("bias").run()
    assert settings_of(app)["tuning"] == "bias"


def test_a_hidden_layer_brings_its_settings(visit, dataset):
    app = visit("model", dataset=dataset, depth="expert")
    assert not [slider for slider in app.select_slider if (slider.key or "").startswith("setting-head_")]
    app = bound(app.radio, "setting-head").set_value("hidden").run()
    app = bound(app.select_slider, "setting-head_width").set_value(64).run()
    app = bound(app.select_slider, "setting-head_dropout").set_value(0.5).run()
    assert {name: settings_of(app)[name] for name in ("head", "head_width", "head_dropout")} == {
        "head": "hidden", "head_width": "64", "head_dropout": "0.5"}


def test_another_model_starts_with_its_own_shape(visit, dataset):
    app = visit("model", dataset=dataset, depth="expert", kept_groups="4", head="flatten", freeze="2")
    app = press(app, next(button.key for button in app.button if (button.key or "").startswith("take-") and not button.disabled))
    assert not {"kept_groups", "head"} & settings_of(app).keys()
