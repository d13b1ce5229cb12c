"""The database as one SQLite file, whatever it is kept in; and back."""

from __future__ import annotations

import errno
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from transfer_core.errors import BadInput, NotFound, says_disk_full
from transfer_core.paths import PEOPLE, is_person
from transfer_core.store.connecting import away, open_engine, parse, refused, shown, sqlite_url
from transfer_core.store.migrations import MIGRATIONS
from transfer_core.store.schema import applied, metadata

Shape = dict[str, dict[str, tuple[Any, ...]]]
ROWS = 1000
_FEW = 5
"""Columns that a message names."""
_LATEST, _LARGEST_NUMBER = 1e11, 2 ** 31 - 1
"""Seconds that still are a date, and the largest number that every database takes as an INTEGER."""
_mark = sa.Table("restoring", sa.MetaData(), sa.Column("begun", sa.Text), sa.Column("told", sa.Text))
"""In a database that a restore has filled, until its files are in their place, too."""
_REFERS = (("versions", "dataset", "datasets"), ("events", "job", "jobs"))
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""What an id looks like that is also a folder's name."""


def is_sqlite(url: str) -> bool:
    return url.startswith("sqlite")


def engine(url: str) -> sa.Engine:
    """One for looking and copying. A server's address may be written in every way that the studio itself takes."""
    return sa.create_engine(url) if is_sqlite(url) else open_engine(parse(url))


@contextmanager
def in_words(url: str) -> Iterator[None]:
    """A server that does not answer becomes `Away`; a full disk here an `OSError`, as it is for every other file.

    A server's own disk that is full, or a lock it was kept from for too long: `database_disk_full database_busy`.
    """
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError, sqlite3.OperationalError) as error:
        if says_disk_full(error):
            raise OSError(errno.ENOSPC, "the disk is full") from error
        if is_sqlite(url) or not isinstance(error, sa.exc.DBAPIError):
            raise
        raise (refused(parse(url), error) or away(parse(url), error)) from error


def snapshot(url: str, file: Path) -> None:
    """Copy the database as it is at one moment, while others write to it. `file` must not be there yet.

    Raises `NotFound("nothing_to_back_up")`, `Away`.
    """
    with in_words(url):
        _snapshot(url, file)


def _snapshot(url: str, file: Path) -> None:
    if not is_sqlite(url):
        copy_tables(engine(url), sa.create_engine(sqlite_url(file)))
        return
    source = sa.make_url(url).database or ""
    if not Path(source).is_file():
        raise NotFound("nothing_to_back_up", folder=str(Path(source).parent))
    with closing(sqlite3.connect(source, timeout=30)) as database, closing(sqlite3.connect(file)) as copy:
        database.backup(copy)  # all pages in one step: readers and, with WAL, writers go on, and the copy is of one moment
        copy.execute(f"DROP TABLE IF EXISTS {_mark.name}")
    one_file(file)


def one_file(file: Path) -> None:
    """Nothing of the database lies in a second file beside it any more. (A studio that opens it changes that again.)"""
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=DELETE")


