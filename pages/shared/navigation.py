"""The pages, and the steps of the journey: what is done, where we are, what is missing."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.shared import backend, place
from pages.shared.text import t
from transfer_core.demos import only_demos
from transfer_core.paths import studio

STEPS = ("data", "model", "train", "evaluate", "predict", "share")
PUBLIC = "demo"
"""The one page that is for strangers."""
_ICONS = {"home": ":material/home:", "data": ":material/photo_library:", "model": ":material/layers:",
          "train": ":material/model_training:", "evaluate": ":material/fact_check:", "predict": ":material/image_search:",
          "share": ":material/download:", "runs": ":material/history:", "sweep": ":material/tune:",
          "compare": ":material/compare_arrows:",
          "learn": ":material/school:", "demo": ":material/public:", "account": ":material/person:",
          "admin": ":material/monitor_heart:"}


def page(name: str) -> StreamlitPage:
    """The page of a name, for links and switches. Without an icon: the browser would fetch that one from elsewhere."""
    return st.Page(studio() / "pages" / f"{name}.py", title=f"{t(f'nav.{name}')} · {t('app.name')}",
                   url_path="" if name == "home" else name, default=name == "home")


def go(name: str, **changes: str | None) -> None:
    """Move to another page, taking along where we are."""
    where = place.link(**changes)
    _hear_no_more()
    st.switch_page(page(name), query_params=where)


def _hear_no_more() -> None:
    """Forget the fragments of this page, so that Streamlit refuses what they still ask for.

    A fragment that renews itself goes on asking until the browser has heard of the new page. Streamlit would put such a
    request behind the new page, and answer it as a change back to this one: the browser clears what it shows, and nothing
    comes to fill it. (A link, and Back, stop the browser's timers themselves.)
    """
    if context := get_script_run_ctx(suppress_warning=True):
        context.fragment_storage.clear()


def link(name: str, label: str, icon: str | None = None, **changes: str | None) -> None:
    st.page_link(page(name), label=label, icon=icon, query_params=place.link(**changes))


def current() -> StreamlitPage:
    if only_demos():
        return st.navigation([st.Page(nothing_here, title=t("app.name"), default=True), page(PUBLIC)], position="hidden")
    return st.navigation([page(name) for name in _ICONS], position="hidden")


def addresses() -> tuple[str, ...]:
    """Where there is a page, without the slash."""
    return ("", PUBLIC) if only_demos() else ("", *_ICONS)


def nothing_here() -> None:
    """The front of a studio that shows demos only: whoever comes has a link to one."""
    st.title(t("demo.front_title"))
    st.write(t("demo.front"))


def is_public(here: StreamlitPage) -> bool:
    """Whether strangers look at this page."""
    return here.url_path == PUBLIC or only_demos()


def home_link() -> None:
    with st.container(key="brand", width="content"):
        st.page_link(page("home"), label=f"**{t('app.name')}**", query_params=place.link(run=None, dataset=None))


def runs_link() -> None:
    with st.container(key="runs-link", width="content"):
        link("runs", t("nav.runs"), _ICONS["runs"])


def learn_link() -> None:
    with st.container(key="learn-link", width="content"):
        link("learn", t("nav.learn"), _ICONS["learn"])


def account_link() -> None:
    with st.container(key="account-link", width="content"):
        link("account", t("nav.account"), _ICONS["account"])


def theory(section: str) -> str:
    """A sentence that leads to a section of the Learn page, for Markdown. (It opens beside this page: nothing here is lost.)"""
    return t("learn.where", title=t(f"learn.{section}.title"), address=f"learn?{urlencode(place.link())}#{section}")


def done() -> dict[str, bool]:
    """Which steps are behind the visitor."""
    run, dataset = backend.run(), backend.dataset()
    trained = run is not None and bool(run.result) and not run.live
    return {"data": dataset is not None, "model": run is not None, "train": trained,
            "evaluate": trained, "predict": trained, "share": trained}


def steps(here: StreamlitPage) -> None:
    """The journey as a row of links. A step says by its icon and its tooltip whether it is done, open or not yet possible."""
    finished, where = done(), place.link()
    with st.container(horizontal=True, key="steps", gap="small", wrap=False):
        for number, name in enumerate(STEPS, start=1):
            is_here = here.url_path == name
            ready = number == 1 or finished["data"] if number <= 3 else finished["train"]
            state = "here" if is_here else "done" if finished[name] else "open" if ready else "later"
            with st.container(key=f"step-{state}-{name}", width="content"):
                st.page_link(page(name), label=f"{number} {t(f'nav.{name}')}", query_params=where,
                             icon=":material/check_circle:" if state == "done" else _ICONS[name],
                             help=t(f"nav.step_{state}", missing=t("nav.data" if number <= 3 else "nav.train")))
