"""The Model page in a real browser: cards, search, the ladder by keyboard, λ, and that a refresh keeps everything."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Page, expect

from pages.shared.model.numbers import short
from transfer_core import catalog
from transfer_core.words import message, say

pytestmark = pytest.mark.browser
expect.set_options(timeout=30_000)
PRICE = ".st-key-price-tags .price-value"


@pytest.fixture(scope="module")
def dataset(studio) -> str:
    summary = {"dataset": "hats-model", "version": 1, "classes": {"hat": 60, "shoe": 60}, "imported": 120,
               "split": {"train": 84, "validation": 18, "test": 18}}
    studio.store.add_dataset("Hats", "hats-model", message("app.name"), summary)
    return "hats-model"


def visit(page: Page, studio, **query: str) -> None:
    page.goto(f"{studio.url}/model?" + "&".join(f"{key}={value}" for key, value in query.items()))
    page.locator(".st-key-ladder .slider").wait_for()
    page.locator(".st-key-model-go").wait_for()


def url_has(page: Page, **settings: str | None) -> None:
    """Wait until the address says so; None means the key is not in it."""
    page.wait_for_function(
        "wanted => { const now = new URLSearchParams(location.search);"
        " return Object.entries(wanted).every(([key, value]) => now.get(key) === value); }", arg=settings)


def settings_of(page: Page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlparse(page.url).query).items()}


def press(page: Page, key: str) -> None:
    # A button with a tooltip stands twice in the page, once for screens that cannot hover.
    page.locator(f".st-key-{key} button:visible").first.click()


def rung(page: Page, name: str):
    return page.get_by_role("radiogroup", name=say("ladder.rung").format(name=name))


def price(page: Page) -> str:
    return page.locator(PRICE).first.inner_text()


def test_a_card_and_a_search_result_become_the_model(page, studio, dataset):
    visit(page, studio, dataset=dataset, freeze="2")
    press(page, "take-balanced")
    url_has(page, model="tf_efficientnet_lite2.in1k", freeze=None)
    expect(page.locator(".st-key-model-card-chosen-balanced")).to_be_visible()
    page.get_by_text(re.compile("^Search all")).click()
    page.get_by_label(say("model.search.text")).fill("resnet18 a1")
    page.get_by_label(say("model.search.text")).press("Enter")
    expect(page.locator(".st-key-search-results .model-row").first).to_contain_text("resnet18")
    url_has(page, find="resnet18 a1")
    page.reload()
    expect(page.locator(".st-key-search-results .model-row").first).to_contain_text("resnet18")
    press(page, "search-results")
    url_has(page, model="resnet18.a1_in1k", find="resnet18 a1")
    page.get_by_text(re.compile("^Search all")).click()
    url_has(page, find=None)
    expect(page.locator(".st-key-model-other")).to_contain_text("resnet18")
    expect(page.locator(".st-key-ladder .bar")).to_have_count(5)


def test_the_slider_by_keyboard_changes_the_price_and_a_refresh_keeps_it(page, studio, dataset):
    visit(page, studio, dataset=dataset, preset="everything")
    slider = page.locator(".st-key-ladder .slider")
    everything = price(page)
    slider.focus()
    for _ in range(7):
        slider.press("ArrowRight")
    url_has(page, freeze="7")
    expect(page.locator(PRICE).first).not_to_have_text(everything)
    assert slider.get_attribute("aria-valuetext") == say("ladder.slider_value", frozen=7, all=8)
    slider.press("ArrowRight")
    url_has(page, freeze="all")
    page.reload()
    expect(page.locator(".st-key-ladder .slider")).to_have_value("8")
    expect(page.locator(".st-key-ladder .value")).to_have_text(say("ladder.slider_all"))


@pytest.fixture
def silent(studio) -> Iterator[Callable[[], None]]:
    """Calling it makes the web server answer nothing more; the test's end wakes it up again."""
    yield lambda: studio.process.send_signal(signal.SIGSTOP)
    studio.process.send_signal(signal.SIGCONT)


