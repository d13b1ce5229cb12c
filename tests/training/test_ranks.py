"""One training, several processes: the same losses, step by step, as one process has; and what is not shared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from drawn_colours import drawn
from events_of import of
from safetensors.torch import load_file
from timm.layers import BatchNormAct2d

from transfer_core.cli import main
from transfer_core.cluster.state import Cluster, Node
from transfer_core.datasets.manifest import Manifest
from transfer_core.events import Epoch, Finished, Note
from transfer_core.jobs import ranks
from transfer_core.jobs import run as running
from transfer_core.jobs.run import run_job
from transfer_core.paths import write_json
from transfer_core.store import Store
from transfer_core.training import freezing
from transfer_core.training.checkpoint import State
from transfer_core.training.fit import fit
from transfer_core.training.ranks import crew as crew_module
from transfer_core.training.ranks import helping
from transfer_core.training.ranks.crew import Crew, RankLost
from transfer_core.training.ranks.norms import together
from transfer_core.training.ranks.team import Team
from transfer_core.training.step import train_step
from transfer_core.words import message

ROOT = Path(__file__).resolve().parents[2]
ALIKE = 1e-5
"""Relative difference of a step's loss that rounding in another order may make, over some twenty steps."""


class Helper:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("a_helper.py"))], cwd=ROOT, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})

    def do(self, **order) -> None:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def said(self) -> str:
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def two():
    helpers = [Helper(), Helper()]
    assert [helper.said() for helper in helpers] == ["ready", "ready"]
    yield helpers
    for helper in helpers:
        helper.end()


@pytest.fixture
def small(recipe, manifest, home, hub_free):
    """24 photos, batches of 7: the last holds 3."""
    manifest.write(home)
    return recipe.but(weights="pretrained", batch_size=7, epochs=5)


class Seen:
    """A step that notes its losses."""

    def __init__(self) -> None:
        self.losses: list[dict[str, float]] = []

    def __call__(self, training, images, labels):
        parts = train_step(training, images, labels)
        self.losses.append({name: float(getattr(parts, name).detach()) for name in ("total", "target", "source", "penalty")
                            if getattr(parts, name) is not None})
        return parts


@pytest.fixture
def both(manifest, home, tmp_path, monkeypatch):
    """Trains alone and with helpers; returns what each made, and the second one's events."""

    def train(recipe, helpers, *, moving=False, wrong=None, alone_too=True):
        monkeypatch.setattr(freezing, "SMALL_BATCH", 0 if moving else 10**6)
        monkeypatch.setattr(freezing, "FEW_IMAGES", 0 if moving else 10**6)
        alone, out, folder = Seen(), tmp_path / "shared", tmp_path / "ranks"

        def hire(count):
            for helper in helpers[:count]:
                helper.do(recipe=recipe.model_dump(), home=str(home.root), out=str(out), folder=str(folder), moving=moving,
                          wrong=wrong)

        events = list(fit(recipe, manifest, home, tmp_path / "alone", device="cpu", step=alone)) if alone_too else []
        shared = Seen()
        crew = Crew(folder, "127.0.0.1", len(helpers), hire, lambda: len(helpers))
        told = list(fit(recipe, manifest, home, out, device="cpu", step=shared, crew=crew))
        return alone.losses, shared.losses, events, told

    return train


def keys(events) -> list[str]:
    return [note.message.key for note in of(Note, events)]


def assert_alike(alone, shared, steps: int = 20) -> None:
    assert len(alone) == len(shared) >= steps
    for step, (one, other) in enumerate(zip(alone, shared, strict=True), 1):
        assert one == pytest.approx(other, rel=ALIKE, abs=1e-6), f"step {step}"


