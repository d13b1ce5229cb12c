"""A `StudioError` as an answer: `{"error": what happened, "hint": what to do, "code": its name}` in the reader's language."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from transfer_core.errors import Busy, NotFound, StudioError, Unavailable
from transfer_core.words import FALLBACK, languages

_STATUS = {"upload_too_big": 413, "upload_too_many": 413, "disk_full": 507, "database_disk_full": 507, "no_token": 403,
           "no_key": 401, "nobody": 401, "wrong_key": 403, "body_too_big": 413, "photo_too_big": 413, "too_many_photos": 413,
           "bad_body_type": 415, "wrong_method": 405, "too_often": 429, "queue_full": 503, "quota_bytes": 413}
_FAMILY = {NotFound: 404, Busy: 409, Unavailable: 503}


def language(request: Request) -> str:
    """The first language of the browser's list that we speak."""
    for wish in request.headers.get("accept-language", "").split(","):
        code = wish.split(";")[0].strip().split("-")[0].lower()
        if code in languages():
            return code
    return FALLBACK


def answer(error: StudioError, request: Request) -> JSONResponse:
    status = _STATUS.get(error.code) or next((code for kind, code in _FAMILY.items() if isinstance(error, kind)), 400)
    said = language(request)
    return JSONResponse({"error": error.message(said), "hint": error.hint(said), "code": error.code}, status)


def plainly(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Answer a `StudioError` of this endpoint as JSON. (`st.App` takes routes, so each route brings its own.)"""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except StudioError as error:
            return answer(error, request)

    return answered
