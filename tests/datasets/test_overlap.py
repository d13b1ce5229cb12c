"""Photos of the test in the training: none after an import, and found when somebody plants one."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from imported import import_archive, photo

from transfer_core.datasets import Manifest
from transfer_core.datasets.overlap import Overlap, overlap


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Two classes of twelve pictures; of four of them a copy under another name, and smaller."""
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as packed:
        for seed in range(24):
            label = "left" if seed < 12 else "right"
            packed.writestr(f"{label}/{seed}.png", photo(seed))
            if seed % 6 == 0:
                packed.writestr(f"{label}/{seed}-again.png", photo(seed))
                packed.writestr(f"{label}/{seed}-small.png", photo(seed, size=(36, 30)))
    found = import_archive(tmp_path / "two.zip", tmp_path / "home").manifest
    assert found is not None
    return found


def test_an_import_leaves_none(manifest):
    found = overlap(manifest)
    assert found.train == len(manifest.of("train")) > 0 and found.test == len(manifest.of("test")) > 0
    assert (found.shared, found.straddling) == (0, 0)
    assert found.groups == 4 and found.grouped >= 8


def planted(manifest: Manifest, **changes) -> Overlap:
    learned = manifest.of("train")[0]
    return overlap(Manifest.of_images("x", 1, [*manifest.images, learned.but(split="test", **changes)]))


def test_a_planted_copy_is_found(manifest):
    assert planted(manifest, group=10_000).shared == 1
    assert planted(manifest, group=10_000).straddling == 0
    found = planted(manifest)
    assert (found.shared, found.straddling) == (1, 1)


def test_a_planted_near_copy_is_found_by_its_group(manifest):
    found = planted(manifest, sha256="f" * 64)
    assert (found.shared, found.straddling) == (0, 1)


def test_what_was_left_out_counts_nowhere(manifest):
    found = overlap(Manifest.of_images("x", 1, [*manifest.images, manifest.of("train")[0].but(split="left_out")]))
    assert (found.shared, found.straddling) == (0, 0)
