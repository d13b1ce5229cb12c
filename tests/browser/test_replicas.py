"""Two web servers behind a proxy that sends every connection to the next one: whatever a visitor sees, either may have sent."""

from __future__ import annotations

import re
from collections.abc import Iterator

import photos
import pytest
from balancer import Balancer, balancing
from playwright.sync_api import expect

from transfer_core.words import say

expect.set_options(timeout=60_000)
pytestmark = pytest.mark.browser


@pytest.fixture
def replicas(new_studio, free_port) -> Iterator[tuple[Balancer, list]]:
    first = new_studio(TRANSFER_STUDIO_WARM="0")
    second = type(first)(free_port(), first.home, first.settings)
    for each in (first, second):
        each.start()
    with balancing(free_port(), [first.port, second.port]) as proxy:
        yield proxy, [first, second]
    second.stop()
    first.end()


def test_a_visitor_of_two_servers_sees_one_studio(replicas, page, tmp_path):
    proxy, (first, second) = replicas
    page.goto(f"{proxy.url}/data")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=say("data.upload.choose_folder")).click()
    chooser.value.set_files(photos.draw(tmp_path / "hats", {"cap": 150, "crown": 150}))
    accept = page.locator(".st-key-accept button")
    expect(accept).to_be_visible()
    accept.click()
    expect(page.locator(".st-key-next-model")).to_be_visible(timeout=180_000)
    expect(page.locator("[data-testid=stMain]")).to_contain_text("300")
    dataset = re.search(r"dataset=([\w-]+)", page.url)[1]
    drawn = page.get_by_role("listbox").first.locator("img")
    for number in range(12):  # those further down come when they are looked at
        expect(drawn.nth(number)).to_have_js_property("complete", True)
        assert drawn.nth(number).evaluate("each => each.naturalWidth") > 0
    assert all(count > 2 for count in proxy.served.values()), proxy.served

    run = first.run_of(dataset, epochs=1000, freeze=0, image_size=160, batch_size=4)  # does not end while a test looks at it
    page.goto(f"{proxy.url}/train?run={run.id}")
    epoch = "() => document.querySelector('.live-plot')?.data?.[1]?.x.length ?? 0"
    page.wait_for_function(f"{epoch.removeprefix('() => ')} >= 2", timeout=180_000)
    first.stop()
    seen = page.evaluate(epoch)
    page.wait_for_function(f"seen => ({epoch})() > seen + 1", arg=seen, timeout=180_000)
    # A click is lost while the page finds its way to the other server, and the browser alone knows when it has.
    expect(page.locator("[data-testid=stApp]")).to_have_attribute("data-test-connection-state", "CONNECTED")
    page.reload()
    page.locator(".st-key-stop button").click()
    page.locator(".st-key-stop-keep button").click()
    expect(page.locator(".st-key-run-state")).to_contain_text(say("runs.state_stopped"), timeout=180_000)
    page.goto(f"{proxy.url}/runs")
    expect(page.locator("[data-testid=stMain]")).to_contain_text(say("runs.state_stopped"))
    assert second.store.job(run.id).result
