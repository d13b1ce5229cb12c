"""The core, as pages see it: one store for the whole web process."""

from __future__ import annotations

import streamlit as st

from pages.shared import place
from transfer_core.datasets.manifest import Manifest
from transfer_core.errors import NotFound
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.store import Dataset, Job, Store


@st.cache_resource(show_spinner=False)
def store() -> Store:
    return Store(Home.default())


def home() -> Home:
    return store().home


def dataset() -> Dataset | None:
    """The dataset in the URL, else the one of the run in the URL; None when there is neither."""
    name = place.get("dataset")
    if not name and (job := run()):
        name = job.payload["recipe"]["dataset"]
    if not name:
        return None
    try:
        return store().dataset(name)
    except NotFound:
        return None


def run() -> Job | None:
    """The training in the URL; a job of another kind is none."""
    name = place.get("run")
    if not name:
        return None
    try:
        job = store().job(name)
    except NotFound:
        return None
    return job if job.kind == "train" else None


def manifest(dataset_id: str, version: int) -> Manifest:
    """The core keeps those read lately. (`st.cache_data` would copy 30,000 images at every look: 0.1 s.)"""
    return Manifest.read(home(), dataset_id, version)


def source_images(recipe: Recipe) -> int:
    """Training images of the second dataset; 0 where there is none, or it is gone."""
    if not recipe.source_dataset:
        return 0
    try:
        return store().version(recipe.source_dataset, recipe.source_version).summary.get("split", {}).get("train", 0)
    except NotFound:
        return 0


def device() -> str:
    """The device a new training queues for: the first accelerator, else the CPU."""
    from transfer_core.jobs import devices

    return devices()[0]
