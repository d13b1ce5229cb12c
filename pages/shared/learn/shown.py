"""The training whose numbers the examples use: the one in the URL, else the newest one that has a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages.shared import backend, navigation, place
from pages.shared.bound import bind_to
from pages.shared.learn import parts
from pages.shared.model.numbers import local
from pages.shared.text import t
from pages.shared.train.follow import follow
from transfer_core.progress import Progress
from transfer_core.recipe import Recipe
from transfer_core.store import Job


@dataclass(frozen=True)
class Shown:
    job: Job
    recipe: Recipe
    progress: Progress
    info: dict[str, Any]
    """What the training wrote of its model (`info.json`); empty before it did."""

    @property
    def score(self) -> dict[str, Any] | None:
        """Its test score with `accuracy`, `low`, `high`, `n`; None before there is one."""
        test = (self.job.result or {}).get("test") or {}
        return test if test.get("n") else None

    @property
    def position_counts(self) -> dict[str, int]:
        positions = [position for _, position in self.progress.started.groups] if self.progress.started else []
        return {position: positions.count(position) for position in ("freeze", "anchor", "train")}

    @property
    def learns_inside(self) -> bool:
        """Whether anything but the head learned, as far as is known."""
        counts = self.position_counts
        return counts["train"] + counts["anchor"] > 0 or not any(counts.values())


def choose() -> Shown | None:
    """With a selector where there are several; None, and a way to make one, where there is none."""
    here, dataset = backend.run(), backend.dataset()
    trained = [run for run in backend.store().jobs("train") if run.result]
    runs = [run for run in trained if not run.is_part] or trained  # whoever only tried several λ has parts of that alone
    if here and here.id not in [run.id for run in runs]:
        runs.insert(0, here)
    if not runs:
        with st.container(border=True, key="learn-none"):
            st.markdown(t("learn.none"))
            if st.button(t("learn.make"), icon=":material/add_photo_alternate:", key="learn-make"):
                navigation.go("data")
        return None
    ours = [run for run in runs if dataset and run.payload["recipe"]["dataset"] == dataset.id]
    run = here or (ours or runs)[0]
    if len(runs) > 1:
        names = {each.id: each.name for each in backend.store().datasets()}
        labels = {each.id: _label(each, names) for each in runs}
        st.selectbox(t("learn.run"), list(labels), format_func=labels.__getitem__,
                     **bind_to("learn-run", run.id, _take, options=list(labels)))
    file = backend.home().run(run.id) / "info.json"
    info = parts.read(file, file.stat().st_mtime_ns) if file.is_file() else {}
    return Shown(run, Recipe(**run.payload["recipe"]), follow(run.id), info)


def _take(run: str) -> None:
    place.put(run=run, dataset=backend.store().job(run).payload["recipe"]["dataset"])


def _label(run: Job, names: dict[str, str]) -> str:
    recipe = run.payload["recipe"]
    test = (run.result or {}).get("test") or {}
    score = [f"{100 * test['accuracy']:.0f} %"] if "accuracy" in test else []
    return " · ".join([names.get(recipe["dataset"], recipe["dataset"]), recipe["model"], *score,
                       f"{local(run.ended or run.started or run.created):%Y-%m-%d %H:%M}"])
