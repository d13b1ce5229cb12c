"""One middleware in front of everything: only hosts that are ours, a token against forged requests, and the headers
browsers protect people by."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request, cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transfer_core.errors import BadInput
from transfer_core.http.errors import answer
from transfer_core.settings import settings

COOKIE = "studio_token"
HEADER = "x-studio-token"
SHORTEST = 32
_OURS = ("/api/",)
_KEYED = "/api/demos/"
"""These ask for a key, or look at the token themselves: programs and other websites have none."""
_READING = ("GET", "HEAD", "OPTIONS")


def middleware() -> list[Middleware]:
    return [Middleware(Guard)]


def content_policy() -> str:
    """What a page may load: everything from this server, nothing from elsewhere.

    WebSockets are the exception: 'self' does not cover them in every browser, and behind a proxy this server does not know
    its own address, so `ws:` and `wss:` may go anywhere.
    Streamlit needs inline styles and scripts, `eval` for its charts, and blob: modules for components.
    `TRANSFER_STUDIO_FRAME_ANCESTORS` says who may show the studio inside a frame (a hosting site), else only itself.
    """
    ancestors = settings().frame_ancestors or "'self'"
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


@dataclass(frozen=True)
class Hosts:
    """Names this server may be called by: this machine's own, and those in `TRANSFER_STUDIO_ALLOWED_HOSTS` (`*`: any).

    A foreign page can let its own name point at 127.0.0.1 (DNS rebinding); to the browser our answers are then that page's,
    and no token keeps it from reading them. The name it was called by still stands in the Host header.
    """

    names: frozenset[str]

    @classmethod
    def allowed(cls) -> Hosts:
        return cls(frozenset(settings().allowed_hosts))

    def know(self, host: str) -> bool:
        """`host`: a Host header, with or without a port."""
        if "*" in self.names:
            return True
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self.names or is_loopback(name)


def is_loopback(name: str) -> bool:
    """Whether a host name or address (IPv6 without brackets) is this machine's own: localhost, 127.0.0.0/8, ::1."""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


class Guard:
    """Double submit: a script of this site can read the cookie and repeat it in a header, a foreign site can do neither.

    Streamlit guards its own routes; ours are guarded here, for every method that writes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.hosts = Hosts.allowed()
        self.headers = {
            "content-security-policy": content_policy(),
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin",
            "permissions-policy": "camera=(self), microphone=(), geolocation=()",
        }
        if settings().frame_ancestors is None:
            self.headers["x-frame-options"] = "SAMEORIGIN"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request = Headers(scope=scope)
        known = self.hosts.know(request.get("host", ""))
        if scope["type"] == "websocket":
            if known:
                await self.app(scope, receive, send)
            else:
                await receive()  # the client's wish to connect; closing unanswered denies it (403)
                await send({"type": "websocket.close", "code": 1008})
            return
        token = cookie_parser(request.get("cookie", "")).get(COOKIE, "")

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
                if len(token) < SHORTEST and headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", _new_cookie(scope))
            await send(message)

        if not known:
            await answer(BadInput("unknown_host", host=request.get("host", "")[:100]), Request(scope))(scope, receive, guarded)
            return
        if scope["method"] not in _READING and scope["path"].startswith(_OURS) and not (
                scope["path"].startswith(_KEYED) or _agree(request, token)):
            await answer(BadInput("no_token"), Request(scope))(scope, receive, guarded)
            return
        await self.app(scope, receive, guarded)


def is_visitor(request: Request) -> bool:
    """Whether a script of this site sent it."""
    return _agree(request.headers, request.cookies.get(COOKIE, ""))


def _agree(headers: Headers, token: str) -> bool:
    if headers.get("sec-fetch-site") == "cross-site" or len(token) < SHORTEST:
        return False
    return hmac.compare_digest(token.encode(), headers.get(HEADER, "").encode())


def _new_cookie(scope: Scope) -> str:
    # Not HttpOnly: our own upload script has to read it. It opens nothing by itself.
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return f"{COOKIE}={secrets.token_urlsafe(32)}; Path=/; SameSite=Lax; Max-Age=31536000{secure}"
