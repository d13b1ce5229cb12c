"""Every request gets an id, a line in the log and a place in the statistics; by its route, not by its address.

Addresses hold what opens things: ids of demos and uploads.
"""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transfer_core import logs
from transfer_core.http import metrics

log = logging.getLogger(__name__)
HEADER = "x-request-id"
_OURS = re.compile(r"[A-Za-z0-9._-]{6,64}")
"""What a proxy in front may call a request; anything else gets a name from us."""
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"))
_QUIET = ("/thumbnails", "/images", "/heat", "/vendor", "/healthz", "/livez", "/metrics", "/static", "/_stcore", "/media")
"""Asked for all the time; logged only when somebody wants to know everything, or when they fail."""
NONE = "none"
"""The route of what has none: pages, which Streamlit answers, and addresses there is nothing at."""


class Watch:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request = given if _OURS.fullmatch(given) else secrets.token_hex(8)
        began, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request
                # Until the answer begins: a stream of events goes on for hours.
                metrics.answered(_method(scope), route_of(scope), status, time.perf_counter() - began)
            await send(message)

        with logs.about(request=request):
            try:
                await self.app(scope, receive, watched)
            except Exception:
                metrics.answered(_method(scope), route_of(scope), status, time.perf_counter() - began)
                log.exception("a request failed")
                raise
            finally:
                _write_down(scope, status, time.perf_counter() - began)


def route_of(scope: Scope) -> str:
    """Such as `/api/demos/{demo}/predict`: one of as many as there are routes."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) and path else NONE


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"


def _write_down(scope: Scope, status: int, seconds: float) -> None:
    route = route_of(scope)
    quiet = route == NONE or route.startswith(_QUIET)
    level = logging.WARNING if status >= 500 else logging.DEBUG if quiet else logging.INFO
    facts = {"method": _method(scope), "route": route, "status": status, "milliseconds": round(1000 * seconds, 1)}
    log.log(level, "%s %s → %d in %.1f ms", *facts.values(), extra={logs.FACTS: facts})