def copy_tables(source: sa.Engine, target: sa.Engine, mark: tuple[str, str] | None = None) -> None:
    """All rows of all tables of the schema, columns by name, in the order that foreign keys allow; one moment, all or none.

    The target gets the tables as they are in the source, by the same migrations: whoever opens it later does the rest of them.
    `mark`: what `marked` says of it from then on, until `unmark`.
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
            if mark is not None:  # with the rows or not at all
                _mark.create(write)
                write.execute(sa.insert(_mark).values(begun=mark[0], told=mark[1]))
    finally:
        source.dispose()
        target.dispose()


def marked(url: str) -> tuple[str, str] | None:
    """What a restore that has not ended has left: what it was, and what it told. Raises `Away`."""
    if is_sqlite(url) and not Path(sa.make_url(url).database or "").is_file():
        return None
    asked = engine(url)
    try:
        with in_words(url), asked.connect() as connection:
            if not sa.inspect(connection).has_table(_mark.name):
                return None
            row = connection.execute(sa.select(_mark)).first()
            return (row.begun, row.told) if row else None
    finally:
        asked.dispose()


def unmark(url: str) -> None:
    """Raises `Away`."""
    asked = engine(url)
    try:
        with in_words(url), asked.begin() as connection:
            _mark.drop(connection, checkfirst=True)
    finally:
        asked.dispose()


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
    """Before anything opens it as ours: sound, of a schema we know, nothing in it but tables of ours with the columns that they
    had in that schema, in each what belongs there, and ids that are names.

    Raises `BadInput`: `backup_damaged backup_newer backup_columns`.
    """
    refused = BadInput("backup_damaged", folder=str(root), file="studio.db")
    try:
        with closing(_reading(file)) as database:
            if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise refused
            parts = database.execute("SELECT type, name FROM sqlite_master").fetchall()
            tables = {name for kind, name in parts if kind == "table" and not name.startswith("sqlite_")}
            if tables - metadata.tables.keys() or any(kind not in ("table", "index") for kind, _ in parts):
                raise refused  # a trigger or a view runs what a stranger wrote
            if schema_of(file) > len(MIGRATIONS):
                raise BadInput("backup_newer", folder=str(root))
            wanted = _shape_after(_migrated(database, refused) if tables else 0)
            if strange := _differences(_shape(database, tables), wanted):
                raise BadInput("backup_columns", folder=str(root), columns=", ".join(strange[:_FEW]))
            database.create_function("is_object", 1, _is_object, deterministic=True)
            for table, columns in wanted.items():
                belongs = " AND ".join(_belongs(name, column) for name, column in columns.items())
                if database.execute(f"SELECT 1 FROM {table} WHERE NOT ({belongs}) LIMIT 1").fetchone():  # noqa: S608 — our names
                    raise refused
            for table, column, other in _REFERS:
                orphans = f"SELECT 1 FROM {table} WHERE {column} NOT IN (SELECT id FROM {other}) LIMIT 1"  # noqa: S608
                if table in tables and database.execute(orphans).fetchone():
                    raise refused
            for table, column in [("people", "id"), *((table, "owner") for table in wanted if "owner" in wanted[table])]:
                if table in tables:  # each becomes a folder
                    names = f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608 — our names
                    if not all(is_person(name) for (name,) in database.execute(names)):
                        raise refused
            for table in tables & {"jobs", "datasets", "demos"}:
                for (name,) in database.execute(f"SELECT id FROM {table}"):  # noqa: S608 — one of three names
                    if not isinstance(name, str) or not _NAME.fullmatch(name):
                        raise refused
    except sqlite3.Error:
        raise refused from None


def _migrated(database: sqlite3.Connection, refused: BadInput) -> int:
    """How many migrations it has seen: the first ones, and none left out."""
    numbers = [number for (number,) in database.execute("SELECT number FROM migrations")]
    if any(type(number) is not int for number in numbers) or sorted(numbers) != list(range(1, len(numbers) + 1)):
        raise refused
    return len(numbers)


def _shape(database: sqlite3.Connection, tables: Iterable[str]) -> Shape:
    """Table → column → (type, whether it must be there, default, place in the key, whether it is computed)."""
    query = 'SELECT name, upper(type), "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)'
    return {table: {name: tuple(facts) for name, *facts in database.execute(query, [table])} for table in tables}


@cache
def _shape_after(migrations: int) -> Shape:
    """What so many migrations make of an empty database. None: it is empty still."""
    if not migrations:
        return {}
    empty = sa.create_engine("sqlite://")
    try:
        with empty.begin() as connection:
            _follow(connection, set(range(1, migrations + 1)))
            made = connection.connection.driver_connection
            return _shape(made, sa.inspect(connection).get_table_names())
    finally:
        empty.dispose()


def _differences(found: Shape, wanted: Shape) -> list[str]:
    """What is missing, too much, or other than it should be: `table`, or `table.column`. Names may be a stranger's."""
    tables = [name for name in wanted if name not in found] + [name for name in found if name not in wanted]
    columns = [f"{table}.{name}" for table in wanted if table in found for name in {**wanted[table], **found[table]}
               if wanted[table].get(name) != found[table].get(name)]
    return [ascii(name[:100])[1:-1] for name in tables + columns]


def _belongs(name: str, column: tuple[Any, ...]) -> str:
    """SQL that is true of what may stand in a column. SQLite itself stores anything anywhere; a server would refuse it."""
    kind, needed, *_ = column
    text = f'typeof("{name}") = \'text\''
    fits = {"VARCHAR": text, "TEXT": text, "JSON": f'{text} AND is_object("{name}")',
            "FLOAT": f'typeof("{name}") IN (\'real\', \'integer\') AND "{name}" BETWEEN 0 AND {_LATEST}',
            "INTEGER": f'typeof("{name}") = \'integer\' AND "{name}" BETWEEN 0 AND {_LARGEST_NUMBER}'
            }.get(kind, "1")
    nothing = f'"{name}" IS NULL OR "{name}" = \'null\'' if kind == "JSON" else f'"{name}" IS NULL'
    return f"({fits})" if needed else f"({nothing} OR {fits})"


def _is_object(text: str) -> bool:
    """Whether this is JSON as the studio stores it."""
    return isinstance(json.loads(text), dict)


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
