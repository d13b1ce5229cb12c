"""The page a browser loads first, before any script of ours has run: Streamlit's, with our look and name already in it."""

from __future__ import annotations

import base64

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


def middleware() -> Middleware:
    return Middleware(Shell)


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
