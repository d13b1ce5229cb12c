"""The report of a run, opened as a person would who has nothing but the file: no server, no network, no script."""

from __future__ import annotations

import pytest
import reported_run
from playwright.sync_api import Page, expect

from transfer_core.paths import Home
from transfer_core.reporting import write_report
from transfer_core.store import Store
from transfer_core.words import languages, say

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("report"))
    store = Store(home)
    write_report(store, reported_run.made(store).id, home.root / "report.html")
    store.close()
    return home.root / "report.html"


@pytest.fixture
def page(chromium, file) -> Page:
    context = chromium.new_context(offline=True, java_script_enabled=True, viewport={"width": 390, "height": 844},
                                   color_scheme="dark")
    page, asked, said = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append("a dialog"))
    page.goto(file.as_uri())
    yield page
    assert not [url for url in asked if not url.startswith(("file:", "data:"))], "it asked somebody for something"
    assert not said, said
    context.close()


def test_one_language_is_seen_at_a_time_and_it_fits_a_phone(page):
    for language in (*languages(), "en"):
        page.locator(f"label[for=language-{language}]").click()
        for code in languages():
            expect(page.locator(f"main.{code}")).to_be_visible() if code == language else expect(
                page.locator(f"main.{code}")).to_be_hidden()
        expect(page.locator(f"main.{language} h2").nth(1)).to_have_text(say("report.data.title", language))
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        broken = "[...document.images].filter((each) => !(each.complete && each.naturalWidth)).length"
        assert page.locator(f"main.{language} img").count() > 0 and page.evaluate(broken) == 0


def test_the_keyboard_switches_it_too(page):
    page.locator("#language-en").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("main.zh")).to_be_visible()


def test_paper_has_the_chosen_language_and_no_switch(page):
    page.locator("label[for=language-zh]").click()
    page.emulate_media(media="print")
    expect(page.locator("main.zh")).to_be_visible()
    expect(page.locator("main.en")).to_be_hidden()
    expect(page.locator("label[for=language-en]")).to_be_hidden()
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
