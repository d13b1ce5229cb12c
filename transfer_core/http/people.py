"""Whose request it is. Every route that gives or takes what belongs to somebody asks `Door.store`, and gets that person's store.

In a studio for many (`TRANSFER_STUDIO_PEOPLE`) a request of nobody is answered 401. Without accounts there is one person.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transfer_core.errors import BadInput, Busy
from transfer_core.http.errors import page
from transfer_core.http.limits import Limit, asker
from transfer_core.paths import Home
from transfer_core.people import COOKIE, Secret, anonymous, is_hosted, new_cookie
from transfer_core.settings import settings
from transfer_core.store import Store

log = logging.getLogger(__name__)
Identify = Callable[[Mapping[str, str]], str | None]
"""The person a request's cookies belong to; None: nobody's."""
STRANGERS = ("/demo", "/api/", "/_stcore", "/static", "/vendor")
"""Where people come who have no work here: they get no name."""


class Door:
    """Knows who somebody is by their cookies."""

    def __init__(self, store: Store, identify: Identify | None = None) -> None:
        self._store = store
        self._identify = identify or by_cookie(store.home)

    def store(self, request: Request) -> Store:
        """The store of whoever asks. Raises `BadInput("nobody")`."""
        if not is_hosted():
            return self._store.of(None)
        person = self._identify(request.cookies)
        if person is None:
            raise BadInput("nobody")
        return self._store.of(person)


def by_cookie(home: Home) -> Identify:
    """People without accounts, whom our own signed cookie names."""

    def identify(cookies: Mapping[str, str]) -> str | None:
        return anonymous(cookies.get(COOKIE, ""), Secret.of(home)) if settings().people == "anonymous" else None

    return identify


class Welcome:
    """Gives whoever opens a page a name of their own: in a studio for people without accounts, and there only.

    A name costs nothing, and each has the quotas of a person: so an address gets `new_per_hour` of them. Whom we know already
    is let in from anywhere.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._most = settings().new_per_hour
        self._new = Limit(self._most / 60, self._most)
        self._is_said = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (scope["type"] != "http" or scope["method"] != "GET" or settings().people != "anonymous"
                or scope["path"].startswith(STRANGERS)):
            await self.app(scope, receive, send)
            return
        secret = Secret.of(Home.default())
        known = anonymous(cookie_parser(Headers(scope=scope).get("cookie", "")).get(COOKIE, ""), secret)

        refused: HTMLResponse | None = None

        async def welcomed(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if message["status"] < 400 and headers.get("content-type", "").startswith("text/html"):
                    if known is None and (refused := self._refused(scope)) is not None:
                        await refused(scope, receive, send)
                        return
                    # To those we know, too: a year from now, and not from when they first came.
                    cookie = new_cookie(secret, secure=is_secure(scope), framed=_framed(), person=known)
                    headers.append("set-cookie", cookie)
                    headers["cache-control"] = "no-store"  # one name for one person
            if refused is None:
                await send(message)

        await self.app(scope, receive, welcomed)

    def _refused(self, scope: Scope) -> HTMLResponse | None:
        """What somebody new is shown where there have been too many from their address."""
        client = scope.get("client")
        try:
            self._new.take(asker(client[0] if client else None))
        except Busy as error:
            if not self._is_said:
                self._is_said = True
                log.warning("new visitors from one address are refused: more than %d in an hour. If all seem to come from one, "
                            "the proxy does not say for whom it asks (X-Forwarded-For), or is not trusted (FORWARDED_ALLOW_IPS).",
                            self._most)
            seconds = int(error.values["seconds"])
            return page(Busy("too_many_new", most=self._most, minutes=-(-seconds // 60)), Request(scope),
                        {"retry-after": str(seconds), "cache-control": "no-store"})
        return None


def is_secure(scope: Scope) -> bool:
    """Whether the browser came by https; a proxy may have taken it off."""
    return scope.get("scheme") == "https" or (settings().public_url or "").startswith("https://")


def _framed() -> bool:
    return settings().frame_ancestors is not None
