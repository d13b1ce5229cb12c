"""What the model says about the photos of one upload: one photo with bars, or many as a table and a gallery."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from html import escape
from pathlib import Path

import pandas as pd
import streamlit as st

from pages.shared import backend, frame, heatmaps, nearby, place
from pages.shared.model.numbers import percent
from pages.shared.text import plain, t, told
from transfer_core.errors import StudioError
from transfer_core.predicting.process import shared
from transfer_core.prediction_batch import BatchState, PredictionBatch
from transfer_core.spreadsheet import cell
from transfer_core.store import Job

UNSURE = 0.5
"""Below this probability the first answer is shown as a guess."""
SHOWN = 48
MOMENT = 0.8
"""Seconds a page waits for its answers; a photo takes 10 to 50 ms, opening the model 200."""
_BAD = 5
"""Broken files that are named; the others are counted."""
_ID = re.compile(r"[0-9a-f]{32}")
_NONE = {True: "yes", False: "no", None: ""}


def get_ready(run: Job) -> None:
    """Start the process that answers, and open the model there, while the visitor looks for a photo."""
    shared.prepare(_model(run))


def _model(run: Job) -> Path:
    return backend.home().at("runs", run.id, "model.onnx")


def show(run: Job) -> None:
    upload = place.get("upload") or ""
    folder = backend.home().uploads / upload
    if not _ID.fullmatch(upload) or not folder.is_dir():
        st.info(t("predict.gone"), icon=":material/hourglass_disabled:")
        return
    batch = PredictionBatch(folder, _model(run))
    batch.start()
    classes = json.loads((backend.home().run(run.id) / "classes.json").read_text("utf-8"))
    live = not _soon(batch)
    st.fragment(_answers, run_every=0.5 if live else None, key="answers")(batch, classes, upload, run, live)


def _soon(batch: PredictionBatch) -> bool:
    """Whether it is done within a moment, as one photo always is: then the page is drawn once, and no click meets a redraw."""
    patience = time.monotonic() + MOMENT
    while not (done := batch.state().finished) and time.monotonic() < patience:
        time.sleep(0.01)
    return done


def _answers(batch: PredictionBatch, classes: list[str], upload: str, run: Job, was_live: bool) -> None:
    try:
        state = batch.state()
    except StudioError as error:
        frame.show(error)
        return
    if state.finished and was_live:
        st.rerun()
    if not state.finished:
        st.progress(state.done / max(1, state.total), t("predict.working", done=state.done, total=state.total))
    for row in batch.bad(0, _BAD):
        hint = told(row["hint"]) if row["hint"] else ""
        st.warning(f"**{plain(_name(row))}**: {plain(told(row['error']))} {plain(hint)}", icon=":material/broken_image:")
    if state.bad > _BAD:
        st.caption(t("predict.more_bad", count=state.bad - _BAD))
    if state.good == 1 and state.total == 1:
        _one(batch.good(0, 1)[0], classes, upload, run)
    elif state.good:
        _many(batch, state, classes, upload)


def _name(row: dict) -> str:
    return Path(row["file"]).name


def _ranked(row: dict, classes: list[str]) -> list[tuple[float, str]]:
    return sorted(zip(row["probabilities"], classes, strict=True), reverse=True)


def about(row: dict, share: float) -> tuple[str | None, str]:
    """The doubt of an answer whose first class has this `share` ("none", "unsure"), and the word that explains it."""
    if row.get("none_of_these"):
        return "none", "predict.none_help"
    can_tell = row.get("none_of_these") is not None
    return "unsure" if share < UNSURE else None, "predict.may_say_none" if can_tell else "predict.always_a_class"


def _one(row: dict, classes: list[str], upload: str, run: Job) -> None:
    ranked = _ranked(row, classes)
    share, label = ranked[0]
    picture, says = st.columns([2, 3], gap="large")
    with picture:
        st.html(f'<img class="tried" src="/api/uploads/{upload}/{row["n"]}/preview.webp" alt="{escape(_name(row))}">')
    with says, st.container(key="answer"):
        doubt, help_ = about(row, share)
        st.subheader(t(f"predict.{doubt}", label=plain(label)) if doubt else plain(label), anchor=False)
        bars = "".join(
            f'<li><span class="name">{escape(name)}</span>'
            f'<span class="track"><span style="width:{100 * value:.1f}%"></span></span>'
            f"<b>{escape(percent(value, 1))}</b></li>" for value, name in ranked[:10])
        st.html(f'<ol class="bars">{bars}</ol>')
        st.caption(t(help_))
    if run.kind == "train":  # a first look keeps no weights
        heatmaps.offer(run, [{"upload": upload, "number": row["n"]}], "tried")
        nearby.offer(run, {"upload": upload, "number": row["n"]}, "tried", t("similar.title"))


def _many(batch: PredictionBatch, state: BatchState, classes: list[str], upload: str) -> None:
    counts = sorted(((label, state.labels.get(label, 0)) for label in classes), key=lambda item: -item[1])
    st.markdown(t("predict.many", count=state.good) + " " + ", ".join(
        f"{plain(label)} {count}" for label, count in counts[:8] if count))
    if state.none:
        st.markdown(t("predict.none_many", count=state.none))
    table = None
    if state.finished:  # not while more is coming: 20,000 rows take seconds
        table, spreadsheet = _whole(str(batch.file), batch.file.stat().st_mtime_ns, classes, batch)
        st.download_button(t("predict.csv"), spreadsheet, "predictions.csv", "text/csv", key="csv", icon=":material/table:")
    pages = -(-state.good // SHOWN)
    page = st.pagination(pages, key="tried-page") if pages > 1 else 1
    cards = "".join(_card(row, classes, upload) for row in batch.good((page - 1) * SHOWN, page * SHOWN))
    st.html(f'<div class="photos">{cards}</div>')
    if table is None:
        return
    with st.expander(t("predict.table"), key="answers-table"):
        share = st.column_config.ProgressColumn(t("predict.share"), format="%.0f %%", min_value=0, max_value=100)
        st.dataframe(table, hide_index=True,
                     column_config={"file": t("predict.file"), "label": t("predict.label"), "share": share})


@st.cache_data(max_entries=4, show_spinner=False)
def _whole(file: str, written: int, classes: list[str], _batch: PredictionBatch) -> tuple[pd.DataFrame, bytes]:
    """All answers as the table and as CSV, made once for a `file` as it was `written`."""
    rows = [row for row in _batch.rows() if "error" not in row]
    table = pd.DataFrame([{"file": _name(row), "label": row["label"], "share": 100 * max(row["probabilities"])} for row in rows])
    return table, _csv(rows, classes)


def _card(row: dict, classes: list[str], upload: str) -> str:
    ranked = _ranked(row, classes)[:3]
    bars = "".join(f'<li><span class="bar" style="width:{100 * value:.0f}%"></span><span>{escape(name)}</span>'
                   f"<b>{escape(percent(value))}</b></li>" for value, name in ranked)
    unsure = "∅ " if row.get("none_of_these") else "" if ranked[0][0] >= UNSURE else "? "
    return (f'<figure><img loading="lazy" src="/api/uploads/{upload}/{row["n"]}/preview.webp" alt="{escape(_name(row))}" '
            f'title="{escape(_name(row))}"><figcaption>{unsure}<b>{escape(row["label"])}</b></figcaption><ol>{bars}</ol></figure>')


def _csv(rows: list[dict], classes: list[str]) -> bytes:
    """A table for spreadsheets: byte-order mark for Chinese names in Excel; no cell that a spreadsheet would run."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["file", "label", "probability", "none_of_these", *map(cell, classes)])
    for row in rows:
        shares = row["probabilities"]
        writer.writerow([cell(_name(row)), cell(row["label"]), f"{max(shares):.6f}", _NONE[row.get("none_of_these")],
                         *(f"{share:.6f}" for share in shares)])
    return out.getvalue().encode("utf-8-sig")
