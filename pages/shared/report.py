"""The report of a run, as a link: our own route makes it when somebody follows it."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

import streamlit as st

from pages.shared.place import language
from pages.shared.text import t
from transfer_core.store import Job


def offer(run: Job) -> None:
    """Nothing for a run without scores."""
    if not any((run.result or {}).get(split) for split in ("test", "validation")):
        return
    with st.container(border=True, key="report"):
        st.markdown(f"**{t('share.report_title')}** – {t('share.report_text')}")
        st.html(f'<a class="download" href="/report/{quote(run.id)}?lang={language()}" download>'
                f"{escape(t('share.report_download'))}</a>")
