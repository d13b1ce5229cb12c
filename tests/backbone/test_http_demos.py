"""The API of a published model, asked as programs, visitors and strangers would."""

from __future__ import annotations

import asyncio
import base64
import io
import os
from contextlib import ExitStack

import httpx
import pytest
import stories
from PIL import Image
from starlette.applications import Starlette
from starlette.routing import Route

from transfer_core import demos
from transfer_core.errors import Busy
from transfer_core.http import demos as desk
from transfer_core.http import photos
from transfer_core.http.limits import KNOWN, Guesses, Limit, asker
from transfer_core.predicting.process import Died, PredictorProcess, shared


@pytest.fixture(scope="module", autouse=True)
def _closed():
    yield
    shared.close()


@pytest.fixture
def published(store):
    stories.dataset(store)
    return demos.publish(store, stories.finished(store))


def picture(color: str, kind: str = "PNG", size: tuple[int, int] = (32, 24)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind)
    return file.getvalue()


@pytest.fixture
def ask(stranger, published):
    """Ask as a program with the key."""
    demo, key = published

    def send(headers: dict | None = None, **body):
        given = {"Authorization": f"Bearer {key}"} if headers is None else headers
        return stranger().post(f"/api/demos/{demo.id}/predict", headers=given, **body)

    return send


RED = {"probabilities": dict(zip(stories.CLASSES, stories.share(1, 0, 0), strict=True)), "label": "red", "none_of_these": None}


