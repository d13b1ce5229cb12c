"""Ours against others, interleaved: one process an arm and a regime, in a new order in each repeat, a table with ratios.

    python bench/peers/run.py ../shared/data/clothing_10.zip                    # head, last2, everything; 5 epochs; 3 repeats
    python bench/peers/run.py ../shared/data/clothing_10.zip --regimes head --epochs 5 --arms tutorial tuned ours --repeats 5
    python bench/peers/run.py ../shared/data/ants_bees.zip --short              # minutes: head only, 2 epochs, 1 repeat

The archive has the folders train, validation and test. Every arm gets the same photos and weights and answers how many test
photos it names rightly. Its time runs from the end of its imports to that answer: decoding, export, fitting, and one look at
the validation photos after each epoch. Arms whose packages are not in the environment of the studio have one of their own:

    python bench/peers/run.py --install hf fastai autogluon

Writes one JSON line for each run beside the table, so that a benchmark that was broken off goes on (`--out`).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from task import Task

from transfer_core.metrics import wilson

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

from memory import watching  # noqa: E402


@dataclass(frozen=True)
class Arm:
    script: str
    what: str
    environment: str | None = None
    """Name of the environment of its own; None is the studio's."""


ARMS = {
    "tutorial": Arm("loops.py", "the PyTorch tutorial's loop as it is written (batches of 4)"),
    "tutorial-32": Arm("loops.py", "the same with batches of 32"),
    "tuned": Arm("loops.py", "a loop tuned by hand, our recipe, no cache"),
    "hf": Arm("hf.py", "Hugging Face Trainer, its defaults", "hf"),
    "fastai": Arm("fast.py", "fastai, its defaults (BatchNorm trained)", "fastai"),
    "fastai-frozen": Arm("fast.py", "fastai with train_bn=False", "fastai"),
    "hf-matched": Arm("hf.py", "Hugging Face Trainer with the recipe of the tuned loop", "hf"),
    "fastai-matched": Arm("fast.py", "fastai's Learner with the recipe of the tuned loop", "fastai"),
    "autogluon": Arm("gluon.py", "AutoGluon MultiModal, its defaults", "autogluon"),
    "ours": Arm("ours.py", "ours, nothing stored"),
    "ours-exported": Arm("ours.py", "ours, the exported prefix on disk"),
    "ours-again": Arm("ours.py", "ours, a second run"),
    "ours-uncached": Arm("ours.py", "ours with --no-cache"),
}
USUAL = ("tutorial", "tutorial-32", "tuned", "ours", "ours-exported", "ours-again")
PINS = {"hf": ("transformers==5.23.0", "accelerate", "timm==1.0.31", "safetensors"),
        "fastai": ("fastai==2.8.12", "timm==1.0.31", "safetensors"),
        "autogluon": ("autogluon.multimodal==1.6.3", "safetensors")}
BUSY = 0.3
"""Cores that others may take during a run; above it the row is marked."""


def main() -> None:
    given = parse()
    if given.install:
        install(given.install)
        return
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        bench = Bench(given, Path(folder))
        for regime, epochs in given.plan:
            for repeat in range(given.repeats):
                bench.block(regime, epochs, repeat)
        floor = bench.floor()
    write(given.out, bench.rows, floor, bench.facts)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="?", type=Path)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(USUAL))
    parser.add_argument("--regimes", nargs="+", choices=("head", "last2", "everything"), default=["head", "last2", "everything"])
    parser.add_argument("--epochs", nargs="+", type=int, default=[5])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="head only, 2 epochs, once")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of runs.jsonl and table.md")
    parser.add_argument("--install", nargs="+", choices=PINS, metavar="PEER", help="make the environment of a peer, and end")
    given = parser.parse_args()
    if given.short:
        given.regimes, given.epochs, given.repeats = ["head"], [2], 1
    if not given.install and (given.photos is None or not given.photos.is_file()):
        parser.error("which photos? A zip with the folders train, validation and test")
    given.plan = [(regime, epochs) for regime in given.regimes for epochs in given.epochs]
    return given


def install(peers: Sequence[str]) -> None:
    for peer in peers:
        folder = HERE / "envs" / peer
        subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", "--allow-existing", folder], check=True)
        subprocess.run([sys.executable, "-m", "uv", "pip", "install", "--python", python_of(peer), *PINS[peer]], check=True)


def python_of(environment: str | None) -> Path:
    return Path(sys.executable) if environment is None else HERE / "envs" / environment / "bin" / "python"


