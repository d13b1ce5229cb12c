"""Where the weights come from: pretrained, a person's own file, or (with a warning) none at all."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.shared import averages, backend, draft, place
from pages.shared.bound import bind_to
from pages.shared.components.one_file import one_file
from pages.shared.draft import Draft
from pages.shared.model.numbers import local
from pages.shared.text import plain, t, told
from transfer_core.catalog import ModelInfo
from transfer_core.depot.looking import has
from transfer_core.errors import NotFound
from transfer_core.events import Failed
from transfer_core.people import is_trial
from transfer_core.recipe import DEFAULT_MODEL, Recipe
from transfer_core.store import Job

KIND = "describe_weights"
CHOICES = ("pretrained", "file", "run", "scratch")


def section(now: Draft) -> None:
    # Until a file is there, "file" is no valid recipe: that this tab is open is a fact of its own in the URL.
    job = _job()
    choices = [choice for choice in CHOICES if choice != "file" or not is_trial()]
    chosen = place.get("own") if place.get("own") in ("file", "run") else now.recipe.weights
    chosen = chosen if chosen in choices else "pretrained"
    with st.container(key="weights"):
        st.segmented_control(t("settings.weights"), choices, required=True, help=t("settings.weights_help"),
                             format_func=lambda name: t(f"settings.weights_{name}"),
                             **bind_to("weights-choice", chosen, _choose, start="default"))
        if chosen == "scratch":
            st.warning(t("model.scratch"), icon=":material/warning:")
        elif chosen == "file":
            _own_file(now, job)
        elif chosen == "run":
            _another_run(now)


def _choose(name: str) -> None:
    if name == "file":
        draft.reset("weights")
        place.put(own="file")
    elif name == "run":
        _start_from(next(iter(_runs(draft.model_info())), None))
    else:
        draft.change(weights=name, weights_file=None, start_from=None)
        place.put(own=None, job=None)


def _start_from(run: str | None) -> None:
    """None while there is no such training: the tab is open, and the recipe is as it was."""
    if run is None:
        draft.reset("weights")
    elif run in _runs(draft.model_info()):  # a browser that is behind may send an option that is none any more
        before = Recipe(**backend.store().job(run).payload["recipe"])
        draft.change(weights="run", weights_file=None, start_from=run,
                     **{name: getattr(before, name) for name in ("kept_groups", "head", "head_width")})
    place.put(own="run", job=None)


def _runs(info: ModelInfo) -> dict[str, Job]:
    """Trainings of this model that left one to start from, newest first. A name may stand without its weights' tag."""
    home, names = backend.home(), {info.name, info.architecture}
    return {job.id: job for job in backend.store().jobs("train", "finished", "stopped")
            if job.payload["recipe"].get("model", DEFAULT_MODEL) in names and not job.is_part
            and has(home, job, "model.safetensors")}


def _another_run(now: Draft) -> None:
    runs = _runs(now.info)
    st.caption(t("model.run_text", model=now.info.name))
    if not runs:
        st.info(t("model.run_none"), icon=":material/info:")
        return
    if now.recipe.start_from not in runs:
        st.warning(t("model.run_gone"), icon=":material/warning:")
    names = {dataset.id: dataset.name for dataset in backend.store().datasets()}
    st.selectbox(t("settings.start_from"), list(runs), format_func=lambda run: _told(runs[run], names),
                 help=t("settings.start_from_help"),
                 **bind_to("setting-start_from", now.recipe.start_from, _start_from, options=list(runs)))


def _told(run: Job, names: dict[str, str]) -> str:
    dataset = run.payload["recipe"]["dataset"]
    score = (run.result or {}).get("test", {}).get("accuracy")
    percent = "" if score is None else f" · {100 * score:.0f} %"
    parts = (names.get(dataset, dataset) if run.is_average else run.payload.get("name") or names.get(dataset, dataset),
             averages.short(run))
    # Text, not Markdown. The moment, not how long ago: the browser sends these words back, and they must still be there.
    return " · ".join(part for part in parts if part) + f"{percent} · {local(run.ended):%Y-%m-%d %H:%M}"


def _own_file(now: Draft, job: Job | None) -> None:
    st.caption(t("model.file_text", model=now.info.name))
    if arrived := one_file("weight-file", "model.file_", ".safetensors,.pt,.pth,.bin,.ckpt"):
        _submit(arrived, now.info.name)
        st.rerun()
    if now.recipe.weights == "file":
        st.success(t("model.file_in_use", file=now.recipe.weights_file[:12]), icon=":material/check_circle:")
    elif job is None:
        st.caption(f":material/info: {t('model.file_until_then')}")
    if job:
        if job.live:
            _watch(job.id)
        else:
            _described(job)


def _submit(arrived: dict[str, Any], model: str) -> None:
    job = backend.store().submit(KIND, {"upload": arrived["upload"], "name": arrived["name"], "model": model})
    place.put(job=job.id, own="file")


def _job() -> Job | None:
    """The question about a weight file that the URL names."""
    try:
        job = backend.store().job(place.get("job") or "")
    except NotFound:
        return None
    return job if job.kind == KIND else None


@st.fragment(run_every=0.7)
def _watch(job_id: str) -> None:
    job = backend.store().job(job_id)
    if not job.live:
        _take(job)
        st.rerun()
    st.caption(f":material/hourglass_top: {t('model.file_reading')}")


def _take(job: Job) -> None:
    """A file that fits becomes the recipe's weights as soon as it is known to."""
    result = job.result or {}
    if job.state == "finished" and result.get("sha256"):
        place.put(weights="file", weights_file=result["sha256"])


def _described(job: Job) -> None:
    if job.state == "finished":
        result = job.result or {}
        st.caption(t("model.file_described", file=plain(job.payload.get("name", "")), tensors=result.get("tensors", 0),
                     fitting=result.get("fitting", 0), total=result.get("total", 0)))
    elif ends := [event for _, event in backend.store().events(job.id) if isinstance(event, Failed)]:
        hint = told(ends[-1].hint) if ends[-1].hint else ""
        st.error(f"{told(ends[-1].message)}\n\n{hint}", icon=":material/error:")
