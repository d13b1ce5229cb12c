"""Jobs on a Ray cluster: who may run beside whom, what is said while it does not answer, and a node that is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray_cluster import RayCluster

from transfer_core.cluster import hands as module
from transfer_core.cluster.driver import words
from transfer_core.cluster.state import Cluster, Node, cluster, file, room, trouble
from transfer_core.errors import BadInput
from transfer_core.events import Epoch, Note
from transfer_core.jobs import Supervisor, devices
from transfer_core.jobs.run import run_job
from transfer_core.jobs.tasks import is_waited_for
from transfer_core.jobs.waiting import places
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.settings import settings
from transfer_core.store import Job, Store, queue
from transfer_core.words import message

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "10.0.0.1:6379"
SMALL, LARGE = Node("small", "10.0.0.1", 2, 0), Node("large", "10.0.0.2", 16, 2)


@pytest.fixture
def known(store, monkeypatch):
    """Writes down a cluster of these nodes, as a supervisor does."""
    monkeypatch.setenv("TRANSFER_STUDIO_RAY_ADDRESS", ADDRESS)

    def write(*nodes: Node, **facts) -> Cluster:
        found = Cluster(ADDRESS, **{"state": "ready", **facts}).of(nodes, 4)
        found.write(store.home)
        return found

    return write


# What a cluster has room for

def test_a_training_gets_its_cores_where_a_node_has_them_and_all_of_a_smaller_one_otherwise():
    both = Cluster(ADDRESS).of([SMALL, LARGE], 4)
    assert (both.threads, both.room) == (4, {"cpu": 4, "cuda": 2})
    assert (Cluster(ADDRESS).of([SMALL], 4).threads, Cluster(ADDRESS).of([SMALL], 4).room["cpu"]) == (2, 1)
    assert Cluster(ADDRESS).of([Node("head", "10.0.0.1", 0, 0)], 4).room == {"cpu": 0, "cuda": 0}


def test_a_long_job_and_a_short_one_fit_beside_each_other():
    known = Cluster(ADDRESS).of([SMALL, LARGE], 4)
    for device, whole in (("cuda:0", {"num_gpus": 1, "num_cpus": 4}), ("cpu", {"num_gpus": 0, "num_cpus": 4})):
        long, short = known.share(device, short=False), known.share(device, short=True)
        assert {name: long[name] + short[name] for name in whole} == pytest.approx(whole)
    assert known.share("io", short=False) == known.share("cpu", short=True)
    poor = Cluster(ADDRESS).of([Node("cards", "10.0.0.3", 1, 2)], 4)  # fewer cores than cards
    assert poor.share("cuda:0", short=False)["num_cpus"] == poor.share("cuda:0", short=True)["num_cpus"] == 0


def test_jobs_of_a_device_run_side_by_side_as_far_as_there_is_room(store, known):
    known(LARGE)
    recipe = Recipe(dataset="gone").model_dump(mode="json")
    jobs = [store.submit("train", {"recipe": recipe}, "cuda:0") for _ in range(4)]
    assert not store.claim(jobs[2].id, 3), "two others go first"
    assert store.claim(jobs[1].id, 2), "room for two: it need not wait for the first"
    assert [job.id for job in store.startable(store.jobs(None, "queued", "running"))] == [jobs[0].id]
    assert store.claim(jobs[0].id, 1)
    assert store.startable(store.jobs(None, "queued", "running")) == []
    assert not store.claim(jobs[2].id, 3)
    assert [store.ahead(store.job(job.id)) for job in jobs] == [0, 0, 1, 2]
    assert [each.ahead for each in places(store) if each.job.state == "queued"] == [1, 2]
    store.end(jobs[1].id, "finished")
    assert store.claim(jobs[2].id, 3)


def test_what_is_ahead_of_a_device_without_a_cluster_is_as_it_was(store):
    jobs = [store.submit("train", {}, "cpu") for _ in range(3)]
    assert store.claim(jobs[0].id, 1) and not store.claim(jobs[1].id, 2)
    assert [store.ahead(store.job(job.id)) for job in jobs] == [0, 1, 2]


def test_who_has_fewer_running_is_next(store, known):
    known(LARGE, LARGE)  # four cards
    ada = [store.of("ada").submit("train", {}, "cuda:0") for _ in range(6)]
    bo = [store.of("bo").submit("train", {}, "cuda:0") for _ in range(6)]
    everyone = store.everyone()
    first = everyone.startable(everyone.jobs(None, "queued", "running"))
    assert sorted(job.id for job in first) == sorted(job.id for job in (*ada[:2], *bo[:2]))
    for number, job in enumerate(first):
        assert everyone.claim(job.id, number)
    everyone.end(ada[0].id, "finished")
    assert [job.owner for job in everyone.startable(everyone.jobs(None, "queued", "running"))] == ["ada"], "one runs, of bo's two"


def test_a_job_nobody_asked_for_gives_way_only_where_all_is_taken(store, known):
    known(LARGE)
    measure = store.submit("measure", {}, "cuda:0")
    assert store.claim(measure.id, 1)
    waiting = store.submit("train", {}, "cuda:0")
    assert not is_waited_for(store.job(measure.id), store), "there is room for it"
    assert store.claim(waiting.id, 2)
    store.submit("train", {}, "cuda:0")
    assert is_waited_for(store.job(measure.id), store)


def test_when_one_of_several_places_is_free():
    from transfer_core.jobs.waiting import _free

    assert _free([10.0, 4.0], 2) == 4.0
    assert _free([10.0, 4.0, 5.0], 2) == 9.0
    assert _free([10.0, 4.0, 5.0], 1) == 19.0
    assert (queue.ahead(3, 1), queue.ahead(3, 2), queue.ahead(1, 2), queue.ahead(2, 0)) == (3, 2, 0, 2)


def test_devices_are_those_of_the_cluster(store, known):
    known(SMALL)
    assert devices() == ("cpu",)
    known(SMALL, LARGE)
    assert devices() == ("cuda:0", "cpu")


def test_another_cluster_is_not_the_one_that_is_known(store, known, monkeypatch):
    known(LARGE)
    assert room(store.home, "cuda:0") == 2
    monkeypatch.setenv("TRANSFER_STUDIO_RAY_ADDRESS", "10.0.0.9:6379")
    assert (room(store.home, "cpu"), trouble(store.home).key) == (0, "cluster.asking")
    monkeypatch.delenv("TRANSFER_STUDIO_RAY_ADDRESS")
    assert (room(store.home, "cpu"), trouble(store.home)) == (1, None)


def test_a_damaged_note_is_one_that_says_nothing(store, known):
    known(LARGE)
    for content in ("", "{", "[]", '{"address": "10.0.0.1:6379"}'):
        file(store.home).write_text(content)
        os.utime(file(store.home), ns=(0, hash(content) % 10**9))
        assert cluster(store.home) == Cluster(ADDRESS)


def test_a_device_the_cluster_does_not_have_is_said(store, known):
    known(SMALL)
    assert trouble(store.home, "cuda:0").key == "cluster.no_device"
    assert trouble(store.home, "cpu") is trouble(store.home) is None


@pytest.mark.parametrize("address", ["local", "10.0.0.1", "http://10.0.0.1:6379", "me:secret@host:1"])
def test_what_is_no_cluster_is_refused(monkeypatch, address):
    monkeypatch.setenv("TRANSFER_STUDIO_RAY_ADDRESS", address)
    with pytest.raises(BadInput):
        settings()


# A supervisor and its driver

DRIVER = """
import json, sys
say = lambda **facts: print(json.dumps(facts), flush=True)
{said}
for line in sys.stdin:
    order = json.loads(line)
    {then}
