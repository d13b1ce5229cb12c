from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from transfer_core.errors import BadInput, NotFound
from transfer_core.events import Note, Progressed, Step, from_json
from transfer_core.paths import Home
from transfer_core.store import Store, migrations, schema
from transfer_core.store.versions import new_id
from transfer_core.words import message


def at(done: int) -> Progressed:
    return Progressed(stage="reading", done=done)


def test_events_are_numbered_from_one_in_the_order_they_came(store):
    job = store.submit("import", {})
    assert store.append(job.id, at(1), at(2)) == 2
    assert store.append(job.id) == 2
    assert store.append(job.id, at(3)) == 3
    assert store.events(job.id) == [(1, at(1)), (2, at(2)), (3, at(3))]
    assert store.events(job.id, after=2) == [(3, at(3))]
    assert store.events(job.id, limit=1) == [(1, at(1))]
    note = Note(message=message("jobs.went_on"))
    store.append(job.id, note)
    assert store.events(job.id, kinds=("note",)) == [(4, note)]


def test_events_of_two_threads_get_all_numbers_once(store):
    job = store.submit("import", {})

    def report():
        for number in range(50):
            store.append(job.id, at(number), at(number))

    threads = [threading.Thread(target=report) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [number for number, _ in store.events(job.id)] == list(range(1, 401))


def test_only_one_of_many_processes_gets_a_job(store):
    jobs = [store.submit("train", {}, f"cuda:{index}") for index in range(20)]
    program = ("import sys, os; from transfer_core.store import Store; store = Store(); sys.stdin.readline();"
               "print(*(job for job in sys.argv[1:] if store.claim(job, os.getpid())))")
    racers = [subprocess.Popen([sys.executable, "-c", program, *(job.id for job in jobs)], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(3)]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [job for racer in racers for job in racer.communicate()[0].split()]
    assert sorted(won) == sorted(job.id for job in jobs)


def test_a_device_runs_one_job_and_takes_them_in_order(store):
    first, second = (store.submit("train", {}, "cpu") for _ in range(2))
    assert not store.claim(second.id, 1), "an older one waits"
    assert store.claim(first.id, 1)
    assert not store.claim(first.id, 2), "it is taken"
    assert not store.claim(second.id, 2), "the device is busy"
    assert store.claim(store.submit("train", {}, "cuda:0").id, 3), "another device is free"
    assert all(store.claim(store.submit("import", {}).id, 4) for _ in range(3)), "imports need no device"
    store.end(first.id, "finished")
    assert store.claim(second.id, 2)


def test_the_place_in_the_queue(store):
    first, second, third = (store.submit("train", {}, "cpu") for _ in range(3))
    assert [store.ahead(job) for job in (first, second, third)] == [0, 1, 2]
    store.claim(first.id, 1)
    assert [store.ahead(store.job(job.id)) for job in (first, second, third)] == [0, 1, 2]
    store.ask_stop(second.id)
    assert store.ahead(third) == 1
    assert store.ahead(store.submit("import", {})) == 0


def test_what_nobody_asked_for_comes_after_all_that_was(store):
    look, first, other = (store.submit(kind, {}, "cpu") for kind in ("guess", "train", "guess"))
    assert [store.ahead(job) for job in (look, first, other)] == [1, 0, 2]
    assert not store.claim(look.id, 1)
    assert store.claim(first.id, 1)
    store.end(first.id, "finished")
    assert not store.claim(other.id, 1)
    assert store.claim(look.id, 1)


def test_a_queued_job_stops_at_once_and_a_running_one_is_asked(store):
    queued, running = store.submit("train", {}, "cpu"), store.submit("train", {}, "cuda:0")
    store.claim(running.id, 1)
    store.ask_stop(queued.id, "discard")
    store.ask_stop(running.id, "keep")
    assert store.job(queued.id).state == "stopped"
    assert (store.job(running.id).state, store.beat(running.id)) == ("running", "keep")


def test_a_resumed_job_has_no_old_wish_to_stop(store):
    job = store.submit("train", {}, "cpu")
    store.claim(job.id, 1)
    store.ask_stop(job.id)
    store.end(job.id, "stopped", {"epochs": 3})
    store.requeue(job.id)
    assert store.claim(job.id, 2)
    again = store.job(job.id)
    assert (again.stop, again.ended, again.result) == (None, None, {"epochs": 3})


def test_a_live_job_cannot_be_requeued(store):
    job = store.submit("train", {}, "cpu")
    store.claim(job.id, 1)
    store.requeue(job.id)
    assert store.job(job.id).state == "running"


def test_a_deleted_job_is_gone_until_it_is_undone(store):
    job = store.submit("train", {}, "cpu")
    store.delete_job(job.id)
    assert store.jobs() == []
    with pytest.raises(NotFound, match=job.id):
        store.job(job.id)
    store.delete_job(job.id, undo=True)
    assert store.job(job.id) == job


def test_a_worker_is_told_when_its_job_is_no_longer_its_own(store):
    job = store.submit("train", {}, "cpu")
    store.claim(job.id, 1)
    assert store.beat(job.id, 1) is None
    assert store.beat(job.id, 2) == "lost"
    seen = store.job(job.id)
    store.beat(job.id, 1)
    assert not store.take_from(seen, "queued"), "it spoke up meanwhile"
    assert store.take_from(store.job(job.id), "queued")
    assert store.beat(job.id, 1) == "lost"


def test_a_store_opens_again_with_everything_in_it(tmp_path):
    home = Home(tmp_path)
    first = Store(home)
    job = first.submit("train", {"recipe": {"dataset": "Hüte"}}, "cpu")
    first.append(job.id, at(1))
    first.close()
    second = Store(home)
    assert second.job(job.id) == job
    assert second.events(job.id) == [(1, at(1))]


def test_a_dataset_whose_first_version_cannot_be_written_leaves_no_row(store):
    store.add_dataset("Hats", "hats-1", message("app.name"), {})
    with pytest.raises(sa.exc.StatementError):
        store.add_dataset("Coats", "coats-1", message("app.name"), {"not JSON": object()})
    with store._read() as connection:
        assert connection.execute(sa.select(schema.datasets.c.id)).scalars().all() == ["hats-1"]


def test_a_dataset_without_a_version_does_not_hide_the_others(store):
    store.add_dataset("Hats", "hats-1", message("app.name"), {})
    with store._write() as connection:
        connection.execute(sa.insert(schema.datasets).values(id="half-1", name="Half", created=1.0))
    assert [dataset.id for dataset in store.datasets()] == ["hats-1"]


def test_a_dataset_is_found_by_id_before_name_and_the_newest_of_a_name(store):
    for dataset_id, name in (("hats", "Coats"), ("coats-1", "hats"), ("coats-2", "Coats"), ("gone-1", "Coats")):
        store.add_dataset(name, dataset_id, message("app.name"), {})
    store.delete_dataset("gone-1")
    assert [store.dataset(name).id for name in ("hats", "Coats", "coats-1")] == ["hats", "coats-2", "coats-1"]
    with pytest.raises(NotFound) as refused:
        store.dataset("gone-1")
    assert refused.value.values["known"] == "Coats, hats, Coats"


def test_finding_a_dataset_asks_twice_however_many_there_are(store):
    for number in range(20):
        store.add_dataset(f"Hats {number}", f"hats-{number}", message("app.name"), {})
    asked = []
    sa.event.listen(store._engine, "before_cursor_execute", lambda *query: asked.append(query[2]))
    assert store.dataset("hats-7").latest.version == 1
    assert len([query for query in asked if query.startswith("SELECT")]) == 2


def test_migrations_run_once_and_in_order(tmp_path, monkeypatch):
    home = Home(tmp_path)
    Store(home).close()
    done = []
    known = len(migrations.MIGRATIONS)
    more = [lambda _: done.append("next"), lambda _: done.append("the one after")]
    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, *more])
    for _ in range(2):
        Store(home).close()
    assert done == ["next", "the one after"]
    engine = sa.create_engine(f"sqlite:///{home.database}")
    with engine.connect() as connection:
        assert list(connection.scalars(sa.text("SELECT number FROM migrations ORDER BY number"))) == list(range(1, known + 3))
    engine.dispose()


