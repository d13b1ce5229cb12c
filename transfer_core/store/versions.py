"""Datasets and their versions. A version is never changed; editing a dataset writes the next one."""

from __future__ import annotations

import re
import secrets
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from transfer_core.errors import BadInput, NotFound
from transfer_core.store.connecting import persistent
from transfer_core.store.schema import datasets, versions
from transfer_core.store.scope import Scope
from transfer_core.words import Message


@dataclass(frozen=True)
class Version:
    dataset: str
    version: int
    created: float
    change: Message
    summary: dict[str, Any]
    """What the import found: `classes`, `imported`, `converted`, `quarantined`, `duplicates`, `split`, `warnings`."""


@dataclass(frozen=True)
class Dataset:
    id: str
    name: str
    created: float
    latest: Version
    owner: str | None = None
    """Whose it is; None: the one person of a studio without accounts."""


_THERE = datasets.c.deleted.is_(None) & sa.exists().where(versions.c.dataset == datasets.c.id)
"""A row without any version is no dataset."""


def new_id(name: str, key: str | None = None) -> str:
    """A readable, file-safe, unique id: `clothing-10-4f2a91c3`. Names that are not ASCII become `dataset-…`.

    The same name and key give the same id.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40] or "dataset"
    return f"{slug}-{sha256(key.encode()).hexdigest()[:8] if key else secrets.token_hex(4)}"


class Datasets(Scope):
    """The part of the store that knows datasets. (Mixed into `Store`.)"""

    def add_dataset(self, name: str, dataset_id: str, change: Message, summary: dict[str, Any]) -> Version:
        """Record version 1 of a new dataset of this person, both or neither. Its manifest must already lie in the home."""
        version = Version(dataset_id, 1, time.time(), change, summary)
        with self._write() as connection:
            connection.execute(sa.insert(datasets).values(
                id=dataset_id, name=name, created=version.created, owner=self.person))
            _insert(connection, version)
        return version

    def add_version(self, dataset: str, version: int, change: Message, summary: dict[str, Any],
                    before_commit: Callable[[], object] = lambda: None) -> Version:
        """Record the next version; fails if that number exists, so two editors cannot overwrite each other.

        `before_commit` writes the manifest, inside the transaction: only who got the number writes its file.
        """
        added = Version(dataset, version, time.time(), change, summary)
        with self._write() as connection:
            if connection.scalar(sa.select(datasets.c.id).where(datasets.c.id == dataset, self.mine(datasets))) is None:
                raise NotFound("no_version", dataset=dataset, version=version)
            _insert(connection, added)
            before_commit()
        return added

    @persistent
    def datasets(self) -> list[Dataset]:
        """All datasets, newest first. A row without any version must not hide the others."""
        with self._read() as connection:
            rows = connection.execute(
                sa.select(datasets).where(_THERE, self.mine(datasets)).order_by(datasets.c.created.desc())).all()
        return [Dataset(row.id, row.name, row.created, self.version(row.id), row.owner) for row in rows]

    @persistent
    def dataset(self, name: str) -> Dataset:
        """A dataset by id, or the newest of that name. Raises `NotFound` with the names there are."""
        # Every page asks for its dataset: two queries, however many datasets there are.
        fitting = _THERE & self.mine(datasets) & sa.or_(datasets.c.id == name, datasets.c.name == name)
        with self._read() as connection:
            row = connection.execute(
                sa.select(datasets).where(fitting).order_by((datasets.c.id == name).desc(), datasets.c.created.desc()).limit(1)
            ).first()
        if row is None:
            raise NotFound("no_dataset", name=name, known=", ".join(dataset.name for dataset in self.datasets()) or "–")
        return Dataset(row.id, row.name, row.created, self.version(row.id), row.owner)

    @persistent
    def version(self, dataset: str, version: int | None = None) -> Version:
        """One version, or the latest."""
        query = sa.select(versions).where(self._its(dataset))
        query = query.where(versions.c.version == version) if version else query.order_by(versions.c.version.desc())
        with self._read() as connection:
            row = connection.execute(query.limit(1)).first()
        if row is None:
            raise NotFound("no_version", dataset=dataset, version=version or "–")
        return Version(row.dataset, row.version, row.created, Message(**row.change), row.summary)

    def first_version(self, dataset: str) -> Version | None:
        """What was imported under this id, if anything was; also when the dataset was deleted since."""
        try:
            return self.version(dataset, 1)
        except NotFound:
            return None

    @persistent
    def versions(self, dataset: str) -> list[Version]:
        with self._read() as connection:
            rows = connection.execute(
                sa.select(versions).where(self._its(dataset)).order_by(versions.c.version)
            ).all()
        return [Version(row.dataset, row.version, row.created, Message(**row.change), row.summary) for row in rows]

    @persistent
    def rename_dataset(self, dataset: str, name: str) -> None:
        """Its id, its versions and the runs made from it stay as they are. Raises `BadInput("no_name")` for a name of spaces."""
        if not (name := " ".join(name.split())):
            raise BadInput("no_name")
        with self._write() as connection:
            connection.execute(sa.update(datasets).where(datasets.c.id == dataset, self.mine(datasets)).values(name=name))

    @persistent
    def delete_dataset(self, dataset: str, undo: bool = False) -> None:
        """Hide a dataset (or show it again). Its files stay, so runs made from it still evaluate."""
        with self._write() as connection:
            deleted = None if undo else time.time()
            connection.execute(sa.update(datasets).where(datasets.c.id == dataset, self.mine(datasets)).values(deleted=deleted))

    def _its(self, dataset: str) -> sa.ColumnElement[bool]:
        """A condition on versions: those of a dataset of this person."""
        its = versions.c.dataset == dataset
        return its if self.is_everyones else its & sa.exists().where(datasets.c.id == dataset, self.mine(datasets))


def _insert(connection: sa.Connection, version: Version) -> None:
    connection.execute(sa.insert(versions).values(
        dataset=version.dataset, version=version.version, created=version.created,
        change=version.change.model_dump(), summary=version.summary))
