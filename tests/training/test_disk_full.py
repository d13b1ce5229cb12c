"""A disk that fills, wherever it does: a run says so, loses nothing, and goes on when there is room again.

A small file system of memory stands for the disk; only root may mount one.
"""

from __future__ import annotations

import errno
import os
import subprocess
from types import SimpleNamespace

import pytest
import torch
from drawn_colours import drawn
from events_of import of
from safetensors.torch import load_file

from transfer_core.activations import Entry
from transfer_core.errors import Unavailable, says_disk_full
from transfer_core.events import Cached, Epoch, Failed, Finished, Note
from transfer_core.jobs import run as running
from transfer_core.jobs.run import resumable, run_job
from transfer_core.paths import Home
from transfer_core.store import Store
from transfer_core.training.checkpoint import save_weights
from transfer_core.training.fit import fit

MB = 1_000_000


@pytest.fixture
def disk(tmp_path):
    """48 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(place)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


class Ballast:
    """Takes all room of a disk but so much."""

    def __init__(self, disk) -> None:
        self.file = disk / "ballast"

    def leave(self, room: int) -> None:
        facts = os.statvfs(self.file.parent)
        with self.file.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, facts.f_bavail * facts.f_frsize - room))

    def drop(self, *_: object) -> None:
        self.file.unlink(missing_ok=True)


@pytest.fixture
def ballast(disk, monkeypatch) -> Ballast:
    """What waits until there is room finds it when it looks again."""
    found = Ballast(disk)
    monkeypatch.setattr(running, "time", SimpleNamespace(monotonic=running.time.monotonic, sleep=found.drop))
    return found


def worked(store: Store, job: str, before=lambda: None) -> str:
    assert store.claim(job, os.getpid())
    before()
    return run_job(store, store.job(job))


@pytest.mark.parametrize("room", [0, 40_000, 2_500_000, 6_500_000, 9_000_000, 12_000_000, 14_000_000])
def test_a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_room(recipe, home, disk, ballast, monkeypatch, room):
    """The database, the first checkpoint, the first weights, a later checkpoint, what is measured, what is exported."""
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(disk / "home"))
    store = Store(Home(disk / "home"))
    manifest = drawn(store.home, test=4)
    manifest.write(store.home)
    recipe = recipe.but(dataset=manifest.dataset, version=manifest.version)
    whole = list(fit(recipe, manifest, store.home, disk / "whole", device="cpu"))
    wanted = load_file(disk / "whole" / "model.safetensors")
    subprocess.run(["rm", "-r", str(disk / "whole")], check=True)

    job = store.submit("train", {"recipe": recipe.model_dump(mode="json")}, "cpu").id
    state = worked(store, job, lambda: ballast.leave(room))
    if state == "failed":
        failed = store.events(job, kinds=("failed",))[-1][1]
        assert failed.message.key == "errors.disk_full.text" and failed.resumable
        assert resumable(store, store.job(job))
        ballast.drop()
        store.requeue(job)
        state = worked(store, job)
    assert state == "finished"
    events = [event for _, event in store.events(job)]
    assert [event.validation for event in of(Epoch, events)] == [event.validation for event in of(Epoch, whole)]
    ended = store.job(job).result
    assert ended["best_epoch"] == whole[-1].best_epoch and {"onnx", "zip"} <= set(ended["files"])
    report = load_file(store.home.run(job) / "model.safetensors")
    names = [name for name in wanted if not name.startswith("fc.")]  # the classifier is divided by its temperature afterwards
    assert names and all(torch.equal(report[name], wanted[name]) for name in names)
    assert not list(store.home.run(job).glob(".*.part"))
    store.close()


def test_an_import_on_a_full_disk_says_so(disk, ballast, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(disk / "home"))
    store = Store(Home(disk / "home"))
    payload = {"name": "Leaves", "example": "leaves", "images_per_class": 8}
    job = store.submit("import", payload).id
    assert worked(store, job, lambda: ballast.leave(300_000)) == "failed"
    assert store.events(job)[-1][1].message.key == "errors.disk_full.text"
    assert store.datasets() == [] and not list(store.home.uploads.iterdir())
    ballast.drop()
    assert worked(store, store.submit("import", payload).id) == "finished"
    assert store.datasets()[0].latest.summary["imported"] == 32
    store.close()


def test_where_activations_find_no_room_the_training_goes_on_without(recipe, home, disk, hub_free, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_CACHE_BYTES", str(10**9))
    full, ballast = Home(disk / "home"), Ballast(disk)
    frozen = recipe.but(weights="pretrained", freeze=1, image_size=192, epochs=2, batch_size=8)
    manifest, same = drawn(full, train=16), drawn(home, train=16)
    stored, = of(Cached, fit(frozen, same, home, home.root / "stored", device="cpu"))
    plain = list(fit(frozen, same, home, home.root / "plain", device="cpu", cache=False))
    ballast.leave(int(0.9 * stored.bytes))  # less than they take, more than the checkpoints do
    assert stored.bytes > 15 * MB
    events = list(fit(frozen, manifest, full, disk / "run", device="cpu"))
    assert "fit.cache.disk_full" in [note.message.key for note in of(Note, events)] and not of(Cached, events)
    assert isinstance(events[-1], Finished)
    assert [e.validation for e in of(Epoch, events)] == [e.validation for e in of(Epoch, plain)]
    assert not list((full.cache / "activations").glob("*/*.bin")), "half of it is of no use and takes the checkpoints' room"


def test_what_another_training_stored_whole_stays(recipe, manifest, home, hub_free, tmp_path, monkeypatch):
    frozen = recipe.but(weights="pretrained", freeze="all", epochs=2)
    assert of(Cached, list(fit(frozen, manifest, home, tmp_path / "a", device="cpu")))
    more = drawn(home, train=12)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Entry, "append", full)
        events = list(fit(frozen, more, home, tmp_path / "b", device="cpu"))
    assert isinstance(events[-1], Finished) and not of(Cached, events)


@pytest.mark.parametrize("save", [lambda file: save_weights(file, torch.nn.Linear(500, 2000)),
                                  lambda file: torch.save({"a": torch.zeros(1_000_000)}, file.open("wb"))],
                         ids=["safetensors", "torch"])
def test_whoever_writes_weights_says_it_in_other_words(disk, save):
    Ballast(disk).leave(500_000)
    with pytest.raises(Exception) as error:
        save(disk / "weights")
    assert says_disk_full(error.value)


def test_what_is_no_full_disk_is_not_taken_for_one():
    assert says_disk_full(OSError(errno.ENOSPC, "x")) and says_disk_full(Unavailable("disk_full", folder="/"))
    assert not any(says_disk_full(error) for error in (OSError(errno.EACCES, "x"), RuntimeError("shape"), None))


def test_the_database_says_it_in_our_words(disk, monkeypatch):
    store, ballast = Store(Home(disk / "home")), Ballast(disk)
    job = store.submit("import", {"name": "a"})
    ballast.leave(0)
    with pytest.raises(Unavailable, match="is full"):
        store.submit("import", {"name": "x" * MB})
    assert [each.id for each in store.jobs()] == [job.id]
    ballast.drop()
    assert store.append(job.id, Failed(message=Unavailable("disk_full", folder="/").as_message())) == 1
    store.close()
