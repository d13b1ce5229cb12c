"""The mistakes one should look at, and what the numbers do not say."""

from __future__ import annotations

from transfer_core.numbers import percent
from transfer_core.reporting.facts import MISTAKES, Facts
from transfer_core.reporting.markup import Html, Voice, items, label, paragraph, plain

_NAMED = 8
"""Classes named in a sentence."""


def mistakes(facts: Facts, voice: Voice) -> str:
    if not facts.rows:
        return voice.heading("mistakes") + paragraph(voice.say("report.mistakes.unknown"))
    wrong = facts.wrong
    if not wrong:
        return voice.heading("mistakes") + paragraph(voice.say("report.mistakes.none", n=len(facts.rows)))
    shown = wrong[:MISTAKES]
    lead = voice.say("report.mistakes.lead", count=len(wrong), shown=len(shown), n=len(facts.rows))
    return (voice.heading("mistakes") + paragraph(lead)
            + f'<div class="photos">{"".join(_card(facts, row, voice) for row in shown)}</div>')


def _card(facts: Facts, row: dict, voice: Voice) -> str:
    alt = plain(voice.text("evaluate.photo_alt", truth=row["label"], predicted=row["predicted"]))
    source = facts.pictures.get(row["sha256"])
    picture = f'<img src="{source}" alt="{alt}">' if source else f'<p class="gone">{voice.say("report.mistakes.no_photo")}</p>'
    return (f"<figure>{picture}<figcaption>{voice.say('report.mistakes.is')} <b>{label(row['label'])}</b><br>"
            f"{voice.say('report.mistakes.said')} <b>{label(row['predicted'])}</b>, {plain(percent(max(row['probabilities'])))}"
            "</figcaption></figure>")


def limits(facts: Facts, voice: Voice) -> str:
    report, said = facts.report, []
    if facts.claimed:
        said.append(voice.say("evaluate.claimed"))
    if (times := len(facts.progress.tested)) > 1:
        said.append(voice.say("evaluate.looked", count=times))
    if facts.split != "test":
        said.append(voice.say("evaluate.only_validation"))
    said.append(voice.say("report.limits.n", n=report["n"]))
    if untested := [row["label"] for row in report["per_class"] if not row["support"]]:
        names = ", ".join(label(name).text for name in untested[:_NAMED]) + (" …" if len(untested) > _NAMED else "")
        said.append(voice.say("report.limits.untested_classes", count=len(untested), names=Html(names)))
    said += [voice.say("report.limits.source"), voice.say("report.limits.like"),
             voice.say("report.limits.classes", count=len(facts.classes)), voice.say("report.limits.harm")]
    return voice.heading("limits") + items(said)
