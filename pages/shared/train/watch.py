"""A run as it happens: its verdict, its numbers, its curves, and what a person may do with it."""

from __future__ import annotations

import time

import streamlit as st

from pages.shared import averages, backend, navigation
from pages.shared.components.live import live
from pages.shared.model.numbers import decimal, digits, size
from pages.shared.text import plain, t, told
from pages.shared.train import card
from pages.shared.train.again import again
from pages.shared.train.follow import follow
from pages.shared.undisturbed import undisturbed
from transfer_core.cluster.state import trouble
from transfer_core.errors import NotFound
from transfer_core.events import Failed, Finished
from transfer_core.jobs import waiting
from transfer_core.jobs.beside import brought
from transfer_core.jobs.run import came_back, resumable
from transfer_core.progress import Progress, validated, verdict
from transfer_core.recipe import Recipe
from transfer_core.store import Dataset, Job
from transfer_core.store.jobs import SILENT_AFTER
from transfer_core.words import message

_ICONS = {"queued": ":material/hourglass_empty:", "running": ":material/model_training:", "finished": ":material/check_circle:",
          "stopped": ":material/stop_circle:", "failed": ":material/error:"}
_COLORS = {"queued": "gray", "running": "orange", "finished": "green", "stopped": "blue", "failed": "red"}


def show(run: Job) -> None:
    recipe = Recipe(**run.payload["recipe"])
    dataset = _dataset(recipe)
    st.caption(averages.named(run, dataset.name if dataset else recipe.dataset))
    if not run.live or not run.is_average:
        averages.made(run)
    st.fragment(_status, run_every=1.0 if run.live else None, key="run-status")(run.id, run.live)
    if not run.is_average and (run.live or follow(run.id).started):
        live(run.id, run.live)
    follower = None if run.live else brought(backend.store(), run.id)
    if follower is not None and follower.live:
        st.caption(f":material/splitscreen: {t('beside.under_way')}")
    receipt = "mixture.made.receipt" if run.is_average else "train.receipt"
    with st.expander(t(receipt), icon=":material/receipt_long:", key="receipt"):
        card.describe(recipe, dataset, receipt=run)
        st.caption(t("mixture.made.receipt_id", run=run.id) if run.is_average else
                   t("train.receipt_id", run=run.id, fingerprint=recipe.fingerprint))
    again(run)


def _dataset(recipe: Recipe) -> Dataset | None:
    try:
        return backend.store().dataset(recipe.dataset)
    except NotFound:
        return None


def _status(run_id: str, was_live: bool) -> None:
    """The part that is looked at every second. When the run ends (or is resumed, or deleted), the whole page follows."""
    try:
        run = backend.store().job(run_id)
    except NotFound:
        st.rerun()
    if run.live != was_live:
        st.rerun()
    progress = follow(run_id)
    # What can be clicked stands first and never moves: an element that shifts between two looks loses its click.
    with st.container(horizontal=True, vertical_alignment="center", key="run-state"):
        st.badge(t(f"runs.state_{run.state}"), icon=_ICONS[run.state], color=_COLORS[run.state])
        st.markdown(_sentence(run, progress))
        with st.container(horizontal=True, horizontal_alignment="right", width="content", key="run-actions"):
            _actions(run, progress)
    _failure(run, progress)
    _bar(run, progress)
    _numbers(run, progress)
    _stored(progress)
    _notes(progress)


def _sentence(run: Job, progress: Progress) -> str:
    if run.state == "queued":
        return _waits(run)
    if run.is_average:
        return _sentence_of_average(run, progress)
    if run.state == "running" and not progress.started:
        return t("train.preparing")
    if run.state == "stopped" and not run.result and not _resumable(run):
        return t("train.thrown_away")
    if came_back(backend.store(), run):
        return ""  # its note says it, and what it learns stands still
    if run.state == "stopped" and run.result and progress.best and validated(progress):
        return t("train.kept", epoch=progress.best.epoch, percent=f"{100 * progress.best.validation_accuracy:.0f}")
    return told(verdict(progress))


def _waits(run: Job) -> str:
    """Its place in the queue, and when it is likely to start."""
    if wrong := trouble(backend.store().home, run.device):
        return plain(told(wrong))
    place = waiting.place(backend.store(), run)
    if place is None or not place.ahead:
        return t("train.starting")
    return f"{t('train.queued', count=place.ahead)} {_starts(place.starts_in)}"


def _starts(seconds: float | None) -> str:
    if seconds is None:
        return t("train.starts_unknown")
    if seconds < 45:
        return t("train.starts_soon")
    if seconds < 90 * 60:
        return t("train.starts_in", count=max(1, round(seconds / 60)))
    return t("train.starts_in_hours", hours=digits(seconds / 3600))


def _sentence_of_average(run: Job, progress: Progress) -> str:
    if run.live:
        return t("mixture.made.measuring") if progress.averaged else averages.sentence(run)
    if run.state == "stopped" and not run.result:
        return "" if _resumable(run) else t("mixture.made.thrown_away")
    if run.state == "failed":
        return t("mixture.made.failed")
    return t("mixture.made.done")


