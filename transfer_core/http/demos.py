"""Published models: what there is to know of one, and its answers, for programs with a key and for visitors of its page.

    GET  /api/demos/{id}                 title, classes, measured accuracy, limits
    POST /api/demos/{id}/predict         photos in, classes and probabilities out
    GET  /api/demos/{id}/examples/{n}    an example photo
    GET  /api/openapi.json               all of this as a document for programs
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from transfer_core import demos
from transfer_core.errors import BadImage, BadInput, Busy, NotFound, StudioError, Unavailable
from transfer_core.http import metrics, photos
from transfer_core.http.errors import answer, language, plainly
from transfer_core.http.guard import COOKIE, is_visitor
from transfer_core.http.limits import Limit, asker
from transfer_core.http.openapi import document
from transfer_core.http.uploads import RESERVE
from transfer_core.predicting.folder import row_of
from transfer_core.predicting.process import Died, PredictorProcess, shared
from transfer_core.predictor import refused
from transfer_core.settings import settings
from transfer_core.store import Demo, Store
from transfer_core.words import Message

AT_ONCE = 4
"""Requests that are answered at the same time; the predictor itself takes two photos at once."""
WAITING = 120
"""Requests that may be under way besides, sending or waiting for their turn. Who comes then is asked to come again."""
EACH = 40
"""Of these, from one address: a class that asks all at once, and no more, for who opens many and sends slowly must not keep the
others out."""
CLASS = 10
"""Times as many photos a minute may come from one address as from one visitor: many sit behind one (a school, a company)."""
SENDING, LONGEST = 20.0, 60.0
"""Seconds a body may take to arrive, and a request may wait for its turn."""
LEFTOVER = 3600.0
"""Seconds after which a body that nobody waits for any more is swept away."""
CORS = {"access-control-allow-origin": "*", "access-control-allow-headers": "authorization, content-type, x-api-key",
        "access-control-allow-methods": "GET, POST, OPTIONS", "access-control-max-age": "86400"}
"""Any website may ask with a key. A visitor's cookie is never sent along to an address that answers `*`."""


def routes(store: Store, process: PredictorProcess = shared) -> list[BaseRoute]:
    desk = Desk(store, process)
    return [
        Route("/api/openapi.json", _document, methods=["GET"]),
        Route("/api/demos/{demo}", openly(desk.about), methods=["GET", "OPTIONS"]),
        Route("/api/demos/{demo}/predict", openly(desk.predict), methods=["POST", "OPTIONS"]),
        Route("/api/demos/{demo}/predict", openly(_photos_wanted), methods=["GET", "PUT", "PATCH", "DELETE"]),
        Route("/api/demos/{demo}/examples/{number:int}", plainly(desk.example), methods=["GET"]),
    ]


