"""The public page of a demo. It knows nothing but the demo: no run, no dataset, no way into the studio."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, place
from pages.shared.components.ask import ask
from pages.shared.text import plain, t
from transfer_core import demos
from transfer_core.errors import NotFound
from transfer_core.predicting.process import shared
from transfer_core.store import Demo

UNSURE = 0.5
"""Below this probability the first answer is shown as a guess."""
_SEEN = "demos seen"


def show() -> None:
    try:
        demo = backend.everyone().demo(place.get("id") or "")
    except NotFound:
        st.title(t("demo.gone_title"))
        st.write(t("demo.gone"))
        return
    _count(demo)
    shared.prepare(backend.everyone().home.of(demo.owner).demo(demo.id) / demos.MODEL)
    st.set_page_config(page_title=demo.title)
    st.title(plain(demo.title), anchor=False)
    st.write(_lines(demo.description) if demo.description else t("demo.lead"))
    ask(f"/api/demos/{demo.id}/predict",
        [f"/api/demos/{demo.id}/examples/{number}" for number in range(len(demo.facts.get("examples", ())))], UNSURE)
    st.caption(t("demo.none_too" if demo.facts.get("knows_strangers") else "demo.always", count=len(demo.facts["classes"])))
    _card(demo)


def _lines(text: str) -> str:
    """A stranger's text, with the lines it was written in."""
    return "\n\n".join(plain(line) for line in text.splitlines() if line.strip())


def _count(demo: Demo) -> None:
    """Once for each time it is opened, however often it is drawn."""
    seen = st.session_state.setdefault(_SEEN, set())
    if demo.id not in seen:
        seen.add(demo.id)
        backend.everyone().count_demo(demo.id, views=1)


def _card(demo: Demo) -> None:
    facts = demo.facts
    with st.expander(t("demo.about"), icon=":material/info:", key="demo-card"):
        if measured := facts["measured"]:
            numbers = {name: f"{100 * measured[name]:.1f}" for name in ("accuracy", "low", "high")}
            st.write(t(f"demo.measured_{measured['split']}", n=measured["n"], **numbers))
            st.write(t("demo.baseline", percent=_share(measured["baseline"]), label=plain(measured["baseline_class"])))
        else:
            st.write(t("demo.not_measured"))
        st.write(t("demo.knows", count=len(facts["classes"])))
        if facts["per_class"]:
            st.dataframe([_row(row) for row in facts["per_class"]], hide_index=True, key="demo-classes")
        else:
            st.write(", ".join(map(plain, facts["classes"])))
        if count := facts["images"].get("train"):
            st.write(t("demo.made", model=plain(facts["model"]), count=count))
        st.write(t(f"results.card.limits_{'none' if facts.get('knows_strangers') else 'text'}", classes=len(facts["classes"])))
        st.caption(t("demo.sent"))


def _share(measured: float) -> str:
    """Of photos that were counted: 12 of 12 are 100 %, and not `> 99 %` as of a probability."""
    return f"{100 * measured:.0f} %"


def _row(row: dict) -> dict[str, str]:
    found = "–"
    if row["recall"] is not None:
        found = f"{_share(row['recall'])} ({_share(row['recall_low'])} – {_share(row['recall_high'])})"
    return {t("demo.class"): row["label"], t("demo.test_photos"): str(row["support"]), t("demo.found"): found}
