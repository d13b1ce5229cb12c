"""A `StudioError` as an answer: `{"error": what happened, "hint": what to do, "code": its name}` in the reader's language."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from transfer_core.errors import Busy, NotFound, StudioError, Unavailable
from transfer_core.words import FALLBACK, languages, say

_STATUS = {"upload_too_big": 413, "upload_too_many": 413, "disk_full": 507, "database_disk_full": 507, "no_token": 403,
           "no_key": 401, "nobody": 401, "wrong_key": 403, "body_too_big": 413, "photo_too_big": 413, "too_many_photos": 413,
           "bad_body_type": 415, "wrong_method": 405, "too_often": 429, "too_many_new": 429, "too_many_streams": 429,
           "too_many_uploads": 429, "queue_full": 503, "quota_bytes": 413}
_FAMILY = {NotFound: 404, Busy: 409, Unavailable: 503}
_PAGE = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title><style>:root {{ color-scheme: light dark }} body {{ font: 1.05rem/1.6 system-ui, sans-serif;
max-width: 34rem; margin: 12vh auto; padding: 0 1.25rem }} h1 {{ font-size: 1.1rem; opacity: .75 }}
a {{ color: inherit }}</style></head>
<body><h1>{name}</h1><p><strong>{text}</strong></p><p>{hint}</p>{link}</body></html>
"""


def language(request: Request) -> str:
    """The first language of the browser's list that we speak."""
    for wish in request.headers.get("accept-language", "").split(","):
        code = wish.split(";")[0].strip().split("-")[0].lower()
        if code in languages():
            return code
    return FALLBACK


def answer(error: StudioError, request: Request) -> JSONResponse:
    said = language(request)
    return JSONResponse({"error": error.message(said), "hint": error.hint(said), "code": error.code}, _status(error))


def page(error: StudioError, request: Request, headers: Mapping[str, str] | None = None, way: str = "") -> HTMLResponse:
    """The same as a page, for who looks for one: without script, and without a style of ours that could be missing. `way`: an
    address to go on to, the words for it being `app.to_front`."""
    said = wish if (wish := request.query_params.get("lang")) in languages() else language(request)
    link = f'<p><a href="{escape(way)}">{escape(say("app.to_front", said))}</a></p>' if way else ""
    return HTMLResponse(_PAGE.format(language=said, name=escape(say("app.name", said)), text=escape(error.message(said)),
                                     hint=escape(error.hint(said)), link=link), _status(error), headers)


def _status(error: StudioError) -> int:
    return _STATUS.get(error.code) or next((code for kind, code in _FAMILY.items() if isinstance(error, kind)), 400)


def plainly(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Answer a `StudioError` of this endpoint as JSON. (`st.App` takes routes, so each route brings its own.)"""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except StudioError as error:
            return answer(error, request)

    return answered
