"""A studio for many people, without a browser: the way in, the account, the end, the page for who looks after it."""

from __future__ import annotations

import threading
import time
from functools import partial
from types import SimpleNamespace

import photos
import pytest
import sqlalchemy as sa
import stories
from test_frame import everything_said

from pages.shared import gate
from pages.shared import people as visitors
from pages.shared.admin import page as admin
from pages.shared.people import Visitor
from pages.shared.share import pushing
from pages.shared.text import plain
from transfer_core.events import Imported
from transfer_core.http.limits import Guesses
from transfer_core.store.schema import people
from transfer_core.words import languages, say

ADA, BO = "a" * 32, "b" * 32
KEY = "a key of twelve signs"


@pytest.fixture
def come(monkeypatch):
    """`come(Visitor(ADA))`: who looks at the pages from now on, in a studio for many."""
    monkeypatch.setenv("TRANSFER_STUDIO_PEOPLE", "anonymous")
    monkeypatch.setenv("TRANSFER_STUDIO_SECRET", "a secret of thirty-two characters")

    def comes(who: Visitor | None, how: str = "anonymous") -> None:
        monkeypatch.setenv("TRANSFER_STUDIO_PEOPLE", how)
        monkeypatch.setattr(visitors, "visitor", lambda: who)

    return comes


def button(app, key: str):
    return next(each for each in app.button if each.key == key or (each.key or "").startswith(f"{key}-"))


def has(app, text: str) -> bool:
    return text in everything_said(app)


# The way in


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("name", ["home", "data", "runs", "account", "admin"])
def test_nobody_sees_the_way_in_and_nothing_else(visit, store, come, tmp_path, name, language):
    photos.dataset(store.of(ADA), tmp_path / "x", {"left": 3, "right": 3}, "Mine alone")
    come(None)
    app = visit(name, lang=language)
    assert not app.exception and app.title[0].value == say("app.name", language)
    assert has(app, say("people.gate_cookie", language)) and not has(app, "Mine alone")
    assert not app.button, "nothing to press but the way in"
    come(None, "sign-in")
    app = visit(name, lang=language)
    assert not app.exception and has(app, say("people.gate_sign_in", language))
    assert [each.key for each in app.button] == ["sign-in"]


def test_each_sees_their_own(visit, store, come, tmp_path):
    dataset = photos.dataset(store.of(ADA), tmp_path / "x", {"left": 3, "right": 3}, "Mine alone")
    for who, seen in ((ADA, True), (BO, False)):
        come(Visitor(who))
        app = visit("data", dataset=dataset.id)
        assert not app.exception and ("Mine alone" in str(app) or has(app, "Mine alone")) == seen


# The account


@pytest.mark.parametrize("language", languages())
def test_without_accounts_there_is_nothing_to_leave_and_the_page_for_who_looks_after_it_is_open(visit, store, language):
    app = visit("account", lang=language)
    assert not app.exception and has(app, say("people.nobody_else", language)) and not app.button
    stories.queued(store, "cuda:9")
    app = visit("admin", lang=language)
    assert not app.exception and has(app, say("admin.queue_title", language))
    assert not has(app, say("admin.people_title", language)), "there are none"


@pytest.mark.parametrize("language", languages())
def test_the_account_says_what_there_is_and_deletes_it(visit, store, come, tmp_path, monkeypatch, language):
    for name, value in (("BYTES", "1GB"), ("IMAGES", "100"), ("RUNS", "2"), ("MINUTES", "30")):
        monkeypatch.setenv(f"TRANSFER_STUDIO_QUOTA_{name}", value)
    monkeypatch.setenv("TRANSFER_STUDIO_KEEP_DAYS", "30")
    ada = store.of(ADA)
    ada.touch()
    photos.dataset(ada, tmp_path / "x", {"left": 3, "right": 3})
    come(Visitor(ADA))
    app = visit("account", lang=language)
    assert not app.exception
    assert has(app, say("people.most_runs", language, count=2)) and has(app, say("people.kept_for", language, days="30"))
    assert button(app, "delete-all").disabled
    app.checkbox(key="delete-sure").check().run()
    button(app, "delete-all").click().run()
    assert not app.exception and ada.datasets() == [] and not ada.home.root.joinpath("images").exists()
    assert [person.id for person in store.people()] == []
    assert say("people.deleted", language) in app.success[0].value
    assert not app.checkbox(key="delete-sure").value and button(app, "delete-all").disabled
    assert not app.run().success, "once"


