"""Before the page: who is nobody yet, who has left, and whose work is about to be deleted."""

from __future__ import annotations

import time

import streamlit as st

from pages.shared import backend, navigation
from pages.shared import people as visitors
from pages.shared.model.numbers import local
from pages.shared.people import Visitor
from pages.shared.text import plain, t
from pages.shared.undisturbed import undisturbed
from transfer_core import people
from transfer_core.settings import settings

_INTRODUCED = "introduced"


def show() -> None:
    """For somebody we do not know: the way in."""
    st.title(t("app.name"))
    if settings().people == "sign-in":
        st.write(t("people.gate_what"))
        st.write(t("people.gate_sign_in"))
        _ways_in()
        st.caption(t("people.gate_why"))
    else:
        st.write(t("people.gate_cookie"))
        # A whole new page, and not Streamlit's way between pages: the cookie comes with the first answer.
        st.html(f'<p><a href="./" target="_self">{t("people.gate_open")}</a></p>')
    if settings().keep_days is not None:
        st.caption(t("people.kept_for", days=f"{settings().keep_days:g}"))


def _ways_in() -> None:
    """One button, or one for each provider there is."""
    offered = visitors.providers()
    if len(offered) < 2:
        st.button(t("people.sign_in"), type="primary", icon=":material/login:", key="sign-in", on_click=st.login, args=offered)
        return
    for name in offered:
        called = plain(name[:1].upper() + name[1:])
        words = t("people.sign_in") if name == visitors.DEFAULT else t("people.sign_in_with", name=called)
        st.button(words, type="primary", icon=":material/login:", key=f"sign-in-{name}", on_click=st.login, args=(name,))


def leaving(who: Visitor) -> bool:
    """Whether all that is this visitor's is being deleted; and who it is, is remembered."""
    store = backend.store()
    if who.name and st.session_state.get(_INTRODUCED) != (who.name, who.email):
        store.introduce(who.name, who.email)
        st.session_state[_INTRODUCED] = (who.name, who.email)
    known = store.known()
    return known is not None and known.leaving is not None


def show_leaving() -> None:
    st.title(t("people.leaving_title"))
    st.write(t("people.leaving"))
    st.fragment(_look_again, run_every=2.0, key="leaving")()


def _look_again() -> None:
    if people.erase(backend.store()):
        st.rerun()


def warn() -> None:
    """That it is all about to be deleted, and the button against it."""
    if not people.is_hosted():
        return
    known = backend.store().known()
    if people.is_warned(known, time.time()):
        with st.container(border=True, key="ends"):
            st.markdown(f":material/schedule: {t('people.ends_soon', date=date(people.ends(known)))}")
            with st.container(horizontal=True):
                st.button(t("people.keep", days=f"{settings().keep_days:g}"), type="primary", key="keep", on_click=_keep)
                navigation.link("account", t("nav.account"), ":material/person:")


def date(moment: float) -> str:
    return local(moment).strftime("%Y-%m-%d %H:%M")


@undisturbed()
def _keep() -> None:
    people.keep(backend.store())
