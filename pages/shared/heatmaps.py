"""Heat maps: asked for with a button, made by a worker, shown when they are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

from pages.shared import backend, working
from pages.shared.text import plain, t, told
from pages.shared.undisturbed import undisturbed
from transfer_core.jobs.heat import picture, reason
from transfer_core.store import Job

Photos = Sequence[Mapping[str, Any]]
"""Of a dataset (`sha256`) or of an upload (`upload`, `number`)."""


def offer(run: Job, photos: Photos, key: str) -> None:
    """The button, the waiting, or the pictures of these photos. The run must hold its weights: a first look does not."""
    asked = {"run": run.id, "photos": [dict(photo) for photo in photos]}
    job = _made(run, asked)
    if job is None or not (job.live or job.result):
        if job is not None:
            working.failure(job)
        st.button(t("heat.ask" if len(photos) == 1 else "heat.ask_many"), icon=":material/thermostat:", key=f"{key}-heat",
                  on_click=_ask, args=(run, asked), help=t("heat.help"))
    elif job.live:
        st.fragment(working.watch, run_every=0.7, key=f"{key}-heat-watch")(job.id)
    else:
        _show(job)


def _made(run: Job, asked: dict[str, Any]) -> Job | None:
    """The newest job that was asked for just this. What was made before the run was resumed is of another model."""
    return next((job for job in backend.store().jobs("explain")
                 if job.payload == asked and job.created >= (run.ended or 0.0) and _has_pictures(job)), None)


def _has_pictures(job: Job) -> bool:
    """They go after a day."""
    told = (job.result or {}).get("photos", ())
    return not told or all("error" in each for each in told) or any(
        picture(backend.home(), job.id, number).is_file() for number in range(len(told)))


@undisturbed()
def _ask(run: Job, asked: dict[str, Any]) -> None:
    known = _made(run, asked)
    if known is None or not (known.live or known.result):  # two quick clicks call this twice
        backend.store().submit("explain", asked, backend.device())


def _show(job: Job) -> None:
    cards = []
    for number, found in enumerate(job.result["photos"]):
        if problem := reason(found):
            st.caption(f":material/broken_image: {plain(told(problem))}")
            continue
        alt = escape(t("heat.alt", label=found["label"]))
        cards.append(f'<figure><a href="/heat/{job.id}/{number}.webp" target="_blank" rel="noopener">'
                     f'<img loading="lazy" src="/heat/{job.id}/{number}.webp" alt="{alt}"></a>'
                     f"<figcaption>{escape(t('heat.speaks_for'))} <b>{escape(found['label'])}</b></figcaption></figure>")
    st.html(f'<div class="photos heat">{"".join(cards)}</div>')
    st.caption(t("heat.legend"))
