"""What much at once does to the studio: memory of the web process, files a second, and whether another visitor is answered.

    python bench/big_uploads.py [--small 30000] [--large 1500] [--only NAME]

Draws its own photos (8 × 8 PNG in 20 class folders; JPEG of about 350 kB in 3) and lets a real Chromium bring them:

    folder      the small ones, dropped as a folder; the page is refreshed in the middle of the import
    zip         the same as one zip through the file chooser
    photos      the large ones, dropped as a folder in one go
    large_zip   the same as one zip
    two         two visitors drop the small folder at the same time
    edits       what a change of the dataset of small ones costs, from the click to the next page

Prints one JSON object; all times in seconds, `*_mb` in MB of resident memory. `other_s` is how long another visitor waits for
the Model page while the upload goes on. Needs 3 GB under the temporary folder, and some 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from web_process import FLAGS, resident, studio, summed, until

from transfer_core.paths import Home
from transfer_core.store import Job, Store
from transfer_core.words import say


def draw(folder: Path, count: int, classes: int, one: Callable[[int], bytes]) -> Path:
    def write(number: int) -> None:
        (folder / f"class {number % classes:02d}" / f"{number:05d}.img").with_suffix(suffix).write_bytes(one(number))

    suffix = ".png" if one is small else ".jpg"
    for number in range(classes):
        (folder / f"class {number:02d}").mkdir(parents=True)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(count)))
    return folder


def small(number: int) -> bytes:
    return encoded(np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8), "PNG")


def large(number: int) -> bytes:
    """1280 × 960, about 350 kB."""
    blocks = np.random.default_rng(number).integers(0, 256, (240, 320, 3), np.uint8)
    return encoded(blocks.repeat(4, 0).repeat(4, 1), "JPEG", quality=60)


def encoded(pixels: np.ndarray, kind: str, **how: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **how)
    return file.getvalue()


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(path := folder.with_suffix(".zip"), "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    return path


@contextmanager
def watched(pid: int, found: dict[str, object]) -> Iterator[None]:
    """The web process' memory before and at most."""
    seen, over = [resident(pid)], threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            seen.append(resident(pid))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()
        found.update(start_mb=seen[0], peak_mb=max(seen), end_mb=seen[-1])


def drop(page: Page, *paths: Path) -> None:
    box = page.locator(".zone").bounding_box()
    dragged = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    devtools = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": box["x"] + 20, "y": box["y"] + 20, "data": dragged})


def choose(page: Page, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=say("data.upload.choose_files")).click()
    chooser.value.set_files(path)


def answered(page: Page, url: str) -> float:
    begun = time.monotonic()
    page.goto(f"{url}/model", wait_until="commit")
    page.locator("h1").wait_for(timeout=120_000)
    return time.monotonic() - begun


def job_of(page: Page, store: Store, kind: str) -> Job | None:
    match = re.search(rf"job=({kind}-\w+)", page.url)
    return store.job(match[1]) if match else None


class Visit:
    """One person who brings photos, step by step, so that two can be followed at once."""

    def __init__(self, browser: Browser, url: str, store: Store) -> None:
        self.page = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900}).new_page()
        self.page.set_default_timeout(600_000)
        self.store, self.begun, self.lines = store, 0.0, set()
        self.page.goto(f"{url}/data")
        self.page.locator(".zone").wait_for()

    def bring(self, path: Path) -> None:
        self.begun = time.monotonic()
        drop(self.page, path) if path.is_dir() else choose(self.page, path)

    @property
    def sent(self) -> bool:
        self.lines.update(self.page.locator("#upload [role=status]").all_inner_texts())
        return "job=understand-" in self.page.url

    def accept(self, found: dict[str, object], refresh: bool = False) -> str:
        """Import; returns the dataset's id."""
        self.page.locator(".st-key-accept").wait_for()
        found["understood_s"] = round(time.monotonic() - self.begun, 1)
        self.page.locator(".st-key-accept button").click()
        self.page.wait_for_url("**job=import-*")
        job, begun = job_of(self.page, self.store, "import"), time.monotonic()
        if refresh:
            until(lambda: any(event.stage == "checking" and event.done
                              for _, event in self.store.events(job.id, kinds=("progressed",))))
            self.page.reload()
        self.page.locator(".st-key-next-model").wait_for()
        found["imported_s"] = round(time.monotonic() - begun, 1)
        assert len(self.store.events(job.id, kinds=("imported",))) == 1
        return self.store.events(job.id, kinds=("imported",))[0][1].dataset


