"""A foreign site can make a browser send our cookie; it cannot read it, so it cannot repeat it in a header."""

from __future__ import annotations

import os

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from transfer_core.cli.serve import app_
from transfer_core.http import middleware

HOSTS = "TRANSFER_STUDIO_ALLOWED_HOSTS"

TOKEN = "a" * 43


@pytest.mark.parametrize(("cookie", "header", "site"), [
    (None, None, None), (TOKEN, None, None), (None, TOKEN, None), (TOKEN, "b" * 43, None), ("", "", None),
    ("short", "short", None), (TOKEN, TOKEN, "cross-site"),
])
def test_writing_without_the_token_is_refused(stranger, store, cookie, header, site):
    client = stranger()
    if cookie is not None:
        client.cookies.set("studio_token", cookie)
    sent = {"X-Studio-Token": header, "Sec-Fetch-Site": site}
    for method, path in (("POST", "/api/uploads"), ("PUT", f"/api/uploads/{'0' * 32}?path=a"), ("DELETE", "/api/anything")):
        answer = client.request(method, path, headers={name: value for name, value in sent.items() if value is not None})
        assert (answer.status_code, answer.json()["code"]) == (403, "no_token")
    assert list(store.home.uploads.iterdir()) == []


def test_reading_needs_no_token(stranger):
    assert stranger().get("/livez").json() == {"status": "ok"}


def test_an_error_is_said_in_the_browsers_language(stranger):
    answer = stranger().post("/api/uploads", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert "刷新" in answer.json()["hint"]


def test_a_page_brings_a_token_once():
    client = TestClient(Starlette(routes=[Route("/", lambda _: HTMLResponse("<p>"))], middleware=middleware()),
                        base_url="http://localhost:8501")
    first = client.get("/").headers["set-cookie"]
    assert first.startswith("studio_token=")
    assert "SameSite=Lax" in first
    assert "HttpOnly" not in first
    assert "set-cookie" not in client.get("/").headers
    client.cookies.clear()
    client.cookies.set("studio_token", "too-short")
    assert "set-cookie" in client.get("/").headers, "a broken cookie is replaced, else this browser could never upload"


def test_every_answer_carries_the_headers(stranger, monkeypatch):
    answer = stranger().get("/healthz").headers
    assert "object-src 'none'" in answer["content-security-policy"]
    assert "frame-ancestors 'self'" in answer["content-security-policy"]
    assert (answer["x-content-type-options"], answer["x-frame-options"]) == ("nosniff", "SAMEORIGIN")
    monkeypatch.setenv("TRANSFER_STUDIO_FRAME_ANCESTORS", "https://host.example")
    hosted = stranger().get("/healthz").headers
    assert "frame-ancestors https://host.example" in hosted["content-security-policy"]
    assert "x-frame-options" not in hosted


@pytest.mark.parametrize(("host", "status"), [
    ("localhost", 200), ("LOCALHOST:8501", 200), ("127.0.0.1:8501", 200), ("127.9.9.9", 200), ("[::1]:8501", 200),
    ("evil.example:8501", 400), ("localhost.evil.example", 400), ("127.0.0.1.evil.example", 400), ("192.168.0.5", 400),
    ("evil.example@localhost.x", 400), ("[::1", 400), ("", 400),
])
def test_a_name_that_points_at_this_machine_is_not_ours(stranger, host, status):
    """DNS rebinding: a foreign page lets its own name point at 127.0.0.1."""
    answer = stranger().get("/healthz", headers={"Host": host})
    assert answer.status_code == status
    if status == 400:
        assert (answer.json()["code"], "localhost" in answer.json()["hint"]) == ("unknown_host", True)


def test_names_can_be_allowed(stranger, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_ALLOWED_HOSTS", "photos.example, Other.example")
    told = {host: stranger().get("/healthz", headers={"Host": host}).status_code
            for host in ("photos.example", "other.example:80", "localhost", "evil.example")}
    assert told == {"photos.example": 200, "other.example:80": 200, "localhost": 200, "evil.example": 400}
    monkeypatch.setenv("TRANSFER_STUDIO_ALLOWED_HOSTS", "*")
    assert stranger().get("/healthz", headers={"Host": "evil.example"}).status_code == 200


def test_a_websocket_of_an_unknown_name_is_not_opened():
    async def hello(socket):
        await socket.accept()
        await socket.send_text("hello")
        await socket.close()

    client = TestClient(Starlette(routes=[WebSocketRoute("/live", hello)], middleware=middleware()))
    with client.websocket_connect("/live", headers={"Host": "localhost:8501"}) as socket:
        assert socket.receive_text() == "hello"
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/live", headers={"Host": "evil.example"}):
        pass


@pytest.mark.parametrize(("host", "before", "after"), [
    ("127.0.0.1", None, None), ("0.0.0.0", None, "*"), ("0.0.0.0", "photos.example", "photos.example"), ("::1", None, None),
])
def test_who_opens_the_studio_to_a_network_is_not_refused_there(monkeypatch, host, before, after):
    monkeypatch.setattr(os, "environ", {} if before is None else {HOSTS: before})
    monkeypatch.setattr(os, "execv", lambda *_: None)
    app_(host=host)
    assert os.environ.get(HOSTS) == after