def test_the_database_matches_the_tables_in_the_code(store):
    """Whoever adds a column also writes the migration that adds it to databases there already are."""
    inspector = sa.inspect(store._engine)
    for table in schema.metadata.sorted_tables:
        assert {column["name"] for column in inspector.get_columns(table.name)} == set(table.columns.keys())


@given(steps=st.integers(0, 60), after=st.integers(0, 40), most=st.integers(1, 20))
def test_a_thinned_curve_ends_with_the_newest_event(steps, after, most):
    store = Store(url="sqlite://")
    job = store.submit("train", {})
    step = Step(step=1, epoch=1, losses={"total": 1.0, "target": 1.0}, learning_rate=0.1)
    store.append(job.id, *(step if number % 7 else at(number) for number in range(1, steps + 1)))
    every = store.events(job.id, after)
    curve = [(number, from_json(body)) for number, body in store.curve(job.id, after, most)]
    assert set(numbers(curve)) <= set(numbers(every))
    assert curve[-1:] == every[-1:]
    assert [row for row in curve if row[1] != step] == [row for row in every if row[1] != step]
    assert len([row for row in curve if row[1] == step]) <= most + 2
    store.close()


def numbers(rows):
    return [number for number, _ in rows]


def test_an_empty_variable_names_no_home(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", "")
    assert Home.default().root == tmp_path.resolve() / "studio-data"


def test_a_dataset_gets_another_name_but_never_none(store):
    store.add_dataset("Hats", "hats-1", message("app.name"), {})
    store.rename_dataset("hats-1", "  Caps  and hats ")
    assert store.dataset("hats-1").name == "Caps and hats"
    with pytest.raises(BadInput):
        store.rename_dataset("hats-1", " \n ")
    assert store.dataset("hats-1").name == "Caps and hats"


def test_ids_of_datasets_are_readable_and_the_same_for_the_same_key():
    assert new_id("Hüte & Mützen", "import-1").startswith("hute-mutzen-")
    assert new_id("Hats", "import-1") == new_id("Hats", "import-1") != new_id("Hats", "import-2")
    assert new_id("帽子").startswith("dataset-") and len({new_id("Hats") for _ in range(1000)}) == 1000