def test_who_leaves_sees_that_and_nothing_else(visit, store, come):
    ada = store.of(ADA)
    job = ada.submit("train", {}, "cpu")
    ada.claim(job.id, 1)
    ada.leave()
    come(Visitor(ADA))
    app = visit("runs")
    assert not app.exception and app.title[0].value == say("people.leaving_title")
    assert not [each for each in app.button if each.key]


# The end


@pytest.mark.parametrize("language", languages())
def test_before_the_end_every_page_says_so_and_has_a_button_against_it(visit, store, come, monkeypatch, language):
    monkeypatch.setenv("TRANSFER_STUDIO_KEEP_DAYS", "1")
    ada = store.of(ADA)
    ada.touch()
    come(Visitor(ADA))
    assert not any(each.key == "keep" for each in visit("runs", lang=language).button)
    with store._write() as connection:
        connection.execute(sa.update(people).values(active=people.c.active - 0.9 * 86_400))
    before = ada.known().active
    app = visit("runs", lang=language)
    assert not app.exception and has(app, say("people.ends_soon", language, date=gate.date(before + 86_400)))
    assert button(app, "keep").label == say("people.keep", language, days="1")
    button(app, "keep").click().run()
    assert not app.exception and not any(each.key == "keep" for each in app.button) and ada.known().active > before


# What is refused


@pytest.mark.parametrize("language", languages())
def test_one_training_too_many_is_refused_in_words_once(visit, store, come, tmp_path, monkeypatch, language):
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_RUNS", "1")
    ada = store.of(ADA)
    dataset = photos.dataset(ada, tmp_path / "x", {"left": 9, "right": 9})
    ada.submit("train", {"recipe": {"dataset": "x", "model": "x"}}, "cuda:9")
    come(Visitor(ADA))
    app = visit("train", dataset=dataset.id, lang=language)
    next(each for each in app.button if each.label == say("train.start", language)).click().run()
    refused = plain(say("errors.too_many_runs.text", language, limit=1))
    assert not app.exception and [refused in error.value for error in app.error] == [True]
    assert len(ada.jobs("train")) == 1
    app.run()
    assert not app.exception and not app.error


