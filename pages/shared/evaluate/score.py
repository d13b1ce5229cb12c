"""The score with its interval, its baseline and its n, in a picture and in a sentence."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import streamlit as st

from pages.shared import navigation
from pages.shared.evaluate.results import Results
from pages.shared.text import plain, t, told
from transfer_core import sentences


def show(results: Results, folded: dict[str, Any] | None = None) -> None:
    """`folded`: what a cross-validation of the same settings found, where there is one."""
    report = results.report
    percent = {name: f"{100 * report[name]:.0f}" for name in ("accuracy", "low", "high", "baseline")}
    if results.split != "test":
        st.warning(t("evaluate.only_validation"), icon=":material/warning:")
    with st.container(key="score"):
        st.html(_picture(report, percent))
        st.write(t(f"evaluate.sentence_{results.split}", n=report["n"], correct=report["correct"], **percent,
                   name=plain(report["baseline_class"])))
        if folded:
            over_all = {name: f"{100 * folded['accuracy'][name]:.0f}" for name in ("value", "low", "high")}
            st.markdown(f"{t('beside.both', n=folded['n'], **over_all)}  \n{t('beside.quote', n=folded['n'], few=report['n'])}")
        for caution in sentences.cautions(report, folded):
            if caution.key == "evaluate.wide":
                st.info(told(caution), icon=":material/straighten:")
            else:
                st.warning(told(caution), icon=":material/warning:")
    with st.container(horizontal=True, key="scores"):
        for name in ("balanced_accuracy", "macro_f1", "weighted_f1"):
            if report.get(name) is not None:
                low, high = report[f"{name}_low"], report[f"{name}_high"]
                st.metric(t(f"evaluate.{name}"), f"{100 * report[name]:.0f} %", help=t(f"evaluate.{name}_help"),
                          delta=f"{100 * low:.0f} – {100 * high:.0f} %", delta_color="off", delta_arrow="off")
        for name, digits in (("auc", 3), ("average_precision", 3), ("log_loss", 2)):
            if report.get(name) is not None:
                low, high = report.get(f"{name}_low"), report.get(f"{name}_high")
                st.metric(t(f"evaluate.{name}"), f"{report[name]:.{digits}f}", delta_color="off", delta_arrow="off",
                          help=t(f"evaluate.{name}_help", guess=f"{math.log(len(results.classes)):.2f}"),
                          delta=None if low is None else f"{low:.{digits}f} – {high:.{digits}f}")
    for note in sentences.about_intervals(report):
        st.caption(f":material/straighten: {told(note)}")
    st.caption(navigation.theory("score"))


def _picture(report: dict, percent: dict[str, str]) -> str:
    """A scale from 0 to 100 with the interval as a band, the score as a mark and the baseline as a dashed line."""
    low, high, score, base = (100 * report[name] for name in ("low", "high", "accuracy", "baseline"))
    alt, baseline = escape(t("evaluate.picture_alt", **percent)), escape(t("evaluate.baseline"))
    side = " left" if base > 40 else ""
    return (
        f'<div class="score-picture" role="img" aria-label="{alt}">'
        f'<div class="score-number">{percent["accuracy"]}<small>%</small></div>'
        f'<div class="score-scale"><span class="score-band" style="left:{low:.1f}%;width:{high - low:.1f}%"></span>'
        f'<span class="score-mark" style="left:{score:.1f}%"></span>'
        f'<span class="score-base{side}" style="left:{base:.1f}%"><i>{baseline} {percent["baseline"]} %</i></span>'
        f'<span class="score-end" style="left:{low:.1f}%">{percent["low"]}</span>'
        f'<span class="score-end" style="left:{high:.1f}%">{percent["high"]}</span></div></div>'
    )


def per_class(results: Results) -> None:
    st.subheader(t("evaluate.per_class"))
    rows = [{
        "label": entry["label"], "support": entry["support"], "recall": _percent(entry["recall"]),
        "interval": _bounds(entry, "recall"),
        "precision": _percent(entry["precision"]), "between": _bounds(entry, "precision"),
        "f1": _percent(entry["f1"]), "around": _bounds(entry, "f1"),
    } for entry in results.report["per_class"]]
    column = st.column_config
    share = {"format": "%.0f %%", "min_value": 0, "max_value": 100}
    st.dataframe(rows, hide_index=True, key="per-class", height=min(38 + 35 * len(rows), 460), column_config={
        "label": column.TextColumn(t("evaluate.class"), pinned=True),
        "support": column.NumberColumn(t("evaluate.support"), help=t("evaluate.support_help")),
        "recall": column.ProgressColumn(t("evaluate.recall"), help=t("evaluate.recall_help"), **share),
        "interval": column.TextColumn(t("runs.interval")),
        "precision": column.ProgressColumn(t("evaluate.precision"), help=t("evaluate.precision_help"), **share),
        "between": column.TextColumn(t("runs.interval")),
        "f1": column.NumberColumn("F1", format="%.0f %%", help=t("evaluate.f1_help")),
        "around": column.TextColumn(t("runs.interval")),
    })


def _bounds(entry: dict, name: str) -> str:
    low, high = entry.get(f"{name}_low"), entry.get(f"{name}_high")
    return "" if low is None else f"{100 * low:.0f} – {100 * high:.0f} %"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