def _bar(run: Job, progress: Progress) -> None:
    if not run.live or run.state == "queued":
        return
    silent = time.time() - (run.heartbeat or time.time())
    if silent > SILENT_AFTER / 2:
        st.warning(t("train.silent", seconds=int(silent)), icon=":material/pulse_alert:")
    stage = progress.stage
    if stage is not None:
        share = stage.done / stage.total if stage.total else 0.0
        st.progress(min(share, 1.0), t(f"stages.{stage.stage}"))
    elif progress.share is not None:
        left = progress.epochs[-1].seconds_left if progress.epochs else None
        st.progress(progress.share, t("train.left", time=_time(left)) if left else t("train.measuring"))


def _time(seconds: float) -> str:
    if seconds < 90:
        return t("train.seconds", count=max(1, round(seconds)))
    return t("train.minutes_count", count=round(seconds / 60))


def _numbers(run: Job, progress: Progress) -> None:
    started, best, ended = progress.started, progress.best, progress.ended
    if started is None:
        _test(progress)
        return
    validation = sum(map(sum, best.confusion)) if best else started.images.get("validation", 0)
    quiet = {"delta_color": "off", "delta_arrow": "off"}
    with st.container(horizontal=True, key="run-numbers"):
        epoch = progress.epochs[-1].epoch if progress.epochs else 0
        why = ""
        if isinstance(ended, Finished):
            why = "time_over" if ended.out_of_time else "early" if ended.stopped_early else ""
        st.metric(t("train.epoch"), f"{epoch} / {started.epochs}", delta=t(f"train.{why}") if why else None, **quiet,
                  help=t(f"train.{why}_help") if why else None)
        what = t("train.best_help", n=validation) if validated(progress) else t("train.best_help_training")
        st.metric(t("train.best"), f"{100 * best.validation_accuracy:.0f} %" if best else "–",
                  help=what, delta=t("train.at_epoch", epoch=best.epoch) if best else None, **quiet)
        if run.live and progress.steps:
            st.metric(t("train.rate"), decimal(float(f"{progress.steps[-1].learning_rate:.2g}")), help=t("train.rate_help"))
            if speed := progress.steps[-1].images_per_second:
                st.metric(t("train.speed"), t("train.per_second", count=digits(speed)))
        elif isinstance(ended, Finished):
            st.metric(t("train.took"), _time(ended.seconds))
        _test(progress)


def _test(progress: Progress) -> None:
    test = progress.evaluated.get("test")
    if test is not None:
        score = test.report
        low, high = f"{100 * score['low']:.0f}", f"{100 * score['high']:.0f}"
        st.metric(t("train.test"), f"{100 * score['accuracy']:.0f} %", delta=f"{low} – {high} %", delta_color="off",
                  delta_arrow="off", help=t("train.test_help", n=score["n"], low=low, high=high))


def _actions(run: Job, progress: Progress) -> None:
    if run.live and run.stop:
        st.caption(t("train.stopping"))
    elif run.live:
        _stop(run, progress)
    elif run.result:
        if st.button(t("train.to_evaluate"), type="primary", icon=":material/fact_check:", key="to-evaluate"):
            navigation.go("evaluate", run=run.id)
    if not run.live and _resumable(run):
        st.button(t("train.resume"), icon=":material/resume:", key="resume", on_click=_resume, args=(run.id,),
                  type="secondary" if run.result else "primary")


def _failure(run: Job, progress: Progress) -> None:
    ended = progress.ended
    if run.state == "failed":
        if not isinstance(ended, Failed):  # who was to say why died, too
            ended = Failed(message=message("errors.worker_died.text"), hint=message("errors.worker_died.hint"))
        hint = plain(told(ended.hint)) if ended.hint else ""
        st.error(f"{plain(told(ended.message))}\n\n{hint}", icon=":material/error:")


@undisturbed()
def _resume(run: str) -> None:
    backend.store().requeue(run)


def _resumable(run: Job) -> bool:
    return run.state in ("stopped", "failed") and resumable(backend.store(), run)


def _stop(run: Job, progress: Progress) -> None:
    """Asks before it stops. (A dialog would lose its clicks: the look a second later forgets whose they are.)"""
    with st.popover(t("train.stop"), icon=":material/stop:", key="stop"):
        if not run.is_average:
            st.write(t("train.stop_text") if progress.epochs else t("train.stop_early"))
            st.button(t("train.stop_keep"), type="primary", key="stop-keep", disabled=not progress.epochs, width="stretch",
                      on_click=backend.store().ask_stop, args=(run.id, "keep"))
        st.button(t("train.stop_discard"), key="stop-discard", width="stretch",
                  on_click=backend.store().ask_stop, args=(run.id, "discard"))


def _stored(progress: Progress) -> None:
    """What the frozen layers need not do again."""
    if progress.cached is None:
        return
    found = progress.cached
    engine = t("train.engine_onnx" if found.engine == "onnxruntime" else "train.engine_torch")
    with st.container(key="stored"):
        st.caption(f":material/bolt: {t('train.stored_hit' if found.hit else 'train.stored', count=found.views or 1)}",
                   help=t("train.stored_help", share=digits(100 * found.share), size=size(found.bytes), engine=engine,
                          seconds=digits(found.seconds)))


def _notes(progress: Progress) -> None:
    warnings = [note for note in progress.notes if note.level == "warning"]
    for note in warnings:
        st.warning(plain(told(note.message)), icon=":material/warning:")
    others = [note for note in progress.notes if note.level != "warning"]
    if others:
        with st.expander(t("train.notes", count=len(others)), key="notes"):
            for note in others:
                st.markdown(f"- {plain(told(note.message))}")