def test_what_was_stopped_is_not_resumed_beyond_the_quota(visit, store, come, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_RUNS", "1")
    ada = store.of(ADA)
    stories.dataset(ada)
    run = stories.finished(ada)
    with store._write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET state = 'failed', result = NULL")
    ada.submit("train", {"recipe": {"dataset": "x", "model": "x"}}, "cuda:9")
    (ada.home.run(run.id) / "last.pt").write_bytes(b"x")
    come(Visitor(ADA))
    app = visit("train", run=run.id)
    button(app, "resume").click().run()
    assert not app.exception and any(plain(say("errors.too_many_runs.text", limit=1)) in error.value for error in app.error)
    assert ada.job(run.id).state == "failed"


def test_the_model_page_opens_though_everything_one_may_ask_for_waits(visit, store, come, tmp_path, monkeypatch):
    """It asks for a measurement of this machine by itself."""
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_RUNS", "1")
    ada = store.of(ADA)
    dataset = photos.dataset(ada, tmp_path / "x", {"left": 9, "right": 9})
    ada.submit("train", {"recipe": {"dataset": "x", "model": "x"}}, "cuda:9")
    for _ in range(20):
        ada.submit("export", {"run": "x", "format": "zip"}, "cuda:9")
    come(Visitor(ADA))
    app = visit("model", dataset=dataset.id)
    assert not app.exception and not app.error and ada.jobs("measure") == []


def test_the_address_of_a_page_starts_no_more_trainings_than_allowed(visit, store, come, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_RUNS", "1")
    ada = store.of(ADA)
    dataset = photos.dataset(ada, tmp_path / "x", {"left": 9, "right": 9})
    job = ada.submit("import", {"example": "leaves", "name": "x", "then": "train"})
    ada.append(job.id, Imported(dataset=dataset.id, version=1, summary=dataset.latest.summary))
    ada.end(job.id, "finished", {"dataset": dataset.id, "version": 1, **dataset.latest.summary})
    come(Visitor(ADA))
    for number in range(3):
        visit("home", job=job.id, then=f"import-{number}")
    assert len(ada.jobs("train")) == 1


# Beside the page


def test_a_push_to_the_hub_finds_the_files_of_who_asked(visit, store, come, monkeypatch):
    """It works in a thread, where no cookie says who that is."""
    ada, pushed, over = store.of(ADA), [], threading.Event()
    stories.dataset(ada)
    run = stories.finished(ada)

    def push(files, repository, token, *, private):
        pushed.append({kind: file.parent for kind, file in files.items()})
        yield "model", "https://example.org/x"
        over.set()

    monkeypatch.setattr(pushing.hub, "push", push)
    come(Visitor(ADA))
    app = visit("share", run=run.id)
    app.text_input(key="hub-repository").input("x")
    app.text_input(key="hub-token").input("secret")
    next(each for each in app.button if each.label == say("hub.push")).click().run()
    assert not app.exception
    end = time.monotonic() + 60
    while pushing._pushes[run.id].live and time.monotonic() < end:
        over.wait(0.05)
    assert pushing._pushes[run.id].refused == [] and pushed == [{"zip": ada.home.run(run.id)}]


# For who looks after it


@pytest.mark.parametrize("language", languages())
def test_the_page_for_who_looks_after_it_opens_for_them_only(visit, store, come, monkeypatch, language):
    store.of(BO).introduce("Bo <b>", "bo@example.org")
    come(Visitor(ADA, "Ada", "ada@example.org", True), "sign-in")
    app = visit("admin", lang=language)
    assert not app.exception and has(app, say("admin.closed", language)) and not app.metric and not app.dataframe
    monkeypatch.setenv("TRANSFER_STUDIO_ADMINS", "Ada@Example.org")
    app = visit("admin", lang=language)
    assert not app.exception and has(app, say("admin.people_title", language)) and app.metric
    assert "bo@example.org" in app.dataframe[0].value.to_string()
    come(Visitor(ADA, "Ada", "ada@example.org"), "sign-in")
    assert has(visit("admin", lang=language), say("admin.closed", language))


@pytest.mark.parametrize(("said", "shown", "may"), [
    ({"email_verified": True}, True, True), ({"email_verified": "true"}, True, True), ({}, True, False),
    ({"email_verified": False}, False, False), ({"email_verified": "false"}, False, False)])
def test_an_address_makes_nobody_an_admin_unless_the_provider_says_it_is_theirs(monkeypatch, said, shown, may):
    """Microsoft's directories, for one, let their owners write any address there, and do not say so."""
    monkeypatch.setenv("TRANSFER_STUDIO_PEOPLE", "sign-in")
    monkeypatch.setenv("TRANSFER_STUDIO_ADMINS", "ada@example.org")
    who = visitors._signed_in({"iss": "https://id.example.org", "sub": "1", "email": "Ada@example.org", **said})
    assert ((who.email == "Ada@example.org"), visitors.is_admin(who)) == (shown, may)
    monkeypatch.setenv("TRANSFER_STUDIO_ADMINS", f"ada@example.org,{who.person}")
    assert visitors.is_admin(who), "the name of a person is the studio's own to give"


PROVIDERS = {"redirect_uri": "https://studio.example.org/oauth2callback", "cookie_secret": "0123456789abcdef" * 4,
             **{name: {"client_id": "x", "client_secret": "x", "server_metadata_url": "x"} for name in ("google", "school")}}


@pytest.fixture
def settings_of_sign_in(monkeypatch):
    """`settings_of_sign_in(auth)`: what .streamlit/secrets.toml says from now on."""
    from streamlit.runtime import secrets

    monkeypatch.setenv("TRANSFER_STUDIO_PEOPLE", "sign-in")
    monkeypatch.setattr(secrets.secrets_singleton, "load_if_toml_exists", lambda: True)

    def say_so(auth: dict) -> None:
        monkeypatch.setattr(secrets.secrets_singleton, "_secrets", {"auth": auth})

    return say_so


def test_of_several_providers_none_makes_an_admin_of_anothers_address(monkeypatch, settings_of_sign_in):
    settings_of_sign_in(PROVIDERS)
    claims = {"iss": "https://id.example.org", "sub": "1", "email": "ada@example.org", "email_verified": True}
    google, school = (visitors._signed_in({**claims, "provider": name}) for name in ("google", "school"))
    assert google.person != school.person, "who speaks for the same issuer is still another provider"
    for admins, who in (("ada@example.org", []), ("google:Ada@example.org", [google]), (school.person, [school])):
        monkeypatch.setenv("TRANSFER_STUDIO_ADMINS", admins)
        assert [each for each in (google, school) if visitors.is_admin(each)] == who, admins
    monkeypatch.setenv("TRANSFER_STUDIO_ADMINS", "ada@example.org")
    settings_of_sign_in({name: each for name, each in PROVIDERS.items() if name != "school"})
    assert visitors.is_admin(google), "the only one there is"
    assert not visitors.is_admin(school), "a cookie of one that was taken out"


@pytest.mark.parametrize("language", languages())
def test_each_of_several_providers_has_a_button(visit, come, settings_of_sign_in, language):
    come(None, "sign-in")
    settings_of_sign_in(PROVIDERS)
    app = visit("home", lang=language)
    said = [say("people.sign_in_with", language, name=name) for name in ("Google", "School")]
    assert not app.exception and [each.label for each in app.button] == said


@pytest.mark.parametrize("changes", [{"google": {"client_id": "x"}}, *({"cookie_secret": secret} for secret in (
    "", " " * 40, "ab" * 20, "short", visitors._OF_THE_DOCUMENTS))])
def test_a_studio_with_a_sign_in_that_is_none_does_not_start(settings_of_sign_in, changes):
    pytest.importorskip("authlib")
    settings_of_sign_in(PROVIDERS)
    visitors.check_or_exit()
    settings_of_sign_in(PROVIDERS | changes)
    with pytest.raises(SystemExit, match=r"secrets\.toml"):
        visitors.check_or_exit()


def test_a_key_opens_it_and_guesses_do_not(visit, store, come, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_ADMIN_KEY", KEY)
    monkeypatch.setattr(admin, "_GUESSES", Guesses())
    come(Visitor(ADA))
    app = visit("admin")
    app.text_input(key="admin-key").input("a guess").run()
    assert not app.exception and say("admin.wrong_key") in app.error[0].value and not app.metric
    app.text_input(key="admin-key").input(KEY).run()
    assert not app.exception and app.metric and not app.error


def test_the_right_key_opens_it_however_many_wrong_ones_were_tried(visit, store, come, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_ADMIN_KEY", KEY)
    monkeypatch.setattr(admin, "_GUESSES", guesses := Guesses())
    slept = []
    clock = SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append, time=time.time)
    monkeypatch.setattr(admin, "time", clock)
    for number in range(2000):
        guesses.begin(f"10.0.{number % 7}.1")
    come(Visitor(ADA))
    app = visit("admin")
    app.text_input(key="admin-key").input("a guess").run()
    assert say("admin.wrong_key") in app.error[0].value
    assert 0 < sum(slept) <= Guesses.MOST_ANYWHERE, "the guesses of others slow it down"
    app.text_input(key="admin-key").input(KEY).run()
    assert not app.exception and app.metric and not app.error


def test_whoever_was_chosen_is_deleted_and_nobody_who_took_their_place(visit, store, come, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_ADMINS", "ada@example.org")
    store.of(BO).introduce("Bo", "bo@example.org")
    come(Visitor(ADA, "Ada", "ada@example.org", True), "sign-in")
    app = visit("admin")
    names = [person.id for person in sorted(store.people(), key=lambda person: (-person.created, person.id))]
    place = names.index(BO)
    app.session_state[admin._named("admin-people", names)] = {"selection": {"rows": [place], "columns": [], "cells": []}}
    app.run()
    next(each for each in app.checkbox if each.key.startswith("admin-sure")).check().run()
    assert not button(app, "admin-delete").disabled
    store.of("c" * 32).introduce("Cy", "cy@example.org")  # comes first in the table, and moves everybody on
    app.run()
    assert button(app, "admin-delete").disabled, "nobody is chosen in a table that is another one"
    assert len(store.people()) == 3


@pytest.mark.parametrize("language", languages())
def test_a_studio_to_try_offers_nothing_that_it_would_refuse(visit, come, monkeypatch, language):
    come(Visitor(ADA))
    monkeypatch.setenv("TRANSFER_STUDIO_MODE", "trial")
    told = partial(say, language=language)
    data = visit("data", lang=language)
    assert [each.value for each in data.title] == [told("people.trial_title")] and has(data, told("people.trial"))
    assert not has(data, told("data.lead"))
    home = visit("home", lang=language)
    assert button(home, "use-photos").label == told("people.trial_more")
    model = visit("model", lang=language, own="file")
    offered = next(each for each in model.button_group if each.key == "weights-choice")
    assert list(offered.options) == [
        told(f"settings.weights_{name}") for name in ("pretrained", "run", "scratch")]
    assert offered.value == "pretrained"
    labels = [each.label for page in (model, visit("runs", lang=language)) for each in page.expander]
    search = told("model.search.open", count="§").split("§")[0]
    assert told("runs.restore.title") not in labels and not any(label.startswith(search) for label in labels)
    monkeypatch.delenv("TRANSFER_STUDIO_MODE")
    assert told("runs.restore.title") in [each.label for each in visit("runs", lang=language).expander]
