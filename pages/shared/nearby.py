"""The training photos that the model finds most like one photo: asked for with a button, found by a worker."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import streamlit as st

from pages.shared import backend, working
from pages.shared.text import plain, t, told
from pages.shared.undisturbed import undisturbed
from transfer_core.store import Job
from transfer_core.words import Message

SHOWN = 6


def offer(run: Job, photo: Mapping[str, Any], key: str, title: str) -> None:
    """The button, the waiting, or the photos most like `photo`: one of a dataset (`sha256`) or of an upload (`upload`, `number`).
    The run must hold its weights: a first look does not. Nothing of a model whose photos are not here."""
    if run.payload.get("claimed"):
        return
    asked = {"run": run.id, "photos": [dict(photo)], "k": SHOWN}
    job = _made(run, asked)
    if job is None or not (job.live or job.result):
        if job is not None:
            working.failure(job)
        st.button(t("similar.ask"), icon=":material/photo_library:", key=f"{key}-nearest", on_click=_ask, args=(run, asked),
                  help=t("similar.ask_help"))
    elif job.live:
        st.fragment(working.watch, run_every=0.7, key=f"{key}-nearest-watch")(job.id)
    else:
        _show(job.result, title)


def _made(run: Job, asked: dict[str, Any]) -> Job | None:
    """The newest job that was asked for just this. What was found before the run was resumed is of another model."""
    return next((job for job in backend.store().jobs("nearest")
                 if job.payload == asked and job.created >= (run.ended or 0.0)), None)


@undisturbed()
def _ask(run: Job, asked: dict[str, Any]) -> None:
    known = _made(run, asked)
    if known is None or not (known.live or known.result):  # two quick clicks call this twice
        backend.store().submit("nearest", asked, backend.device())


def _show(found: Mapping[str, Any], title: str) -> None:
    (photo,) = found["photos"]
    if "error" in photo:
        st.caption(f":material/broken_image: {plain(told(Message(**photo['error'])))}")
        return
    st.markdown(f"**{title}**")
    usual = photo["usual"]
    if usual and usual["unlike"]:
        st.warning(t("similar.unlike", closer=usual["closer"], n=usual["n"]), icon=":material/question_mark:")
    st.html(f'<div class="photos alike">{"".join(map(_card, photo["near"]))}</div>')
    lines = [_agreement(photo)]
    if not usual:
        lines.append(t("similar.unknown"))
    elif not usual["unlike"]:
        lines.append(t("similar.usual", closer=usual["closer"], n=usual["n"]))
    st.markdown(" ".join(lines))
    if found["looked_at"] < found["of"]:
        st.caption(t("similar.part", looked=f"{found['looked_at']:,}", of=f"{found['of']:,}"))
    st.caption(t("similar.legend"))


def _agreement(photo: Mapping[str, Any]) -> str:
    """How many of them are of the class that is answered."""
    near, label = photo["near"], plain(photo["label"])
    same = sum(each["label"] == photo["label"] for each in near)
    if same in (0, len(near)):
        return t("similar.same" if same else "similar.none", label=label)
    return t("similar.agree", count=same, all=len(near), label=label)


def _card(image: Mapping[str, Any]) -> str:
    alt, likeness = escape(t("similar.alt", label=image["label"])), f"{t('similar.likeness')} {image['similarity']:.2f}"
    return (f'<figure><a href="/images/{image["sha256"]}" target="_blank" rel="noopener"><img loading="lazy" '
            f'src="/thumbnails/{image["sha256"]}.webp" alt="{alt}" title="{escape(image["file"])}"></a>'
            f"<figcaption><b>{escape(image['label'])}</b><br>{escape(likeness)}</figcaption></figure>")
