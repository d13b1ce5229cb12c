"""Demos: models that everybody who has the link may ask."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from transfer_core.errors import NotFound
from transfer_core.store.connecting import persistent
from transfer_core.store.schema import demos
from transfer_core.store.scope import Scope


@dataclass(frozen=True)
class Demo:
    id: str
    run: str
    title: str
    description: str
    key: str
    """SHA-256 of the key, which nobody can read again."""
    facts: dict[str, Any]
    """`classes`, `measured`, `per_class`, `model`, `images`, `examples` (see `transfer_core.demos`)."""
    created: float
    ended: float | None
    views: int
    answers: int
    """Photos that were answered."""
    owner: str | None = None
    """Whose it is; None: the one person of a studio without accounts."""

    def opens(self, key: str) -> bool:
        return hmac.compare_digest(self.key, hashed(key))


def hashed(key: str) -> str:
    return sha256(key.encode("utf-8", "replace")).hexdigest()


class Demos(Scope):
    """The part of the store that knows demos. (Mixed into `Store`.) Who has the link may ask one: that takes `everyone()`."""

    def add_demo(self, demo: Demo) -> None:
        with self._write() as connection:
            connection.execute(sa.insert(demos).values(**vars(demo)))

    @persistent
    def demo(self, demo: str) -> Demo:
        """Raises `NotFound("no_demo")` for one that never was, or is over."""
        with self._read() as connection:
            row = connection.execute(sa.select(demos).where(
                demos.c.id == demo, demos.c.ended.is_(None), self.mine(demos))).first()
        if row is None:
            raise NotFound("no_demo")
        return Demo(**row._mapping)

    @persistent
    def demos(self, run: str | None = None) -> list[Demo]:
        """Those that can be asked, newest first; of one run, or all."""
        query = sa.select(demos).where(demos.c.ended.is_(None), self.mine(demos)).order_by(demos.c.created.desc())
        with self._read() as connection:
            rows = connection.execute(query if run is None else query.where(demos.c.run == run)).all()
        return [Demo(**row._mapping) for row in rows]

    @persistent
    def change_demo(self, demo: str, **changes: str) -> None:
        """`title`, `description` or `key`. Raises `NotFound`."""
        self.demo(demo)
        with self._write() as connection:
            connection.execute(sa.update(demos).where(demos.c.id == demo).values(**changes))

    def end_demo(self, demo: str) -> None:
        """Nobody can ask it any more. Raises `NotFound`."""
        self.demo(demo)
        with self._write() as connection:
            connection.execute(sa.update(demos).where(demos.c.id == demo).values(ended=time.time()))

    def count_demo(self, demo: str, views: int = 0, answers: int = 0) -> None:
        with self._write() as connection:
            connection.execute(sa.update(demos).where(demos.c.id == demo).values(
                views=demos.c.views + views, answers=demos.c.answers + answers))
