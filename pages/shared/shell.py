"""Around Streamlit's own answers: its first page with our look and name already in it, and the way back from signing in."""

from __future__ import annotations

import base64
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, unquote, urlsplit

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.shared import navigation
from transfer_core.errors import NotFound
from transfer_core.http.errors import page
from transfer_core.paths import assets
from transfer_core.words import say

THEIR_TITLE = b"<title>Streamlit</title>"
_NOT_ASKED = (b"if-none-match", b"if-modified-since", b"accept-encoding")
"""Whether theirs is unchanged says nothing about ours, and what is compressed cannot be added to."""
_CAME_FROM, _FOR_S, _LONGEST = "ts_came_from", 900, 2000
"""The cookie that says where somebody was who went to sign in; for how many seconds, and how many signs at most."""


def middleware() -> list[Middleware]:
    return [Middleware(BackFromSigningIn), Middleware(Shell)]


class BackFromSigningIn:
    """Who signs in or out comes back to the page they were on, and to the language they had chosen, which stands in its address.

    Streamlit sends everybody to its first page. Where one was is what the browser names as the address it comes from; over the
    provider's pages a cookie keeps it. Only the address of a page of this studio is followed, whoever wrote the cookie.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = scope["path"].rstrip("/") if scope["type"] == "http" else ""
        if not place.endswith(("/auth/login", "/auth/logout", "/oauth2callback")):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        back = place.endswith("/oauth2callback")
        way = _way_of(_kept(headers) if back else _left(headers), scope)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                leads = answer.get("location", "")
                if way and leads.startswith("/"):  # to the first page; the provider's begins with its scheme
                    answer["location"] = way
                elif way and leads:
                    answer.append("set-cookie", _cookie(scope, quote(way, safe=""), _FOR_S))
                if back and _CAME_FROM in headers.get("cookie", ""):
                    answer.append("set-cookie", _cookie(scope, "", 0))
            await send(message)

        await self.app(scope, receive, sent)


def _cookie(scope: Scope, value: str, seconds: int) -> str:
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return f"{_CAME_FROM}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}"


def _left(headers: Headers) -> str:
    """Path and query of the page that was left; empty where it was none of this server's."""
    try:
        came = urlsplit(headers.get("referer", ""))
    except ValueError:
        return ""
    same = came.scheme in ("http", "https") and came.netloc == headers.get("host")
    return f"{came.path}?{came.query}" if same else ""


def _kept(headers: Headers) -> str:
    try:
        kept = SimpleCookie(headers.get("cookie", "")).get(_CAME_FROM)
    except CookieError:
        return ""
    return unquote(kept.value) if kept else ""


def _way_of(address: str, scope: Scope) -> str:
    """The address of a page of this studio, as it is; empty for anything else."""
    path, _, query = address.partition("?")
    strange = len(address) > _LONGEST or not (address.isascii() and address.isprintable()) or "\\" in address
    if strange or not path.startswith("/") or path.startswith("//") or _way_back({**scope, "path": path}):
        return ""
    return f"{path}?{query}" if query else path


class Shell:
    """Puts the style sheet, the name and the icon into Streamlit's own first page.

    Drawn by the page's script, the style would arrive amid the page, and everything would move once it is there: a click made
    meanwhile would miss. Other pages, recognised by their title, pass as they are.

    Streamlit sends its first page whatever the address; one that leads nowhere is answered here, before a script begins: what
    Streamlit would say of it, it says in English.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        icon = base64.b64encode((assets() / "icon.svg").read_bytes()).decode()
        style = (assets() / "style.css").read_text("utf-8")
        self.ours = {
            THEIR_TITLE: f'<title>{say("app.name")}</title><link rel="icon" href="data:image/svg+xml;base64,{icon}">'.encode(),
            b"</body>": f"<style>{style}</style></body>".encode(),  # behind theirs, which go into the head: ours win
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "text/html" not in Headers(scope=scope).get("accept", ""):
            await self.app(scope, receive, send)
            return
        scope = scope | {"headers": [pair for pair in scope["headers"] if pair[0] not in _NOT_ASKED]}
        start: Message = {}
        body = b""

        async def ours(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _may_be_theirs(message):
                start = message
            elif not start:
                await send(message)
            elif message["type"] == "http.response.body":
                body += message.get("body", b"")
                if not message.get("more_body"):
                    if THEIR_TITLE in body and (way := _way_back(scope)):
                        await page(NotFound("no_page"), Request(scope), way=way)(scope, receive, send)
                        return
                    await self._answer(start, body, send)

        await self.app(scope, receive, ours)

    async def _answer(self, start: Message, body: bytes, send: Send) -> None:
        if THEIR_TITLE in body:
            for theirs, ours in self.ours.items():
                body = body.replace(theirs, ours, 1)
            headers = MutableHeaders(scope=start)
            headers["content-length"] = str(len(body))
            for name in ("etag", "last-modified"):
                if name in headers:
                    del headers[name]
        await send(start)
        await send({"type": "http.response.body", "body": body})


def _may_be_theirs(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return headers.get("content-type", "").startswith("text/html") and "content-disposition" not in headers


def _way_back(scope: Scope) -> str:
    """From an address at which there is no page, the way to the first one; nothing from a page's own. (It is said from where one
    is: a proxy may have taken off the beginning of an address.)"""
    base = (st.get_option("server.baseUrlPath") or "").strip("/")
    path = scope["path"].removeprefix(scope.get("root_path", "")).strip("/")
    rest = path.removeprefix(base).strip("/")
    return "" if rest in navigation.addresses() else "../" * rest.count("/") or "./"
