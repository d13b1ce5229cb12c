"""A model as a web page: classes, preparation of photos and ONNX Runtime Web inside; it asks no server for anything.

Two forms: one file that opens with a double click, or a folder for a web server, where the browser reads the model beside the
page. `assets/demo/` holds the page's parts.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import zipfile
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transfer_core import web_runtime
from transfer_core.errors import Unavailable
from transfer_core.paths import assets, replacing
from transfer_core.predictor import Predictor
from transfer_core.training.export.replay import Run
from transfer_core.words import languages, texts

LARGEST = 150_000_000
"""Bytes of a model in one page: as base64 it is a third more, and a browser holds it twice while it opens."""
_CHECKED = (97, 61)
"""Width and height of the drawn picture with which a page checks its device."""
_POLICY = ("default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; style-src 'unsafe-inline'; "
           "img-src blob: data:; media-src blob: mediastream:; connect-src {reads}; base-uri 'none'; form-action 'none'")


def write_page(run: Run, model: Path, file: Path) -> Path:
    """One `.html`. Raises `Unavailable` without the runtime's files, and for a model above `LARGEST`."""
    if model.stat().st_size > LARGEST:
        raise Unavailable("export_page_too_large", size=round(model.stat().st_size / 1e6), most=round(LARGEST / 1e6))
    runtime = web_runtime.web_runtime(run.home)
    files = [_held(name, (runtime / name).read_bytes(), packed=True) for name in (web_runtime.GLUE, web_runtime.ENGINE)]
    files.append(_held("model.onnx", model.read_bytes(), packed=False))
    with replacing(file) as part:
        part.write_text(_page(run, model, runtime, "\n".join(files), reads="blob: data:"), "utf-8")
    return file


def write_folder(run: Run, model: Path, file: Path) -> Path:
    """A zip of `index.html` and what it reads. Raises `Unavailable` without the runtime's files."""
    runtime = web_runtime.web_runtime(run.home)
    with replacing(file) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("index.html", _page(run, model, runtime, "", reads="'self' blob: data:"))
        for name in (web_runtime.GLUE, web_runtime.ENGINE):
            packed.write(runtime / name, name)
        packed.write(model, "model.onnx", zipfile.ZIP_STORED)
    return file


def _held(name: str, data: bytes, packed: bool) -> str:
    """A file inside the page. Weights are noise to a compressor; the runtime becomes a quarter."""
    text = base64.b64encode(gzip.compress(data, 9, mtime=0) if packed else data).decode()
    how = ' data-packed="gzip"' if packed else ""
    return f'<script type="text/plain" id="file-{name}"{how}>{text}</script>'


def _page(run: Run, model: Path, runtime: Path, files: str, reads: str) -> str:
    parts = assets() / "demo"
    measured = _measured(run)
    values = {
        "policy": _POLICY.format(reads=reads),
        "title": escape(run.name), "icon": base64.b64encode((assets() / "icon.svg").read_bytes()).decode(),
        "style": (parts / "style.css").read_text("utf-8"),
        "measured": f'<p data-say="measured_{measured["split"]}"></p>' if measured else "",
        "classes": "".join(f"<li>{escape(name)}</li>" for name in run.classes),
        "runtime_version": web_runtime.VERSION, "size": f"{model.stat().st_size / 1e6:.1f} MB",
        "single": ' data-single="yes"' if files else "",
        "facts": json.dumps(_facts(run, model, measured), ensure_ascii=False).replace("<", "\\u003c"),
        "files": files, "runtime": _script((runtime / web_runtime.SCRIPT).read_text("utf-8")),
        "script": "\n".join((parts / name).read_text("utf-8") for name in ("picture.js", "demo.js")),
    }
    # In one pass: what a person called their classes is not searched for marks again.
    return re.sub(r"@@(\w+)@@", lambda mark: values[mark[1]], (parts / "page.html").read_text("utf-8"))


def _script(text: str) -> str:
    if "</script" in text.lower():
        raise ValueError("a script that ends its own element")
    return f"<script>\n{text}\n</script>"


def _facts(run: Run, model: Path, measured: dict[str, Any]) -> dict[str, Any]:
    """What the page's script reads."""
    predictor = Predictor(model)
    width, height = _CHECKED
    return {
        **{name: predictor.facts.get(name) for name in ("classes", "preprocessing", "temperature", "input", "output",
                                                        "none_below", "likeness")},
        "measured": measured,
        "check": {"width": width, "height": height,
                  "probabilities": [float(f"{share:.7g}") for share in predictor.predict([drawn(width, height)])[0]]},
        "words": {language: {key.removeprefix("demo."): text for key, text in texts(language).items() if key.startswith("demo.")}
                  for language in languages()},
    }


def drawn(width: int, height: int) -> Image.Image:
    """A picture that a page can draw by itself, number for number (`demo.js` does)."""
    x, y = np.arange(width)[None, :], np.arange(height)[:, None]
    planes = np.broadcast_arrays((7 * x + 3 * y) % 256, (x * y) % 256, (5 * x + 250 - 2 * y) % 256)
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))


def _measured(run: Run) -> dict[str, Any]:
    split = next((split for split in ("test", "validation") if split in run.report), None)
    if split is None:
        return {}
    report = run.report[split]
    told = "claimed" if run.report.get("claimed") else split
    return {"split": told, "n": report["n"], **{name: f"{100 * report[name]:.1f}" for name in ("accuracy", "low", "high")}}
