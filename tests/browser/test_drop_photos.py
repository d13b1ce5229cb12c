"""Photos dropped onto the page as a person does it: real folders through the browser's drag and drop, many files, accidents."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import photos
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from transfer_core.words import say

pytestmark = pytest.mark.browser
expect.set_options(timeout=30_000)
FAMILY = "👨‍👩‍👧 家"
"""Emoji joined by characters that draw nothing, and a wide space."""
LOCKED = """
  const entryOf = DataTransferItem.prototype.webkitGetAsEntry
  DataTransferItem.prototype.webkitGetAsEntry = function () { return locked(entryOf.call(this)) }
  function locked(entry) {
    if (entry.fullPath.endsWith('b/1.png')) entry.file = (ok, bad) => bad(new DOMException('locked'))
    const open = entry.createReader
    if (entry.isDirectory) entry.createReader = () => {
      const reader = open.call(entry), read = reader.readEntries
      reader.readEntries = (ok, bad) => read.call(reader, (some) => ok(some.map(locked)), bad)
      return reader
    }
    return entry
  }"""
"""In the browser: one file of a dropped folder cannot be read, as if another program held it."""


def drop(page: Page, *paths: Path, onto: str = ".zone") -> None:
    """What the system sends a browser when files or folders are let go over it: `webkitGetAsEntry` gives real directories."""
    box = page.locator(onto).first.bounding_box()
    at = {"x": box["x"] + 15, "y": box["y"] + box["height"] / 2}
    dragged = {"items": [], "files": [str(path.resolve()) for path in paths], "dragOperationsMask": 1}
    devtools = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, **at, "data": dragged})


def open_zone(page: Page, studio) -> None:
    page.goto(f"{studio.url}/data")
    expect(page.locator(".zone")).to_be_visible()


def arrived(page: Page, studio) -> tuple[Path, list[dict]]:
    """The upload behind the page that shows how it was read: its folder and its index."""
    page.wait_for_url("**job=understand-*")
    job = studio.store.job(re.search(r"job=(understand-\w+)", page.url)[1])
    folder = studio.home.uploads / job.payload["upload"]
    return folder, [json.loads(line) for line in (folder / "index.jsonl").read_text("utf-8").splitlines()]


def draw(folder: Path, **counts: int) -> Path:
    """Tiny pictures in class folders, all different."""
    return photos.draw(folder, counts)


def test_folders_and_loose_files_dropped_together_arrive_as_they_are(page, studio, tmp_path):
    draw(tmp_path / "set", **{"狗": 230, f"{FAMILY}/deep/猫": 12})
    (tmp_path / "set" / "empty" / "emptier").mkdir(parents=True)
    loose = tmp_path / "lose Datei ☂.png"
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(loose)
    open_zone(page, studio)
    drop(page, tmp_path / "set", loose)
    folder, index = arrived(page, studio)
    sent = {f"set/{file.relative_to(tmp_path / 'set').as_posix()}": file for file in (tmp_path / "set").rglob("*.png")}
    sent[loose.name] = loose
    assert len(sent) == 243 and {line["path"] for line in index} == set(sent)
    assert all((folder / str(line["n"])).read_bytes() == sent[line["path"]].read_bytes() for line in index)
    expect(page.locator(".tree b")).to_have_text(["狗", "👨‍👩‍👧 家"])
    expect(page.locator(".tree .count")).to_have_text(["230", "12"])


def test_an_empty_folder_says_so_and_another_may_follow(page, studio, tmp_path):
    (tmp_path / "nothing" / "in here").mkdir(parents=True)
    open_zone(page, studio)
    drop(page, tmp_path / "nothing")
    expect(page.get_by_role("alert")).to_have_text(say("data.upload.nothing"))
    drop(page, draw(tmp_path / "set", a=3, b=2))
    expect(page.locator(".tree .count")).to_have_text(["3", "2"])
    expect(page.get_by_label(say("data.understood.name"))).to_have_value("set")


def test_what_is_dropped_beside_the_zone_is_taken_too(page, studio, tmp_path):
    open_zone(page, studio)
    drop(page, draw(tmp_path / "set", a=3, b=2), onto="h1")
    expect(page.locator(".tree .count")).to_have_text(["3", "2"])


def test_a_folder_dropped_on_a_class_names_it(page, studio, tmp_path):
    draw(tmp_path / "set", 猫=3, dog=2)
    page.goto(f"{studio.url}/data")
    page.get_by_role("tab", name=say("data.upload.tab_classes")).click()
    for number, name in enumerate(("猫", "dog"), start=1):
        drop(page, tmp_path / "set" / name, onto=f".class:nth-of-type({number})")
        expect(page.get_by_label(say("data.upload.class_name", number=number))).to_have_value(name)
    page.get_by_role("button", name=say("data.upload.send_classes", count=5, classes=2)).click()
    expect(page.locator(".tree b")).to_have_text(["dog", "猫"])


def test_many_small_files_share_requests_and_others_are_served_meanwhile(page, studio, chromium: Browser, tmp_path, wait):
    """Two visitors send 600 files each at the same time; a third one opens a page before the first has sent all."""
    sets = [draw(tmp_path / name, oak=350, elm=250) for name in ("one", "two")]
    other = chromium.new_context(locale="en-US").new_page()
    third = chromium.new_context(locale="en-US").new_page()
    visitors = [page, other]
    asked: list[Route] = []

    def hold_the_last(route: Route) -> None:
        asked.append(route)
        if len(asked) < 3:  # 250 + 250 + 100
            route.continue_()

    page.route("**/api/uploads/*/files", hold_the_last)
    for visitor in visitors:
        open_zone(visitor, studio)
    for visitor, photos_of in zip(visitors, sets, strict=True):
        drop(visitor, photos_of)
    third.goto(f"{studio.url}/model")
    expect(third.locator("h1")).to_be_visible()
    wait(lambda: page.wait_for_timeout(50) or len(asked) == 3)
    expect(page.locator(".tree")).to_have_count(0)
    asked[-1].continue_()
    uploads = set()
    for visitor, name in zip(visitors, ("one", "two"), strict=True):
        expect(visitor.locator(".tree .count")).to_have_text(["250", "350"])
        folder, index = arrived(visitor, studio)
        assert len(index) == 600 and all(line["path"].startswith(f"{name}/") for line in index)
        uploads.add(folder)
    assert len(uploads) == 2 and len(asked) == 3
    for visitor in (other, third):
        visitor.context.close()


def test_a_refresh_in_the_middle_of_sending_begins_anew(page, studio, tmp_path):
    held = []
    page.route("**/api/uploads/*/files", lambda route: held.append(route))  # the bytes are on their way, for ever
    page.on("dialog", lambda dialog: dialog.accept())  # "Leave site?"
    open_zone(page, studio)
    drop(page, draw(tmp_path / "set", a=3, b=2))
    expect(page.get_by_role("status")).to_have_text(say("data.upload.sending", done=0, total=5))
    page.reload()
    page.unroute("**/api/uploads/*/files")
    expect(page.locator(".zone")).to_be_visible()
    expect(page.get_by_test_id("stAlert")).to_have_count(0)
    drop(page, tmp_path / "set")
    expect(page.locator(".tree .count")).to_have_text(["3", "2"])


def test_when_the_studio_is_away_all_lanes_stop_and_say_so_once(page, studio, tmp_path):
    asked: list[str] = []

    def away(route) -> None:
        asked.append(route.request.url)
        route.abort()

    open_zone(page, studio)
    page.route("**/api/uploads/*/files", away)
    page.route(re.compile(r"/api/uploads/\w+$"), away)
    drop(page, draw(tmp_path / "set", a=600, b=300))
    expect(page.get_by_role("alert")).to_have_text(say("data.upload.no_answer"))
    expect(page.get_by_role("status")).to_have_text(say("data.upload.failed", failed=900, total=900))
    assert len(asked) <= 4 * 3, "each of the four bundles twice, then once whether anybody is there; not 900 files four times"
    page.unroute_all()
    page.get_by_role("button", name=say("data.upload.retry")).click()
    expect(page.locator(".tree .count")).to_have_text(["600", "300"])


def test_a_file_that_cannot_be_read_is_named_and_the_others_go(page, studio, tmp_path):
    page.add_init_script(LOCKED)
    open_zone(page, studio)
    drop(page, draw(tmp_path / "set", a=3, b=3))
    expect(page.get_by_role("alert")).to_have_text(say("data.upload.unreadable", file="set/b/1.png"))
    page.get_by_role("button", name=say("data.upload.go_on")).click()
    expect(page.locator(".tree .count")).to_have_text(["3", "2"])
