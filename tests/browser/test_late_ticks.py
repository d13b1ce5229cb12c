"""A page that renews itself, and a visitor who leaves it: what the page still asked for must not come between."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import stories
from playwright.sync_api import Page, WebSocketRoute, expect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)
Moment = Callable[[ForwardMsg, bool], bool]
"""Of a message to the browser, and whether it belongs to another page than the tick."""
LEAVING: dict[str, Moment] = {
    "before the old page has run": lambda message, other: bool(message.new_session.page_script_hash),
    "before the next page has run": lambda message, other: other and bool(message.new_session.page_script_hash),
    "amid the next page": lambda message, other: other and message.metadata.delta_path[:2] == [0, 6],
    "once the next page is there": lambda message, other: other and message.HasField("script_finished"),
}
STAYING: dict[str, Moment] = {
    "before the page has run": lambda message, other: bool(message.new_session.page_script_hash) and is_whole(message),
    "amid the page": lambda message, other: message.metadata.delta_path[:2] == [0, 3] and is_whole(message),
    "once the page is there": lambda message, other: message.HasField("script_finished") and is_whole(message),
}


def is_whole(message: ForwardMsg) -> bool:
    """Whether it belongs to a run of the whole page."""
    return not message.metadata.run.fragment_ids


class Line:
    """The line between browser and studio. What the page asks for by itself, its tick, is passed on, or held; and from
    `late` on, once more at the given moment."""

    def __init__(self, page: Page, hold: bool) -> None:
        self.ticks: list[bytes] = []
        self.let_go = self.answered = False
        self._hold, self._old, self._page = hold, "", ""
        self._moment: Moment = lambda message, other: False
        page.route_web_socket("**/_stcore/stream", self._lay)

    def late(self, moment: Moment) -> None:
        self._moment = moment

    def _lay(self, browser: WebSocketRoute) -> None:
        studio = browser.connect_to_server()

        def asked(message: bytes) -> None:
            rerun = BackMsg.FromString(message).rerun_script
            is_tick = rerun.is_auto_rerun and rerun.page_script_hash == (self._old or rerun.page_script_hash)
            if is_tick:
                self.ticks.append(message)
                self._old = rerun.page_script_hash
            if not (is_tick and self._hold):
                studio.send(message)

        def said(message: bytes) -> None:
            told = ForwardMsg.FromString(message)
            self._page = told.new_session.page_script_hash or self._page
            if not self.let_go and self._moment(told, self._page != self._old):
                self.let_go = True
                studio.send(self.ticks[-1])
            browser.send(message)
            self.answered = self.answered or (self.let_go and told.HasField("script_finished") and not is_whole(told))

        browser.on_message(asked)
        studio.on_message(said)


@pytest.fixture
def looking(studio, drawn) -> Iterator[str]:
    """A dataset whose first look takes its time: its page asks for news every two seconds."""
    look = stories.begun(studio.store, "guess", {"dataset": drawn, "version": 1, "name": "Drawn"}, "story")
    with stories.alive(studio.store, look):
        yield drawn
    studio.store.delete_job(look.id)


@pytest.mark.parametrize("moment", LEAVING)
def test_the_next_page_stays_whenever_the_old_one_still_asks(moment, page: Page, studio, looking, wait):
    line = Line(page, hold=True)
    page.goto(f"{studio.url}/data?dataset={looking}")
    expect(page.locator(".st-key-next-model button")).to_be_visible()
    wait(lambda: page.wait_for_timeout(50) or line.ticks)
    line.late(LEAVING[moment])
    page.locator(".st-key-next-model button").click()
    slider = page.locator(".st-key-ladder .slider")
    expect(slider).to_be_visible()
    wait(lambda: page.wait_for_timeout(50) or line.let_go)  # the slider may be there before its page has finished
    slider.focus()
    slider.press("ArrowLeft")  # the studio answers this after the tick
    page.wait_for_function("new URLSearchParams(location.search).get('freeze') === '7'")
    expect(page.locator(".st-key-ladder .bar.freeze")).to_have_count(7)


@pytest.fixture(scope="module")
def colours(studio) -> str:
    return stories.dataset(studio.store, "Colours [l]", "colours-l")


@pytest.mark.parametrize("moment", STAYING)
def test_what_is_below_a_fragment_stays_when_the_page_is_drawn_anew(moment, page: Page, studio, colours, wait):
    """A run ends: its page follows, and the browser asks once more before it has heard of that."""
    run = stories.running(studio.store, dataset=colours, device="story")
    line = Line(page, hold=False)
    with stories.alive(studio.store, run):
        page.goto(f"{studio.url}/train?run={run.id}")
        expect(page.locator(".live-plot").first).to_be_visible()
        wait(lambda: page.wait_for_timeout(50) or line.ticks)
        line.late(STAYING[moment])
        stories.ended(studio.store, run)
    expect(page.locator(".st-key-to-evaluate button")).to_be_visible()
    wait(lambda: page.wait_for_timeout(50) or line.answered)
    expect(page.locator("[data-testid=stApp]")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.locator(".live-plot").first).to_be_visible()
    expect(page.locator(".st-key-receipt")).to_be_visible()
    expect(page.locator("[data-retained]")).to_have_count(0)  # what Streamlit hides when something else took its place
