"""What was measured, as sentences that pages and the report have in common. No number is computed here that was not measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfer_core.events import Epoch
from transfer_core.metrics import wilson
from transfer_core.words import Message, message

ENOUGH = 6
"""Test photos of a class from which on the intervals of scores that weigh all classes alike hold what they promise: with five,
that of average precision held the truth in 92.8 % (`bench/coverage.py`)."""
WIDE = 0.15
"""Width of an accuracy's interval from which on more test photos are asked for."""
_LEFT_ALONE = 1.0


def cautions(report: Mapping[str, Any], folded: Mapping[str, Any] | None = None) -> list[Message]:
    """What must be read beside an accuracy: `metrics.report` of one split. `folded`: a cross-validation of the same settings,
    whose many photos may show what these could not."""
    if report["low"] <= report["baseline"] and not (folded and folded["accuracy"]["low"] > folded["baseline"]):
        return [message("evaluate.no_better_than_baseline")]
    if report["high"] - report["low"] > WIDE and not folded:
        return [message("evaluate.wide", n=report["n"], more=round(3 * report.get("evidence", report["n"])))]
    return []


def about_intervals(report: Mapping[str, Any]) -> list[Message]:
    """What they take into account, and where they may be too narrow."""
    few = sum(0 < row["support"] < ENOUGH for row in report["per_class"])
    return [*like_photos(report), *([message("evaluate.few", count=few, photos=ENOUGH)] if few else [])]


def like_photos(report: Mapping[str, Any]) -> list[Message]:
    """Of a report or a comparison: that copies are counted, but are no evidence."""
    n, evidence = report["n"], round(report.get("evidence", report["n"]))
    return [message("evaluate.alike", n=n, evidence=evidence)] if evidence < n else []


def kept(epoch: Epoch) -> Message:
    """What was learned at this epoch and what it cost; its `kept` must be there."""
    left, percent = epoch.kept, f"{100 * epoch.validation_accuracy:.0f}"
    if not left.drift:
        return message("kept.frozen", percent=percent)
    if left.kind == "similarity":
        return message("kept.similarity", percent=percent, kept=f"{100 * left.similarity:.0f}", n=left.images, epoch=epoch.epoch)
    n = left.source_images if left.kind == "source" else left.images
    low, high = wilson(round(left.share * n), n)
    return message(f"kept.{left.kind}", percent=percent, kept=f"{100 * left.share:.0f}", n=n, epoch=epoch.epoch,
                   low=f"{100 * low:.0f}", high=f"{100 * high:.0f}")


def second_dataset(report: Mapping[str, Any]) -> Message:
    shares = {name: f"{100 * report[name]:.0f}" for name in ("accuracy", "low", "high")}
    return message("kept.second_test", n=report["n"], **shares)


def calibration(report: Mapping[str, Any], surer: float) -> Message:
    """`surer`: by how much the mean confidence is above the share of right answers."""
    numbers = {"ece": f"{100 * report['ece']:.1f}", "floor": f"{100 * report['ece_floor']:.1f}", "n": report["n"]}
    if report["ece"] <= report["ece_floor"]:
        return message("trust.fine", **numbers)
    return message("trust.too_sure" if surer > 0 else "trust.too_modest", **numbers)


def temperature(settled: Mapping[str, Any]) -> Message:
    """What was done to the model's percentages before they were measured (see `measured.temperature`)."""
    value = settled["value"]
    if "n" not in settled:
        return message("trust.settled_elsewhere", value=f"{value:.2f}")
    if not settled.get("fitted", True):
        return message("trust.unfitted", n=settled["n"])
    if value == _LEFT_ALONE:
        return message("trust.left", n=settled["n"])
    return message("trust.milder" if value > 1 else "trust.bolder", value=f"{value:.2f}", n=settled["n"])


def folds(found: Mapping[str, Any], repeats: int) -> tuple[Message, Message]:
    """What a cross-validation found (see `crossvalidating.summary`), and how far single folds lie apart."""
    shares = {name: f"{100 * found['accuracy'][name]:.0f}" for name in ("value", "low", "high")}
    worst, best = (f"{100 * pick(each['accuracy'] for each in found['folds']):.0f}" for pick in (min, max))
    return (message("folds.found", n=found["n"], count=repeats, baseline=f"{100 * found['baseline']:.0f}", **shares),
            message("folds.spread", worst=worst, best=best, count=len(found["folds"]),
                    spread=f"{100 * (found['spread'] or 0):.0f}"))


def honest_score(scores: Mapping[str, Any]) -> Message:
    """Of the check of a dataset: which of its two scores to believe (see `problems.scores.both_scores`)."""
    honest, naive = scores["honest"], scores["naive"]
    numbers = {f"{name}_{end}": f"{100 * score[end]:.0f}" for name, score in (("honest", honest), ("naive", naive))
               for end in ("accuracy", "low", "high")}
    if scores["differ"]:
        return message("problems.differ", n=honest["n"], groups=honest["groups"], **numbers)
    return message("problems.same", n=honest["n"], **numbers)


def averaged(payload: Mapping[str, Any], made: Mapping[str, Any] | None) -> Message | None:
    """What a run that was not trained is an average of; None for a training. `made`: its job's result, once there is one."""
    if mixture := payload.get("mixture"):
        share = mixture["alpha"]
        return message("mixture.made.mixture", share=f"{100 * share:.3g}", rest=f"{100 * (1 - share):.3g}")
    if not (soup := payload.get("soup")):
        return None
    fact = (made or {}).get("averaged")
    if fact is None:
        return message("mixture.made.waiting_soup", count=len(soup["runs"]))
    count, tried = len(fact["runs"]), len(fact["order"])
    if count == tried:
        return message("mixture.made.soup", count=count)
    return message("mixture.made.soup_one" if count == 1 else "mixture.made.soup_of", count=count, tried=tried)
