"""The core, as pages see it: the store of whoever looks, over connections that the whole web process shares."""

from __future__ import annotations

import streamlit as st

from pages.shared import people, place
from transfer_core.datasets.manifest import Manifest
from transfer_core.errors import BadInput, NotFound
from transfer_core.paths import Home
from transfer_core.people import is_hosted
from transfer_core.recipe import Recipe
from transfer_core.store import Dataset, Job, Store


@st.cache_resource(show_spinner=False)
def _connected() -> Store:
    return Store(Home.default())


def store() -> Store:
    """What belongs to whoever looks, and nothing else. Raises `BadInput("nobody")`."""
    if not is_hosted():
        return _connected()
    who = people.visitor()
    if who is None:
        raise BadInput("nobody")
    return _connected().of(who.person)


def everyone() -> Store:
    """What belongs to anybody: for the public page of a demo, and for who looks after the studio."""
    return _connected().everyone()


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
