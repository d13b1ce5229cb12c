"""One click from nothing to moving curves: import the example, then train it with what is recommended.

The URL carries the way there: `?job=<import>&then=<request>`. Whoever opens it (a refresh, a second tab, the back button)
finds the same import and, by the request's name in its payload, the same training: nothing is submitted twice.
"""

from __future__ import annotations

import secrets
import threading
from base64 import b64encode

import streamlit as st

from pages.shared import backend, navigation, place
from pages.shared.data import imports
from pages.shared.text import t
from transfer_core.errors import NotFound
from transfer_core.paths import assets
from transfer_core.recipe import DEFAULT_MODEL, Recipe
from transfer_core.store import Dataset, Job

EXAMPLE = "leaves"


@st.cache_resource(show_spinner=False)
def _one_at_a_time() -> threading.Lock:
    return threading.Lock()


def begin() -> None:
    """Take the example's import that exists, else ask for one; then wait for it in the URL."""
    if place.get("then"):
        return
    with _one_at_a_time():
        job = imported(EXAMPLE) or backend.store().submit("import", {"example": EXAMPLE, "name": t("home.example_name")})
    place.put(job=job.id, then=f"train-{secrets.token_hex(4)}", dataset=None, run=None)


def imported(example: str) -> Job | None:
    """The newest import of an example that is under way, or whose dataset is still there."""
    for job in backend.store().jobs("import", "finished", "running", "queued"):
        if job.payload.get("example") == example and (job.live or imports.dataset_of(job)):
            return job
    return None


def go_on(job: Job, request: str) -> None:
    """The import is done: start the training that was asked for, unless it has been, and go there."""
    dataset = imports.dataset_of(job)
    if dataset is None:
        raise NotFound("no_dataset", name=job.payload.get("name", "–"), known="–")
    with _one_at_a_time():
        run = next((run for run in backend.store().jobs("train") if run.payload.get("request") == request), None)
        if run is None:
            payload = {"recipe": recommended(dataset).model_dump(), "name": dataset.name, "request": request}
            run = backend.store().submit("train", payload, backend.device())
    navigation.go("train", run=run.id, dataset=dataset.id)


def recommended(dataset: Dataset) -> Recipe:
    """The default model with the preset that fits the dataset."""
    from transfer_core import catalog, presets  # reads the index of all models: not for the landing page

    info, summary = catalog.model(DEFAULT_MODEL), dataset.latest.summary
    preset, _ = presets.recommend(info, summary)
    settings = {**presets.PRESETS[preset](info, summary), "model": info.name}
    return Recipe(dataset=dataset.id, version=dataset.latest.version, **settings)


@st.cache_data(show_spinner=False)
def preview(name: str) -> str:
    """Four of its pictures, shipped as one small strip."""
    strip = b64encode((assets() / "examples" / f"{name}.webp").read_bytes()).decode()
    return f'<img class="preview" alt="" src="data:image/webp;base64,{strip}">'
