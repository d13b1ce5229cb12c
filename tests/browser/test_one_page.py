"""The page in one file, opened as a person would: a double click, no server, no network, whatever the classes are called."""

from __future__ import annotations

import base64
import json
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from trained_run import LABELS, odd_pictures, trained

from transfer_core.images import open_image, preprocess
from transfer_core.predictor import Predictor
from transfer_core.training.export import export
from transfer_core.training.finish import finish
from transfer_core.words import languages, say

expect.set_options(timeout=60_000)
pytestmark = pytest.mark.browser
PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "data" / "ants_bees.zip"
READABLE = [name for name in odd_pictures() if name not in ("cmyk.jpg", "16bit.png")]
"""Browsers turn CMYK into RGB in their own way, and 16 bits into 8 without looking for white."""


@pytest.fixture(scope="module")
def made(web_runtime, tmp_path_factory):
    """A run of EfficientNet-Lite0 with hostile class names, and its page."""
    run = trained(tmp_path_factory.mktemp("page"), model="tf_efficientnet_lite0.in1k", weights="pretrained")
    list(finish(run.folder, run.manifest, run.home, name="x", device="cpu"))
    for kind in ("html", "html-folder"):
        list(export(run.folder, run.home, kind, name="<img src=x onerror=alert(1)> & 苹果 @@facts@@", out=run.home.root / kind))
    return run, Predictor(run.folder / "model.onnx")


@pytest.fixture
def page(chromium, made) -> Page:
    """Its page from `file://`, in a browser without any network."""
    context = chromium.new_context(offline=True, viewport={"width": 390, "height": 844}, locale="en-US")
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(next((made[0].home.root / "html").glob("*.html")).as_uri())
    yield page
    assert not [url for url in asked if not url.startswith(("file:", "blob:", "data:"))], "it asked somebody for something"
    context.close()


def answered(page: Page, content: bytes, what: str = "answer") -> np.ndarray:
    return np.array(page.evaluate(f"""async (data) => {{
        await demo.ready;
        return Array.from(await demo.{what}(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], "a")));
    }}""", base64.b64encode(content).decode()))


def test_it_gets_ready_and_finds_that_it_answers_as_measured(page):
    expect(page.locator("#check")).to_contain_text(say("demo.check_same").split("(")[0], timeout=120_000)
    ready = page.evaluate("demo.ready")
    assert ready["difference"] < 1e-4


@pytest.mark.parametrize("name", READABLE)
def test_odd_pictures_get_the_answer_of_the_studio(page, made, name):
    content = odd_pictures()[name]
    assert np.abs(answered(page, content) - made[1].predict_files([content])[0].probabilities).max() < 2e-2
    how = made[1].preprocessing
    pixels = answered(page, content, "input") - preprocess(open_image(content), how).ravel()
    step = 1 / 255 / min(how.std)
    assert np.abs(pixels).max() < 4 * step and np.abs(pixels).mean() < step / 2


def test_real_photos_get_the_answers_of_the_studio(page, made):
    if not PHOTOS.is_file():
        pytest.skip("needs ../shared/data/ants_bees.zip")
    with zipfile.ZipFile(PHOTOS) as packed:
        names = sorted(name for name in packed.namelist() if name.endswith(".jpg"))[::12][:16]
        photos = [packed.read(name) for name in names]
    studio = np.array([row.probabilities for row in made[1].predict_files(photos)])
    found = np.array([answered(page, photo) for photo in photos])
    assert (found.argmax(1) == studio.argmax(1)).all()
    assert np.abs(found - studio).max() < 1e-3


def test_a_dropped_photo_is_named_and_nothing_a_class_is_called_is_markup(page, made):
    expect(page.locator("#file")).to_be_enabled(timeout=120_000)
    name, content = "turned.jpg", odd_pictures()["turned.jpg"]
    page.set_input_files("#file", {"name": name, "mimeType": "image/jpeg", "buffer": content})
    best = made[1].predict_files([content])[0]
    expect(page.locator("#verdict")).to_contain_text(" ".join(best.label.split()))
    expect(page.locator("#bars li")).to_have_count(5)
    assert page.locator("#bars span").all_text_contents()[0] == best.label
    assert set(page.locator(".classes li").all_text_contents()) == set(LABELS)
    assert page.locator("h1").text_content() == "<img src=x onerror=alert(1)> & 苹果 @@facts@@"
    assert page.locator("h1 img, .classes b").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it fits a phone"


def test_a_file_that_is_no_picture_is_told_so_and_the_next_one_works(page):
    expect(page.locator("#file")).to_be_enabled(timeout=120_000)
    page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"})
    expect(page.locator("#trouble")).to_have_text(say("demo.not_a_picture"))
    page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": odd_pictures()["plain.jpg"]})
    expect(page.locator("#trouble")).to_be_empty()
    expect(page.locator("#answer")).to_be_visible()


@pytest.mark.parametrize("language", languages())
def test_it_speaks_both_languages(page, language):
    page.locator(f"[data-language={language}]").click()
    expect(page.locator("[data-say=lead]")).to_have_text(say("demo.lead", language))
    expect(page.locator("[data-say=knows]")).to_have_text(say("demo.knows", language, count=len(LABELS)))
    expect(page.locator("html")).to_have_attribute("lang", language)


def test_the_camera_names_what_it_sees(page):
    expect(page.locator("#camera")).to_be_enabled(timeout=120_000)
    page.locator("#camera").click()
    expect(page.locator("#verdict")).not_to_be_empty(timeout=30_000)
    expect(page.locator("#video")).to_be_visible()
    page.locator("#camera").click()
    expect(page.locator("#video")).to_be_hidden()
    expect(page.locator("#camera")).to_have_text(say("demo.camera_start"))


def test_the_folder_answers_from_a_web_server_and_explains_itself_without_one(chromium, made):
    folder = made[0].home.root / "html-folder"
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    page = chromium.new_page()
    try:
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        content = odd_pictures()["plain.jpg"]
        assert np.abs(answered(page, content) - made[1].predict_files([content])[0].probabilities).max() < 2e-2
        page.goto((folder / "index.html").as_uri())
        expect(page.locator("#trouble")).to_have_text(say("demo.needs_server"), timeout=30_000)
    finally:
        page.close()
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_the_page_holds_what_it_says(made):
    text = next((made[0].home.root / "html").glob("*.html")).read_text("utf-8")
    facts = json.loads(text.split('id="facts" data-single="yes">')[1].split("</script>")[0])
    assert facts["classes"] == sorted(LABELS) and facts["measured"]["n"] == 8
    assert str(made[0].home.root) not in text, "no path of this machine"