def test_the_price_moves_with_the_handle_while_the_server_is_busy(page, studio, dataset, silent):
    visit(page, studio, dataset=dataset, preset="everything", positions="blocks.4:anchor")
    slider, tags = page.locator(".st-key-ladder .slider"), page.locator(".st-key-price-tags")
    slider.focus()
    silent()
    seen = [price(page)]
    for _ in range(8):
        slider.press("ArrowRight")
        seen.append(price(page))
    info = catalog.model("tf_efficientnet_lite0.in1k")
    learning = [info.head_parameters(2) + sum(group.parameters for group in info.groups[first:]) for first in range(9)]
    assert seen == [short(count) for count in learning]
    for _ in range(3):
        slider.press("ArrowLeft")
    assert price(page) == short(learning[5])
    expect(tags.locator(".price-spoken")).to_contain_text(f"{say('model.trainable')}: {short(learning[5])}")
    expect(tags.locator(".waiting")).to_have_count(0)
    studio.process.send_signal(signal.SIGCONT)
    url_has(page, freeze="5", positions=None)
    assert price(page) == short(learning[5])


def test_one_part_moved_is_priced_at_once_and_two_wait_for_the_server(page, studio, dataset, silent):
    visit(page, studio, dataset=dataset, preset="everything")
    silent()
    before = price(page)
    rung(page, "blocks.6").get_by_role("radio", name=say("ladder.freeze")).check()
    one = price(page)
    assert one != before
    rung(page, "blocks.2").get_by_role("radio", name=say("ladder.freeze")).check()
    expect(page.locator(".st-key-price-tags .waiting")).to_have_count(1)
    assert price(page) == one
    studio.process.send_signal(signal.SIGCONT)
    expect(page.locator(".st-key-price-tags .waiting")).to_have_count(0)
    assert price(page) not in (before, one)


def test_what_a_price_means_opens_by_keyboard_and_closes_with_escape(page, studio, dataset):
    visit(page, studio, dataset=dataset)
    asked = page.get_by_role("button", name=say("model.asks", name=say("model.memory")))
    tip = page.get_by_role("tooltip").filter(has_text=say("model.memory_help"))
    expect(tip).to_have_count(0)
    asked.focus()
    expect(tip).to_be_visible()
    asked.press("Escape")
    expect(tip).to_have_count(0)


def test_dragging_faster_than_the_server_answers_loses_nothing(page, studio, dataset):
    visit(page, studio, dataset=dataset, preset="everything")
    slider = page.locator(".st-key-ladder .slider")
    slider.focus()
    for key in ["ArrowRight"] * 8 + ["ArrowLeft"] * 5 + ["ArrowRight"] * 2:
        slider.press(key)
    assert slider.input_value() == "5"
    url_has(page, freeze="5")
    expect(page.locator(".st-key-ladder .bar.freeze")).to_have_count(5)
    assert slider.input_value() == "5"


def test_one_rung_can_be_anchored_and_its_lambda_appears(page, studio, dataset):
    visit(page, studio, dataset=dataset, preset="everything")
    last = rung(page, "blocks.6")
    last.get_by_role("radio", name=say("ladder.anchor")).check()
    url_has(page, positions="blocks.6:anchor")
    expect(page.locator(".st-key-anchor")).to_be_visible()
    expect(page.locator(".st-key-ladder .bar.anchor")).to_have_count(1)
    # Left and right move within a group of radios, as everywhere.
    last.get_by_role("radio", name=say("ladder.anchor")).press("ArrowRight")
    url_has(page, positions="blocks.6:freeze")
    expect(page.locator(".st-key-anchor")).to_have_count(0)


