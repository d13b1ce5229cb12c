"""The database as one SQLite file, whatever it is kept in; and back."""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa

from transfer_core.errors import BadInput, NotFound, says_disk_full
from transfer_core.paths import PEOPLE, PERSON
from transfer_core.store.connecting import away, open_engine, parse, shown
from transfer_core.store.migrations import MIGRATIONS
from transfer_core.store.schema import applied, metadata

ROWS = 1000
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""What an id looks like that is also a folder's name."""


def is_sqlite(url: str) -> bool:
    return url.startswith("sqlite")


def engine(url: str) -> sa.Engine:
    """One for looking and copying. A server's address may be written in every way that the studio itself takes."""
    return sa.create_engine(url) if is_sqlite(url) else open_engine(parse(url))


@contextmanager
def in_words(url: str) -> Iterator[None]:
    """A server that does not answer becomes `Away`, and a full disk an `OSError`, as it is for every other file."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError, sqlite3.OperationalError) as error:
        if says_disk_full(error):
            raise OSError(errno.ENOSPC, "the disk is full") from error
        if is_sqlite(url) or not isinstance(error, sa.exc.DBAPIError):
            raise
        raise away(parse(url), error) from error


def snapshot(url: str, file: Path) -> None:
    """Copy the database as it is at one moment, while others write to it. `file` must not be there yet.

    Raises `NotFound("nothing_to_back_up")`, `Away`.
    """
    with in_words(url):
        _snapshot(url, file)


def _snapshot(url: str, file: Path) -> None:
    if not is_sqlite(url):
        copy_tables(engine(url), sa.create_engine(f"sqlite:///{file}"))
        return
    source = sa.make_url(url).database or ""
    if not Path(source).is_file():
        raise NotFound("nothing_to_back_up", folder=str(Path(source).parent))
    with closing(sqlite3.connect(source, timeout=30)) as database, closing(sqlite3.connect(file)) as copy:
        database.backup(copy)  # all pages in one step: readers and, with WAL, writers go on, and the copy is of one moment
    one_file(file)


def one_file(file: Path) -> None:
    """Nothing of the database lies in a second file beside it any more. (A studio that opens it changes that again.)"""
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=DELETE")


def copy_tables(source: sa.Engine, target: sa.Engine) -> None:
    """All rows of all tables of the schema, columns by name, in the order that foreign keys allow; one moment, all or none.

    The target gets the tables as they are in the source, by the same migrations: whoever opens it later does the rest of them.
    Raises `NotFound("nothing_to_back_up")` where no studio has ever worked.
    """
    try:
        isolation = {} if is_sqlite(str(source.url)) else {"isolation_level": "REPEATABLE READ"}
        with source.connect().execution_options(**isolation) as read, target.begin() as write:
            there = sa.inspect(read)
            if not there.has_table(applied.name):
                raise NotFound("nothing_to_back_up", folder=shown(source.url))
            _follow(write, set(read.scalars(sa.select(applied.c.number))))
            for table in metadata.sorted_tables:
                if table is applied or not there.has_table(table.name):
                    continue
                known = {column["name"] for column in there.get_columns(table.name)}  # an older schema has fewer
                columns = [column for column in table.c if column.name in known]
                for rows in read.execution_options(yield_per=ROWS).execute(sa.select(*columns)).mappings().partitions():
                    write.execute(sa.insert(table), [dict(row) for row in rows])
    finally:
        source.dispose()
        target.dispose()


def _follow(connection: sa.Connection, numbers: set[int]) -> None:
    """Do the migrations that another database has seen and this one has not. (A studio may have been started there once.)"""
    applied.create(connection, checkfirst=True)
    for number in sorted(numbers - set(connection.scalars(sa.select(applied.c.number)))):
        if number <= len(MIGRATIONS):
            MIGRATIONS[number - 1](connection)
        connection.execute(sa.insert(applied).values(number=number))


def schema_of(file: Path) -> int:
    with closing(_reading(file)) as database:
        try:
            return int(database.execute("SELECT max(number) FROM migrations").fetchone()[0] or 0)
        except sqlite3.Error:
            return 0


def has_rows(url: str) -> bool:
    """Whether a studio has worked with this database. Raises `Away`."""
    asked = engine(url)
    try:
        with in_words(url), asked.connect() as connection:
            there = sa.inspect(connection)
            tables = [table for table in metadata.sorted_tables if table.name != "migrations" and there.has_table(table.name)]
            return any(connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() for table in tables)
    finally:
        asked.dispose()


def examine(file: Path, root: Path) -> None:
    """Before anything opens it as ours: sound, of a schema we know, nothing in it but tables of ours, and ids that are names.

    Raises `BadInput`: `backup_damaged backup_newer`.
    """
    refused = BadInput("backup_damaged", folder=str(root), file="studio.db")
    try:
        with closing(_reading(file)) as database:
            if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise refused
            parts = database.execute("SELECT type, name FROM sqlite_master").fetchall()
            if schema_of(file) > len(MIGRATIONS):
                raise BadInput("backup_newer", folder=str(root))
            tables = {name for kind, name in parts if kind == "table" and not name.startswith("sqlite_")}
            if tables - metadata.tables.keys() or any(kind not in ("table", "index") for kind, _ in parts):
                raise refused  # a trigger or a view runs what a stranger wrote
            for table in tables & {"jobs", "datasets", "demos"}:
                for (name,) in database.execute(f"SELECT id FROM {table}"):  # noqa: S608 — one of three names
                    if not isinstance(name, str) or not _NAME.fullmatch(name):
                        raise refused
                for (owner,) in database.execute(f"SELECT DISTINCT {_owner_of(database, table)} FROM {table}"):  # noqa: S608
                    if owner is not None and not (isinstance(owner, str) and PERSON.fullmatch(owner)):
                        raise refused
            for (person,) in database.execute("SELECT id FROM people") if "people" in tables else ():
                if not isinstance(person, str) or not PERSON.fullmatch(person):
                    raise refused
    except sqlite3.Error:
        raise refused from None


def _owner_of(database: sqlite3.Connection, table: str) -> str:
    """How to ask for a row's owner: an older schema knows none."""
    known = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
    return "owner" if "owner" in known else "NULL"


def named_files(file: Path) -> list[str]:
    """The manifests that the database names, as paths in the home; of datasets that were deleted, too, which can come back."""
    with closing(_reading(file)) as database:
        owner = _owner_of(database, "datasets")
        rows = database.execute(f"SELECT dataset, version, {owner} FROM versions "  # noqa: S608
                                "LEFT JOIN datasets ON id = dataset").fetchall()
    return [f"{f'{PEOPLE}/{owner}/' if owner else ''}datasets/{dataset}/v{version}.jsonl" for dataset, version, owner in rows]


def states(file: Path) -> dict[str, str]:
    """Job → state."""
    with closing(_reading(file)) as database:
        return dict(database.execute("SELECT id, state FROM jobs WHERE deleted IS NULL"))


def _reading(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
    database.execute("PRAGMA trusted_schema=OFF")
    return database
