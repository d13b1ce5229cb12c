"""A studio for many people, as one of them would attack it: guessed ids, edited addresses, made-up cookies, paths out."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from transfer_core import http, people
from transfer_core.activations import Entry, Shelf, Spec
from transfer_core.backups import backup, restore, tables
from transfer_core.backups.shelf import inside
from transfer_core.datasets import editing
from transfer_core.datasets.garbage import collect_garbage, holding_images
from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.datasets.summary import describe
from transfer_core.demos import publish
from transfer_core.errors import BadInput, Busy, NotFound
from transfer_core.events import Exported, Note
from transfer_core.http import uploads
from transfer_core.http.lifespan import _sweep
from transfer_core.http.people import Door
from transfer_core.jobs import Supervisor
from transfer_core.jobs import run as running
from transfer_core.paths import Home
from transfer_core.people import purging, quotas
from transfer_core.store import Demo, Store
from transfer_core.words import message

ADA, BO = "a" * 32, "b" * 32
SECRET = "a secret of thirty-two characters"
SHA = "0" * 64


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(tmp_path))
    monkeypatch.setenv("TRANSFER_STUDIO_PEOPLE", "anonymous")
    monkeypatch.setenv("TRANSFER_STUDIO_SECRET", SECRET)
    return Home(tmp_path)


@pytest.fixture
def store(home):
    store = Store(home)
    yield store
    store.close()


@pytest.fixture
def visit(store):
    """A browser of one person, or of nobody."""
    def browser(person: str | None = None, cookie: str | None = None) -> TestClient:
        async def page(_request) -> HTMLResponse:
            return HTMLResponse("a page")

        paths = ("/", "/data", "/demo", "/api/x")
        app = Starlette(routes=[*http.routes(store), *(Route(path, page) for path in paths)], middleware=http.middleware())
        client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        token = "t" * 40
        client.cookies.set("studio_token", token)
        client.headers["x-studio-token"] = token
        if person:
            cookie = f"{person}.{people.Secret.of(store.home).sign(person)}"
        if cookie:
            client.cookies.set(people.COOKIE, cookie)
        return client

    return browser


@pytest.fixture
def hers(store):
    """What Ada has: a photo, a dataset, a training with a file, a demo."""
    ada = store.of(ADA)
    ada.touch()
    ada.add_dataset("Secret hats", "hats-1", message("app.name"), {"classes": {"hat": 3}, "split": {"train": 3}})
    for file in (ada.home.image(SHA), ada.home.thumbnail(SHA)):
        file.write_bytes(b"ada's own picture")
    run = ada.submit("train", {"recipe": {"dataset": "hats-1", "model": "x"}, "name": "Secret hats"}, "cpu")
    (ada.home.run(run.id) / "model.zip").write_bytes(b"ada's own model")
    ada.append(run.id, Exported(format="zip", file="model.zip", bytes=15, same_answer=1, images=1, largest_difference=0.0))
    ada.end(run.id, "finished", {})
    facts = {"classes": ["hat"], "measured": None, "model": "x"}
    ada.add_demo(Demo("demo-1", run.id, "Secret hats", "", "hash", facts, 0.0, None, 0, 0, ADA))
    ada.home.demo("demo-1")
    return ada.job(run.id)


# Who somebody is


def test_a_made_up_or_changed_cookie_is_nobodys(store, home):
    secret = people.Secret.of(home)
    good = f"{ADA}.{secret.sign(ADA)}"
    assert people.anonymous(good, secret) == ADA
    for bad in ("", ADA, f"{ADA}.", f"{BO}.{secret.sign(ADA)}", good[:-1], good + "0", f"../{ADA[3:]}.{secret.sign(ADA)}",
                f"{ADA}.{people.Secret(b'another').sign(ADA)}", f"{'é' * 32}.{secret.sign(ADA)}"):
        assert people.anonymous(bad, secret) is None


def test_without_a_setting_the_secret_is_made_once_and_nobody_else_reads_it(home, monkeypatch):
    monkeypatch.delenv("TRANSFER_STUDIO_SECRET")
    assert people.Secret.of(home) == people.Secret.of(home.of(ADA)) and len(people.Secret.of(home).key) == 64
    file = home.root / "secret"
    assert file.stat().st_mode & 0o077 == 0 and file.read_bytes() == people.Secret.of(home).key
    assert [each.name for each in home.root.iterdir() if "secret" in each.name] == ["secret"]


@pytest.mark.parametrize("left", [b"", b" \n", b"\0" * 64])
def test_a_secret_that_a_crash_left_empty_is_made_anew(home, monkeypatch, left):
    monkeypatch.delenv("TRANSFER_STUDIO_SECRET")
    (home.root / "secret").write_bytes(left)
    made = people.Secret.of(home)
    assert len(made.key) == 64 and (home.root / "secret").read_bytes() == made.key
    assert people.anonymous(f"{ADA}.{people.Secret(left).sign(ADA)}", made) is None


@pytest.mark.parametrize("weak", ["short", " " * 10 + "short" + " " * 10, "ab" * 20])
def test_a_secret_that_could_be_guessed_is_refused_in_words(home, monkeypatch, weak):
    monkeypatch.delenv("TRANSFER_STUDIO_SECRET")
    (home.root / "secret").write_text(weak)
    with pytest.raises(BadInput) as refused:
        people.Secret.of(home)
    assert refused.value.code == "weak_secret" and str(home.root / "secret") in refused.value.message("zh")
    assert (home.root / "secret").read_text() == weak, "it is somebody's, and stays"
    monkeypatch.setenv("TRANSFER_STUDIO_SECRET", "ab" * 20)
    with pytest.raises(BadInput, match="TRANSFER_STUDIO_SECRET"):
        people.Secret.of(home)


def test_an_address_gets_so_many_names_an_hour_and_whom_we_know_is_let_in(visit, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_NEW_PER_HOUR", "2")
    browser = visit()
    known = browser.get("/")
    names = {browser.cookies[people.COOKIE]}
    for _ in range(2):
        browser.cookies.delete(people.COOKIE)
        answer = browser.get("/data", headers={"Accept-Language": "zh-CN"})
        names.add(browser.cookies.get(people.COOKIE))
    assert (known.status_code, answer.status_code) == (200, 429) and len(names) == 3 and None in names
    assert message("errors.too_many_new.text", most=2).say("zh") in answer.text and "a page" not in answer.text
    assert 0 < int(answer.headers["retry-after"]) <= 1800
    browser.cookies.set(people.COOKIE, next(f"{name}" for name in names if name))
    assert browser.get("/").text == "a page"
    assert browser.get("/demo").text == "a page", "a demo asks for no workspace"


def test_whoever_opens_a_page_gets_a_name_that_no_script_reads(visit, monkeypatch):
    browser = visit()
    cookie = browser.get("/").headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Secure" not in cookie
    name = browser.cookies[people.COOKIE]
    again = browser.get("/data").headers["set-cookie"]
    assert browser.cookies[people.COOKIE] == name and "Max-Age=31536000" in again, "known, and from now on for a year"
    assert visit(cookie="x" * 97).get("/").cookies[people.COOKIE] != name, "one that is not ours is replaced"
    for path in ("/demo", "/api/x", "/livez"):
        assert people.COOKIE not in visit().get(path).headers.get("set-cookie", ""), path
    monkeypatch.setenv("TRANSFER_STUDIO_PUBLIC_URL", "https://studio.example.org")
    assert visit().get("/").headers["set-cookie"].endswith("; Secure")
    monkeypatch.setenv("TRANSFER_STUDIO_FRAME_ANCESTORS", "https://example.org")
    assert "SameSite=None; Partitioned" in visit().get("/").headers["set-cookie"]
    monkeypatch.delenv("TRANSFER_STUDIO_PEOPLE")
    assert people.COOKIE not in visit().get("/").headers.get("set-cookie", ""), "without accounts nobody needs a name"


def test_a_provider_calls_everybody_something_else():
    one = people.signed_in("https://id.example.org", "1")
    assert one == people.signed_in("https://id.example.org", "1") and len(one) == 32
    assert len({one, people.signed_in("https://id.example.org", "2"), people.signed_in("https://other.example.org", "1"),
                people.signed_in("https://id.example.org1", "")}) == 4


# Nobody reaches what is another one's


ADDRESSES = ("/thumbnails/{sha}.webp", "/images/{sha}", "/files/{run}/model.zip", "/report/{run}", "/api/jobs/{run}/events",
             "/heat/{run}/0.webp", "/maps/{run}.json", "/api/uploads/{upload}", "/api/uploads/{upload}/0/preview.webp")


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_address_gives_what_is_another_ones(visit, hers, address):
    ada = visit(ADA)
    upload = ada.post("/api/uploads").json()["upload"]
    ada.put(f"/api/uploads/{upload}?path=a.jpg", content=b"ada's own upload")
    path = address.format(sha=SHA, run=hers.id, upload=upload)
    for other, status in ((visit(BO), 404), (visit(), 401), (visit(cookie=f"{ADA}.{'0' * 64}"), 401)):
        answer = other.get(path)
        assert answer.status_code == status, answer.text
        assert b"ada" not in answer.content and b"Secret" not in answer.content


def test_what_is_ones_own_is_there(visit, hers):
    ada = visit(ADA)
    assert ada.get(f"/thumbnails/{SHA}.webp").content == b"ada's own picture"
    assert ada.get(f"/files/{hers.id}/model.zip").content == b"ada's own model"
    assert ada.get("/api/demos/demo-1").json()["title"] == "Secret hats"
    assert visit().get("/api/demos/demo-1").status_code == 200, "who has the link of a demo may ask it"


def test_nobody_adds_to_another_ones_upload(visit, store):
    ada, bo = visit(ADA), visit(BO)
    upload = ada.post("/api/uploads").json()["upload"]
    assert bo.put(f"/api/uploads/{upload}?path=a.jpg", content=b"x").status_code == 404
    assert ada.put(f"/api/uploads/{upload}?path=a.jpg", content=b"x").json() == {"files": 1, "bytes": 1}
    assert visit().post("/api/uploads").status_code == 401
    assert (store.of(ADA).home.root / "uploads" / upload / "0").read_bytes() == b"x"
    assert not (store.home.root / "uploads").exists()


@pytest.mark.parametrize("way", ["..%2f..%2fpeople%2f" + ADA, "%2e%2e", "..", "people", f"..%5c{ADA}"])
def test_no_path_leads_into_another_home(visit, hers, way):
    for path in (f"/files/{way}/model.zip", f"/report/{way}", f"/thumbnails/{way}.webp", f"/images/{way}", f"/api/uploads/{way}"):
        answer = visit(BO).get(path)
        assert answer.status_code in (400, 404) or answer.text == "a page", path  # "/report/.." is "/" before it is sent
        assert b"ada" not in answer.content and b"Secret" not in answer.content


def test_a_job_finds_nothing_of_another_person(store, hers):
    """Even with a payload that names it: what runs has a store and a home of its owner."""
    bo = store.of(BO)
    for name in ("hats-1", f"../../{ADA}/datasets/hats-1"):
        job = bo.submit("check", {"dataset": name, "version": 1}, "cpu")
        bo.claim(job.id, os.getpid())
        assert running.run_job(bo, bo.job(job.id)) == "failed"
    source = bo.submit("import", {"upload": "0" * 32, "name": "x"})
    bo.claim(source.id, os.getpid())
    assert running.run_job(bo, bo.job(source.id)) == "failed"


def test_without_accounts_everything_is_the_one_persons(store, visit, monkeypatch):
    monkeypatch.delenv("TRANSFER_STUDIO_PEOPLE")
    store.home.thumbnail(SHA).write_bytes(b"mine")
    assert visit().get(f"/thumbnails/{SHA}.webp").content == b"mine"
    assert visit().post("/api/uploads").status_code == 201
    assert store.people() == []


def test_who_signs_in_is_who_the_pages_say(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_PEOPLE", "sign-in")
    door = Door(store, lambda cookies: cookies.get("whoever"))
    asks = lambda cookies: door.store(type("Request", (), {"cookies": cookies}))  # noqa: E731
    assert asks({"whoever": ADA}).person == ADA
    with pytest.raises(BadInput) as nobody:
        asks({people.COOKIE: f"{ADA}.{people.Secret.of(store.home).sign(ADA)}"})
    assert nobody.value.code == "nobody"


# How much


def test_more_trainings_than_allowed_are_refused_and_followers_are_not(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_RUNS", "2")
    ada, bo = store.of(ADA), store.of(BO)
    first, _ = ada.submit("train", {}, "cpu"), ada.submit("sweep", {}, "cpu")
    for kind in ("train", "crossvalidate", "sweep"):
        with pytest.raises(Busy) as refused:
            ada.submit(kind, {}, "cpu")
        assert (refused.value.code, refused.value.values) == ("too_many_runs", {"limit": 2})
    with pytest.raises(Busy):
        ada.submit("train", {"request": "train-1234"}, "cpu")  # as the home page names its own
    with pytest.raises(Busy):
        ada.submit("train", {"request": "import-1234"}, "cpu")  # as the address of a page can say
    ada.submit("crossvalidate", {"request": first.id}, "cpu")
    ada.submit("explain", {}, "cpu")
    bo.submit("train", {}, "cpu")
    store.submit("train", {}, "cpu")
    for job in ada.jobs():
        ada.end(job.id, "finished")
    ada.submit("train", {}, "cpu")


def test_of_two_that_are_asked_for_at_once_one_is_refused(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_RUNS", "1")
    both, limited = threading.Barrier(2, timeout=30), Store.limited

    def after_both_have_come(self, *asked):
        both.wait()
        return limited(self, *asked)

    monkeypatch.setattr(Store, "limited", after_both_have_come)

    def ask(_number: int) -> str:
        try:
            return store.of(ADA).submit("train", {}, "cpu").state
        except Busy as refused:
            return refused.code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(ask, range(2))) == ["queued", "too_many_runs"]
    assert len(store.of(ADA).jobs()) == 1 and len(store.people()) == 1


def test_what_was_stopped_goes_on_only_where_there_is_room_for_one_more(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_RUNS", "1")
    ada = store.of(ADA)
    stopped = ada.submit("train", {}, "cpu")
    ada.ask_stop(stopped.id)
    ada.submit("train", {}, "cpu")
    with pytest.raises(Busy) as refused:
        ada.requeue(stopped.id)
    assert refused.value.code == "too_many_runs" and ada.job(stopped.id).state == "stopped"
    ada.leave()
    with pytest.raises(Busy) as refused:
        ada.requeue(stopped.id)
    assert refused.value.code == "leaving"


def test_what_is_deleted_while_it_runs_still_counts_and_is_told_to_stop(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_RUNS", "1")
    ada = store.of(ADA)
    runs = ada.submit("train", {}, "cpu")
    assert ada.claim(runs.id, os.getpid())
    ada.delete_job(runs.id)
    assert ada.beat(runs.id, os.getpid()) == "discard"
    with pytest.raises(Busy):
        ada.submit("train", {}, "cpu")
    assert not people.leave(ada), "its worker may still write"
    ada.end(runs.id, "stopped", {}, os.getpid())
    assert people.erase(ada) and store.people() == [] and not store.everyone().raw_events(runs.id)


def test_what_a_page_asks_for_by_itself_takes_no_place_of_a_training(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_RUNS", "1")
    ada = store.of(ADA)
    ada.submit("measure", {"models": []}, "cpu")
    ada.submit("train", {}, "cpu")
    ada.submit("measure", {"models": []}, "cpu")


def test_one_persons_imports_never_take_all_places(store):
    ada, bo = store.of(ADA), store.of(BO)
    hers = [ada.submit("import", {"upload": "0" * 32, "name": "x"}) for _ in range(5)]
    supervisor = Supervisor(store, warm=False)
    live = lambda: supervisor._store.jobs(None, "queued", "running")  # noqa: E731
    assert [job.id for job in supervisor._startable(live())] == [hers[0].id]
    his = bo.submit("import", {"upload": "0" * 32, "name": "x"})
    assert {job.id for job in supervisor._startable(live())} == {hers[0].id, his.id}, "the queue takes turns"
    mine = [store.submit("import", {"name": "x"}) for _ in range(2)]
    bo.ask_stop(his.id)
    for job in hers:
        ada.ask_stop(job.id)
    assert [job.id for job in supervisor._startable(live())] == [job.id for job in mine], "alone, one has the machine to oneself"


def test_what_went_wrong_says_nothing_of_where_things_lie_on_the_server(store, home):
    ada = store.of(ADA)
    job = ada.submit("train", {}, "cpu")
    for error in (RuntimeError("x"), OSError(errno.ENOSPC, "full")):
        told = running.failure(error, ada, job)
        assert str(home.root.parent) not in told.model_dump_json()
    assert running.failure(RuntimeError("x"), ada, job).message.values["log"].endswith(f"people/{ADA}/jobs/{job.id}/log.txt")
    assert str(home.root) in running.failure(RuntimeError("x"), store, job).model_dump_json(), "one's own machine"


def test_nobody_fills_the_queue_with_short_jobs(store):
    ada = store.of(ADA)
    with pytest.raises(Busy) as refused:
        for _ in range(1000):
            ada.submit("explain", {}, "cpu")
    assert refused.value.code == "too_many_jobs" and len(ada.jobs()) < 100


def test_a_training_gets_the_time_one_may_take(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_MINUTES", "10")
    ada = store.of(ADA)
    jobs = [ada.submit("train", {"recipe": {"minutes": given}}, "cpu") for given in (None, 5.0, 60.0)]
    assert [job.payload["recipe"]["minutes"] for job in jobs] == [10.0, 5.0, 10.0]
    assert ada.submit("train", {"recipe": {}, "soup": ["a"]}, "cpu").payload["recipe"] == {}
    assert store.submit("train", {"recipe": {"minutes": None}}, "cpu").payload["recipe"]["minutes"] is None


def test_other_jobs_are_stopped_when_their_time_is_up(store, tasks, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_MINUTES", "0.0001")
    monkeypatch.setattr(running, "FLUSH", 0.01)
    monkeypatch.setattr(running, "BEAT", 0.0)

    def endless(_job, _store):
        try:
            while True:
                time.sleep(0.01)
                yield Note(message=message("app.name"))
        except running.StopAsked as asked:
            return {"kept": asked.args[0]}

    monkeypatch.setitem(tasks._choices, "sweep", replace(tasks["sweep"], function=endless))
    ada = store.of(ADA)
    job = ada.submit("sweep", {}, "cpu")
    ada.claim(job.id, os.getpid())
    assert running.run_job(ada, ada.job(job.id)) == "stopped"
    told = [event.message.key for _, event in ada.events(job.id, kinds=("note",))]
    assert "jobs.time_is_up" in told and ada.job(job.id).result == {"kept": "keep"}


def test_files_have_a_limit_and_what_can_be_computed_again_does_not_count(store, visit, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_BYTES", "100_000")
    monkeypatch.setattr(quotas, "COUNTED_EVERY", 0.0)
    ada = store.of(ADA)
    (ada.home.cache / "activations").write_bytes(b"x" * 500_000)
    client = visit(ADA)
    upload = client.post("/api/uploads").json()["upload"]
    assert client.put(f"/api/uploads/{upload}?path=a.jpg", content=b"x" * 60_000).status_code == 200
    refused = client.put(f"/api/uploads/{upload}?path=b.jpg", content=b"x" * 60_000)
    assert (refused.status_code, refused.json()["code"]) == (413, "quota_bytes")
    assert visit(BO).post("/api/uploads").status_code == 201
    (ada.home.run("train-1") / "model").write_bytes(b"x" * 60_000)
    job = ada.submit("import", {"upload": upload, "name": "x"})
    ada.claim(job.id, os.getpid())
    assert running.run_job(ada, ada.job(job.id)) == "failed"
    assert ada.events(job.id, kinds=("failed",))[0][1].message.key == "errors.quota_bytes.text"
    people.check_room(store)  # without accounts, no limit


def test_files_with_nothing_in_them_have_a_limit_too(store, visit, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_BYTES", "20_000")
    monkeypatch.setattr(quotas, "COUNTED_EVERY", 0.0)
    monkeypatch.setattr(uploads, "MOST_OPEN", 3)
    ada = visit(ADA)
    upload = ada.post("/api/uploads").json()["upload"]
    statuses = [ada.put(f"/api/uploads/{upload}?path={number}.jpg", content=b"x").status_code for number in range(8)]
    assert statuses[0] == 200 and statuses[-1] == 413
    monkeypatch.delenv("TRANSFER_STUDIO_QUOTA_BYTES")
    assert [ada.post("/api/uploads").status_code for _ in range(3)] == [201, 201, 429]
    assert visit(BO).post("/api/uploads").status_code == 201


def test_photos_have_a_limit(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_IMAGES", "10")
    ada = store.of(ADA)
    ada.add_dataset("Hats", "hats-1", message("app.name"), {"split": {"train": 5, "test": 2}})
    people.check_images(ada, 3)
    with pytest.raises(BadInput) as refused:
        people.check_images(ada, 4)
    assert refused.value.values == {"there": 7, "more": 4, "most": 10}
    people.check_images(store.of(BO), 10)
    people.check_images(store, 1000)
    assert people.usage(ada).images == 7


def test_what_is_made_without_a_job_has_the_same_limits_and_is_a_sign_of_life(store, monkeypatch):
    ada = store.of(ADA)
    rows = [Image(f"{number:064x}", f"{number}.jpg", "ab"[number % 2], "train", number, 8, 8) for number in range(8)]
    Manifest("hats-1", 1, tuple(rows)).write(ada.home)
    ada.add_dataset("Hats", "hats-1", message("app.name"), {"dataset": "hats-1", "version": 1, **describe(rows, {})})
    editing.delete_images(ada, "hats-1", [f"{number:064x}" for number in range(4)])
    assert ada.known() is not None
    ada.add_dataset("Caps", "caps-1", message("app.name"), {"split": {"train": 4}})
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_IMAGES", "8")
    with pytest.raises(BadInput) as refused:
        editing.restore_version(ada, "hats-1", 1)
    assert refused.value.code == "quota_images" and ada.dataset("hats-1").latest.version == 2
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_BYTES", "1")
    run = ada.enter("train", {"recipe": {"model": "x"}, "name": "Hats"}, "cpu")
    (ada.home.run(run) / "model.onnx").write_bytes(b"x" * 100)
    monkeypatch.setattr(quotas, "COUNTED_EVERY", 0.0)
    for make in (lambda: editing.rename_class(ada, "hats-1", "a", "c"), lambda: publish(ada, ada.job(run))):
        with pytest.raises(BadInput) as refused:
            make()
        assert refused.value.code == "quota_bytes"
    ada.leave()
    for make in (lambda: editing.rename_class(ada, "hats-1", "a", "c"), lambda: publish(ada, ada.job(run))):
        with pytest.raises(Busy):
            make()
    assert ada.demos() == []


# How long, and the end


def test_work_is_kept_so_long_after_something_was_made(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_KEEP_DAYS", "40")
    ada, day = store.of(ADA), 86_400.0
    ada.submit("train", {}, "cpu")
    person = ada.known()
    assert people.ends(person) == person.active + 40 * day
    assert not people.is_warned(person, person.active + 32.9 * day) and people.is_warned(person, person.active + 33.1 * day)
    assert people.expired(store, person.active + 39.9 * day) == []
    assert [theirs.person for theirs in people.expired(store, person.active + 40.1 * day)] == [ADA]
    assert people.ends(None) is None
    monkeypatch.delenv("TRANSFER_STUDIO_KEEP_DAYS")
    assert people.ends(person) is None and not people.is_warned(person, 1e12)


def test_who_comes_back_at_the_last_moment_keeps_everything(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_KEEP_DAYS", "1")
    ada = store.of(ADA)
    ada.submit("train", {}, "cpu")
    before = [replace(person, active=person.active - 10.0) for person in store.people()]
    people.keep(ada)
    monkeypatch.setattr(Store, "people", lambda _self: before)  # what the janitor had read by then
    assert people.expired(store, before[0].active + 2 * 86_400) == [] and ada.known().leaving is None


def test_the_button_keeps_it_for_the_whole_time_again(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_KEEP_DAYS", "1")
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    ada = store.of(ADA)
    ada.touch()
    now[0] += 10.0
    ada.touch()
    assert ada.known().active == 1000.0, "two signs of life within a minute are one"
    people.keep(ada)
    assert ada.known().active == 1010.0
    now[0] += 86_401.0
    assert [theirs.person for theirs in people.expired(store)] == [ADA]


def test_all_that_is_ones_own_is_really_deleted(store, hers, home):
    bo = store.of(BO)
    kept = bo.submit("train", {"recipe": {}}, "cpu")
    bo.home.image(SHA).write_bytes(b"the same picture, Bo's")
    ada = store.of(ADA)
    assert people.leave(ada)
    assert not ada.home.root.exists()
    everyone = store.everyone()
    assert [job.id for job in everyone.jobs()] == [kept.id] and not everyone.datasets() and not everyone.demos()
    assert not everyone.raw_events(hers.id) and [person.id for person in store.people()] == [BO]
    assert bo.home.image(SHA).read_bytes() == b"the same picture, Bo's"
    store.close()
    for file in home.root.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"Secret hats" not in content and ADA.encode() not in content, file


def test_what_was_deleted_or_renamed_before_is_not_left_in_the_database_either(store, home):
    ada = store.of(ADA)
    for number in range(20):
        ada.add_dataset("Cats of my street", f"x-{number}", message("app.name"), {"classes": {"Cats of my street": 1}})
        ada.rename_dataset(f"x-{number}", "Hats")
        ada.delete_dataset(f"x-{number}")
        ada.forget_dataset(f"x-{number}")
    people.leave(ada)
    store.close()
    assert not any(b"Cats of my street" in file.read_bytes() for file in home.root.glob("studio.db*"))


def test_what_somebody_else_was_still_reading_when_it_was_erased_goes_later(store, home, monkeypatch):
    """SQLite keeps the old pages in its log for whoever reads an earlier state: a backup, a viewer."""
    def left() -> bool:
        return any(b"Cats of my street" in file.read_bytes() for file in home.root.glob("studio.db*"))

    monkeypatch.setattr("transfer_core.store.people.SETTLE", 1)
    ada = store.of(ADA)
    ada.add_dataset("Cats of my street", "x-1", message("app.name"), {})
    with closing(sqlite3.connect(home.database, isolation_level=None)) as viewer:
        viewer.execute("BEGIN")
        viewer.execute("SELECT name FROM datasets").fetchall()
        assert people.leave(ada) and left()
        assert not store.settle()
        viewer.execute("COMMIT")
    assert store.settle() and not left()


def test_who_leaves_while_something_runs_is_gone_when_that_has_stopped(store, hers):
    ada = store.of(ADA)
    waits, runs = ada.submit("train", {}, "cpu"), ada.submit("explain", {}, "cpu")
    assert ada.claim(runs.id, os.getpid())
    assert not people.leave(ada) and ada.home.root.exists()
    assert ada.job(waits.id).state == "stopped" and ada.job(runs.id).stop == "discard"
    for more in (lambda: ada.submit("train", {}, "cpu"), ada.touch):
        with pytest.raises(Busy) as refused:
            more()
        assert refused.value.code == "leaving"
    assert [theirs.person for theirs in people.expired(store)] == [ADA]
    assert not people.leave(ada), "asked twice"
    ada.end(runs.id, "stopped", {}, os.getpid())
    assert people.erase(people.expired(store)[0])
    assert store.people() == [] and people.expired(store) == []
    ada.submit("train", {}, "cpu")  # and may begin anew
    assert len(ada.jobs()) == 1


def test_nobodys_work_cannot_be_deleted_as_somebodys(store):
    job = store.submit("train", {}, "cpu")
    for end in (people.leave, Store.erase):
        with pytest.raises(ValueError, match="nobody"):
            end(store)
    assert store.job(job.id) == job


def test_what_was_deleted_makes_room_after_an_hour(store, hers):
    ada, hour = store.of(ADA), 3601.0
    unused = ada.add_dataset("Caps", "caps-1", message("app.name"), {})
    for dataset in ("hats-1", "caps-1"):
        ada.home.manifest(dataset, 1).write_text("{}")
        ada.delete_dataset(dataset)
    assert people.purge(ada) == 0, "it can be taken back"
    assert people.purge(ada, time.time() + hour) == 1
    assert not (ada.home.root / "datasets" / unused.dataset).exists()
    assert (ada.home.root / "datasets" / "hats-1").exists(), "a training was made from it"
    ada.delete_job(hers.id)
    assert people.purge(ada, time.time() + hour) == 2
    assert not (ada.home.root / "runs" / hers.id).exists() and not (ada.home.root / "datasets" / "hats-1").exists()
    with pytest.raises(NotFound):
        ada.dataset("hats-1")
    store.delete_job(store.submit("train", {}, "cpu").id)
    assert people.purge(store, time.time() + hour) == 0, "on one's own machine a deletion can always be taken back"


def test_whoever_looks_after_the_studio_sees_numbers_and_no_names_of_photos(store, hers):
    from transfer_core.people import overview

    store.of(BO).introduce("Bo", "bo@example.org")
    rows = {row.person: row for row in overview.rows(store)}
    assert (rows[ADA].images, rows[ADA].live, rows[BO].email) == (3, 0, "bo@example.org")
    assert rows[ADA].bytes > 0 and "Secret" not in json.dumps([row.to_dict() for row in rows.values()])


# Backups


def test_a_backup_holds_everybodys_work_and_what_their_names_are_signed_with(store, hers, home, tmp_path_factory, monkeypatch):
    monkeypatch.delenv("TRANSFER_STUDIO_SECRET")
    signed = people.Secret.of(home).sign(ADA)
    ada = store.of(ADA)
    for folder in (ada.home.cache, ada.home.uploads):
        (folder / "left out").write_bytes(b"x")
    Manifest("hats-1", 1, (Image(SHA, "a.jpg", "hat", "train", 0, 8, 8),)).write(ada.home)
    folder, again = tmp_path_factory.mktemp("backup"), Home(tmp_path_factory.mktemp("again"))
    made = backup(home, f"sqlite:///{home.database}", folder)
    assert made.missing == [] and made.skipped == []
    restore(folder, again, f"sqlite:///{again.root / 'studio.db'}")
    assert people.Secret.of(again).sign(ADA) == signed and (again.root / "secret").stat().st_mode & 0o077 == 0
    back = Store(again).of(ADA)
    try:
        assert (back.home.run(hers.id) / "model.zip").read_bytes() == b"ada's own model"
        assert back.home.image(SHA).read_bytes() == b"ada's own picture" and back.job(hers.id).state == "finished"
        assert not (back.home.root / "cache").exists() and not (back.home.root / "uploads").exists()
    finally:
        back.close()


@pytest.mark.parametrize("path", ["people/../secret", "people/Ada/runs/x", f"people/{ADA}/cache/x", f"people/{ADA}/x",
                                  f"people/{ADA}/people/{BO}/runs/x", f"people/{ADA}/secret", "secret/x",
                                  "people/secret", "studio.db"])
def test_a_backup_puts_nothing_where_no_person_keeps_anything(path):
    assert not inside(path)


def test_a_backup_with_the_name_of_a_person_nobody_can_have_is_refused(store, hers, home, tmp_path):
    with store._write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET owner = '../../etc'")
    store.close()
    with pytest.raises(BadInput) as refused:
        tables.examine(home.database, tmp_path)
    assert refused.value.code == "backup_damaged"


def test_no_photo_of_anybody_goes_while_a_backup_is_made(store, home):
    ada = store.of(ADA)
    ada.home.image(SHA).write_bytes(b"in no dataset")
    later = time.time() + 10 * 86_400
    with holding_images(home):
        assert collect_garbage(ada.home, later) == []
    assert collect_garbage(ada.home, later) == [SHA]


# What is tidied


def stored(home: Home, name: str, size: int, used: float) -> Entry:
    entry = Shelf(home).entry(Spec(prefix=name, engine="e", preprocessing={}, view={}, shapes=((1,),), dtype="float32"))
    (entry.folder / "spec.json").write_text(json.dumps(asdict(entry.spec)))
    (entry.folder / "rows").write_bytes(b"x" * size)
    os.utime(entry.folder / "spec.json", (used, used))
    return entry


def test_the_caches_of_all_together_stay_within_one_budget_the_oldest_first(store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_CACHE_BYTES", "25000")
    homes = [store.of(person).home for person in (ADA, BO)]
    old, new = stored(homes[0], "old", 10_000, 1000.0), stored(homes[0], "new", 10_000, 3000.0)
    between = stored(homes[1], "between", 10_000, 2000.0)
    _sweep(store)
    assert not old.folder.exists() and new.folder.exists() and between.folder.exists()
    _sweep(store)
    assert new.folder.exists() and between.folder.exists()


def test_what_goes_wrong_in_one_home_keeps_nobody_elses_from_being_tidied(store, monkeypatch):
    ada, bo = store.of(ADA), store.of(BO)
    for person in (ada, bo):
        person.touch()
        person.add_dataset("Hats", f"hats-{person.person[0]}", message("app.name"), {})
        person.delete_dataset(f"hats-{person.person[0]}")
    monkeypatch.setattr(purging, "KEPT", -10.0)
    monkeypatch.setattr(Store, "deleted_datasets", lambda self, before, whole=Store.deleted_datasets: (
        whole(self, before) if self.person == ADA else 1 / 0))
    _sweep(store)
    assert len(ada.deleted_datasets(time.time() + 1)) == 0


def test_tidying_makes_no_folder_of_somebody_who_left_and_removes_empty_ones(store, home):
    ada, bo = store.of(ADA), store.of(BO)
    assert ada.home.uploads.is_dir() and ada.home.run("train-1").is_dir(), "as a page that was drawn meanwhile would"
    (bo.home.weights / "ab").write_bytes(b"of somebody this database does not know")
    _sweep(store)
    assert not ada.home.root.exists() and (bo.home.weights / "ab").is_file()


# A studio for strangers to try


def test_strangers_try_examples_and_suggested_models_only(home, store, monkeypatch):
    monkeypatch.delenv("TRANSFER_STUDIO_PEOPLE")
    monkeypatch.setenv("TRANSFER_STUDIO_MODE", "trial")
    assert people.is_hosted() and people.is_trial()
    ada = store.of(ADA)
    ada.submit("import", {"example": "leaves", "name": "Leaves"})
    ada.submit("explain", {"upload": "0" * 32}, "cpu")
    for kind, payload in (("import", {"upload": "0" * 32, "name": "x"}), ("import", {"path": "/etc", "name": "x"}),
                          ("understand", {"upload": "0" * 32}), ("import_project", {}), ("describe_weights", {})):
        with pytest.raises(BadInput) as refused:
            ada.submit(kind, payload)
        assert refused.value.code == "trial_photos", kind
    for kind in ("train", "sweep", "crossvalidate", "learning_curve"):
        with pytest.raises(BadInput) as refused:
            ada.submit(kind, {"recipe": {"model": "vit_giant_patch14_dinov2.lvd142m"}}, "cpu")
        assert refused.value.code == "trial_model"
    run = ada.submit("train", {"recipe": {"model": "tf_efficientnet_lite0.in1k"}}, "cpu")
    assert run.payload["recipe"]["minutes"] == 5
    with pytest.raises(Busy):
        ada.submit("train", {"recipe": {"model": "tf_efficientnet_lite0.in1k"}}, "cpu")
    monkeypatch.setenv("TRANSFER_STUDIO_QUOTA_RUNS", "2")
    ada.submit("train", {"recipe": {"model": "tf_efficientnet_lite0.in1k"}}, "cpu")
    store.submit("train", {"recipe": {"model": "vit_giant_patch14_dinov2.lvd142m"}}, "cpu")  # whoever runs it, in the terminal
