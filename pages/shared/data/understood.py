"""What the studio made of an upload, before anything is imported: the tree, what is left out, what it has to ask."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.shared import backend, place
from pages.shared.data import imports, tree
from pages.shared.text import plain, t, told
from pages.shared.undisturbed import undisturbed
from transfer_core.datasets.understanding import Question, Understanding
from transfer_core.store import Job
from transfer_core.words import has

_LISTED = 200


def show(job: Job) -> None:
    st.title(t("data.understood.title"))
    if job.live:
        st.fragment(_wait, run_every=0.4, key="understand-watch")(job.id)
        return
    if job.state != "finished":
        imports.failure(job)
        _start_again(primary=True)
        return
    understanding = Understanding.from_dict(job.result)
    _problem(understanding)
    aside = st.container()
    if understanding.tree:
        left, aside = st.columns([3, 2], gap="large")
        left.markdown(_sentence(understanding))
        left.html(tree.html(understanding))
    with aside:
        for question in understanding.questions:
            _ask(question, job)
        _left_out(understanding)
    if understanding.problem is None:
        _accept(job)
    else:
        _start_again(primary=not understanding.questions)


def _wait(job_id: str) -> None:
    if not backend.store().job(job_id).live:
        st.rerun()
    st.progress(0.0, t("data.understood.looking"))
    _start_again()


def _sentence(understanding: Understanding) -> str:
    layout = "one_class" if len(understanding.classes) == 1 else understanding.layout
    text = t(f"data.understood.{layout}", images=f"{understanding.images:,}", classes=len(understanding.classes))
    if understanding.table:
        text += " " + t("data.understood.by_table", file=plain(understanding.table["file"]),
                        column=plain(understanding.table["label_column"]))
    if understanding.splits:
        text += " " + t("data.understood.splits")
    if understanding.domains:
        text += " " + t("data.understood.domains", count=len(understanding.domains))
    return text


def _problem(understanding: Understanding) -> None:
    if understanding.problem:
        hint = plain(told(understanding.hint)) if understanding.hint else ""
        st.error(f"{plain(told(understanding.problem))}\n\n{hint}", icon=":material/error:")


def _ask(question: Question, job: Job) -> None:
    """A change looks at the upload again with the answer."""
    now = (job.payload.get("answers") or {}).get(question.key, question.default)
    widget = f"answer-{question.key}-{job.id}"
    with st.container(border=True, key=f"question-{question.key}"):
        st.radio(plain(told(question.text)), question.options, question.options.index(now), key=widget,
                 on_change=_answer, args=(job, question.key, now, widget),
                 format_func=lambda option: _said(question, option))


def _said(question: Question, option: str) -> str:
    if question.key == "column":  # a stranger's word
        return plain(t("data.understood.column", number=option) if option.isdecimal() else option)
    return t(f"import.answers.{question.key}.{option}")


@undisturbed()
def _answer(job: Job, key: str, now: str, widget: str) -> None:
    answer = st.session_state[widget]
    # A browser that is behind sends its widgets once more when the page has moved on: that is no answer.
    if answer == now or place.get("job") != job.id:
        return
    answers = (job.payload.get("answers") or {}) | {key: answer}
    again = backend.store().submit("understand", {**job.payload, "answers": answers})
    place.put(job=again.id)


def _left_out(understanding: Understanding) -> None:
    for note in understanding.notes:
        st.markdown(f":material/info: {plain(told(note))}")
    for some in understanding.ignored:
        with st.expander(f"{t(f'import.ignored.{some.reason}')} · {some.count:,}", icon=":material/visibility_off:",
                         key=f"ignored-{some.reason}"):
            st.markdown(_names(some.files, some.count))
    if understanding.refused:
        with st.expander(t("data.understood.refused", count=len(understanding.refused)), icon=":material/block:", key="refused"):
            for entry in understanding.refused[:_LISTED]:
                st.markdown(f"{plain(entry['file'])}  \n{reason(entry['code'])}")


def _names(files: list[str], count: int) -> str:
    listed = "  \n".join(plain(file) for file in files)
    return listed + ("  \n" + t("data.understood.and_more", count=count - len(files)) if count > len(files) else "")


def reason(code: str, values: dict[str, Any] | None = None) -> str:
    """Why a file was refused or set aside, and what to do about it, in the visitor's language."""
    known = {name: plain(str(value)) for name, value in (values or {}).items()}
    text = t(f"errors.{code}.text", **known)
    return f"{text} {t(f'errors.{code}.hint', **known)}" if has(f"errors.{code}.hint") else text


def _accept(job: Job) -> None:
    st.session_state.setdefault("dataset-name", place.get("called") or t("data.understood.new_name"))
    with st.container(key="accept-row"):
        st.text_input(t("data.understood.name"), key="dataset-name", max_chars=80)
        with st.container(horizontal=True):
            st.button(t("data.understood.accept"), type="primary", icon=":material/check:", key="accept",
                      on_click=_import, args=(job,))
            _start_again()


@undisturbed()
def _import(job: Job) -> None:
    # The second of two quick clicks finds the import already in the URL.
    if place.get("job") != job.id:
        return
    name = st.session_state["dataset-name"].strip() or t("data.understood.new_name")
    made = backend.store().submit("import", {**job.payload, "name": name, "then": "look"})
    place.put(job=made.id, called=None)


def _start_again(primary: bool = False) -> None:
    st.button(t("data.understood.other"), key="start-again", type="primary" if primary else "tertiary", icon=":material/undo:",
              on_click=lambda: place.put(job=None, called=None))
