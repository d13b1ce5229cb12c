from __future__ import annotations

import math
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from postgres import ON_BOTH, ON_SQLITE

from transfer_core.errors import BadInput, NotFound
from transfer_core.events import Note, Progressed, Step, from_json
from transfer_core.paths import Home
from transfer_core.settings import with_settings
from transfer_core.store import Demo, Store, schema
from transfer_core.store.leases import held_by, lease
from transfer_core.store.versions import new_id
from transfer_core.words import message

database = ON_BOTH


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


ODD = ["what?.db", "50%25 #1", "a?mode=ro&uri=true", "me@host:80%", "猫 +"]
"""Names of folders that mean something else in an address."""


@ON_SQLITE
@pytest.mark.parametrize("name", ODD)
def test_the_database_lies_in_the_home_whatever_its_path_and_a_worker_finds_it(store, tmp_path, name):
    ours = Store(Home(tmp_path / name), "")
    job = ours.submit("train", {})
    assert {file.name for file in tmp_path.iterdir()} == {"home", name}, "nothing beside it"
    assert (tmp_path / name / "studio.db").is_file()
    program = f"from transfer_core.store import Store; print(Store().job({job.id!r}).state)"
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                           env=with_settings(home=str(ours.home.root), database_url=ours.url))
    assert asked.stdout.strip() == "queued"
    ours.close()


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


def test_who_claims_twice_is_told_so_twice_and_nobody_else_is(store):
    job = store.submit("train", {}, "cpu")
    assert store.claim(job.id, 1)
    claimed = store.job(job.id)
    assert store.claim(job.id, 1) and store.claim(job.id, lease(1))
    assert store.job(job.id) == claimed, "nothing begins anew"
    assert not store.claim(job.id, 2)
    assert not store.claim(job.id, "far-away.0a1b2c:1:00112233"), "a process of the same number elsewhere"
    store.end(job.id, "finished", worker=1)
    assert not store.claim(job.id, 1), "it is over"


def test_the_place_in_the_queue(store):
    first, second, third = (store.submit("train", {}, "cpu") for _ in range(3))
    assert [store.ahead(job) for job in (first, second, third)] == [0, 1, 2]
    store.claim(first.id, 1)
    assert [store.ahead(store.job(job.id)) for job in (first, second, third)] == [0, 1, 2]
    store.ask_stop(second.id)
    assert store.ahead(third) == 1
    assert store.ahead(store.submit("import", {})) == 0


def test_what_nobody_asked_for_comes_after_all_that_was(store):
    look, measuring, first, shown, other = (store.submit(kind, {}, "cpu")
                                            for kind in ("guess", "measure", "train", "explain", "guess"))
    assert [store.ahead(job) for job in (look, measuring, first, shown, other)] == [1, 1, 0, 0, 2]
    assert not store.claim(measuring.id, 1) and not store.claim(look.id, 1)
    assert store.claim(first.id, 1) and store.claim(shown.id, 2)
    store.end(first.id, "finished")
    store.end(shown.id, "finished")
    assert not store.claim(other.id, 1)
    assert store.claim(measuring.id, 1) and store.claim(look.id, 2)


def test_a_short_job_runs_beside_a_long_one_and_not_beside_another_short_one(store):
    training, heat, export = (store.submit(kind, {}, "cpu") for kind in ("train", "explain", "export"))
    assert store.claim(training.id, 1) and store.claim(heat.id, 2)
    assert not store.claim(export.id, 3) and store.ahead(export) == 1
    store.end(heat.id, "finished")
    assert store.claim(export.id, 3)


def test_owners_take_turns_and_whoever_had_one_waits(store):
    """Ada asks for three at once, then Bo for one: he is next, although all of hers are older."""
    mine = [store.of("ada").submit("train", {}, "cpu") for _ in range(3)]
    assert store.claim(mine[0].id, 1)
    bo = store.of("bo").submit("train", {}, "cpu")
    assert [store.ahead(job) for job in (*mine[1:], bo)] == [2, 3, 1]
    store.end(mine[0].id, "finished")
    assert [store.ahead(job) for job in (*mine[1:], bo)] == [1, 2, 0]
    assert [job.id for job in store.startable(store.everyone().jobs(None, "queued"))] == [bo.id]
    assert not store.claim(mine[1].id, 1) and store.claim(bo.id, 1)
    again = store.of("bo").submit("train", {}, "cpu")
    store.end(bo.id, "finished")
    assert [store.ahead(job) for job in (*mine[1:], again)] == [0, 2, 1]
    done = store.of("bo").job(bo.id)
    assert (done.owner, done.worker.split(":")[1]) == ("bo", "1")


