"""The first moments of a page: it is ours from the first byte, and what stands above stays where it first stood."""

from __future__ import annotations

import pytest
import stories
from playwright.sync_api import Page, expect

from transfer_core.words import say

pytestmark = pytest.mark.browser
PLACES = """
window.seen = {};
(function look() {
  for (const what of ['.st-key-steps', 'h1', '.st-key-run-state']) {
    const found = document.querySelector(what);
    if (found) (window.seen[what] ??= new Set()).add(Math.round(found.getBoundingClientRect().top));
  }
  requestAnimationFrame(look);
})();
"""


def test_the_first_answer_has_our_look_and_name(page: Page, studio):
    answer = page.request.get(studio.url, headers={"accept": "text/html", "if-none-match": "*"})
    text = answer.text()
    assert answer.status == 200 and "etag" not in answer.headers  # an older look is not kept
    assert f"<title>{say('app.name')}</title>" in text and text.count("<title>") == 1
    assert text.index(".stMainBlockContainer { max-width") > text.index("</head>")  # behind Streamlit's styles
    assert int(answer.headers["content-length"]) == len(answer.body())


def test_other_files_pass_as_they_are(page: Page, studio):
    for path in ("healthz", "static/css/"):
        answer = page.request.get(f"{studio.url}/{path}", headers={"accept": "application/json"})
        assert "stMainBlockContainer" not in answer.text()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_stands_above_does_not_move_while_the_page_arrives(width, language, page: Page, studio):
    dataset = stories.dataset(studio.store, f"Still [{width} {language}]", f"still-{width}-{language}")
    run = stories.running(studio.store, dataset=dataset, device="story")
    page.set_viewport_size({"width": width, "height": 900})
    page.add_init_script(PLACES)
    with stories.alive(studio.store, run):
        page.goto(f"{studio.url}/train?run={run.id}&lang={language}")
        expect(page.locator(".live-plot").first).to_be_visible()
        expect(page.locator(".st-key-receipt")).to_be_visible()
        seen = page.evaluate("Object.fromEntries(Object.entries(window.seen).map(([what, tops]) => [what, [...tops]]))")
        stories.ended(studio.store, run)
    assert {what: max(tops) - min(tops) <= 1 for what, tops in seen.items()} == dict.fromkeys(seen, True), seen
    assert len(seen) == 3
