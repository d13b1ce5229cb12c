"""Every model that others may ask, also those whose training was deleted: one place to take them back."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend
from pages.shared.share.publishing import take_back
from pages.shared.text import plain, t


def listed() -> None:
    demos = backend.store().demos()
    if not demos:
        return
    with st.expander(t("publish.listed", count=len(demos)), icon=":material/public:", key="published"):
        for demo in demos:
            with st.container(horizontal=True, vertical_alignment="center", key=f"published-{demo.id}"):
                st.link_button(plain(demo.title), f"demo?id={demo.id}", type="tertiary")
                counted = f"{t('publish.views', count=demo.views)} · {t('publish.answers', count=demo.answers)}"
                st.caption(counted, width="content")
                take_back(demo)