class Bench:
    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.given, self.folder = given, folder
        self.log = given.out / "runs.jsonl"
        given.out.mkdir(parents=True, exist_ok=True)
        done = self.log.read_text().splitlines() if self.log.is_file() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in done]
        self.photos = folder / "photos"
        unpack(given.photos, self.photos)
        self.facts = self._run(self._task("prepare", "head", 1, 0), home=folder / "home")[0] | {"photos": given.photos.name}

    def block(self, regime: str, epochs: int, repeat: int) -> None:
        """Each arm once, in an order of its own; what an earlier benchmark has measured is not measured again."""
        order = [arm for arm in self.given.arms if not any(self._is(row, arm, regime, epochs, repeat) for row in self.rows)]
        random.Random(f"{regime} {epochs} {repeat}").shuffle(order)
        for arm in order:
            if not python_of(ARMS[arm].environment).exists():
                print(f"{arm}: not installed (--install {ARMS[arm].environment})", file=sys.stderr)
                continue
            home = self._home(arm, regime)
            answer, cost = self._run(self._task(arm, regime, epochs, repeat), home)
            row = {"arm": arm, "regime": regime, "epochs": epochs, "repeat": repeat, **answer, **cost}
            self.rows.append(row)
            with self.log.open("a") as log:
                log.write(json.dumps(row) + "\n")
            print(json.dumps({key: value for key, value in row.items() if key != "versions"}), flush=True)

    def floor(self) -> dict[str, Any] | None:
        if not any(arm.startswith("ours") for arm in self.given.arms):
            return None
        home = self._home("ours-exported", "head")
        return self._run(self._task("floor", "head", 1, 0), home)[0]

    @staticmethod
    def _is(row: dict[str, Any], *what: object) -> bool:
        return (row["arm"], row["regime"], row["epochs"], row["repeat"]) == what

    def _task(self, arm: str, regime: str, epochs: int, seed: int) -> Task:
        return Task(arm, regime, epochs, seed, str(self.photos), str(self.folder / "weights.safetensors"),
                    str(self.folder / "answer.json"))

    def _home(self, arm: str, regime: str) -> Path:
        """A data home that holds what the arm says; made by a run of one epoch that does not count."""
        home = self.folder / "home"
        if not arm.startswith("ours"):
            return home
        if arm in ("ours", "ours-uncached"):
            shutil.rmtree(home / "cache", ignore_errors=True)
            return home
        kept = self.folder / f"cache of {regime}"
        if not kept.exists():
            shutil.rmtree(home / "cache", ignore_errors=True)
            self._run(self._task("ours", regime, 1, 0), home)
            (home / "cache").mkdir(exist_ok=True)  # nothing is stored where everything is trained
            shutil.copytree(home / "cache", kept)
        shutil.rmtree(home / "cache", ignore_errors=True)
        shutil.copytree(kept, home / "cache")
        if arm == "ours-exported":
            shutil.rmtree(home / "cache" / "activations", ignore_errors=True)
        return home

    def _run(self, task: Task, home: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """The answer of an arm in a process of its own, and what the process cost."""
        task = Task(**{**asdict(task), "home": str(home)})
        arm = ARMS.get(task.arm, ARMS["ours"])
        answer = Path(task.answer)
        answer.unlink(missing_ok=True)
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": f"{HERE.parents[1]}:{HERE}",
                       "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
        before, busy, began = resource.getrusage(resource.RUSAGE_CHILDREN), machine(), time.perf_counter()
        process = subprocess.Popen([python_of(arm.environment), HERE / "arms" / arm.script, json.dumps(asdict(task))],
                                   cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        with watching(process.pid, every=0.5) as peak:
            _, said = process.communicate()
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode or not answer.is_file():
            raise SystemExit(f"{task.arm} failed:\n{said[-3000:]}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        others = max(0.0, (machine() - busy - cpu) / wall)
        return json.loads(answer.read_text()), {"process_seconds": wall, "cpu_seconds": cpu, "memory_mb": round(peak.all),
                                                "others": round(others, 2)}


def machine() -> float:
    """Processor seconds this machine has worked so far (Linux)."""
    user, nice, system, _idle, _wait, *rest = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:])
    return (user + nice + system + sum(rest[:2])) / os.sysconf("SC_CLK_TCK")


def unpack(archive: Path, folder: Path) -> None:
    """Into train, validation and test, whatever folders lie around them. Photos of no split are divided by their number."""
    with zipfile.ZipFile(archive) as zipped:
        for number, name in enumerate(sorted(zipped.namelist())):
            parts = Path(name).parts
            if Path(name).suffix.lower() not in (".jpg", ".jpeg", ".png") or len(parts) < 2:
                continue
            split = next((part for part in parts if part in ("train", "validation", "test")), None)
            split = split or ("test" if number % 5 == 0 else "validation" if number % 5 == 1 else "train")
            target = folder / split / parts[-2] / parts[-1]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(zipped.read(name))


def write(out: Path, rows: Sequence[dict[str, Any]], floor: dict[str, Any] | None, facts: dict[str, Any]) -> None:
    split = ", ".join(f"{count} {name}" for name, count in facts["split"].items())
    lines = [f"Photos: {facts['photos']} ({split}). Import into ours: {facts['import_seconds']:.1f} s, not counted below.", ""]
    for regime, epochs in dict.fromkeys((row["regime"], row["epochs"]) for row in rows):
        chosen = [row for row in rows if (row["regime"], row["epochs"]) == (regime, epochs)]
        lines += [f"**{regime}, {epochs} epoch{'s' if epochs > 1 else ''}**", "", *table(chosen), ""]
        if floor:
            lines += [floors(floor, facts["split"], regime, epochs), ""]
    for environment in dict.fromkeys(ARMS[row["arm"]].environment for row in rows):
        versions = {f"{name} {number}" for row in rows if ARMS[row["arm"]].environment == environment
                    for name, number in row["versions"].items()}
        lines += [f"Versions{f' ({environment})' if environment else ''}: {', '.join(sorted(versions))}."]
    (out / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A row an arm; the ratio is to `ours` of the same repeat, median and range."""
    yield "| arm | seconds, median (range) | times ours, median (range) | CPU s | MB | test photos right | others busy |"
    yield "|---|---|---|---|---|---|---|"
    base = {row["repeat"]: row["seconds"] for row in rows if row["arm"] == "ours"}
    for arm in dict.fromkeys(row["arm"] for row in sorted(rows, key=lambda row: list(ARMS).index(row["arm"]))):
        own = [row for row in rows if row["arm"] == arm]
        ratios = [row["seconds"] / base[row["repeat"]] for row in own if row["repeat"] in base]
        right, n = own[0]["right"], own[0]["n"]
        low, high = wilson(right, n)
        others = max(row["others"] for row in own)
        yield (f"| {ARMS[arm].what} | {middle([row['seconds'] for row in own], 1)} | {middle(ratios, 2) if ratios else ''} "
               f"| {statistics.median(row['cpu_seconds'] for row in own):.0f} | {max(row['memory_mb'] for row in own):.0f} "
               f"| {', '.join(str(row['right']) for row in own)} of {n} ({low:.3f} – {high:.3f}) "
               f"| {others:.2f}{' (!)' if others > BUSY else ''} |")


def middle(values: Sequence[float], digits: int) -> str:
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f}" + (f" ({low:.{digits}f} – {high:.{digits}f})" if len(values) > 1 else "")


def floors(floor: dict[str, Any], split: dict[str, int], regime: str, epochs: int) -> str:
    """Each photo decoded once and once through the frozen layers; in every epoch, the training photos forward and backward (three
    times the arithmetic of forward) and the validation photos forward through the others, with all cores at it."""
    photos, learned = sum(split.values()), floor["learned"][regime]
    passes = epochs * (3 * split["train"] + split["validation"]) + split["test"]
    forward = floor["gflop"] / floor["gflops"] * 1000
    seconds = (photos * (floor["decode_ms"] + (1 - learned) * forward) + passes * learned * forward) / floor["cores"] / 1000
    said = (f"Floor by arithmetic, {photos} photos, {floor['cores']} cores: {seconds:.1f} s ({floor['decode_ms']:.1f} ms "
            f"decoding a photo and core; {floor['gflop']:.2f} GFLOP a photo at {floor['gflops']:.0f} GFLOP/s a core, "
            f"{100 * learned:.0f} % of it in layers that learn).")
    if regime == "head":
        engine = photos * (floor["decode_ms"] + floor["engine_ms"]) / floor["cores"] / 1000
        said += f" With the best engine, {floor['engine_ms']:.1f} ms ONNX Runtime a photo and core: {engine:.1f} s."
    return said


if __name__ == "__main__":
    main()