def test_a_turn_counts_only_for_who_waited_meanwhile(store):
    """Ada had yesterday's turn. Today she asks first."""
    before = store.of("ada").submit("train", {}, "cpu")
    store.claim(before.id, 1)
    store.end(before.id, "finished")
    running = store.of("cem").submit("train", {}, "cpu")
    store.claim(running.id, 1)
    ada, bo = (store.of(owner).submit("train", {}, "cpu") for owner in ("ada", "bo"))
    assert (store.ahead(ada), store.ahead(bo)) == (1, 2)
    store.end(running.id, "finished")
    assert store.claim(ada.id, 1)


def test_jobs_of_one_owner_a_page_at_a_time(store):
    jobs = [store.of(owner).submit("train", {}, "cpu") for owner in ("ada", None, "ada", "bo", "ada")]
    ada = [job.id for job in reversed(jobs) if job.owner == "ada"]
    hers = store.of("ada")
    assert [job.id for job in hers.jobs("train")] == ada
    assert [job.id for job in hers.jobs("train", limit=2)] == ada[:2]
    assert [job.id for job in hers.jobs("train", limit=2, offset=2)] == ada[2:]
    assert [job.id for job in store.jobs("train")] == [jobs[1].id]
    assert len(store.everyone().jobs("train", "queued")) == 5


def test_nobody_finds_what_is_another_ones(store):
    """Neither by a guessed id nor by a name; nor does a change reach it."""
    ada, bo, nobody = store.of("ada"), store.of("bo"), store
    change, summary = message("app.name"), {"classes": {"hat": 3}}
    ada.add_dataset("Hats", "hats-1", change, summary)
    run = ada.submit("train", {"recipe": {}}, "cpu")
    ada.append(run.id, Note(message=message("app.name")))
    demo = Demo("demo-1", run.id, "Hats", "", "hash", {}, 0.0, None, 0, 0, run.owner)
    ada.add_demo(demo)
    for other in (bo, nobody):
        for look, *asked in ((other.job, run.id), (other.dataset, "hats-1"), (other.dataset, "Hats"),
                             (other.version, "hats-1", 1), (other.demo, "demo-1"), (other.end_demo, "demo-1"),
                             (other.change_demo, "demo-1"),
                             (other.add_version, "hats-1", 2, change, summary)):
            with pytest.raises(NotFound):
                look(*asked)
        assert not (other.jobs() or other.runs() or other.run_count() or other.datasets() or other.demos())
        assert not (other.versions("hats-1") or other.first_version("hats-1"))
        assert not (other.raw_events(run.id) or other.curve(run.id, 0, 100))
        other.ask_stop(run.id)
        other.delete_job(run.id)
        other.rename_dataset("hats-1", "Mine")
        other.delete_dataset("hats-1")
        with pytest.raises(NotFound) as refused:
            other.dataset("Caps")
        assert "Hats" not in refused.value.message()
    assert ada.job(run.id) == run and ada.dataset("Hats").id == "hats-1" and ada.demo("demo-1") == demo
    assert len(ada.raw_events(run.id)) == len(ada.curve(run.id, 0, 100)) == 1
    everyone = store.everyone()
    assert everyone.job(run.id) == run and everyone.dataset("Hats").owner == "ada" and everyone.demo("demo-1") == demo


def test_a_persons_files_lie_in_a_home_that_has_no_way_out(store):
    ada = store.of("ada").home
    assert ada.root == store.home.root / "people" / "ada" and ada.database == store.home.database
    assert ada.of("bo").root == store.home.root / "people" / "bo" and ada.of(None) == store.home
    assert store.of("ada").of(None).home == store.home
    for way in ("../bo", "..", "", "a/b", "a\\b", "\0"):
        with pytest.raises(NotFound):
            ada.run(way)
        with pytest.raises(NotFound):
            ada.manifest(way, 1)
    for name in ("../bo", "", "Ada", "a" * 65, "-a", "a.b", "a/b"):
        with pytest.raises(ValueError, match="person"):
            store.of(name)
    assert not list(store.home.people())
    ada.run("train-1")
    assert [home.root.name for home in store.home.people()] == ["ada"]


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


