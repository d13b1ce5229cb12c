"""From every database that was ever released to the present one, with all that was in it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import sqlalchemy as sa
from postgres import ON_BOTH

from transfer_core.errors import Unavailable
from transfer_core.events import Note, Progressed, to_json
from transfer_core.paths import Home
from transfer_core.store import Store, migrations, schema
from transfer_core.words import message

database = ON_BOTH

# As they were released. Never edit these, nor the migrations that make them.
VERSION_1 = """
CREATE TABLE datasets (
    id VARCHAR NOT NULL, name VARCHAR NOT NULL, created FLOAT NOT NULL, deleted FLOAT, PRIMARY KEY (id));
CREATE TABLE versions (
    dataset VARCHAR NOT NULL, version INTEGER NOT NULL, created FLOAT NOT NULL, change JSON NOT NULL, summary JSON NOT NULL,
    PRIMARY KEY (dataset, version), FOREIGN KEY(dataset) REFERENCES datasets (id));
CREATE TABLE jobs (
    id VARCHAR NOT NULL, kind VARCHAR NOT NULL, state VARCHAR NOT NULL, device VARCHAR NOT NULL, payload JSON NOT NULL,
    result JSON, created FLOAT NOT NULL, started FLOAT, ended FLOAT, pid INTEGER, heartbeat FLOAT, stop VARCHAR, deleted FLOAT,
    PRIMARY KEY (id));
CREATE INDEX ix_jobs_state ON jobs (state);
CREATE INDEX ix_jobs_kind ON jobs (kind);
CREATE TABLE events (
    job VARCHAR NOT NULL, number INTEGER NOT NULL, time FLOAT NOT NULL, type VARCHAR NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (job, number), FOREIGN KEY(job) REFERENCES jobs (id));
CREATE TABLE migrations (number INTEGER NOT NULL, PRIMARY KEY (number));
INSERT INTO migrations VALUES (1);
INSERT INTO datasets VALUES ('hats-1', 'Hüte 帽子 😀', 1000.5, NULL), ('gone-1', 'Gone', 1001.25, 1002.125);
INSERT INTO versions VALUES
    ('hats-1', 1, 1000.5, '{"key": "app.name", "values": {}}', '{"classes": {"cap": 3}, "split": {"train": 2}}'),
    ('hats-1', 2, 1003.5, '{"key": "app.name", "values": {"n": 1}}', '{"classes": {"cap": 2, "<b>": 1}}');
INSERT INTO jobs VALUES
    ('train-1', 'train', 'finished', 'cpu', '{"recipe": {"dataset": "hats-1"}}', '{"accuracy": 0.5}',
     1.5, 2.5, 3.5, 77, 3.25, NULL, NULL),
    ('train-2', 'train', 'running', 'cuda:0', '{"recipe": {}}', NULL, 4.5, 5.5, NULL, 78, 6.25, 'keep', NULL),
    ('import-1', 'import', 'queued', 'io', '{"name": "\\u0000"}', NULL, 7.5, NULL, NULL, NULL, NULL, NULL, NULL),
    ('train-3', 'train', 'stopped', 'cpu', '{}', '{}', 8.5, 8.5, 9.5, NULL, NULL, 'discard', 10.5);
"""
VERSION_2 = VERSION_1 + """
CREATE TABLE demos (
    id VARCHAR NOT NULL, run VARCHAR NOT NULL, title VARCHAR NOT NULL, description TEXT NOT NULL, "key" VARCHAR NOT NULL,
    facts JSON NOT NULL, created FLOAT NOT NULL, ended FLOAT, views INTEGER NOT NULL, answers INTEGER NOT NULL, PRIMARY KEY (id));
CREATE INDEX ix_demos_run ON demos (run);
INSERT INTO migrations VALUES (2);
INSERT INTO demos VALUES ('demo-1', 'train-1', 'Which hat?', 'A "test"', 'abc', '{"classes": ["cap"]}', 11.5, NULL, 7, 3);
"""
EVENTS = [Progressed(stage="reading", done=1), Note(message=message("app.name", name="a|b"))]


@pytest.fixture
def engine(database, tmp_path):
    engine = sa.create_engine(database or f"sqlite:///{Home(tmp_path / 'home').database}")
    yield engine
    engine.dispose()


@pytest.fixture
def opens(database, tmp_path, monkeypatch):
    """Opens the studio whose database `engine` leads to."""
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRANSFER_STUDIO_DATABASE_URL", database)
    opened = []

    def open_store() -> Store:
        opened.append(Store(Home(tmp_path / "home")))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


def fill(engine: sa.Engine, script: str) -> None:
    with engine.begin() as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        insert = sa.text("INSERT INTO events VALUES ('train-1', :number, 2.75, :type, :body)")
        for number, event in enumerate(EVENTS, 1):
            connection.execute(insert, {"number": number, "type": event.type, "body": to_json(event)})


def rows(engine: sa.Engine) -> dict[str, list[dict]]:
    """All that is in the database, without columns that are empty."""
    found = {}
    with engine.connect() as connection:
        for table in sa.inspect(engine).get_table_names():
            each = connection.execute(sa.text(f"SELECT * FROM {table}")).mappings()
            plain_rows = ({name: plain(value) for name, value in row.items() if value is not None} for row in each)
            found[table] = sorted(plain_rows, key=str)
    return found


def plain(value: object) -> object:
    """PostgreSQL's driver reads its JSON type by itself; elsewhere it is text."""
    if isinstance(value, str) and value.startswith("{"):
        return json.loads(value)
    return value