def openly(endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """As `plainly`, for other websites, too; and with the seconds to wait, where waiting helps."""

    async def answered(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=CORS)
        try:
            response = await endpoint(request)
        except StudioError as error:
            response = answer(error, request)
            if isinstance(error, Busy):
                response.headers["retry-after"] = str(error.values.get("seconds", 1))
        response.headers.update(CORS)
        return response

    return answered


class Desk:
    """Answers for all demos. One in each web process."""

    def __init__(self, store: Store, process: PredictorProcess) -> None:
        self.store, self.process = store.everyone(), process  # whose demo it is does not matter to who has its link
        self._places, self._inside = asyncio.Semaphore(AT_ONCE), list[str]()
        # 30 photos a minute are more than a person drops; 300 a minute are one core's work. What tells visitors apart is a
        # cookie, which costs nothing: so their addresses have a limit, too.
        self._visitors = Limit(settings().demo_per_minute)
        self._addresses = Limit(settings().demo_per_minute * CLASS)
        self._keys = Limit(settings().api_per_minute)

    async def about(self, request: Request) -> Response:
        demo = await self._find(request)
        return JSONResponse(described(demo), headers={"cache-control": "no-cache"})

    async def example(self, request: Request) -> Response:
        demo, number = await self._find(request), request.path_params["number"]
        files = await run_in_threadpool(demos.examples, self.store.home.of(demo.owner), demo)
        if number >= len(files) or not files[number].is_file():
            raise NotFound("no_file", file=str(number))
        return FileResponse(files[number], media_type="image/webp", headers={"cache-control": "private, no-cache"})

    async def predict(self, request: Request) -> Response:
        demo = await self._find(request)
        limits = self._admitted(request, demo)
        for limit, who in limits:
            limit.take(who)
        with metrics.answering(), self._counted(request), tempfile.TemporaryDirectory(dir=self._folder()) as place:
            try:
                async with asyncio.timeout(SENDING):
                    names = await photos.receive(request, Path(place))
                for limit, who in limits:
                    limit.take(who, len(names) - 1, already=1)
                rows = await self._answered(demo, Path(place), names)
            except ClientDisconnect:
                return Response(status_code=499)
            except TimeoutError:
                raise Unavailable("answer_took_too_long", seconds=round(SENDING)) from None
        good = sum("label" in row for row in rows)
        metrics.photos_answered.labels("answered").inc(good)
        metrics.photos_answered.labels("refused").inc(len(rows) - good)
        if good:
            await run_in_threadpool(self.store.count_demo, demo.id, answers=good)
        said = language(request)
        return JSONResponse({"model": demo.id, "predictions": [told(row, demo.facts["classes"], said) for row in rows]})

    async def _answered(self, demo: Demo, folder: Path, names: list[str]) -> list[dict[str, Any]]:
        try:
            async with asyncio.timeout(LONGEST):
                await self._places.acquire()
        except TimeoutError:  # others are slow, not this one's line: coming again helps
            raise Busy("queue_full", waiting=len(self._inside), seconds=5) from None
        try:  # no time limit on the work itself: a thread cannot be ended, and its place would be given away meanwhile
            return await run_in_threadpool(self._ask, demo, folder, names)
        finally:
            self._places.release()

    def _folder(self) -> Path:
        """Where bodies lie until they are answered. What a killed server left there is swept away."""
        folder = self.store.home.root / "asked"
        folder.mkdir(exist_ok=True)
        if shutil.disk_usage(folder).free < RESERVE:
            raise Unavailable("disk_full", folder=self.store.home.root.name)  # strangers need not know where
        old = time.time() - LEFTOVER
        for left in folder.iterdir():
            with suppress(OSError):
                if left.stat().st_mtime < old:
                    shutil.rmtree(left, ignore_errors=True)
        return folder

    async def _find(self, request: Request) -> Demo:
        return await run_in_threadpool(self.store.demo, request.path_params["demo"])

    def _admitted(self, request: Request, demo: Demo) -> list[tuple[Limit, str]]:
        """Which limits hold, and for whom. Raises `BadInput` for a request with neither the key nor the page's token."""
        key = _key(request)
        if key:
            if not demo.opens(key):
                raise BadInput("wrong_key")
            return [(self._keys, demo.id)]
        if not is_visitor(request):
            raise BadInput("no_key")
        visitor = sha256(request.cookies[COOKIE].encode()).hexdigest()  # as long as a cookie may be, and remembered
        return [(self._visitors, f"{demo.id} {visitor}"), (self._addresses, f"{demo.id} {_address(request)}")]

    @contextmanager
    def _counted(self, request: Request) -> Iterator[None]:
        """One more that is received or waits. Raises `Busy` when there are too many, of all or of one address."""
        address = _address(request)
        if len(self._inside) >= AT_ONCE + WAITING or self._inside.count(address) >= EACH:
            raise Busy("queue_full", waiting=len(self._inside), seconds=3)
        self._inside.append(address)
        try:
            yield
        finally:
            self._inside.remove(address)

    def _ask(self, demo: Demo, folder: Path, names: list[str]) -> list[dict[str, Any]]:
        """Rows as `predicting.folder.row_of` gives them. A photo that ends the process that looks at it is an answer, too."""
        model = str(self.store.home.of(demo.owner).demo(demo.id) / demos.MODEL)
        files = [str(folder / str(number)) for number in range(len(names))]
        try:
            return self.process.ask("photos", model=model, files=files, names=names)
        except Died:
            # The shared process may have died of somebody else's photo: once more, one by one.
            return [self._ask_alone(model, file, name) for file, name in zip(files, names, strict=True)]

    def _ask_alone(self, model: str, file: str, name: str) -> dict[str, Any]:
        try:
            return self.process.ask("photos", model=model, files=[file], names=[name])[0]
        except Died:
            return row_of(refused(name, BadImage("photo_crashes")))


def described(demo: Demo) -> dict[str, Any]:
    facts = demo.facts
    return {"id": demo.id, "title": demo.title, "description": demo.description, "classes": facts["classes"],
            "measured": facts["measured"], "base_model": facts["model"], "created": demo.created,
            "examples": [f"/api/demos/{demo.id}/examples/{number}" for number in range(len(facts.get("examples", ())))],
            "limits": {"photos": photos.MOST, "photo_bytes": photos.LARGEST, "body_bytes": photos.WHOLE}}


def told(row: dict[str, Any], classes: list[str], said: str) -> dict[str, Any]:
    if "error" in row:
        hint = Message(**row["hint"]).say(said) if row["hint"] else ""
        return {"file": row["file"], "error": Message(**row["error"]).say(said), "hint": hint}
    return {"file": row["file"], "label": row["label"], "none_of_these": row["none_of_these"],
            "probabilities": dict(zip(classes, row["probabilities"], strict=True))}


def _address(request: Request) -> str:
    return asker(request.client.host if request.client else None)


def _key(request: Request) -> str:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")


async def _photos_wanted(request: Request) -> Response:
    """Whoever opens the address in a browser is told what it is for, and not shown the studio's front page."""
    response = answer(BadInput("wrong_method", given=request.method), request)
    response.headers["allow"] = "POST, OPTIONS"
    return response


async def _document(request: Request) -> Response:
    address = settings().public_url or str(request.base_url)
    return JSONResponse(document(address.rstrip("/")), headers=CORS)
