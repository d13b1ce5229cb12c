"""A trained run as files to take home. Every file is opened again and asked about test images before it is offered.

One decorated function is one format: it writes its file into the run's folder and returns it; `check` opens that file the way a
stranger would and compares. `transfer-studio export --format` and the share page follow from the registry. Facts of a format:

| fact | meaning |
|---|---|
| check | generator of events that returns a `Replay` |
| named | the file bears the run's name, so a new name makes it anew |
| needs | formats that are made first |
| beside | files of the run's folder that belong to it |
| unpack | it is a zip of a folder: who asks for it in a folder of their own gets what is inside |
| extra | the package that makes it, when that is none of ours to require |
| install | what pip is told to get it, where the package's name is not enough |
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Generator, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock

from transfer_core.errors import NotFound, StudioError, TrainingFailed, Unavailable, says_disk_full
from transfer_core.events import Event, Exported, Note, Progressed
from transfer_core.paths import Home, file_name, studio_version, write_json
from transfer_core.training.export.facts import sha256_of
from transfer_core.training.export.formats import EXPORTERS
from transfer_core.training.export.replay import RECORDS, Run, open_run, read_json

__all__ = ["EXPORTERS", "export", "file_name", "sha256_of"]


def export(folder: Path | str, home: Home, format: str, *, name: str = "model",  # noqa: A002
           out: Path | None = None) -> Iterator[Event]:
    """Make one format in the run's folder, replay it, and copy it to `out` when asked (a folder is unpacked there). Last event:
    `Exported`.

    What was made of the same weights before is not made again. Raises `BadRecipe` for an unknown format, `NotFound` for a
    run without a model, `Unavailable` when something it is made with is not there, `TrainingFailed` when the file cannot be made
    (`export_failed`) or answers otherwise than the model that was measured (`export_differs`); such a file is removed.
    """
    folder, choice = Path(folder), EXPORTERS[format]
    if not (folder / "model.safetensors").is_file():
        raise NotFound("no_trained_model", folder=folder.name)
    if (package := choice.facts.get("extra")) and find_spec(package) is None:
        raise Unavailable("export_extra", format=format, package=package,
                          install=choice.facts.get("install", package))
    with FileLock(home.cache / f"exports-{folder.name}.lock"):  # two formats of one run share what they need, and its records
        for need in choice.facts.get("needs", ()):
            try:
                yield from _export(folder, home, EXPORTERS[need], name)
            except StudioError as error:  # one format that fails does not take the others along
                yield Note(level="warning", message=error.as_message())
        exported = yield from _export(folder, home, choice, name)
        if out and out.resolve() != folder.resolve():
            yield exported.model_copy(update={"files": _copied(folder, exported.file, choice.facts, out)})


def _export(folder: Path, home: Home, choice: Any, name: str) -> Generator[Event, None, Exported]:
    known = (read_json(folder / "report.json").get("none_below") or {}).get("value")  # the files say it, too
    key = f"{sha256_of(folder / 'model.safetensors')} {name if choice.facts.get('named') else ''} {studio_version()} {known}"
    record = read_json(folder / RECORDS).get(choice.name, {})
    if record.get("key") != key or not (folder / record["file"]).is_file():
        yield Progressed(stage="exporting", done=0)
        run = open_run(folder, home, name)
        file = _made(choice, run)
        try:
            replay = yield from choice.facts["check"](run, file)
        except BaseException:
            _forget(folder, choice.name, file)
            raise
        if record and record["file"] != file.name:  # the run has a new name, and so has its file
            (folder / record["file"]).unlink(missing_ok=True)
        record = {"key": key, "file": file.name, "bytes": file.stat().st_size, **asdict(replay)}
        write_json(folder / RECORDS, {**read_json(folder / RECORDS), choice.name: record})
    exported = Exported(format=choice.name, **{field: value for field, value in record.items() if field != "key"})
    yield exported
    return exported


def _copied(folder: Path, file: str, facts: dict[str, Any], out: Path) -> list[str]:
    """Names of the files that lie in `out` now."""
    out.mkdir(parents=True, exist_ok=True)
    if facts.get("unpack"):
        with zipfile.ZipFile(folder / file) as packed:  # one that we wrote
            packed.extractall(out)
            return packed.namelist()
    names = [file, *facts.get("beside", ())]
    for name in names:
        shutil.copyfile(folder / name, out / name)
    return names


def _made(choice: Any, run: Run) -> Path:
    try:
        return choice(run)
    except StudioError:
        raise
    except Exception as error:  # translating a model meets every kind of error of three libraries
        if says_disk_full(error):
            raise
        raise TrainingFailed("export_failed", format=choice.name, detail=str(error).strip().split("\n")[0][:200]) from error


def _forget(folder: Path, format: str, file: Path) -> None:  # noqa: A002
    if file.name != "model.safetensors":  # the training's own result, not ours to remove
        file.unlink(missing_ok=True)
    write_json(folder / RECORDS, {name: record for name, record in read_json(folder / RECORDS).items() if name != format})
