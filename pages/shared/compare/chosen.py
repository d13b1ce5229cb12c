"""The trainings in the URL, in its order; each has a number and a colour here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from pages.shared import backend, place
from transfer_core import measured
from transfer_core.charts import PALETTE
from transfer_core.errors import NotFound
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.store import Job

KEY = "runs"
FEWEST, MOST = 2, len(PALETTE)
_LOOKED_AT = 20


@dataclass(frozen=True)
class Chosen:
    number: int
    job: Job
    recipe: Recipe

    @property
    def ink(self) -> str:
        return PALETTE[self.number - 1]

    @property
    def folder(self) -> Path:
        return backend.home().run(self.job.id)

    @property
    def report(self) -> dict[str, Any] | None:
        """Of the test photos; None where there are none, or a zip only claims what was measured."""
        if self.job.payload.get("claimed") or not measured.predictions_file(self.folder, "test").is_file():
            return None
        return _report(backend.home(), self.job.id, (self.folder / "report.json").stat().st_mtime_ns)


@st.cache_data(max_entries=16, show_spinner=False)
def _report(home: Home, run: str, written: int) -> dict[str, Any] | None:
    return measured.report(home.run(run), "test")


def runs() -> list[Chosen]:
    """Those there are; what the URL names besides is left out."""
    found: list[Job] = []
    for name in list(dict.fromkeys((place.get(KEY) or "").split(",")))[:_LOOKED_AT]:
        try:
            job = backend.store().job(name)
        except NotFound:
            continue
        if job.kind == "train":
            found.append(job)
    return [Chosen(number, job, Recipe(**job.payload["recipe"])) for number, job in enumerate(found[:MOST], 1)]
