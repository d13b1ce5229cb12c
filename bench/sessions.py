"""Many people at once: how fast pages answer one of them while the others browse and a training runs, and what that costs.

    python bench/sessions.py ../shared/data/clothing_10.zip                # 30 sessions; about five minutes
    python bench/sessions.py ../shared/data/ants_bees.zip --people 5 --presses 10

One visitor is a real Chromium that moves the freeze slider (as in web_process.py). The others are sessions of the same server
over the WebSocket that a browser has: each opens a page, waits until it is drawn, looks at it for some seconds, and goes to
another. First the slider without them, then with them, then with them and a training of all layers. Prints one JSON object:
`slider_ms` from the key to the new price, `page_ms` from asking for a page to its last element as its session sees it, and
memory of the web process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import websockets
from playwright.sync_api import sync_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from web_process import FLAGS, answers, core, resident, studio, summed, until

from transfer_core.events import Step
from transfer_core.jobs import devices
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.store import Store

PAGES = ("", "data", "model", "train", "runs", "learn")
LOOKED_S = (3.0, 9.0)
"""Seconds a person looks at a page: evenly from the first to the second."""
LATE_S = 60.0


class Crowd:
    """Sessions that browse until they are told to stop."""

    def __init__(self, url: str, people: int, where: dict[str, str]) -> None:
        self.url, self.people, self.where = url.replace("http://", "ws://"), people, where
        self.seconds: dict[str, list[float]] = {page: [] for page in PAGES}
        self.broken: list[str] = []
        self._over = threading.Event()

    @contextmanager
    def browsing(self):
        thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join(LATE_S)

    async def _all(self) -> None:
        await asyncio.gather(*(self._one(number) for number in range(self.people)))

    async def _one(self, number: int) -> None:
        chance = random.Random(number)
        await asyncio.sleep(chance.uniform(0, LOOKED_S[1]))
        try:
            async with websockets.connect(f"{self.url}/_stcore/stream", subprotocols=["streamlit"], max_size=None,
                                          origin=self.url.replace("ws://", "http://")) as line:
                while not self._over.is_set():
                    page = chance.choice(PAGES)
                    self.seconds[page].append(await self._ask(line, page))
                    await asyncio.sleep(chance.uniform(*LOOKED_S))
        except Exception as error:  # noqa: BLE001 — whatever broke a session is a result
            if not self._over.is_set():
                self.broken.append(repr(error)[:200])

    async def _ask(self, line: websockets.ClientConnection, page: str) -> float:
        asked, began = BackMsg(), time.perf_counter()
        asked.rerun_script.query_string = urlencode(self.where if page else {})
        asked.rerun_script.page_name = page
        await line.send(asked.SerializeToString())
        async with asyncio.timeout(LATE_S):
            while True:
                told = ForwardMsg()
                told.ParseFromString(await line.recv())
                if told.WhichOneof("type") == "script_finished" and told.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                    return time.perf_counter() - began


def told(crowd: Crowd) -> dict[str, object]:
    every = [1000 * each for seconds in crowd.seconds.values() for each in seconds]
    return {"page_ms": summed(every), "by_page": {page or "home": summed([1000 * each for each in seconds])
                                                    for page, seconds in crowd.seconds.items() if seconds},
            "sessions": crowd.people, "broken": crowd.broken}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--presses", type=int, default=40)
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    found: dict[str, object] = {"cores": os.cpu_count()}
    try:
        dataset = core(home, "import", str(asked.photos.resolve()), "--name", "photos")["dataset"]
        with studio(home) as (url, pid), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US").new_page()
            store = Store(Home(home))

            def slider(crowd: Crowd | None = None) -> dict[str, object]:
                times = answers(page, url, dataset, asked.presses)
                return {"slider_ms": times["price"], "answer_ms": times["answer"], "memory_mb": resident(pid),
                        "load": round(os.getloadavg()[0], 1), **({} if crowd is None else told(crowd))}

            page.goto(f"{url}/model?dataset={dataset}")
            page.locator(".st-key-ladder .slider").wait_for()
            until(lambda: not store.jobs(None, "queued", "running"))  # the speed of the model is measured at first
            found["alone"] = slider()
            with Crowd(url, asked.people - 1, {"dataset": dataset}).browsing() as crowd:
                found["with the others"] = slider(crowd)
            recipe = Recipe(dataset=dataset, model="tf_efficientnet_lite0.in1k", freeze=0, epochs=200, patience=0)
            run = store.submit("train", {"recipe": recipe.model_dump(mode="json"), "name": "photos"}, devices()[0])
            until(lambda: any(isinstance(event, Step) for _, event in store.events(run.id)))
            found["and a training, alone"] = slider()
            with Crowd(url, asked.people - 1, {"dataset": dataset, "run": run.id}).browsing() as crowd:
                found["with the others and a training"] = slider(crowd)
            store.ask_stop(run.id, "discard")
            until(lambda: not store.job(run.id).live)
            browser.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
