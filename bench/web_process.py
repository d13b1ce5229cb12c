"""What the web process costs and how fast it answers while a training runs: memory page by page, and the freeze slider.

    python bench/web_process.py ../shared/data/clothing_10.zip [--presses 40]

Prints one JSON object. `training_ms` is the time from a key on the freeze slider to the new price on the page, in Chromium,
while a training runs on the same machine; `idle_ms` is the same before it.
Memory is the resident set of the web process in MB (all pages it shares with others included).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from transfer_core.events import Epoch
from transfer_core.paths import Home
from transfer_core.store import Store
from transfer_core.words import say

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
PRICE = ".price-value"
WATCH = """() => {
  const price = () => document.querySelector('.st-key-price-tags').innerText
  window.answer = new Promise((resolve, reject) => {
    let begun, before, address, shown
    document.addEventListener('keydown', () => {
      begun = performance.now(); before = price(); address = location.search
    }, {capture: true, once: true})
    const look = () => {
      if (begun && !shown && price() !== before) shown = performance.now() - begun
      if (shown && location.search !== address) resolve([shown, performance.now() - begun])
      else setTimeout(look, 1)
    }
    look()
    setTimeout(() => reject(new Error('no answer in 10 s')), 10000)
  })
}"""


def core(home: Path, *words: str) -> dict:
    """One command of `transfer-studio`, in a process of its own; its JSON."""
    command = [Path(sys.executable).with_name("transfer-studio"), *words, "--json"]
    done = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE,
                          env=os.environ | {"TRANSFER_STUDIO_HOME": str(home)})
    return json.loads(done.stdout)


@contextmanager
def studio(home: Path) -> Iterator[tuple[str, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--server.headless", "true",
         "--server.address", "127.0.0.1"], cwd=ROOT, env=os.environ | {"TRANSFER_STUDIO_HOME": str(home)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        for job in Store(Home(home)).jobs(None, "running", "queued"):
            if job.pid:
                os.kill(job.pid, signal.SIGKILL)


def until(true: Callable[[], object], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)


def resident(pid: int) -> float:
    """MB."""
    return round(int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024, 1)


def answers(page: Page, url: str, dataset: str, presses: int) -> dict[str, dict[str, float]]:
    """Milliseconds from the slider to the new price and to the answer, `presses` times; the first two are not counted."""
    page.goto(f"{url}/model?dataset={dataset}&preset=everything")
    slider = page.locator(".st-key-ladder .slider")
    slider.wait_for()
    slider.focus()
    page.locator(f".st-key-price-tags {PRICE}").first.wait_for()
    page.wait_for_load_state("networkidle")
    times = []
    for number in range(presses + 2):
        page.evaluate(WATCH)
        slider.press("ArrowRight" if number % 12 < 6 else "ArrowLeft")
        times.append(page.evaluate("() => window.answer"))
        page.wait_for_timeout(400)  # as a person pauses: the script has ended
    shown, answered = zip(*times[2:], strict=True)
    return {"price": summed(shown), "answer": summed(answered)}


def summed(times: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {"median": round(statistics.median(times)), "p90": round(ordered[int(0.9 * len(ordered))]),
            "p95": round(ordered[int(0.95 * len(ordered))]), "worst": round(ordered[-1]), "n": len(times)}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("photos", type=Path)
    asked.add_argument("--presses", type=int, default=40)
    asked.add_argument("--model", default="tf_efficientnet_lite0.in1k")
    asked = asked.parse_args()
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    found: dict[str, object] = {"cores": os.cpu_count()}
    try:
        dataset = core(home, "import", str(asked.photos.resolve()), "--name", "photos")["dataset"]
        with studio(home) as (url, pid), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US").new_page()
            found["memory_mb"] = walk(page, url, pid, dataset, found, asked, Store(Home(home)))
            browser.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(json.dumps(found, indent=2))


def walk(page: Page, url: str, pid: int, dataset: str, found: dict, asked: argparse.Namespace, store: Store) -> dict[str, float]:
    memory = {"start": resident(pid)}

    def visit(name: str, query: str, key: str) -> None:
        page.goto(f"{url}/{query}")
        page.locator(f".st-key-{key}").first.wait_for(timeout=60_000)
        page.wait_for_load_state("networkidle")
        memory[name] = resident(pid)

    visit("home", "", "use-photos")
    visit("photos", f"data?dataset={dataset}", "next-model")
    visit("model", f"model?dataset={dataset}", "model-go")
    found["idle_ms"] = answers(page, url, dataset, asked.presses)
    visit("run card", f"train?dataset={dataset}&preset=last_stages", "start")
    page.locator(".st-key-start button").click()
    page.wait_for_url(re.compile("run=train-"))
    run = re.search(r"run=(train-\w+)", page.url).group(1)
    until(lambda: any(isinstance(event, Epoch) for _, event in store.events(run)))
    memory["training, watched"] = resident(pid)
    other = page.context.new_page()
    found["training_ms"] = answers(other, url, dataset, asked.presses)
    memory["training, second visitor"] = resident(pid)
    other.close()
    found["load_average"] = os.getloadavg()[0]
    page.locator(".st-key-to-evaluate button").wait_for(timeout=3_600_000)
    memory["trained"] = resident(pid)
    visit("check", f"evaluate?run={run}", "confusion")
    visit("try it", f"predict?run={run}", "photos")
    photo = store.home.root / "photo.jpg"
    photo.write_bytes(next(path for path in (store.home.root / "images").rglob("*") if len(path.name) == 64).read_bytes())
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=say("photos.choose")).click()
    chooser.value.set_files(photo)
    page.locator(".st-key-answer .bars").wait_for()
    memory["answered"] = resident(pid)
    visit("take home", f"share?run={run}", "download-main")
    return memory


if __name__ == "__main__":
    main()
