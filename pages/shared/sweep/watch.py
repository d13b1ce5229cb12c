"""A sweep as it goes: its points, the one that is recommended, and the way on with any of them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.shared import backend, navigation, place
from pages.shared.model.numbers import decimal
from pages.shared.runs import several
from pages.shared.sweep.plot import plot
from pages.shared.text import plain, t, told
from pages.shared.train.follow import follow
from pages.shared.undisturbed import undisturbed
from transfer_core.errors import NotFound
from transfer_core.events import Failed, Swept
from transfer_core.jobs.discard import discard_points
from transfer_core.recipe import Recipe
from transfer_core.store import Job
from transfer_core.sweeping import Tried, best_of, recommend, setting_of, told_apart, tried


def show() -> None:
    job = _job()
    if job is None:
        with st.container(border=True, key="sweep-empty"):
            st.write(t("sweep.none"))
            if st.button(t("sweep.to_model"), type="primary", key="sweep-to-model"):
                navigation.go("model")
        return
    recipe = Recipe(**job.payload["recipe"])
    st.caption(_about(job, recipe))
    st.fragment(_look, run_every=1.0 if job.live else None, key="sweep-look")(job.id, job.live, setting_of(recipe))


@undisturbed()
def _resume(sweep: str) -> None:
    backend.store().requeue(sweep)


@undisturbed()
def _delete(sweep: str) -> None:
    backend.store().delete_job(sweep)
    discard_points(backend.store(), sweep)


def _job() -> Job | None:
    try:
        job = backend.store().job(place.get("job") or "")
    except NotFound:
        return None
    return job if job.kind == "sweep" else None


def _about(job: Job, recipe: Recipe) -> str:
    try:
        dataset = backend.store().dataset(recipe.dataset).name
    except NotFound:
        dataset = recipe.dataset
    term = t(f"objective.source_{recipe.source_loss}" if recipe.source_loss else f"objective.omega_{recipe.regularizer}")
    return f"{plain(dataset)} · {plain(recipe.model)} · {term}"


def _look(job_id: str, was_live: bool, setting: str) -> None:
    """The part that is looked at every second; when the sweep ends, the whole page follows."""
    if taken := st.session_state.pop("sweep took", None):
        navigation.go("train", run=taken, job=None)
    try:
        job = backend.store().job(job_id)
    except NotFound:  # deleted
        st.rerun()
    if job.live != was_live:
        st.rerun()
    progress = follow(job_id)
    with st.container(horizontal=True, vertical_alignment="center", key="sweep-state"):
        st.badge(t(f"runs.state_{job.state}"), color="orange" if job.live else "green" if job.state == "finished" else "gray")
        st.markdown(t(f"sweep.direction_{setting}"))
        if job.live and not job.stop:
            st.button(t("train.stop"), icon=":material/stop:", key="sweep-stop", on_click=backend.store().ask_stop,
                      args=(job.id, "keep"))
        if not job.live and job.state in ("stopped", "failed"):
            st.button(t("train.resume"), icon=":material/resume:", key="sweep-resume", on_click=_resume, args=(job.id,))
    if job.live and progress.stage and progress.stage.total:
        st.progress(min(1.0, progress.stage.done / progress.stage.total), t("stages.sweep"))
    if isinstance(progress.ended, Failed):
        st.error(plain(told(progress.ended.message)), icon=":material/error:")
    for note in progress.notes:
        st.caption(f":material/info: {plain(told(note.message))}")
    if not progress.swept:
        st.info(t("sweep.waiting"), icon=":material/hourglass_top:")
        return
    known, (chosen, why) = tried(progress.swept), recommend(progress.swept)
    if not job.live:
        _take(chosen, told(why), progress.swept)
    plot(known, chosen)
    st.caption(t("sweep.plot_help", n=known[0].n))
    _table(known, chosen, progress.swept)
    if not job.live:
        st.button(t("sweep.delete"), icon=":material/delete:", type="tertiary", key="sweep-delete", help=t("sweep.delete_help"),
                  on_click=_delete, args=(job.id,))


def _take(chosen: Tried, why: str, points: Sequence[Swept]) -> None:
    with st.container(border=True, key="sweep-recommended"):
        st.markdown(why)
        if len({point.value for point in points}) > 1 and not told_apart(points):
            st.caption(f":material/casino: {t('sweep.all_alike')}")
        st.button(t("sweep.use", value=decimal(chosen.value)), type="primary", icon=":material/check:", key="sweep-use",
                  on_click=_use, args=(best_of(chosen.value, points).run,))
        repeats = [point.run for point in points if point.value == chosen.value]
        if several.can_be_averaged(repeats):
            st.button(t("sweep.average", value=decimal(chosen.value), count=len(repeats)), icon=":material/blender:",
                      key="sweep-average", help=t("sweep.average_help"), on_click=_average, args=(repeats,))


@undisturbed()
def _use(run: str) -> None:
    """The rest of a training: measured on the test photos, once, and made into files. Then it is a run like any other."""
    try:
        job = backend.store().job(run)
    except NotFound:
        return
    if job.result is None:
        backend.store().requeue(run)
    st.session_state["sweep took"] = run


@undisturbed()
def _average(repeats: list[str]) -> None:
    st.session_state["sweep took"] = several.begin(repeats)


def _interval(bounds: tuple[float, float] | None) -> str:
    return "–" if bounds is None else f"{100 * bounds[0]:.0f} – {100 * bounds[1]:.0f} %"


def _table(known: Sequence[Tried], chosen: Tried, points: Sequence[Swept]) -> None:
    rows = []
    for each in known:
        best = best_of(each.value, points)
        rows.append({"value": decimal(each.value) + (" ★" if each.value == chosen.value else ""), "learned": 100 * each.accuracy,
                     "error": _interval(each.learned_interval), "kept": None if each.kept is None else 100 * each.kept,
                     "kept_error": _interval(each.kept_interval), "drift": 100 * best.drift, "seeds": each.seeds})
    column = st.column_config
    share = {"format": "%.0f %%", "min_value": 0, "max_value": 100}
    columns = {
        "value": column.TextColumn("λ"), "learned": column.ProgressColumn(t("live.learned"), **share),
        "error": column.TextColumn(t("runs.interval")), "kept": column.ProgressColumn(t("live.kept_agreement"), **share),
        "kept_error": column.TextColumn(t("sweep.kept_interval")),
        "drift": column.NumberColumn(t("kept.moved"), format="%.2g %%"), "seeds": column.NumberColumn(t("sweep.seeds"))}
    picked = st.dataframe(rows, hide_index=True, on_select="rerun", selection_mode="single-row", key="sweep-table",
                          column_config=columns)["selection"]["rows"]
    if picked and picked[0] < len(known):
        other = known[picked[0]]
        st.button(t("sweep.use", value=decimal(other.value)), icon=":material/check:", key="sweep-use-other",
                  on_click=_use, args=(best_of(other.value, points).run,))
    else:
        st.caption(t("sweep.choose"))
