"""One click from nothing to moving curves: import the example, then train it with what is recommended.

The import job itself queues the training when it is done, so that nothing depends on a tab that stays open. The URL carries the
way there: `?job=<import>&then=<request>`. Whoever opens it (a refresh, a second tab, the back button) finds the same import and,
by the request's name in its payload, the same training: nothing is submitted twice.
"""

from __future__ import annotations

import secrets
import threading
from base64 import b64encode

import streamlit as st

from pages.shared import backend, navigation, place
from pages.shared.data import imports
from pages.shared.text import t
from pages.shared.undisturbed import undisturbed
from transfer_core.errors import NotFound
from transfer_core.paths import assets
from transfer_core.store import Job

EXAMPLE = "leaves"


@st.cache_resource(show_spinner=False)
def _one_at_a_time() -> threading.Lock:
    return threading.Lock()


@undisturbed()
def begin() -> None:
    """Take the example's import that exists, else ask for one; then wait for it in the URL."""
    if place.get("then"):
        return
    with _one_at_a_time():
        job = imported(EXAMPLE)
        if job is None:
            payload = {"example": EXAMPLE, "name": t("home.example_name"), "then": "train"}
            job = backend.store().submit("import", payload)
    # An import under way brings its own training, named after it; one that is done is trained anew, under a fresh name.
    request = job.id if job.live and job.payload.get("then") == "train" else f"train-{secrets.token_hex(4)}"
    place.put(job=job.id, then=request, dataset=None, run=None)


def imported(example: str) -> Job | None:
    """The newest import of an example that is under way, or whose dataset is still there."""
    for job in backend.store().jobs("import", "finished", "running", "queued"):
        if job.payload.get("example") == example and (job.live or imports.dataset_of(job)):
            return job
    return None


def go_on(job: Job, request: str) -> None:
    """The import is done: start the training that was asked for, unless it has been, and go there."""
    from transfer_core import presets  # reads the index of all models: not for the landing page
    from transfer_core.jobs import beside

    dataset = imports.dataset_of(job)
    if dataset is None:
        raise NotFound("no_dataset", name=job.payload.get("name", "–"), known="–")
    with _one_at_a_time():
        run = next((run for run in backend.store().jobs("train") if run.payload.get("request") == request), None)
        if run is None:
            recipe = presets.recommended_recipe(dataset.id, dataset.latest.version, dataset.latest.summary)
            payload = {"recipe": recipe.model_dump(), "name": dataset.name, "request": request,
                       **beside.usual(backend.home(), recipe)}
            run = backend.store().submit("train", payload, backend.device())
    navigation.go("train", run=run.id, dataset=dataset.id)


@st.cache_data(show_spinner=False)
def preview(name: str) -> str:
    """Four of its pictures, shipped as one small strip."""
    strip = b64encode((assets() / "examples" / f"{name}.webp").read_bytes()).decode()
    return f'<img class="preview" alt="" src="data:image/webp;base64,{strip}">'
