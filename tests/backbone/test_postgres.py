"""Many at once, a server that goes away, and what is said when there is none."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, pairwise

import pytest
import sqlalchemy as sa
from drawn_colours import drawn
from postgres import ON_BOTH

from transfer_core.backups import tables
from transfer_core.errors import Busy, Unavailable
from transfer_core.events import Progressed
from transfer_core.jobs import Supervisor, run, run_job, worker
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.store import Store, connecting, schema
from transfer_core.store.connecting import Away, parse, shown
from transfer_core.store.queue import lane
from transfer_core.words import languages, message

database = ON_BOTH


def at(done: int) -> Progressed:
    return Progressed(stage="reading", done=done)


ON_A_SERVER = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


def at_once(count: int, program: str, *arguments: str) -> list[list[str]]:
    """What processes print that begin at the same time."""
    command = [sys.executable, "-c", program, *arguments]
    processes = [subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate()[0].split() for process in processes]
        assert [process.returncode for process in processes] == [0] * count
        return said
    finally:
        for process in processes:
            process.kill()
            process.wait()


CLAIMING = """
import os
from transfer_core.store import Store
store = Store().everyone()
print("ready", flush=True)
input()
while live := store.jobs(None, "queued", "running"):
    for job in store.startable(live):
        if store.claim(job.id, os.getpid()):
            print(job.id)
            store.end(job.id, "finished", {"by": os.getpid()}, os.getpid())
"""


def test_four_processes_claim_every_job_once_and_never_two_in_a_lane(store):
    kinds, devices, owners = ("train", "explain"), ("cpu", "cuda:0"), ("ada", "bo", None)
    jobs = [store.of(owners[number % 3]).submit(kinds[number % 2], {}, devices[number // 2 % 2]) for number in range(100)]
    said = at_once(4, CLAIMING)
    assert sorted(chain(*said)) == sorted(job.id for job in jobs)
    lanes = defaultdict(list)
    for job in store.everyone().jobs():
        lanes[lane(job)].append((job.started, job.ended))
    assert len(lanes) == 4
    for times in lanes.values():
        times.sort()
        assert all(end <= begin for (_, end), (begin, _) in pairwise(times))


APPENDING = """
import sys
from transfer_core.events import Progressed
from transfer_core.store import Store
store = Store().everyone()
print("ready", flush=True)
input()
for number in range(50):
    print(store.append(sys.argv[1], *[Progressed(stage="reading", done=number)] * 2))
