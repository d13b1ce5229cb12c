"""A home and store of one's own, and zips made on the spot."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from transfer_core.paths import Home
from transfer_core.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(Home(tmp_path / "home"))
    yield store
    store.close()


@pytest.fixture
def zipped(tmp_path: Path) -> Callable[..., Path]:
    def make(files: dict[str, bytes], name: str = "photos.zip") -> Path:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, data in files.items():
                archive.writestr(path, data)
        return tmp_path / name

    return make
