"""Trainings that never ran: their events and files written by hand, so that pages can be tested without torch.

The model names a photo by its mean colour, so every answer can be worked out: logits are ten times the mean of red, green, blue.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from PIL import Image

from transfer_core import metrics
from transfer_core.events import (
    Epoch,
    Evaluated,
    Event,
    Exported,
    Failed,
    Finished,
    Kept,
    Losses,
    Progressed,
    Started,
    Step,
    Stopped,
)
from transfer_core.images import Preprocessing
from transfer_core.recipe import Recipe
from transfer_core.store import Job, Store
from transfer_core.store.schema import jobs
from transfer_core.words import message

CLASSES = ["red", "green *x*", "<b>blue</b>"]
"""Names that would be markup, were they not taken for text."""
STEPS = 4
"""An epoch."""


def dataset(store: Store, name: str = "Colours [a]", dataset_id: str = "colours-1") -> str:
    summary = {"dataset": dataset_id, "version": 1, "classes": dict.fromkeys(CLASSES, 40), "imported": 120,
               "split": {"train": 84, "validation": 18, "test": 18}}
    store.add_dataset(name, dataset_id, message("app.name"), summary)
    return dataset_id


def payload(**settings) -> dict:
    return {"recipe": Recipe(**{"dataset": "colours-1", "epochs": 10, **settings}).model_dump()}


def queued(store: Store, device: str = "cpu", **settings) -> Job:
    return store.submit("train", payload(**settings), device)


def begun(store: Store, kind: str, payload: dict, device: str = "cpu") -> Job:
    """A job that runs from its first moment on. (What is queued, the supervisor of a studio may take before we do.)"""
    job, now = f"{kind}-{secrets.token_hex(5)}", time.time()
    with store._write() as connection:
        connection.execute(sa.insert(jobs).values(id=job, kind=kind, state="running", device=device, payload=payload, created=now,
                                                  started=now, pid=os.getpid(), heartbeat=now, owner=store.person))
    return store.job(job)


@contextmanager
def alive(store: Store, run: Job) -> Iterator[Job]:
    """A worker's heartbeat, so that the supervisor does not take the story's run for dead; at the end it is over."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(2):
            store.beat(run.id)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield run
    finally:
        over.set()
        thread.join()
        if store.job(run.id).live:
            store.end(run.id, "stopped", {})


def started(epochs: int = 10) -> Started:
    return Started(epochs=epochs, steps_per_epoch=STEPS, classes=CLASSES, images={"train": 84, "validation": 18, "test": 18},
                   trainable_parameters=3843, total_parameters=3_374_851, device="cpu", precision="float32", batch_size=32)


KEPT = Kept(images=20, agreement=0.75, similarity=0.9, drift={"layer4": 0.02}, moved=0.01)


def epoch(number: int, accuracy: float = 0.5, best: bool = True, loss: float | None = None, left: float = 40.0,
          kept: Kept | None = KEPT) -> list[Event]:
    """The steps of an epoch and its end: `accuracy` of 18 validation photos are right, the rest called red."""
    loss = 1.0 / number if loss is None else loss
    right = round(6 * accuracy)
    confusion = [[6, 0, 0], [6 - right, right, 0], [6 - right, 0, right]]
    steps = [Step(step=STEPS * (number - 1) + step, epoch=number, losses=Losses(total=loss, target=loss, penalty=0.01),
                  learning_rate=0.00042, images_per_second=12.3) for step in range(1, STEPS + 1)]
    return [*steps, Epoch(epoch=number, step=STEPS * number, train=steps[-1].losses, train_accuracy=0.6,
                          validation=Losses(total=loss, target=loss), validation_accuracy=(6 + 2 * right) / 18,
                          confusion=confusion, best=best, seconds=2.0, seconds_left=left, kept=kept)]


def running(store: Store, epochs: int = 2, device: str = "cpu", **settings) -> Job:
    run = begun(store, "train", payload(**settings), device)
    store.append(run.id, started(), *(event for number in range(1, epochs + 1) for event in epoch(number)))
    return run


