"""Take the pictures in docs/images from a running studio: `python docs/take_screenshots.py http://127.0.0.1:8501`.

Start that studio on an empty data home first (`TRANSFER_STUDIO_HOME`). The script clicks “Try the example” and waits for its
training, has the speed measured, and trains the last stages once for the curves. It shows the drawn leaves only, never
anybody's photos.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlparse

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from transfer_core.words import say

IMAGES = Path(__file__).with_name("images")
WIDE, PHONE, HIGH = 1280, 390, 900
LONG = 600_000
"""Milliseconds a training may take."""
STAGES = {"preset": "last_stages", "epochs": "8"}
KEEP = {"source_loss": "lwf"}

# Name → page, heading to scroll to (its key in the words; None: the top), language, width, colours, height, settings.
SHOTS = {
    "home": ("", None, "en", WIDE, "light", HIGH), "home.zh": ("", None, "zh", WIDE, "light", HIGH),
    "home-phone": ("", None, "en", PHONE, "light", 844),
    "photos": ("data", None, "en", WIDE, "light", HIGH), "photos.zh": ("data", None, "zh", WIDE, "light", HIGH),
    "model": ("model", None, "en", WIDE, "light", HIGH), "model.zh": ("model", None, "zh", WIDE, "light", HIGH),
    "ladder": ("model", "model.freezing_title", "en", WIDE, "light", HIGH),
    "ladder.zh": ("model", "model.freezing_title", "zh", WIDE, "light", HIGH),
    "ladder-dark": ("model", "model.freezing_title", "en", WIDE, "dark", HIGH),
    "lambda": ("model", "objective.title", "en", WIDE, "light", HIGH, KEEP),
    "lambda.zh": ("model", "objective.title", "zh", WIDE, "light", HIGH, KEEP),
    "train": ("train", None, "en", WIDE, "light", HIGH), "train.zh": ("train", None, "zh", WIDE, "light", HIGH),
    "train-phone": ("train", None, "en", PHONE, "light", 844),
    "check": ("evaluate", None, "en", WIDE, "light", HIGH), "check.zh": ("evaluate", None, "zh", WIDE, "light", HIGH),
    "try": ("predict", None, "en", WIDE, "light", HIGH), "try.zh": ("predict", None, "zh", WIDE, "light", HIGH),
    "take-home": ("share", None, "en", WIDE, "light", HIGH), "take-home.zh": ("share", None, "zh", WIDE, "light", HIGH),
}


def main(url: str, names: list[str]) -> None:
    IMAGES.mkdir(exist_ok=True)
    path = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        where = prepare(browser, url)
        for name in names or SHOTS:
            shoot(browser, url, where, name)
        browser.close()


def prepare(browser: Browser, url: str) -> dict[str, str]:
    """Train the example as a visitor would; returns the dataset, the two runs and an upload with one leaf."""
    with visitor(browser, WIDE, HIGH, "light") as page:
        page.goto(f"{url}/?lang=en")
        page.locator(".st-key-try-example button").click()
        page.wait_for_url("**/train?**", timeout=LONG)
        trained(page)
        example = {name: parse_qs(urlparse(page.url).query)[name][0] for name in ("dataset", "run")}
        page.goto(f"{url}/model?{urlencode({'lang': 'en', 'dataset': example['dataset']})}")
        page.locator(".st-key-measure button").click()  # the price panel then knows the minutes
        page.get_by_text(say("model.speed", "en")).first.wait_for(timeout=LONG)
        page.goto(f"{url}/train?{urlencode({'lang': 'en', 'dataset': example['dataset'], **STAGES})}")
        page.locator(".st-key-start button").click()
        page.wait_for_url("**run=**", timeout=LONG)
        trained(page)
        where = {"dataset": example["dataset"], "run": parse_qs(urlparse(page.url).query)["run"][0]}
        page.goto(f"{url}/data?{urlencode(where)}")
        leaf = page.locator("img[src*='/thumbnails/']").first.get_attribute("src").rsplit("/", 1)[-1].removesuffix(".webp")
        photo = page.request.get(f"{url}/images/{leaf}").body()
        page.goto(f"{url}/predict?{urlencode({'lang': 'en', **where})}")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name=say("photos.choose", "en")).click()
        chooser.value.set_files({"name": "leaf.webp", "mimeType": "image/webp", "buffer": photo})
        page.wait_for_url("**upload=**")
        return {**where, "upload": parse_qs(urlparse(page.url).query)["upload"][0], "example": example["run"]}


def trained(page: Page) -> None:
    page.get_by_role("button", name=say("train.to_evaluate", "en")).wait_for(timeout=LONG)


def shoot(browser: Browser, url: str, where: dict[str, str], name: str) -> None:
    place, part, language, width, colours, height, *settings = SHOTS[name]
    drafted = {"dataset": where["dataset"], **STAGES, **(settings[0] if settings else {})}
    here = {"dataset": where["dataset"], "run": where["run"]}
    chosen = {"": {}, "data": {"dataset": where["dataset"]}, "model": drafted, "evaluate": {**here, "run": where["example"]},
              "predict": {**here, "upload": where["upload"]}}.get(place, here)
    with visitor(browser, width, height, colours) as page:
        page.goto(f"{url}/{place}?{urlencode({'lang': language, **chosen})}")
        page.locator(".st-key-header").wait_for()
        settle(page)
        if part:
            heading = page.get_by_role("heading", name=say(part, language)).first
            heading.evaluate("element => element.scrollIntoView({block: 'start'})")
            page.wait_for_timeout(1000)
        save(page.screenshot(), IMAGES / f"{name}.webp")


def settle(page: Page) -> None:
    """Until the page's script has run to its end and what it shows has been drawn."""
    page.wait_for_timeout(2000)
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton], [data-stale=true]')")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(2000)


def save(png: bytes, file: Path) -> None:
    Image.open(io.BytesIO(png)).convert("RGB").save(file, "WEBP", quality=82, method=6)


@contextmanager
def visitor(browser: Browser, width: int, height: int, colours: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=colours, locale="en-US",
                                  reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(90_000)
    yield page
    context.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