"""


def test_events_of_several_processes_get_all_numbers_once(store):
    job = store.submit("import", {})
    said = at_once(3, APPENDING, job.id)
    assert sorted(int(number) for number in chain(*said)) == list(range(2, 301, 2))
    assert [number for number, _ in store.events(job.id)] == list(range(1, 301))


def test_what_was_stored_although_nobody_heard_of_it_is_not_stored_twice(store, monkeypatch):
    job, write, answers = store.submit("import", {}), store._write, iter([True, False])

    @contextmanager
    def without_an_answer():
        with write() as connection:
            yield connection
        if next(answers, False):
            raise Away("database_away")

    monkeypatch.setattr(store, "_write", without_an_answer)
    assert store.append(job.id, at(1), at(2)) == 2
    assert store.append(job.id, at(3)) == 3
    assert [event.done for _, event in store.events(job.id)] == [1, 2, 3]


def test_of_two_first_wishes_at_once_one_person_comes_and_one_wish_is_granted(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_RUNS", "1")
    known, limited = Store.known, Store.limited
    unknown, counted = threading.Barrier(2, timeout=60), threading.Barrier(2, timeout=60)

    def looked(self):
        found = known(self)
        if found is None:
            unknown.wait()  # both have seen that there is nobody of this name yet
        return found

    def asked(self, *wish):
        counted.wait()  # both are about to be counted
        return limited(self, *wish)

    monkeypatch.setattr(Store, "known", looked)
    monkeypatch.setattr(Store, "limited", asked)

    def ask(_number: int) -> str:
        try:
            return store.of("a" * 32).submit("train", {}, "cpu").state
        except Busy as refused:
            return refused.code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(ask, range(2))) == ["queued", "too_many_runs"]
    assert len(store.people()) == 1 and len(store.of("a" * 32).jobs()) == 1


@ON_A_SERVER
def test_threads_do_not_wait_for_each_other(store):
    inside = threading.Barrier(4, timeout=60)

    def write():
        with store._write():
            inside.wait()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not inside.broken


@ON_A_SERVER
def test_a_run_goes_on_when_the_server_is_started_again(postgres, store, tasks):
    """No event is lost, none comes twice, and the work does not stand still meanwhile."""
    begun, restarted = threading.Event(), threading.Event()

    def work(job, store):
        """For a test."""
        yield at(0)
        begun.wait()
        for number in range(1, 500):  # reported while there is no server
            yield at(number)
        restarted.wait()
        yield at(500)
        assert store.job(job.id).state == "running"

    del tasks._choices["train"]
    tasks.add("train", short=False)(work)
    job = store.submit("train", {}, "cpu")
    store.claim(job.id, os.getpid())
    ended = []
    worker = threading.Thread(target=lambda: ended.append(run_job(store, store.job(job.id))))
    worker.start()
    try:
        while not store.events(job.id):
            time.sleep(0.01)
        begun.set()
        postgres.restart()
    finally:
        restarted.set()
        worker.join()
    assert ended == ["finished"]
    assert [event.done for _, event in store.events(job.id)] == list(range(501))
    assert [number for number, _ in store.events(job.id)] == list(range(1, 502))


@ON_A_SERVER
def test_a_server_that_does_not_write_yet_is_waited_for(store):
    def read_only(connection, _record):
        connection.execute("SET default_transaction_read_only = on")
        connection.commit()

    store._engine.dispose()
    sa.event.listen(store._engine, "connect", read_only)
    with pytest.raises(Away):
        store.submit("train", {}, "cpu")


@ON_A_SERVER
def test_a_lock_is_not_waited_for_for_ever(store):
    def limit(of: Store) -> str:
        with of._read() as connection:
            return connection.exec_driver_sql("SHOW lock_timeout").scalar()

    job = store.submit("train", {}, "cpu")
    assert limit(store) == "30s"
    store.wait_longer(0.05)
    with store._engine.connect() as rude:
        rude.execute(sa.select(schema.jobs.c.id).with_for_update())
        with pytest.raises(Unavailable) as told:
            store.ask_stop(job.id)
        assert store.job(job.id).state == "queued", "reading goes on"
        rude.exec_driver_sql("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Unavailable) as unread:
            store.job(job.id)
    assert told.value.code == unread.value.code == "database_busy" and "postgresql://studio@" in told.value.message()
    store.ask_stop(job.id)
    assert store.job(job.id).state == "stopped"
    store.wait_longer(600)
    assert limit(store) == "10min"
    own = Store(store.home, f"{store.url}%20-clock_timeout%3D7s")
    assert limit(own) == "7s", "what the address says holds"
    own.close()


@ON_A_SERVER
def test_a_full_disk_of_the_server_is_not_told_as_one_of_ours(store):
    job = store.submit("train", {}, "cpu")
    with store._write() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
            " 'could not extend file \"base/1\": No space left on device' USING ERRCODE = 'disk_full'; END $$")
        connection.exec_driver_sql("CREATE TRIGGER full_disk BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION full_disk()")
    with pytest.raises(Unavailable) as told:
        store.append(job.id, at(1))
    assert told.value.code == "database_disk_full" and "postgresql://studio@" in told.value.message()
    assert run.failure(told.value, store, job).message.key == "errors.database_disk_full.text"
    for language in languages():
        assert str(store.home.root) not in told.value.message(language) + told.value.hint(language)
    with pytest.raises(Unavailable) as told, tables.in_words(store.url), store._engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO events VALUES ('{job.id}', 1, 1.0, 'note', '')")
    assert told.value.code == "database_disk_full"


@ON_A_SERVER
def test_when_all_connections_are_taken_it_is_said_in_words(store, monkeypatch):
    monkeypatch.setattr(store._engine.pool, "_timeout", 0.01)
    taken = [store._engine.connect() for _ in range(store._engine.pool.size() + store._engine.pool._max_overflow)]
    with pytest.raises(Away):
        store.ping()
    for each in taken:
        each.close()


def test_a_job_whose_claim_was_not_confirmed_is_the_workers_all_the_same(store, monkeypatch):
    job, write, ran = store.submit("train", {}, "cpu"), Store._write, []
    claimed = []

    @contextmanager
    def without_an_answer(self):
        with write(self) as connection:
            yield connection
        if len(claimed) < 3 and self.job(job.id).state == "running":
            claimed.append(1)
            raise Away("database_away", address="–", reason="–")

    monkeypatch.setattr(Store, "_write", without_an_answer)
    monkeypatch.setattr(run, "AGAIN", 0)
    monkeypatch.setattr(worker.logs, "to_job", lambda *_: None)
    monkeypatch.setattr(worker, "run_job", lambda _store, job, *_, **__: ran.append(job.id) or "finished")
    assert worker.work(job.id, threading.Event()) == 0 and ran == [job.id] and len(claimed) == 3


@ON_A_SERVER
def test_a_connection_that_breaks_off_in_the_middle_is_told_apart_from_a_mistake(store):
    with pytest.raises(Away) as told, store._write() as connection:
        own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        with store._read() as other:
            other.exec_driver_sql(f"SELECT pg_terminate_backend({own})")
        connection.exec_driver_sql("SELECT 1")
    assert told.value.code == "database_away"
    assert store.jobs() == []


@ON_A_SERVER
def test_a_training_whose_supervisor_and_worker_meet_in_the_database(store):
    supervisor, store = Supervisor(store, warm=False), store.of("ada")
    drawn(store.home).write(store.home)
    store.add_dataset("Colours", "colours", message("app.name"), {})
    recipe = Recipe(dataset="colours", model="test_resnet", weights="scratch", freeze=0, epochs=2, batch_size=6,
                    image_size=32, augmentation="none", patience=0)
    job = store.submit("train", {"recipe": recipe.model_dump(mode="json"), "name": "Colours"}, "cpu")
    supervisor.start()
    try:
        while store.job(job.id).live:
            time.sleep(0.1)
    finally:
        supervisor.stop()
    done = store.job(job.id)
    told = [event.type for _, event in store.events(job.id)]
    assert (done.state, done.owner) == ("finished", "ada"), store.events(job.id)[-1]
    assert told.count("epoch") == 2 and "evaluated" in told
    assert done.result["epochs"] == 2


# What is said


def test_a_database_without_an_encoding_keeps_every_name(postgres, tmp_path):
    store = Store(Home(tmp_path), postgres.encoded("SQL_ASCII"))
    store.add_dataset("猫 🐈 Ł", "cats-1", message("cli.imported"), {"classes": {"猫": 1}, "split": {"train": 1}})
    found = store.datasets()[0]
    store.close()
    assert found.name == "猫 🐈 Ł" and found.latest.summary["classes"] == {"猫": 1}


def test_a_database_that_would_lose_names_is_refused_before_anything_is_written(postgres, tmp_path):
    address = postgres.encoded("LATIN1")
    with pytest.raises(Unavailable) as told:
        Store(Home(tmp_path), address)
    assert told.value.code == "database_encoding" and "LATIN1" in str(told.value)
    with sa.create_engine(address, poolclass=sa.NullPool).connect() as connection:
        assert sa.inspect(connection).get_table_names() == []


SECRET = "postgresql+psycopg://ada:s3cret%2F@127.0.0.1:1/studio?connect_timeout=2"


def test_a_server_that_does_not_answer_is_named_without_its_password(tmp_path):
    with pytest.raises(Unavailable) as told:
        Store(Home(tmp_path), SECRET)
    said = str(told.value)
    assert told.value.code == "database_away" and "postgresql://ada@127.0.0.1:1/studio" in said
    assert "s3cret" not in said


def test_a_command_says_it_in_words(tmp_path):
    command = [sys.executable, "-c", "from transfer_core.cli import main; main()", "runs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={
        **os.environ, "TRANSFER_STUDIO_HOME": str(tmp_path), "TRANSFER_STUDIO_DATABASE_URL": SECRET,
        "TRANSFER_STUDIO_LANGUAGE": "en"})
    assert done.returncode == 1 and "The database does not answer" in done.stderr
    assert "Traceback" not in done.stderr and "s3cret" not in done.stderr + done.stdout


def test_without_the_driver_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Unavailable) as told:
        Store(Home(tmp_path), SECRET)
    assert told.value.code == "database_driver" and "pip install" in told.value.hint() and "s3cret" not in str(told.value)


@pytest.mark.parametrize("address", ["mysql://ada:s3cret@host/db", "not an address s3cret", "postgresql://ada:s3cret@host:port/db"])
def test_what_is_no_address_is_refused_without_repeating_it(tmp_path, address):
    with pytest.raises(Unavailable) as told:
        Store(Home(tmp_path), address)
    assert told.value.code == "database_address" and "s3cret" not in str(told.value)


@pytest.mark.parametrize(("address", "driver", "said"), [
    ("postgres://ada:s3cret@db/studio", "postgresql+psycopg", "postgresql://ada@db/studio"),
    ("postgresql://db:5433/studio?password=s3cret", "postgresql+psycopg", "postgresql://db:5433/studio"),
    ("postgresql+psycopg://ada@/studio?host=/run/pg", "postgresql+psycopg", "postgresql://ada@/run/pg/studio"),
    ("sqlite:////data/studio.sqlite", "sqlite", "sqlite://localhost//data/studio.sqlite")])
def test_how_an_address_is_read_and_shown(address, driver, said):
    assert parse(address).drivername == driver
    assert shown(parse(address)) == said


def test_the_servers_own_words_lose_the_password():
    class Refused(Exception):
        orig = Exception("FATAL: no, s3cret/ is wrong\nand more")

    assert connecting.away(parse(SECRET), Refused()).values["reason"] == "FATAL: no, … is wrong"
