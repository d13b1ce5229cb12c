"""Image files of no dataset go; those of any version of any dataset stay, and nothing goes while somebody imports."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from imported import photo

from transfer_core.datasets import Manifest, delete_images, import_dataset
from transfer_core.datasets.garbage import KEPT, collect_garbage, holding_images
from transfer_core.events import Progressed
from transfer_core.store import Store

LATER = 4e9
"""A time at which every file is old enough."""


def files(store: Store) -> set[str]:
    return {str(file.relative_to(store.home.root)) for kind in ("images", "thumbnails")
            for file in (store.home.root / kind).glob("??/*")}


@pytest.fixture
def trees(store, zipped) -> str:
    made = list(import_dataset(zipped({f"{'elm' if n % 2 else 'oak'}/{n}.png": photo(n) for n in range(8)}), "trees", store))
    return made[-1].dataset


def stray(store: Store, seed: int) -> set[str]:
    """What an import that was stopped leaves: a picture, its thumbnail, a display copy of it, half of another."""
    from transfer_core.datasets.check import check

    before = files(store)
    sha256 = check(photo(seed), store.home).sha256
    store.home.thumbnail(sha256).with_name(f"{sha256}.display.webp").write_bytes(b"copy")
    store.home.image(sha256).with_name(f".{sha256}.0a1b2c3d.part").write_bytes(b"half")
    return files(store) - before


def test_what_a_stopped_import_left_is_removed_and_nothing_else(store, trees):
    delete_images(store, trees, ["oak/0.png"])  # version 1 still holds it
    store.delete_dataset(trees)  # hidden; may be taken back
    there = files(store)
    garbage = stray(store, 1000)
    assert len(garbage) == 4
    kept = Manifest.read(store.home, trees, 1).images[0].sha256
    half = store.home.image(kept).with_name(f".{kept}.0a1b2c3d.part")
    half.write_bytes(b"half")
    assert collect_garbage(store.home) == [], "it is not a day old"
    assert len(collect_garbage(store.home, LATER)) == 2
    assert files(store) == there
    assert all(store.home.image(image.sha256).is_file() for image in Manifest.read(store.home, trees, 1).images)


def test_a_stopped_import_leaves_nothing_in_the_end(store, zipped):
    archive = zipped({f"{'elm' if n % 2 else 'oak'}/{n}.png": photo(n) for n in range(60)})
    importing = import_dataset(archive, "trees", store)
    assert any(isinstance(event, Progressed) and event.stage == "checking" for event in importing)
    assert collect_garbage(store.home, LATER) == [], "the import runs"
    importing.close()
    assert files(store)
    assert collect_garbage(store.home, LATER)
    assert files(store) == set()


def test_nothing_goes_while_anybody_imports_and_an_import_may_lean_on_what_lies_there(store, trees, zipped):
    """The race: an import sees that a picture is there already and does not write it; then it must not be collected."""
    stray(store, 1000)
    before = files(store)
    with holding_images(store.home), holding_images(store.home):
        assert collect_garbage(store.home, LATER) == []
    assert files(store) == before
    importing = import_dataset(zipped({"oak/0.png": photo(1000), "elm/1.png": photo(1001)}), "more", store)
    for _ in importing:
        assert collect_garbage(store.home, LATER) == []
    collect_garbage(store.home, LATER)
    [more] = [each for each in store.datasets() if each.name == "more"]
    assert all(store.home.image(image.sha256).is_file() for image in Manifest.read(store.home, more.id, 1).images)


def test_without_a_database_no_photo_goes(store, trees):
    """Manifests decide: a home with another database, or a lost one, keeps its photos."""
    before = files(store)
    store.close()
    for file in store.home.root.glob("studio.db*"):
        file.unlink()
    assert collect_garbage(store.home, LATER) == [] and files(store) == before


def test_a_day_is_left(store):
    garbage = stray(store, 7)
    for file in map(Path, garbage):
        os.utime(store.home.root / file, (1_000_000, 1_000_000))
    assert collect_garbage(store.home, 1_000_000 + KEPT - 1) == []
    assert len(collect_garbage(store.home, 1_000_000 + KEPT + 1)) == 1
