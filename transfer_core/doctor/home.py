"""The data home: whether it can be written to, has room, lies on a disk a database can live on, and what its database is like."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import sqlalchemy as sa

from transfer_core.backups.tables import is_sqlite
from transfer_core.catalog.weights import PACKAGED
from transfer_core.doctor.finding import Finding, Patient, probe
from transfer_core.http.uploads import RESERVE
from transfer_core.store.migrations import MIGRATIONS

LITTLE_DISK = 5_000_000_000
NETWORK = frozenset(("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", 
                     "fuse.sshfs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "virtiofs"))
MOUNTS = Path("/proc/self/mountinfo")
LOCKED_AFTER = 2.0
"""Seconds another writer may hold the database; a transaction of ours takes milliseconds."""
LOOKED_AFTER = 20.0
"""Seconds for looking through all pages of a large database."""


def _nearest(folder: Path) -> Path:
    """The folder itself, or what it would be made in."""
    return next((each for each in (folder, *folder.parents) if each.is_dir()), Path("/"))


def writable(patient: Patient) -> Finding:
    root = patient.home.root
    said = {"folder": str(root)}
    if root.exists() and not root.is_dir():
        return Finding("home", "problem", "no_folder", said)
    try:
        # In a folder that is not there yet nothing is made: whether its parent can be written to tells the same.
        with tempfile.TemporaryFile(dir=_nearest(root)) as file:
            file.write(b"x")
    except OSError as error:
        return Finding("home", "problem", "not_writable", {**said, "reason": error.strerror or str(error)})
    return Finding("home", "ok", "fine" if root.is_dir() else "new", said)


def disk(patient: Patient) -> Finding:
    free = shutil.disk_usage(_nearest(patient.home.root)).free
    said = {"free": f"{free / 1e9:.1f}", "folder": str(patient.home.root)}
    if free < RESERVE:
        return Finding("disk", "problem", "full", said)
    return Finding("disk", "warning" if free < LITTLE_DISK else "ok", "little" if free < LITTLE_DISK else "fine", said)


def filesystem(patient: Patient) -> Finding:
    kind = kind_of(_nearest(patient.home.root))
    said = {"kind": kind or "–"}
    if kind in NETWORK:
        if is_sqlite(patient.url):
            return Finding("filesystem", "problem", "network", said)
        return Finding("filesystem", "ok", "network_without", said)
    return Finding("filesystem", "ok", "fine" if kind else "unknown", said)


def kind_of(folder: Path) -> str:
    """Of its file system, as the kernel calls it; empty where the system does not say."""
    try:
        lines = MOUNTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for line in lines:
        left, _, right = line.partition(" - ")
        point = left.split()[4].replace("\\040", " ")
        if (folder == Path(point) or Path(point) in folder.parents) and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind


def database(patient: Patient) -> Finding:
    if not is_sqlite(patient.url):
        return _other(patient)
    file = Path(sa.make_url(patient.url).database or "")
    if not file.exists():
        return Finding("database", "ok", "new", {"file": str(file)})
    return _sqlite(file)


def _sqlite(file: Path) -> Finding:
    said = {"file": str(file), "size": f"{file.stat().st_size / 1e6:.1f}", "known": len(MIGRATIONS)}
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=LOCKED_AFTER, isolation_level=None)) as open_:
            limit = time.monotonic() + LOOKED_AFTER
            open_.execute("BEGIN IMMEDIATE")
            open_.execute("ROLLBACK")
            open_.set_progress_handler(lambda: time.monotonic() > limit, 100_000)
            version = open_.execute("SELECT max(number) FROM migrations").fetchone()[0] or 0
            try:
                sound = open_.execute("PRAGMA quick_check(1)").fetchone()[0]
            except sqlite3.OperationalError as error:
                if "interrupt" not in str(error):
                    raise
                sound = "ok"  # as far as was looked
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            return Finding("database", "problem", "locked", {**said, "seconds": f"{LOCKED_AFTER:g}"})
        if "no such table" in str(error):
            return Finding("database", "problem", "foreign", said)
        if "readonly" in str(error) or "unable to open" in str(error):
            return Finding("database", "problem", "not_writable", {**said, "reason": str(error)})
        return Finding("database", "problem", "damaged", {**said, "reason": str(error)})
    except sqlite3.DatabaseError as error:
        return Finding("database", "problem", "damaged", {**said, "reason": str(error)})
    said["version"] = version
    if sound != "ok":
        return Finding("database", "problem", "damaged", {**said, "reason": str(sound)[:200]})
    if version > len(MIGRATIONS):
        return Finding("database", "problem", "newer", said)
    return Finding("database", "ok", "older" if version < len(MIGRATIONS) else "fine", said)


def _other(patient: Patient) -> Finding:
    """In a process of its own: a server that does not answer may keep a driver waiting for minutes."""
    program = ("import json, sqlalchemy as sa\n"
               "from transfer_core.errors import Unavailable\n"
               "from transfer_core.settings import settings\n"
               "from transfer_core.store.connecting import away, open_engine, parse\n"
               "try:\n"
               "    url = parse(settings().database_url)\n"
               "    engine = open_engine(url)\n"
               "    with engine.connect() as connection:\n"
               "        there = sa.inspect(connection).has_table('migrations')\n"
               "        version = connection.execute(sa.text('SELECT max(number) FROM migrations')).scalar() if there else 0\n"
               "    print(json.dumps({'version': version or 0, 'kind': engine.dialect.name}))\n"
               "except sa.exc.DBAPIError as error:\n"  # the server's own words; the last line of a traceback says none of them
               "    print(json.dumps({'reason': away(url, error).values['reason']}))\n"
               "except Unavailable as error:\n"
               "    print(json.dumps({'reason': error.message('en')}))")
    done = probe(program, patient.patience / 4)
    if done.told is None or "reason" in done.told:
        return Finding("database", "problem", "no_answer", {"reason": done.told["reason"] if done.told else done.reason})
    said = {**done.told, "known": len(MIGRATIONS)}
    return Finding("database", "problem" if said["version"] > len(MIGRATIONS) else "ok",
                   "other_newer" if said["version"] > len(MIGRATIONS) else "other", said)


def weights(_patient: Patient) -> Finding:
    missing = [name for name, package in PACKAGED.items() if not _large(package)]
    if missing:
        return Finding("weights", "warning", "missing", {"models": ", ".join(missing)})
    return Finding("weights", "ok", "fine", {"models": ", ".join(PACKAGED)})


def _large(package: str) -> bool:
    """Whether the package is there with a file that can be weights."""
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return any(file.stat().st_size > 1_000_000 for folder in folders for file in Path(folder).rglob("*") if file.is_file())