def test_lambda_moves_the_formula_and_reset_brings_all_back(page, studio, dataset):
    visit(page, studio, dataset=dataset, preset="everything")
    page.locator("[class*=st-key-setting-source_loss] >> nth=-1").get_by_text(say("objective.source_lwf_title")).click()
    url_has(page, source_loss="lwf")
    thumb = page.locator("[class*=st-key-setting-lambda_target] input[type=range] >> nth=-1")
    thumb.focus()
    thumb.press("ArrowRight")
    url_has(page, lambda_target="0.3")  # one step up from 0.1, what LwF starts with
    expect(page.locator(".st-key-formula annotation").first).to_contain_text("{1 + 0.3}")
    expect(page.locator(".st-key-source-form")).to_contain_text(say("objective.shares", learn=23, keep=77))
    page.reload()
    shown = page.locator("[class*=st-key-setting-lambda_target] [data-testid=stSliderThumbValue] >> nth=-1")
    expect(shown).to_have_text("λ = 0.3")
    expect(page.locator(".st-key-changed-settings")).to_contain_text("2 settings")
    press(page, "reset")
    url_has(page, source_loss=None, lambda_target=None)
    expect(page.locator(".st-key-changed-settings")).to_contain_text(say("settings.as_recommended"))
    expect(page.locator("[class*=st-key-setting-lambda_target]")).to_have_count(0)


def test_a_native_slider_dragged_quickly_ends_where_it_was_left(page, studio, dataset):
    visit(page, studio, dataset=dataset, preset="everything", regularizer="l2", lambda_omega="0.01")
    thumb = page.locator("[class*=st-key-setting-lambda_omega] input[type=range] >> nth=-1")
    thumb.focus()
    for key in ["ArrowLeft"] * 3 + ["ArrowRight"] * 6:
        thumb.press(key)
    url_has(page, lambda_omega="0.3")
    shown = page.locator("[class*=st-key-setting-lambda_omega] [data-testid=stSliderThumbValue] >> nth=-1")
    expect(shown).to_have_text("λ = 0.3")


def test_depth_changes_what_is_shown_and_no_value(page, studio, dataset):
    visit(page, studio, dataset=dataset, epochs="7", depth="expert")
    expect(page.locator("[class*=st-key-setting-epochs] input >> nth=-1")).to_have_value("7")
    page.locator("[class*=st-key-depth-choice] >> nth=-1").get_by_text(say("model.depth_simple")).click()
    url_has(page, depth="simple", epochs="7")
    expect(page.locator("[class*=st-key-setting-epochs]")).to_have_count(0)
    page.locator("[class*=st-key-depth-choice] >> nth=-1").get_by_text(say("model.depth_guided")).click()
    expect(page.locator("[class*=st-key-setting-epochs] input >> nth=-1")).to_have_value("7")


def test_everything_chosen_goes_along_to_the_train_page(page, studio, dataset):
    visit(page, studio, dataset=dataset, preset="everything", freeze="3", seed="5")
    press(page, "go-train")
    page.wait_for_url(re.compile("/train"))
    kept = settings_of(page)
    assert (kept["dataset"], kept["preset"], kept["freeze"], kept["seed"]) == (dataset, "everything", "3", "5")


def test_on_a_phone_nothing_sticks_out(page, studio, dataset):
    page.set_viewport_size({"width": 390, "height": 844})
    visit(page, studio, dataset=dataset, lang="zh", depth="expert")
    widths = page.evaluate("(() => { const main = document.querySelector('[data-testid=stMain]');"
                           " return [main.scrollWidth, main.clientWidth]; })()")
    assert widths[0] <= widths[1]


def test_a_file_that_is_no_weight_file_is_refused_in_words(page, studio, dataset, tmp_path):
    visit(page, studio, dataset=dataset)
    page.locator("[class*=st-key-weights-choice] >> nth=-1").get_by_text(say("settings.weights_file")).click()
    false = tmp_path / "notes.pt"
    false.write_bytes(b"these are no tensors")
    page.locator(".st-key-weight-file input[type=file]").set_input_files(false)
    refusal = say("errors.weights_unreadable.text", file="notes.pt")
    expect(page.locator(".st-key-weights")).to_contain_text(refusal, timeout=90_000)
    assert "weights_file" not in settings_of(page)
