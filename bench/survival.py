"""Runs killed at random moments: whether anything is lost, and whether they end as they would have ended.

    python bench/survival.py --kills 100 [--seed 0] [--beside 2] [--only stored sweep]
    python bench/survival.py --locked 10 40 [--only stored sweep]

Each kind of run is done once undisturbed. Then again and again, in a home of its own, by a supervisor and workers that are real
processes, with SIGKILL at moments drawn over the whole life of the run: the worker alone, or every process of the studio at
once, after which a new supervisor is started; sometimes again while it comes back. After each kill, and at the end, what lies on
disk is looked at (see `faults`), and what came out is compared with the undisturbed run bit for bit. Prints one JSON object;
Linux only. With `--locked` nothing is killed: another program holds `BEGIN EXCLUSIVE` for so many seconds in the middle of each
run.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer_core.errors import Unavailable
from transfer_core.events import Epoch, Evaluated, Finished, Folded, Swept
from transfer_core.jobs.run import resumable
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.store import Job, Store

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = {"name": "Leaves", "example": "leaves", "images_per_class": 16}
_TINY = {"model": "test_resnet", "weights": "scratch", "image_size": 64, "patience": 0, "batch_size": 8}
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "stored": ("train", {**_TINY, "freeze": "all", "epochs": 150}, {}),
    "stored, varied": ("train", {**_TINY, "freeze": 2, "augmentation": "light", "epochs": 40}, {}),
    "nothing stored": ("train", {**_TINY, "freeze": 2, "augmentation": "light", "stored_views": 0, "epochs": 10},
                       {"cache": False}),
    "everything trained": ("train", {**_TINY, "freeze": 0, "epochs": 16}, {}),
    "sweep": ("sweep", {**_TINY, "freeze": 2, "epochs": 12, "regularizer": "l2_sp"}, {"values": [0.1, 10.0], "seeds": 2}),
    "cross-validation": ("crossvalidate", {**_TINY, "freeze": 2, "epochs": 12}, {"folds": 3, "repeats": 1}),
}
"""What is done: the job's kind, its recipe, and what else its payload says."""
LONGEST = 600.0
"""Seconds after which a run that does not end has failed."""


# What must always hold

def faults(home: Home) -> list[str]:
    """What is wrong with a data home, at any moment, whatever was killed: nothing."""
    return [*_database(home), *_events(home), *_files(home.root)]


def _database(home: Home) -> Iterator[str]:
    with contextlib.closing(sqlite3.connect(home.database, timeout=60)) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    if found != ["ok"] or broken:
        yield f"database: {found} {broken}"


def _events(home: Home) -> Iterator[str]:
    """Every event once and in order; every whole epoch, fold and point exactly once."""
    store = Store(home)
    try:
        for job in store.jobs():
            events = store.events(job.id)
            if [number for number, _ in events] != list(range(1, len(events) + 1)):
                yield f"{job.id}: numbers of events"
            epochs = [event.epoch for _, event in events if isinstance(event, Epoch)]
            if epochs != list(range(1, len(epochs) + 1)):
                yield f"{job.id}: epochs {epochs}"
            for kind in (Swept, Folded):
                parts = [_part(event) for _, event in events if isinstance(event, kind)]
                if len(parts) != len(set(parts)):
                    yield f"{job.id}: parts {parts}"
    finally:
        store.close()


def _part(event: Swept | Folded) -> tuple[float, float]:
    return (event.value, event.turn) if isinstance(event, Swept) else (event.repeat, event.fold)


def _files(root: Path) -> Iterator[str]:
    """Every file under a name that somebody reads opens. Half-written ones bear another name, `.….part`."""
    for file in sorted(root.rglob("*")):
        if file.suffix in (".part", ".lock") or file.parent.name == "activations" or not file.is_file():
            continue
        try:
            _open(file)
        except FileNotFoundError:  # replaced or removed while this looked
            continue
        except Exception as error:  # noqa: BLE001 — whatever a library says of a broken file
            yield f"{file.relative_to(root)}: {error!r}"


