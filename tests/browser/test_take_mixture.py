"""Mixing clicked through: measured by a real worker, a point chosen with the slider, taken, and checked like any model."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from transfer_core.words import say

pytestmark = pytest.mark.browser


def test_from_a_training_to_a_mixture_of_it(studio, page: Page, drawn, wait):
    run = studio.run_of(drawn, model="tf_efficientnet_lite0.in1k", weights="pretrained", freeze=6, image_size=64, epochs=1,
                        augmentation="none")
    wait(lambda: not studio.store.job(run.id).live, 240)
    page.goto(f"{studio.url}/evaluate?run={run.id}")
    page.locator(".st-key-mixture-measure button").click()
    expect(page.get_by_text(say("mixture.waiting"))).to_be_visible()
    page.reload()  # the measuring goes on, and is found again
    slider = page.locator("[class*=st-key-mixture-share] input[type=range]")
    expect(slider).to_be_visible(timeout=240_000)
    measured, = studio.store.jobs("blend")
    expect(page.locator("svg.shares circle")).to_have_count(11)
    page.goto(f"{studio.url}/evaluate?run={run.id}&share=60")
    expect(slider).to_have_value("60")
    slider.press("ArrowLeft")
    expect(page).to_have_url(re.compile("share=50"))
    text = say("mixture.point", share="50", rest="50", accuracy="A", n=measured.result["n"], low="L", high="H", kept="K")
    expect(page.get_by_text(text.split("**")[2].strip(" :*"))).to_be_visible()
    page.locator(".st-key-mixture-take button:visible").first.click()
    expect(page).to_have_url(re.compile(r"/train\?.*run=train-"))
    made = re.search(r"run=(train-\w+)", page.url)[1]
    assert made != run.id and studio.store.job(made).payload["mixture"] == {"run": run.id, "alpha": 0.5}
    check = page.get_by_role("button", name=say("train.to_evaluate"))
    expect(check).to_be_visible(timeout=240_000)
    check.click()
    expect(page).to_have_url(re.compile(rf"/evaluate\?.*run={made}"))
    expect(page.locator(".score-number")).to_be_visible()
    expect(page.get_by_text(say("mixture.made.mixture", share="50", rest="50").split("**")[2].strip())).to_be_visible()
    result = studio.store.job(made).result
    assert result["validation"]["accuracy"] == measured.result["accuracy"][5] and result["epochs"] == 0
    assert "onnx" in result["files"]
