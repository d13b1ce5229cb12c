"""The measuring scripts in small: what they compare is compared, and what they print is true."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from transfer_core.metrics import packed

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    for folder in (BENCH, BENCH / "peers"):
        monkeypatch.syspath_prepend(str(folder))


def test_both_ways_are_trained_and_every_step_compared(home, manifest, tmp_path):
    import exactness

    found = exactness.compare("resnet", "test_resnet", manifest, home, tmp_path)
    steps = -(-len(manifest.of("train")) // exactness.BATCH) * exactness.EPOCHS
    assert (found.steps, found.reasons) == (steps, []) and found.boundary and found.engine
    assert found.largest <= exactness.ALLOWED
    assert "trained both ways" in exactness.table([found])


def test_a_difference_is_seen(home, manifest, tmp_path, monkeypatch):
    import exactness

    calls = []

    def biased(*given):
        calls.append(1)
        parts = real(*given)
        return parts if len(calls) > 1 else type(parts)(**{**vars(parts), "total": parts.total * 1.01})

    real = exactness.train_step
    monkeypatch.setattr(exactness, "train_step", biased)
    assert exactness.compare("resnet", "test_resnet", manifest, home, tmp_path).largest == pytest.approx(0.01, rel=1e-3)


def row(arm: str, repeat: int, seconds: float, others: float = 0.0) -> dict:
    return {"arm": arm, "regime": "head", "epochs": 5, "repeat": repeat, "seconds": seconds, "cpu_seconds": 2 * seconds,
            "memory_mb": 1000.4, "right": 90, "n": 100, "others": others, "versions": {"torch": "2"}}


def test_ratios_are_of_the_same_repeat(tmp_path, capsys):
    import run

    rows = [row("ours", 0, 10), row("tutorial", 0, 100), row("ours", 1, 20), row("tutorial", 1, 300, others=0.5)]
    run.write(tmp_path, rows, None, {"photos": "some.zip", "split": {"train": 3}, "import_seconds": 1.0})
    table = (tmp_path / "table.md").read_text()
    assert "| 200.0 (100.0 – 300.0) | 12.50 (10.00 – 15.00) |" in table
    assert "0.50 (!)" in table and "90, 90 of 100 (0.826 – 0.945)" in table
    assert capsys.readouterr().out.strip() == table.strip()


def test_the_floor_counts_what_must_be_done():
    import run

    floor = {"decode_ms": 4.0, "engine_ms": 10.0, "gflop": 1.0, "gflops": 100.0, "cores": 2,
             "learned": {"head": 0.0, "last2": 0.25, "everything": 1.0}}
    split = {"train": 70, "validation": 20, "test": 10}  # 100 photos: 0.2 s decoding and 0.5 s forward on two cores
    assert "cores: 0.7 s" in run.floors(floor, split, "head", 9) and "and core: 0.7 s" in run.floors(floor, split, "head", 9)
    assert "cores: 3.5 s" in run.floors(floor, split, "last2", 10)  # 0.575 s once, and a quarter of 10 * (3 * 70 + 20) + 10
    assert "cores: 11.8 s" in run.floors(floor, split, "everything", 10)


def test_memory_counts_a_shared_page_once():
    import subprocess
    import sys

    from memory import watching

    megabytes = 200
    code = (f"import os\nheld = bytearray(b'x') * {megabytes * 2**20}\nchild = os.fork()\n"
            "print('ready', flush=True) if child else None\nimport sys\nsys.stdin.read()")
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with watching(process.pid, every=0.01) as peak:
        assert process.stdout.readline() == "ready\n"
        until = peak.looks + 2  # one that began after the fork
        while peak.looks < until:
            process.poll()
        process.communicate("")
    assert megabytes < peak.own < 1.5 * megabytes and peak.own < peak.all


def test_photos_of_no_split_are_divided(tmp_path):
    import run

    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as packed:
        for number in range(10):
            packed.writestr(f"set/oak/{number}.jpg", b"")
        packed.writestr("set/train/oak/x.jpg", b"")
        packed.writestr("set/notes.txt", b"")
    run.unpack(tmp_path / "photos.zip", tmp_path / "photos")
    counts = {split: len(list((tmp_path / "photos" / split / "oak").iterdir())) for split in ("train", "validation", "test")}
    assert sum(counts.values()) == 11 and min(counts.values()) == 2


def test_a_regime_trains_what_it_says():
    from task import Task

    def trained(regime: str) -> list[str]:
        task = Task("", regime, 1, 0, "", "", "")
        return [name for name in ("conv_stem.weight", "blocks.4.0.w", "blocks.6.0.w", "classifier.bias") if task.trains(name)]

    assert trained("head") == ["classifier.bias"]
    assert trained("last2") == ["blocks.6.0.w", "classifier.bias"]
    assert len(trained("everything")) == 4


@pytest.mark.parametrize("study", ["views", "storage"])
def test_scores_are_compared_photo_by_photo(home, tmp_path, study):
    import argparse

    import scores
    from drawn_colours import drawn

    manifest, rows = drawn(home, test=3), scores.studies(8)[study]
    small = {"model": "test_resnet", "weights": "scratch", "image_size": 32, "batch_size": 6, "epochs": 8, "freeze": "all"}
    seen, cost = scores.measure([manifest], rows, home, tmp_path, 2, small)
    assert {row: right[0].shape for row, right in seen.items()} == dict.fromkeys(rows, (2, 9))
    assert all((seconds > 0) == rows[row].get("cache", True) for row, (seconds,) in cost.items())
    table = scores.table(seen, cost, ["colours"], argparse.Namespace(study=study, freeze="all", seeds=2, epochs=8))
    assert "9 test photos of colours" in table and table.count("\n| ") == len(rows) + 1


def test_a_difference_has_an_interval_around_it():
    import common
    import numpy as np

    one, other = ([np.tile(row, (3, 1)) for row in rows] for rows in (
        (np.ones(50), np.zeros(50)), (np.ones(50), np.r_[np.ones(10), np.zeros(40)])))
    middle, low, high = common.difference(one, other)
    assert middle == pytest.approx(-0.1)
    assert -0.17 < low < -0.1 < high < -0.03
    assert common.difference(one, one) == (0, 0, 0)


def test_what_differs_from_seed_to_seed_widens_it():
    import common
    import numpy as np

    chance = np.random.default_rng(0)
    luck = np.repeat(chance.random((6, 1)) < 0.5, 50, 1).astype(float)  # a whole training is right, or wrong
    _, low, high = common.difference([luck], [luck[::-1]])
    assert low < -0.3 and high > 0.3


def test_each_rung_is_timed_both_ways(home, manifest, tmp_path, capsys):
    import argparse

    import boundaries

    asked = argparse.Namespace(model="test_resnet", epochs=2, repeats=1)
    groups = 2
    times, shares = boundaries.measure(manifest, home, tmp_path, asked, groups, weights="scratch", image_size=32, batch_size=6)
    assert sorted(times) == sorted((frozen, way) for frozen in range(3) for way in boundaries.WAYS)
    assert shares[0] == 0 < shares[2]
    assert "1 of 2" in boundaries.table(times, shares, groups, manifest, asked)


def test_pixels_are_timed_from_files_and_from_rows(home, manifest, monkeypatch):
    import pixels

    monkeypatch.setattr(pixels, "cost", lambda inputs: 2.0 if isinstance(inputs, pixels.KeptInputs) else 6.0)
    columns = [column.strip() for column in pixels.line(manifest, home, "as evaluated", "none", 2).split("|")]
    assert columns[2:6] == ["as evaluated", "6.0", "2.0", "3.0 (3.0 – 3.0)"]
    assert "small enough as they are" in pixels.line(manifest, home, "light", "light", 1)


def test_a_look_at_all_batches_takes_time(home, manifest, monkeypatch):
    import pixels

    ticks = iter((1.0, 1.5))
    monkeypatch.setattr(pixels.time, "process_time", lambda: next(ticks))
    files = pixels.ImageInputs.of(manifest.of("train"), manifest.classes, home, pixels.Preprocessing(size=(8, 8)))
    assert pixels.cost(files) == 1000 * 0.5 / 24


def test_engines_are_compared(capsys, monkeypatch):
    import engines

    monkeypatch.setattr(engines, "IMAGES", 4)
    monkeypatch.setattr(engines, "openvino", lambda model, image: None)
    engines.compare("test_resnet")
    eager, onnx = (line.split("|") for line in capsys.readouterr().out.strip().splitlines())
    assert (eager[2].strip(), onnx[2].strip()) == ("PyTorch, channels_last", "ONNX Runtime")
    assert float(onnx[6]) < 1e-5


@pytest.fixture
def study(home, tmp_path):
    """Colours as the task; the same squares stand for photos of things ImageNet knows."""
    from dataclasses import replace

    import terms
    from drawn_colours import drawn

    from transfer_core.datasets.manifest import Manifest

    manifest = drawn(home, train=12, validation=3, test=4)
    known = [replace(image, label={"red": "cat", "green": "dog"}.get(image.label, "ants")) for image in manifest.of("test")]
    second = Manifest.of_images("second-0001", 1, manifest.images)
    second.write(home)
    made = terms.Study(home, known, {"colours": manifest}, tmp_path / "log.jsonl", 7, 64, second)
    made.common |= {"batch_size": 4}
    return made


def test_terms_are_trained_from_the_same_photos_and_asked_the_same_things(study, monkeypatch):
    import terms

    monkeypatch.setattr(terms, "STEPS", 8)
    rows = {term: study.run(terms.Trial("study", "colours", term, value, 5, 0))
            for term, value in ((terms.HEAD_ONLY, None), (terms.PLAIN, None), ("lwf", 0.01), ("l2_sp", 1e6), ("replay", None))}
    assert all(len(row["right"]) == 12 and len(row["same"]) == len(row["called"]) == 12 for row in rows.values())
    assert rows[terms.HEAD_ONLY]["same"] == "1" * 12 and rows[terms.HEAD_ONLY]["drift"] == 0
    assert rows["l2_sp"]["drift"] < 0.3 * rows[terms.PLAIN]["drift"], "only biases and norms, which Ω leaves out"
    assert rows["l2_sp"]["agreement"] == 1
    assert rows["lwf"]["drift"] > 0


def test_training_photos_are_drawn_and_the_others_stay(study):
    import terms

    manifest = study.manifests["colours"]
    one, other, again = (terms.drawn(manifest, 5, seed) for seed in (0, 1, 0))
    assert one == again
    assert {label: sum(image.label == label for image in one.of("train")) for label in manifest.classes} == dict.fromkeys(
        manifest.classes, 5)
    assert set(one.of("train")) != set(other.of("train"))
    assert one.of("test") == other.of("test") and one.of("validation") == other.of("validation")


def test_rules_are_judged_by_what_their_choice_costs_on_test_photos():
    """One λ names three validation photos of 60 less and none more: a score's error forgives that, the difference's does not."""
    import sweep_rule

    def row(value, wrong, kept, accuracy):
        right = np.arange(60) >= wrong
        return {"stage": "rule", "dataset": "d", "term": "lwf", "each": 5, "seed": 0, "value": value, "validation": right.mean(),
                "validated": 60, "kept_here": kept, "named": packed(right), "accuracy": accuracy, "agreement": kept}

    rows = [row(1.0, 13, 0.5, 0.8), row(10.0, 16, 0.9, 0.6)]
    table = sweep_rule.table([*rows, {**rows[0], "seed": 1}])  # the second sweep is not whole: it does not count
    assert "**1 sweeps: d; 5 photos a class; 1 seeds**" in table
    of = {line.split(" | ")[1]: line for line in table.splitlines() if line.startswith("| lwf | ")}
    assert "| 60.0 % | +20.0 (+20.0 to +20.0) | 20.0 | +40.0" in of["within a score's error"]
    for rule in ("most right", "within the difference's error"):
        assert "| 80.0 % | +0.0 (+0.0 to +0.0) | 0.0 | +0.0" in of[rule]


def test_what_is_in_the_log_is_not_made_again(study, monkeypatch):
    import terms

    made = []

    def run(trial):
        made.append(trial)
        return {"validation": 0.5 + (trial.value or 0) / 1e6, "validated": 9, "kept_here": 0.9, "drift": 0.1, "accuracy": 0.5,
                "right": "10" if trial.term == terms.PLAIN else "11", "same": "11", "called": "01"}

    monkeypatch.setattr(study, "run", run)
    study.all(1, 2)
    count = len(made)
    assert count == sum(len(terms.values(term)) for term in study.terms) + 2 * 3 * len(study.terms)
    study.done = {row["key"] for row in terms.read_log(study.log)}
    study.all(1, 2)
    assert len(made) == count
    table = terms.table(terms.read_log(study.log))
    assert table.count("colours, ") == 3 and "2 seeds, 2 test photos" in table
    (plain,) = {line for line in table.splitlines() if line.startswith(f"| {terms.PLAIN} ")}
    assert "| 50.0 % |" in plain
    page = terms.page(terms.read_log(study.log), 7)
    assert "about 80 steps of 16 photos; 5, 10, 20 training photos" in page
    assert "replay learned `second` at the same time." in page and "| replay |" in page
    assert "| lwf | 10 | 100.0 % | +50.0 (" in table
