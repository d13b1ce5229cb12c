"""How the model was made: its settings, its curves, and how to make it again."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape

from transfer_core import sentences, settings_said
from transfer_core.charts import PALETTE, PARTS
from transfer_core.drawing import figures, shares
from transfer_core.drawing.axes import Axes, legend
from transfer_core.events import Epoch, Started
from transfer_core.numbers import short
from transfer_core.progress import validated
from transfer_core.recipe import Recipe
from transfer_core.reporting.facts import Facts
from transfer_core.reporting.markup import Html, Voice, label, number, pairs, paragraph, plain, share, table

MAIN = ("model", "weights", "freeze", "source_loss", "lambda_target", "regularizer", "lambda_omega", "epochs", "learning_rate",
        "batch_size", "augmentation", "image_size", "seed")
"""Settings that are told also where they are the usual ones."""
_ELSEWHERE = ("dataset", "version")
_LEVELS = 5
_MOST_EPOCHS = 200


def recipe(facts: Facts, voice: Voice) -> str:
    ours, usual = facts.recipe, Recipe(dataset=facts.recipe.dataset)
    changed = {name for name in Recipe.model_fields if getattr(ours, name) != getattr(usual, name) and name not in _ELSEWHERE}
    idle = {"lambda_target"} if ours.source_loss is None else set()
    idle |= {"lambda_omega"} if ours.regularizer is None else set()
    rows = []
    for name in Recipe.model_fields:
        if name in changed or (name in MAIN and name not in idle):
            said, other = (settings_said.value(name, getattr(each, name), facts.model, voice.language, facts.datasets)
                           for each in (ours, usual))
            mark = Html(f" <mark>{voice.say('report.recipe.changed')}</mark>") if name in changed else Html("")
            rows.append([Html(f"{plain(settings_said.name(name, voice.language))}{mark}"), label(said), label(other)])
    parts = [voice.heading("recipe")]
    if facts.job.is_average:
        parts.append(paragraph(voice.say("report.recipe.averaged")))
    parts += [paragraph(*_ran(facts, voice)), paragraph(voice.say("report.recipe.help"), kind="quiet")]
    heads = [voice.say(f"report.recipe.{name}") for name in ("setting", "value", "usual")]
    return "".join([*parts, table(heads, rows, voice.say("report.recipe.title"))])


def _ran(facts: Facts, voice: Voice) -> list[Html]:
    epochs, best, said = facts.progress.epochs, facts.progress.best, []
    if epochs:
        said.append(voice.say("report.recipe.epochs_run", count=epochs[-1].epoch, best=(best or epochs[-1]).epoch))
    weights = {name: facts.described.get(name) for name in ("trainable_parameters", "parameters")}
    if isinstance(started := facts.progress.started, Started):
        weights = {"trainable_parameters": started.trainable_parameters, "parameters": started.total_parameters}
    if all(weights.values()):
        said.append(voice.say("report.recipe.learned", trainable=short(weights["trainable_parameters"]),
                              total=short(weights["parameters"])))
    return said


def curves(facts: Facts, voice: Voice) -> str:
    epochs, parts = facts.progress.epochs, [voice.heading("curves")]
    if not epochs or facts.job.is_average:
        return "".join([*parts, paragraph(voice.say("report.curves.none"))])
    seen, best = validated(facts.progress), facts.progress.best or epochs[-1]
    if not seen:
        parts.append(paragraph(voice.say("report.curves.training_only")))
    learns, penalised = _parts(epochs)
    drawn = [_figure(voice.say("report.curves.loss"), _loss(epochs, learns, best, seen, voice, "loss")),
             _figure(voice.say("report.curves.accuracy"), _accuracy(epochs, best, seen, voice))]
    measured = best.kept is not None and best.kept.share is not None and seen
    if measured and len(epochs) > 1 and best.kept.drift and epochs[-1].kept is not None:
        drawn.append(_figure(voice.say("kept.title"), figures.kept(facts.progress, voice.language)))
    if penalised:
        drawn.append(_figure(voice.say("report.curves.penalty"), _loss(epochs, penalised, best, False, voice, "penalty")))
    why = voice.say("report.curves.why_validation" if seen else "report.curves.why_training")
    parts += ['<div class="figures">', *drawn, "</div>",
              paragraph(voice.say("report.curves.best_text", epoch=best.epoch, why=why), kind="quiet")]
    if measured:
        parts.append(paragraph(voice.told(sentences.kept(best))))
    if second := facts.progress.evaluated.get("source"):
        parts.append(paragraph(voice.told(sentences.second_dataset(second.report))))
    numbers = f"<summary>{voice.say('report.curves.table')}</summary>{_table(epochs, seen, voice)}"
    return "".join([*parts, f"<details>{numbers}</details>"])


def _figure(caption: Html, drawn: str) -> str:
    return f"<figure><figcaption>{caption}</figcaption>{drawn}</figure>"


def _parts(epochs: Sequence[Epoch]) -> tuple[list[str], list[str]]:
    """What to draw together, and what on a scale of its own: Ω is told without its λ, and is often a hundred times the loss."""
    there = [part for part in PARTS if any(getattr(epoch.train, part) is not None for epoch in epochs)]
    together = ["total", "target", "source"] if "source" in there else ["target"]
    return together, [part for part in there if part == "penalty"]


def _loss(epochs: Sequence[Epoch], parts: Sequence[str], best: Epoch, seen: bool, voice: Voice, name: str) -> str:
    lines, keys = [], []
    for part in parts:
        ink, title = PALETTE[PARTS.index(part)], voice.text(f"results.charts.{part}")
        for kind, dash in (("train", ""), ("validation", "7 5")) if seen else (("train", ""),):
            points = [(epoch.epoch, loss) for epoch in epochs
                      if (loss := getattr(getattr(epoch, kind), part)) is not None and math.isfinite(loss)]
            if points:
                lines.append((points, ink, dash))
                keys.append((voice.text(f"results.charts.{'training' if kind == 'train' else kind}_of", part=title), ink,
                             "dashed" if dash else ""))
    top = max((loss for points, _, _ in lines for _, loss in points), default=1.0) * 1.05 or 1.0
    axes = Axes(f"{name}-{voice.language}", (0.5, epochs[-1].epoch + 0.5), (0.0, top))
    drawn = [axes.upright(best.epoch, 0.0, top, dash="2 4"), *(axes.curve(points, ink, dash) for points, ink, dash in lines)]
    if len(epochs) == 1:
        drawn += [axes.dot(*points[0], ink, diamond=bool(dash)) for points, ink, dash in lines]
    levels = {top * level / (_LEVELS - 1): f"{top * level / (_LEVELS - 1):.2f}" for level in range(_LEVELS)}
    first, last = ((epoch.validation if seen else epoch.train).target for epoch in (epochs[0], epochs[-1]))
    alt = voice.text("results.charts.loss_alt", epochs=len(epochs), first=f"{first:.3f}", last=f"{last:.3f}") if seen else \
        "; ".join(f"{text}: {points[0][1]:.3g} → {points[-1][1]:.3g}"
                  for (points, _, _), (text, _, _) in zip(lines, keys, strict=True))
    ticks = {epoch: str(epoch) for epoch in figures.epoch_ticks(epochs[-1].epoch)}
    return axes.svg(alt, drawn, ticks, levels, voice.text("live.epoch")) + legend(keys)


def _accuracy(epochs: Sequence[Epoch], best: Epoch, seen: bool, voice: Voice) -> str:
    train = shares.Curve([(epoch.epoch, epoch.train_accuracy) for epoch in epochs], PALETTE[1])
    lines, keys = [train], [(voice.text("results.charts.training"), PALETTE[1], False)]
    alt = voice.text("report.curves.accuracy_alt_training", epochs=len(epochs), last=f"{100 * epochs[-1].train_accuracy:.0f}")
    if seen:
        lines.append(shares.Curve([(epoch.epoch, epoch.validation_accuracy) for epoch in epochs], PALETTE[0], "7 5", "diamond"))
        keys.append((voice.text("results.charts.validation"), PALETTE[0], True))
        alt = voice.text("results.charts.accuracy_alt", percent=f"{100 * best.validation_accuracy:.0f}", epoch=best.epoch,
                         epochs=len(epochs))
    axis = figures.over_epochs(epochs[-1].epoch, voice.language)
    return shares.picture(axis, lines, alt, best.epoch) + shares.legend(*keys)


def _table(epochs: Sequence[Epoch], seen: bool, voice: Voice) -> str:
    left = any(epoch.kept and epoch.kept.share is not None for epoch in epochs) and seen
    heads = [voice.say("live.epoch"), voice.say("results.charts.training_of", part=voice.text("report.curves.loss_short")),
             voice.say("report.curves.accuracy_training")]
    heads += [voice.say("results.charts.validation_of", part=voice.text("report.curves.loss_short")),
              voice.say("report.curves.accuracy_validation")] if seen else []
    heads += [voice.say("report.curves.kept")] if left else []
    best = max((epoch.epoch for epoch in epochs if epoch.best), default=None)
    rows = []
    for epoch in [each for each in epochs if each.epoch <= _MOST_EPOCHS or each.epoch == best]:
        row = [Html(f"★ {epoch.epoch}" if epoch.epoch == best else str(epoch.epoch)), number(epoch.train.total),
               share(epoch.train_accuracy)]
        row += [number(epoch.validation.total), share(epoch.validation_accuracy)] if seen else []
        rows.append(row + ([share(epoch.kept.share if epoch.kept else None)] if left else []))
    return table(heads, rows, voice.say("report.curves.title"), "numbers")


def again(facts: Facts, voice: Voice) -> str:
    """The recipe in full, and with what it was run."""
    versions, started = facts.described.get("versions"), facts.progress.started
    told = ", ".join(f"{name} {version}" for name, version in versions.items()) if isinstance(versions, dict) else ""
    rows = [(voice.say("report.again.seed"), Html(str(facts.recipe.seed))),
            (voice.say("report.again.fingerprint"), Html(f"<code>{facts.recipe.fingerprint}</code>")),
            (voice.say("report.again.versions"), Html(plain(told)) if told else voice.say("report.again.versions_unknown"))]
    if started is not None:
        rows.insert(2, (voice.say("report.again.device"), Html(plain(f"{started.device}, {started.precision}"))))
    text = escape(json.dumps(facts.recipe.model_dump(), ensure_ascii=False, indent=1))
    return (voice.heading("again") + paragraph(voice.say("report.again.lead")) + pairs(rows)
            + f'<details><summary>{voice.say("report.again.recipe")}</summary><pre dir="ltr">{text}</pre></details>')
