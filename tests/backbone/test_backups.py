"""A backup is whole, of one moment, and comes back; what is broken, hostile or in the way is refused, and touches nothing."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tracemalloc
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest
import sqlalchemy as sa

from transfer_core.backups import FOLDERS, backup, making, restore, tables
from transfer_core.backups.shelf import Shelf, inside
from transfer_core.cli import main
from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.doctor import Patient
from transfer_core.doctor.home import database as database_of
from transfer_core.errors import BadInput, Busy, NotFound, Unavailable
from transfer_core.events import Note, Stopped
from transfer_core.jobs.run import came_back, resumable
from transfer_core.paths import Home
from transfer_core.store import Store
from transfer_core.store.connecting import sqlite_url
from transfer_core.store.demos import Demo, hashed
from transfer_core.store.migrations import MIGRATIONS
from transfer_core.store.schema import metadata
from transfer_core.words import message, say

URL = "sqlite:///{}/studio.db"


def photo(home: Home, content: bytes) -> Image:
    sha256 = hashlib.sha256(content).hexdigest()
    home.image(sha256).write_bytes(content)
    home.thumbnail(sha256).write_bytes(b"small " + content)
    return Image(sha256, "猫/<b>.jpg", "🎩 | $x", "train", 0, 8, 8)


def fill(store: Store) -> Home:
    """A home with something in every folder."""
    home = store.home
    images = tuple(photo(home, f"photo {n}".encode()) for n in range(5))
    Manifest("hats-1", 1, images).write(home)
    store.add_dataset("Hats 帽子", "hats-1", message("cli.imported"), {"classes": {"🎩": 5}})
    run = store.submit("train", {"recipe": {"dataset": "hats-1"}}, "cpu")
    (home.run(run.id) / "model.onnx").write_bytes(b"weights" * 1000)
    (home.run(run.id) / "exports").mkdir()
    (home.run(run.id) / "exports" / "früchte 🍎.zip").write_bytes(b"zip")
    (home.job(run.id) / "log.txt").write_text("said\n")
    store.append(run.id, *(Note(level="info", message=message("jobs.went_on")) for _ in range(50)))
    store.end(run.id, "finished", {"test": {"accuracy": 0.9}})
    (home.weights / "ab").write_bytes(b"own weights")
    (home.demo("d-1_x") / "model.onnx").write_bytes(b"demo")
    (home.cache / "rows").write_bytes(b"can be computed again")
    (home.uploads / "u").mkdir()
    (home.uploads / "u" / "0").write_bytes(b"not imported yet")
    return home


def files(root: Path) -> dict[str, bytes]:
    found = [file for top in FOLDERS for file in (root / top).rglob("*") if file.is_file()]
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in found}


def rows(file: Path) -> dict[str, list]:
    engine = sa.create_engine(sqlite_url(file))
    with engine.connect() as connection:
        return {table.name: sorted(map(repr, connection.execute(sa.select(table)))) for table in metadata.sorted_tables}


def url(home: Home) -> str:
    return URL.format(home.root)


def back(folder: Path, root: Path) -> Home:
    home = Home(root)
    restore(folder, home, url(home))
    return home


def test_what_was_made_comes_back_and_nothing_else(store, tmp_path):
    home = fill(store)
    made = backup(home, store.url, tmp_path / "safe")
    told = restore(tmp_path / "safe", Home(tmp_path / "new"), URL.format(tmp_path / "new"))
    assert files(tmp_path / "new") == files(home.root)
    assert rows(tmp_path / "new" / "studio.db") == rows(home.database)
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == sorted([*FOLDERS, "studio.db"])
    assert (made.files, made.missing, made.damaged, made.skipped, made.went_on) == (len(files(home.root)), [], [], [], False)
    assert (told.files, told.bytes, told.stopped, told.demos_ended, told.unfinished) == (
        made.files, made.bytes, [], 0, False)
    for file in (home.root / "images").rglob("*"):
        if file.is_file():
            assert (tmp_path / "new" / file.relative_to(home.root)).stat().st_mtime_ns == file.stat().st_mtime_ns


def test_the_second_time_only_what_is_new_is_copied(store, tmp_path):
    home, safe = fill(store), tmp_path / "safe"
    first = backup(home, store.url, safe)
    assert first.copied == first.files
    shelf = Shelf(safe)
    objects = {file: file.stat().st_ino for file in (shelf.object(entry.sha256) for entry in shelf.entries(shelf.head()))}
    assert backup(home, store.url, safe).copied == 0
    photo(home, b"another")
    (home.weights / "ab").unlink()
    third = backup(home, store.url, safe)
    assert (third.copied, third.files) == (2, first.files + 1)
    assert {file: file.stat().st_ino for file in objects if file.exists()}.items() <= objects.items()
    assert not shelf.object(hashlib.sha256(b"own weights").hexdigest()).exists()
    assert files(back(safe, tmp_path / "new").root) == files(home.root)


def test_a_file_of_the_same_size_and_time_is_still_noticed(store, tmp_path):
    home, safe = fill(store), tmp_path / "safe"
    backup(home, store.url, safe)
    before = (home.weights / "ab").stat()
    (home.weights / "ab").write_bytes(b"OWN WEIGHTS")
    os.utime(home.weights / "ab", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert backup(home, store.url, safe).copied == 1


WRITER = """
import hashlib, itertools, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_backups import photo
from transfer_core.datasets.manifest import Manifest
from transfer_core.events import Note, Stopped
from transfer_core.paths import Home, replacing
from transfer_core.store import Store
from transfer_core.words import message