def bring(browser: Browser, url: str, pid: int, store: Store, paths: list[Path], refresh: bool = False) -> dict[str, object]:
    found: dict[str, object] = {}
    visits = [Visit(browser, url, store) for _ in paths]
    other = browser.new_context(locale="en-US").new_page()
    waits = [answered(other, url)]
    with watched(pid, found):
        for visit, path in zip(visits, paths, strict=True):
            visit.bring(path)
        waits.clear()
        while sum(visit.sent for visit in visits) < len(visits):
            waits.append(answered(other, url))
        found["sent_s"] = round(time.monotonic() - visits[0].begun, 1)
        found["progress_lines_seen"] = len(visits[0].lines)
        if waits:
            found["other_s"] = {name: round(value / 1000, 2) if name != "n" else value
                                for name, value in summed([1000 * wait for wait in waits]).items()}
        datasets = [visit.accept(found, refresh) for visit in visits]
    found["photos"] = [sum(store.dataset(dataset).latest.summary["classes"].values()) for dataset in datasets]
    for page in (*(visit.page for visit in visits), other):
        page.context.close()
    return found


def edits(browser: Browser, url: str, store: Store) -> dict[str, object]:
    """Seconds from a click until the page shows what it led to, on the largest dataset."""
    dataset = max(store.datasets(), key=lambda each: sum(each.latest.summary["classes"].values()))
    page = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    begun = time.monotonic()
    page.goto(f"{url}/data?dataset={dataset.id}")
    page.get_by_role("option").first.wait_for()
    found = {"opened": round(time.monotonic() - begun, 2)}

    def took(name: str, act: Callable[[], object], shows: str) -> None:
        page.wait_for_timeout(1000)
        begun = time.monotonic()
        act()
        page.wait_for_function(shows)
        found[name] = round(time.monotonic() - begun, 3)

    def version(number: int) -> str:
        return f"() => document.querySelector('.st-key-edited')?.innerText.includes('ersion {number}')"

    latest = dataset.latest.version
    took("next page", lambda: page.locator(".st-key-page-on button").click(),
         "() => document.querySelector('.st-key-gallery-pages')?.innerText.includes('61')")
    page.get_by_role("option").first.click()
    delete = page.get_by_role("button", name=say("data.gallery.delete"), exact=True)
    took("delete a photo", delete.click, version(latest + 1))
    took("undo", lambda: page.locator(".st-key-undo-edit button").click(), version(latest + 2))
    page.locator(".st-key-edit-classes summary").click()
    page.locator(".st-key-rename-class button").click()
    page.get_by_label(say("data.classes.new_name")).fill("another name")
    page.keyboard.press("Enter")
    page.locator(".st-key-rename-yes button:enabled").wait_for()
    took("rename a class", lambda: page.locator(".st-key-rename-yes button").click(), version(latest + 3))
    page.context.close()
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--small", type=int, default=30_000)
    asked.add_argument("--large", type=int, default=1_500)
    asked.add_argument("--only", action="append")
    asked = asked.parse_args()
    root = Path(tempfile.mkdtemp(prefix="bench-"))
    home = Home(root / "home")
    found: dict[str, object] = {}
    try:
        many, photos = draw(root / "many", asked.small, 20, small), draw(root / "photos", asked.large, 3, large)
        with studio(home.root) as (url, pid), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            store = Store(home)

            def brought(*paths: Path, refresh: bool = False) -> dict[str, object]:
                return bring(browser, url, pid, store, list(paths), refresh)

            parts: dict[str, Callable[[], dict[str, object]]] = {
                "folder": lambda: brought(many, refresh=True), "zip": lambda: brought(zipped(many)),
                "photos": lambda: brought(photos), "large_zip": lambda: brought(zipped(photos)),
                "two": lambda: brought(many, many), "edits": lambda: edits(browser, url, store)}
            for name, part in parts.items():
                if not asked.only or name in asked.only:
                    found[name] = part()
                    print(name, json.dumps(found[name]), flush=True)
            browser.close()
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
