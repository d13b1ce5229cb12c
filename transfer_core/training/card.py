"""The model card of a run: what it is, how good it is and how sure that is, and where its limits lie. Markdown."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import timm

from transfer_core import sentences
from transfer_core.paths import assets
from transfer_core.words import FALLBACK, say

if TYPE_CHECKING:
    from transfer_core.training.export.replay import Run


def model_card(run: Run, exports: dict[str, dict[str, Any]], language: str = FALLBACK) -> str:
    """The README of a download. `exports` are the records of the formats made so far, with their replays."""

    def words(key: str, **values: Any) -> str:
        return say(f"results.card.{key}", language, **values)

    recipe, report = run.recipe, run.report
    origin = run.model.pretrained_cfg if recipe["weights"] == "pretrained" else {}
    licence = origin.get("license") or ""
    parts = [_front_matter(run, licence), f"# {plain(run.name)}", words("what", classes=len(run.classes), model=recipe["model"])]
    parts += _averaged(run, words)
    parts += [f"## {words('numbers')}", *_numbers(report, words)]
    if "per_class" in (measured := _measured(report)[1]):
        parts.append(_table([words("class"), words("train_images"), words("test_images"), words("recall"), words("precision")],
                            [[plain(row["label"]), str(report.get("counts", {}).get(row["label"], "–")), str(row["support"]),
                              _share(row["recall"], row["recall_low"], row["recall_high"]), _share(row["precision"])]
                             for row in measured["per_class"]]))
    parts += [f"## {words('files')}", *_files(exports, words)]
    if "onnx" in exports:
        parts += [words("use_program"), f"```\n{_PROGRAM}\n```", words("use_onnx")]
    if "timm" in exports:
        parts += [words("use_timm"), f"```python\n{(assets() / 'export' / 'use_timm.py').read_text('utf-8').strip()}\n```"]
    if "litert" in exports:
        parts += [words("use_litert"), f"```python\n{(assets() / 'export' / 'use_litert.py').read_text('utf-8').strip()}\n```"]
    parts += [f"## {words('made')}", _table([words("setting"), words("value")], [
        [words("dataset"), f"{plain(recipe['dataset'])} · {recipe['version']}"],
        *[[words(f"images_{split}"), str(count)] for split, count in report.get("images", {}).items()],
        [words("model"), f"`{recipe['model']}` (timm {timm.__version__})"],
        [words("weights"), words(f"weights_{recipe['weights']}")],
        [words("licence"), plain(licence) if licence else words("licence_unknown")],
        [words("input"), f"{run.how.size[1]} × {run.how.size[0]}"],
        *_made(run, words),
    ])]
    limits = "limits_none" if report.get("none_below") else "limits_text"
    parts += [f"## {words('limits')}", words(limits, classes=len(run.classes)), _calibrated(report, language)]
    return "\n\n".join(parts) + "\n"


_SETTINGS = ("kept_groups", "head", "tuning", "freeze", "positions", "source_loss", "lambda_target", "regularizer",
             "lambda_omega", "epochs", "learning_rate", "batch_size", "augmentation", "seed")


def _averaged(run: Run, words: Any) -> list[str]:
    """That it was not trained, and what it was made of instead."""
    made = run.averaged
    if made is None:
        return []
    if made["alpha"] is None:
        return [words("soup", count=len(made["runs"]), tried=len(made["order"]))]
    return [words("mixture", share=f"{100 * made['alpha']:.3g}", rest=f"{100 - 100 * made['alpha']:.3g}", run=made["runs"][0])]


def _made(run: Run, words: Any) -> list[list[str]]:
    """How the weights came about. The settings of several trainings are not one list."""
    more = {("head", "hidden"): ["head_width", "head_dropout"], ("tuning", "lora"): ["lora_rank"]}
    names = [*_SETTINGS, *(name for (key, value), names in more.items() if run.recipe.get(key) == value for name in names)]
    rows = [[f"`{name}`", f"`{json.dumps(run.recipe[name])}`"] for name in names if run.recipe.get(name) not in (None, {})]
    if run.averaged is None:
        return rows
    if run.averaged["alpha"] is None:
        return [[words("soup_runs"), ", ".join(f"`{name}`" for name in run.averaged["runs"])]]
    return [[words("mixture_alpha"), f"{run.averaged['alpha']:g}"], *rows]


_PROGRAM = "python -m pip install -r requirements.txt\npython predict.py photo.jpg"


def _front_matter(run: Run, licence: str) -> str:
    """The YAML block that model hubs read. (A JSON string is a YAML string, whatever it holds.)"""
    origin = run.model.pretrained_cfg.get("hf_hub_id") if run.recipe["weights"] == "pretrained" else None
    lines = ["library_name: timm", "pipeline_tag: image-classification", "tags: [timm, image-classification, onnx]"]
    lines += [f"license: {json.dumps(licence)}"] if licence else []
    lines += [f"base_model: {json.dumps(origin.rstrip('/'))}"] if origin and not origin.endswith("/") else []
    return "\n".join(["---", *lines, "---"])


def _measured(report: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    split = next((split for split in ("test", "validation") if split in report), "")
    return split, report.get(split, {})


def _numbers(report: dict[str, Any], words: Any) -> list[str]:
    split, scores = _measured(report)
    if not split:
        return [words("not_measured")]
    percent = {name: f"{100 * scores[name]:.1f}" for name in ("accuracy", "low", "high", "baseline")}
    return [
        *([words("claimed")] if report.get("claimed") else []),
        words(f"measured_{split}", n=scores["n"], correct=scores["correct"], **percent),
        words("baseline", percent=percent["baseline"], label=plain(scores["baseline_class"])),
        _table([words("score"), words("value"), "95 %"], _more_scores(report, scores, words)),
    ]


def _more_scores(report: dict[str, Any], scores: dict[str, Any], words: Any) -> list[list[str]]:
    """What was measured besides the accuracy; what was not has no row."""
    rows = []
    for name in ("balanced_accuracy", "macro_f1", "auc", "log_loss"):
        if scores.get(name) is not None:
            low, high = scores.get(f"{name}_low"), scores.get(f"{name}_high")
            rows.append([words(name), f"{scores[name]:.3f}", "–" if low is None or high is None else f"{low:.3f} – {high:.3f}"])
    if scores.get("ece") is not None:
        rows.append([words("ece"), f"{scores['ece']:.3f}", words("ece_floor", floor=f"{scores['ece_floor']:.3f}")])
    if settled := report.get("temperature"):
        rows.append([words("temperature"), f"{settled['value']:.3f}", "–"])
    return rows


def _calibrated(report: dict[str, Any], language: str) -> str:
    settled = report.get("temperature")
    return sentences.temperature(settled).say(language) if settled else say("results.card.not_calibrated", language)


def _files(exports: dict[str, dict[str, Any]], words: Any) -> list[str]:
    lines = []
    for name in ("timm", "onnx"):
        if name in exports:
            record = exports[name]
            replay = words("replayed", n=record["replayed"], same=record["same"],
                           difference=f"{record['largest_difference']:.1e}") if record["replayed"] else words("not_replayed")
            lines.append(f"- `{record['file']}`: {words(f'file_{name}')} {replay}")
    if "litert" in exports:
        lines.append(f"- `model.tflite`: {words('file_litert')}")
    return ["\n".join(lines)]


def _share(value: float | None, low: float | None = None, high: float | None = None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.0f} %" + (f" ({100 * low:.0f} – {100 * high:.0f})" if low is not None and high is not None else "")


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plain(label: str) -> str:
    """A stranger's text inside Markdown: on one line, and no sign of it means anything, also where `$` is mathematics, `:a:` an
    emoji, `@a` a person, and what looks like an address a link (GitHub)."""
    text = " ".join(label.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~$:@]|(?<=www)\.)", r"\\\1", text, flags=re.IGNORECASE)
