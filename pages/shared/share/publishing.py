"""Publish a model: its page, its link, its key, and how to take it back."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend
from pages.shared.text import plain, t, told
from pages.shared.undisturbed import undisturbed
from transfer_core import demos
from transfer_core.errors import StudioError
from transfer_core.store import Demo, Job

_KEYS, _REFUSED, _SURE = "demo keys", "publishing refused", "taking back"
_CURL = """curl {address}/api/demos/{demo}/predict \\
  -H "Authorization: Bearer {key}" \\
  -F image=@photo.jpg"""
_PYTHON = """import httpx  # python -m pip install httpx

with open("photo.jpg", "rb") as photo:
    answer = httpx.post("{address}/api/demos/{demo}/predict", files={{"image": photo}},
                        headers={{"Authorization": "Bearer {key}"}})
print(answer.json()["predictions"][0]["label"])"""
_JAVASCRIPT = """const form = new FormData();
form.append("image", file);  // from <input type="file">
const answer = await fetch("{address}/api/demos/{demo}/predict", {{
  method: "POST", body: form, headers: {{ Authorization: "Bearer {key}" }} }});
console.log((await answer.json()).predictions[0].label);"""


def show(run: Job) -> None:
    st.subheader(t("publish.title"), anchor="publish")
    published = backend.store().demos(run.id)
    if refused := st.session_state.pop(_REFUSED, None):
        st.error(plain(told(refused)), icon=":material/error:")
    for demo in published:
        with st.container(border=True, key=f"demo-{demo.id}"):
            _published(demo)
    if not published:
        _offer(run)


def _offer(run: Job) -> None:
    st.write(t("publish.text"))
    with st.form("publish", enter_to_submit=False):
        st.text_input(t("publish.name"), placeholder=t("publish.name_hint"), max_chars=demos.LONGEST_TITLE, key="publish-title")
        st.text_area(t("publish.description"), placeholder=t("publish.description_hint"), max_chars=demos.LONGEST_TEXT,
                     key="publish-description", height=90)
        st.checkbox(t("publish.examples", count=demos.EXAMPLES), key="publish-examples", help=t("publish.examples_help"))
        st.form_submit_button(t("publish.publish"), icon=":material/public:", on_click=_publish, args=(run,))


@undisturbed()
def _publish(run: Job) -> None:
    if backend.store().demos(run.id):  # two quick clicks call this twice
        return
    said = st.session_state
    try:
        demo, key = demos.publish(backend.store(), run, title=said.get("publish-title", ""),
                                  description=said.get("publish-description", ""),
                                  examples=demos.EXAMPLES if said.get("publish-examples") else 0)
    except StudioError as error:
        said[_REFUSED] = error.as_message()
        return
    said[_KEYS] = {**said.get(_KEYS, {}), demo.id: key}


def _published(demo: Demo) -> None:
    address = _address()
    link = f"{address}/demo?id={demo.id}"
    st.markdown(f"**{plain(demo.title)}** · {t('publish.views', count=demo.views)} · {t('publish.answers', count=demo.answers)}")
    words, square = st.columns([3, 1], gap="large", vertical_alignment="center")
    with words:
        st.code(link, language=None)
        st.link_button(t("publish.open"), link, icon=":material/open_in_new:")
        if "127.0.0.1" in address or "localhost" in address:
            st.caption(t("publish.only_here"))
    with square:
        st.html(code_of(link, t("publish.code_alt")))
    key = st.session_state.get(_KEYS, {}).get(demo.id)
    with st.expander(t("publish.api"), icon=":material/code:", key=f"api-{demo.id}", expanded=bool(key)):
        if key:
            st.write(t("publish.key_once"))
            st.code(key, language=None)
        else:
            st.write(t("publish.key_hidden"))
            st.button(t("publish.renew"), icon=":material/key:", key=f"renew-{demo.id}", on_click=_renew, args=(demo.id,))
        values = {"address": address, "demo": demo.id, "key": key or "KEY"}
        for tab, (code, language) in zip(st.tabs(["curl", "Python", "JavaScript"], key=f"snippets-{demo.id}"), (
                (_CURL, "bash"), (_PYTHON, "python"), (_JAVASCRIPT, "javascript")), strict=True):
            tab.code(code.format(**values), language=language)
        st.caption(t("publish.openapi", address=f"{address}/api/openapi.json"))
    take_back(demo)


def take_back(demo: Demo) -> None:
    """Asks once more: link and key are gone for good."""
    if st.session_state.get(_SURE) != demo.id:
        st.button(t("publish.take_back"), icon=":material/public_off:", key=f"ask-{demo.id}", on_click=_ask, args=(demo.id,),
                  help=t("publish.take_back_help"))
        return
    with st.container(horizontal=True, vertical_alignment="center", key=f"sure-{demo.id}"):
        st.markdown(t("publish.sure"), width="content")
        st.button(t("publish.yes"), icon=":material/public_off:", key=f"unpublish-{demo.id}", on_click=unpublish, args=(demo.id,))
        st.button(t("publish.no"), key=f"keep-{demo.id}", on_click=_ask, args=(None,))


@undisturbed()
def _ask(demo: str | None) -> None:
    st.session_state[_SURE] = demo


def _address() -> str:
    """How this visitor reaches the studio; others may reach it by the same name."""
    address = st.context.url or ""
    return address.split("/share")[0].rstrip("/") or "http://127.0.0.1:8501"


def code_of(link: str, alt: str) -> str:
    """A QR code as an image that takes the colours of paper, whatever the theme: cameras want dark on light."""
    import segno

    source = segno.make(link, error="m").svg_data_uri(scale=4, border=2, dark="#12161d", light="#ffffff")
    return f'<img class="qr" src="{source}" alt="{alt}">'


@undisturbed()
def _renew(demo: str) -> None:
    try:
        key = demos.renew_key(backend.store(), demo)
    except StudioError:  # taken back in another tab: the page says so when it is drawn again
        return
    st.session_state[_KEYS] = {**st.session_state.get(_KEYS, {}), demo: key}


@undisturbed()
def unpublish(demo: str) -> None:
    """What was taken back in another tab is taken back."""
    try:
        demos.unpublish(backend.store(), demo)
    except StudioError:
        return
