"""The sections in their order, and the list of them at the top."""

from __future__ import annotations

import streamlit as st

from pages.shared.learn import forgetting, freezing, lambdas, mixing, omega, score, transferred
from pages.shared.learn.mistakes import copying, ends, leak, looks, scaling, statistics
from pages.shared.learn.shown import Shown
from pages.shared.text import t

SECTIONS = {"transferred": transferred, "lambda": lambdas, "omega": omega, "freezing": freezing, "forgetting": forgetting,
            "mixing": mixing, "score": score}
MISTAKES = {"leak": leak, "scaling": scaling, "statistics": statistics, "copying": copying, "ends": ends, "looks": looks}
ANCHORS = (*SECTIONS, "mistakes", *MISTAKES)
"""What a link to this page may end in: `learn#lambda`."""


def show(now: Shown | None) -> None:
    with st.container(key="learn-contents"):
        st.caption(t("learn.contents"))
        st.markdown("\n".join(f"{number}. [{t(f'learn.{name}.title')}](#{name})"
                              for number, name in enumerate((*SECTIONS, "mistakes"), start=1)))
    for name, section in SECTIONS.items():
        st.header(t(f"learn.{name}.title"), anchor=name)
        st.markdown(t(f"learn.{name}.text"))
        section.show(now)
    st.header(t("learn.mistakes.title"), anchor="mistakes")
    st.markdown(t("learn.mistakes.text"))
    for name, mistake in MISTAKES.items():
        with st.container(border=True, key=f"learn-mistake-{name}"):
            st.subheader(t(f"learn.{name}.title"), anchor=name)
            st.markdown(t(f"learn.{name}.text"))
            mistake.formula()
            with st.container(key=f"learn-prevented-{name}"):
                st.caption(f":material/shield: {t('learn.mistakes.prevented')}")
                st.markdown(t(f"learn.{name}.here"))
                mistake.check(now)
