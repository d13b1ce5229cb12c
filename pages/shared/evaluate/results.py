"""A run's predictions on a split, and their report, as its worker left them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages.shared import backend
from transfer_core import measured
from transfer_core.paths import Home


@dataclass(frozen=True)
class Results:
    run: str
    split: str
    classes: list[str]
    report: dict[str, Any]
    predictions: list[dict[str, Any]]
    """One per image: sha256, file, label, predicted, probabilities (in the order of `classes`). None of a run that came in a zip
    without its photos: of that only `report` is known."""

    @property
    def wrong(self) -> list[dict[str, Any]]:
        return [image for image in self.predictions if image["label"] != image["predicted"]]

    def cell(self, truth: str, predicted: str) -> list[dict[str, Any]]:
        return [image for image in self.predictions if image["label"] == truth and image["predicted"] == predicted]


def load(run: str) -> Results | None:
    """Results on the test split; where a dataset has none, those on validation; None before there are any."""
    folder = backend.home().run(run)
    claimed = measured.claimed(folder)
    for split in measured.SPLITS:
        if split in claimed or measured.predictions_file(folder, split).exists():
            return _load(backend.home(), run, split, (folder / "report.json").stat().st_mtime_ns)
    return None


@st.cache_data(max_entries=4, show_spinner=False)
def _load(home: Home, run: str, split: str, written: int) -> Results | None:
    """`written` is when: a run that was stopped, kept and resumed is measured again, and what was kept here is old then."""
    folder = home.run(run)
    classes = json.loads((folder / "classes.json").read_text("utf-8"))
    return Results(run, split, classes, measured.report(folder, split), measured.predictions(folder, split))
