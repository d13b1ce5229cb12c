"""What does it look at? The middle of photos and what is around it, hidden in turn; and heat maps of its surest mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from pages.shared import backend, heatmaps, nearby, working
from pages.shared.evaluate.results import Results
from pages.shared.learn.parts import bars
from pages.shared.text import t
from pages.shared.undisturbed import undisturbed
from transfer_core.charts import PALETTE
from transfer_core.store import Job

_SHOWN = 8
_WAYS = ("full", "centre_hidden", "centre_only")


def show(run: Job, results: Results) -> None:
    st.subheader(t("looks.title"), anchor="looks")
    job = _measured(run)
    if job is None or not (job.live or job.result):
        if job is not None:
            working.failure(job)
        st.markdown(t("looks.text"))
        st.button(t("looks.check"), icon=":material/center_focus_strong:", key="looks-check", on_click=_check, args=(run,))
    elif job.live:
        st.fragment(working.watch, run_every=1.0, key="looks-watch")(job.id)
    else:
        _tell(job.result)
    wrong = sorted(results.wrong, key=lambda image: -max(image["probabilities"]))
    if photos := [{"sha256": image["sha256"], "label": image["predicted"]} for image in wrong[:_SHOWN]]:
        st.markdown(t("looks.mistakes"))
        heatmaps.offer(run, photos, "mistakes")
        _ask_about(run, wrong[:_SHOWN])


def _ask_about(run: Job, wrong: list[dict[str, Any]]) -> None:
    """One of the surest mistakes, and what it is like among the photos the model learned from."""
    names = [t("similar.option", number=number, label=image["label"], predicted=image["predicted"], file=Path(image["file"]).name)
             for number, image in enumerate(wrong, 1)]
    place = st.selectbox(t("similar.mistake"), range(len(wrong)), format_func=names.__getitem__, key="mistake-chosen")
    nearby.offer(run, {"sha256": wrong[place]["sha256"]}, f"mistake-{place}", t("similar.title_of"))


def _measured(run: Job) -> Job | None:
    return next((job for job in backend.store().jobs("background") if job.payload["run"] == run.id
                 and job.created >= (run.ended or 0.0)), None)


@undisturbed()
def _check(run: Job) -> None:
    known = _measured(run)
    if known is None or not (known.live or known.result):  # two quick clicks call this twice
        backend.store().submit("background", {"run": run.id}, backend.device())


def _tell(found: dict[str, Any]) -> None:
    percent = {name: f"{100 * found[way]['accuracy']:.0f}" for name, way in
               (("full", "full"), ("hidden", "centre_hidden"), ("only", "centre_only"))}
    percent["baseline"] = f"{100 * found['baseline']:.0f}"
    text = t(f"background.{found['reason']}", n=found["n"], few=found["few"], **percent)
    if found["verdict"] == "looks_at_background":
        st.warning(text, icon=":material/landscape:")
    else:
        st.markdown(text)
    bars([(t(f"background.{way}"), found[way]["accuracy"],
           f"{100 * found[way]['accuracy']:.0f} % ({100 * found[way]['low']:.0f} – {100 * found[way]['high']:.0f})", PALETTE[1])
          for way in _WAYS], key="looks-bars")
