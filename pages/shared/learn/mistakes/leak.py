"""Test photos in the training: counted in the dataset of the training shown, or in the one chosen."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend
from pages.shared.learn import parts
from pages.shared.learn.shown import Shown
from pages.shared.text import plain, t
from transfer_core.datasets.manifest import Manifest
from transfer_core.datasets.overlap import Overlap, overlap
from transfer_core.errors import NotFound
from transfer_core.paths import Home


def formula() -> None:
    latex = r"D_{\mathrm{train}} \cap D_{\mathrm{test}} = \varnothing"
    parts.formula("leak", latex, {latex: "x"}, "copies")


def check(now: Shown | None) -> None:
    looked = _dataset(now)
    if looked is None:
        st.caption(t("learn.leak.no_data"))
        return
    name, dataset, version = looked
    try:
        found = _counted(backend.home(), dataset, version)
    except FileNotFoundError:
        st.caption(t("learn.leak.no_data"))
        return
    facts = {"name": plain(name), "version": version, "train": found.train, "test": found.test, "shared": found.shared}
    text = t("learn.leak.counted", **facts)
    groups = t("learn.leak.groups", count=found.groups, straddling=found.straddling)
    if found.shared or found.straddling:
        st.error(f"{text}\n\n{groups}\n\n{t('learn.leak.found')}", icon=":material/error:")
    elif not found.test:
        st.info(t("learn.leak.no_test"), icon=":material/info:")
    else:
        st.success(f"{text}\n\n{groups}", icon=":material/check_circle:")


def _dataset(now: Shown | None) -> tuple[str, str, int] | None:
    """Name, id and version of what was trained on, else of what is looked at."""
    try:
        if now:
            return backend.store().dataset(now.recipe.dataset).name, now.recipe.dataset, now.recipe.version
    except NotFound:  # deleted since; its list of photos is still there
        return now.recipe.dataset, now.recipe.dataset, now.recipe.version
    dataset = backend.dataset()
    return (dataset.name, dataset.id, dataset.latest.version) if dataset else None


@st.cache_data(max_entries=16, show_spinner=False)
def _counted(home: Home, dataset: str, version: int) -> Overlap:
    """A version never changes."""
    return overlap(Manifest.read(home, dataset, version))