def test_a_form_json_and_a_bare_photo_get_the_same_answer(ask, store, published):
    coded = base64.b64encode(picture("red")).decode()
    answers = [
        ask(files={"image": ("a.png", picture("red"))}),
        ask(json={"image": coded}),
        ask(json={"images": [f"data:image/png;base64,{coded}"]}),
        ask(json={"images": [{"name": "a.png", "data": coded}]}),
        ask(content=picture("red"), headers={"X-API-Key": published[1], "Content-Type": "image/png"}),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        [row] = answer.json()["predictions"]
        assert row["label"] == "red"
        assert row["probabilities"] == pytest.approx(RED["probabilities"], abs=1e-5)
    assert [answer.json()["predictions"][0]["file"] for answer in answers] == ["a.png", "1", "1", "a.png", "photo"]
    assert store.demo(published[0].id).answers == 5


def test_many_photos_are_answered_in_order_and_a_bad_one_is_an_answer(ask):
    files = [("image", ("1.png", picture("red"))), ("image", ("note.txt", b"no picture")), ("image", ("3.png", picture("blue")))]
    rows = ask(files=files).json()["predictions"]
    assert [row["file"] for row in rows] == ["1.png", "note.txt", "3.png"]
    assert [row.get("label") for row in rows] == ["red", None, "<b>blue</b>"]
    assert set(rows[1]) == {"file", "error", "hint"} and rows[1]["hint"]


@pytest.mark.parametrize(("headers", "status", "code"), [
    ({}, 401, "no_key"), ({"Authorization": "Bearer ts_wrong"}, 403, "wrong_key"), ({"X-API-Key": "é"}, 403, "wrong_key"),
    ({"Authorization": "Basic abc"}, 401, "no_key"),
])
def test_without_its_key_nobody_asks(ask, headers, status, code, store, published):
    answer = ask(files={"image": picture("red")}, headers={name: value.encode("latin-1") for name, value in headers.items()})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert store.demo(published[0].id).answers == 0


def test_a_key_opens_its_own_demo_only(stranger, store, published):
    other, _ = demos.publish(store, store.jobs("train")[0])
    answer = stranger().post(f"/api/demos/{other.id}/predict", headers={"Authorization": f"Bearer {published[1]}"},
                             files={"image": picture("red")})
    assert answer.status_code == 403


def test_a_visitor_of_the_page_needs_no_key_but_a_foreign_site_does(visitor, published):
    demo, _ = published
    assert visitor().post(f"/api/demos/{demo.id}/predict", files={"image": picture("red")}).status_code == 200
    foreign = visitor().post(f"/api/demos/{demo.id}/predict", files={"image": picture("red")},
                             headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 401


def test_other_websites_may_ask_with_a_key(stranger, ask, published):
    answer = stranger().options(f"/api/demos/{published[0].id}/predict", headers={
        "Origin": "https://example.org", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization"})
    assert answer.status_code == 204 and answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert ask(files={"image": picture("red")}).headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(("body", "status", "code"), [
    ({"files": {"image": b""}}, 400, "no_photos"),
    ({"data": {"image": "text"}}, 415, "bad_body_type"),
    ({"json": {}}, 400, "no_photos"),
    ({"json": []}, 400, "no_photos"),
    ({"json": {"images": "x"}}, 400, "no_photos"),
    ({"json": {"images": [1]}}, 400, "bad_body"),
    ({"json": {"image": "not base64!"}}, 400, "bad_base64"),
    ({"json": {"images": [""] * 17}}, 413, "too_many_photos"),
    ({"files": [("image", (f"{number}.png", b"x")) for number in range(17)]}, 413, "too_many_photos"),
])
def test_bodies_that_hold_no_photos_are_told_what_to_send(ask, body, status, code):
    answer = ask(**body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["hint"]


@pytest.mark.parametrize(("kind", "content"), [
    ("application/json", b"{"), ("application/json", b"[" * 100_000), ("application/json", b"\xff\xfe"),
    ("multipart/form-data", b"no boundary"), ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
    ("text/html", b"<html>"), ("", b"?"), ("application/x-www-form-urlencoded", b"a=b"),
])
def test_broken_bodies_are_refused_and_not_a_crash(ask, published, kind, content):
    answer = ask(content=content, headers={"X-API-Key": published[1], "Content-Type": kind})
    assert answer.status_code in (400, 415) and answer.json()["hint"]


def test_a_form_that_breaks_off_is_not_answered_in_part(ask, published):
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + picture("red") + b"\r\n"
    headers = {"X-API-Key": published[1], "Content-Type": "multipart/form-data; boundary=x"}
    answer = ask(content=part + part[:-40], headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "body_cut_off") and answer.json()["hint"]
    assert len(ask(content=part + part + b"--x--\r\n", headers=headers).json()["predictions"]) == 2


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_another_method_is_told_which_one(stranger, published, method):
    answer = stranger().request(method, f"/api/demos/{published[0].id}/predict", headers={"Accept-Language": "zh"})
    assert (answer.status_code, answer.json()["code"], answer.headers["allow"]) == (405, "wrong_method", "POST, OPTIONS")
    assert "POST" in answer.json()["error"] and "照片" in answer.json()["error"]


def test_classes_of_any_name_come_back_as_they_are(stranger, store, monkeypatch):
    strange = ["🍎 中文 a/b .. CON", "=1+1 | $x$ <b>&amp;</b> \"'` __proto__", "שלום \u202eabc\n\t e\u0301 " + "L" * 200]
    monkeypatch.setattr(stories, "CLASSES", strange)
    stories.dataset(store)
    demo, key = demos.publish(store, stories.finished(store), title=strange[0])
    client = stranger()
    assert client.get(f"/api/demos/{demo.id}").json()["classes"] == strange
    answer = client.post(f"/api/demos/{demo.id}/predict", headers={"X-API-Key": key},
                         files={"image": ("=1\u202e.png", picture("blue"))})
    [row] = answer.json()["predictions"]
    assert list(row["probabilities"]) == strange and row["label"] == strange[2] and row["file"] == "=1\u202e.png"


def test_what_is_too_large_is_refused_whatever_was_declared(ask, published, monkeypatch):
    monkeypatch.setattr(photos, "WHOLE", 2000)
    monkeypatch.setattr(photos, "LARGEST", 1000)
    keyed = {"X-API-Key": published[1]}
    assert ask(files={"image": bytes(1500)}).json()["code"] == "photo_too_big"
    assert ask(content=bytes(3000), headers={**keyed, "Content-Type": "image/png"}).json()["code"] == "body_too_big"
    chunks = (bytes(500) for _ in range(10))  # no length declared
    assert ask(content=chunks, headers={**keyed, "Content-Type": "image/png"}).json()["code"] == "body_too_big"
    form = b"--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n" + bytes(5000) + b"\r\n--x--\r\n"
    chunks = (form[start:start + 500] for start in range(0, len(form), 500))
    answer = ask(content=chunks, headers={**keyed, "Content-Type": "multipart/form-data; boundary=x"})
    assert answer.json()["code"] == "body_too_big"


def test_an_unknown_or_withdrawn_demo_is_told_so(stranger, store, published):
    demo, key = published
    demos.unpublish(store, demo.id)
    for name in (demo.id, "%2e%2e", "x" * 300):
        asked = stranger()
        assert asked.get(f"/api/demos/{name}").status_code == 404
        answer = asked.post(f"/api/demos/{name}/predict", headers={"Authorization": f"Bearer {key}"}, files={"image": b"x"})
        assert answer.status_code == 404


def test_what_it_is_and_what_it_is_not_told(stranger, published):
    demo, _ = published
    told = stranger().get(f"/api/demos/{demo.id}").json()
    assert told["classes"] == stories.CLASSES and told["measured"]["n"] == 18 and told["title"] == "Colours [a]"
    assert demo.run not in str(told) and demo.key not in str(told), "neither the run nor the key's hash are anybody's business"


def test_errors_are_said_in_the_asker_s_language(stranger, published):
    said = stranger().post(f"/api/demos/{published[0].id}/predict", headers={"Accept-Language": "zh"}).json()
    assert "密钥" in said["error"]


def test_who_asks_too_often_is_told_how_long_to_wait(stranger, published, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_API_PER_MINUTE", "2")
    demo, key = published
    client = stranger()
    answers = [client.post(f"/api/demos/{demo.id}/predict", headers={"X-API-Key": key}, files={"image": picture("red")})
               for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 30 and answers[-1].json()["hint"]


def test_a_bucket_is_everybody_s_own():
    limit = Limit(60, burst=2, now=lambda: 0.0)
    limit.take("a", 2)
    with pytest.raises(Busy) as error:
        limit.take("a", 2)
    assert error.value.values == {"seconds": 2}
    limit.take("b")  # everybody has a bucket of their own


def test_a_full_bucket_fills_again():
    now = [0.0]
    limit = Limit(60, burst=3, now=lambda: now[0])
    limit.take("a", 3)
    now[0] = 2.0
    limit.take("a", 2)
    now[0] = 1000.0
    limit.take("a", 3)  # never more than the burst
    with pytest.raises(Exception, match="seconds"):
        limit.take("a")


def test_a_visitor_with_a_network_of_addresses_is_one_asker():
    assert asker("2001:db8:1:2:aaaa::1") == asker("2001:db8:1:2::9%eth0") != asker("2001:db8:1:3::9")
    assert asker("::ffff:10.0.0.1") == asker("10.0.0.1") != asker("10.0.0.2")
    assert (asker(None), asker("testclient")) == ("", "testclient")


def test_who_guesses_waits_longer_and_longer_and_keeps_nobody_out():
    now = [0.0]
    guesses = Guesses(now=lambda: now[0])
    looked_at = 0
    while now[0] < 3600:  # one after the other, for an hour
        now[0] += guesses.begin("guesser")
        looked_at += 1
    assert looked_at <= 11 * 60
    at_once = [guesses.begin("guesser") for _ in range(10_000)]
    assert max(at_once) == Guesses.MOST, "who knows the key is let in after a minute even from there"
    assert sum(wait < Guesses.MOST for wait in at_once) < 40
    assert 0 < guesses.begin("somebody else") <= Guesses.MOST_ANYWHERE
    now[0] += 3 * 3600
    assert guesses.begin("somebody") == 0.0
    for number in range(2 * KNOWN):
        guesses.begin(str(number))
    assert len(guesses._tries) == KNOWN


def test_a_class_behind_one_address_can_ask_and_one_of_them_not_for_all(visitor, published, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_DEMO_PER_MINUTE", "2")
    monkeypatch.setattr(desk.Desk, "_ask", lambda _desk, _demo, _folder, names: [
        {"file": name, "label": "red", "none_of_these": None, "probabilities": [1.0, 0.0, 0.0]} for name in names])
    client, statuses = visitor(), []
    for pupil in range(12):
        client.cookies.set("studio_token", f"{pupil:040}")
        statuses.append([client.post(f"/api/demos/{published[0].id}/predict", files={"image": picture("red")},
                                     headers={"x-studio-token": f"{pupil:040}"}).status_code for _ in range(3)])
    assert statuses[:10] == [[200, 200, 429]] * 10
    assert statuses[-1] == [429] * 3, "names cost nothing: the address has a limit, too"


class Dying(PredictorProcess):
    """Dies at its first question, and at every one about the bad photo alone."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def ask(self, task, news=None, **what):
        self.asked += 1
        if self.asked == 1 or what["names"] == ["bad.png"]:
            raise Died(-11)
        return [{"file": name, "label": "red", "none_of_these": None, "probabilities": [1.0, 0.0, 0.0]} for name in what["names"]]


def test_a_photo_that_ends_the_process_is_an_answer_and_the_others_go_on(store, published, tmp_path):
    """The first question dies; asked one by one, only the bad photo is to blame."""
    rows = desk.Desk(store, Dying())._ask(published[0], tmp_path, ["a.png", "bad.png"])
    assert rows[0]["label"] == "red" and rows[1]["error"]["key"] == "errors.photo_crashes.text"


def test_when_too_many_wait_the_next_is_asked_to_come_again(store, published, in_a_loop, monkeypatch):
    """One place and two who may wait: the fourth is told so at once, and the others are answered."""
    monkeypatch.setattr(desk, "AT_ONCE", 1)
    monkeypatch.setattr(desk, "WAITING", 2)
    demo, key = published

    async def ask_all() -> list[httpx.Response]:
        loop, go, made = asyncio.get_running_loop(), asyncio.Event(), desk.Desk(store, shared)

        def held(*_given):
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result()
            return [{"file": "x", "label": "red", "none_of_these": None, "probabilities": [1.0, 0.0, 0.0]}]

        made._ask = held
        app = Starlette(routes=[Route("/api/demos/{demo}/predict", desk.openly(made.predict), methods=["POST"])])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            sent = {"url": f"/api/demos/{demo.id}/predict", "content": picture("red"),
                    "headers": {"X-API-Key": key, "Content-Type": "image/png"}}
            waiting = [asyncio.create_task(client.post(**sent)) for _ in range(3)]
            while len(made._inside) < 3:
                await asyncio.sleep(0)
            refused = await client.post(**sent)
            go.set()
            return [refused, *await asyncio.gather(*waiting)]

    refused, *others = in_a_loop(ask_all())
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "queue_full", "3")
    assert [each.status_code for each in others] == [200] * 3


def test_who_waited_in_vain_is_asked_to_come_again(store, published, in_a_loop, monkeypatch, tmp_path):
    monkeypatch.setattr(desk, "LONGEST", 0.0)

    async def wait() -> None:
        made = desk.Desk(store, shared)
        for _ in range(desk.AT_ONCE):
            await made._places.acquire()
        await made._answered(published[0], tmp_path, ["a.png"])

    with pytest.raises(Busy) as error:
        in_a_loop(wait())
    assert error.value.code == "queue_full" and error.value.values["seconds"] == 5


def test_the_numbers_for_whoever_runs_the_server(stranger, ask, monkeypatch):
    ask(files={"image": picture("red")})
    client = stranger()
    monkeypatch.setenv("TRANSFER_STUDIO_METRICS_KEY", "secret")
    assert client.get("/metrics").status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 403
    told = client.get("/metrics", headers={"Authorization": "Bearer secret"}).text
    assert 'transfer_studio_demo_photos_total{outcome="answered"}' in told
    assert "transfer_studio_demos 1.0" in told and "transfer_studio_demo_seconds_bucket" in told
    monkeypatch.delenv("TRANSFER_STUDIO_METRICS_KEY")
    assert client.get("/metrics").status_code == 403, "a test client is called “testclient”, which is not this machine"


def test_one_address_cannot_take_all_the_places(store, published, monkeypatch):
    made = desk.Desk(store, shared)

    class From:
        def __init__(self, host: str) -> None:
            self.client = type("Client", (), {"host": host})

    with ExitStack() as held:
        for _ in range(desk.EACH):
            held.enter_context(made._counted(From("1.1.1.1")))
        with pytest.raises(Busy), made._counted(From("1.1.1.1")):
            pass
        with made._counted(From("2.2.2.2")):
            assert len(made._inside) == desk.EACH + 1
    assert made._inside == []


def test_a_body_of_brackets_is_refused_before_it_is_read(ask, published):
    answer = ask(content=b'{"image": [' + b"[]," * 200_000 + b"[]]}", headers={
        "X-API-Key": published[1], "Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_body")


def test_nothing_of_what_was_asked_stays(ask, store):
    assert ask(files={"image": picture("red")}).status_code == 200
    assert list((store.home.root / "asked").iterdir()) == []
    left = store.home.root / "asked" / "left"
    left.mkdir()
    os.utime(left, (1, 1))
    assert ask(files={"image": picture("red")}).status_code == 200
    assert not left.exists(), "what a killed server left is swept away"


def test_more_photos_at_once_than_a_minute_allows_can_never_succeed_and_says_so(ask, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_API_PER_MINUTE", "2")
    answer = ask(files=[("image", (f"{number}.png", picture("red"))) for number in range(3)])
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_photos")


def test_none_a_minute_means_none(ask, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_API_PER_MINUTE", "0")
    assert ask(files={"image": picture("red")}).status_code in (413, 429)


def test_a_studio_for_strangers_has_no_route_but_a_demo_s(stranger, published, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_MODE", "demos")
    client, (demo, key) = stranger(), published
    assert client.get(f"/api/demos/{demo.id}").status_code == 200
    answer = client.post(f"/api/demos/{demo.id}/predict", headers={"X-API-Key": key}, files={"image": picture("red")})
    assert answer.status_code == 200 and client.get("/healthz").status_code == 200
    for path in (f"/files/{demo.run}/model.onnx", f"/images/{'0' * 64}", "/api/uploads/x", f"/api/jobs/{demo.run}/events"):
        assert "code" not in client.get(path).text, "not even an error of ours: there is no such route"
        assert client.get(path).status_code == 404