def test_equal_numbers_on_two_machines_are_two_workers(store):
    job = store.submit("train", {}, "cpu")
    here, there = lease(4242), "far-away.0a1b2c:4242:00112233"
    assert store.claim(job.id, there)
    known = store.job(job.id)
    assert (known.worker, known.pid) == (there, 4242)
    assert not held_by(there, 4242) and held_by(here, 4242) and not held_by(here, 424)
    assert store.beat(job.id, 4242) == "lost" and store.beat(job.id, there) is None
    assert not store.end(job.id, "finished", {"whose": "mine"}, here)
    store.give_way(job.id, 4242)
    assert (store.job(job.id).state, store.job(job.id).result) == ("running", None)
    assert store.end(job.id, "finished", {"whose": "theirs"}, there)
    assert store.end(job.id, "finished", {"whose": "theirs"}, there), "the server's answer was lost, so it is told again"
    assert not store.end(job.id, "finished", {"whose": "mine"}, here)
    assert store.job(job.id).result == {"whose": "theirs"}


def test_text_and_numbers_that_a_database_does_not_like(store):
    store.add_dataset("Ha\0ts", "hats-1", message("app.name", name="\0"), {"classes": {"\0": 1}, "nan": float("nan")})
    assert store.dataset("hats-1").name == "Ha\ufffdts"
    summary = store.version("hats-1").summary
    assert summary["classes"] == {"\0": 1} and math.isnan(summary["nan"])
    with pytest.raises(NotFound):
        store.dataset("\0")
    job = store.submit("import\0", {"name": "\0 \ud800 😀"})
    assert store.job(job.id).payload == {"name": "\0 \ud800 😀"}
    store.append(job.id, Note(message=message("app.name", name="\0 😀")))
    assert store.events(job.id)[0][1].message.values == {"name": "\0 😀"}
    store.end(job.id, "finished", {"score": float("inf")})
    assert store.job(job.id).result == {"score": float("inf")}


def test_lists_are_read_from_an_index_and_not_sorted(store):
    """With 10,000 jobs a page of 50 must not look at them all."""
    asked = []
    sa.event.listen(store._engine, "before_cursor_execute", lambda *query: asked.append(query[2:4]))
    everyone, ada = store.everyone(), store.of("ada")
    everyone.jobs("train", limit=50)
    ada.jobs("train", limit=50)
    store.jobs("train", limit=50)
    everyone.jobs(None, "queued", "running")
    everyone.events("train-1", after=5)
    owned = "ix_jobs_kind_owner_created"
    # PostgreSQL does not know that rows without an owner have one order in the index with owners; it goes through all of a kind.
    nobodys = "ix_jobs_kind_created" if store._shared else owned
    indexes = ("ix_jobs_kind_created", owned, nobodys, "ix_jobs_state", "autoindex")
    for (query, values), index in zip(list(asked), indexes, strict=True):
        with store._read() as connection:
            if store._shared:  # an empty table is read as a whole, unless that is forbidden
                connection.exec_driver_sql("SET enable_seqscan = off")
                connection.exec_driver_sql("SET enable_bitmapscan = off")
                plan = [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {query}", values)]
                index, sorting = index.replace("autoindex", "events_pkey"), "Sort"
            else:
                plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values)]
                sorting = "TEMP B-TREE"
        assert index in "".join(plan), plan
        assert index == "ix_jobs_state" or sorting not in "".join(plan), "few jobs live, so those may be sorted"


def test_a_store_opens_again_with_everything_in_it(store):
    job = store.submit("train", {"recipe": {"dataset": "Hüte"}}, "cpu")
    store.append(job.id, at(1))
    store.close()
    second = Store(store.home)
    assert second.job(job.id) == job
    assert second.events(job.id) == [(1, at(1))]
    second.close()


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


def test_runs_are_what_is_no_point_of_a_sweep(store):
    """A point that was gone on with is a run; one whose name says “sweep” always was."""
    point = store.enter("train", {"recipe": {}, "sweep": "sweep-1"}, "cpu")
    taken = store.enter("train", {"recipe": {}, "sweep": "sweep-1"}, "cpu")
    store.requeue(taken)
    named = store.submit("train", {"recipe": {}, "name": '"sweep": 1'}, "cpu")
    store.ask_stop(named.id)
    gone = store.submit("train", {"recipe": {}}, "cpu")
    store.delete_job(gone.id)
    thrown = store.submit("train", {"recipe": {}}, "cpu")
    store.end(thrown.id, "stopped", {})
    assert [run.id for run in store.runs()] == [thrown.id, named.id, taken] and store.run_count() == 3
    assert [run.id for run in store.runs(1, 1)] == [named.id]
    assert store.job(point).is_part and not any(run.is_part for run in store.runs())
    store.end(named.id, "finished", {"epochs": 1})
    assert [run.id for run in store.runs(measured=True)] == [named.id]
