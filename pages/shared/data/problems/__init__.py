"""Look for problems: doubtful labels, like photos on both sides of the split, odd and poor ones; and what to do with each."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, working
from pages.shared.data.problems import lists, score
from pages.shared.text import plain, t, told
from pages.shared.undisturbed import undisturbed
from transfer_core.jobs.tasks import last_check
from transfer_core.store import Dataset, Job
from transfer_core.words import Message


def show(dataset: Dataset) -> None:
    st.subheader(t("problems.title"), anchor="problems")
    job = last_check(backend.store(), dataset.id)
    if job is None:
        failed = next((each for each in backend.store().jobs("check") if each.payload["dataset"] == dataset.id), None)
        if failed is not None:
            working.failure(failed)
        st.markdown(t("problems.text"))
        _offer(dataset, "problems.look")
    elif job.live:
        st.fragment(working.watch, run_every=1.0, key="problems-watch")(job.id, "problems-stop")
    else:
        _found(dataset, job)


def _offer(dataset: Dataset, label: str) -> None:
    st.button(t(label), icon=":material/troubleshoot:", key="look-for-problems", on_click=_look, args=(dataset,))


@undisturbed()
def _look(dataset: Dataset) -> None:
    version = dataset.latest.version
    known = last_check(backend.store(), dataset.id, version)
    if known is None or not known.live:  # two quick clicks call this twice
        backend.store().submit("check", {"dataset": dataset.id, "version": version}, backend.device())


def _found(dataset: Dataset, job: Job) -> None:
    found = job.result
    score.show(found["scores"])
    for note in found["notes"]:
        st.caption(plain(told(Message(**note))))
    st.fragment(lists.show, key="problem-lists")(dataset, found)
    if job.payload["version"] != dataset.latest.version:
        st.caption(t("problems.older", version=job.payload["version"]))
        _offer(dataset, "problems.again")
    score.retrain(dataset)
