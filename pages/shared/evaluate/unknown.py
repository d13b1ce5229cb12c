"""“None of these”: when the model says so of its own photos, and of how many photos of something else."""

from __future__ import annotations

from html import escape
from typing import Any

import streamlit as st

from pages.shared import backend, working
from pages.shared.evaluate.results import Results
from pages.shared.learn.parts import bars
from pages.shared.model.numbers import percent
from pages.shared.text import t
from pages.shared.undisturbed import undisturbed
from transfer_core import measured
from transfer_core.charts import PALETTE
from transfer_core.metrics.unknown import FEWEST, LUCK, share_below
from transfer_core.store import Dataset, Job


def show(run: Job, results: Results) -> None:
    """Nothing where only the named classes are known."""
    if results.report.get("ece") is None:  # a run that came in a zip without its photos
        return
    st.subheader(t("unknown.title"), anchor="unknown")
    threshold = measured.none_below(backend.home().run(run.id))
    if threshold is None:
        st.caption(f":material/info: {t('unknown.missing', few=FEWEST)}")
        return
    st.markdown(t("unknown.text", n=threshold["n"]))
    if results.split == "test":
        below = sum(row["likeness"] < threshold["value"] for row in results.predictions)
        st.markdown(t("unknown.own", **_told(share_below(below, len(results.predictions)))))
    job = _asked(run)
    if job is not None and job.live:
        st.fragment(working.watch, run_every=0.7, key="unknown-watch")(job.id, "unknown-stop")
        return
    if job is not None and job.result:
        _tell(job.result)
    elif job is not None:
        working.failure(job)
    _offer(run, job)


def _asked(run: Job) -> Job | None:
    return next((job for job in backend.store().jobs("strangers") if job.payload["run"] == run.id
                 and job.created >= (run.ended or 0.0)), None)


def _offer(run: Job, before: Job | None) -> None:
    others = [dataset for dataset in backend.store().datasets() if dataset.id != run.payload["recipe"]["dataset"]]
    if not others:
        st.caption(t("unknown.none"))
        return
    st.markdown(t("unknown.ask"))
    with st.container(horizontal=True, vertical_alignment="bottom", key="unknown-ask"):
        chosen = st.selectbox(t("unknown.dataset"), others, format_func=lambda dataset: dataset.name, key="unknown-dataset")
        st.button(t("unknown.again" if before and before.result else "unknown.button"), icon=":material/visibility:",
                  key="unknown-button", on_click=_ask, args=(run, chosen))


@undisturbed()
def _ask(run: Job, dataset: Dataset) -> None:
    known = _asked(run)
    if known is None or not known.live:  # two quick clicks call this twice
        payload = {"run": run.id, "dataset": dataset.id, "version": dataset.latest.version}
        backend.store().submit("strangers", payload, backend.device())


def _told(found: dict[str, Any]) -> dict[str, Any]:
    return {"n": found["n"], "below": found["below"],
            **{name: f"{100 * found[name]:.0f}" for name in ("share", "low", "high")}}


def _tell(found: dict[str, Any]) -> None:
    all_noticed = found["unknown"]["below"] == found["unknown"]["n"]
    st.markdown(" ".join([t("unknown.found", **_told(found["unknown"])), *([] if all_noticed else [t("unknown.others")])]))
    bars([(t(f"unknown.bars_{name}"), found[part]["share"], f"{100 * found[part]['share']:.0f} %", PALETTE[1])
          for name, part in (("own", "known"), ("other", "unknown"))], key="unknown-bars")
    luck = found["auc"] < LUCK
    st.markdown(t("unknown.auc_luck" if luck else "unknown.auc", auc=f"{100 * found['auc']:.0f}"))
    if found["left_out"]:
        st.caption(t("unknown.left_out", count=found["left_out"]))
    if not found["taken"]:
        return
    st.caption(t("unknown.class_helps"))
    with st.expander(t("unknown.taken"), icon=":material/photo_library:", key="unknown-taken"):
        cards = "".join(_card(each) for each in found["taken"])
        st.html(f'<div class="photos">{cards}</div>')


def _card(photo: dict[str, Any]) -> str:
    picture = ""
    if photo["sha256"]:
        picture = (f'<img loading="lazy" src="/thumbnails/{photo["sha256"]}.webp" alt="{escape(photo["file"])}" '
                   f'title="{escape(photo["file"])}">')
    return (f'<figure>{picture}<figcaption>{escape(percent(photo["probability"]))} <b>{escape(photo["label"])}</b></figcaption>'
            "</figure>")
