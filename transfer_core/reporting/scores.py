"""The scores with their intervals: in all, class by class, what is mixed up, whether percentages can be trusted; and luck."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from transfer_core import metrics, sentences
from transfer_core.drawing import figures
from transfer_core.metrics import f1_interval, nested, reliability, top_confusions
from transfer_core.reporting.facts import Facts
from transfer_core.reporting.markup import Html, Voice, between, items, label, number, paragraph, share, table
from transfer_core.reporting.opening import MOST_CLASSES

LARGEST_MATRIX = 25
"""Classes; a larger matrix fits neither a page nor an eye."""
NAMED_COLUMNS = 12
"""Classes up to which the columns of the matrix bear names; more are numbered."""
MOST_CONFUSIONS = 40
_UNIT = ("auc", "average_precision", "log_loss")
"""Scores that are no shares of photos."""


def scores(facts: Facts, voice: Voice) -> str:
    parts = [voice.heading("scores"), _all(facts, voice)]
    if facts.report.get("auc") is None and not facts.rows:
        parts.append(paragraph(voice.say("report.scores.unknown"), kind="quiet"))
    parts += [paragraph(voice.told(note), kind="quiet") for note in sentences.about_intervals(facts.report)]
    if facts.validation:
        found = facts.validation
        percent = {name: f"{100 * found[name]:.0f}" for name in ("low", "high", "baseline")}
        sentence = voice.say("evaluate.sentence_validation", n=found["n"], correct=found["correct"],
                             name=found["baseline_class"], **percent)
        parts.append(paragraph(voice.say("report.scores.validation"), sentence))
    return "".join([*parts, _per_class(facts.report["per_class"], voice), _matrix(facts, voice), _trust(facts, voice)])


def _all(facts: Facts, voice: Voice) -> str:
    found, rows = nested(facts.report), []
    why = {"accuracy": voice.say("report.scores.accuracy_help", n=found["n"], correct=found["correct"])}
    for name in metrics.SCORES:
        title = voice.say(f"report.scores.{name}" if name in why else f"evaluate.{name}")
        text = why.get(name) or voice.say(f"evaluate.{name}_help", guess=f"{math.log(len(facts.classes)):.2f}")
        rows.append([title, *_value(name, found[name]), text])
    rows.insert(1, [voice.say("report.scores.baseline", name=found["baseline_class"]), share(found["baseline"]), Html(""),
                    voice.say("report.scores.baseline_help")])
    if ece := found["ece"]:
        floor = voice.say("report.scores.ece_floor", floor=f"{100 * ece['floor']:.1f} %")
        rows.append([voice.say("report.scores.ece"), share(ece["value"]), floor, voice.say("report.scores.ece_help")])
    if settled := facts.kept.get("temperature"):
        rows.append([voice.say("report.scores.temperature"), number(settled["value"]), Html(""),
                     voice.say("report.scores.temperature_help")])
    heads = [voice.say(f"report.scores.{name}") for name in ("name", "value", "interval", "why")]
    return table(heads, rows, voice.say("report.scores.title"), "scores")


def _value(name: str, score: dict[str, float] | None) -> tuple[Html, Html]:
    if score is None:
        return Html("–"), Html("–")
    if name not in _UNIT:
        return share(score["value"]), between(score["low"], score["high"])
    bounds = Html("–") if score["low"] is None else Html(f"{score['low']:.3f} – {score['high']:.3f}")
    return number(score["value"]), bounds


def _per_class(rows: list[dict[str, Any]], voice: Voice) -> str:
    shown, note = rows, ""
    if len(rows) > MOST_CLASSES:
        shown = sorted(rows, key=lambda row: (row["recall"] is None, row["recall"] or 0.0))[:MOST_CLASSES]
        note = paragraph(voice.say("report.scores.per_class_more", shown=len(shown), count=len(rows)), kind="quiet")
    heads = [voice.say("evaluate.class"), voice.say("evaluate.support"), voice.say("evaluate.recall"),
             voice.say("evaluate.precision"), voice.say("report.scores.f1")]
    cells = [[label(row["label"]), Html(str(row["support"])),
              _bounded(row["recall"], row.get("recall_low"), row.get("recall_high")),
              _bounded(row["precision"], row.get("precision_low"), row.get("precision_high")),
              _bounded(row["f1"], *_f1_bounds(row))] for row in shown]
    help_ = paragraph(*map(voice.say, ("report.scores.bounds", "evaluate.recall_help", "evaluate.precision_help",
                                       "evaluate.f1_help")), kind="quiet")
    return (f"<h3>{voice.say('report.scores.per_class')}</h3>{note}"
            + table(heads, cells, voice.say("report.scores.per_class"), "numbers") + help_)


def _bounded(value: float | None, low: float | None, high: float | None) -> Html:
    """A share with its interval below it: side by side, four of them fit no page."""
    return share(value) if low is None else Html(f"{share(value)}<br><small>{between(low, high)}</small>")


def _f1_bounds(row: dict[str, Any]) -> tuple[float | None, float | None]:
    if row["f1"] is None:
        return None, None
    if "f1_low" in row:
        return row["f1_low"], row["f1_high"]
    both = row["support"] + row["predicted"]
    return f1_interval(round(row["f1"] * both / 2), row["support"], row["predicted"])


def _matrix(facts: Facts, voice: Voice) -> str:
    counts, classes = facts.report["confusion"], facts.classes
    parts = [f"<h3>{voice.say('report.scores.matrix')}</h3>"]
    if len(classes) > LARGEST_MATRIX:
        rows = [[label(each["label"]), label(each["predicted"]), Html(str(each["count"])), Html(str(each["of"]))]
                for each in top_confusions(np.array(counts), classes, MOST_CONFUSIONS)]
        parts.append(paragraph(voice.say("report.scores.matrix_large", count=len(classes))))
        if not rows:
            return "".join([*parts, paragraph(voice.say("evaluate.no_mistakes"))])
        heads = [voice.say(f"report.{name}") for name in ("mistakes.is", "scores.matrix_said", "scores.matrix_count",
                                                          "scores.matrix_of")]
        return "".join([*parts, table(heads, rows, voice.say("report.scores.matrix"), "confusions")])
    numbered = len(classes) > NAMED_COLUMNS
    heads = [Html(f"{voice.say('live.truth')} ↓ {voice.say('live.predicted')} →"),
             *((Html(str(place)) if numbered else Html(f"<span>{label(name)}</span>")) for place, name in enumerate(classes, 1))]
    rows = [[Html(f"{place} · {label(name)}") if numbered else label(name), *_shaded(counts[place - 1], place - 1)]
            for place, name in enumerate(classes, 1)]
    kind = "matrix" if len(classes) <= 4 or numbered else "matrix tall"
    return "".join([*parts, paragraph(voice.say("report.scores.matrix_help"), kind="quiet"),
                    table(heads, rows, voice.say("report.scores.matrix"), kind)])


def _shaded(row: list[int], diagonal: int) -> list[Html]:
    """Blue on the diagonal, orange off it, as strong as the share of the row; the number says the same."""
    total = max(1, sum(row))
    return [Html(f'<i class="{"right" if place == diagonal else "wrong" if count else "none"}" '
                 f'style="--share:{75 * count / total:.0f}%">{count}</i>') for place, count in enumerate(row)]


def _trust(facts: Facts, voice: Voice) -> str:
    """Nothing where only the named classes are known."""
    report = facts.report
    if report.get("ece") is None or not facts.rows:
        return ""
    confidence = np.array([max(row["probabilities"]) for row in facts.rows])
    right = np.array([row["label"] == row["predicted"] for row in facts.rows])
    settled = facts.kept.get("temperature")
    said = [] if facts.split != "test" and settled else [
        voice.told(sentences.calibration(report, float(confidence.mean() - right.mean())))]
    said += [voice.told(sentences.temperature(settled))] if settled else []
    bins = reliability(confidence, right, figures.bins_for(len(right)))
    drawn = figures.reliability(bins, voice.language, f"trust-{voice.language}")
    note = voice.say("trust.help", n=report["n"], photos=min(each.n for each in bins))
    return (f"<h3>{voice.say('trust.title')}</h3>{paragraph(*said)}<figure>{drawn}</figure>{paragraph(note, kind='quiet')}")


def luck(facts: Facts, voice: Voice) -> str:
    """The newest cross-validation of the same recipe."""
    if facts.folds is None:
        return voice.heading("folds") + paragraph(voice.say("report.folds.none"))
    found = facts.folds.result
    score, spread = sentences.folds(found, facts.folds.payload["repeats"])
    drawn = figures.folds(found, voice.language, f"folds-{voice.language}")
    return (voice.heading("folds") + paragraph(voice.told(score)) + f"<figure>{drawn}</figure>"
            + paragraph(voice.told(spread), kind="quiet"))


def checked(facts: Facts, voice: Voice) -> str:
    """The newest check of this version of the dataset."""
    if facts.check is None:
        return voice.heading("check") + paragraph(voice.say("report.check.none"))
    found = facts.check.result
    leaks = sum(leak["kind"] == "straddles" for leak in found["leaks"])
    said = [voice.say("report.check.looked", looked=found["looked_at"], images=found["images"]),
            voice.say("report.check.doubtful", count=found["counts"]["label_errors"]),
            voice.say("report.check.leaks", count=leaks) if leaks else voice.say("report.check.no_leaks")]
    said += [voice.told(note) for note in found.get("notes", ())]
    score = paragraph(voice.told(sentences.honest_score(found["scores"]))) if found.get("scores") else ""
    return voice.heading("check") + items(said) + score
