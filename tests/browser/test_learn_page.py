"""The Learn page in a real browser: reached by the navigation, read by its list, moved, asked, and linked to."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from transfer_core.words import say

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)


def figure(page: Page, key: str) -> str:
    return page.locator(f".st-key-{key} svg").inner_html()


def press(page: Page, key: str, button: str, times: int = 1) -> None:
    handle = page.locator(f"[class*='st-key-{key}'] input[type=range]").first
    for _ in range(times):
        handle.press(button)


STILL = """element => { const top = element.getBoundingClientRect().top, still = top === window.lastTop
    window.frames_still = still ? (window.frames_still ?? 0) + 1 : 0; window.lastTop = top; return window.frames_still > 20 }"""


def settled(page: Page, place) -> float:
    """Where on the window `place` comes to rest: a jump to a heading glides, and what stands above may still be filling."""
    page.wait_for_function(STILL, arg=place.element_handle(), polling="raf")
    return place.bounding_box()["y"]


def test_from_the_navigation_to_a_figure_that_moves(studio, page: Page, trained, wait):
    page.goto(f"{studio.url}/evaluate?run={trained.id}")
    page.locator(".st-key-learn-link a").click()
    expect(page).to_have_url(re.compile(rf"/learn\?.*run={trained.id}"))
    expect(page.get_by_role("heading", name=say("learn.title"), exact=True)).to_be_visible()
    page.locator(".st-key-learn-contents").get_by_role("link", name=say("learn.omega.title")).click()
    expect(page.get_by_role("heading", name=say("learn.omega.title"))).to_be_in_viewport()
    page.locator(".st-key-learn-omega-figure svg").wait_for()
    before = figure(page, "learn-omega-figure")
    slider = page.locator(".st-key-learn-omega-strength input[type=range]").first
    slider.focus()
    place = settled(page, slider)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop") > 500
    press(page, "learn-omega-strength", "End")
    wait(lambda: figure(page, "learn-omega-figure") != before, 30)
    expect(page.get_by_text(say("learn.omega.found", value="1.02", best="3", towards="1").replace("**", ""))).to_be_visible()
    assert abs(settled(page, slider) - place) < 40


def test_the_model_is_asked_all_three_ways(studio, page: Page, trained):
    page.goto(f"{studio.url}/learn?run={trained.id}#scaling")
    expect(page.get_by_role("heading", name=say("learn.scaling.title"))).to_be_in_viewport()
    page.get_by_role("button", name=say("learn.scaling.ask")).click()
    expect(page.locator(".st-key-learn-ways-sure li")).to_have_count(3)
    expect(page.locator(".learn-photo")).to_have_js_property("complete", True)
    assert page.locator(".learn-photo").evaluate("image => image.naturalWidth") > 0
    source = page.locator(".learn-photo").get_attribute("src")
    page.get_by_role("button", name=say("learn.scaling.another")).click()
    expect(page.locator(".learn-photo")).not_to_have_attribute("src", source)
    counted = page.locator(".st-key-learn-mistake-statistics")
    expect(counted).to_contain_text(say("learn.statistics.title"))
    expect(page.locator(".st-key-learn-mistake-leak [data-testid=stAlert]")).to_contain_text("0 in both")


def test_the_model_page_leads_to_its_theory_in_the_same_language(studio, page: Page, drawn):
    page.goto(f"{studio.url}/model?dataset={drawn}&depth=expert&lang=zh&freeze=5&source_loss=lwf")
    link = page.locator(".st-key-formula").get_by_role("link", name=say("learn.lambda.title", "zh"))
    with page.context.expect_page() as opened:
        link.click()
    other = opened.value
    expect(other).to_have_url(re.compile(r"/learn\?.*#lambda$"))
    expect(other.get_by_role("heading", name=say("learn.lambda.title", "zh"))).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(studio, chromium, trained, scheme):
    context = chromium.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme, locale="zh-CN")
    page = context.new_page()
    page.goto(f"{studio.url}/learn?run={trained.id}")
    page.locator(".st-key-learn-luck-bars li").first.wait_for()
    wide = page.evaluate("""() => { const main = document.querySelector('[data-testid=stMain]');
        return [main.scrollWidth - main.clientWidth, ...[...document.querySelectorAll('[class*=st-key-learn-formula-]')]
            .map(box => box.getBoundingClientRect().right - window.innerWidth)] }""")
    context.close()
    assert len(wide) > 10 and max(wide) <= 0
