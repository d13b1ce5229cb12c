"""Files through an object store: two machines that share a database and no folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import object_store
import pytest
from object_store import S3, Machine, away, forget, there
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from transfer_core import demos, depot, http
from transfer_core.datasets import editing
from transfer_core.datasets.garbage import holding_images
from transfer_core.datasets.manifest import Manifest
from transfer_core.depot import folders, listing, marks, moving, place, room, things, tidying
from transfer_core.depot.folders import Folder
from transfer_core.depot.jobs import Keeper, fetched
from transfer_core.doctor import Patient
from transfer_core.doctor import artifacts as doctor
from transfer_core.errors import BadInput, Unavailable
from transfer_core.http.files import _exported
from transfer_core.jobs import run as running
from transfer_core.jobs import run_job
from transfer_core.jobs.discard import discard
from transfer_core.jobs.run import resumable
from transfer_core.paths import Home
from transfer_core.people import leaving, quotas

ROOT = Path(__file__).resolve().parents[2]
SOMEBODY, ANOTHER = "a" * 32, "b" * 32
RECIPE = {"model": "test_resnet", "weights": "scratch", "freeze": 0, "epochs": 2, "batch_size": 6, "image_size": 32,
          "augmentation": "none", "patience": 0}


@pytest.fixture(scope="module")
def s3():
    server = S3()
    yield server
    server.stop()


@pytest.fixture(params=["s3", "file"])
def address(request, tmp_path) -> str:
    return request.getfixturevalue("s3").bucket() if request.param == "s3" else f"file://{tmp_path}/the store"


@pytest.fixture
def studio(request, address, tmp_path, monkeypatch):
    """Settings of all machines, and the address of their database."""
    if address.startswith("s3"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("s3").endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("TRANSFER_STUDIO_ARTIFACTS", address)
    monkeypatch.setattr(place, "_longer", 0.0)
    monkeypatch.setattr(place, "PATIENCE", 0.0)
    monkeypatch.setattr(place, "CALM", 0.0)
    forget()
    url = f"sqlite:///{tmp_path}/shared.db"
    monkeypatch.setenv("TRANSFER_STUDIO_DATABASE_URL", url)
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(tmp_path / "a"))
    return url


@pytest.fixture
def pair(studio, tmp_path):
    one, other = Machine(tmp_path / "a", studio), Machine(tmp_path / "b", studio)
    yield one, other
    one.store.close()
    other.store.close()


def photos(home: Home, each: int = 8) -> str:
    """An upload of drawn photos of three colours, as the route of uploads leaves it; returns its id."""
    upload, rows = secrets.token_hex(16), []
    folder = home.uploads / upload
    folder.mkdir()
    for label, colour in {"红": (200, 40, 40), "<b>|$": (40, 200, 40), "blue": (40, 40, 200)}.items():
        for number in range(each):
            noise = np.random.default_rng((number, *colour)).integers(0, 55, (40, 40, 3), dtype=np.uint8)
            stream = io.BytesIO()
            Image.fromarray(noise + np.array(colour, np.uint8)).save(stream, "PNG")
            (folder / str(len(rows))).write_bytes(stream.getvalue())
            rows.append({"n": len(rows), "path": f"{label}/{number}.png", "bytes": len(stream.getvalue())})
    (folder / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return upload


def done(machine: Machine, job, **how) -> object:
    assert machine.store.claim(job.id, os.getpid())
    run_job(machine.store, machine.store.job(job.id), **how)
    forget()
    return machine.store.job(job.id)


def files(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*"))
            if file.is_file() and not file.name.startswith((".", "log."))}


def until(condition, seconds: float = 120.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
    return found


def test_a_training_goes_on_on_another_machine(studio, tmp_path, monkeypatch):
    """One brings photos, the other imports and trains and dies; the first goes on; both show the same. Then all is deleted."""
    here, elsewhere = Machine(tmp_path / "a", studio, SOMEBODY), Machine(tmp_path / "b", studio, SOMEBODY)
    upload = photos(here.home)
    imported = done(elsewhere, here.store.submit("import", {"upload": upload, "name": "Colours"}))
    assert imported.state == "finished", elsewhere.store.events(imported.id)
    dataset = imported.result["dataset"]
    assert not (elsewhere.home.uploads / upload).exists()
    assert not [name for name in there() if "uploads" in name]
    assert Manifest.read(here.home, dataset, 1) == Manifest.read(elsewhere.home, dataset, 1)

    job = here.store.submit("train", {"recipe": {**RECIPE, "dataset": dataset, "version": 1, "epochs": 1000}}, "cpu")
    worker = subprocess.Popen([sys.executable, "-m", "transfer_core.jobs.worker", job.id], cwd=ROOT, env={
        **os.environ, "TRANSFER_STUDIO_HOME": str(tmp_path / "b"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    run = Folder(here.home, f"runs/{job.id}")
    # Not in the middle of a push: that machine would first push the rest (its supervisor does), and there is none here.
    until(lambda: ("last.pt" in (run.index(0) or {}) and not folders.todo(elsewhere.home)) or worker.poll() is not None)
    assert worker.poll() is None, here.store.events(job.id)[-1]
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    killed = here.store.job(job.id)
    assert killed.state == "running"
    assert not run.path.exists()  # nothing of it was ever here
    assert resumable(here.store, killed)
    assert here.store.take_from(killed, "queued")

    def stop_soon(event) -> None:
        if event.type == "epoch":
            here.store.ask_stop(job.id, "keep")

    monkeypatch.setattr(running, "BEAT", 0.05)
    ended = done(here, job, watch=stop_soon)
    assert ended.state == "stopped", here.store.events(job.id)[-1]
    assert ended.result["test"]
    started = [event for _, event in here.store.events(job.id, kinds=("started",))]
    assert started[-1].first_epoch > 1

    assert not (elsewhere.home.root / "runs" / job.id / "report.json").exists()
    light = elsewhere.home.run(job.id)  # a page looks at it
    assert json.loads((light / "report.json").read_bytes()) == json.loads((run.path / "report.json").read_bytes())
    assert not (light / "model.onnx").exists()
    assert elsewhere.home.at("runs", job.id, "model.onnx").is_file()
    Folder(elsewhere.home, run.name).bring()
    assert files(light) == files(run.path)
    assert "last.pt" in files(light)

    export = done(elsewhere, elsewhere.store.submit("export", {"run": job.id, "format": "timm"}, "cpu"))
    assert export.state == "finished", elsewhere.store.events(export.id)
    name = export.result["file"]
    assert _exported(here.store, job.id, name).read_bytes() == (light / name).read_bytes()

    shutil.rmtree(here.home.root / "images")  # what is not here is fetched
    demo, _ = demos.publish(here.store, ended, examples=1)
    there_too = elsewhere.home.demo(demo.id)
    assert files(there_too) == files(here.home.root / "demos" / demo.id)
    assert {"model.onnx", "example-0.webp"} <= files(there_too).keys()

    assert {name.split("/")[1] for name in there()} == {SOMEBODY}
    demos.unpublish(elsewhere.store, demo.id)
    discard(elsewhere.store, elsewhere.store.job(job.id))
    left = {name.split("/")[2] for name in there()}
    assert left == {"images", "thumbnails", "datasets"}
    assert leaving.leave(here.store)
    assert there() == {}
    forget()
    Folder(elsewhere.home, run.name).notes.mark("push")  # what waited there does not come back
    assert tidying.catch_up(elsewhere.store, [elsewhere.home]) == 0
    with monkeypatch.context() as changed:
        changed.setenv("TRANSFER_STUDIO_ARTIFACTS", f"file://{tmp_path}/another")  # which never had anything
        assert leaving.sweep(elsewhere.store.everyone()) == 0
    assert leaving.sweep(elsewhere.store.everyone()) == 1  # nothing is left of them on the other machine, either
    assert not elsewhere.home.root.exists()


def write(folder: Folder, **contents: str) -> None:
    for name, text in contents.items():
        file = folder.path / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def both(pair) -> tuple[Folder, Folder]:
    return tuple(Folder(machine.home, "runs/train-1") for machine in pair)


def test_a_push_that_was_killed_leaves_the_state_before(pair, monkeypatch):
    job = pair[0].store.submit("train", {"recipe": {**RECIPE, "dataset": "x"}}, "cpu")
    assert pair[0].store.claim(job.id, os.getpid())
    ours, theirs = (Folder(machine.home, f"runs/{job.id}") for machine in pair)
    write(ours, a="old", b="old")
    assert ours.push()
    write(ours, a="new", b="new")

    def dies(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(place.Place, "write", dies)
        with pytest.raises(KeyboardInterrupt):
            ours.push()
    assert theirs.bring()
    assert files(theirs.path) == {"a.json": b"old", "b.json": b"old"}
    tidying.catch_up(pair[0].store, [pair[0].home])  # at the next start
    theirs.bring()
    assert files(theirs.path) == {"a.json": b"new", "b.json": b"new"}
    monkeypatch.setattr(folders, "GRACE", -1.0)
    ours.sweep()
    names = [name.split("/")[-1] for name in there()]
    assert len(names) == 2  # both hold the same text: one object, and the index


def test_what_was_removed_here_is_removed_there(pair):
    ours, theirs = both(pair)
    write(ours, a="1", b="2")
    ours.push()
    theirs.bring()
    (ours.path / "b.json").unlink()
    assert ours.push()
    theirs.bring()
    assert files(theirs.path) == {"a.json": b"1"}
    assert not ours.push()  # nothing new


def test_what_was_never_fetched_is_not_taken_for_removed(pair):
    ours, theirs = both(pair)
    write(ours, a="1")
    (ours.path / "last.pt").write_bytes(b"weights")
    ours.push()
    theirs.bring(listing.all_but_checkpoint)
    assert "last.pt" not in files(theirs.path)
    write(theirs, b="2")
    theirs.push()
    ours.bring()
    assert files(ours.path) == {"a.json": b"1", "b.json": b"2", "last.pt": b"weights"}


def test_two_machines_that_write_different_files_lose_none(pair):
    ours, theirs = both(pair)
    write(ours, a="1")
    ours.push()
    theirs.bring()
    write(ours, mine="x")
    write(theirs, yours="y")
    ours.push()
    theirs.push()
    ours.bring()
    theirs.bring()
    assert files(ours.path) == files(theirs.path) == {"a.json": b"1", "mine.json": b"x", "yours.json": b"y"}


def test_what_waited_too_long_is_not_pushed_over_what_went_on(pair, monkeypatch):
    """A machine that lost its job while the store was away comes back; another one has gone on meanwhile."""
    store = pair[0].store
    job = store.submit("train", {"recipe": {**RECIPE, "dataset": "x"}}, "cpu")
    ours, theirs = (Folder(machine.home, f"runs/{job.id}") for machine in pair)
    write(ours, epoch="1", best="1")
    ours.push()
    theirs.bring()
    write(ours, epoch="2, never pushed", best="2, never pushed", export="made here alone")
    with away(monkeypatch), pytest.raises(Unavailable):
        ours.push()
    write(theirs, epoch="20")
    theirs.push()
    forget()
    ours.look()
    assert files(ours.path)["epoch.json"] == b"2, never pushed"  # still to be looked into
    assert folders.todo(pair[0].home)
    tidying.catch_up(store, [pair[0].home])
    assert not folders.todo(pair[0].home)
    forget()
    ours.look()
    theirs.bring()
    assert files(theirs.path) == {"best.json": b"1", "epoch.json": b"20", "export.json": b"made here alone"}
    assert files(ours.path) == files(theirs.path)


def test_who_had_the_job_last_has_the_truth(pair, monkeypatch):
    """The store was away when a training ended; before its machine could push, somebody exported what was there."""
    store = pair[0].store
    job = store.submit("train", {"recipe": {**RECIPE, "dataset": "x"}}, "cpu")
    ours, theirs = (Folder(machine.home, f"runs/{job.id}") for machine in pair)
    write(ours, epoch="1")
    ours.push()
    store.claim(job.id, os.getpid())
    write(ours, epoch="2")
    with away(monkeypatch), pytest.raises(Unavailable):
        ours.push()
    store.end(job.id, "finished", {"a": 1}, os.getpid())
    theirs.bring()
    write(theirs, export="of epoch 1")
    theirs.push()
    tidying.catch_up(store, [pair[0].home])
    theirs.bring()
    assert files(theirs.path) == {"epoch.json": b"2", "export.json": b"of epoch 1"}


def test_an_old_checkpoint_of_a_dead_worker_is_no_new_work(pair):
    """It wrote one more checkpoint and died; another machine went on. Later something is exported where it died."""
    ours, theirs = both(pair)
    ours.path.mkdir(parents=True)
    (ours.path / "last.pt").write_bytes(b"1")
    write(ours, best="1")
    ours.push()
    (ours.path / "last.pt").write_bytes(b"2, not pushed")
    write(ours, best="2, not pushed")
    assert ours.bring()
    assert (ours.path / "last.pt").read_bytes() == b"2, not pushed"  # nobody has gone on yet: it is the newest there is
    theirs.bring()
    (theirs.path / "last.pt").write_bytes(b"20")
    theirs.push()
    forget()
    ours.look()
    assert files(ours.path) == {"best.json": b"1"}
    with ours.at_work(listing.all_but_checkpoint):
        write(ours, export="x")
        ours.push()
    theirs.bring()
    assert files(theirs.path) == {"best.json": b"1", "export.json": b"x", "last.pt": b"20"}


def test_nothing_is_fetched_over_what_somebody_works_at(pair):
    ours, theirs = both(pair)
    write(theirs, epoch="1")
    theirs.push()
    with ours.at_work():
        write(ours, epoch="2")
        write(theirs, epoch="1b")
        theirs.push()
        assert not ours.bring()
        assert files(ours.path) == {"epoch.json": b"2"}
    write(theirs, epoch="3")
    theirs.push()
    assert ours.bring()
    assert files(ours.path) == {"epoch.json": b"3"}


def test_a_page_does_not_wait_for_a_push(pair):
    ours, theirs = both(pair)
    write(theirs, epoch="1")
    theirs.push()
    with ours.notes.lock():  # a push is under way, which may take minutes
        write(ours, epoch="2")
        ours.look()
        assert ours.is_at_work
    assert not ours.is_at_work
    assert files(ours.path) == {"epoch.json": b"2"}


def test_a_look_while_work_goes_on_leaves_alone_what_is_not_pushed_yet(pair):
    """The web server of the same machine looks at a run whose next checkpoint lies there already."""
    ours, _ = both(pair)
    write(ours, epoch="1")
    ours.push()
    write(ours, epoch="2")
    forget()
    ours.look()
    assert files(ours.path) == {"epoch.json": b"2"}


def test_an_upload_is_pushed_while_it_arrives(pair):
    """What was pushed ahead is not pushed again, and nobody sees it before all of it is there."""
    one = pair[0]
    upload = photos(one.home, each=2)
    ours, theirs = (Folder(machine.home, f"uploads/{upload}") for machine in pair)
    last = (ours.path / "5").read_bytes()
    (ours.path / "5").unlink()
    ours.push(commit=False)
    ahead = there()
    assert len(ahead) == 5
    assert not theirs.bring()
    ours.push(commit=False)
    assert there() == ahead
    (ours.path / "5").write_bytes(last)
    one.store.submit("understand", {"upload": upload})
    assert ahead.items() <= there().items()
    assert len(there()) == 8  # six photos, their list, and the index of the folder
    theirs.bring()
    assert files(theirs.path) == files(ours.path)


def test_what_a_store_has_lost_and_another_store_never_had_is_pushed_again(pair, monkeypatch, tmp_path):
    ours, theirs = both(pair)
    write(ours, a="1", b="2")
    ours.push()
    place.place().remove_all("runs")
    write(ours, b="3")
    ours.push()
    theirs.bring()
    assert files(theirs.path) == files(ours.path) == {"a.json": b"1", "b.json": b"3"}
    monkeypatch.setenv("TRANSFER_STUDIO_ARTIFACTS", f"file://{tmp_path}/another")
    assert moving.push_all(pair[0].home).folders == 1
    assert len(there()) == 3


def test_names_in_a_store_that_are_none_of_ours_are_passed_over(pair):
    other = pair[1]
    for name in ("people/UP/runs/x/index.json", "people/x/y/z", "runs/index.json", "images/a/b", "weights/x", "README"):
        place.place().write(name, things.seal(b"{}"))
    moving.pull_all(other.home)
    assert not (other.home.root / "README").exists()


@pytest.mark.parametrize("path", [
    "../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", ".ssh", "a//b", "", "a\0b", "a/b/c/d/e/f/g"])
def test_a_hostile_index_leads_nowhere(pair, path):
    _, theirs = both(pair)
    content = b"evil"
    sha256 = hashlib.sha256(content).hexdigest()
    place.place().write(f"runs/train-1/{sha256}", content)
    place.place().write("runs/train-1/index.json", things.seal(json.dumps({"files": {path: [4, sha256]}}).encode()))
    with pytest.raises(Unavailable) as refused:
        theirs.bring()
    assert refused.value.code == "artifacts_damaged"
    assert files(theirs.home.root.parent / "b").keys() <= {"depot/locks/runs+train-1.lock", "depot/locks/runs+train-1.work"}


@pytest.mark.parametrize("index", [
    b"", b"[]", b"{}", b'{"files": 3}', b'{"files": {"a": 1}}', b'{"files": {"a": [-1, "x"]}}',
    b'{"files": {"a": [1, "../../x"]}}', b'{"files": {"a": [1e400, "x"]}}',
    json.dumps({"files": {"a": [1, "0" * 64], "a/b": [1, "0" * 64]}}).encode()])
def test_an_index_that_is_none_is_refused(index):
    with pytest.raises(Unavailable):
        listing.checked(index, "runs/x/index.json")


def test_a_link_in_the_folder_leads_nowhere_either(pair, tmp_path):
    ours, theirs = both(pair)
    (ours.path / "start").mkdir(parents=True)
    (ours.path / "start" / "a.json").write_text("evil")
    ours.push()
    outside = tmp_path / "outside"
    outside.mkdir()
    theirs.path.mkdir(parents=True)
    (theirs.path / "start").symlink_to(outside)
    with pytest.raises(Unavailable):
        theirs.bring()
    assert not list(outside.iterdir())


def test_a_changed_object_is_not_taken(pair):
    ours, theirs = both(pair)
    write(ours, a="good", b="fine")
    ours.push()
    theirs.bring()
    write(ours, a="better", b="finer")
    ours.push()
    sha256 = hashlib.sha256(b"better").hexdigest()
    for other in (b"worse!", b"longer than it was", b""):
        place.place().write(f"runs/train-1/{sha256}", other)
        with pytest.raises(Unavailable) as refused:
            theirs.bring()
        assert refused.value.code == "artifacts_damaged"
        assert files(theirs.path) == {"a.json": b"good", "b.json": b"fine"}  # all of it or nothing
    image = hashlib.sha256(b"a photo").hexdigest()
    place.place().write(f"images/{image[:2]}/{image}", b"another photo")
    with pytest.raises(Unavailable):
        things.bring_image(theirs.home, image)
    assert not theirs.home.image(image).exists()


def test_a_person_has_no_way_to_anothers(studio, tmp_path):
    one, other = (Machine(tmp_path / "a", studio, person) for person in (SOMEBODY, ANOTHER))
    mine = Folder(one.home, "runs/train-1")
    write(mine, a="1")
    mine.push()
    assert list(there()) and all(name.startswith(f"people/{SOMEBODY}/") for name in there())
    assert not Folder(other.home, "runs/train-1").bring()
    for name in ("runs/../../x/runs/train-1", f"runs/../../{SOMEBODY}", "people/x", "runs", "runs/.."):
        with pytest.raises(ValueError, match="no "):
            Folder(other.home, name)
    tidying.remove_person(other.home)
    tidying.remove_person(one.home.of(None))  # never all of the studio
    assert there()


@pytest.mark.parametrize("address", ["file"], indirect=True)
def test_a_store_that_is_away_loses_nothing(pair, monkeypatch):
    one, other = pair
    upload = photos(one.home)
    monkeypatch.setattr(running, "PATIENCE", 0.0)
    with away(monkeypatch):
        with pytest.raises(Unavailable) as refused:
            one.store.submit("import", {"upload": upload, "name": "Colours"})
        assert refused.value.code == "artifacts_away"
        assert "very secret" not in str(refused.value)
    imported = done(one, one.store.submit("import", {"upload": upload, "name": "Colours"}))
    dataset = imported.result["dataset"]
    with away(monkeypatch):
        with pytest.raises(Unavailable):
            editing.rename_class(one.store, dataset, "blue", "azure")
        assert one.store.version(dataset).version == 1  # no version that others could not read
        assert Manifest.read(one.home, dataset, 1)  # what is here is shown
        failed = done(one, one.store.submit("import", {"path": str(one.home.root), "name": "x"}))
        assert failed.state == "failed"
    job = one.store.submit("train", {"recipe": {**RECIPE, "dataset": dataset, "version": 1}}, "cpu")

    def goes_away(event) -> None:
        if event.type == "started":
            changed.setenv("TRANSFER_STUDIO_ARTIFACTS", "s3://nowhere/here")
            changed.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{object_store.free_port()}")

    with monkeypatch.context() as changed:
        ended = done(one, job, watch=goes_away)
        assert ended.state == "finished"
        notes = [event.message.key for _, event in one.store.events(job.id, kinds=("note",))]
        assert "jobs.not_pushed" in notes
        with pytest.raises(Unavailable):
            other.home.run(job.id)
        assert one.home.run(job.id).is_dir()
    forget()
    assert tidying.catch_up(one.store, [one.home]) == 1
    assert (other.home.run(job.id) / "report.json").read_bytes() == (one.home.run(job.id) / "report.json").read_bytes()
    assert not folders.todo(one.home)


def test_what_could_not_be_deleted_is_deleted_later(pair, monkeypatch):
    ours, theirs = both(pair)
    write(ours, a="1")
    ours.push()
    with away(monkeypatch):
        tidying.remove(pair[0].home, "runs", "train-1")
    assert not ours.path.exists()
    assert there()
    theirs.bring()
    tidying.catch_up(pair[0].store, [pair[0].home])
    assert there() == {}
    tidying.tidy(pair[1].store, pair[1].home)  # the database knows no such run, and the store has none
    assert not theirs.path.exists()


def test_an_emptied_store_takes_nothing_along(pair):
    """Neither the store alone nor the database alone decides that something goes."""
    one, other = pair
    job = one.store.submit("train", {"recipe": {**RECIPE, "dataset": "x"}}, "cpu")
    ours = Folder(one.home, f"runs/{job.id}")
    write(ours, a="1")
    ours.push()
    place.place().remove_all("runs")
    tidying.tidy(one.store, one.home)
    assert files(ours.path) == {"a.json": b"1"}
    one.store.delete_job(job.id)  # hidden; it can be shown again
    theirs = Folder(other.home, ours.name)
    write(theirs, a="1")
    theirs.push()
    tidying.tidy(one.store, one.home)
    assert files(ours.path)


def test_the_images_of_a_deleted_dataset_go_with_it_unless_another_has_them(pair, monkeypatch):
    one, other = pair
    upload = photos(one.home)
    again = shutil.copytree(one.home.uploads / upload, one.home.uploads / secrets.token_hex(16)).name
    names = [done(one, one.store.submit("import", {"upload": each, "name": "C"})).result["dataset"] for each in (upload, again)]
    monkeypatch.setattr(tidying, "OLD", -60.0)
    images = [name for name in there() if name.startswith("images/")]
    assert len(images) == 24
    tidying.remove_dataset(other.home, names[0])
    assert [name for name in there() if name.startswith("images/")] == images
    tidying.remove_dataset(other.home, names[1])
    assert not [name for name in there() if name.startswith(("images/", "thumbnails/", "datasets/"))]


def test_pictures_are_shown_by_a_server_that_never_had_them(pair, monkeypatch):
    one, other = pair
    done(one, one.store.submit("import", {"upload": photos(one.home), "name": "Colours"}))
    sha256 = next(file.name for file in (one.home.root / "images").glob("??/*"))
    client = TestClient(Starlette(routes=http.routes(other.store)), base_url="http://127.0.0.1")
    small = client.get(f"/thumbnails/{sha256}.webp")
    assert (small.status_code, small.content) == (200, one.home.thumbnail(sha256).read_bytes())
    assert client.get(f"/images/{sha256}").status_code == 200
    assert client.get(f"/thumbnails/{'0' * 64}.webp").status_code == 404
    assert client.get("/healthz").json()["parts"]["artifacts"] == "ok"
    with away(monkeypatch):
        away_client = TestClient(Starlette(routes=http.routes(other.store)), base_url="http://127.0.0.1")
        told = away_client.get("/healthz")
        assert (told.status_code, told.json()["parts"]["artifacts"]) == (503, "failed")


def test_a_home_moves_in_and_out(studio, tmp_path, monkeypatch):
    """Made before there was a store: pushed by one command, fetched by another on an empty machine."""
    with monkeypatch.context() as without:
        without.delenv("TRANSFER_STUDIO_ARTIFACTS")
        before = Machine(tmp_path / "a", studio, SOMEBODY)
        imported = done(before, before.store.submit("import", {"upload": photos(before.home), "name": "Colours"}))
        assert imported.state == "finished"
        run = before.home.run("train-1")
        (run / "start").mkdir()
        (run / "start" / "model.safetensors").write_bytes(b"weights")
        (run / "report.json").write_text("{}")
        (before.home.weights / hashlib.sha256(b"own").hexdigest()).write_bytes(b"own")
    moved = moving.push_all(before.home.of(None))
    assert (moved.images, moved.datasets, moved.weights, moved.folders) == (24, 1, 1, 1)
    again = moving.push_all(before.home.of(None))
    assert (again.images, again.datasets, again.weights, again.folders) == (0, 0, 0, 0)
    after = Machine(tmp_path / "b", studio, SOMEBODY)
    moving.pull_all(after.home.of(None))
    kinds = ("images", "thumbnails", "datasets", "runs", "weights")
    assert {kind: files(after.home.root / kind) for kind in kinds} == {kind: files(before.home.root / kind) for kind in kinds}


def test_the_doctor_tries_it(studio, tmp_path, monkeypatch):
    patient = Patient(Home(tmp_path / "a"), studio)
    found = doctor.artifacts(patient)
    assert (found.state, found.outcome) == ("warning", "sqlite")
    assert there() == {}
    with away(monkeypatch):
        found = doctor.artifacts(patient)
        assert (found.state, found.outcome) == ("problem", "no_answer")
        assert "very secret" not in found.found("en")
    monkeypatch.delenv("TRANSFER_STUDIO_ARTIFACTS")
    assert doctor.artifacts(patient).outcome == "none"


def test_without_the_setting_nothing_of_it_is_loaded(tmp_path):
    program = ("import sys, os\nfrom transfer_core.store import Store\nfrom transfer_core.paths import Home\n"
               "from pathlib import Path\nstore = Store(Home(Path(sys.argv[1])))\nstore.home.run('train-1')\n"
               "from transfer_core import http, demos\nfrom transfer_core.depot import folders, things, jobs, tidying\n"
               "assert not {'fsspec', 'pyarrow', 'torch', 'streamlit'} & set(sys.modules), sys.modules\n"
               "assert not (store.home.root / 'depot').exists()")
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, cwd=ROOT, env={
        name: value for name, value in os.environ.items() if not name.startswith("TRANSFER_STUDIO_")} | {"PYTHONPATH": str(ROOT)})
    assert not depot.is_on()


def test_a_store_of_no_kind_we_know_is_refused():
    for wrong in ("ftp://x/y", "s3://", "file://relative", "memory://"):
        with pytest.raises(Unavailable) as refused:
            place.Place(wrong)
        assert refused.value.code == "artifacts_address"


def test_in_memory(monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFER_STUDIO_ARTIFACTS", f"memory://{tmp_path.name}")
    ours, theirs = (Folder(Home(tmp_path / name), "runs/train-1") for name in "ab")
    write(ours, a="1")
    ours.push()
    theirs.bring()
    assert files(theirs.path) == {"a.json": b"1"}
    assert len(there()) == 2
    ours.remove()
    assert there() == {}


# What an attacker's eye found. Of a folder as the store: the protocol is another question.

BY_FILE = pytest.mark.parametrize("address", ["file"], indirect=True)


@contextmanager
def silent(monkeypatch):
    """The same store, which does not answer."""
    def broken(self, work):
        raise place.Away("artifacts_away", address=self.address, reason="no route to host")

    with monkeypatch.context() as changed:
        changed.setattr(place.Place, "_do", broken)
        yield
    forget()


def claimed(machine: Machine) -> Folder:
    """The folder of a training that this process works at."""
    job = machine.store.submit("train", {"recipe": {**RECIPE, "dataset": "x"}}, "cpu")
    assert machine.store.claim(job.id, os.getpid())
    return Folder(machine.home, f"runs/{job.id}")


@BY_FILE
def test_what_a_known_run_could_not_push_is_remembered(pair, monkeypatch):
    """Its first checkpoint had arrived; the same store is away at the end."""
    ours = claimed(pair[0])
    theirs = Folder(pair[1].home, ours.name)
    write(ours, epoch="1")
    ours.push()
    write(ours, epoch="2")
    with silent(monkeypatch), pytest.raises(Unavailable):
        ours.push()
    assert tidying.catch_up(pair[0].store, [pair[0].home]) == 1
    theirs.bring()
    assert files(theirs.path) == {"epoch.json": b"2"}


@BY_FILE
def test_a_full_disk_while_pushing_does_not_cost_the_training(pair, monkeypatch):
    one = pair[0]
    ours = claimed(one)
    write(ours, epoch="1")
    said = []
    keeper = Keeper(one.store, one.store.job(ours.path.name), said.append, lambda: True, 0.0)

    def full(_folder):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as changed:
        changed.setattr(Folder, "keep", full)
        keeper.end()
    assert [note.message.key for note in said] == ["jobs.not_pushed"]
    assert tidying.catch_up(one.store, [one.home]) == 1


@BY_FILE
def test_a_run_thrown_away_while_it_is_pushed_does_not_come_back(pair, monkeypatch):
    ours, _ = both(pair)
    write(ours, a="1")
    push = place.Place.push

    def and_deleted(self, name, source):
        push(self, name, source)
        ours.remove()

    with monkeypatch.context() as changed:
        changed.setattr(place.Place, "push", and_deleted)
        assert not ours.push()
    assert there() == {} and not folders.todo(pair[0].home)
    kept = ours.keep()
    ours.push(kept=kept)  # was waiting for its turn meanwhile
    assert there() == {} and not kept.stage.exists()


@BY_FILE
def test_a_worker_that_slept_while_its_job_was_deleted_pushes_nothing(pair):
    one = pair[0]
    ours = claimed(one)
    keeper = Keeper(one.store, one.store.job(ours.path.name), lambda _event: None, lambda: True, 0.0)
    write(ours, a="1")
    one.store.delete_job(ours.path.name)
    keeper.end()
    assert [name for name in there() if name.endswith("index.json")] == []


@BY_FILE
def test_an_index_names_no_object_that_another_machine_has_replaced(pair, monkeypatch):
    """What this machine saw last is old: what it takes for there may be gone."""
    monkeypatch.setattr(folders, "GRACE", -1.0)
    ours, theirs = both(pair)
    write(ours, a="x")
    ours.push()
    theirs.bring()
    write(theirs, a="y")
    theirs.push()
    write(ours, b="x")
    ours.push(only_mine=False)
    shutil.rmtree(theirs.path)
    forget()
    assert theirs.bring()
    assert files(theirs.path) == {"a.json": b"y", "b.json": b"x"}


@BY_FILE
def test_whoever_fetches_slowly_finds_what_was_replaced_meanwhile(pair, monkeypatch):
    """A checkpoint larger than what can be fetched between two of them."""
    ours, theirs = both(pair)
    epochs = iter(range(100))
    write(ours, last=f"{next(epochs)}")
    ours.push()
    fetch = place.Place.fetch

    def slowly(self, name, *rest):
        write(ours, last=f"{next(epochs)}")
        ours.push()
        return fetch(self, name, *rest)

    with monkeypatch.context() as changed:
        changed.setattr(place.Place, "fetch", slowly)
        assert theirs.bring()
    assert files(theirs.path) == {"last.json": b"0"}
    assert len(there()) == 3
    monkeypatch.setattr(folders, "GRACE", -1.0)
    tidying.tidy(pair[0].store, pair[0].home)
    assert len(there()) == 2


@BY_FILE
def test_who_begins_beside_somebody_else_has_the_checkpoint(pair):
    """An export by a command needs none; a training that goes on meanwhile on the same machine would begin anew."""
    ours, theirs = both(pair)
    write(ours, best="1")
    (ours.path / "last.pt").write_bytes(b"20 epochs")
    ours.push()
    with theirs.at_work(listing.all_but_checkpoint):
        write(theirs, best="changed here")
        assert not (theirs.path / "last.pt").exists()
        with theirs.at_work():
            assert files(theirs.path) == {"best.json": b"changed here", "last.pt": b"20 epochs"}


@BY_FILE
def test_a_dataset_deleted_elsewhere_leaves_no_photo_here(pair, monkeypatch):
    monkeypatch.setattr(tidying, "OLD", -60.0)
    one, other = pair
    kept, gone = (done(one, one.store.submit("import", {"upload": photos(one.home, 2), "name": name})).result["dataset"]
                  for name in "KG")
    write(Folder(other.home, "runs/train-1"), a="1")
    Folder(other.home, "runs/train-1").push()  # this home works with this store
    Manifest.read(other.home, kept, 1)
    for image in Manifest.read(other.home, gone, 1).images:
        assert things.bring_image(other.home, image.sha256)
    one.store.delete_dataset(gone)
    tidying.tidy(other.store, other.home)
    assert (other.home.root / "datasets" / gone).exists(), "it can be taken back"
    tidying.remove_dataset(one.home, gone)
    one.store.forget_dataset(gone)
    tidying.tidy(other.store, other.home)
    assert [folder.name for folder in (other.home.root / "datasets").iterdir()] == [kept]
    assert len(list((other.home.root / "images").glob("??/*"))) == 6, "the other one has the same photos"
    tidying.remove_dataset(one.home, kept)
    one.store.delete_dataset(kept)
    one.store.forget_dataset(kept)
    assert moving.push_all(other.home, store=other.store).images == 0, "a push brings nothing back"
    assert not [name for name in there() if name.startswith(("images/", "datasets/"))]
    tidying.tidy(other.store, other.home)
    assert not list((other.home.root / "images").glob("??/*"))


@BY_FILE
def test_a_push_of_everything_brings_no_deleted_run_back(pair):
    one, other = pair
    ours = claimed(one)
    write(ours, a="1")
    ours.push()
    theirs = Folder(other.home, ours.name)
    theirs.bring()
    one.store.end(ours.path.name, "stopped", {}, os.getpid())
    ours.remove()
    forget()
    assert moving.push_all(other.home, store=other.store).folders == 0
    assert there() == {}


@BY_FILE
def test_an_upload_that_waited_elsewhere_does_not_survive_its_person(studio, tmp_path, monkeypatch):
    here, elsewhere = Machine(tmp_path / "a", studio, SOMEBODY), Machine(tmp_path / "b", studio, SOMEBODY)
    here.store.touch()
    upload = photos(elsewhere.home, 1)
    with silent(monkeypatch), pytest.raises(Unavailable):
        Folder(elsewhere.home, f"uploads/{upload}").push()
    assert leaving.leave(here.store)
    assert tidying.catch_up(elsewhere.store, [elsewhere.home]) == 0
    assert there() == {}


@BY_FILE
def test_a_list_that_nobody_else_got_is_not_taken_for_theirs(pair, monkeypatch):
    """A version that could not be pushed was never made; another machine makes that number then."""
    one, other = pair
    dataset = done(one, one.store.submit("import", {"upload": photos(one.home, 2), "name": "C"})).result["dataset"]
    with silent(monkeypatch), pytest.raises(Unavailable):
        editing.rename_class(one.store, dataset, "blue", "azure")
    editing.rename_class(other.store, dataset, "blue", "navy")
    assert "navy" in Manifest.read(one.home, dataset, 2).classes


@BY_FILE
def test_one_damaged_folder_keeps_no_other_from_coming(pair):
    ours, theirs = both(pair)
    write(ours, a="1")
    ours.push()
    place.place().write("runs/train-0/index.json", things.seal(b"[" * 100_000))
    with pytest.raises(Unavailable):
        moving.pull_all(pair[1].home)
    assert files(theirs.path) == {"a.json": b"1"}


@BY_FILE
def test_a_person_keeps_what_lies_in_the_store_whatever_lies_here(studio, tmp_path, monkeypatch):
    """Counted there, whichever machine is asked; a copy that was fetched is nothing more, and what arrives here is."""
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_BYTES", "500kB")
    here, elsewhere = Machine(tmp_path / "a", studio, SOMEBODY), Machine(tmp_path / "b", studio, SOMEBODY)
    folder = Folder(here.home, "runs/train-1")
    write(folder, best="x" * 300_000)
    folder.push()
    for machine in (here, elsewhere):
        assert 300_000 < quotas.stored(machine.home) < 360_000
        quotas.check_room(machine.store, 100_000)
        with pytest.raises(BadInput):
            quotas.check_room(machine.store, 250_000)
    monkeypatch.setattr(quotas, "COUNTED_EVERY", 0.0)
    Folder(elsewhere.home, folder.name).bring()
    quotas.check_room(elsewhere.store, 100_000)  # and it is no reason to refuse
    (elsewhere.home.uploads / "arriving").write_bytes(b"x" * 150_000)
    quotas._in_store[elsewhere.home.root] = (time.monotonic(), *quotas._in_store[elsewhere.home.root][1:])
    assert quotas.stored(elsewhere.home) > 450_000
    with silent(monkeypatch):
        quotas._in_store.clear()
        assert 150_000 < quotas.stored(elsewhere.home) < 600_000, "what is known without the store"


@BY_FILE
def test_who_only_looked_at_photos_has_none_of_them_when_their_person_has_left(studio, tmp_path):
    here, elsewhere = Machine(tmp_path / "a", studio, SOMEBODY), Machine(tmp_path / "b", studio, SOMEBODY)
    done(here, here.store.submit("import", {"upload": photos(here.home, 2), "name": "C"}))
    sha256 = next(file.name for file in (here.home.root / "images").glob("??/*"))
    assert things.bring_image(elsewhere.home, sha256)
    assert leaving.leave(here.store)
    assert leaving.sweep(elsewhere.store.everyone()) == 1
    assert not elsewhere.home.root.exists()


# Making room

LATER = 2 * marks.GRACE


@pytest.fixture
def full(pair, monkeypatch):
    """A machine with copies of everything, which may keep none; the dataset, and the folders of its run and demo."""
    one = pair[0]
    monkeypatch.setenv("TRANSFER_STUDIO_COPIES_BYTES", "0")
    dataset = done(one, one.store.submit("import", {"upload": photos(one.home, 2), "name": "C"})).result["dataset"]
    kept = [Folder(one.home, f"{kind}/{name}") for kind, name in (("runs", claimed(one).path.name), ("demos", "d"))]
    for folder in kept:
        write(folder, a="small")
        (folder.path / "start").mkdir()
        for name in ("model.onnx", "start/model.safetensors"):
            (folder.path / name).write_bytes(f"{folder.name}/{name}".encode() * 100)
        folder.push()
    (one.home.weights / hashlib.sha256(b"own").hexdigest()).write_bytes(b"own")
    things.push_weights(one.home, hashlib.sha256(b"own").hexdigest())
    first = next(iter(hashes(one.home)))
    http.files._display_copy(one.home, first)
    forget()
    return one, dataset, *kept


def hashes(home: Home) -> list[str]:
    return sorted(file.name for file in (home.root / "images").glob("??/*"))


def heavy(home: Home) -> dict[str, bytes]:
    """All that may be removed to make room."""
    return {copy.path.relative_to(home.root).as_posix(): copy.path.read_bytes() for copy in room.copies(home)
            if not copy.is_folder} | {f"{copy.path.name}/{path}": (copy.path / path).read_bytes() for copy in room.copies(home)
                                      if copy.is_folder for path in room._folder(copy).heavy()}


def make_room(machine: Machine, hours: float = 2.0) -> room.Room:
    forget()
    return room.make_room(machine.home, time.time() + hours * 3600)


def test_room_is_made_and_what_is_needed_is_fetched_again(full):
    one, _, run, demo = full
    before, stored, photos_there = heavy(one.home), there(), hashes(one.home)
    assert len(before) == 6 + 1 + 1 + 4
    assert make_room(one, hours=0).freed == 0, "all of it was made within the hour"
    made = make_room(one)
    assert (made.bytes, made.most, made.freed) == (0, 0, sum(map(len, before.values())))
    assert room.last(one.home) == made
    assert heavy(one.home) == {} and there().keys() == stored.keys()
    assert files(run.path).keys() == {"a.json"}
    assert len(list((one.home.root / "thumbnails").glob("??/*.webp"))) == 6, "what pages show at once stays"
    client = TestClient(Starlette(routes=http.routes(one.store)), base_url="http://127.0.0.1")
    assert client.get(f"/images/{photos_there[0]}").status_code == 200
    things.bring_images(one.home, photos_there)
    assert things.bring_weights(one.home, hashlib.sha256(b"own").hexdigest())
    for name in ("model.onnx", "start/model.safetensors"):
        one.home.at("runs", run.path.name, *name.split("/"))
    one.home.demo(demo.path.name)
    again = heavy(one.home)
    assert again == before
    assert not run.push() and not demo.push(), "nothing of it counts as new, or as removed"
    assert there().keys() == stored.keys()


@BY_FILE
def test_what_was_used_longest_ago_goes_first(full, monkeypatch):
    one, _, run, _ = full
    monkeypatch.setenv("TRANSFER_STUDIO_COPIES_BYTES", "100GB")
    assert make_room(one).freed == 0
    names, now = hashes(one.home), time.time()
    for age, name in enumerate(names):
        os.utime(one.home.image(name), (now - 3600 * (2 + age), now - 360_000))
    least = room.count(one.home).bytes - 2 * one.home.image(names[0]).stat().st_size
    monkeypatch.setenv("TRANSFER_STUDIO_COPIES_BYTES", str(least))
    make_room(one, hours=0)
    assert hashes(one.home) == names[:len(hashes(one.home))] and 3 <= len(hashes(one.home)) < 6
    assert run.heavy(), "younger than the photos"


@BY_FILE
def test_what_is_in_use_stays(full, tmp_path, monkeypatch):
    """By a job, an import, somebody who works in a folder, or because it waits to be pushed, or the store does not have it."""
    one, dataset, run, demo = full
    (one.home.root / "depot" / "store.json").unlink()  # as where nothing was fetched yet
    with fetched(one.store, one.store.submit("train", {"recipe": {**RECIPE, "dataset": dataset, "version": 1}}, "cpu")):
        own = hashlib.sha256(b"own").hexdigest()
        (tmp_path / "a" / "depot" / "pins" / "of somebody who was killed").write_text(f"weights/{own}\n")
        with run.at_work():
            make_room(one)
            assert set(heavy(one.home)) >= {f"images/{name[:2]}/{name}" for name in hashes(one.home)}
            assert len(hashes(one.home)) == 6 and len(run.heavy()) == 2
            assert not demo.heavy() and not list((one.home.root / "weights").iterdir())
    with holding_images(one.home):
        make_room(one)
    assert len(hashes(one.home)) == 6
    run.notes.mark("push")
    odd = hashes(one.home)[0]
    place.place().write(f"images/{odd[:2]}/{odd}", b"half")
    (one.home.root / "images" / "00").mkdir(exist_ok=True)
    (one.home.root / "images" / "00" / ("0" * 64)).write_bytes(b"never pushed")
    make_room(one)
    assert hashes(one.home) == sorted(["0" * 64, odd]) and len(run.heavy()) == 2
    run.notes.done()
    (run.path / "model.onnx").write_bytes(b"trained further")
    make_room(one)
    assert list(run.heavy()) == ["model.onnx"]
    with monkeypatch.context() as changed:
        changed.setenv("TRANSFER_STUDIO_ARTIFACTS", f"file://{tmp_path}/another")
        assert make_room(one).freed == 0, "another store has none of it"
    with silent(monkeypatch):
        assert make_room(one).freed == 0


@BY_FILE
def test_what_is_asked_for_after_it_was_chosen_stays(full, monkeypatch):
    one, _, run, demo = full
    names = hashes(one.home)
    for file in (*map(one.home.image, names), *(each.path / path for each in (run, demo) for path in each.heavy())):
        os.utime(file, (0, 0))
    run.push()
    demo.push()
    choose = room.heapq.nsmallest

    def and_asked_for(*args, **more):
        monkeypatch.setattr(room.heapq, "nsmallest", choose)
        chosen = choose(*args, **more)
        things.bring_image(one.home, names[0])
        one.home.at("runs", run.path.name, "model.onnx")
        demo.notes.mark("push")
        return chosen

    monkeypatch.setattr(room.heapq, "nsmallest", and_asked_for)
    make_room(one, hours=0)
    assert hashes(one.home) == names[:1] and len(run.heavy()) == len(demo.heavy()) == 2


@BY_FILE
def test_what_was_removed_while_the_store_is_away_is_said_to_be_there(full, monkeypatch):
    one, _, run, _ = full
    make_room(one)
    with silent(monkeypatch):
        assert one.home.run(run.path.name) == run.path
        with pytest.raises(Unavailable):
            one.home.at("runs", run.path.name, "model.onnx")


@BY_FILE
def test_whoever_makes_room_may_be_killed(full):
    """At random moments. Whatever was removed by then is fetched again, and counts nowhere as removed by a person."""
    one, _, run, demo = full
    before, stored, moments = heavy(one.home), there(), random.Random(7)
    ended = []
    for _ in range(15):
        child = again_and_again(lambda: (make_room(one), bring_all(one, run, demo, before)), moments.uniform(0.001, 0.06))
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        forget()
        assert not run.push() and not demo.push()
        assert there().keys() == stored.keys()
        bring_all(one, run, demo, before)
        assert heavy(one.home) == before
    assert set(ended) == {-signal.SIGALRM}
    assert make_room(one).bytes == 0, "nor is anything kept for ever"


def again_and_again(work, seconds: float) -> int:
    """A process that is killed after so many seconds; returns its id."""
    if child := os.fork():
        return child
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        while True:
            work()
    finally:
        os._exit(1)


def bring_all(machine: Machine, run: Folder, demo: Folder, before: dict[str, bytes]) -> None:
    names = [path.split("/") for path in before]
    things.bring_images(machine.home, [name[2] for name in names if name[0] == "images"])
    things.bring_weights(machine.home, hashlib.sha256(b"own").hexdigest())
    for each in (run, demo):
        each.bring()
    for name in names:
        if name[-1].endswith(".display.webp"):
            http.files._display_copy(machine.home, name[-1].split(".")[0])


@BY_FILE
def test_whoever_asks_while_room_is_made_finds_it(full):
    """Another process removes all it may, again and again; each photo is found old, asked for, and opened then."""
    one, _, _, _ = full
    names = hashes(one.home)
    child = again_and_again(lambda: make_room(one, hours=0), 60)
    try:
        for turn in range(300):
            file = one.home.image(names[turn % len(names)])
            with suppress(FileNotFoundError):
                os.utime(file, (0, 0))
            assert things.bring_image(one.home, file.name)
            assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@BY_FILE
def test_a_pull_of_more_than_may_lie_here_is_refused(full, monkeypatch):
    with pytest.raises(BadInput) as refused:
        moving.pull_all(full[0].home)
    assert refused.value.code == "copies_too_many"
    found = doctor.copies(Patient(full[0].home, ""))
    assert (found.state, found.outcome) == ("warning", "over")
    monkeypatch.delenv("TRANSFER_STUDIO_COPIES_BYTES")
    assert doctor.copies(Patient(full[0].home, "")).state in ("ok", "warning")
