"""Hands that are faster than the line: what a person did last holds, whatever was on its way when they did it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from transfer_core.words import say

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)
LATE_MS = 500
SLOW = f"const LATE_MS = {LATE_MS};" + """
  const late = (hear) => (event) => setTimeout(() => { hear(event); window.heard = performance.now(); }, LATE_MS);
  window.WebSocket = class extends WebSocket {
    addEventListener(name, hear, ...rest) { super.addEventListener(name, name === "message" ? late(hear) : hear, ...rest); }
    set onmessage(hear) { super.onmessage = late(hear); }
    send(data) { if (!(window.lose-- > 0)) super.send(data); }
  };
"""
"""What the server says arrives late, and in its order."""


@pytest.fixture
def slow(page: Page, studio, drawn, wait) -> Page:
    page.goto(f"{studio.url}/model?dataset={drawn}")
    expect(page.locator(".st-key-go-train button")).to_be_visible()
    wait(lambda: not any(job.live for job in studio.store.jobs("measure")))  # while it measures, the page has news each second
    page.add_init_script(SLOW)
    page.reload()
    expect(page.locator(".st-key-go-train button")).to_be_visible()
    page.wait_for_function("late => performance.now() - window.heard > 2 * late", arg=LATE_MS)  # all of the page is there
    return page


def says(page: Page, **settings: str) -> None:
    """Wait until the address says it, and then until all that is under way has come: it still does."""
    page.wait_for_function("wanted => { const now = new URLSearchParams(location.search);"
                           "return Object.entries(wanted).every(([name, value]) => now.get(name) === value); }", arg=settings)
    page.wait_for_function("late => performance.now() - window.heard > 3 * late", arg=LATE_MS)
    expect(page.locator("[data-testid=stApp]")).to_have_attribute("data-test-script-state", "notRunning")
    assert settings.items() <= address(page).items()


def address(page: Page) -> dict[str, str]:
    return page.evaluate("Object.fromEntries(new URLSearchParams(location.search))")


def test_settings_changed_in_one_breath_are_all_kept(slow):
    slow.locator(".st-key-ladder .slider").press("ArrowLeft")
    slow.locator("[class*=st-key-setting-lambda_omega] input[type=range] >> nth=-1").press("ArrowLeft")
    epochs = slow.locator("[class*=st-key-setting-epochs] input >> nth=-1")
    epochs.fill("3")
    epochs.press("Enter")
    says(slow, freeze="7", lambda_omega="0.003", epochs="3")
    expect(epochs).to_have_value("3")
    expect(slow.locator(".st-key-ladder .bar.freeze")).to_have_count(7)
    expect(slow.locator("[class*=st-key-preset-choice] [data-selected]")).to_have_count(0)


def test_what_the_server_has_set_meanwhile_is_not_a_choice(slow):
    """The preset is no longer chosen after the first move; the browser says it is, with the second."""
    ladder = slow.locator(".st-key-ladder .slider")
    ladder.press("Home")
    ladder.press("ArrowRight")
    says(slow, freeze="1")
    assert "preset" not in address(slow)
    expect(ladder).to_have_js_property("value", "1")


def test_a_choice_in_a_widget_that_is_being_replaced_counts(slow):
    slow.locator(".st-key-ladder .slider").press("Home")
    presets = slow.locator("[class*=st-key-preset-choice] >> nth=-1")
    presets.locator("label").filter(has_text=say("catalog.presets.last_stages.title")).click()
    says(slow, preset="last_stages")
    assert "freeze" not in address(slow)


def test_a_page_left_at_once_takes_the_change_along(slow):
    epochs = slow.locator("[class*=st-key-setting-epochs] input >> nth=-1")
    epochs.fill("3")
    epochs.press("Enter")
    slow.locator(".st-key-go-train button").click()
    slow.wait_for_url("**/train?*")
    says(slow, epochs="3")


def test_back_goes_back_at_once(slow):
    epochs = slow.locator("[class*=st-key-setting-epochs] input >> nth=-1")
    before = epochs.input_value()
    epochs.fill("3")
    epochs.press("Enter")
    says(slow, epochs="3")
    slow.go_back()
    expect(epochs).to_have_value(before)
    assert "epochs" not in address(slow)


def test_a_move_of_the_ladder_that_nobody_heard_is_said_again(slow):
    slow.evaluate("window.lose = 1")
    slow.locator(".st-key-ladder .slider").press("Home")
    says(slow, freeze="0")
    assert slow.evaluate("window.lose") < 0  # it was lost, and another came through
