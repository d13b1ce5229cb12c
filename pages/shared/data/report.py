"""What the import found: warnings first, then what was converted, set aside, or is there twice."""

from __future__ import annotations

from html import escape
from typing import Any

import streamlit as st

from pages.shared.data.understood import reason
from pages.shared.text import plain, t, told
from transfer_core.words import has

_LISTED = 300
_CONFLICTS = 12


def warnings(summary: dict[str, Any]) -> None:
    found = [plain(told(warning)) for warning in summary.get("warnings", [])]
    if found:
        st.warning("\n\n".join(found), icon=":material/warning:")


def show(summary: dict[str, Any]) -> None:
    notes(summary.get("notes", []))
    _quarantined(summary.get("quarantined", []))
    _converted(summary)
    twins = summary.get("duplicates", 0), summary.get("near_duplicates", 0)
    if any(twins):
        st.markdown(f":material/content_copy: {t('data.report.duplicates', exact=twins[0], near=twins[1])}")
    if ignored := summary.get("ignored", 0):
        st.markdown(f":material/visibility_off: {t('data.report.ignored', count=ignored)}")
    if not any((*twins, ignored, summary.get("converted"), summary.get("quarantined"), summary.get("conflicts"))):
        st.markdown(f":material/check_circle: {t('data.report.clean')}")


def notes(facts: list[dict[str, Any]]) -> None:
    for fact in facts:
        st.markdown(f":material/info: {plain(told(fact))}")


def _quarantined(files: list[dict[str, str]]) -> None:
    if not files:
        return
    with st.expander(t("data.report.quarantined", count=len(files)), icon=":material/block:", key="quarantined"):
        st.caption(t("data.report.quarantined_text"))
        for each in files[:_LISTED]:
            st.markdown(f"**{plain(each['file'])}**  \n{reason(each['code'], each.get('values', {}))}")
        if len(files) > _LISTED:
            st.caption(t("data.understood.and_more", count=len(files) - _LISTED))


def _converted(summary: dict[str, Any]) -> None:
    if not summary.get("converted"):
        return
    with st.expander(t("data.report.converted", count=summary["converted"]), icon=":material/autorenew:", key="converted"):
        st.caption(t("data.report.converted_text"))
        for name, count in summary.get("conversions", {}).items():
            key = f"data.conversion.{name}"
            st.markdown(f"{count:,} × {t(key) if has(key) else plain(name)}")


def conflicts(summary: dict[str, Any]) -> None:
    """The same picture under two classes: only a person can say which is right, so both are shown."""
    conflicts = summary.get("conflicts", [])
    if not conflicts:
        return
    count = summary.get("conflict_count", len(conflicts))  # the list is cut; summaries of older versions have only the list
    title = t("data.report.conflicts", count=count)
    with st.expander(title, icon=":material/call_split:", key="conflicts", expanded=True):
        st.caption(t("data.report.conflicts_text"))
        st.html('<div class="conflicts">' + "".join(_conflict(group) for group in conflicts[:_CONFLICTS]) + "</div>")
        if count > _CONFLICTS:
            st.caption(t("data.understood.and_more", count=count - _CONFLICTS))


def _conflict(group: list[dict[str, str]]) -> str:
    figures = []
    for each in group:
        file, label, sha256 = (escape(each[name], quote=True) for name in ("file", "label", "sha256"))
        figures.append(f'<figure><img src="/thumbnails/{sha256}.webp" alt="{file}" loading="lazy">'
                       f"<figcaption><b>{label}</b><br>{file}</figcaption></figure>")
    return f'<div class="conflict">{"".join(figures)}</div>'
