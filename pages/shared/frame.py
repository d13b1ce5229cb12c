"""What surrounds every page: look, header, the steps of the journey, and the one way errors are shown."""

from __future__ import annotations

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from pages.shared import gate, navigation, people, place
from pages.shared.bound import bind_to
from pages.shared.components.voice import voice
from pages.shared.text import plain, t, told
from pages.shared.undisturbed import refused
from transfer_core.errors import StudioError
from transfer_core.paths import assets
from transfer_core.people import is_hosted
from transfer_core.words import languages


def run() -> None:
    place.settle_language()
    page = navigation.current()
    st.set_page_config(page_title=page.title, page_icon=str(assets() / "icon.svg"), layout="wide")
    voice(place.language())
    if navigation.is_public(page):
        _public_header()
        _run(page)
    elif (who := people.visitor()) is None:
        _public_header()
        gate.show()
    else:
        _header()
        _of_a_person(page, who)
        _footer()


def _of_a_person(page: StreamlitPage, who: people.Visitor) -> None:
    if who.person is not None and gate.leaving(who):
        gate.show_leaving()
        return
    navigation.steps(page)
    gate.warn()
    if (error := refused()) is not None:
        show(error)
    _run(page)


def _run(page: StreamlitPage) -> None:
    try:
        page.run()
    except StudioError as error:
        show(error)


def show(error: StudioError) -> None:
    """What happened, then what to do. Never a traceback."""
    text, hint = plain(told(error)), plain(error.hint(place.language()))  # they name files and classes of strangers
    st.error(f"{text}\n\n{hint}" if hint else text, icon=":material/error:")


def _header() -> None:
    with st.container(horizontal=True, key="header", vertical_alignment="center", gap="small"):
        navigation.home_link()
        st.space("stretch")
        navigation.runs_link()
        navigation.learn_link()
        if is_hosted():
            navigation.account_link()
        _language_switch()


def _public_header() -> None:
    """For strangers: no way into the studio."""
    with st.container(horizontal=True, key="header", vertical_alignment="center", gap="small"):
        with st.container(key="brand", width="content"):
            st.markdown(f"**{t('app.name')}**")
        st.space("stretch")
        _language_switch()


def _language_switch() -> None:
    st.segmented_control(
        t("app.language"), list(languages()), required=True, label_visibility="collapsed",
        format_func=lambda code: {"en": "EN", "zh": "中文"}.get(code, languages()[code]),
        **bind_to("language", place.language(), lambda code: place.put(lang=code), start="default"),
    )


def _footer() -> None:
    st.caption(t("people.privacy" if is_hosted() else "app.privacy"), text_alignment="center")