def measured(store: Store, run: Job, split: str = "test") -> dict:
    """Eighteen photos: all red ones right, one green one called red, two blue ones called green. Writes what a worker would."""
    truth = [0] * 6 + [1] * 6 + [2] * 6
    said = [0] * 6 + [0] + [1] * 5 + [1] * 2 + [2] * 4
    probabilities = np.array([[0.8 if c == guess else 0.1 for c in range(3)] for guess in said])
    probabilities[6] = [0.97, 0.02, 0.01]  # the surest mistake
    report = metrics.report(truth, probabilities, CLASSES, dict.fromkeys(CLASSES, 28))
    folder = store.home.run(run.id)
    rows = [{"sha256": f"{number:064x}", "file": f"{CLASSES[label]}/{number}.jpg", "label": CLASSES[label],
             "predicted": CLASSES[guess], "probabilities": list(map(float, given)), "likeness": float(given.max())}
            for number, (label, guess, given) in enumerate(zip(truth, said, probabilities, strict=True))]
    (folder / f"predictions_{split}.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    (folder / "classes.json").write_text(json.dumps(CLASSES), "utf-8")
    (folder / "report.json").write_text(json.dumps({split: report}), "utf-8")
    return report


def ended(store: Store, run: Job, state: str = "finished", split: str = "test") -> Job:
    """Evaluated, exported, over. `state`: finished, or stopped (and kept)."""
    report = measured(store, run, split)
    color_model(store.home.run(run.id) / "model.onnx")
    (store.home.run(run.id) / "My colours.zip").write_bytes(b"zip")
    end = Finished(best_epoch=2, seconds=75.0, stopped_early=True) if state == "finished" else Stopped(kept=True, best_epoch=2)
    fit_end = [end] if state == "finished" else []
    store.append(run.id, *fit_end, Progressed(stage="evaluating", done=0, total=18), Evaluated(split=split, report=report),
                 Exported(format="onnx", file="model.onnx", bytes=13_400_000, replayed=18, same=18, largest_difference=6e-7),
                 Exported(format="zip", file="My colours.zip", bytes=27_100_000, replayed=18, same=17, largest_difference=0.02),
                 *([] if fit_end else [end]))
    score = {name: report[name] for name in ("accuracy", "low", "high", "n", "macro_f1")}
    store.end(run.id, state, {"epochs": 2, "best_epoch": 2, split: score, "files": {"zip": "My colours.zip"}, "seconds": 75.0})
    return store.job(run.id)


def finished(store: Store, **settings) -> Job:
    return ended(store, running(store, **settings))


def failed(store: Store, resumable: bool = True) -> Job:
    run = running(store)
    hint = message("errors.model_gives_nan.hint")
    store.append(run.id, Failed(message=message("errors.no_such_model.text", model="a *b* [c](http://x)"), hint=hint))
    if resumable:
        (store.home.run(run.id) / "last.pt").write_bytes(b"a checkpoint")
    store.end(run.id, "failed")
    return store.job(run.id)


def thrown_away(store: Store) -> Job:
    run = running(store)
    store.append(run.id, Stopped(kept=False))
    store.end(run.id, "stopped", {})
    return store.job(run.id)


def color_model(file: Path, none_below: float | None = None) -> None:
    """An ONNX file as we export them: 10 × the mean of each colour channel; and the largest of these means as the likeness."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["input"], ["mean"], axes=[2, 3], keepdims=0),
         helper.make_node("Mul", ["mean", "ten"], ["logits"]),
         helper.make_node("ReduceMax", ["mean"], ["likeness"], axes=[1], keepdims=0)],
        "colours", [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3]),
         helper.make_tensor_value_info("likeness", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor("ten", TensorProto.FLOAT, [1], [10.0])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    how = Preprocessing(size=(8, 8), crop_share=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    facts = {"classes": CLASSES, "preprocessing": how.to_dict(), "temperature": 1.0, "none_below": none_below,
             "input": "input", "output": "logits", "likeness": "likeness"}
    helper.set_model_props(model, {"format": "transfer-studio/1", **{name: json.dumps(value) for name, value in facts.items()}})
    onnx.save(model, file)


def share(red: float, green: float, blue: float) -> list[float]:
    """What the colour model says of a photo of one colour (0 to 1 each): a softmax written out."""
    powers = [math.exp(10 * value) for value in (red, green, blue)]
    return [power / sum(powers) for power in powers]


def photo(file: Path, color: tuple[int, int, int]) -> Path:
    Image.new("RGB", (32, 24), color).save(file)
    return file


def upload(store: Store, upload_id: str, files: dict[str, bytes]) -> str:
    """What the upload route leaves behind."""
    folder = store.home.uploads / upload_id
    folder.mkdir(parents=True)
    lines = []
    for number, (name, content) in enumerate(files.items()):
        (folder / str(number)).write_bytes(content)
        lines.append(json.dumps({"n": number, "path": f"{number}/{name}", "bytes": len(content)}))
    (folder / "index.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return upload_id