store = Store(Home(Path(sys.argv[1])))
run = sys.argv[3]
images = []
print("ready", flush=True)
for n in itertools.count(2):
    store.append(run, *(Note(level="info", message=message("jobs.went_on")) for _ in range(5)))
    with replacing(store.home.run(run) / "last.pt") as part:
        part.write_bytes(bytes([n % 251]) * 200_000)
    images.append(photo(store.home, b"more %d" % n))
    manifest = Manifest("hats-1", n, tuple(images))
    store.add_version("hats-1", n, message("cli.imported"), {}, lambda: manifest.write(store.home))
"""


def test_a_backup_is_of_one_moment_while_others_write(store, tmp_path):
    home, safe = fill(store), tmp_path / "safe"
    run = store.submit("train", {}, "cpu")
    store.claim(run.id, 1)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(home.root), str(Path(__file__).parent), run.id],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert writer.stdout.readline() == "ready\n", writer.stderr.read()
        taken = []
        for n in range(4):
            made = backup(home, store.url, safe)
            assert made.missing == [] and made.damaged == []
            new = back(safe, tmp_path / f"new{n}")
            with closing(sqlite3.connect(new.database)) as database:
                versions = [number for (number,) in database.execute("SELECT version FROM versions ORDER BY version")]
                query = "SELECT number FROM events WHERE job = ? ORDER BY number"
                numbers = [number for (number,) in database.execute(query, [run.id])]
            assert versions == list(range(1, len(versions) + 1))
            assert numbers == list(range(1, len(numbers) + 1))
            for version in versions:
                for image in Manifest.read(new, "hats-1", version).images:
                    assert hashlib.sha256(new.image(image.sha256).read_bytes()).hexdigest() == image.sha256
            last = (new.run(run.id) / "last.pt").read_bytes() if (new.root / "runs" / run.id / "last.pt").exists() else b""
            assert len(last) in (0, 200_000) and len(set(last)) <= 1
            taken.append(len(versions))
        assert writer.poll() is None, writer.stderr.read()
        assert taken == sorted(taken)
    finally:
        writer.kill()
        writer.communicate()


def test_when_a_job_ends_meanwhile_database_and_files_are_taken_once_more(store, tmp_path):
    home = fill(store)
    run = store.submit("train", {}, "cpu")
    store.claim(run.id, 1)

    def ends(progress):
        if progress.done and store.job(run.id).state == "running":
            (home.run(run.id) / "model.onnx").write_bytes(b"done")
            store.end(run.id, "finished")

    made = backup(home, store.url, tmp_path / "safe", ends)
    new = back(tmp_path / "safe", tmp_path / "new")
    assert made.rounds == 2
    assert Store(new, url(new)).job(run.id).state == "finished"
    assert (new.run(run.id) / "model.onnx").read_bytes() == b"done"


KILLED = """
import os, signal, sys
from pathlib import Path
from transfer_core.backups import backup, making
from transfer_core.paths import Home

copied, put = 0, making.Shelf.put
def dies(self, source, size=None):
    global copied
    copied += 1
    if copied == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return put(self, source, size)
