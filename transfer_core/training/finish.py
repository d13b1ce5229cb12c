"""What follows a training: measure it once on images it never saw, and make the files to take home."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from transfer_core import metrics
from transfer_core.datasets.manifest import Manifest
from transfer_core.events import Evaluated, Event, Note
from transfer_core.measured import predictions, predictions_file
from transfer_core.paths import Home, write_json
from transfer_core.recipe import Recipe
from transfer_core.training import calibrate, knowing
from transfer_core.training.calibrate import temperature_of
from transfer_core.training.checkpoint import BEST, SOURCE_HEAD
from transfer_core.training.evaluate import evaluate
from transfer_core.training.export import export, sha256_of
from transfer_core.training.export.replay import Run, open_run, read_json
from transfer_core.training.fit import choose_device
from transfer_core.training.likeness import alike
from transfer_core.training.models import classifiers, head_tensors, shaped
from transfer_core.training.prefix.answers import StoredAnswers
from transfer_core.words import message

REPORT = "report.json"


def finish(run_folder: Path | str, manifest: Manifest, home: Home, *, name: str, device: str = "auto") -> Iterator[Event]:
    """Evaluate validation and test, then export every format.

    Where a second dataset was learned at the same time, its test images are asked of its own classifier (split "source").

    The model is made as sure as it is right by its validation images first, see `calibrate`.

    Writes `predictions_<split>.jsonl`, `report.json` (`{split: report, "weights": sha256, "temperature": {"value", …},
    "likeness": […], "none_below": {"value", …}, …}`), `config.json`, `model.onnx`, `<name>.zip`. Safe to run again: what was
    measured or made of the same weights is only reported again.
    A split without images is a `Note`; so is a format that could not be made, since the others still can.
    Raises `NotFound` when the folder holds no trained model.
    """
    run_folder = Path(run_folder)
    run = open_run(run_folder, home, name)
    weights = sha256_of(run_folder / BEST)
    report = read_json(run_folder / REPORT)
    if (report.get("weights"), report.get("dataset"), report.get("version")) != (weights, manifest.dataset, manifest.version):
        settled = report.get("temperature")  # it died after the weights were settled, and before it had measured them
        report = {"weights": weights, "dataset": manifest.dataset, "version": manifest.version}
        if settled and settled["value"] == temperature_of(run_folder / BEST):
            report["temperature"] = settled
    report["images"] = {split: len(manifest.of(split)) for split in ("train", "validation", "test")}
    report["counts"] = manifest.counts()
    where = choose_device(device)
    if "likeness" not in report:
        like = yield from knowing.collect(run.model, run.classes, run.how, manifest, home, run_folder, where)
        # Where nothing but the head learned, training photos are as new to the backbone as any: they make the threshold surer.
        untouched = run.recipe["freeze"] == "all" and not run.recipe["positions"] and run.recipe["weights"] != "run"
        report["likeness"] = [] if like is None or not untouched else [round(float(each), 6) for each in like]
    bank = knowing.kept(run_folder)
    for split in ("validation", "test"):
        if not manifest.of(split):
            predictions_file(run_folder, split).unlink(missing_ok=True)
            yield Note(level="warning", message=message(f"results.no_{split}"))
        elif split in report and predictions_file(run_folder, split).is_file():
            yield Evaluated(split=split, report=report[split])
        else:
            stored = StoredAnswers(run_folder, run.model, home, where)
            settle = _settling(run, report) if split == "validation" else None
            with alike(run.model, bank) as asked:
                for event in evaluate(run.model, run.classes, run.how, manifest, split, home, run_folder, where, stored, settle,
                                      asked):
                    if isinstance(event, Evaluated):
                        report[split] = event.report
                        write_json(run_folder / REPORT, report)
                    yield event
    if known := temperature_of(run_folder / BEST):  # settled elsewhere: this model came in a zip
        report.setdefault("temperature", {"value": known})
    report["none_below"] = _threshold(run_folder, report) if bank is not None else None
    yield from _second(run, manifest, report, where)
    write_json(run_folder / REPORT, report)
    yield from export(run_folder, home, "zip", name=name)


def _threshold(run_folder: Path, report: dict[str, Any]) -> dict[str, Any] | None:
    """See `metrics.none_below`; None where a split was measured before likeness was."""
    validation, test = (predictions(run_folder, split) for split in ("validation", "test"))
    if any("likeness" not in row for row in (*validation, *test)):
        return None
    return metrics.none_below([*(row["likeness"] for row in validation), *report["likeness"]])


def _settling(run: Run, report: dict[str, Any]) -> Callable[[np.ndarray, np.ndarray], float] | None:
    """Makes the model as sure as it is right by its validation images; None where that was done already, here or elsewhere."""
    weights = run.folder / BEST
    if temperature_of(weights) is not None:
        return None

    def settle(logits: np.ndarray, labels: np.ndarray) -> float:
        report["temperature"] = settled = calibrate.settle(run.model, run.how, logits, labels)
        for measured in ("test", "source"):  # with weights that are no more
            report.pop(measured, None)
        write_json(run.folder / REPORT, report)
        calibrate.save(weights, run.model, settled["value"])
        report["weights"] = sha256_of(weights)
        return settled["value"]

    return settle


def _second(run: Run, manifest: Manifest, report: dict[str, Any], where: torch.device) -> Iterator[Event]:
    """The second dataset's score on those of its test images that neither dataset trained on; nothing where there are none."""
    recipe, heads = Recipe(**run.recipe), run.folder / SOURCE_HEAD
    try:
        second = Manifest.read(run.home, recipe.source_dataset, recipe.source_version) if recipe.source_dataset else None
    except FileNotFoundError:
        second = None
    if second is None or not heads.is_file():
        return
    learned = {image.sha256 for each in (manifest, second) for image in each.of("train")}
    unseen = tuple(image for image in second.of("test") if image.sha256 not in learned)
    second = replace(second, images=(*second.of("train"), *second.of("validation"), *unseen))
    if not second.of("test"):
        return
    if "source" not in report:
        model = shaped(read_json(run.folder / "info.json"), len(second.classes))
        own = head_tensors(model)
        model.load_state_dict({name: tensor for name, tensor in run.model.state_dict().items() if name not in own}, strict=False)
        try:
            nn.ModuleList(classifiers(model)).load_state_dict(load_file(heads))
        except RuntimeError:  # the classifier of a run of another shape, which went on learning
            yield Note(level="warning", message=message("results.second_unasked"))
            return
        beside = run.folder / "source"
        beside.mkdir(exist_ok=True)
        for event in evaluate(model.eval(), second.classes, run.how, second, "test", run.home, beside, where):
            if isinstance(event, Evaluated):
                report["source"] = event.report
            else:
                yield event
    yield Evaluated(split="source", report=report["source"])