"""


@pytest.fixture
def driver(store, monkeypatch, tmp_path):
    """A supervisor whose driver is a small program in Ray's place."""
    monkeypatch.setenv("TRANSFER_STUDIO_RAY_ADDRESS", ADDRESS)
    monkeypatch.setattr(module, "PAUSE", 0.0)
    made = []

    def supervise(said: str, then: str = "pass") -> Supervisor:
        program = tmp_path / "driver.py"
        program.write_text(DRIVER.format(said=said, then=then))
        popen = subprocess.Popen
        monkeypatch.setattr(module.subprocess, "Popen", lambda _command, **how: popen([sys.executable, str(program)], **how))
        made.append(Supervisor(store, warm=True))
        return made[-1]

    yield supervise
    for supervisor in made:
        supervisor.stop()


NODES = 'say(nodes=[{"name": "n", "address": "1", "cpu": 2, "gpu": 0}])'


def until(supervisor: Supervisor, condition, seconds: float = 60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        supervisor.look()
        time.sleep(0.02)


def test_a_task_that_dies_is_buried_at_once_and_goes_on(store, driver):
    supervisor = driver(NODES, 'say(ended=order["nonce"], died="NodeDiedError: gone") if not input() else None')
    job = store.submit("train", {}, "cpu")
    until(supervisor, lambda: supervisor._workers)
    handed = supervisor._workers[job.id].process
    assert store.claim(job.id, f"far-away.0a1b2c:7:{handed.nonce}")
    supervisor.cluster._process.stdin.write(b"\n")
    supervisor.cluster._process.stdin.flush()
    until(supervisor, lambda: handed.code == 1)
    supervisor.look()
    assert (store.job(job.id).state, store.events(job.id)[-1][1].message.key) == ("queued", "jobs.went_on")


def test_what_a_job_is_handed_over_with(store, driver, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_METRICS_KEY", "hunter2")
    monkeypatch.setenv("TRANSFER_STUDIO_CACHE_BYTES", "1GB")
    monkeypatch.delenv("TRANSFER_STUDIO_WEB_RUNTIME", raising=False)
    supervisor = driver(NODES, f'open({str(tmp_path / "order")!r}, "w").write(line)')
    job = store.submit("train", {}, "cpu")
    until(supervisor, lambda: (tmp_path / "order").is_file() and (tmp_path / "order").read_text())
    order = json.loads((tmp_path / "order").read_text())
    assert order["do"] == job.id and order["threads"] == 2 and order["share"]["num_cpus"] == pytest.approx(1.9)
    assert order["settings"] == {
        "TRANSFER_STUDIO_HOME": str(store.home.root), "TRANSFER_STUDIO_DATABASE_URL": store.url,
        "TRANSFER_STUDIO_CACHE_BYTES": "1GB", "TRANSFER_STUDIO_RAY_ADDRESS": ADDRESS}, "and no key that a training needs not"


def test_a_task_that_cannot_start_is_no_failure_of_the_job(store, driver):
    supervisor = driver(NODES, 'say(ended=order["nonce"], died="ModuleNotFoundError: No module named \'transfer_core\'")')
    job = store.submit("train", {}, "cpu")
    for _ in range(5):  # more often than a worker of one machine may
        until(supervisor, lambda: job.id in supervisor._workers)
        until(supervisor, lambda: job.id not in supervisor._workers or supervisor._workers[job.id].process.code is None)
    until(supervisor, lambda: trouble(store.home) is not None)
    assert "No module named" in trouble(store.home).say("en")
    assert (store.job(job.id).state, store.events(job.id)) == ("queued", [])


@pytest.mark.parametrize(("said", "state", "reason"), [
    ('say(away="no_ray")', "away", "cluster.no_ray"), ('say(away="ConnectionError: nobody")', "away", "cluster.away"),
    ("import os; os.abort()", "away", "cluster.away"),
    ('say(nodes=[{"name": "head", "address": "1", "cpu": 0, "gpu": 0}])', "unfit", "cluster.no_room"),
    ('say(nodes=[{"name": "n", "address": str(n), "cpu": 1, "gpu": 0} for n in range(2)])', "unfit", "cluster.sqlite")])
def test_while_the_cluster_takes_nothing_jobs_wait_and_people_are_told(store, driver, said, state, reason):
    supervisor = driver(said)
    job = store.submit("train", {}, "cpu")
    until(supervisor, lambda: cluster(store.home).state == state)
    for _ in range(3):
        supervisor.look()
    assert trouble(store.home, "cpu").key == reason
    assert (store.job(job.id).state, supervisor._workers) == ("queued", {})
    said = cluster(store.home).told()
    assert said["state"] == state and said["message"] == trouble(store.home).say("en")


def test_a_cluster_that_says_nothing_is_away_until_it_does(store, driver, monkeypatch, tmp_path):
    """Ray goes on trying for minutes where nobody listens."""
    go = tmp_path / "go"
    supervisor = driver(f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\n{NODES}")
    monkeypatch.setattr(module, "SILENT", 0.2)
    until(supervisor, lambda: cluster(store.home).state == "away")
    monkeypatch.setattr(module, "SILENT", 60.0)
    go.touch()
    until(supervisor, lambda: cluster(store.home).state == "ready")
    assert trouble(store.home) is None


def test_a_driver_that_ends_leaves_its_jobs_to_their_heartbeats(store, driver):
    supervisor = driver(NODES, "raise SystemExit(1)")
    job = store.submit("train", {}, "cpu")
    until(supervisor, lambda: supervisor._workers)
    assert store.claim(job.id, f"far-away.0a1b2c:7:{supervisor._workers[job.id].process.nonce}")
    until(supervisor, lambda: not supervisor._workers)
    supervisor.look()
    assert store.job(job.id).state == "running", "its task may live"


def test_what_ray_says_in_one_line():
    class RayTaskError(Exception):
        pass

    assert words(ConnectionError("Failed to connect\nmore")) == "ConnectionError: Failed to connect"
    assert words(RayTaskError("ray::do()\n  File …\nImportError: no torch")) == "RayTaskError: ImportError: no torch"
    assert words(ValueError()) == "ValueError: "


# Commands

def run(*arguments: str, **how) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", "from transfer_core.cli import main; main()", *arguments], cwd=ROOT,
                            stdout=subprocess.PIPE, **how)


def test_a_worker_looks_after_the_queue_without_pages(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_WARM", "0")
    studio = run("worker", "--json", stderr=subprocess.DEVNULL)
    try:
        job = store.submit("import", {"path": "/no/such/folder", "name": "none"})
        end = time.monotonic() + 120
        while store.job(job.id).live:
            assert time.monotonic() < end and studio.poll() is None
            time.sleep(0.05)
        assert store.events(job.id)[-1][1].message.key == "errors.no_path.text", "a worker had it"
        studio.send_signal(signal.SIGTERM)
        assert (json.loads(studio.communicate(timeout=60)[0]), studio.returncode) == ({"handed_out": 1}, 0)
    finally:
        studio.kill()
        studio.wait()


def test_the_queue_says_what_the_cluster_has_room_for(store, known):
    known(LARGE, state="unfit", message=message("cluster.sqlite"))
    said = json.loads(run("queue", "--json").communicate(timeout=60)[0])["cluster"]
    assert (said["address"], said["state"], said["room"]) == (ADDRESS, "unfit", {"cpu": 4, "cuda": 2})
    assert "PostgreSQL" in said["message"]
    text = run("queue").communicate(timeout=60)[0].decode()
    assert ADDRESS in text and "PostgreSQL" in text


# A real cluster

@pytest.fixture(scope="module")
def ray():
    made = RayCluster()
    try:
        yield made
    finally:
        made.remove()


COLOURS = Recipe(dataset="colours", model="test_resnet", weights="scratch", freeze=0, epochs=40, batch_size=6, image_size=32,
                 augmentation="none", learning_rate=3e-3, backbone_factor=1.0, patience=0)
"""So many epochs that a node is killed before they are over."""


def draw(home: Home) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(ROOT / "tests" / "training"))
        from drawn_colours import drawn

        drawn(home, test=4).write(home)


@pytest.fixture
def colours(store):
    draw(store.home)
    return COLOURS


def alone(store, kind: str, payload: dict) -> Job:
    """The same in this process. What is made to take home is not compared, and takes as long as the training."""
    from transfer_core.training import finish

    job = store.submit(kind, payload, "cpu")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(finish, "export", lambda *_, **__: iter(()))
        assert store.claim(job.id, os.getpid())
        assert run_job(store, job) == "finished"
    return store.job(job.id)


def told(store, job: str) -> list[dict]:
    """What was measured epoch by epoch, without the times."""
    return [event.model_dump(exclude={"seconds", "seconds_left", "rate"}) for _, event in store.events(job)
            if isinstance(event, Epoch)]


@pytest.mark.slow
def test_a_lost_node_costs_no_result(store, ray, colours, monkeypatch, tmp_path):
    """`transfer-studio worker --ray`, two trainings at once; the node of one dies, and it goes on elsewhere. Both end as here."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ray.have(2)
    jobs = [store.submit("train", {"recipe": colours.but(seed=seed).model_dump(mode="json")}, "cpu") for seed in (1, 2)]
    said = (tmp_path / "said").open("w+")
    studio = run("worker", "--ray", ray.address, "--json", env=os.environ | ray.environment, stderr=said)
    try:
        def reached(condition):
            end = time.monotonic() + 400
            while not condition():
                assert time.monotonic() < end and studio.poll() is None, (said.seek(0), said.read())
                time.sleep(0.05)

        reached(lambda: all(told(store, job.id) for job in jobs) or any(not store.job(job.id).live for job in jobs))
        running = [store.job(job.id) for job in jobs]
        assert [job.state for job in running] == ["running", "running"], "both at once"
        monkeypatch.setenv("TRANSFER_STUDIO_RAY_ADDRESS", ray.address)
        assert room(store.home, "cpu") == 2
        monkeypatch.delenv("TRANSFER_STUDIO_RAY_ADDRESS")
        ray.kill_the_node_of(running[0].pid)
        began = time.monotonic()
        reached(lambda: store.events(running[0].id, kinds=("note",)) or not store.job(running[0].id).live)
        assert time.monotonic() - began < 30, "sooner than silence would be noticed"
        reached(lambda: not any(store.job(job.id).live for job in jobs))
        studio.send_signal(signal.SIGTERM)
        answer = json.loads(studio.communicate(timeout=60)[0])
    finally:
        studio.kill()
        studio.wait()
        said.close()
    assert answer == {"handed_out": 3}
    ended = [store.job(job.id) for job in jobs]
    assert [job.state for job in ended] == ["finished", "finished"]
    assert any(isinstance(event, Note) and event.message.key == "jobs.went_on" for _, event in store.events(jobs[0].id))
    assert ended[0].worker != running[0].worker
    for job in ended:
        here = alone(store, "train", job.payload)
        assert told(store, here.id) == told(store, job.id)
        assert here.result["test"] == job.result["test"]
        weights = [(store.home.run(run) / "model.safetensors").read_bytes() for run in (here.id, job.id)]
        assert weights[0] == weights[1]


@pytest.mark.slow
def test_the_doctor_asks_the_cluster(store, ray, monkeypatch):
    from transfer_core.doctor import Patient
    from transfer_core.doctor.cluster import cluster as examined

    ray.have(1)
    patient = Patient(store.home, store.url)
    assert (examined(patient).state, examined(patient).outcome) == ("ok", "none")
    for name, value in ray.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRANSFER_STUDIO_RAY_ADDRESS", ray.address)
    found = examined(patient)
    assert (found.state, found.outcome) == ("ok", "fine"), found.found("en")
    assert ray.address in found.found("en") and "{" not in found.found("zh")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["crossvalidate", "sweep"])
def test_trainings_of_one_job_run_at_the_same_time_and_find_the_same(store, ray, colours, monkeypatch, tmp_path, kind):
    """As many nodes as there are: one part within the job's own process, the others as tasks of their own."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ray.have(2)
    recipe = colours.but(epochs=20, regularizer="l2_sp").model_dump(mode="json")
    more = {"folds": 3, "repeats": 1} if kind == "crossvalidate" else {"values": [0.1, 1.0, 10.0], "seeds": 1}
    job = store.submit(kind, {"recipe": recipe, **more}, "cpu")
    most: set[str] = set()
    with (tmp_path / "said").open("w") as said:
        studio = run("worker", "--ray", ray.address, "--json", env=os.environ | ray.environment, stderr=said)
        try:
            end = time.monotonic() + 500
            while store.job(job.id).live:
                assert time.monotonic() < end and studio.poll() is None, (tmp_path / "said").read_text()
                at_once = {part.worker for part in store.jobs("part", "running")}
                most = max(most, at_once, key=len)
                time.sleep(0.05)
            studio.send_signal(signal.SIGTERM)
            assert studio.wait(60) == 0
        finally:
            studio.kill()
            studio.wait()
            studio.stdout.close()
    assert len(most) == 2, "on both nodes"
    found = store.job(job.id)
    assert found.state == "finished" and store.jobs("part") == []
    ours = alone(store, kind, job.payload).result
    if kind == "sweep":
        for result in (ours, found.result):
            result["recommended"]["run"] = None
            for point in result["points"]:
                point["run"] = None
    assert found.result == ours


SHARED = COLOURS.but(batch_size=7, optimizer="sgd", learning_rate=0.05).model_dump(mode="json")


@pytest.fixture(scope="module")
def on_one_machine(tmp_path_factory) -> tuple[list[dict], dict, Path]:
    """Epochs, result and weights of the training that others share."""
    home = Home(tmp_path_factory.mktemp("alone") / "home")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TRANSFER_STUDIO_HOME", str(home.root))
        store = Store(home)
        draw(home)
        job = alone(store, "train", {"recipe": SHARED})
        found = told(store, job.id), job.result, home.run(job.id) / "model.safetensors"
        store.close()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["nobody", "helper", "leader"])
def test_one_training_on_two_nodes_ends_as_here(store, ray, colours, on_one_machine, monkeypatch, tmp_path, lost):
    """`train --workers 2`; with the node of one of both killed on the way."""
    import torch
    from safetensors.torch import load_file

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ray.have(2)
    job = store.submit("train", {"recipe": SHARED, "workers": 2}, "cpu")
    with (tmp_path / "said").open("w") as said:
        studio = run("worker", "--ray", ray.address, "--json", env=os.environ | ray.environment, stderr=said)
        try:
            def reached(condition):
                end = time.monotonic() + 400
                while not condition():
                    assert time.monotonic() < end and studio.poll() is None, (tmp_path / "said").read_text()
                    time.sleep(0.05)

            reached(lambda: told(store, job.id) or not store.job(job.id).live)
            assert "fit.shared" in notes(store, job.id), store.events(job.id)[-1]
            if lost != "nobody":
                held = store.job(job.id) if lost == "leader" else store.jobs("part", "running")[0]
                ray.kill_the_node_of(held.pid)
            reached(lambda: not store.job(job.id).live)
            studio.send_signal(signal.SIGTERM)
            assert studio.wait(60) == 0
        finally:
            studio.kill()
            studio.wait()
            studio.stdout.close()
    ended = store.job(job.id)
    assert ended.state == "finished" and store.jobs("part") == []
    assert not list(store.home.job(job.id).glob("ranks-*")), "nothing is left of it"
    said = notes(store, job.id)
    assert ("fit.rank_lost" in said, "jobs.went_on" in said) == (lost == "helper", lost == "leader")
    epochs, result, weights = on_one_machine
    for one, other in zip(epochs, told(store, job.id), strict=True):
        assert one["confusion"] == other["confusion"]
        assert one["train"]["target"] == pytest.approx(other["train"]["target"], rel=1e-3)
    assert result["test"]["accuracy"] == ended.result["test"]["accuracy"]
    one, other = (load_file(file) for file in (weights, store.home.run(job.id) / "model.safetensors"))
    assert all(torch.allclose(one[name], other[name], rtol=1e-3, atol=1e-4) for name in one)


def notes(store, job: str) -> list[str]:
    return [event.message.key for _, event in store.events(job, kinds=("note",))]
