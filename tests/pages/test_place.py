"""The address and the widgets bound to it, with a browser that is behind."""

from __future__ import annotations

import threading

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared import place
from pages.shared.undisturbed import undisturbed

PAGE = """
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from pages.shared import place
from pages.shared.bound import bind_to
st.number_input("a", 0, 99, step=1, **bind_to("a", int(place.get("a") or 1), lambda given: place.put(a=given)))
st.number_input("b", 0, 99, step=1, **bind_to("b", int(place.get("b") or 1), lambda given: place.put(b=given)))
st.button("both", on_click=lambda: place.put(a=7, b=8))
st.button("nothing")
if st.button("another script"):  # while this one runs, its callback changes what both hold, and what it says is thrown away
    here = get_script_run_ctx()
    with here.session_state.query_params() as shared:
        shared.set_with_no_forward_msg("a", "4")
    st.session_state["place"] = (here.page_script_hash, {"a": ["4"]}, [(1000.0, here.page_script_hash, {})])
    st.markdown(f"a is {place.get('a')}")
st.radio("c", list("xyz"), **bind_to("c", place.get("c"), lambda given: place.put(c=given), options=list("xyz")))
st.segmented_control("d", list("uvw"), **bind_to("d", place.get("d") or "v", lambda given: place.put(d=given), start="default"))
"""


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(place.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def app(home, clock) -> AppTest:
    return AppTest.from_string(PAGE).run()


def address(app: AppTest) -> dict[str, str]:
    return {key: value if isinstance(value, str) else value[0] for key, value in app.query_params.items()}


def show(app: AppTest, **url: str) -> None:
    """The address the browser shows with its next event."""
    app.query_params.clear()
    for key, value in url.items():
        app.query_params[key] = value


def test_two_changes_before_the_first_is_heard_of_are_both_kept(app):
    app.number_input[0].set_value(5).run()
    show(app)
    app.number_input[1].set_value(6).run()
    assert address(app) == {"a": "5", "b": "6"}
    show(app, a="5")  # the first has arrived, the second has not
    app.button[1].click().run()
    assert address(app) == {"a": "5", "b": "6"}
    assert [widget.value for widget in app.number_input] == [5, 6]


def test_an_old_address_is_meant_once_the_line_had_its_time(app, clock):
    app.number_input[0].set_value(5).run()
    clock[0] += place.LATE_S + 0.1
    show(app)
    app.run()
    assert address(app) == {}
    assert app.number_input[0].value == 1


def test_a_late_event_on_the_page_is_late_however_long_it_took(app, clock):
    app.number_input[0].set_value(5).run()
    clock[0] += 100 * place.LATE_S
    show(app)
    app.number_input[1].set_value(6).run()
    assert address(app) == {"a": "5", "b": "6"}


def test_where_the_visitor_is_was_not_left(app):
    """There and back again: an event from there is not late."""
    for value in (5, 1, 5):
        app.number_input[0].set_value(value).run()
    show(app, a="5")
    app.number_input[1].set_value(6).run()
    assert address(app) == {"a": "5", "b": "6"}


def test_an_address_never_left_is_where_the_visitor_is(app):
    app.number_input[0].set_value(5).run()
    show(app, a="9", other="x")
    app.run()
    assert address(app) == {"a": "9", "other": "x"}
    assert app.number_input[0].value == 9


def test_what_has_to_show_something_new_is_another_widget(app):
    first = app.number_input[0]
    assert first.key == "a"
    app.button[0].click().run()
    assert [(widget.key, widget.value) for widget in app.number_input] == [("a-1", 7), ("b-1", 8)]
    app.number_input[0].set_value(3).run()
    assert [(widget.key, widget.value) for widget in app.number_input] == [("a-1", 3), ("b-1", 8)]
    assert address(app) == {"a": "3", "b": "8"}


def test_a_choice_starts_where_the_address_says(app):
    assert (app.radio[0].value, app.button_group[0].value) == (None, "v")
    show(app, c="y", d="w")
    app.run()
    assert (app.radio[0].value, app.button_group[0].value) == ("y", "w")


def test_another_language_is_another_widget_with_the_same_choice(app):
    """Streamlit tells the options of a widget by their words."""
    app.radio[0].set_value("z").run()
    show(app, c="z", lang="zh")
    app.run()
    assert (app.radio[0].key, app.radio[0].value) == ("c-1", "z")
    assert address(app) == {"c": "z", "lang": "zh"}


def test_the_browser_is_told_what_another_script_has_changed(app):
    app.button[2].click().run()
    assert (app.markdown[0].value, address(app)) == ("a is 4", {"a": "4"})


def test_of_two_callbacks_one_waits_for_the_other():
    inside, leave, order = threading.Event(), threading.Event(), []

    @undisturbed()
    def first() -> None:
        inside.set()
        leave.wait(10)
        order.append("first")

    @undisturbed()
    def second() -> None:
        order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    threads[1].join(0.1)
    assert threads[1].is_alive() and not order
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second"]
