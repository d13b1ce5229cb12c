"""How long the database takes with many jobs: 10,000 of them with 5,000,000 events, by 20 owners.

    python bench/many_jobs.py --url sqlite:////tmp/many.db
    python bench/many_jobs.py --url postgresql+psycopg://studio@localhost/many

Fills an empty database, then asks each question `--repeats` times and prints milliseconds: the median by the clock on the wall,
the fastest, and the median of this process's own processor time, which others' load does not change (SQLite's work is in it).
"""

from __future__ import annotations

import argparse
import json
import os
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


def fill(store: Store, count: int, each: int) -> None:
    payload = {"recipe": Recipe(dataset="hats-1").model_dump(mode="json"), "name": "Hats"}
    body = to_json(Progressed(stage="reading", done=1))
    rows = [{"id": f"job-{number}", "kind": KINDS[number % 4], "state": "finished" if number < count - WAITING else "queued",
             "device": "cpu", "payload": payload, "result": {"accuracy": 0.5}, "created": float(number), "started": float(number),
             "ended": number + 0.5, "owner": f"owner-{number % OWNERS}"} for number in range(count)]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--repeats", type=int, default=50)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        store = Store(Home(Path(home)), asked.url)
        began = time.perf_counter()
        if not store.jobs(limit=1):
            fill(store, asked.jobs, asked.events // asked.jobs)
        print(json.dumps({"filled in s": round(time.perf_counter() - began)}))
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
