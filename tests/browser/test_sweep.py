"""Several λ, clicked through: asked for on the Model page, tried by a real worker, and one of them taken."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from transfer_core.recipe import Recipe
from transfer_core.words import say

pytestmark = pytest.mark.browser


def test_from_the_question_to_a_model_to_take_home(studio, page: Page, drawn, wait):
    settings = ("model=tf_efficientnet_lite0.in1k&freeze=6&epochs=1&image_size=64&source_loss=lwf&regularizer=none"
                "&augmentation=none")
    page.goto(f"{studio.url}/model?depth=expert&dataset={drawn}&{settings}")
    page.locator(".st-key-sweep-offer summary").click()
    values = page.get_by_label(say("sweep.values"))
    values.fill("0.1, 100")
    values.press("Enter")
    expect(page.get_by_text(say("sweep.count", count=2))).to_be_visible()
    page.get_by_role("button", name=say("sweep.start"), exact=True).click()
    expect(page).to_have_url(re.compile(r"/sweep\?.*job=sweep-"))
    use = page.locator(".st-key-sweep-use button")
    expect(use).to_be_visible(timeout=240_000)
    expect(page.get_by_test_id("stVegaLiteChart").locator("canvas, svg").first).to_be_visible()
    sweep = studio.store.job(re.search(r"job=(sweep-\w+)", page.url)[1])
    assert [point["lambda"] for point in sweep.result["points"]] == [0.1, 100.0]
    use.click()
    expect(page).to_have_url(re.compile(r"/train\?.*run=train-"))
    run = sweep.result["recommended"]["run"]
    wait(lambda: studio.store.job(run).state == "finished", 240)
    assert Recipe(**studio.store.job(run).payload["recipe"]).lambda_target == sweep.result["recommended"]["lambda"]
    expect(page.locator(".live-gauge.kept b")).to_have_text(re.compile(r"\d+ %"))
    expect(page.get_by_role("button", name=say("train.to_evaluate"))).to_be_visible()
