"""Formats that are made when somebody wants them: a button, then a bar, then the file."""

from __future__ import annotations

from importlib.util import find_spec

import streamlit as st

from pages.shared import backend, working
from pages.shared.share import files
from pages.shared.text import t
from pages.shared.train.follow import follow
from pages.shared.undisturbed import undisturbed
from transfer_core.events import Exported
from transfer_core.store import Job

PAGE = "html"
EXTRA = {"litert": "litert_torch", "openvino": "openvino"}
"""Format → what makes it, which is not part of the studio."""
MORE = ("python", "onnx-int8", "pt2", "html-folder", *(name for name, package in EXTRA.items() if find_spec(package)), "project")


def show(run: Job) -> None:
    """The page in one file, and the others behind a fold. Drawn again each second while one is being made."""
    st.fragment(_all, run_every=1.0 if _live(run) else None, key="making")(run, bool(_live(run)))


def _all(run: Job, was_live: bool) -> None:
    if bool(_live(run)) != was_live:  # the whole page says how often this part is looked at
        st.rerun()
    exported = follow(run.id).exported  # read here: what is finished is offered while others are still being made
    with st.container(border=True, key="download-html"):
        _one(run, PAGE, exported, primary=True)
    with st.expander(t("share.more"), icon=":material/deployed_code:", key="more-formats",
                     expanded=any(_job(run, name) for name in MORE)):
        for name in MORE:
            with st.container(key=f"download-{name}"):
                _one(run, name, exported)


def _one(run: Job, name: str, exported: dict[str, Exported], primary: bool = False) -> None:
    st.markdown(f"**{t(f'share.{name}_title')}** – {t(f'share.{name}_text')}")
    job = _job(run, name)
    if name in exported:
        files.offer(run.id, exported[name])
    elif job and job.live:
        working.bar(job)
    else:
        if job:
            working.failure(job)
        st.button(t("share.again" if job else "share.make"), icon=":material/build:", key=f"make-{name}", on_click=_make,
                  args=(run, name))


def _live(run: Job) -> list[Job]:
    return [job for job in backend.store().jobs("export", "queued", "running") if job.payload["run"] == run.id]


def _job(run: Job, name: str) -> Job | None:
    """The newest try. One from before the run went on is of another model."""
    return next((job for job in backend.store().jobs("export") if job.payload["run"] == run.id and job.payload["format"] == name
                 and job.created >= (run.ended or 0.0)), None)


@undisturbed()
def _make(run: Job, name: str) -> None:
    if not any(job.payload["format"] == name for job in _live(run)):  # two quick clicks call this twice
        backend.store().submit("export", {"run": run.id, "format": name})
