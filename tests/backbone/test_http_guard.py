"""A foreign site can make a browser send our cookie; it cannot read it, so it cannot repeat it in a header."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from transfer_core.http import middleware

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
    assert stranger().get("/healthz").json() == {"status": "ok"}


def test_an_error_is_said_in_the_browsers_language(stranger):
    answer = stranger().post("/api/uploads", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert "刷新" in answer.json()["hint"]


def test_a_page_brings_a_token_once():
    client = TestClient(Starlette(routes=[Route("/", lambda _: HTMLResponse("<p>"))], middleware=middleware()))
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
