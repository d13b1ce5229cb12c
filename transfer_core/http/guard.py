"""One middleware in front of everything: a token against forged requests, and the headers browsers protect people by."""

from __future__ import annotations

import hmac
import os
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request, cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transfer_core.errors import BadInput
from transfer_core.http.errors import answer

COOKIE = "studio_token"
HEADER = "x-studio-token"
SHORTEST = 32
_OURS = ("/api/",)
_READING = ("GET", "HEAD", "OPTIONS")


def middleware() -> list[Middleware]:
    return [Middleware(Guard)]


def content_policy() -> str:
    """What a page may load: everything from this server, nothing from elsewhere.

    Streamlit needs inline styles and scripts, `eval` for its charts, and blob: modules for components.
    `TRANSFER_STUDIO_FRAME_ANCESTORS` says who may show the studio inside a frame (a hosting site), else only itself.
    """
    ancestors = os.environ.get("TRANSFER_STUDIO_FRAME_ANCESTORS", "'self'")
    return "; ".join((
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "media-src 'self' data: blob:",
        "connect-src 'self' ws: wss: blob: data:",
        "worker-src 'self' blob:",
        "frame-src 'self' blob: data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        f"frame-ancestors {ancestors}",
    ))


class Guard:
    """Double submit: a script of this site can read the cookie and repeat it in a header, a foreign site can do neither.

    Streamlit guards its own routes; ours are guarded here, for every method that writes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.headers = {
            "content-security-policy": content_policy(),
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin",
            "permissions-policy": "camera=(self), microphone=(), geolocation=()",
        }
        if "TRANSFER_STUDIO_FRAME_ANCESTORS" not in os.environ:
            self.headers["x-frame-options"] = "SAMEORIGIN"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Headers(scope=scope)
        token = cookie_parser(request.get("cookie", "")).get(COOKIE, "")

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
                if len(token) < SHORTEST and headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", _new_cookie(scope))
            await send(message)

        if scope["method"] not in _READING and scope["path"].startswith(_OURS) and not _agree(request, token):
            await answer(BadInput("no_token"), Request(scope))(scope, receive, guarded)
            return
        await self.app(scope, receive, guarded)


def _agree(headers: Headers, token: str) -> bool:
    if headers.get("sec-fetch-site") == "cross-site" or len(token) < SHORTEST:
        return False
    return hmac.compare_digest(token.encode(), headers.get(HEADER, "").encode())


def _new_cookie(scope: Scope) -> str:
    # Not HttpOnly: our own upload script has to read it. It opens nothing by itself.
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return f"{COOKIE}={secrets.token_urlsafe(32)}; Path=/; SameSite=Lax; Max-Age=31536000{secure}"
