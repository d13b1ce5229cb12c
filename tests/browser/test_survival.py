"""Nothing is lost: deep links into a fresh server, a restart in the middle, closed tabs, two visitors, stop and resume."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator

import pytest
import stories
from playwright.sync_api import Browser, Page, expect

from transfer_core.events import Epoch
from transfer_core.paths import Home
from transfer_core.words import languages, say

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)
FOR_EVER = {"epochs": 1000, "freeze": 0, "image_size": 160, "batch_size": 4}
"""A training that does not end by itself while a test looks at it. (With frozen layers, 1,000 epochs take five seconds.)"""


def epochs(studio, run: str) -> int:
    """The last finished epoch a run has reported."""
    return max((event.epoch for _, event in studio.store.events(run, kinds=["epoch"]) if isinstance(event, Epoch)), default=0)


def drawn_epoch(page: Page) -> int:
    """How far the curve in the browser is, as it says to a screen reader."""
    label = page.locator(".live-plot").first.get_attribute("aria-label") or ""
    pattern = re.escape(say("live.loss_alt", epoch="N", train="", validation="")).split("N")[0] + r"(\d+)"
    return int(found.group(1)) if (found := re.match(pattern, label)) else 0


def curve_reaches(page: Page, wait: Callable, epoch: int) -> None:
    wait(lambda: page.wait_for_timeout(50) or drawn_epoch(page) >= epoch)


@pytest.fixture
def long_run(studio, drawn, wait) -> Iterator[str]:
    run = studio.run_of(drawn, **FOR_EVER).id
    wait(lambda: epochs(studio, run) >= 2, 300)
    yield run
    studio.store.ask_stop(run, "discard")
    wait(lambda: not studio.store.job(run).live)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def fresh(studio, tmp_path) -> Iterator:
    """A server that nobody has asked anything yet."""
    server = type(studio)(free_port(), Home(tmp_path / "home"))
    stories.dataset(server.store)
    server.run = stories.finished(server.store).id
    server.start()
    yield server
    server.end()


@pytest.mark.parametrize("language", languages())
def test_the_first_request_ever_may_be_a_deep_link(fresh, page, language):
    """With `pages/` beside the entry script, Streamlit would run the page's file alone: no frame, no language, no guard."""
    page.goto(f"{fresh.url}/train?run={fresh.run}&lang={language}")
    expect(page.locator("h1")).to_have_text(say("train.title", language))
    expect(page.locator(".st-key-steps [class*='st-key-step-']")).to_have_count(6)
    expect(page.locator(".st-key-to-evaluate button")).to_be_visible()
    expect(page.locator(".stException")).to_have_count(0)


def test_a_first_deep_link_to_try_it_says_what_is_missing(fresh, page):
    page.goto(f"{fresh.url}/predict")
    expect(page.locator(".st-key-steps [class*='st-key-step-']")).to_have_count(6)
    expect(page.locator(".st-key-needs-run")).to_contain_text(say("needs.no_run"))
    page.locator(f".st-key-choose-{fresh.run} button").click()
    expect(page.locator("#photos button").first).to_have_text(say("photos.choose"))
    assert f"run={fresh.run}" in page.url


@pytest.mark.slow
def test_a_training_outlives_the_server_and_the_tab(studio, page, chromium: Browser, long_run, wait):
    page.goto(f"{studio.url}/train?run={long_run}")
    curve_reaches(page, wait, 2)
    studio.stop()
    before = epochs(studio, long_run)
    wait(lambda: epochs(studio, long_run) > before + 1)  # the worker goes on with nobody listening
    studio.start()
    curve_reaches(page, wait, before + 2)  # the open page finds the new server by itself, and misses nothing
    points = page.evaluate("document.querySelector('.live-plot').data[0].x")
    assert points == sorted(set(points))  # nothing drawn twice after the gap

    page.goto("about:blank")
    closed = epochs(studio, long_run)
    wait(lambda: epochs(studio, long_run) > closed)
    tomorrow = chromium.new_context(locale="zh-CN").new_page()
    tomorrow.goto(f"{studio.url}/train?run={long_run}")
    tomorrow.wait_for_function("closed => document.querySelector('.live-plot')?.data?.[1].x.length > closed", arg=closed)
    expect(tomorrow.locator("h1")).to_have_text(say("train.title", "zh"))

    # Stop in the one tab is seen in the other.
    page.goto(f"{studio.url}/train?run={long_run}")
    page.locator(".st-key-stop button").click()
    page.locator(".st-key-stop-discard button").click()
    for tab, language in ((page, "en"), (tomorrow, "zh")):
        expect(tab.locator(".st-key-run-state")).to_contain_text(say("train.thrown_away", language))
        expect(tab.locator(".st-key-resume")).to_have_count(0)
    assert not list(studio.home.run(long_run).glob("*"))
    tomorrow.context.close()


@pytest.mark.slow
def test_stop_keeps_the_best_and_it_can_go_on_later(studio, page, long_run, wait):
    page.goto(f"{studio.url}/train?run={long_run}")
    page.locator(".st-key-stop button").click()
    page.locator(".st-key-stop-keep button").click()
    expect(page.locator(".st-key-run-state")).to_contain_text(say("runs.state_stopped"), timeout=180_000)
    kept = studio.store.job(long_run)
    assert kept.result["test"]["n"] == 6 and kept.result["files"]["zip"].endswith(".zip")
    stopped_at = epochs(studio, long_run)
    expect(page.locator(".st-key-to-evaluate button")).to_be_visible()

    page.locator(".st-key-resume button").click()
    expect(page.locator(".st-key-stop button")).to_be_visible()
    wait(lambda: epochs(studio, long_run) > stopped_at, 300)
    curve_reaches(page, wait, stopped_at + 1)
    told = [event.epoch for _, event in studio.store.events(long_run, kinds=["epoch"])]
    assert told.count(1) == 1  # it went on, it did not begin again


def test_two_visitors_do_not_mix(studio, chromium: Browser, drawn, trained):
    other = stories.dataset(studio.store, "别人的照片", "others-1")
    english = chromium.new_context(locale="en-US").new_page()
    chinese = chromium.new_context(locale="zh-CN").new_page()
    english.goto(f"{studio.url}/train?dataset={drawn}&epochs=4")
    chinese.goto(f"{studio.url}/train?dataset={other}&epochs=9")
    for _ in range(2):  # each looks again after the other
        expect(english.locator(".st-key-run-card")).to_contain_text("Drawn")
        expect(english.locator(".st-key-run-card")).to_contain_text("Up to 4 epochs")
        expect(chinese.locator(".st-key-run-card")).to_contain_text("别人的照片")
        expect(chinese.locator(".st-key-run-card")).to_contain_text("最多 9 轮")
        expect(chinese.locator("h1")).to_have_text(say("train.title", "zh"))
        expect(english.locator("h1")).to_have_text(say("train.title", "en"))
        english.reload()
        chinese.reload()
    chinese.goto(f"{studio.url}/evaluate?run={trained.id}")
    expect(chinese.locator(".st-key-score")).to_contain_text("6")
    english.locator(".st-key-step-later-evaluate a").first.click()
    expect(english.locator(".st-key-needs-run")).to_be_visible()  # the other's run is not mine
    for page in (english, chinese):
        page.context.close()
