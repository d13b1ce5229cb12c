"""Try it in a real browser: one photo, many with a broken one, the camera; a model that sees colour gives known answers."""

from __future__ import annotations

import csv
import shutil

import pytest
import stories
from playwright.sync_api import Page, expect

from transfer_core.words import say

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def run(studio) -> str:
    stories.dataset(studio.store, "Colours [p]", "colours-p")
    return stories.finished(studio.store, dataset="colours-p", device="story").id


@pytest.fixture
def at(page, studio, run) -> Page:
    page.goto(f"{studio.url}/predict?run={run}")
    page.get_by_role("button", name=say("photos.choose")).wait_for()
    return page


def hand_in(page: Page, *files) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=say("photos.choose")).click()
    chooser.value.set_files(files)


def test_one_photo_then_another_and_a_refresh(at, tmp_path):
    hand_in(at, stories.photo(tmp_path / "grass.png", (0, 255, 0)))
    expect(at.locator(".st-key-answer h3")).to_have_text("green *x*")
    expect(at.locator(".tried")).to_have_js_property("naturalWidth", 32)
    expect(at.locator(".bars b").first).to_have_text("> 99.9 %")
    hand_in(at, stories.photo(tmp_path / "sky.png", (0, 0, 255)))
    expect(at.locator(".st-key-answer h3")).to_have_text("<b>blue</b>")
    at.reload()
    expect(at.locator(".st-key-answer h3")).to_have_text("<b>blue</b>")


def test_many_photos_with_a_broken_one_and_a_zip(at, tmp_path):
    broken = tmp_path / "notes.jpg"
    broken.write_text("no picture at all")
    archive = shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path, "notes.jpg")
    good = [stories.photo(tmp_path / f"{name}.png", color) for name, color in
            {"=rose": (255, 0, 0), "leaf": (0, 255, 0), "frog": (0, 200, 0)}.items()]
    hand_in(at, *good, broken, archive)
    expect(at.locator(".photos figure")).to_have_count(3)
    warnings = at.locator("[data-testid=stAlert]")
    expect(warnings.filter(has_text="notes.jpg")).to_be_visible()
    expect(warnings.filter(has_text="all.zip")).to_be_visible()
    with at.expect_download() as download:
        at.locator(".st-key-csv button").click()
    with download.value.path().open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["label"]) for row in rows] == [
        ("'=rose.png", "red"), ("leaf.png", "green *x*"), ("frog.png", "green *x*")]


def test_the_camera_takes_a_photo_and_is_let_go(at):
    """Chromium's own test camera shows green."""
    at.get_by_role("button", name=say("photos.camera")).click()
    at.get_by_role("button", name=say("photos.take")).click()
    expect(at.locator(".st-key-answer h3")).to_contain_text("green *x*")
    expect(at.locator("video")).to_have_count(0)
    at.get_by_role("button", name=say("photos.camera")).click()
    expect(at.locator("video")).to_have_count(1)
    at.get_by_role("button", name=say("photos.close")).click()
    expect(at.locator("video")).to_have_count(0)


def test_a_photo_that_is_far_too_large_is_not_even_sent(at, tmp_path):
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(51_000_000)
    hand_in(at, huge)
    expect(at.get_by_role("alert").filter(has_text="huge.jpg")).to_be_visible()
    assert "upload=" not in at.url


def test_a_server_that_went_away_is_said(at, tmp_path):
    at.route("**/api/uploads", lambda route: route.abort())
    hand_in(at, stories.photo(tmp_path / "sky.png", (0, 0, 255)))
    expect(at.get_by_role("alert").filter(has_text=say("photos.failed"))).to_be_visible()
    at.unroute("**/api/uploads")
    hand_in(at, stories.photo(tmp_path / "sky.png", (0, 0, 255)))
    expect(at.locator(".st-key-answer h3")).to_have_text("<b>blue</b>")
