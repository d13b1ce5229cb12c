"""What a power cut would find: bytes are on the disk before the name that leads to them, and that before anybody is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from events_of import of

from transfer_core import paths
from transfer_core.events import Epoch
from transfer_core.paths import replacing
from transfer_core.training.fit import fit


@pytest.fixture
def seen(monkeypatch) -> list[tuple[str, str]]:
    """`fsync` and `replace`, in their order, each with the path (for `replace` the new one, and the old one as "from")."""
    found: list[tuple[str, str]] = []
    sync, replace = os.fsync, Path.replace

    def noted(handle: int) -> None:
        found.append(("fsync", str(Path(f"/proc/self/fd/{handle}").readlink())))
        sync(handle)

    def renamed(path: Path, target: Path) -> Path:
        found.extend((("from", str(path)), ("replace", str(target))))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "sync", lambda: found.append(("sync", "")))
    monkeypatch.setattr(Path, "replace", renamed)
    return found


def assert_on_disk(seen: list[tuple[str, str]], file: Path) -> None:
    """Each time this file was replaced."""
    times = [place for place, step in enumerate(seen) if step == ("replace", str(file))]
    assert times, f"{file} was never replaced"
    for place in times:
        assert seen[place - 2:place] == [("fsync", seen[place - 1][1]), seen[place - 1]]
        assert seen[place + 1] == ("fsync", str(file.parent))


def test_what_a_training_leaves_is_on_the_disk_before_it_says_so(recipe, manifest, home, hub_free, tmp_path, seen):
    out = tmp_path / "run"
    told = []
    for event in fit(recipe.but(epochs=2, patience=0), manifest, home, out, device="cpu"):
        told.append(event)
        if isinstance(event, Epoch):  # told when all of it is there
            assert seen[-1] == ("fsync", str(out)) and seen[-2] == ("replace", str(out / "last.pt"))
            written = [place for place, step in enumerate(seen) if step == ("fsync", str(out / "epochs.jsonl"))]
            assert len(written) == event.epoch, "the line of an epoch, before the checkpoint that makes it a whole one"
    assert len(of(Epoch, told)) == 2
    for name in ("last.pt", "model.safetensors", "recipe.json", "classes.json", "info.json"):
        assert_on_disk(seen, out / name)


def test_a_dataset_is_on_the_disk_before_its_list_and_that_before_the_database_knows(manifest, home, seen):
    file = manifest.write(home)
    assert seen[0] == ("sync", ""), "the pictures of an import, which are written without waiting"
    assert_on_disk(seen, file)


def test_what_can_be_computed_anew_does_not_wait(tmp_path, seen):
    with replacing(tmp_path / "rows", lasting=False) as part:
        part.write_bytes(b"1")
    assert [what for what, _ in seen] == ["from", "replace"]


def test_a_disk_that_cannot_keep_it_leaves_the_old_file(tmp_path, monkeypatch):
    (file := tmp_path / "last.pt").write_bytes(b"old")

    def broken(_handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(paths.os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"), replacing(file) as part:
        part.write_bytes(b"new")
    assert file.read_bytes() == b"old" and [each.name for each in tmp_path.iterdir()] == ["last.pt"]
