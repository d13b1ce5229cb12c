"""How many photos each class has, and where they go: bars for the eye, the same numbers as a table."""

from __future__ import annotations

from collections import Counter
from html import escape

import streamlit as st

from pages.shared import backend
from pages.shared.text import t
from transfer_core.datasets.manifest import SPLITS, Manifest
from transfer_core.paths import Home
from transfer_core.store import Dataset

_MOST = 40
_PARTS = (*SPLITS, "left_out")


def by_class(dataset: str, version: int) -> dict[str, dict[str, int]]:
    """Class → split → number of photos, the largest class first."""
    return _by_class(backend.home(), dataset, version)


@st.cache_data(max_entries=32, show_spinner=False)
def _by_class(home: Home, dataset: str, version: int) -> dict[str, dict[str, int]]:
    # What is remembered is shared by all who look: whose home it lies in is part of the question.
    found: dict[str, dict[str, int]] = {}
    counted = Counter((image.label, image.split) for image in Manifest.read(home, dataset, version).images)
    for (label, split), count in counted.items():
        found.setdefault(label, {})[split] = count
    return {label: found[label] for label in sorted(found, key=lambda label: (-sum(found[label].values()), label))}


def show(dataset: Dataset) -> None:
    counted = by_class(dataset.id, dataset.latest.version)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(t("data.counts.title"))
        st.space("stretch")
        as_table = st.toggle(t("data.counts.table"), key="counts-table")
    if as_table:
        st.dataframe([{"class": label, "all": sum(row.values()), **{split: row.get(split, 0) for split in SPLITS}}
                      for label, row in counted.items()], hide_index=True, key="counts",
                     column_config={"class": t("data.counts.class"), "all": t("data.counts.all"),
                                    **{split: t(f"data.split.{split}") for split in SPLITS}})
    else:
        st.html(bars(counted))


def bars(counted: dict[str, dict[str, int]]) -> str:
    """One bar a class, cut into its splits. Class names are strangers' and stay text."""
    most = max((sum(row.values()) for row in counted.values()), default=1)
    shown = [split for split in _PARTS if any(row.get(split) for row in counted.values())]
    legend = "".join(f'<span><i class="{split}"></i>{escape(t(f"data.split.{split}"))}</span>' for split in shown)
    rows = "".join(_bar(label, row, most) for label, row in list(counted.items())[:_MOST])
    more = len(counted) - _MOST
    rest = f'<p class="more">{escape(t("data.counts.more", count=more))}</p>' if more > 0 else ""
    return f'<div class="class-bars"><p class="legend">{legend}</p>{rows}{rest}</div>'


def _bar(label: str, row: dict[str, int], most: int) -> str:
    parts = "".join(f'<span class="{split}" style="width:{100 * row[split] / most:.2f}%"></span>'
                    for split in _PARTS if row.get(split))
    spoken = ", ".join(f"{t(f'data.split.{split}')} {row[split]}" for split in _PARTS if row.get(split))
    name = escape(label, quote=True)
    return (f'<div class="class-bar"><span class="name" title="{name}">{name}</span>'
            f'<span class="track" role="img" aria-label="{name}: {escape(spoken, quote=True)}">{parts}</span>'
            f'<span class="count">{sum(row.values()):,}</span></div>')


def splits(split: dict[str, int]) -> None:
    """The three parts, each with what it is for."""
    with st.container(key="splits"):
        for name in SPLITS:
            st.metric(t(f"data.split.{name}"), f"{split[name]:,}", help=t(f"data.split.{name}_help"), border=True)
