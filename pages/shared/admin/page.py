"""For who looks after the studio: load, queue, disk, people, errors. In a studio without accounts that is whoever sits at it."""

from __future__ import annotations

import hmac
import math
import os
import shutil
import time
from hashlib import sha256
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.shared import backend, gate, people
from pages.shared.model.numbers import duration
from pages.shared.text import t, told
from pages.shared.undisturbed import undisturbed
from transfer_core import people as core
from transfer_core.depot import is_on, room
from transfer_core.http.limits import Guesses, asker
from transfer_core.jobs import waiting
from transfer_core.jobs.supervisor import free_memory
from transfer_core.people import overview
from transfer_core.settings import settings

GB = 1_000_000_000
_OPEN = "admin"
_LOOKED_AT = "admin-key-looked-at"
"""Which key was typed, and when it is looked at: a page that is drawn again meanwhile does not begin anew."""
_GUESSES = Guesses()


def show() -> None:
    st.title(t("admin.title"))
    if not _may_enter():
        return
    st.fragment(_numbers, run_every=5.0, key="admin-numbers")()
    _queue()
    if core.is_hosted():
        _people()
    _failures()


def _may_enter() -> bool:
    if people.is_admin(people.visitor()) or st.session_state.get(_OPEN):
        return True
    if settings().admin_key is None:
        st.write(t("admin.closed"))
        return False
    place = st.empty()
    given = place.text_input(t("admin.key"), type="password", key="admin-key")
    if not given:
        return False
    said = st.empty()
    _wait_for_turn(given, said)
    if not _is_key(given):
        said.error(t("admin.wrong_key"))
        return False
    st.session_state[_OPEN] = True
    st.session_state.pop(_LOOKED_AT, None)
    place.empty()
    return True


def _wait_for_turn(given: str, said: DeltaGenerator) -> None:
    """Every key is looked at, and who guesses waits before: at the same moment whether it is right or not."""
    typed, moment = st.session_state.get(_LOOKED_AT) or ("", 0.0)
    if typed != given:
        moment = time.monotonic() + _GUESSES.begin(asker(st.context.ip_address))
        st.session_state[_LOOKED_AT] = given, moment
    while (left := moment - time.monotonic()) > 0:
        said.info(t("admin.key_waits", seconds=math.ceil(left)), icon=":material/hourglass:")
        time.sleep(min(1.0, left))
    said.empty()


def _is_key(given: str) -> bool:
    ours = settings().admin_key.get_secret_value()
    return hmac.compare_digest(sha256(given.encode()).digest(), sha256(ours.encode()).digest())


def _numbers() -> None:
    everyone = backend.everyone()
    states, disk = everyone.state_counts(), shutil.disk_usage(everyone.home.root)
    free = free_memory()
    figures = [("running", str(states.get("running", 0))), ("waiting", str(states.get("queued", 0))),
               ("disk", f"{disk.free / GB:.0f} / {disk.total / GB:.0f} GB"),
               ("memory", "–" if free >= 1 << 60 else f"{free / GB:.1f} GB"),
               ("load", f"{os.getloadavg()[0]:.1f} / {os.cpu_count()}" if hasattr(os, "getloadavg") else "–")]
    if is_on() and (copies := room.last(everyone.home)):
        figures.append(("copies", f"{copies.bytes / GB:.1f} / {copies.most / GB:.1f} GB"))
    if core.is_hosted():
        figures.insert(0, ("people", str(len(everyone.people()))))
    with st.container(horizontal=True, key="admin-figures"):
        for name, figure in figures:
            st.metric(t(f"admin.{name}"), figure, border=True, width="content")


def _waits(place: waiting.Place) -> bool:
    """Whether it has not begun, and when it will is known."""
    return place.job.state == "queued" and place.starts_in is not None


def _queue() -> None:
    st.subheader(t("admin.queue_title"))
    places = waiting.places(backend.everyone())
    if not places:
        st.write(t("admin.queue_empty"))
        return
    names = _names()
    rows = [{t("admin.job"): place.job.id, t("admin.state"): t(f"admin.state_{place.job.state}"),
             t("admin.device"): place.job.device, t("admin.whose"): names.get(place.job.owner, "–"),
             t("admin.since"): gate.date(place.job.started or place.job.created),
             t("admin.done"): "–" if place.share is None else f"{100 * place.share:.0f} %",
             t("admin.starts"): duration(place.starts_in) if _waits(place) else "–"} for place in places]
    jobs = _chosen("admin-queue", rows, [place.job.id for place in places])
    st.button(t("admin.stop", count=len(jobs)), icon=":material/stop_circle:", key="admin-stop", disabled=not jobs,
              on_click=_stop, args=(jobs,))


def _chosen(key: str, rows: list[dict[str, Any]], names: list[str]) -> list[str]:
    """A table in which rows are chosen; gives the `names` of those. What is chosen is known by its number: where the rows are
    others by now, it is another table, in which nothing is chosen. (Else somebody who comes first gets the fate of the next.)"""
    chosen = st.dataframe(rows, hide_index=True, key=_named(key, names), on_select="rerun", selection_mode="multi-row")
    return [names[number] for number in chosen["selection"]["rows"] if number < len(names)]


def _named(key: str, names: list[str]) -> str:
    return f"{key}-{sha256(' '.join(names).encode()).hexdigest()[:12]}"


@undisturbed()
def _stop(jobs: list[str]) -> None:
    for job in jobs:
        backend.everyone().ask_stop(job, "keep")


def _people() -> None:
    st.subheader(t("admin.people_title"))
    rows = sorted(overview.rows(backend.everyone()), key=lambda row: (-row.created, row.person))  # who is active changes places
    if not rows:
        st.write(t("admin.people_none"))
        return
    table = [{t("admin.whose"): _name(row.name, row.email, row.person), t("admin.created"): gate.date(row.created),
              t("admin.active"): gate.date(row.active), t("admin.ends"): gate.date(row.ends) if row.ends else "–",
              t("admin.images"): row.images, t("admin.gigabytes"): round(row.bytes / GB, 2), t("admin.live"): row.live,
              t("admin.leaving"): row.leaving} for row in rows]
    gone = _chosen("admin-people", table, [row.person for row in rows])
    sure = st.checkbox(t("admin.delete_sure"), key=_named("admin-sure", gone), disabled=not gone)
    st.button(t("admin.delete", count=len(gone)), icon=":material/delete_forever:", key="admin-delete", on_click=_delete,
              args=(gone,), disabled=not (gone and sure))


@undisturbed()
def _delete(persons: list[str]) -> None:
    for person in persons:
        core.leave(backend.everyone().of(person))


def _failures() -> None:
    st.subheader(t("admin.failures_title"))
    troubles = overview.failures(backend.everyone(), since=time.time() - 7 * overview.DAY)
    if not troubles:
        st.write(t("admin.failures_none"))
        return
    names = _names()
    st.dataframe([{t("admin.since"): gate.date(trouble.job.ended or 0.0), t("admin.job"): trouble.job.id,
                   t("admin.whose"): names.get(trouble.job.owner, "–"), t("admin.said"): told(trouble.message)}
                  for trouble in troubles], hide_index=True, key="admin-failures")


def _names() -> dict[str | None, str]:
    return {person.id: _name(person.name, person.email, person.id) for person in backend.everyone().people()}


def _name(name: str | None, email: str | None, person: str) -> str:
    who = " ".join(filter(None, (name, email if email != name else None)))
    return who or t("admin.anonymous", number=person[:6])