def _open(file: Path) -> None:
    import numpy as np
    import onnx
    import torch
    from PIL import Image
    from safetensors.torch import load_file

    match file.suffix:
        case ".safetensors":
            load_file(file)
        case ".pt":
            torch.load(file, map_location="cpu", weights_only=True)
        case ".json":
            json.loads(file.read_text("utf-8"))
        case ".jsonl" if file.name != "epochs.jsonl":  # that one is written line by line, and its last line may be half
            [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        case ".npy":
            np.load(file, allow_pickle=False)
        case ".onnx":
            onnx.checker.check_model(onnx.load(file))
        case ".zip":
            with zipfile.ZipFile(file) as packed:
                if bad := packed.testzip():
                    raise ValueError(bad)
        case ".webp" | ".jpg":
            with Image.open(file) as image:
                image.load()
        case "" if file.parent.parent.name == "images":
            with Image.open(file) as image:
                image.load()


# What came out

def outcome(store: Store, job: Job) -> dict[str, Any]:
    """All of a run that must not depend on what happened to it, as plain values: two of them are compared with `==`."""
    recipe, folder = job.payload["recipe"], store.home.run(job.id)
    rows = [(image.sha256, image.label, image.split) for image in _manifest(store, recipe).images]
    events = [event for _, event in store.events(job.id)]
    found: dict[str, Any] = {"photos": rows, "state": job.state}
    if job.kind == "train":
        found["epochs"] = [event.model_dump(exclude={"seconds", "seconds_left"}) for event in events if isinstance(event, Epoch)]
        found["best"] = next(event.best_epoch for event in reversed(events) if isinstance(event, Finished))
        found["test"] = next(event.report for event in reversed(events) if isinstance(event, Evaluated) and event.split == "test")
        found["weights"] = _tensors(folder / "model.safetensors")
        found["answers"] = (folder / "predictions_test.jsonl").read_text("utf-8")
        found["files"] = sorted(job.result["files"])
        found["result"] = {name: job.result[name] for name in ("epochs", "best_epoch", "test", "kept")}
    elif job.kind == "sweep":
        points = [{name: value for name, value in point.items() if name != "run"} for point in job.result["points"]]
        runs = [_tensors(store.home.run(point["run"]) / "model.safetensors") for point in job.result["points"]]
        found |= {"points": points, "weights": runs, "recommended": {**job.result["recommended"], "run": None}}
    else:
        found["result"] = job.result
    return found


def _manifest(store: Store, recipe: dict[str, Any]) -> Any:
    from transfer_core.datasets.manifest import Manifest

    return Manifest.read(store.home, recipe["dataset"], recipe["version"])


def _tensors(file: Path) -> dict[str, bytes]:
    from safetensors.torch import load_file

    return {name: tensor.numpy().tobytes() for name, tensor in load_file(file).items()}


# A studio of processes that can be killed

class Studio:
    """A supervisor process and its workers, in a home of their own."""

    def __init__(self, home: Home) -> None:
        self.home, self.store = home, Store(home)
        self.supervisor: subprocess.Popen | None = None

    def start(self) -> None:
        environment = {**os.environ, "TRANSFER_STUDIO_HOME": str(self.home.root), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        environment.pop("TRANSFER_STUDIO_DATABASE_URL", None)
        self.supervisor = subprocess.Popen([sys.executable, __file__, "--supervise"], env=environment, cwd=ROOT,
                                           stderr=(self.home.root / "supervisor.txt").open("a"))

    def workers(self) -> list[int]:
        """Ids of all worker processes of this home, those that have not claimed their job yet included."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (b"transfer_core.jobs.worker" in (folder / "cmdline").read_bytes()
                        and f"TRANSFER_STUDIO_HOME={self.home.root}\0".encode() in (folder / "environ").read_bytes()):
                    found.append(int(folder.name))
        return found

    def kill_workers(self) -> None:
        for worker in self.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)

    def kill(self) -> None:
        """Every process, as when the machine goes down."""
        if self.supervisor is not None:
            self.supervisor.kill()
            self.supervisor.wait()
        while self.workers():
            self.kill_workers()

    def close(self) -> None:
        self.kill()
        self.store.close()


def supervise() -> None:
    from transfer_core.jobs.supervisor import Supervisor

    supervisor = Supervisor(Store(), warm=False)
    supervisor.start()
    signal.pause()


# One run

@dataclass
class Told:
    """What is counted over all runs."""

    kills: collections.Counter[str] = field(default_factory=collections.Counter)
    places: collections.Counter[str] = field(default_factory=collections.Counter)
    """The last thing that was reported when the kill came."""
    runs: collections.Counter[str] = field(default_factory=collections.Counter)
    resumed: int = 0
    """Runs that were killed twice at one place, said so, and went on when a person asked for it."""
    wrong: list[str] = field(default_factory=list)


def begin(studio: Studio, kind: str) -> Job:
    """The import and the run behind it."""
    store = studio.store
    _until_ended(studio, job := store.submit("import", PHOTOS))
    if store.job(job.id).state != "finished":
        raise RuntimeError(f"the import {store.job(job.id).state}")
    return _submit(store, kind, store.job(job.id).result["dataset"])


def _submit(store: Store, kind: str, dataset: str) -> Job:
    what, recipe, more = KINDS[kind]
    return store.submit(what, {"recipe": Recipe(dataset=dataset, **recipe).model_dump(mode="json"), **more}, "cpu")


def _until_ended(studio: Studio, job: Job) -> Job:
    end = time.monotonic() + LONGEST
    while (job := studio.store.job(job.id)).live:
        if time.monotonic() > end:
            raise TimeoutError(f"{job.id} is {job.state}")
        time.sleep(0.05)
    return job


def undisturbed(home: Home, kind: str) -> tuple[dict[str, Any], tuple[float, float, float]]:
    """What comes out, and how long the import, the start and the work behind it took."""
    studio = Studio(home)
    studio.start()
    try:
        first = time.monotonic()
        job = begin(studio, kind)
        began = time.monotonic()
        while studio.store.job(job.id).live and not studio.store.raw_events(job.id, limit=1):
            time.sleep(0.02)
        spoke = time.monotonic()
        job = _until_ended(studio, job)
        if job.state != "finished":
            raise RuntimeError(f"{kind}: {job.state} {studio.store.events(job.id)[-1:]}")
        return outcome(studio.store, job), (began - first, spoke - began, time.monotonic() - spoke)
    finally:
        studio.close()


def disturbed(home: Home, kind: str, wanted: dict[str, Any], lasts: tuple[float, float, float], kills: int, chance: random.Random,
              told: Told) -> None:
    """One run, killed so often."""
    studio, mark = Studio(home), f"{kind} in {home.root.name}"
    studio.start()
    try:
        job = studio.store.submit("import", PHOTOS)
        if chance.random() < 0.25:
            _kill(studio, job, chance.uniform(0, lasts[0]), kind, chance, told)
            kills -= 1
        job = _to_the_end(studio, job, told)
        job = _submit(studio.store, kind, job.result["dataset"])
        for _ in range(kills):
            if chance.random() < 0.3:  # before it has said anything; also again, while it comes back
                after = chance.uniform(0, lasts[1])
            else:
                _until_it_speaks(studio, job)
                after = chance.uniform(0, lasts[2])
            if not studio.store.job(job.id).live:
                break
            _kill(studio, job, after, kind, chance, told)
            told.wrong += [f"{mark}, after a kill: {fault}" for fault in faults(home)]
        job = _to_the_end(studio, job, told)
        told.wrong += [f"{mark}, at its end: {fault}" for fault in faults(home)]
        left = [file.name for folder in ("runs", "jobs") for file in (home.root / folder).rglob("*.part")]
        told.wrong += [f"{mark}: {left} left behind"] if left else []
        found = outcome(studio.store, job)
        told.wrong += [f"{mark}: {name} differs" for name in wanted if found[name] != wanted[name]]
        told.runs[kind] += 1
    except Exception as error:  # noqa: BLE001 — told with all others
        told.wrong.append(f"{mark}: {error!r}")
    finally:
        studio.close()


def locked(home: Home, kind: str, wanted: dict[str, Any], seconds: float) -> list[str]:
    """What is wrong after another program has held the database for so long. What a page writes meanwhile comes late, or is
    refused in words."""
    studio, wrong = Studio(home), []
    studio.start()
    try:
        job = begin(studio, kind)
        _until_it_speaks(studio, job)
        with contextlib.closing(sqlite3.connect(home.database, isolation_level=None, timeout=60)) as rude:
            rude.execute("BEGIN EXCLUSIVE")
            with ThreadPoolExecutor(1) as page:
                began = time.monotonic()
                asked = page.submit(studio.store.submit, "understand", {"upload": "none"})
                time.sleep(seconds)
                rude.execute("ROLLBACK")
                try:
                    asked.result()
                    print(f"{kind}, {seconds} s: a page's click took {time.monotonic() - began:.1f} s", file=sys.stderr)
                except Unavailable as error:
                    print(f"{kind}, {seconds} s: a page's click was answered “{error}”", file=sys.stderr)
        job = _until_ended(studio, job)
        if job.state != "finished":
            return [f"{kind}, {seconds} s: {job.state}"]
        found = outcome(studio.store, job)
        wrong += [f"{kind}, {seconds} s: {name} differs" for name in wanted if found[name] != wanted[name]]
        wrong += [f"{kind}, {seconds} s: taken for dead" for _, event in studio.store.events(job.id, kinds=("note",))
                  if event.message.key == "jobs.went_on"]
        return [*wrong, *faults(home)]
    finally:
        studio.close()


def _until_it_speaks(studio: Studio, job: Job) -> None:
    seen, end = len(studio.store.raw_events(job.id)), time.monotonic() + 120
    while studio.store.job(job.id).live and len(studio.store.raw_events(job.id)) == seen and time.monotonic() < end:
        time.sleep(0.01)


def _kill(studio: Studio, job: Job, after: float, kind: str, chance: random.Random, told: Told) -> None:
    time.sleep(after)
    if not studio.store.job(job.id).live:
        return
    last = studio.store.raw_events(job.id)[-1:]
    what = json.loads(last[0][1]) if last else {"type": "nothing"}
    everything = chance.random() < 0.25
    if everything:
        studio.kill()
    else:
        studio.kill_workers()
    told.kills[f"{kind}: {'everything' if everything else 'the worker'}"] += 1
    told.places[what.get("stage") or what["type"]] += 1
    if everything:
        studio.start()


def _to_the_end(studio: Studio, job: Job, told: Told) -> Job:
    """Wait for the end; what failed because it was killed twice at one place is taken up again, as a person would."""
    for _ in range(5):
        job = _until_ended(studio, job)
        if job.state != "failed":
            return job
        time.sleep(0.5)  # a person is slower, too: the reason is told after the state
        if not resumable(studio.store, job):
            raise RuntimeError(f"{job.id} failed and cannot go on: {studio.store.events(job.id)[-1]}")
        told.resumed += 1
        studio.store.requeue(job.id)
    return job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--beside", type=int, default=2, help="studios at once")
    parser.add_argument("--only", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--locked", nargs="*", type=float, default=[], metavar="SECONDS")
    parser.add_argument("--supervise", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.supervise:
        supervise()
    began, told = time.monotonic(), Told()
    with tempfile.TemporaryDirectory() as place:
        wanted = {kind: undisturbed(Home(Path(place) / f"undisturbed-{number}"), kind) for number, kind in enumerate(asked.only)}
        print({kind: [round(each, 1) for each in lasts] for kind, (_, lasts) in wanted.items()}, file=sys.stderr)
        if asked.locked:
            wrong = [fault for number, kind in enumerate(asked.only) for seconds in asked.locked
                     for fault in locked(Home(Path(place) / f"locked-{number}-{seconds}"), kind, wanted[kind][0], seconds)]
            print(json.dumps({"locked": asked.locked, "kinds": asked.only, "wrong": wrong}, indent=1))
            sys.exit(bool(wrong))

        def work(mine: int) -> None:
            number = mine
            while sum(told.kills.values()) < asked.kills:
                kind = asked.only[number % len(asked.only)]
                chance = random.Random(f"{asked.seed} {number}")
                disturbed(Home(Path(place) / f"run-{number}"), kind, *wanted[kind], chance.randint(2, 5), chance, told)
                print(f"{sum(told.kills.values())} kills, {len(told.wrong)} wrong", *told.wrong[-3:], file=sys.stderr)
                number += asked.beside

        with ThreadPoolExecutor(asked.beside) as pool:
            list(pool.map(work, range(asked.beside)))
    print(json.dumps({"kills": sum(told.kills.values()), "runs": sum(told.runs.values()), "wrong": told.wrong,
                      "kills_of": dict(told.kills), "last_report_before": dict(told.places.most_common()),
                      "runs_of": dict(told.runs), "resumed_by_hand": told.resumed,
                      "minutes": round((time.monotonic() - began) / 60, 1)}, indent=1))
    sys.exit(bool(told.wrong))


if __name__ == "__main__":
    main()
