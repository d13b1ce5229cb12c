"""What a person has in a studio for many: how much, for how long, and the way to delete all of it."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, gate, navigation, place
from pages.shared import people as visitors
from pages.shared.text import plain, t
from pages.shared.undisturbed import undisturbed
from transfer_core import people
from transfer_core.people.quotas import GB
from transfer_core.settings import settings

_SURE, _DELETED = "delete-sure", "all-deleted"


def show() -> None:
    who = visitors.visitor()
    st.title(t("people.title"))
    if st.session_state.pop(_DELETED, False):
        st.success(t("people.deleted"), icon=":material/check_circle:")
    if who is None or who.person is None:  # a studio without accounts
        st.write(t("people.nobody_else"))
        return
    _who(who)
    _used()
    _kept()
    _delete()
    if visitors.is_admin(who) or (settings().people == "anonymous" and settings().admin_key):
        navigation.link("admin", t("people.look_after"), ":material/monitor_heart:")


def _who(who: visitors.Visitor) -> None:
    if settings().people == "anonymous":
        st.write(t("people.by_cookie"))
        return
    st.write(t("people.signed_in", name=plain(who.name or who.email or "–")))
    st.button(t("people.sign_out"), icon=":material/logout:", key="sign-out", on_click=st.logout)


def _used() -> None:
    now, given = people.usage(backend.store()), settings()
    st.subheader(t("people.used_title"))
    _bar("people.used_bytes", now.bytes / GB, None if now.most_bytes is None else now.most_bytes / GB, ".2f")
    _bar("people.used_images", now.images, now.most_images, ",d")
    if given.quota_runs is not None:
        st.write(t("people.most_runs", count=given.quota_runs))
    if given.quota_minutes is not None:
        st.write(t("people.most_minutes", minutes=f"{given.quota_minutes:g}"))


def _bar(key: str, used: float, most: float | None, form: str) -> None:
    if most is None:
        st.write(t(f"{key}_only", used=f"{used:{form}}"))
        return
    number = f"{most:,d}" if isinstance(most, int) else f"{most:g}"
    st.progress(min(1.0, used / most), text=t(key, used=f"{used:{form}}", most=number))


def _kept() -> None:
    st.subheader(t("people.kept_title"))
    known, days = backend.store().known(), settings().keep_days
    if days is None:
        st.write(t("people.kept_always"))
        return
    st.write(t("people.kept_for", days=f"{days:g}"))
    if (end := people.ends(known)) is not None:
        st.write(t("people.kept_until", date=gate.date(end)))


def _delete() -> None:
    st.subheader(t("people.delete_title"))
    st.write(t("people.delete_text"))
    sure = st.checkbox(t("people.delete_sure"), key=_SURE)
    st.button(t("people.delete"), type="primary", icon=":material/delete_forever:", key="delete-all", disabled=not sure,
              on_click=_leave)


@undisturbed()
def _leave() -> None:
    people.leave(backend.store())
    for name in list(st.session_state):
        if not str(name).startswith(("one at a time", "turn of")):
            del st.session_state[name]
    st.session_state[_SURE] = False  # the browser would keep its tick, beside a button that waits for one
    st.session_state[_DELETED] = True
    place.put(run=None, dataset=None, job=None)
