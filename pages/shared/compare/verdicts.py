"""The scores side by side, and which differences are more than luck. Nothing is ranked by a difference that is not shown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import streamlit as st

from pages.shared import backend, navigation
from pages.shared.compare.chosen import Chosen
from pages.shared.model.numbers import local
from pages.shared.text import t
from pages.shared.text import told as told_of
from transfer_core import measured, sentences
from transfer_core.metrics import holm, paired_difference
from transfer_core.paths import Home


def table(runs: Sequence[Chosen]) -> None:
    names = {dataset.id: dataset.name for dataset in backend.store().datasets()}
    column = st.column_config
    st.dataframe([_row(run, names) for run in runs], hide_index=True, key="compare-table", column_config={
        "number": column.TextColumn("", width=40, pinned=True), "dataset": t("runs.dataset"), "model": t("runs.model"),
        "score": column.ProgressColumn(t("runs.score"), help=t("runs.score_help"), format="%.1f %%", min_value=0, max_value=100),
        "interval": t("runs.interval"), "photos": column.NumberColumn(t("runs.photos")), "f1": t("evaluate.macro_f1"),
        "auc": t("evaluate.auc"), "started": column.DatetimeColumn(t("runs.started"), format="YYYY-MM-DD HH:mm")})


def _row(run: Chosen, names: dict[str, str]) -> dict:
    report = run.report or {}

    def between(name: str, low: str, high: str, digits: int = 2) -> str:
        if report.get(name) is None:
            return "–"
        return f"{report[name]:.{digits}f} ({report[low]:.{digits}f} – {report[high]:.{digits}f})"

    return {"number": str(run.number), "dataset": names.get(run.recipe.dataset, run.recipe.dataset), "model": run.recipe.model,
            "score": 100 * report["accuracy"] if report else None, "photos": report.get("n"),
            "interval": f"{100 * report['low']:.1f} – {100 * report['high']:.1f} %" if report else "–",
            "f1": between("macro_f1", "macro_f1_low", "macro_f1_high"), "auc": between("auc", "auc_low", "auc_high", 3),
            "started": local(run.job.started or run.job.created)}


def told(runs: Sequence[Chosen]) -> None:
    """Each pair in a sentence: McNemar's exact test on the test photos both were measured on, adjusted by Holm where there are
    several pairs."""
    st.subheader(t("compare.better"), anchor="better")
    usable = [run for run in runs if run.report]
    pairs = [(one, other, found) for one, other in combinations(usable, 2)
             if (found := _compared(backend.home(), one.job.id, other.job.id, _written(one), _written(other)))]
    for pair, adjusted in zip(pairs, holm([found["p_value"] for _, _, found in pairs]), strict=True):
        st.markdown(f"- {_sentence(*pair, adjusted, len(pairs))}")
    if len(pairs) > 1:
        st.caption(t("compare.adjusted", count=len(pairs)))
    if len(usable) < len(runs):
        st.caption(t("compare.unmeasured", numbers=", ".join(str(run.number) for run in runs if not run.report)))
    if len(pairs) < len(usable) * (len(usable) - 1) // 2:
        st.caption(t("compare.apart"))
    for note in [note for _, _, found in pairs for note in sentences.like_photos(found)][:1]:
        st.caption(told_of(note))
    if pairs:
        st.caption(t("compare.help"))


def _written(run: Chosen) -> int:
    return measured.predictions_file(run.folder, "test").stat().st_mtime_ns


@st.cache_data(max_entries=256, show_spinner=False)
def _compared(home: Home, one: str, other: str, written: int, other_written: int) -> dict | None:
    """Of two runs' answers as they were `written`: to read 1,000 of each takes 30 ms, and six runs are fifteen pairs."""
    return measured.compare(home.run(one), home.run(other))


def _sentence(one: Chosen, other: Chosen, found: dict, adjusted: float, pairs: int) -> str:
    """The better one is named first where a difference is shown; else they stand as they were chosen."""
    part = found["evidence"] / found["n"]
    low, high = paired_difference(found["only_second"] * part, found["only_first"] * part, found["evidence"], pairs)
    found = found | ({"low": low, "high": high} if adjusted < 0.05 else {"low": min(low, 0.0), "high": max(high, 0.0)})
    if (shown := adjusted < 0.05) and found["difference"] < 0:
        one, other, found = other, one, _turned(found)
    numbers = {name: f"{100 * found[name]:+.1f}" for name in ("difference", "low", "high")}
    counts = {name: found[name] for name in ("only_first", "only_second", "n")}
    return t("compare.shown" if shown else "compare.not_shown", first=one.number, second=other.number, p=f"{adjusted:.2g}",
             **numbers, **counts)


def _turned(found: dict) -> dict:
    """The same comparison, with the other one first."""
    return found | {"difference": -found["difference"], "low": -found["high"], "high": -found["low"],
                    "only_first": found["only_second"], "only_second": found["only_first"]}


def links(runs: Sequence[Chosen]) -> None:
    with st.container(horizontal=True, key="compare-links"):
        for run in runs:
            navigation.link("evaluate", t("compare.open", number=run.number), ":material/open_in_full:", run=run.job.id,
                            dataset=run.recipe.dataset)