def shape(engine: sa.Engine, metadata: sa.MetaData | None = None) -> dict[str, object]:
    """What a database looks like, or what tables in the code would make of an empty one."""
    if metadata is not None:
        with engine.begin() as connection:
            metadata.create_all(connection)
    inspector, dialect = sa.inspect(engine), engine.dialect
    return {table: {
        "columns": {column["name"]: (column["type"].compile(dialect), column["nullable"])
                    for column in inspector.get_columns(table)},
        "key": inspector.get_pk_constraint(table)["constrained_columns"],
        "indexes": {index["name"]: (index["column_names"], bool(index["unique"])) for index in inspector.get_indexes(table)},
        "refers": [(key["constrained_columns"], key["referred_table"]) for key in inspector.get_foreign_keys(table)],
    } for table in inspector.get_table_names()}


@pytest.fixture
def wanted(database, request, tmp_path):
    """The shape that `schema` makes of an empty database of the same kind."""
    url = request.getfixturevalue("postgres").database() if database else f"sqlite:///{tmp_path / 'empty.sqlite'}"
    engine = sa.create_engine(url)
    yield shape(engine, schema.metadata)
    engine.dispose()


@pytest.mark.parametrize("script", ["", VERSION_1, VERSION_2], ids=["empty", "version 1", "version 2"])
def test_every_earlier_database_becomes_the_present_one_and_keeps_its_rows(engine, opens, wanted, script):
    if script:
        fill(engine, script)
    before = rows(engine)
    store = opens()
    assert shape(engine) == wanted
    after = rows(engine)
    assert after.pop("migrations") == [{"number": number} for number in range(1, len(migrations.MIGRATIONS) + 1)]
    before.pop("migrations", None)
    assert {table: each for table, each in after.items() if each} == before
    if script:
        first, second = store.versions("hats-1")
        assert (first.summary["split"], second.change.values) == ({"train": 2}, {"n": 1})
        assert [dataset.name for dataset in store.datasets()] == ["Hüte 帽子 😀"]
        assert [event for _, event in store.events("train-1")] == EVENTS
        running = store.job("train-2")
        assert (running.pid, running.worker, running.owner, running.stop, running.heartbeat) == (78, None, None, "keep", 6.25)
        assert store.job("import-1").payload == {"name": "\0"} and store.job("train-1").result == {"accuracy": 0.5}
        assert store.take_from(running, "queued"), "its worker had no lease yet, and may be dead"
    assert [demo.answers for demo in store.demos()] == ([3] if script == VERSION_2 else [])


def test_migrations_run_once_and_in_order(engine, opens, monkeypatch):
    opens()
    done = []
    known = len(migrations.MIGRATIONS)
    more = [lambda _: done.append("next"), lambda _: done.append("the one after")]
    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, *more])
    for _ in range(2):
        opens()
    assert done == ["next", "the one after"]
    assert [row["number"] for row in rows(engine)["migrations"]] == list(range(1, known + 3))


def test_a_migration_that_fails_leaves_the_database_as_it_was(engine, opens, monkeypatch):
    fill(engine, VERSION_2)
    before, looked = rows(engine), shape(engine)

    def fails(_connection):
        raise RuntimeError("no")

    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, fails])
    with pytest.raises(RuntimeError):
        opens()
    assert (rows(engine), shape(engine)) == (before, looked)


def test_a_database_newer_than_the_program_is_refused_and_left_alone(engine, opens):
    opens()
    newer = len(migrations.MIGRATIONS) + 1
    with engine.begin() as connection:
        connection.execute(sa.insert(schema.applied).values(number=newer))
    before = rows(engine)
    with pytest.raises(Unavailable) as refused:
        opens()
    assert (refused.value.code, refused.value.values["found"]) == ("database_newer", newer)
    assert rows(engine) == before


def test_processes_that_start_at_once_migrate_once(engine, opens):
    fill(engine, VERSION_1)
    program = "from transfer_core.store import Store; input(); print(len(Store().datasets()))"
    processes = [subprocess.Popen([sys.executable, "-c", program], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                 for _ in range(4)]
    try:
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.communicate()[0].strip() for process in processes] == ["1"] * 4
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [row["number"] for row in rows(engine)["migrations"]] == list(range(1, len(migrations.MIGRATIONS) + 1))
