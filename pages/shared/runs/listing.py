"""The table of runs. It does not rank: two scores whose intervals overlap may differ by luck."""

from __future__ import annotations

import streamlit as st

from pages.shared import averages, backend, navigation
from pages.shared.model.numbers import local, size
from pages.shared.runs import published, restoring, several
from pages.shared.text import plain, t
from pages.shared.train.again import again
from pages.shared.undisturbed import undisturbed
from transfer_core.activations import Shelf, budget
from transfer_core.store import Job

PAGE = 50


def show() -> None:
    count = backend.store().run_count()
    _offer_undo()
    _sweeps()
    published.listed()
    if not count:
        with st.container(border=True, key="runs-empty"):
            st.subheader(t("runs.empty_title"))
            st.write(t("runs.empty_text"))
            if st.button(t("train.empty_action"), type="primary", key="runs-to-data"):
                navigation.go("data")
        restoring.offer()
        return
    pages = -(-count // PAGE)
    # Remounted with fewer pages, it begins at the first: what was deleted may have been the last of the last page.
    page = st.pagination(pages, key=f"runs-page-{pages}") if pages > 1 else 1
    runs = backend.store().runs(PAGE, (page - 1) * PAGE)
    names = {dataset.id: dataset.name for dataset in backend.store().datasets()}
    made = any(averages.short(run) for run in runs)
    rows = st.dataframe([_row(run, names, made) for run in runs], hide_index=True, on_select="rerun", selection_mode="multi-row",
                        key="runs-table" if page == 1 else f"runs-table-{page}", column_config=_columns())["selection"]["rows"]
    chosen = [runs[row] for row in rows if row < len(runs)]
    if not chosen:
        st.caption(t("mixture.several.choose" if len(runs) > 1 else "runs.choose"))
    elif len(chosen) == 1:
        _actions(chosen[0])
    else:
        several.offer(chosen)
    st.caption(t("runs.ranking"))
    restoring.offer()
    _stored()


def _sweeps() -> None:
    sweeps = backend.store().jobs("sweep")
    if not sweeps:
        return
    names = {dataset.id: dataset.name for dataset in backend.store().datasets()}
    with st.expander(t("sweep.listed"), icon=":material/tune:", key="sweeps"):
        for job in sweeps:
            recipe = job.payload["recipe"]
            label = f"{plain(names.get(recipe['dataset'], recipe['dataset']))} · {plain(recipe['model'])}"
            navigation.link("sweep", f"{label} · {t(f'runs.state_{job.state}')}", job=job.id)


def _stored() -> None:
    """What frozen layers said of photos: how much disk it takes, and the way to be rid of it."""
    shelf = Shelf(backend.home())
    if taken := shelf.bytes:
        with st.container(horizontal=True, vertical_alignment="center", key="stored"):
            st.caption(t("runs.stored", size=size(taken), most=size(budget(shelf))), width="content", help=t("runs.stored_help"))
            st.button(t("runs.stored_clear"), icon=":material/mop:", type="tertiary", key="clear-stored", on_click=shelf.clear)


def _columns() -> dict:
    column = st.column_config
    return {
        "dataset": t("runs.dataset"), "model": t("runs.model"), "made": t("mixture.made.kind"), "state": t("runs.state"),
        "score": column.ProgressColumn(t("runs.score"), help=t("runs.score_help"), format="%.0f %%", min_value=0, max_value=100),
        "interval": t("runs.interval"), "photos": column.NumberColumn(t("runs.photos")),
        "freeze": t("runs.freeze"), "epochs": t("runs.epochs"),
        "started": column.DatetimeColumn(t("runs.started"), format="YYYY-MM-DD HH:mm"),
    }


def _row(run: Job, names: dict[str, str], made: bool) -> dict:
    """`made`: say how each came about, since not all were trained."""
    recipe, result = run.payload["recipe"], run.result or {}
    score = result.get("test") or {}
    return {
        "dataset": names.get(recipe["dataset"]) or run.payload.get("name") or recipe["dataset"],
        "score": 100 * score["accuracy"] if score else None,  # what people look for: within a phone's width
        "interval": f"{100 * score['low']:.0f} – {100 * score['high']:.0f} %" if score else "",
        "photos": score.get("n"),
        "state": t(f"runs.state_{run.state}"),
        "model": recipe["model"],
        **({"made": averages.short(run) or t("mixture.made.trained")} if made else {}),
        "freeze": "" if run.is_average else _frozen(recipe["freeze"]),
        "epochs": result.get("epochs"),
        "started": local(run.started or run.created),
    }


def _frozen(freeze: int | str) -> str:
    if freeze == "all":
        return t("runs.freeze_all")
    return t("runs.freeze_some", count=freeze) if freeze else t("runs.freeze_none")


def _actions(run: Job) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="run-row-actions"):
        if st.button(t("runs.open"), type="primary", icon=":material/open_in_full:", key="open-run"):
            navigation.go("evaluate" if run.result else "train", run=run.id, dataset=run.payload["recipe"]["dataset"])
        st.button(t("runs.delete"), icon=":material/delete:", key="delete-run", on_click=_delete, args=(run.id,),
                  disabled=run.live)
        again(run)


@undisturbed()
def _delete(run_id: str) -> None:
    backend.store().delete_job(run_id)
    st.session_state["deleted-run"] = run_id


def _offer_undo() -> None:
    run_id = st.session_state.get("deleted-run")
    if run_id is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="undo-row"):
        st.caption(t("runs.deleted"))
        st.button(t("runs.undo"), key="undo-delete", on_click=_undo, args=(run_id,))


@undisturbed()
def _undo(run_id: str) -> None:
    backend.store().delete_job(run_id, undo=True)
    st.session_state.pop("deleted-run", None)
