"""A PostgreSQL server of the tests' own: in a folder of its own, behind a socket that lies there, gone at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

_QUICK = "-F -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=16MB -c max_connections=60"


def binaries() -> Path | None:
    """The folder of the newest server on this machine; Debian keeps it out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return Path(there).resolve().parent if there else None


class Server:
    """Raises `pytest.skip` where no server is installed."""

    def __init__(self) -> None:
        bin_folder = binaries()
        if bin_folder is None:
            pytest.skip("no PostgreSQL server is installed (Debian: postgresql); bash tests/postgres.sh tries to")
        self._bin = bin_folder
        self.folder = Path(tempfile.mkdtemp(prefix="studio-pg-"))
        self._numbers = count()
        # The server refuses to run as root.
        self._as = {"user": _somebody(self.folder), "extra_groups": []} if os.geteuid() == 0 else {}
        self._run("initdb", "-D", "data", "-U", "studio", "--auth=trust", "-E", "UTF8", "--no-locale", "--no-sync")
        self.start()

    def start(self) -> None:
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", self._options, "start")

    def restart(self) -> None:
        """As after an update: every connection is broken off, and for a moment nobody answers."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", "fast", "-l", "log", "-o", self._options, "restart")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self) -> str:
        """The address of a new, empty database: a schema, which takes milliseconds where a database of its own takes seconds."""
        name = f"studio{next(self._numbers)}"
        address = f"postgresql+psycopg://studio@/postgres?host={self.folder}"
        engine = sa.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {name}")
        return f"{address}&options=-csearch_path%3D{name}"

    def encoded(self, encoding: str) -> str:
        """The address of a new database of that encoding. (That of `database` is UTF8.)"""
        name = f"studio{next(self._numbers)}"
        address = f"postgresql+psycopg://studio@/{{}}?host={self.folder}"
        engine = sa.create_engine(address.format("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0")
        return address.format(name)

    @property
    def _options(self) -> str:
        return f"{_QUICK} -c listen_addresses='' -c unix_socket_directories='{self.folder}'"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run([self._bin / program, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, **self._as)
        assert done.returncode == 0, f"{program}: {done.stderr}"


def _somebody(folder: Path) -> str:
    for name in ("postgres", "nobody"):
        try:
            known = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, known.pw_uid, known.pw_gid)
        return name
    pytest.skip("PostgreSQL does not run as root, and there is no user “postgres” or “nobody”")


def _database(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("postgres").database() if request.param == "postgresql" else ""


ON_BOTH = pytest.fixture(params=["sqlite", "postgresql"], name="database")(_database)
"""For modules all of whose tests with a `store` run on both: `database = ON_BOTH`."""
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For a test in such a module that a server has nothing to do with: it locks rows, never its whole database."""
