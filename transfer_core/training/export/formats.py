"""The formats: one decorated function each."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from timm.models._hub import save_config_for_hf  # no public name; the format of `local-dir:` and hub models

from transfer_core.datasets.manifest import Manifest
from transfer_core.errors import StudioError, Unavailable
from transfer_core.paths import assets, file_name, replacing
from transfer_core.registry import Registry
from transfer_core.reporting import report
from transfer_core.store import Store
from transfer_core.training import knowing
from transfer_core.training.card import model_card
from transfer_core.training.export import checks, int8, one_page
from transfer_core.training.export.facts import facts_of
from transfer_core.training.export.litert import INPUT, INSTALL, OUTPUT, write_litert
from transfer_core.training.export.replay import RECORDS, Run, read_json
from transfer_core.training.likeness import answering
from transfer_core.training.onnx_file import LIKENESS, as_exported, write_onnx
from transfer_core.training.restore import MANIFEST, NAME, PICTURES
from transfer_core.training.structure import Structure
from transfer_core.words import FALLBACK, languages

EXPORTERS: Registry[Any] = Registry("export format")


@EXPORTERS.add("timm", check=checks.timm_folder, beside=("config.json",))
def timm_folder(run: Run) -> Path:
    """Weights and configuration for timm and Hugging Face: `timm.create_model("local-dir:<folder>", pretrained=True)`.

    `model.safetensors` is the training's own best epoch; `config.json` beside it names architecture, classes, preprocessing.
    """
    if not Structure.from_dict(read_json(run.folder / "info.json").get("structure")).usual:
        raise Unavailable("export_structure")
    how = run.how
    with replacing(run.folder / "config.json") as part:
        save_config_for_hf(run.model, str(part), model_config={"label_names": run.classes}, data_config={
            "input_size": (3, *how.size), "crop_pct": how.crop_share, "crop_mode": how.crop_mode,
            "interpolation": how.interpolation, "mean": how.mean, "std": how.std})
    return run.folder / "model.safetensors"


@EXPORTERS.add("onnx", check=checks.onnx)
def onnx(run: Run) -> Path:
    """One file for any language and device, with class names and preprocessing inside. This is what the Predict page runs.

    Where the run knows from what likeness on a photo is of its classes (see `training.likeness`), it answers that, too.
    """
    file, bank = run.folder / "model.onnx", knowing.kept(run.folder)
    threshold = (run.report.get("none_below") or {}).get("value")
    if bank is None or threshold is None:
        write_onnx(run.model, run.how, facts_of(run), file)
    else:
        with answering(run.model, bank) as model:
            write_onnx(model, run.how, {**facts_of(run), "none_below": threshold, "likeness": LIKENESS}, file, LIKENESS)
    return file


@EXPORTERS.add("onnx-int8", check=checks.quantized, needs=("onnx",))
def onnx_int8(run: Run) -> Path:
    """The ONNX file with 8-bit numbers: a quarter of the size. Its answers differ a little; how much is measured."""
    return int8.quantize(run, run.folder / "model.onnx", run.folder / "model-int8.onnx")


@EXPORTERS.add("pt2", check=checks.exported_program)
def pt2(run: Run) -> Path:
    """A PyTorch program of its own (torch.export): opens with torch alone, without timm. Classes and preprocessing are inside."""
    file, size = run.folder / "model.pt2", run.how.size
    model = run.model.eval().cpu()
    with as_exported(model):
        try:
            batch = torch.export.Dim("batch", min=1)
            program = torch.export.export(model, (torch.zeros(2, 3, *size),), dynamic_shapes=({0: batch},))
        except Exception:  # noqa: BLE001 — some models fix the batch size while they are traced; one image always fits
            program = torch.export.export(model, (torch.zeros(1, 3, *size),))
    for node in program.graph.nodes:  # torch notes the source line of every operation: paths of this machine
        node.meta.pop("stack_trace", None)
    with replacing(file) as part, part.open("wb") as out:
        torch.export.save(program, out, extra_files={checks.FACTS: json.dumps(facts_of(run), ensure_ascii=False)})
    return file


@EXPORTERS.add("html", check=checks.page, named=True, needs=("onnx",))
def html(run: Run) -> Path:
    """A page that opens with a double click and needs no internet: model, classes and a way to drop a photo, in one file."""
    return one_page.write_page(run, run.folder / "model.onnx", run.folder / f"{file_name(run.name)}.html")


@EXPORTERS.add("html-folder", check=checks.page_folder, named=True, needs=("onnx",), unpack=True)
def html_folder(run: Run) -> Path:
    """The same page as files for a web server: for a large model, or a site that many people visit."""
    return one_page.write_folder(run, run.folder / "model.onnx", run.folder / f"{file_name(run.name)}-demo.zip")


@EXPORTERS.add("python", check=checks.program, named=True, needs=("onnx",), unpack=True)
def python(run: Run) -> Path:
    """A folder with a small program that names photos, and nothing of this studio: Python, ONNX Runtime and Pillow suffice."""
    file = run.folder / f"{file_name(run.name)}-python.zip"
    with replacing(file) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
        pack(packed, run.folder / "model.onnx")
        for member, text in program().items():
            packed.writestr(member, text)
        _pack_cards(packed, run, {"onnx": read_json(run.folder / RECORDS)["onnx"]})
    return file


@EXPORTERS.add("openvino", check=checks.openvino, needs=("onnx",), unpack=True, extra="openvino")
def openvino(run: Run) -> Path:
    """For Intel processors and graphics (OpenVINO): `model.xml`, `model.bin` and, beside them, classes and preprocessing."""
    import openvino as runtime

    file = run.folder / "model-openvino.zip"
    with tempfile.TemporaryDirectory() as place, replacing(file) as part:
        model = runtime.convert_model(run.folder / "model.onnx")
        runtime.save_model(model, Path(place) / "model.xml", compress_to_fp16=False)  # halves would answer a little otherwise
        (Path(place) / checks.FACTS).write_text(json.dumps(facts_of(run), ensure_ascii=False), "utf-8")
        with zipfile.ZipFile(part, "w") as packed:
            for member in sorted(Path(place).iterdir()):
                packed.write(member, member.name)
    return file


@EXPORTERS.add("litert", check=checks.litert, named=True, unpack=True, extra="litert_torch", install=INSTALL)
def litert(run: Run) -> Path:
    """For apps on phones and for small boards (LiteRT, once TensorFlow Lite): `model.tflite`, which takes a photo's pixels and
    gives percentages, `labels.txt`, and how a photo is cropped."""
    file = run.folder / f"{file_name(run.name)}-litert.zip"
    with tempfile.TemporaryDirectory() as place, replacing(file) as part, zipfile.ZipFile(part, "w") as packed:
        write_litert(run.model, run.how, Path(place) / "model.tflite")
        packed.write(Path(place) / "model.tflite", "model.tflite")
        packed.writestr("labels.txt", "".join(f"{' '.join(label.split())}\n" for label in run.classes))
        packed.writestr(checks.FACTS, json.dumps({**facts_of(run), "input": INPUT, "output": OUTPUT}, ensure_ascii=False))
        for member, text in program().items():
            if member != "predict.py":
                packed.writestr(member, re.sub(r"onnxruntime\S*", "ai-edge-litert>=2.1", text))
        _pack_cards(packed, run, {"litert": {}})
    return file


@EXPORTERS.add("zip", check=checks.whole, named=True, needs=("timm", "onnx"))
def zip_(run: Run) -> Path:
    """Everything: both models, a program that names photos, classes, recipe, measured numbers, and a model card."""
    file = run.folder / f"{file_name(run.name)}.zip"
    with replacing(file) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
        _pack_all(packed, run)
    return file


@EXPORTERS.add("project", check=checks.whole, named=True, needs=("timm", "onnx"))
def project(run: Run) -> Path:
    """Everything and the photos: another studio can go on with it (`import-project`)."""
    recipe, file = run.recipe, run.folder / f"{file_name(run.name)}-project.zip"
    try:
        manifest = Manifest.read(run.home, recipe["dataset"], recipe["version"])
    except FileNotFoundError as error:
        raise Unavailable("export_needs_photos") from error
    with replacing(file) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
        _pack_all(packed, run)
        if (told := _report(run)) is not None:
            packed.writestr("report.html", told)
        packed.writestr(NAME, json.dumps(run.name, ensure_ascii=False))
        packed.write(run.home.manifest(manifest.dataset, manifest.version), MANIFEST)
        for sha256 in dict.fromkeys(image.sha256 for image in manifest.images):
            if (picture := run.home.image(sha256)).is_file():
                packed.write(picture, PICTURES + sha256, zipfile.ZIP_STORED)
    return file


def _report(run: Run) -> bytes | None:
    """Only in the zip with the photos: it shows some of them. None where the store does not know the run, or it has no scores."""
    store = Store(run.home)
    try:
        return report(store, run.folder.name)
    except StudioError:
        return None
    finally:
        store.close()


def _pack_all(packed: zipfile.ZipFile, run: Run) -> None:
    records = read_json(run.folder / RECORDS)
    # timm reads config.json; info.json tells the studio itself, also of a shape that timm cannot build.
    members = ["model.safetensors", "info.json", "classes.json", "recipe.json", "report.json", "history.jsonl",
               *([knowing.FILE] if run.report.get("none_below") else [])]
    for member in [*members, *(["config.json"] if "timm" in records else [])]:
        if (run.folder / member).is_file():
            pack(packed, run.folder / member)
    if "onnx" in records:
        pack(packed, run.folder / records["onnx"]["file"])
        for member, text in program().items():
            packed.writestr(member, text)
    _pack_cards(packed, run, records)


def _pack_cards(packed: zipfile.ZipFile, run: Run, records: dict[str, Any]) -> None:
    for language in languages():
        packed.writestr("README.md" if language == FALLBACK else f"README.{language}.md", model_card(run, records, language))


def pack(packed: zipfile.ZipFile, file: Path) -> None:
    # Weights are noise to a compressor: 7 % smaller for ten times the seconds.
    weights = file.suffix in (".onnx", ".safetensors", ".npy")
    packed.write(file, file.name, zipfile.ZIP_STORED if weights else zipfile.ZIP_DEFLATED)


def program() -> dict[str, str]:
    """`predict.py` and what it needs. It opens and prepares pictures with our own modules, copied word for word, so
    that it cannot do otherwise than the studio; only the name of their package changes."""
    files = {name: (assets() / "export" / name).read_text("utf-8") for name in ("predict.py", "requirements.txt")}
    files["pictures/__init__.py"] = ""
    files["pictures/errors.py"] = (assets() / "export" / "errors.py").read_text("utf-8")
    core = Path(__file__).resolve().parents[2]
    for name in ("decode.py", "framing.py", "images.py"):
        files[f"pictures/{name}"] = (core / name).read_text("utf-8").replace("from transfer_core.", "from pictures.")
    return files