making.Shelf.put = dies
backup(Home(Path(sys.argv[1])), f"sqlite:///{sys.argv[1]}/studio.db", Path(sys.argv[2]))
"""


def killed(home: Home, safe: Path, after: int) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(home.root), str(safe), str(after)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_first_backup_that_was_killed_is_no_backup_and_can_be_gone_on_with(store, tmp_path):
    home, safe = fill(store), tmp_path / "safe"
    killed(home, safe, 4)
    with pytest.raises(BadInput) as refused:
        back(safe, tmp_path / "new")
    assert refused.value.code == "backup_unfinished" and not (tmp_path / "new").exists()
    assert backup(home, store.url, safe).went_on
    assert not list(safe.glob(".database-*"))
    assert files(back(safe, tmp_path / "new").root) == files(home.root)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_later_backup_that_was_killed_leaves_the_earlier_one(store, tmp_path, after):
    home, safe = fill(store), tmp_path / "safe"
    backup(home, store.url, safe)
    before, database = files(home.root), rows(home.database)
    photo(home, b"later")
    store.submit("train", {}, "cpu")
    killed(home, safe, after)
    told = restore(safe, Home(tmp_path / "new"), URL.format(tmp_path / "new"))
    assert told.unfinished
    assert files(tmp_path / "new") == before and rows(tmp_path / "new" / "studio.db") == database
    assert backup(home, store.url, safe).went_on
    assert not restore(safe, Home(tmp_path / "newer"), URL.format(tmp_path / "newer")).unfinished
    assert files(tmp_path / "newer") == files(home.root)


def publish(store: Store, demo: str = "d-2_y") -> None:
    facts = {"classes": ["🎩"], "model": "m"}
    store.add_demo(Demo(demo, "train-1", "Hats", "", hashed("ts_key"), facts, 1.0, None, 0, 0))
    (store.home.demo(demo) / "model.onnx").write_bytes(b"answers")


def test_nothing_of_a_backup_begins_by_itself(store, tmp_path):
    home = fill(store)
    publish(store)
    running, waiting, lost = (store.submit("train", {"recipe": {}}, device) for device in ("cpu", "cpu", "cuda:0"))
    sweep, hers, unwanted, deleted = (store.of(owner).submit(kind, {}, "cpu") for kind, owner in (
        ("sweep", None), ("explain", "ada"), ("train", None), ("train", None)))
    store.claim(running.id, 1)
    store.claim(lost.id, 2)
    store.ask_stop(lost.id, "discard")
    (home.run(running.id) / "last.pt").write_bytes(b"checkpoint")
    store.ask_stop(unwanted.id)
    store.delete_job(deleted.id)
    made = backup(home, store.url, tmp_path / "safe")
    new = Home(tmp_path / "new")
    told = restore(tmp_path / "safe", new, url(new))
    again = Store(new, url(new)).everyone()
    stirred = [running, waiting, lost, sweep, hers]
    assert set(told.stopped) == {job.id for job in stirred} and told.demos_ended == 1
    assert again.jobs(None, "queued", "running") == []
    again.delete_job(deleted.id, undo=True)
    for job in (*stirred, deleted):
        assert (again.job(job.id).state, again.job(job.id).worker, again.job(job.id).stop) == ("stopped", None, None)
        assert again.events(job.id) == [(1, Note(level="warning", message=message("jobs.came_back")))]
    assert again.events(unwanted.id) == [] and not resumable(again, again.job(unwanted.id)), "a person had stopped it"
    # Also those that had no checkpoint yet: their settings are all they had.
    assert all(resumable(again, again.job(job.id)) for job in (running, waiting, lost, sweep))
    assert again.demos() == [] and not (new.root / "demos" / "d-2_y").exists()
    assert (told.files, told.bytes) == (made.files - 1, made.bytes - len(b"answers"))
    again.requeue(waiting.id)
    assert again.claim(waiting.id, 3)
    again.end(waiting.id, "stopped")
    again.append(waiting.id, Stopped(kept=False))
    assert not came_back(again, again.job(waiting.id)), "somebody went on with it"


def test_demos_live_on_where_the_operator_says_so(store, tmp_path):
    fill(store)
    publish(store)
    backup(store.home, store.url, tmp_path / "safe")
    new = Home(tmp_path / "new")
    told = restore(tmp_path / "safe", new, url(new), keep_demos=True)
    (demo,) = Store(new, url(new)).demos()
    assert told.demos_ended == 0 and demo.id == "d-2_y" and demo.opens("ts_key")
    assert files(new.root) == files(store.home.root)


def test_what_the_home_has_lost_is_said(store, tmp_path):
    home = fill(store)
    images = Manifest.read(home, "hats-1", 1).images
    home.image(images[0].sha256).unlink()
    home.image(images[1].sha256).write_bytes(b"bit rot")
    (home.root / "weights" / "link").symlink_to("/etc/hostname")
    made = backup(home, store.url, tmp_path / "safe")
    assert made.missing == [f"images/{images[0].sha256[:2]}/{images[0].sha256}"]
    assert made.damaged == [f"images/{images[1].sha256[:2]}/{images[1].sha256}"]
    assert made.skipped == ["weights/link"]
    assert not (back(tmp_path / "safe", tmp_path / "new").root / "weights" / "link").exists()


def test_a_folder_of_the_home_may_lie_on_another_disk(store, tmp_path):
    home = fill(store)
    (home.root / "images").rename(tmp_path / "disk")
    (home.root / "images").symlink_to(tmp_path / "disk")
    assert backup(home, store.url, tmp_path / "safe").missing == []


# Places


def test_a_backup_does_not_go_into_the_home_nor_among_other_things(store, tmp_path):
    home = fill(store)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("")
    for folder, code in ((home.root / "safe", "backup_inside_home"), (home.root, "backup_inside_home"),
                         (tmp_path / "other", "backup_folder_taken"), (tmp_path / "file", "backup_not_writable"),
                         (tmp_path / "file" / "safe", "backup_not_writable"), (Path("/proc/safe"), None)):
        with pytest.raises((BadInput, OSError)) as refused:
            backup(home, store.url, folder)
        assert code is None or refused.value.code == code
    assert [file.name for file in (tmp_path / "other").iterdir()] == ["letter.txt"]


def test_where_no_studio_is_nothing_is_copied(tmp_path):
    with pytest.raises(NotFound) as refused:
        backup(Home(tmp_path / "none"), URL.format(tmp_path / "none"), tmp_path / "safe")
    assert refused.value.code == "nothing_to_back_up" and str(tmp_path / "none") in refused.value.message()
    assert list(tmp_path.iterdir()) == [], "neither a home nor a backup was begun"


def test_one_backup_at_a_time(store, tmp_path):
    home, seen = fill(store), []

    def meanwhile(_):
        if not seen:
            seen.append(1)
            with pytest.raises(Busy):
                backup(home, store.url, tmp_path / "safe")

    backup(home, store.url, tmp_path / "safe", meanwhile)
    assert seen


@pytest.mark.parametrize("there", ["studio.db", "images", "letter.txt", ".restoring/x|letter.txt"])
def test_a_home_that_is_not_empty_is_left_alone(store, tmp_path, there):
    home, new = fill(store), tmp_path / "new"
    backup(home, store.url, tmp_path / "safe")
    for name in there.split("|"):
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).write_text("mine")
    with pytest.raises(BadInput) as refused:
        back(tmp_path / "safe", new)
    assert refused.value.code == "home_not_empty"
    assert all((new / name).read_text() == "mine" for name in there.split("|"))


def test_a_home_a_studio_uses_is_left_alone(store, tmp_path):
    backup(fill(store), store.url, tmp_path / "safe")
    used = Store(Home(tmp_path / "used"))
    used.submit("train", {}, "cpu")
    with pytest.raises(BadInput, match="empty"):
        back(tmp_path / "safe", tmp_path / "used")
    assert len(used.jobs()) == 1


def test_a_studio_that_starts_while_a_backup_comes_back_keeps_its_database(store, tmp_path):
    backup(fill(store), store.url, tmp_path / "safe")
    new = Home(tmp_path / "new")
    with pytest.raises(BadInput) as refused:
        restore(tmp_path / "safe", new, url(new), lambda _: Store(new, url(new)))
    assert refused.value.code == "home_not_empty"
    assert Store(new, url(new)).jobs() == [] and not (new.root / ".restoring").exists()


def test_a_restore_that_was_killed_is_begun_anew(store, tmp_path):
    home, new = fill(store), tmp_path / "new"
    backup(home, store.url, tmp_path / "safe")
    (new / ".restoring" / "images").mkdir(parents=True)
    (new / ".restoring" / "studio.db").write_bytes(b"half")
    (new / "runs").mkdir()
    assert files(back(tmp_path / "safe", new).root) == files(home.root)
    assert not (new / ".restoring").exists()


RESTORE = """
import os, signal, sys
from pathlib import Path
from transfer_core.backups import restore, tables
from transfer_core.paths import Home

