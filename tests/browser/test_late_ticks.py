"""A page that renews itself, and a visitor who leaves it: what the page still asked for must not come between."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import stories
from playwright.sync_api import Page, WebSocketRoute, expect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("runs")]
expect.set_options(timeout=60_000)
MOMENTS: dict[str, Callable[[ForwardMsg, bool], bool]] = {
    "before the old page has run": lambda message, is_next: bool(message.new_session.page_script_hash),
    "before the next page has run": lambda message, is_next: is_next and bool(message.new_session.page_script_hash),
    "amid the next page": lambda message, is_next: is_next and message.metadata.delta_path[:2] == [0, 6],
    "once the next page is there": lambda message, is_next: is_next and message.HasField("script_finished"),
}
"""When the studio hears of the old page's tick: what it says next to the browser, and whether that is of the next page."""


class Line:
    """The line between browser and studio. It keeps back what the page asks for by itself, until the moment for it has come."""

    def __init__(self, page: Page, when: Callable[[ForwardMsg, bool], bool]) -> None:
        self.tick: bytes | None = None
        self.is_open = self.let_go = False
        self._when, self._old, self._page = when, "", ""
        page.route_web_socket("**/_stcore/stream", self._lay)

    def _lay(self, browser: WebSocketRoute) -> None:
        studio = browser.connect_to_server()

        def asked(message: bytes) -> None:
            rerun = BackMsg.FromString(message).rerun_script
            if rerun.is_auto_rerun and rerun.page_script_hash == (self._old or rerun.page_script_hash):
                self.tick, self._old = message, rerun.page_script_hash
            else:
                studio.send(message)

        def said(message: bytes) -> None:
            said = ForwardMsg.FromString(message)
            self._page = said.new_session.page_script_hash or self._page
            if self.is_open and not self.let_go and self._when(said, self._page != self._old):
                self.let_go = True
                studio.send(self.tick)
            browser.send(message)

        browser.on_message(asked)
        studio.on_message(said)


@pytest.fixture
def looking(studio, drawn) -> Iterator[str]:
    """A dataset whose first look takes its time: its page asks for news every two seconds."""
    look = stories.begun(studio.store, "guess", {"dataset": drawn, "version": 1, "name": "Drawn"}, "story")
    with stories.alive(studio.store, look):
        yield drawn
    studio.store.delete_job(look.id)


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_next_page_stays_whenever_the_old_one_still_asks(moment, page: Page, studio, looking, wait):
    line = Line(page, MOMENTS[moment])
    page.goto(f"{studio.url}/data?dataset={looking}")
    expect(page.locator(".st-key-next-model button")).to_be_visible()
    wait(lambda: page.wait_for_timeout(50) or line.tick)
    line.is_open = True
    page.locator(".st-key-next-model button").click()
    slider = page.locator(".st-key-ladder .slider")
    expect(slider).to_be_visible()
    assert line.let_go
    slider.focus()
    slider.press("ArrowLeft")  # the studio answers this after the tick
    page.wait_for_function("new URLSearchParams(location.search).get('freeze') === '7'")
    expect(page.locator(".st-key-ladder .bar.freeze")).to_have_count(7)
