"""To the Hugging Face Hub, with a token that is typed, used and forgotten."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from pages.shared import backend
from pages.shared.text import plain, t, told
from pages.shared.undisturbed import undisturbed
from transfer_core import hub
from transfer_core.errors import StudioError, Unavailable
from transfer_core.progress import Progress, fold
from transfer_core.store import Job, Store
from transfer_core.words import Message

log = logging.getLogger(__name__)
SPACE = "html-folder"
_EVERY = 0.5
_pushes: dict[str, Push] = {}
"""By run. In memory only, as the token is: after a restart of the server one types it again."""


@dataclass
class Push:
    """One upload, in a thread of the web process: no job, whose settings would lie in the database."""

    repository: str
    stage: str = "making"
    addresses: dict[str, str] = field(default_factory=dict)
    refused: list[Message] = field(default_factory=list)

    @property
    def live(self) -> bool:
        return self.stage != "over"


def show(run: Job) -> None:
    with st.expander(t("hub.title"), icon=":material/cloud_upload:", key="hub", expanded=run.id in _pushes):
        st.write(t("hub.text"))
        push = _pushes.get(run.id)
        st.fragment(_all, run_every=1.0 if push and push.live else None, key="pushing")(run, bool(push and push.live))


def _all(run: Job, was_live: bool) -> None:
    push = _pushes.get(run.id)
    if bool(push and push.live) != was_live:
        st.rerun()
    if push:
        _told(push)
    if not (push and push.live):
        _form(run)


def _told(push: Push) -> None:
    if push.live:
        st.progress(0.5 if push.addresses else 0.1, t(f"hub.{push.stage}", repository=plain(push.repository)))
    if push.refused:
        st.error("\n\n".join(plain(told(message)) for message in push.refused), icon=":material/error:")
    for kind, address in push.addresses.items():
        st.success(t(f"hub.done_{kind}", address=address), icon=":material/cloud_done:")


def _form(run: Job) -> None:
    with st.form("hub-form", enter_to_submit=False, border=False):
        before = _pushes.get(run.id)
        st.text_input(t("hub.repository"), before.repository if before else "", placeholder="my-model", max_chars=200,
                      key="hub-repository")
        st.text_input(t("hub.token"), type="password", max_chars=200, key="hub-token", help=t("hub.token_help"),
                      autocomplete="off")
        st.checkbox(t("hub.private"), value=True, key="hub-private")
        st.checkbox(t("hub.space"), key="hub-space", help=t("hub.space_help"))
        st.form_submit_button(t("hub.push"), icon=":material/cloud_upload:", on_click=_begin, args=(run,))


@undisturbed()
def _begin(run: Job) -> None:
    said = st.session_state
    repository, token = (said.get(name, "").strip() for name in ("hub-repository", "hub-token"))
    said["hub-token"] = ""
    if (before := _pushes.get(run.id)) and before.live:
        return
    push = _pushes[run.id] = Push(repository)
    if not (repository and token):
        push.stage, push.refused = "over", [Message(key="hub.both")]
        return
    wanted = ["zip", *([SPACE] if said.get("hub-space") else [])]
    private, store = bool(said.get("hub-private", True)), backend.store()  # here: the thread has no browser whose cookie says who
    threading.Thread(target=_work, args=(push, store, run, wanted, token, private), daemon=True).start()


def _work(push: Push, store: Store, run: Job, wanted: list[str], token: str, private: bool) -> None:
    try:
        files = {kind: _file(store, run, kind) for kind in wanted}
        push.stage = "pushing"
        for kind, address in hub.push(files, push.repository, token, private=private):
            push.addresses[kind] = address
    except StudioError as error:
        push.refused = [error.as_message(), Message(key=f"errors.{error.code}.hint", values=error.values)]
    except Exception as error:  # a thread that ends without a word would leave the page as it was
        log.exception("a push to the hub failed")
        push.refused = [Message(key="errors.unexpected_push.text", values={"kind": type(error).__name__})]
    finally:
        push.stage = "over"


def _file(store: Store, run: Job, kind: str) -> Path:
    """What was exported, after asking for it and waiting where it was not. Raises `Unavailable`."""
    for again in (True, False):
        made = fold(Progress(), (event for _, event in store.events(run.id))).exported.get(kind)  # of the present weights
        if made:
            return store.home.at("runs", run.id, Path(made.file).name)
        if again:
            job = store.submit("export", {"run": run.id, "format": kind})
            while store.job(job.id).live:
                time.sleep(_EVERY)
    raise Unavailable("export_missing", format=kind)
