"""The top of the report: what was trained on what, and the one sentence that matters. And the photos it learned from."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime

from transfer_core import sentences
from transfer_core.datasets.manifest import SPLITS
from transfer_core.events import Finished
from transfer_core.numbers import short
from transfer_core.paths import studio_version
from transfer_core.progress import verdict
from transfer_core.reporting.facts import Facts
from transfer_core.reporting.markup import Html, Voice, items, label, pairs, paragraph, plain, table

MOST_CLASSES = 200
"""Rows of a table of classes."""


def head(facts: Facts, voice: Voice) -> str:
    percent = {name: f"{100 * facts.report[name]:.0f}" for name in ("accuracy", "low", "high", "baseline")}
    notes = []
    if facts.claimed:
        notes.append(voice.say("evaluate.claimed"))
    if facts.split != "test":
        notes.append(voice.say("evaluate.only_validation"))
    if facts.job.state == "stopped" and facts.progress.epochs and not facts.job.payload.get("project"):
        notes.append(voice.say("report.stopped"))
    if isinstance(facts.progress.ended, Finished) and facts.progress.ended.out_of_time:
        notes.append(voice.told(verdict(facts.progress)))
    if averaged := sentences.averaged(facts.job.payload, facts.job.result):
        notes.append(voice.told(averaged))
    notes += map(voice.told, sentences.cautions(facts.report))
    sentence = voice.say(f"evaluate.sentence_{facts.split}", n=facts.report["n"], correct=facts.report["correct"],
                         name=facts.report["baseline_class"], **percent)
    made = voice.say("report.made", version=studio_version(), date=moment(facts.made))
    return (f'<header><p class="kind">{voice.say("report.kind")}</p><h1>{label(facts.name)}</h1>'
            f'<p class="quiet">{made} {voice.say("report.print")}</p></header>'
            f'<section class="headline"><h2>{voice.say("report.headline")}</h2>{_scale(facts, voice, percent)}'
            f'{paragraph(sentence, kind="lead")}{items(notes, "notes")}</section>{pairs(_about(facts, voice))}')


def moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _scale(facts: Facts, voice: Voice, percent: dict[str, str]) -> str:
    """From 0 to 100: the interval as a band, the score as a mark, the baseline as a dashed line."""
    low, high, score, base = (100 * facts.report[name] for name in ("low", "high", "accuracy", "baseline"))
    alt = plain(voice.text("evaluate.picture_alt", **percent))
    side, where = ("start", 4) if base < 50 else ("end", -4)
    told = f"{voice.text('evaluate.baseline')} {percent['baseline']} %"
    return (f'<svg class="scale" viewBox="0 0 400 44" role="img" aria-label="{alt}" font-size="11" fill="currentColor">'
            '<rect x="10" y="14" width="380" height="12" rx="6" fill-opacity=".1"/>'
            f'<rect x="{10 + 3.8 * low:.1f}" y="14" width="{3.8 * (high - low):.1f}" height="12" rx="3" fill="#2f74c0" '
            'fill-opacity=".45"/>'
            f'<line x1="{10 + 3.8 * base:.1f}" x2="{10 + 3.8 * base:.1f}" y1="8" y2="42" stroke="currentColor" '
            'stroke-width="1.5" stroke-dasharray="3 3"/>'
            f'<text x="{10 + 3.8 * base + where:.1f}" y="41" text-anchor="{side}" font-size="10">{plain(told)}</text>'
            f'<rect x="{8.5 + 3.8 * score:.1f}" y="8" width="3" height="24" rx="1.5" fill="#2f74c0"/>'
            '<text x="10" y="9" font-size="10">0 %</text><text x="390" y="9" text-anchor="end" font-size="10">100 %</text></svg>')


def _about(facts: Facts, voice: Voice) -> list[tuple[Html, Html]]:
    dataset = voice.say("report.dataset_value", name=facts.dataset, version=facts.recipe.version)
    if facts.dataset_deleted:
        dataset = Html(f"{dataset}<br>{voice.say('report.dataset_gone')}")
    elif facts.summary is None:
        dataset = Html(f"{dataset}<br>{voice.say('report.dataset_elsewhere')}")
    rows = [(voice.say("report.dataset"), dataset),
            (voice.say("report.model"), Html(f"<code>{plain(facts.recipe.model)}</code>")),
            (voice.say("report.source"), _start(facts, voice))]
    if facts.recipe.weights == "pretrained":
        known = facts.model.licence if facts.model and facts.model.licence not in ("", "unknown") else ""
        rows.append((voice.say("report.licence"), Html(plain(known)) if known else voice.say("report.licence_unknown")))
    if size := facts.described.get("parameters"):
        rows.append((voice.say("report.size"), voice.say("report.size_value", parameters=short(size))))
    rows += [(voice.say("report.run"), Html(f"<code>{plain(facts.job.id)}</code>")),
             (voice.say("report.date"), Html(moment(facts.job.ended or facts.job.created)))]
    return rows


def _start(facts: Facts, voice: Voice) -> Html:
    recipe, model = facts.recipe, facts.model
    if recipe.weights == "run":
        return Html(f"{voice.say('results.card.weights_run')}: <code>{plain(recipe.start_from)}</code>")
    if recipe.weights != "pretrained":
        return voice.say(f"results.card.weights_{recipe.weights}")
    if model is None or model.trained_on == "unknown":
        return voice.say("report.source_unknown")
    data = re.sub(r"\bin(\d+k)", r"ImageNet-\1", model.trained_on)
    return voice.say("report.source_hub", data=data, hub=model.hub) if model.hub else voice.say("report.source_known", data=data)


def photos(facts: Facts, voice: Voice) -> str:
    parts = [voice.heading("data")]
    if facts.manifest is not None:
        rows = Counter((image.label, image.split) for image in facts.manifest.images)
        splits = [*SPLITS, *(["left_out"] if any(split == "left_out" for _, split in rows) else [])]
        counts = {name: [rows[name, split] for split in splits] for name in facts.manifest.classes}
        parts += [paragraph(voice.say("report.data.lead", count=len(facts.manifest.images), classes=len(counts))),
                  _counted(counts, [voice.say(f"data.split.{split}") for split in splits], voice)]
    elif known := facts.kept.get("counts") or (facts.summary or {}).get("classes"):
        counts = {name: [count] for name, count in known.items()}
        parts += [paragraph(voice.say("report.data.lead", count=sum(known.values()), classes=len(counts)),
                            voice.say("report.data.counts_only")),
                  _counted(counts, [voice.say("evaluate.support")], voice)]
    else:
        parts.append(paragraph(voice.say("report.data.unknown")))
    return "".join([*parts, items(_found(facts, voice))])


def _counted(counts: dict[str, list[int]], heads: list[Html], voice: Voice) -> str:
    """The largest classes first where not all can be listed; else in their order."""
    shown = list(counts)
    if len(counts) > MOST_CLASSES:
        shown = sorted(counts, key=lambda name: -sum(counts[name]))[:MOST_CLASSES]
    several = len(heads) > 1
    rows = [[label(name), *(Html(str(count)) for count in counts[name]), *([Html(str(sum(counts[name])))] if several else [])]
            for name in shown]
    sums = [sum(column) for column in zip(*counts.values(), strict=True)] or [0]
    foot = [voice.say("report.data.sum"), *(Html(str(count)) for count in sums), *([Html(str(sum(sums)))] if several else [])]
    drawn = table([voice.say("report.data.class"), *heads, *([voice.say("report.data.sum")] if several else [])], rows,
                  voice.say("report.data.title"), "numbers", foot)
    if rest := len(counts) - len(shown):
        listed = set(shown)
        left = sum(sum(row) for name, row in counts.items() if name not in listed)
        drawn += paragraph(voice.say("report.data.more", count=rest, photos=left))
    return drawn


def _found(facts: Facts, voice: Voice) -> list[Html]:
    """What the import said of them."""
    summary, found = facts.summary or {}, []
    if "duplicates" in summary:
        copies, near = summary["duplicates"], summary.get("near_duplicates", 0)
        found.append(voice.say("report.data.duplicates", count=copies, near=near) if copies or near
                     else voice.say("report.data.no_duplicates"))
    if bad := len(summary.get("quarantined", ())):
        found.append(voice.say("report.data.quarantined", count=bad))
    return found + [voice.told(note) for note in summary.get("warnings", ())]
