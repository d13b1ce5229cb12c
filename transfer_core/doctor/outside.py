"""A studio that runs, looked at from outside, as a browser does: what proxies in front of it most often get wrong."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from transfer_core.doctor.finding import Finding

DECLARED = 1_000_000_000
"""Bytes an upload says it will have. A proxy that takes less refuses it before any of them is sent."""
LISTEN = 3.0
"""Seconds to wait for that refusal."""
_COOKIE = re.compile(r"studio_token=([^;]+)")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def code(self) -> str:
        """Of an error the studio itself told."""
        try:
            return str(json.loads(self.body)["code"])
        except (ValueError, KeyError, TypeError):
            return ""


def examine(address: str, patience: float) -> list[Finding]:
    seconds = max(1.0, patience / 6)
    try:
        place = urlsplit(address if "://" in address else f"http://{address}")
        valid = place.scheme in ("http", "https") and bool(place.hostname) and (place.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        return [Finding("page", "problem", "no_address", {"address": address})]
    said = {"address": f"{place.scheme}://{place.netloc.rpartition('@')[2]}{place.path.rstrip('/')}"}
    site = Site(place.scheme == "https", place.hostname or "", place.port, place.path.rstrip("/"), seconds)
    try:
        page = site.ask("GET", "/")
    except (OSError, http.client.HTTPException) as error:
        return [Finding("page", "problem", "unreachable", {**said, "reason": str(error) or type(error).__name__})]
    found = _page(page, said)
    if found.state != "ok":
        return [found]
    checks = (_health, _websocket, lambda site: _upload(site, page))
    return [found, *(_careful(check, site) for check in checks)]


def _careful(check, site: Site) -> Finding:
    try:
        return check(site)
    except (OSError, http.client.HTTPException) as error:
        return Finding("page", "problem", "broke_off", {"reason": str(error) or type(error).__name__})


@dataclass(frozen=True)
class Site:
    secure: bool
    host: str
    port: int | None
    prefix: str
    seconds: float

    def connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        return kind(self.host, self.port, timeout=self.seconds)

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> Answer:
        connection = self.connect()
        try:
            connection.request(method, self.prefix + path, headers={"Accept": "text/html,*/*", **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read(1_000_000) if answer.status != 101 else b"")
        finally:
            connection.close()

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}{f':{self.port}' if self.port else ''}"


def _page(page: Answer, said: dict[str, str]) -> Finding:
    told = {**said, "status": page.status, "location": page.headers.get("location", "–")}
    if page.code == "unknown_host":
        return Finding("page", "problem", "unknown_host", told)
    if page.status in (401, 403, 407):
        return Finding("page", "warning", "password", told)
    if page.status in (502, 503, 504):
        return Finding("page", "problem", "gateway", told)
    if 300 <= page.status < 400:
        return Finding("page", "warning", "redirect", told)
    if page.status != 200 or "x-request-id" not in page.headers:
        return Finding("page", "problem", "no_studio", told)
    return Finding("page", "ok", "fine", told)


def _health(site: Site) -> Finding:
    answer = site.ask("GET", "/healthz")
    try:
        parts = json.loads(answer.body)["parts"]
        failed = [name for name, state in parts.items() if state != "ok"]
    except (ValueError, KeyError, AttributeError, TypeError):
        return Finding("health", "warning", "hidden", {"status": answer.status})
    return Finding("health", "problem" if failed else "ok", "failed" if failed else "fine", {"parts": ", ".join(failed or parts)})


def _websocket(site: Site) -> Finding:
    answer = site.ask("GET", "/_stcore/stream", {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Origin": site.origin,
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), "Sec-WebSocket-Protocol": "streamlit"})
    if answer.status == 101:
        return Finding("websocket", "ok", "fine")
    return Finding("websocket", "problem", "name" if answer.status == 403 else "refused", {"status": answer.status})


def _upload(site: Site, page: Answer) -> Finding:
    """Announce a large file, and listen whether somebody refuses it. None of it is sent."""
    given = _COOKIE.search(page.headers.get("set-cookie", ""))
    token = given[1] if given else secrets.token_urlsafe(32)
    ours = {"Cookie": f"studio_token={token}", "X-Studio-Token": token}
    begun = site.ask("POST", "/api/uploads", {**ours, "Content-Length": "0"})
    said = {"status": begun.status, "gigabytes": f"{DECLARED / 1e9:g}"}
    try:
        upload = str(json.loads(begun.body)["upload"])
    except (ValueError, KeyError, TypeError):
        if begun.status in (404, 405):
            return Finding("upload", "ok", "none", said)
        return Finding("upload", "problem", "refused", said)
    connection = site.connect()
    try:
        connection.putrequest("PUT", f"{site.prefix}/api/uploads/{upload}?path=doctor")
        for name, value in {**ours, "Content-Length": str(DECLARED)}.items():
            connection.putheader(name, value)
        connection.endheaders(b"x")
        connection.sock.settimeout(min(LISTEN, site.seconds))
        answer = connection.getresponse()
        refusal = Answer(answer.status, answer.headers, answer.read(10_000))
    except (TimeoutError, ConnectionError, http.client.HTTPException):
        return Finding("upload", "ok", "fine", said)  # they wait for the rest of it
    finally:
        connection.close()
    said["status"] = refusal.status
    if refusal.code == "disk_full":
        return Finding("upload", "warning", "disk", said)
    if refusal.code == "upload_too_big":
        return Finding("upload", "ok", "limit", said)
    return Finding("upload", "problem", "too_large" if refusal.status == 413 else "refused", said)
