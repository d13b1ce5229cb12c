"""A model goes out into the world: published, asked by strangers on their phones, taken home as a page, taken back."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Page, expect

from transfer_core import demos
from transfer_core.words import languages, say

expect.set_options(timeout=60_000)
pytestmark = pytest.mark.browser


@pytest.fixture
def demo(studio, trained):
    made, key = demos.publish(studio.store, trained, title="Left <b>or</b> right?", examples=2)
    yield made, key
    if studio.store.demos(trained.id):
        demos.unpublish(studio.store, made.id)


def hand_in(page: Page, *files: dict) -> None:
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name=say("photos.choose")).click()
    chosen.value.set_files(list(files))


def picture(colour: str) -> dict:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, "PNG")
    return {"name": f"{colour}.png", "mimeType": "image/png", "buffer": file.getvalue()}


def test_a_stranger_with_a_phone_asks_it(page, studio, demo):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{studio.url}/demo?id={demo[0].id}")
    expect(page.get_by_role("heading", name="Left <b>or</b> right?")).to_be_visible()
    hand_in(page, picture("red"), picture("blue"))
    expect(page.locator(".answer")).to_have_count(2)
    expect(page.locator(".answer h3").first).not_to_be_empty()
    shares = [float(text.split()[0]) for text in page.locator(".answer").first.locator("b").all_text_contents()]
    assert abs(sum(shares) - 100) < 0.3
    expect(page.locator(".answer h3").first).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("a[href*='data'], a[href*='runs']").count() == 0, "no way into the studio"
    assert studio.store.demo(demo[0].id).answers == 2


def test_an_example_is_one_click_and_the_keyboard_does_it_too(page, studio, demo):
    page.goto(f"{studio.url}/demo?id={demo[0].id}")
    example = page.get_by_role("button", name=say("demo.example", number=1))
    expect(example).to_be_visible()
    example.press("Enter")
    expect(page.locator(".answer")).to_have_count(1)


def test_what_is_no_photo_is_told_so_and_the_next_one_works(page, studio, demo):
    page.goto(f"{studio.url}/demo?id={demo[0].id}")
    expect(page.get_by_role("button", name=say("photos.choose"))).to_be_visible()
    hand_in(page, {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"})
    expect(page.locator(".answer [role=alert]")).to_contain_text(say("errors.text_file.text", file="a.jpg").split("{")[0][:12])
    hand_in(page, picture("red"))
    expect(page.locator(".answer h3")).to_have_count(1)


@pytest.mark.parametrize("language", languages())
def test_who_asks_too_often_waits_and_is_told_for_how_long(page, studio, demo, language):
    """The server's refusal is played: the first answer says to come again in a second."""
    asked = []

    def answer(route):
        asked.append(route.request)
        if len(asked) == 1:
            route.fulfill(status=503, headers={"retry-after": "1"}, json={"error": "x", "hint": "y", "code": "queue_full"})
        else:
            route.continue_()

    page.route("**/predict", answer)
    page.goto(f"{studio.url}/demo?id={demo[0].id}&lang={language}")
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name=say("photos.choose", language)).click()
    chosen.value.set_files([picture("red")])
    expect(page.get_by_text(say("demo.queued", language, seconds=1))).to_be_visible()
    expect(page.locator(".answer h3")).to_have_count(1)
    assert len(asked) == 2


def test_publish_ask_as_a_program_and_take_back(page, studio, trained):
    page.goto(f"{studio.url}/share?run={trained.id}")
    page.get_by_label(say("publish.name"), exact=True).fill("My model")
    page.get_by_role("button", name=say("publish.publish"), exact=True).click()
    key = page.get_by_text(re.compile(r"^ts_[\w-]{32}$"))
    expect(key).to_be_visible()
    [made] = studio.store.demos(trained.id)
    file = picture("red")
    answer = httpx.post(f"{studio.url}/api/demos/{made.id}/predict", headers={"Authorization": f"Bearer {key.text_content()}"},
                        files={"image": (file["name"], file["buffer"])})
    assert answer.status_code == 200 and answer.json()["predictions"][0]["label"] in made.facts["classes"]
    expect(page.locator("img.qr")).to_be_visible()
    page.get_by_role("button", name=say("publish.take_back"), exact=True).click()
    page.get_by_role("button", name=say("publish.yes")).click()
    expect(page.get_by_role("button", name=say("publish.publish"), exact=True)).to_be_visible()
    assert studio.store.demos(trained.id) == []
    page.goto(f"{studio.url}/demo?id={made.id}")
    expect(page.get_by_role("heading", name=say("demo.gone_title"))).to_be_visible()


def test_a_page_is_made_and_a_zip_opened_again(page, studio, trained, tmp_path, web_runtime):
    page.goto(f"{studio.url}/share?run={trained.id}")
    page.locator(".st-key-make-html button").click()
    link = page.locator(".st-key-download-html a.download")
    expect(link).to_be_visible(timeout=180_000)
    with page.expect_download() as loading:
        link.click()
    loading.value.save_as(tmp_path / "page.html")
    alone = page.context.new_page()
    alone.goto((tmp_path / "page.html").as_uri())
    expect(alone.locator("#check")).to_contain_text(say("demo.check_same").split("(")[0], timeout=60_000)
    alone.close()
    with page.expect_download() as loading:
        page.locator(".st-key-download-main a.download").click()
    loading.value.save_as(tmp_path / "model.zip")
    page.goto(f"{studio.url}/runs")
    page.get_by_text(say("runs.restore.title")).click()
    page.locator(".st-key-project-file input[type=file]").set_input_files(tmp_path / "model.zip")
    expect(page.get_by_role("heading", name=say("evaluate.title"))).to_be_visible(timeout=180_000)
    [brought] = [job for job in studio.store.jobs("train") if job.payload.get("project")]
    assert brought.result["test"]["accuracy"] == trained.result["test"]["accuracy"]
    page.goto(f"{studio.url}/runs")
    page.get_by_text(say("runs.restore.title")).click()
    (tmp_path / "wrong.zip").write_bytes(b"no zip")
    page.locator(".st-key-project-file input[type=file]").set_input_files(tmp_path / "wrong.zip")
    expect(page.get_by_text(say("errors.not_a_project.text", file="wrong.zip"))).to_be_visible(timeout=60_000)
    studio.store.delete_job(brought.id)
