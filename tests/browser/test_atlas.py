"""The map of photos in a real browser: two islands that are known, a lasso, a finger, the keyboard, and what follows below."""

from __future__ import annotations

import json

import pytest
import stories
from playwright.sync_api import Browser, Page, expect

from transfer_core.datasets.manifest import Manifest
from transfer_core.jobs.similar import map_file
from transfer_core.paths import write_json
from transfer_core.store import Job
from transfer_core.words import say

pytestmark = pytest.mark.browser
TOLD = {"method": "t-sne", "trust": 0.97, "shown": 40, "of": 40, "wrong": 1, "seconds": 1.0, "version": 1}
LEFT, RIGHT = 0.2, 0.8
"""Where the two islands lie, from left to right; each is a square of points, 0.1 wide, in the middle of the height."""


@pytest.fixture
def mapped(studio, drawn) -> Job:
    """A map of a run that never trained: the class left is an island on the left; one of each is answered wrongly."""
    run = stories.ended(studio.store, stories.running(studio.store, dataset=drawn, version=1, device="story"))
    points, ranks = [], {"left": 0, "right": 0}
    for image in Manifest.read(studio.home, drawn, 1).images:
        rank = ranks[image.label]
        ranks[image.label] += 1
        points.append({"x": {"left": LEFT, "right": RIGHT}[image.label] + (rank % 5 - 2) * 0.025,
                       "y": 0.5 + (rank // 5 - 2) * 0.025, "label": image.label,
                       "predicted": "right" if rank == 0 else image.label, "probability": 0.75, "split": image.split,
                       "sha256": image.sha256, "file": image.file})
    job = stories.begun(studio.store, "map", {"run": run.id}, device="story")
    write_json(map_file(studio.home, job.id), {"classes": ["left", "right"], "points": points, **TOLD})
    studio.store.end(job.id, "finished", TOLD)
    return run


def opened(page: Page, studio, run: Job):
    page.goto(f"{studio.url}/evaluate?run={run.id}#map")
    canvas = page.locator("canvas[data-ready]")
    canvas.scroll_into_view_if_needed()
    expect(canvas).to_be_visible()
    return canvas


def at(canvas, x: float, y: float) -> tuple[float, float]:
    """Where a place of the map lies in the window."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    pad = max(14, box["width"] * 0.03)
    return (box["x"] + pad + x * (box["width"] - 2 * pad), box["y"] + pad + (1 - y) * (box["width"] - 2 * pad))


def lasso(page: Page, canvas, x: float, reach: float = 0.1) -> None:
    corners = [at(canvas, x + dx, 0.5 + dy) for dx, dy in
               ((-reach, -reach), (reach, -reach), (reach, reach), (-reach, reach), (-reach, -reach))]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=4)
    page.mouse.up()


def status(page: Page, shown: int, selected: int):
    return expect(page.get_by_role("status").filter(has_text=say("map.status").replace("{shown}", str(shown)).replace(
        "{selected}", str(selected))))


def names(page: Page) -> list[str]:
    return page.locator("[class*=st-key-map-gallery] li[role=option]").evaluate_all("all => all.map(each => each.dataset.id)")


def test_what_is_drawn_around_is_selected_and_shown_below(studio, page: Page, mapped):
    canvas = opened(page, studio, mapped)
    status(page, 40, 0).to_be_visible()
    lasso(page, canvas, LEFT)
    status(page, 40, 20).to_be_visible()
    options = page.locator("[class*=st-key-map-gallery] li[role=option]")
    expect(options).to_have_count(20)
    assert all(name.startswith("left/") for name in names(page))
    canvas.focus()
    page.keyboard.down("Shift")
    lasso(page, canvas, RIGHT)
    page.keyboard.up("Shift")
    status(page, 40, 40).to_be_visible()
    expect(options).to_have_count(40)
    lasso(page, canvas, RIGHT)  # without Shift: instead of what was
    status(page, 40, 20).to_be_visible()
    expect(options).to_have_count(20)
    assert all(name.startswith("right/") for name in names(page))
    lasso(page, canvas, 0.5)  # around nothing
    status(page, 40, 0).to_be_visible()
    expect(options).to_have_count(0)


def test_the_keyboard_goes_from_photo_to_photo_and_selects(studio, page: Page, mapped):
    canvas = opened(page, studio, mapped)
    page.get_by_role("button", name="left", exact=False).first.focus()
    canvas.focus()
    page.keyboard.press("ArrowRight")
    spoken = page.locator("p.spoken")
    for _ in range(12):  # to the right, as far as it goes: into the island there
        page.keyboard.press("ArrowRight")
    expect(spoken).to_contain_text("right/")
    page.keyboard.press("Enter")
    status(page, 40, 1).to_be_visible()
    expect(spoken).to_contain_text(say("map.chosen"))
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    expect(spoken).to_contain_text("left/")
    expect(page.locator(".card img")).to_be_visible()
    page.keyboard.press("Enter")
    status(page, 40, 2).to_be_visible()
    options = page.locator("[class*=st-key-map-gallery] li[role=option]")
    expect(options).to_have_count(2)
    page.keyboard.press("Escape")
    status(page, 40, 0).to_be_visible()
    page.keyboard.press("Control+a")
    status(page, 40, 40).to_be_visible()
    expect(options).to_have_count(40)


def test_filters_say_what_can_be_selected(studio, page: Page, mapped):
    canvas = opened(page, studio, mapped)
    everything = page.get_by_role("button", name=say("map.all"))
    page.get_by_role("checkbox", name=say("map.wrong_only")).check()
    status(page, 1, 0).to_be_visible()  # one of the class left is taken for right
    everything.click()
    status(page, 1, 1).to_be_visible()
    page.get_by_role("checkbox", name=say("map.wrong_only")).uncheck()
    status(page, 40, 1).to_be_visible()
    page.locator(".classes button", has_text="left").click()
    status(page, 20, 0).to_be_visible()  # what is hidden is not selected any more
    lasso(page, canvas, LEFT)
    status(page, 20, 0).to_be_visible()
    tests = sum(image.split == "test" for image in Manifest.read(studio.home, mapped.payload["recipe"]["dataset"], 1).images
                if image.label == "right")
    page.get_by_label(say("map.split"), exact=True).select_option("test")
    everything.click()
    status(page, tests, tests).to_be_visible()


def test_one_can_go_nearer_and_what_is_not_seen_is_not_selected(studio, page: Page, mapped):
    canvas = opened(page, studio, mapped)
    status(page, 40, 0).to_be_visible()
    lasso(page, canvas, LEFT)
    status(page, 40, 20).to_be_visible()
    zoom_in, whole = (page.get_by_role("button", name=say(f"map.{name}"), exact=True) for name in ("zoom_in", "whole"))
    expect(whole).to_be_disabled()
    zoom_in.click()
    zoom_in.click()
    status(page, 20, 20).to_be_visible()  # the other island is out of sight
    page.get_by_role("button", name=say("map.clear")).click()
    page.mouse.move(*at(canvas, 0.5, 0.5))
    page.get_by_role("button", name=say("map.all")).click()
    status(page, 20, 20).to_be_visible()
    canvas.focus()
    canvas.press("0")
    status(page, 40, 20).to_be_visible()
    expect(whole).to_be_disabled()
    # The wheel zooms with Ctrl only, around the place it is over: on the right there is nothing of the left.
    page.mouse.move(*at(canvas, RIGHT, 0.5))
    page.mouse.wheel(0, -1)
    status(page, 40, 20).to_be_visible()
    page.keyboard.down("Control")
    for _ in range(3):
        page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    status(page, 20, 20).to_be_visible()


def test_a_finger_scrolls_taps_and_draws_when_it_is_told_to(studio, chromium: Browser, mapped):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True, locale="en-US", is_mobile=True)
    page = context.new_page()
    try:
        canvas = opened(page, studio, mapped)
        page.touchscreen.tap(*at(canvas, LEFT, 0.5))
        status(page, 40, 1).to_be_visible()
        expect(page.locator(".card img")).to_be_visible()  # it stays when the finger has gone
        draw = page.get_by_role("button", name=say("map.draw"))
        draw.tap()
        expect(draw).to_have_attribute("aria-pressed", "true")
        finger = context.new_cdp_session(page)
        corners = [at(canvas, RIGHT + dx, 0.5 + dy) for dx, dy in ((-0.1, -0.1), (0.1, -0.1), (0.1, 0.1), (-0.1, 0.1))]
        for kind, places in (("touchStart", corners[:1]), *(("touchMove", [corner]) for corner in corners[1:]), ("touchEnd", [])):
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in places]})
        status(page, 40, 21).to_be_visible()  # added to what was tapped
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, "nothing sticks out at the side"
    finally:
        context.close()


def test_the_map_comes_from_our_route_and_no_label_is_markup(studio, page: Page, mapped):
    job = next(job for job in studio.store.jobs("map") if job.payload["run"] == mapped.id)
    file = map_file(studio.home, job.id)
    found = json.loads(file.read_text())
    name = "<img src=x onerror=alert(1)>$`"
    for point in found["points"]:
        point["label"] = point["predicted"] = name if point["label"] == "left" else "right"
    write_json(file, found | {"classes": [name, "right"]})
    canvas = opened(page, studio, mapped)
    expect(page.locator(".classes button").first).to_contain_text(name)
    page.mouse.move(*at(canvas, LEFT, 0.5))
    expect(page.locator(".card")).to_contain_text(f"{name} ✓ (75 %)")
    assert page.locator(".atlas img:not(.card img)").count() == 0
