"""The whole journey on real photos, as a newcomer makes it: from a zip to a model file that others can open."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from transfer_core.events import Epoch
from transfer_core.words import say

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "data" / "plant_leaves_40.zip"
expect.set_options(timeout=60_000)
EPOCHS = 40
CELL_WIDTH, CELL_HEIGHT = 72, 35
"""Of a count in the confusion matrix: it is drawn on a canvas, so it is clicked by its place."""


@pytest.mark.skipif(not PHOTOS.exists(), reason=f"real photos are not here: {PHOTOS.name} belongs in ../shared/data")
@pytest.mark.timeout(900)
def test_from_a_zip_to_a_model_in_the_hand(studio, page, wait, tmp_path):
    dataset = bring_photos(page, studio.url)
    weaker = choose_and_freeze(page)
    run = train(page, studio, wait)
    recipe = studio.store.job(run).payload["recipe"]
    assert (recipe["dataset"], recipe["freeze"], recipe["epochs"]) == (dataset, 7, EPOCHS)
    assert recipe["lambda_omega"] == weaker
    check(page, studio, run)
    photo = tmp_path / "a leaf.jpg"
    shown = try_it(page, studio, run, photo)
    downloaded = take_home(page, tmp_path)
    assert opened_elsewhere(downloaded, photo) == pytest.approx(shown, abs=0.002)  # the page shows one decimal of a percent


def bring_photos(page: Page, url: str) -> str:
    page.goto(url)
    page.locator(".st-key-use-photos button").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=say("data.upload.choose_files")).click()
    chooser.value.set_files(PHOTOS)
    expect(page.locator(".tree")).to_contain_text("20")  # understood, before anything is accepted
    page.locator(".st-key-accept button").click()
    page.locator(".st-key-next-model button").click(timeout=120_000)
    page.wait_for_url("**/model?*dataset=*")
    return page.url.split("dataset=")[1].split("&")[0]


def choose_and_freeze(page: Page) -> float:
    """All frozen but the last layer group, a weaker λ (returned), a fixed number of epochs."""
    slider = page.locator(".st-key-ladder .slider")
    slider.focus()
    slider.press("End")
    expect(page.locator(".st-key-ladder .bar.freeze")).to_have_count(8)
    slider.press("ArrowLeft")
    expect(page.locator(".st-key-ladder .bar.freeze")).to_have_count(7)
    page.wait_for_function("new URLSearchParams(location.search).get('freeze') === '7'")
    page.locator("[class*=st-key-setting-lambda_omega] input[type=range] >> nth=-1").press("ArrowLeft")
    epochs = page.locator("[class*=st-key-setting-epochs] input >> nth=-1")
    epochs.fill(str(EPOCHS))
    epochs.press("Enter")
    page.wait_for_function("""() => ['freeze', 'epochs', 'lambda_omega'].every(
        (name) => new URLSearchParams(location.search).has(name))""")
    address = parse_qs(urlsplit(page.url).query)
    assert address["freeze"] == ["7"]
    weaker = float(address["lambda_omega"][0])
    page.locator(".st-key-go-train button").click()
    return weaker


def points(page: Page) -> int:
    return page.evaluate("document.querySelector('.live-plot')?.data?.[0].x.length ?? 0")


@contextmanager
def held(studio, run: str, wait: Callable) -> Iterator[None]:
    """The worker stands still after an early epoch: it learns faster than a page can be looked at."""
    wait(lambda: any(isinstance(event, Epoch) for _, event in studio.store.events(run)), pause=0.01)
    worker = studio.store.job(run).pid
    os.kill(worker, signal.SIGSTOP)
    try:
        assert studio.store.job(run).live
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def train(page: Page, studio, wait: Callable) -> str:
    expect(page.locator(".st-key-run-card")).to_contain_text(say("train.card_split", train=28, validation=6, test=6))
    page.locator(".st-key-start button").click()
    page.wait_for_url(re.compile(r"run=train-"))
    run = re.search(r"run=(train-\w+)", page.url).group(1)
    with held(studio, run, wait):
        wait(lambda: page.wait_for_timeout(50) or points(page))  # the curve appears
        page.reload()  # in the middle
        assert run in page.url
        seen = wait(lambda: page.wait_for_timeout(50) or points(page))
    wait(lambda: page.wait_for_timeout(50) or points(page) > seen)  # and moves
    loss = page.locator(".live-plot").first
    expect(loss).to_have_attribute("aria-label", re.compile(r"\d\.\d{3}"))
    expect(page.locator(".live-confusion td")).to_have_count(4)
    page.locator(".st-key-to-evaluate button").click(timeout=300_000)
    return run


def check(page: Page, studio, run: str) -> None:
    report = json.loads((studio.home.run(run) / "report.json").read_text())["test"]
    expect(page.locator(".st-key-score .score-number")).to_contain_text(f"{100 * report['accuracy']:.0f}")
    expect(page.locator(".st-key-score")).to_contain_text(f"{report['correct']} of {report['n']}")
    counts, classes = report["confusion"], [entry["label"] for entry in report["per_class"]]
    row = max(range(2), key=lambda index: counts[index][index])
    assert counts[row][row] > 0
    expect(page.locator(".st-key-next-predict button")).to_be_visible()  # the page is whole: nothing moves any more
    canvas = page.locator(".st-key-confusion canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + box["width"] - CELL_WIDTH * (len(classes) - row - 0.5), box["y"] + CELL_HEIGHT * (row + 1.5))
    cell = say("evaluate.cell_right", count=counts[row][row], truth=classes[row]).replace("*", "")
    expect(page.locator(".stMarkdown").filter(has_text=cell)).to_be_visible()
    photos = page.locator(".photos").first.locator("img")
    expect(photos).to_have_count(counts[row][row])
    expect(photos.first).to_have_js_property("complete", True)
    assert photos.first.evaluate("(image) => image.naturalWidth") > 0
    page.locator(".st-key-next-predict button").click()


def try_it(page: Page, studio, run: str, photo: Path) -> list[float]:
    """Ask about a photo the model never saw; returns the probabilities the page shows, in the order of the classes."""
    first = json.loads((studio.home.run(run) / "predictions_test.jsonl").read_text().splitlines()[0])
    photo.write_bytes(studio.home.image(first["sha256"]).read_bytes())
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=say("photos.choose")).click()
    chooser.value.set_files(photo)
    expect(page.locator(".st-key-answer .bars li")).to_have_count(2)
    bars = {line.locator(".name").inner_text(): float(line.locator("b").inner_text().strip("<> %")) / 100
            for line in page.locator(".st-key-answer .bars li").all()}
    classes = json.loads((studio.home.run(run) / "classes.json").read_text())
    shown = [bars[name] for name in classes]
    assert shown == pytest.approx(first["probabilities"], abs=0.002)  # the answer that was counted in the score
    page.locator(".st-key-next-share button").click()
    return shown


def take_home(page: Page, folder: Path) -> Path:
    with page.expect_download() as download:
        page.locator("a.download.primary").click()
    download.value.save_as(folder / "model.zip")
    with zipfile.ZipFile(folder / "model.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(folder / "model")
    return folder / "model"


def opened_elsewhere(folder: Path, photo: Path) -> list[float]:
    """The same photo asked of both files with nothing of ours: timm for the weights, ONNX Runtime for the other."""
    import onnxruntime
    import timm
    import torch

    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    image = transform(Image.open(io.BytesIO(photo.read_bytes())).convert("RGB"))[None]
    with torch.inference_mode():
        logits = model(image).numpy()
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    found, = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    assert np.abs(found - logits).max() < 1e-3
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == model.pretrained_cfg["label_names"]
    powers = np.exp(logits[0] - logits[0].max())
    return (powers / powers.sum()).tolist()