SGD = {"optimizer": "sgd", "learning_rate": 0.2}
"""Where a term is zero at the start, so are gradients, but for rounding; AdamW makes whole steps of that, and its penalty then
differs in the fifth digit."""
CASES = {
    "head only, stored activations": {"freeze": "all", "learning_rate": 0.01},
    "last stages": {"freeze": 3},
    "everything": {},
    "everything, its photos varied": {"augmentation": "light", "stored_views": 0},
    "stored views": {"freeze": 3, "augmentation": "light", "stored_views": 2},
    "class weights, smoothed": {"class_balance": "weights", "label_smoothing": 0.1},
    "drawn so that classes come equally often": {"class_balance": "sampler", "freeze": 3},
    "lwf": {"source_loss": "lwf", "freeze": 3, **SGD},
    "features": {"source_loss": "features", **SGD},
    "co_tuning": {"source_loss": "co_tuning", "lambda_target": 4.0, **SGD},
    "ewc": {"source_loss": "ewc", "lambda_target": 0.1, "freeze": 3, **SGD, "learning_rate": 0.02},
    "l1_sp": {"regularizer": "l1_sp", "lambda_omega": 1e-3},
    "low rank, SGD": {"tuning": "lora", "lora_rank": 2, **SGD},
}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_make_the_steps_of_one(both, small, two, case):
    alone, shared, events, told = both(small.but(**CASES[case]), two[:1])
    assert_alike(alone, shared)
    assert "fit.shared" in keys(told) and two[0].said() == "done"
    for one, other in zip(of(Epoch, events), of(Epoch, told), strict=True):
        assert (one.confusion, one.best) == (other.confusion, other.best)
        assert one.train_accuracy == other.train_accuracy
        mine, ours = (epoch.train.model_dump(exclude_none=True) for epoch in (one, other))
        assert mine == pytest.approx(ours, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("kind", [torch.nn.BatchNorm2d, BatchNormAct2d, torch.nn.BatchNorm1d])
def test_averages_of_the_batch_are_those_of_all_processes(kind, tmp_path):
    """Three ranks and two photos: the third shows one that counts for nothing."""
    chance = torch.Generator().manual_seed(0)
    shape = (2, 5) if kind is torch.nn.BatchNorm1d else (2, 5, 4, 3)
    photos, slopes = (torch.randn(shape, generator=chance) * 3 + 1 for _ in range(2))

    def alone():
        given, norm = photos.clone().requires_grad_(), kind(5)
        said = norm(given)
        said.backward(slopes)
        return said, given.grad, norm

    def work(rank):
        team, norm = Team(tmp_path, 1, rank, 3, "127.0.0.1", torch.device("cpu")), kind(5)
        places = team.part([0, 1])
        team.take(2)
        given = photos[places].clone().requires_grad_()
        with together([norm], team):
            said = norm(given)
            said.backward(slopes[places] * (team.counts > 0))
        team.sum(grads := torch.stack([parameter.grad for parameter in norm.parameters()]))
        team.close()
        return said.detach(), given.grad, norm, grads

    with ThreadPoolExecutor(3) as pool:
        ranks = list(pool.map(work, range(3)))
    said, slope, norm = alone()
    assert torch.allclose(torch.cat([rank[0] for rank in ranks[:2]]), said, rtol=1e-4, atol=1e-5)
    assert torch.allclose(torch.cat([rank[1] for rank in ranks[:2]]), slope, rtol=1e-4, atol=1e-5)
    assert not ranks[2][1].any(), "what stands in is owed nothing"
    for _, _, other, grads in ranks:
        assert torch.allclose(torch.stack([parameter.grad for parameter in norm.parameters()]), grads, rtol=1e-4, atol=1e-5)
        for name, buffer in norm.named_buffers():
            assert torch.allclose(buffer.float(), other.get_buffer(name).float(), rtol=1e-5, atol=1e-6), name


def test_a_training_whose_norms_go_by_the_batch(both, small, two):
    """Three processes. A few photos behind such norms double a difference in a step or two, so fewer steps are compared."""
    alone, shared, _, told = both(small.but(batch_size=10, epochs=2, optimizer="sgd", learning_rate=0.01), two, moving=True)
    assert len(shared) == 6 and [helper.said() for helper in two] == ["done", "done"]
    for step, (one, other) in enumerate(zip(alone, shared, strict=True), 1):
        assert one == pytest.approx(other, rel=1e-4), f"step {step}"
    assert next(note for note in of(Note, told) if note.message.key == "fit.shared").message.values["count"] == 3


def test_all_that_is_left_is_that_of_one_process(both, small, two, tmp_path):
    both(small, two[:1])
    assert two[0].said() == "done"
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("alone", "shared"))
    assert one.keys() == other.keys() and all(torch.allclose(one[name], other[name], rtol=1e-3, atol=1e-5) for name in one)
    assert not list((tmp_path / "ranks").glob("ready-*")), "helpers clear away what they wrote"