def dies(*_):
    os.kill(os.getpid(), signal.SIGKILL)

safe, home, url, moment = sys.argv[1:]
copy, rename, renamed = tables.copy_tables, Path.rename, []
def copied(*arguments):
    copy(*arguments)
    dies()
def later(self, target):
    renamed.append(target)
    return rename(self, target) if len(renamed) < 4 else dies()
if moment == "copied":
    tables.copy_tables = copied
elif moment == "renaming":
    Path.rename = later
elif moment == "renamed":
    Path.rmdir = dies
else:
    tables.unmark = dies
restore(Path(safe), Home(Path(home)), url)
"""


def killed_while_it_came_back(safe: Path, home: Path, url: str, moment: str) -> None:
    done = subprocess.run([sys.executable, "-c", RESTORE, str(safe), str(home), url, moment], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def repeated(safe: Path, new: Home, elsewhere: str, store: Store) -> None:
    """What a restore that was killed has left can be gone on with, by the same restore and by no other one."""
    others = {"home": lambda: restore(safe, Home(new.root.parent / "newer"), elsewhere),
              "demos": lambda: restore(safe, new, elsewhere, keep_demos=True)}
    before = files(new.root)
    for other in others.values():
        with pytest.raises(BadInput) as refused:
            other()
        assert refused.value.code == "restore_begun" and str(new.root) in refused.value.message()
    assert files(new.root) == before
    told = restore(safe, new, elsewhere)
    (waiting,) = store.jobs(None, "queued")
    assert (told.stopped, told.demos_ended) == ([waiting.id], 1)
    again = Store(new, elsewhere)
    assert {job.id for job in again.jobs()} == {job.id for job in store.jobs()}
    assert len(again.events(waiting.id)) == 1, "not stopped twice"
    again.close()
    assert files(new.root) == {path: content for path, content in files(store.home.root).items() if "d-2_y" not in path}
    assert tables.marked(elsewhere) is None and not (new.root / ".restoring").exists()
    with pytest.raises(BadInput) as refused:
        restore(safe, new, elsewhere)
    assert refused.value.code == "home_not_empty"


@pytest.mark.parametrize("moment", ["copied", "renaming", "renamed", "unmark"])
def test_a_restore_into_another_database_that_was_killed_can_be_repeated(store, tmp_path, moment):
    fill(store)
    publish(store)
    store.submit("train", {}, "cpu")
    backup(store.home, store.url, tmp_path / "safe")
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    killed_while_it_came_back(tmp_path / "safe", tmp_path / "new", elsewhere, moment)
    assert tables.marked(elsewhere)
    repeated(tmp_path / "safe", Home(tmp_path / "new"), elsewhere, store)


def test_a_restore_into_a_server_that_was_killed_can_be_repeated(postgres, store, tmp_path):
    fill(store)
    publish(store)
    store.submit("train", {}, "cpu")
    backup(store.home, store.url, tmp_path / "safe")
    server = postgres.database()
    killed_while_it_came_back(tmp_path / "safe", tmp_path / "new", server, "renaming")
    repeated(tmp_path / "safe", Home(tmp_path / "new"), server, store)


def test_what_a_killed_restore_left_is_not_removed_for_a_database_that_others_filled(store, tmp_path):
    backup(fill(store), store.url, tmp_path / "safe")
    other, new = Store(Home(tmp_path / "other"), f"sqlite:///{tmp_path / 'elsewhere.db'}"), tmp_path / "new"
    other.submit("train", {}, "cpu")
    (new / ".restoring").mkdir(parents=True)
    (new / "runs").mkdir()
    (new / "runs" / "model").write_text("kept")
    with pytest.raises(BadInput) as refused:
        restore(tmp_path / "safe", Home(new), other.url)
    assert refused.value.code == "database_not_empty" and (new / "runs" / "model").read_text() == "kept"


def test_the_mark_of_a_restore_is_in_no_backup(store, tmp_path):
    home = fill(store)
    tables.copy_tables(sa.create_engine(store.url), sa.create_engine(f"sqlite:///{tmp_path / 'other.db'}"), ("a", "{}"))
    backup(home, f"sqlite:///{tmp_path / 'other.db'}", tmp_path / "safe")
    assert back(tmp_path / "safe", tmp_path / "new").database.is_file()


# What is broken or hostile


@pytest.fixture
def safe(store, tmp_path) -> Path:
    backup(fill(store), store.url, tmp_path / "safe")
    return tmp_path / "safe"


def rewrite(safe: Path, change) -> None:
    """Change the list of a backup as somebody could who knows how it is made."""
    shelf = Shelf(safe)
    head = json.loads((safe / "backup.json").read_text())
    lines = [json.loads(line) for line in shelf.object(head["list"]).read_bytes().splitlines()]
    lines = change(lines)
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    head |= {"list": hashlib.sha256(content).hexdigest(), "files": len(lines)}
    shelf.object(head["list"]).parent.mkdir(exist_ok=True)
    shelf.object(head["list"]).write_bytes(content)
    (safe / "backup.json").write_text(json.dumps(head))


def refused(safe: Path, tmp_path: Path) -> str:
    """The code of the refusal, with and without looking first; nothing may be left behind."""
    codes = set()
    for check_only in (True, False):
        with pytest.raises((BadInput, NotFound)) as error:
            restore(safe, Home(tmp_path / "new"), URL.format(tmp_path / "new"), check_only=check_only)
        codes.add(error.value.code)
        assert not (tmp_path / "new" / "studio.db").exists() and not list((tmp_path / "new").glob("*"))
    (code,) = codes
    return code


@pytest.mark.parametrize("path", [
    "../evil", "images/../../evil", "/etc/passwd", "images//x", "images/./x", "images\\..\\x", "images", "studio.db", "cache/x",
    "images/a\nb", "images/\x00", ".restoring/x", "C:/x", "runs/" + "a" * 300, "jobs/" + "/".join("a" * 600), "",
    "images/\u202ex"])
def test_no_path_leads_out_of_the_home(safe, tmp_path, path):
    assert not inside(path)
    rewrite(safe, lambda lines: [lines[0] | {"path": path}, *lines[1:]])
    assert refused(safe, tmp_path) == "backup_bad_path"
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("line", [{}, {"path": 1}, [], {"sha256": "../../etc/passwd"}, {"bytes": -1}, {"bytes": "1"},
                                  {"mtime": 1.5}, {"mtime": 10 ** 30}, {"more": 1}])
def test_a_list_that_is_none_is_refused(safe, tmp_path, line):
    rewrite(safe, lambda lines: [lines[0] | line if line and isinstance(line, dict) else line, *lines[1:]])
    assert refused(safe, tmp_path) == "backup_damaged"


def test_a_line_without_an_end_is_not_read(safe, tmp_path):
    shelf, head = Shelf(safe), json.loads((safe / "backup.json").read_text())
    content = shelf.object(head["list"]).read_bytes()
    for padded in (b" " * 30_000_000 + content, content.rstrip(b"\n") + b" " * 30_000_000):
        with BytesIO(padded) as source:
            head["list"], _ = shelf.put(source)
        (safe / "backup.json").write_text(json.dumps(head))
        tracemalloc.start()
        try:
            assert refused(safe, tmp_path) == "backup_damaged"
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
        finally:
            tracemalloc.stop()


def test_no_more_files_are_read_than_there_should_be(safe, tmp_path, monkeypatch):
    read, real = [], Shelf._entry
    monkeypatch.setattr(Shelf, "_entry", lambda self, line: read.append(1) or real(self, line))
    head = json.loads((safe / "backup.json").read_text())
    (safe / "backup.json").write_text(json.dumps(head | {"files": 3}))
    assert refused(safe, tmp_path) == "backup_damaged" and len(read) == 6, "three, with and without looking first"
    for name, number in (("files", -1), ("files", 10 ** 9), ("bytes", 10 ** 400), ("bytes", -1)):
        (safe / "backup.json").write_text(json.dumps(head | {name: number}))
        assert refused(safe, tmp_path) == "backup_damaged"
    assert len(read) == 6


def test_no_more_files_are_backed_up_than_can_come_back(store, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "MOST_FILES", 3)
    with pytest.raises(BadInput) as told:
        backup(fill(store), store.url, tmp_path / "safe")
    assert told.value.code == "backup_too_many"


def test_a_path_twice_or_a_file_that_is_a_folder_is_refused(safe, tmp_path):
    rewrite(safe, lambda lines: [*lines, lines[0]])
    assert refused(safe, tmp_path) == "backup_damaged"
    rewrite(safe, lambda lines: [*lines[:-1], lines[0] | {"path": lines[0]["path"] + "/x"}])
    with pytest.raises(BadInput):
        back(safe, tmp_path / "new")
    assert not list((tmp_path / "new").glob("*"))


@pytest.mark.parametrize("how", ["changed", "cut", "gone", "a link", "a linked folder", "a pipe"])
@pytest.mark.parametrize("what", ["file", "database", "list"])
def test_damage_is_noticed(safe, tmp_path, how, what):
    shelf, head = Shelf(safe), json.loads((safe / "backup.json").read_text())
    first = json.loads(shelf.object(head["list"]).read_bytes().splitlines()[0])
    target = shelf.object(first["sha256"] if what == "file" else head[what])
    content = target.read_bytes()
    if how == "changed":
        target.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif how == "cut":
        target.write_bytes(content[:-1])
    elif how == "a linked folder":
        target.parent.rename(tmp_path / "elsewhere")
        target.parent.symlink_to(tmp_path / "elsewhere")
    else:
        target.unlink()
        if how == "a link":
            (tmp_path / "elsewhere").write_bytes(content)
            target.symlink_to(tmp_path / "elsewhere")
        elif how == "a pipe":
            os.mkfifo(target)
    assert refused(safe, tmp_path) == "backup_damaged"


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"format": 1}', "\x00", "[" * 100_000])
def test_a_head_that_is_none_is_refused(safe, tmp_path, content):
    (safe / "backup.json").write_text(content)
    assert refused(safe, tmp_path) == "backup_damaged"


@pytest.mark.parametrize("created", [1e400, -1e400, float("nan"), 1e20])
def test_a_date_that_is_none_is_refused(safe, tmp_path, created):
    head = json.loads((safe / "backup.json").read_text())
    (safe / "backup.json").write_text(json.dumps(head | {"created": created}))
    assert refused(safe, tmp_path) == "backup_damaged"


def with_database(safe: Path, change) -> None:
    shelf, head = Shelf(safe), json.loads((safe / "backup.json").read_text())
    file = safe / "changed.db"
    file.write_bytes(shelf.object(head["database"]).read_bytes())
    with closing(sqlite3.connect(file)) as database:
        change(database)
        database.commit()
    with file.open("rb") as source:
        head["database"], _ = shelf.put(source)
    file.unlink()
    (safe / "backup.json").write_text(json.dumps(head))


@pytest.mark.parametrize("statement", [
    "CREATE TRIGGER evil AFTER INSERT ON events BEGIN DELETE FROM jobs; END", "CREATE VIEW evil AS SELECT 1",
    "CREATE TABLE evil (a)", "UPDATE datasets SET id = '../../evil'", "UPDATE jobs SET id = '/etc'", "UPDATE jobs SET id = 7.5"])
def test_a_database_with_more_than_rows_in_it_is_refused(safe, tmp_path, statement):
    with_database(safe, lambda database: (database.execute("PRAGMA foreign_keys=OFF"), database.execute(statement)))
    assert refused(safe, tmp_path) == "backup_damaged"


@pytest.mark.parametrize(("statements", "named"), [
    ("ALTER TABLE jobs DROP COLUMN worker", "jobs.worker"),
    ("ALTER TABLE jobs ADD COLUMN 'evil\n<b>' TEXT", "jobs.evil\\n<b>"),
    ("ALTER TABLE demos ADD COLUMN more AS (views + 1)", "demos.more"),
    ("ALTER TABLE demos DROP COLUMN answers; ALTER TABLE demos ADD COLUMN answers TEXT NOT NULL DEFAULT 'x'", "demos.answers"),
    ("DROP TABLE demos", "demos"),
    ("DROP TABLE migrations; CREATE TABLE migrations (number)", "migrations.number"),
    ("DELETE FROM migrations WHERE number > 1", "demos"), ("DROP TABLE people", "people")])
def test_a_database_of_other_columns_is_refused_and_they_are_named(safe, tmp_path, statements, named):
    if "number)" in statements:
        statements += "; " + "; ".join(f"INSERT INTO migrations VALUES ({n + 1})" for n in range(len(MIGRATIONS)))
    with_database(safe, lambda database: [database.execute(statement) for statement in statements.split("; ")])
    assert refused(safe, tmp_path) == "backup_columns"
    with pytest.raises(BadInput) as told:
        restore(safe, Home(tmp_path / "new"), URL.format(tmp_path / "new"))
    assert named in told.value.values["columns"].split(", ")


@pytest.mark.parametrize("statement", [
    "UPDATE jobs SET created = 'yesterday'", "UPDATE jobs SET created = 9e999", "UPDATE jobs SET pid = 99999999999",
    "UPDATE jobs SET payload = '[1]'", "UPDATE jobs SET payload = '{'", "UPDATE jobs SET payload = 'null'",
    "UPDATE jobs SET result = x'00'",
    "UPDATE jobs SET payload = CAST(x'7bff7d' AS TEXT)", "UPDATE datasets SET name = x'00ff'",
    "UPDATE events SET job = 'train-nowhere'", "UPDATE versions SET dataset = '../../evil'",
    "UPDATE versions SET version = 'one'", "UPDATE migrations SET number = 7 WHERE number = 1",
    "DELETE FROM migrations WHERE number = 1",
    "UPDATE jobs SET owner = '../../evil'", "UPDATE jobs SET owner = ''",
    "INSERT INTO people (id, created, active) VALUES ('../evil', 1, 1)"])
def test_a_database_with_something_else_in_a_column_is_refused(safe, tmp_path, statement):
    with_database(safe, lambda database: database.execute(statement))
    assert refused(safe, tmp_path) in ("backup_damaged", "backup_newer" if "number = 7" in statement else "")


def test_results_that_are_no_numbers_come_back(store, tmp_path):
    run = store.submit("train", {}, "cpu")
    store.end(run.id, "finished", {"loss": float("nan")})
    backup(store.home, store.url, tmp_path / "safe")
    new = back(tmp_path / "safe", tmp_path / "new")
    assert str(Store(new, url(new)).job(run.id).result["loss"]) == "nan"


def test_a_newer_schema_or_format_is_refused(safe, tmp_path):
    with_database(safe, lambda database: database.execute("INSERT INTO migrations VALUES (?)", [len(MIGRATIONS) + 1]))
    assert refused(safe, tmp_path) == "backup_newer"
    head = json.loads((safe / "backup.json").read_text())
    (safe / "backup.json").write_text(json.dumps(head | {"format": 2}))
    assert refused(safe, tmp_path) == "backup_newer"


def test_an_older_schema_is_brought_up_to_date(safe, tmp_path):
    with_database(safe, make_old)
    new = back(safe, tmp_path / "new")
    assert len(rows(new.database)["migrations"]) == len(MIGRATIONS)
    assert Store(new, url(new)).jobs()


def make_old(database: sqlite3.Connection) -> None:
    """As the first migration left it."""
    for statement in (
            "DELETE FROM migrations WHERE number > 1", "DROP TABLE people", "DROP TABLE demos", "DROP INDEX ix_jobs_kind_created",
            "DROP INDEX ix_jobs_kind_owner_created", "DROP INDEX ix_jobs_device_ended", "ALTER TABLE jobs DROP COLUMN worker",
            "ALTER TABLE jobs DROP COLUMN owner", "ALTER TABLE datasets DROP COLUMN owner",
            "CREATE INDEX ix_jobs_kind ON jobs (kind)"):
        database.execute(statement)


def test_a_copy_of_an_older_database_is_brought_up_to_date_too(safe, store, tmp_path):
    old, copy = tmp_path / "old.db", Home(tmp_path / "copy")
    old.write_bytes(Shelf(safe).object(json.loads((safe / "backup.json").read_text())["database"]).read_bytes())
    with closing(sqlite3.connect(old)) as database:
        make_old(database)
        database.commit()
    tables.copy_tables(sa.create_engine(f"sqlite:///{old}"), sa.create_engine(f"sqlite:///{copy.database}"))
    assert tables.schema_of(copy.database) == 1
    again = Store(copy, url(copy))
    assert [job.id for job in again.jobs()] == [job.id for job in store.jobs()]
    assert tables.schema_of(copy.database) == len(MIGRATIONS)


def test_no_backup_at_all(tmp_path):
    (tmp_path / "safe").mkdir()
    assert refused(tmp_path / "safe", tmp_path) == refused(tmp_path / "nowhere", tmp_path) == "no_backup"


# Other databases


def test_every_table_and_column_is_copied_to_another_database(store, tmp_path):
    home = fill(store)
    target = f"sqlite:///{tmp_path / 'other.db'}"
    tables.copy_tables(sa.create_engine(store.url), sa.create_engine(target))
    assert rows(tmp_path / "other.db") == rows(home.database)
    assert tables.has_rows(target)


def test_a_backup_goes_into_the_database_the_settings_name(safe, store, tmp_path):
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    restore(safe, Home(tmp_path / "new"), elsewhere)
    assert not (tmp_path / "new" / "studio.db").exists()
    assert rows(tmp_path / "elsewhere.db") == rows(store.home.database)
    with pytest.raises(BadInput) as refused:
        restore(safe, Home(tmp_path / "newer"), elsewhere)
    assert refused.value.code == "database_not_empty"


@pytest.mark.parametrize("kind", ["postgresql+psycopg", "postgresql", "postgres"])
def test_from_a_server_to_a_server_however_its_address_is_written(postgres, tmp_path, kind):
    def address() -> str:
        return postgres.database().replace("postgresql+psycopg", kind)

    here, there = address(), address()
    store = Store(Home(tmp_path / "home"), here)
    home = fill(store)
    backup(home, here, tmp_path / "safe")
    Store(Home(tmp_path / "unused"), there).close()  # looked at once: its tables are there, and empty
    new = Home(tmp_path / "new")
    restore(tmp_path / "safe", new, there)
    again = Store(new, there)
    assert again.jobs() == store.jobs() and again.datasets() == store.datasets()
    assert not (new.root / "studio.db").exists() and files(new.root) == files(home.root)
    for each in (store, again):
        each.close()


def test_a_studio_moves_from_sqlite_to_a_server(postgres, store, tmp_path, monkeypatch):
    """As docs/deploy.md says: a backup, and a restore with the address of the server; then work goes on there."""
    home, there = fill(store), postgres.database()
    run = store.jobs("train")[0]
    store.submit("train", {"recipe": {"dataset": "hats-1"}}, "cpu")
    store.append(run.id, Note(level="warning", message=message("jobs.went_on")))
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(home.root))
    with pytest.raises(SystemExit, match="0"):
        main(["backup", str(tmp_path / "safe")])
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(tmp_path / "new"))
    monkeypatch.setenv("TRANSFER_STUDIO_DATABASE_URL", there)
    with pytest.raises(SystemExit, match="0"):
        main(["restore", str(tmp_path / "safe")])
    assert not (tmp_path / "new" / "studio.db").exists()
    with closing(Store()) as moved:
        assert moved.url == there and moved.datasets() == store.datasets() and moved.job(run.id) == store.job(run.id)
        assert moved.events(run.id) == store.events(run.id)
        assert [job.state for job in moved.jobs("train")] == ["stopped", "finished"], "nothing begins by itself"
        assert files(moved.home.root) == files(home.root)
        moved.append(run.id, Note(level="info", message=message("jobs.went_on")))
        assert moved.events(run.id)[-1][0] == store.events(run.id)[-1][0] + 1
        assert moved.claim(moved.submit("train", {"recipe": {"dataset": "hats-1"}}, "cpu").id, os.getpid())


def test_a_server_no_studio_has_worked_with_has_nothing_to_back_up(postgres, tmp_path):
    with pytest.raises(NotFound) as refused:
        backup(Home(tmp_path / "home"), postgres.database(), tmp_path / "safe")
    assert refused.value.code == "nothing_to_back_up"


def test_a_server_that_does_not_answer_is_named_without_its_password(safe, tmp_path):
    away = "postgresql://me:hunter2@127.0.0.1:1/studio"
    for act in (lambda: backup(Home(tmp_path / "home"), away, tmp_path / "other"),
                lambda: restore(safe, Home(tmp_path / "new"), away)):
        with pytest.raises(Unavailable) as refused:
            act()
        assert refused.value.code == "database_away" and "hunter2" not in repr(refused.value.values)


def test_a_full_disk_is_told_when_it_is_the_database_that_meets_it(store, tmp_path, monkeypatch):
    def full(*_arguments):
        raise sqlite3.OperationalError("database or disk is full")

    home = fill(store)
    monkeypatch.setattr(tables, "one_file", full)
    with pytest.raises(Unavailable) as refused:
        backup(home, store.url, tmp_path / "safe")
    assert refused.value.code == "backup_no_room"


# Commands


def test_the_commands_find_the_database_whatever_the_path_of_the_home(tmp_path, monkeypatch, capfd):
    old, new = tmp_path / "old? 50%25#", tmp_path / "new? 50%25#"
    monkeypatch.delenv("TRANSFER_STUDIO_DATABASE_URL", raising=False)
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(old))
    store = Store(Home(old))
    fill(store)
    with pytest.raises(SystemExit) as ended:
        main(["backup", str(tmp_path / "safe"), "--json"])
    assert ended.value.code == 0 and json.loads(capfd.readouterr().out)["missing"] == []
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(new))
    with pytest.raises(SystemExit) as ended:
        main(["restore", str(tmp_path / "safe")])
    assert ended.value.code == 0 and rows(new / "studio.db") == rows(old / "studio.db")
    assert {file.name for file in tmp_path.iterdir()} == {old.name, new.name, "safe"}, "nothing beside them"
    assert database_of(Patient(Home(new), Store(Home(new)).url)).outcome == "fine"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_answer_counts_what_was_stopped_and_what_was_ended(store, tmp_path, monkeypatch, capfd, language):
    monkeypatch.setenv("TRANSFER_STUDIO_LANGUAGE", language)
    jobs = [store.submit("train", {}, "cpu") for _ in range(13)]
    for name in ("d-1", "d-2"):
        publish(store, name)
    backup(store.home, store.url, tmp_path / "safe")

    def told(home: str, *more: str) -> str:
        monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(tmp_path / home))
        with pytest.raises(SystemExit) as ended:
            main(["restore", str(tmp_path / "safe"), *more])
        assert ended.value.code == 0
        return capfd.readouterr().out

    answer = json.loads(told("a", "--json"))
    assert answer["stopped"] == [job.id for job in jobs] and answer["demos_ended"] == 2
    lines = told("b").splitlines()
    assert lines[1] == say("cli.restore_stopped", language, count=13, names=", ".join(job.id for job in jobs[:10]) + " …")
    assert lines[2] == say("cli.restore_demos_ended", language, count=2) and " 2 " in f" {lines[2]} "
    assert json.loads(told("c", "--json", "--demos"))["demos_ended"] == 0


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_commands(store, tmp_path, monkeypatch, capfd, language):
    fill(store)
    monkeypatch.setenv("TRANSFER_STUDIO_LANGUAGE", language)

    def command(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return ended.value.code, capfd.readouterr().out

    safe = str(tmp_path / "safe")
    status, told = command("backup", safe, "--json")
    assert status == 0 and json.loads(told)["copied"] == json.loads(told)["files"] > 0
    status, told = command("backup", safe)
    assert status == 0 and safe in told
    assert command("restore", safe, "--check")[0] == 0
    status, told = command("restore", safe, "--json")
    assert status == 1 and json.loads(told)["error"]["code"] == "home_not_empty"
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(tmp_path / "new"))
    status, told = command("restore", safe)
    assert status == 0 and str(tmp_path / "new") in told
    assert command("datasets")[1].count("hats-1") == 1
