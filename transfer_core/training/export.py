"""A trained run as files to take home. Every file is opened again and asked about test images before it is offered.

One decorated function is one format: it writes its file into the run's folder and returns it; `check` opens that file
the way a stranger would and compares. `transfer-studio export --format` and the share page follow from the registry.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from timm.models._hub import save_config_for_hf  # no public name; the format of `local-dir:` and hub models

from transfer_core.errors import NotFound, StudioError, TrainingFailed, Unavailable
from transfer_core.events import Event, Exported, Note, Progressed
from transfer_core.paths import Home, assets, replacing, write_json
from transfer_core.registry import Registry
from transfer_core.training.card import model_card
from transfer_core.training.onnx_file import write_onnx
from transfer_core.training.replay import RECORDS, Run, check_onnx, check_safetensors, check_zip, open_run, read_json
from transfer_core.training.structure import Structure

EXPORTERS: Registry[Any] = Registry("export format")


def export(folder: Path | str, home: Home, format: str, *, name: str = "model",  # noqa: A002
           out: Path | None = None) -> Iterator[Event]:
    """Make one format in the run's folder, replay it, and copy it to `out` when asked. Last event: `Exported`.

    What was made of the same weights before is not made again. Raises `BadRecipe` for an unknown format, `NotFound` for a
    run without a model, `TrainingFailed` when the file cannot be made (`export_failed`) or answers otherwise than the model
    that was measured (`export_differs`); such a file is removed.
    """
    folder, choice = Path(folder), EXPORTERS[format]
    if not (folder / "model.safetensors").is_file():
        raise NotFound("no_trained_model", folder=folder.name)
    for need in choice.facts.get("needs", ()):
        try:
            yield from export(folder, home, need, name=name)
        except StudioError as error:  # one format that fails does not take the others along
            yield Note(level="warning", message=error.as_message())
    key = f"{sha256_of(folder / 'model.safetensors')} {name if choice.facts.get('named') else ''} {studio_version()}"
    record = read_json(folder / RECORDS).get(format, {})
    if record.get("key") != key or not (folder / record["file"]).is_file():
        yield Progressed(stage="exporting", done=0)
        run = open_run(folder, home, name)
        file = _made(choice, run)
        try:
            replay = yield from choice.facts["check"](run, file)
        except BaseException:
            _forget(folder, format, file)
            raise
        if record and record["file"] != file.name:  # the run has a new name, and so has its file
            (folder / record["file"]).unlink(missing_ok=True)
        record = {"key": key, "file": file.name, "bytes": file.stat().st_size, **asdict(replay)}
        write_json(folder / RECORDS, {**read_json(folder / RECORDS), format: record})
    if out and out.resolve() != folder.resolve():
        out.mkdir(parents=True, exist_ok=True)
        for part in (record["file"], *choice.facts.get("beside", ())):
            shutil.copyfile(folder / part, out / part)
    yield Exported(format=format, **{field: value for field, value in record.items() if field != "key"})


def _made(choice: Any, run: Run) -> Path:
    try:
        return choice(run)
    except StudioError:
        raise
    except Exception as error:  # translating a model meets every kind of error of three libraries
        raise TrainingFailed("export_failed", format=choice.name, detail=str(error).strip().split("\n")[0][:200]) from error


def _forget(folder: Path, format: str, file: Path) -> None:  # noqa: A002
    if file.name != "model.safetensors":  # the training's own result, not ours to remove
        file.unlink(missing_ok=True)
    write_json(folder / RECORDS, {name: record for name, record in read_json(folder / RECORDS).items() if name != format})


# Formats


@EXPORTERS.add("safetensors", check=check_safetensors, beside=("config.json",))
def safetensors(run: Run) -> Path:
    """Weights and configuration for timm: `timm.create_model("local-dir:<folder>", pretrained=True)`.

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


@EXPORTERS.add("onnx", check=check_onnx)
def onnx(run: Run) -> Path:
    """One file for any language and device, with class names and preprocessing inside. This is what the Predict page runs."""
    file = run.folder / "model.onnx"
    write_onnx(run.model, run.how, onnx_facts(run), file)
    return file


def onnx_facts(run: Run) -> dict[str, Any]:
    """What an ONNX file says of itself: all that is needed to ask it about a photo, and where it came from."""
    return {"classes": run.classes, "preprocessing": run.how.to_dict(), "temperature": 1.0,
            "architecture": run.recipe["model"], "run": run.folder.name, "studio_version": studio_version()}


@EXPORTERS.add("zip", check=check_zip, named=True, needs=("safetensors", "onnx"))
def zip_(run: Run) -> Path:
    """Everything: both models, a program that names photos, classes, recipe, measured numbers, and a model card."""
    records = read_json(run.folder / RECORDS)
    file = run.folder / f"{file_name(run.name)}.zip"
    # timm reads config.json; of a shape that it cannot build, info.json tells `load_run` how.
    described = "config.json" if "safetensors" in records else "info.json"
    with replacing(file) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
        for member in ("model.safetensors", described, "classes.json", "recipe.json", "report.json"):
            if (run.folder / member).is_file():
                _pack(packed, run.folder / member)
        if "onnx" in records:
            _pack(packed, run.folder / records["onnx"]["file"])
            for member, text in program().items():
                packed.writestr(member, text)
        packed.writestr("README.md", model_card(run, records, "en"))
        packed.writestr("README.zh.md", model_card(run, records, "zh"))
    return file


def _pack(packed: zipfile.ZipFile, file: Path) -> None:
    # Weights are noise to a compressor: 7 % smaller for ten times the seconds.
    weights = file.suffix in (".onnx", ".safetensors")
    packed.write(file, file.name, zipfile.ZIP_STORED if weights else zipfile.ZIP_DEFLATED)


def program() -> dict[str, str]:
    """`predict.py` and what it needs. It opens and prepares pictures with our own two modules, copied word for word, so
    that it cannot do otherwise than the studio; only the name of their package changes."""
    files = {name: (assets() / "export" / name).read_text("utf-8") for name in ("predict.py", "requirements.txt")}
    files["pictures/__init__.py"] = ""
    files["pictures/errors.py"] = (assets() / "export" / "errors.py").read_text("utf-8")
    core = Path(__file__).resolve().parents[1]
    for name in ("decode.py", "images.py"):
        files[f"pictures/{name}"] = (core / name).read_text("utf-8").replace("from transfer_core.", "from pictures.")
    return files


def file_name(name: str) -> str:
    """A name a person chose as a file name that every system takes: no separators, no control characters, at most 100 bytes."""
    kept = "".join("-" if sign in '/\\:*?"<>|' or not sign.isprintable() else sign for sign in name).strip(" .-")
    return kept.encode()[:100].decode("utf-8", "ignore").strip(" .-") or "model"


def studio_version() -> str:
    try:
        return importlib.metadata.version("transfer-studio")
    except importlib.metadata.PackageNotFoundError:
        return "0"


def sha256_of(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