REFUSED = {
    "chance": {"head": "hidden", "head_dropout": 0.2},
    "bss": {"regularizer": "bss"},
    "replay": {"source_loss": "replay", "source_dataset": "colours"},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_would_be_another_run_is_not_shared(both, small, two, reason):
    alone, shared, _, told = both(small.but(epochs=2, **REFUSED[reason]), two[:1])
    assert [key for key in keys(told) if key.startswith("fit.alone")] == [f"fit.alone.{reason}"]
    assert alone == shared and "fit.shared" not in keys(told), "bit for bit as alone"


def test_a_model_that_looks_at_several_photos_at_once_is_noticed(both, small, two, monkeypatch):
    """Whatever it is made of: here the mean of the batch is taken off what goes into the classifier."""
    from transfer_core.training import fit as module

    build = module.build

    def strange(*given):
        built = build(*given)
        built.model.global_pool.register_forward_hook(lambda _pool, _given, said: said - said.mean(0))
        return built

    monkeypatch.setattr(module, "build", strange)
    alone, shared, _, told = both(small.but(epochs=1), two[:1])
    assert "fit.alone.batch" in keys(told) and alone == shared


def test_memory_that_is_full_anywhere_halves_the_batch_for_all(both, small, two):
    _, shared, _, told = both(small.but(epochs=3), two[:1], wrong=(6, "full"), alone_too=False)
    assert two[0].said() == "done"
    assert keys(told).count("fit.batch_halved") == 1 and isinstance(told[-1], Finished)
    assert [epoch.epoch for epoch in of(Epoch, told)] == [1, 2, 3]
    assert len(shared) == 4 + 1 + 8 + 8, "an epoch of four steps, one that was given up, and two of eight steps each"


def test_a_helper_that_dies_costs_the_epoch_under_way(both, small):
    helper = Helper()
    try:
        assert helper.said() == "ready"
        alone, shared, events, told = both(small, [helper], wrong=(7, "die"))
    finally:
        helper.end()
    assert keys(told).count("fit.rank_lost") == 1 and keys(told)[-1] == "fit.nobody_helps"
    assert len(shared) == len(alone) + 2, "two steps of the second epoch were made again"
    assert_alike(alone, shared[:4] + shared[6:])
    for one, other in zip(of(Epoch, events), of(Epoch, told), strict=True):
        assert (one.epoch, one.confusion) == (other.epoch, other.confusion)


def test_a_training_goes_on_with_another_number_of_processes(small, two, manifest, home, tmp_path):
    """Two for two epochs, then one for one, then three: the curve is that of one all the time."""
    def until(epoch, name, step, **more):
        with closing(fit(small, manifest, home, tmp_path / name, device="cpu", step=step, **more)) as events:
            for event in events:
                if isinstance(event, Epoch) and event.epoch == epoch:
                    return

    def crew(helpers):
        folder = tmp_path / f"ranks-{len(helpers)}"

        def hire(_count):
            for helper in helpers:
                helper.do(recipe=small.model_dump(), home=str(home.root), out=str(tmp_path / "shared"), folder=str(folder),
                          moving=False, wrong=None)

        return Crew(folder, "127.0.0.1", len(helpers), hire, lambda: len(helpers))

    alone, shared = Seen(), Seen()
    until(5, "alone", alone)
    until(2, "shared", shared, crew=crew(two[:1]))
    assert two[0].said() == "done", "who stops iterating lets helpers go"
    until(3, "shared", shared, resume=True)
    until(5, "shared", shared, resume=True, crew=crew(two))
    assert [helper.said() for helper in two] == ["done", "done"]
    assert_alike(alone.losses, shared.losses)


def test_helpers_that_are_seen_and_never_reached_do_not_hold_a_training_for_ever(small, tmp_path, monkeypatch):
    """A folder that all see, and a wall between the machines: each round breaks off while the processes look for each other."""
    tried, let_go = [], []

    def unreachable(*_given):
        tried.append(1)
        raise RankLost("connection timed out")

    monkeypatch.setattr(crew_module, "Team", unreachable)
    monkeypatch.setattr(crew_module, "facts", lambda _training: {})
    monkeypatch.setattr(crew_module, "why_alone", lambda _training: None)
    write_json(tmp_path / "ready-h.json", {"facts": {}, "after": 10**6})
    crew = Crew(tmp_path, "127.0.0.1", 1, lambda _count: None, lambda: 1, lambda: let_go.append(1))
    training, said = SimpleNamespace(recipe=small, device=torch.device("cpu")), []
    for _ in range(10):
        try:
            said += crew.team(training)
        except RankLost:
            crew.start_over()
        else:
            break
    assert len(tried) == crew_module.TRIES and keys(said)[-1] == "fit.nobody_helps"
    assert json.loads((tmp_path / "round.json").read_text()) == {"over": True} and let_go == [1]


def test_a_helper_waits_for_the_checkpoint_it_was_told_of(monkeypatch, tmp_path):
    """A network share may show the one before for a while: its optimiser would not be that of the others."""
    seen = iter([3, 3, 4])
    helping._load(SimpleNamespace(load=lambda _out: State(epoch=next(seen))), tmp_path, 5)
    assert next(seen, None) is None
    monkeypatch.setattr(helping, "STALE", 0.0)
    with pytest.raises(RankLost):
        helping._load(SimpleNamespace(load=lambda _out: State(epoch=3)), tmp_path, 5)


# In the queue

@pytest.fixture
def store(home, monkeypatch) -> Store:
    monkeypatch.setattr(running, "BEAT", 0.05)
    monkeypatch.setattr(running, "FLUSH", 0.02)
    drawn(home, test=3).write(home)
    return Store(home)


def ended(store: Store, job) -> list[str]:
    assert store.claim(job.id, os.getpid())
    assert run_job(store, store.job(job.id)) == "finished"
    return keys(event for _, event in store.events(job.id))


def test_on_a_machine_with_one_place_it_says_so_and_one_process_trains(store, recipe):
    job = store.submit("train", {"recipe": recipe.model_dump(mode="json"), "workers": 3}, "cpu")
    assert "fit.fewer_places" in ended(store, job)
    note = next(event for _, event in store.events(job.id, kinds=("note",)) if event.message.key == "fit.fewer_places")
    assert note.message.values == {"asked": 3, "count": 1} and store.jobs("part") == []
    assert store.job(job.id).result["test"]["n"] == 9


@pytest.fixture
def roomy(store, monkeypatch):
    """A cluster with room for two trainings, whose nodes nobody looks after."""
    address = "10.0.0.1:6379"
    monkeypatch.setenv("TRANSFER_STUDIO_RAY_ADDRESS", address)
    Cluster(address, "ready").of([Node("n", "10.0.0.2", 2, 0)], 1).write(store.home)


def test_where_no_helper_comes_it_goes_on_alone_and_leaves_nothing(store, recipe, roomy, monkeypatch):
    monkeypatch.setattr(ranks, "QUEUED", 0.3)
    seen, real = [], ranks._Held.hire
    monkeypatch.setattr(ranks._Held, "hire", lambda held, count: (real(held, count), seen.extend(store.jobs("part"))))
    job = store.submit("train", {"recipe": recipe.model_dump(mode="json"), "workers": 2, "name": "Colours"}, "cpu")
    told = ended(store, job)
    assert "fit.nobody_helps" in told and "fit.shared" not in told
    helper, = seen
    assert helper.payload["of"] == job.id and helper.payload["name"] == "Colours" and helper.device == "cpu"
    assert store.jobs("part") == [] and not list(store.home.job(job.id).glob("ranks-*"))


def test_where_nodes_share_no_folder_one_process_trains_and_says_why(store, recipe, roomy, monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFER_STUDIO_ARTIFACTS", (tmp_path / "depot").as_uri())
    assert ranks.places(store, "cpu") == 1
    job = store.submit("train", {"recipe": recipe.model_dump(mode="json"), "workers": 2}, "cpu")
    told = ended(store, job)
    assert "fit.no_shared_folder" in told and "fit.fewer_places" not in told and store.jobs("part") == []


def test_a_helper_whose_training_is_another_process_now_ends_at_once(store, recipe, roomy):
    whole = store.submit("train", {"recipe": recipe.model_dump(mode="json"), "workers": 2}, "cpu")
    assert store.claim(whole.id, "elsewhere:1:aaaaaaaa")
    part = store.submit("part", {"of": whole.id, "part": {"rank": 1, "folder": "ranks-1", "of": "elsewhere:1:bbbbbbbb"}}, "cpu")
    assert ended(store, part) == [] and store.job(part.id).result == {}


def test_a_training_that_is_taken_up_again_hires_anew(store, recipe, roomy, monkeypatch):
    """What a process of it that died has left is told to end, and taken off the lists."""
    monkeypatch.setattr(ranks, "QUEUED", 0.3)
    job = store.submit("train", {"recipe": recipe.model_dump(mode="json"), "workers": 2}, "cpu")
    left = store.submit("part", {"of": job.id, "part": {"rank": 1, "folder": "ranks-0", "of": "gone:1:aaaaaaaa"}}, "cpu")
    ended(store, job)
    assert store.jobs("part") == [] and store.events(left.id) == []


def test_what_was_asked_for_on_the_command_line_stands_in_the_job(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(store.home.root))
    arguments = ["train", "--dataset", "colours", "--model", "test_resnet", "--weights", "scratch", "--no-wait", "--json"]
    store.add_dataset("Colours", "colours", message("cli.imported"),
                      {"classes": Manifest.read(store.home, "colours", 1).counts()})
    for more in (["--workers", "4"], []):
        with pytest.raises(SystemExit, match="0"):
            main([*arguments, *more])
    alone, shared = store.jobs("train")
    assert shared.payload["workers"] == 4 and "workers" not in alone.payload
