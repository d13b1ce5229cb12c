"""Ours, from Python: train and measure the test photos. `task.arm` says what the data home holds already.

`ours`: the dataset, nothing else. `ours-exported`: the prefix as an ONNX file too. `ours-again`: all that a run before it stored.
`ours-uncached`: the plain way. `prepare` makes the home; `floor` measures what a part costs at the least.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from task import Task
from torch import nn

from transfer_core import catalog, datasets
from transfer_core.events import Cached, Epoch, Evaluated, Finished, Imported
from transfer_core.jobs.worker import cores
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.store import Store
from transfer_core.training.evaluate import evaluate
from transfer_core.training.export.replay import open_run
from transfer_core.training.fit import choose_device, fit
from transfer_core.training.models import build
from transfer_core.training.onnx_file import write_onnx
from transfer_core.training.packaged import packaged_file, packaged_state_dict
from transfer_core.training.pipeline import ImageInputs
from transfer_core.training.prefix.answers import StoredAnswers

FROZEN = {"head": "all", "last2": 6, "everything": 0}
"""Layer groups of EfficientNet-Lite0 (stem, blocks.0 … blocks.6) that stay as they are."""


def main() -> None:
    task, began = Task.read(), time.perf_counter()
    home = Home(Path(task.home))
    if task.arm == "prepare":
        prepare(task, home)
    elif task.arm == "floor":
        Path(task.answer).write_text(json.dumps(floor(task, home)))
    else:
        train(task, home, began)


def recipe_of(task: Task, dataset: str) -> Recipe:
    return Recipe(dataset=dataset, model=f"{task.model}.in1k", freeze=FROZEN[task.regime], epochs=task.epochs, patience=0,
                  seed=task.seed, augmentation="none", regularizer=None)


def train(task: Task, home: Home, began: float) -> None:
    store, out = Store(home), home.run(f"bench-{task.arm}-{task.seed}")
    manifest = datasets.Manifest.read(home, store.datasets()[0].id, 1)
    facts: dict[str, object] = {}
    for event in fit(recipe_of(task, manifest.dataset), manifest, home, out, cache=task.arm != "ours-uncached"):
        if isinstance(event, Cached):
            facts |= {"boundary": event.boundary, "hit": event.hit, "engine": event.engine, "prefix_seconds": event.seconds}
        elif isinstance(event, Epoch) and event.epoch == 1:
            facts["first_epoch_after"] = time.perf_counter() - began
        elif isinstance(event, Finished):
            facts["fit_seconds"] = event.seconds
    run, where = open_run(out, home, "bench"), choose_device("auto")
    stored = StoredAnswers(out, run.model, home, where)
    for event in evaluate(run.model, run.classes, run.how, manifest, "test", home, out, where, stored):
        if isinstance(event, Evaluated):
            task.done(began, event.report["correct"], event.report["n"], **facts)


def prepare(task: Task, home: Home) -> None:
    """Import the photos, and write the packaged weights for the other arms."""
    began, made = time.perf_counter(), None
    for event in datasets.import_dataset(Path(task.photos), "bench", Store(home)):
        made = event if isinstance(event, Imported) else made
    if made is None:
        sys.exit("the photos were not imported")
    seconds = time.perf_counter() - began
    name = f"{task.model}.in1k"
    save_file({key: tensor.contiguous() for key, tensor in packaged_state_dict(name, packaged_file(name)).items()}, task.weights)
    Path(task.answer).write_text(json.dumps({"import_seconds": seconds, "split": made.summary["split"]}))


def floor(task: Task, home: Home) -> dict[str, object]:
    """Core-milliseconds an image: decode and resize; the whole model in ONNX Runtime; its arithmetic at the best rate seen, and
    what share of it lies in the layers that learn."""
    store = Store(home)
    manifest = datasets.Manifest.read(home, store.datasets()[0].id, 1)
    info = catalog.model(f"{task.model}.in1k")
    built, file = build(recipe_of(task, "-"), 2, home), Path(task.answer).with_suffix(".onnx")
    inputs = ImageInputs.of(manifest.of("train")[:128], manifest.classes, home, built.preprocessing)
    some = range(len(inputs.images))
    decode = at_best(lambda: spread(inputs.plain, some), len(some))
    write_onnx(built.model.eval(), built.preprocessing, {}, file, quick=True)
    engine = session(file)
    name = engine.get_inputs()[0].name
    images = [inputs.plain(place)[None] for place in some[:32]]
    forward = at_best(lambda: spread(lambda image: engine.run(None, {name: image}), images), len(images))
    learned = {regime: sum(group.share for group in info.groups[len(info.groups) if first == "all" else first:])
               for regime, first in FROZEN.items()}
    return {"decode_ms": decode, "engine_ms": forward, "gflop": 2 * info.gmacs, "gflops": peak(), "cores": cores(),
            "learned": learned}


def session(file: Path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def spread(work, items) -> None:
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(work, items))


def at_best(work, count: int, repeats: int = 7) -> float:
    """Core-milliseconds an image with all cores at it, the fastest of some repeats: disturbances only slow down."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return 1000 * min(times) * cores() / count


def peak() -> float:
    """GFLOP/s of one core's share in a dense 3×3 convolution, channels_last: the best rate PyTorch gives here."""
    layer = nn.Conv2d(256, 256, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    images = torch.rand(8, 256, 28, 28).to(memory_format=torch.channels_last)
    flop = 2 * 256 * 256 * 9 * images.shape[0] * 28 * 28
    with torch.inference_mode():
        milliseconds = at_best(lambda: layer(images), 1, repeats=30)
    return flop / 1e6 / milliseconds


if __name__ == "__main__":
    assert timm.is_model("tf_efficientnet_lite0")
    main()
