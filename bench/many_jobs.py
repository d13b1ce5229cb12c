"""How long the database takes with many jobs: 10,000 of them with 5,000,000 events, by 20 owners.

    python bench/many_jobs.py --url sqlite:////tmp/many.db
    python bench/many_jobs.py --url postgresql+psycopg://studio@localhost/many
    python bench/many_jobs.py --url sqlite:////tmp/page.db --page

Fills an empty database, then asks each question `--repeats` times and prints milliseconds: the median by the clock on the wall,
the fastest, and the median of this process's own processor time, which others' load does not change (SQLite's work is in it).
`--page`: all are trainings of one person, and what is measured is the page “Runs” in Chromium, from its address to its table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from transfer_core.events import Progressed, to_json
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.store import Store
from transfer_core.store.schema import jobs

OWNERS = 20
KINDS = ("train", "train", "explain", "export")
WAITING = 30
SCORE = {"n": 42, "correct": 21, "accuracy": 0.5, "low": 0.36, "high": 0.64, "macro_f1": 0.5}
RESULT = {"epochs": 3, "validation": SCORE, "test": SCORE, "seconds": 60.0, "files": {}}


def fill(store: Store, count: int, each: int, page: bool) -> None:
    payload = {"recipe": Recipe(dataset="hats-1").model_dump(mode="json"), "name": "Hats"}
    body = to_json(Progressed(stage="reading", done=1))
    kinds, waiting = (("train",), 0) if page else (KINDS, WAITING)
    rows = [{"id": f"job-{number}", "kind": kinds[number % len(kinds)], "device": "cpu",
             "state": "finished" if number < count - waiting else "queued", "payload": payload, "result": RESULT,
             "created": float(number), "started": float(number), "ended": number + 0.5,
             "owner": None if page else f"owner-{number % OWNERS}"} for number in range(count)]
    with store._write() as connection:
        connection.execute(sa.insert(jobs), rows)
        connection.execute(sa.text(
            "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < :each) "
            "INSERT INTO events (job, number, time, type, body) SELECT jobs.id, number, 1.0, "
            "CASE WHEN number % 50 = 0 THEN 'epoch' ELSE 'step' END, :body FROM jobs CROSS JOIN numbers"),
            {"each": each, "body": body})
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE")


def milliseconds(ask: Callable[[], object], repeats: int) -> dict[str, float]:
    wall, own = [], []
    for _ in range(repeats):
        began, worked = time.perf_counter(), time.process_time()
        ask()
        wall.append(1000 * (time.perf_counter() - began))
        own.append(1000 * (time.process_time() - worked))
    found = {"median": statistics.median(wall), "fastest": min(wall), "processor": statistics.median(own)}
    return {name: round(value, 2) for name, value in found.items()}


def opened(home: Path, repeats: int) -> dict[str, float]:
    """Milliseconds until the page's table is there."""
    from playwright.sync_api import sync_playwright
    from web_process import FLAGS, studio

    with studio(home) as (url, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US").new_page()
        page.goto(f"{url}/learn")  # the program itself is in the browser's cache from here on
        page.locator("h1").wait_for()

        def look() -> None:
            page.goto(f"{url}/runs")
            page.locator(".st-key-runs-table canvas").first.wait_for()

        found = milliseconds(look, repeats)
        browser.close()
    return {name: value for name, value in found.items() if name != "processor"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        store = Store(Home(Path(home)), asked.url).everyone()
        began = time.perf_counter()
        if not store.jobs(limit=1):
            fill(store, asked.jobs, asked.events // asked.jobs, asked.page)
        print(json.dumps({"filled in s": round(time.perf_counter() - began)}))
        if asked.page:
            os.environ["TRANSFER_STUDIO_DATABASE_URL"] = asked.url
            print(json.dumps({"the page Runs": opened(Path(home), asked.repeats)}))
            return
        middle, last = f"job-{asked.jobs // 2}", store.jobs(None, "queued")[0]
        newest = asked.events // asked.jobs
        questions: dict[str, Callable[[], object]] = {
            "50 newest trainings": lambda: store.jobs("train", limit=50),
            "50 newest of one owner": lambda: store.of("owner-4").jobs("train", limit=50),
            "jobs that live": lambda: store.jobs(None, "queued", "running"),
            "place in the queue": lambda: store.ahead(last),
            "last 50 events of a job": lambda: store.raw_events(middle, after=newest - 50),
            "epochs of a job": lambda: store.raw_events(middle, kinds=("epoch",)),
            "add an event": lambda: store.append(middle, Progressed(stage="reading", done=1)),
            "heartbeat": lambda: store.beat(middle),
            "claim, refused": lambda: store.claim(last.id, os.getpid()),
            "all trainings": lambda: store.jobs("train"),
        }
        for name, ask in questions.items():
            print(json.dumps({name: milliseconds(ask, asked.repeats)}))
        store.close()


if __name__ == "__main__":
    main()
