"""Is an exported file the model that was measured? It is opened the way a stranger would, and asked about test images."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

from transfer_core.errors import TrainingFailed
from transfer_core.events import Event, Progressed
from transfer_core.images import fit_to, open_image, preprocess
from transfer_core.predictor import Predictor
from transfer_core.training.evaluate import full_float32
from transfer_core.training.export.replay import RECORDS, Replay, Rows, Run, read_json, replayed

Checked = Generator[Event, None, Replay]
FACTS = "transfer_studio.json"
"""What a PyTorch program says of itself lies under this name inside its file."""
FEW = 64
"""Images for formats that run the very code that measured: more say nothing new, and cost 70 ms each."""


def timm_folder(run: Run, _file: Path) -> Checked:
    """As a stranger: `timm.create_model("local-dir:…", pretrained=True)`. Every tensor must be equal bit for bit; the answers
    are then compared on a few images."""
    model = timm.create_model(f"local-dir:{run.folder}", pretrained=True).eval()
    ours = run.model.state_dict()
    if any(not torch.equal(tensor, ours[name]) for name, tensor in model.state_dict().items()):
        raise _differs("timm")
    return (yield from replayed("timm", _few(run), run.classes, _asked(run, model)))


def onnx(run: Run, file: Path) -> Checked:
    """Through `Predictor`, from the bytes of each image: the very path of the Predict page."""
    return (yield from replayed("onnx", run.rows, run.classes, _predicted(run, _predictor(run, file, "onnx"))))


def quantized(run: Run, file: Path) -> Checked:
    """The same, and how many it names rightly: this file is not meant to answer alike, only nearly so."""
    return (yield from replayed("onnx-int8", run.rows, run.classes, _predicted(run, _predictor(run, file, "onnx-int8")),
                                tolerance=None))


def exported_program(run: Run, file: Path) -> Checked:
    """With `torch.export.load` alone; a fixed batch of one is asked one at a time."""
    extra = {FACTS: ""}
    program = torch.export.load(file, extra_files=extra)
    if json.loads(extra[FACTS])["classes"] != run.classes:
        raise _differs("pt2")
    module = program.module()
    return (yield from replayed("pt2", _few(run), run.classes, _asked(run, module, one_by_one=True)))


def openvino(run: Run, file: Path) -> Checked:
    """With OpenVINO's own runtime on the processor, in full 32-bit numbers."""
    import openvino as runtime

    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(file) as packed:
            packed.extractall(folder)  # one that we wrote
        model = runtime.compile_model(Path(folder) / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return (yield from replayed("openvino", run.rows, run.classes, _asked(
            run, lambda images: torch.from_numpy(model(images.numpy())[0]), one_by_one=True)))


def litert(run: Run, file: Path) -> Checked:
    """With the runtime that phones have, from the pixels of each photo."""
    from ai_edge_litert.interpreter import Interpreter

    with zipfile.ZipFile(file) as packed:
        model = Interpreter(model_content=packed.read("model.tflite"), num_threads=torch.get_num_threads())
    ask = model.get_signature_runner()

    def answer(rows: Rows) -> np.ndarray:
        images = (fit_to(open_image(run.home.image(row["sha256"])), run.how) for row in rows)
        return np.concatenate([ask(image=np.asarray(image, np.float32)[None])["probabilities"] for image in images])

    return (yield from replayed("litert", run.rows, run.classes, answer))


def program(run: Run, file: Path) -> Checked:
    """As a stranger: unpacked into an empty folder, and `python predict.py --json` run there."""
    def answer(rows: Rows) -> np.ndarray:
        images = [str(run.home.image(row["sha256"])) for row in rows]
        done = subprocess.run([sys.executable, "-I", "-X", "utf8", "-c", _RUN, str(place / "predict.py"), "--json", *images],  # noqa: S603
                              cwd=place, capture_output=True, check=False)
        try:
            said = json.loads(done.stdout)["predictions"]
            return np.array([list(each["probabilities"].values()) for each in said])
        except (ValueError, KeyError) as error:
            said = done.stderr.decode("utf-8", "replace")
            raise TrainingFailed("export_failed", format="python", detail=said[-200:]) from error

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with zipfile.ZipFile(file) as packed:
            packed.extractall(place)  # one that we wrote
        return (yield from replayed("python", _few(run), run.classes, answer))


_RUN = """
import runpy, sys
for name in ("transfer_core", "torch", "timm"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
sys.path.insert(0, ".")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def whole(run: Run, file: Path) -> Checked:
    """The models inside are, byte for byte, the files that were replayed: their result is this one's."""
    yield Progressed(stage="replaying", done=0)
    records = read_json(run.folder / RECORDS)
    with zipfile.ZipFile(file) as packed:
        if packed.testzip() is not None:
            raise TrainingFailed("export_failed", format="zip", detail="CRC")
        for member in ("model.onnx", "model.safetensors"):
            if member in packed.namelist():
                with packed.open(member) as inside, (run.folder / member).open("rb") as outside:
                    if hashlib.file_digest(inside, "sha256").digest() != hashlib.file_digest(outside, "sha256").digest():
                        raise _differs("zip")
    return Replay.of(records.get("onnx") or records["timm"])


def page(run: Run, file: Path) -> Checked:
    """The model that the page unpacks is, byte for byte, the file that was replayed. (What a browser makes of it, the page checks
    itself when it is opened.)"""
    yield Progressed(stage="replaying", done=0)
    held = re.search(rb'id="file-model\.onnx"( data-packed="gzip")?>([^<]*)<', file.read_bytes())
    model = base64.b64decode(held[2]) if held else b""
    return _same_model(run, gzip.decompress(model) if held and held[1] else model, "html")


def page_folder(run: Run, file: Path) -> Checked:
    """The model beside the page is, byte for byte, the file that was replayed."""
    yield Progressed(stage="replaying", done=0)
    with zipfile.ZipFile(file) as packed:
        return _same_model(run, packed.read("model.onnx"), "html-folder")


def _same_model(run: Run, model: bytes, format: str) -> Replay:  # noqa: A002
    if model != (run.folder / "model.onnx").read_bytes():
        raise _differs(format)
    return Replay.of(read_json(run.folder / RECORDS)["onnx"])


def _few(run: Run) -> Rows:
    return run.rows[:: max(1, len(run.rows) // FEW)][:FEW]


def _predictor(run: Run, file: Path, format: str) -> Predictor:  # noqa: A002
    predictor = Predictor(file)
    if predictor.classes != run.classes or predictor.preprocessing != run.how:
        raise _differs(format)
    return predictor


def _predicted(run: Run, predictor: Predictor) -> Callable[[Rows], np.ndarray]:
    return lambda rows: np.array([
        [*one.probabilities, *([] if one.likeness is None else [one.likeness])]
        for one in predictor.predict_files([run.home.image(row["sha256"]) for row in rows])])


def _asked(run: Run, model: Callable[[torch.Tensor], Any], one_by_one: bool = False) -> Callable[[Rows], np.ndarray]:
    def answer(rows: Rows) -> np.ndarray:
        images = torch.from_numpy(np.stack([preprocess(open_image(run.home.image(row["sha256"])), run.how) for row in rows]))
        with torch.inference_mode(), full_float32():
            logits = torch.cat([model(part) for part in images.split(1 if one_by_one else len(images))])
            return logits.softmax(dim=-1).numpy()

    return answer


def _differs(format: str) -> TrainingFailed:  # noqa: A002
    return TrainingFailed("export_differs", format=format, same=0, replayed=0, difference="–")
