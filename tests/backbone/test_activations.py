"""The store of activations: rows that outlive kills, two writers, eviction and a budget."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from transfer_core.activations import Entry, Shelf, Spec, budget, make_room
from transfer_core.http.lifespan import _collect_one
from transfer_core.paths import Home

SHAPES = ((2, 3), (4,))


def spec(**changes) -> Spec:
    return Spec(**{"prefix": "p", "engine": "pytorch", "preprocessing": {"size": (8, 8)}, "view": {}, "shapes": SHAPES,
                   "dtype": "float32", "model": "m", "boundary": "b", **changes})


def image(number: int) -> str:
    return f"{number:064x}"


def data(*numbers: int) -> list[np.ndarray]:
    return [np.stack([np.full(shape, number + 0.5) for number in numbers]).astype(np.float32) for shape in SHAPES]


def written(entry: Entry, *numbers: int) -> Entry:
    assert entry.take_turn(5)
    entry.append([image(number) for number in numbers], data(*numbers))
    entry.done()
    return entry


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    return Shelf(Home(tmp_path))


def test_rows_come_back_in_the_order_asked(shelf):
    entry = written(written(shelf.entry(spec()), 1, 2), 7)
    assert entry.missing([image(2), image(9), image(9), image(7)]) == [1]
    rows = shelf.entry(spec()).rows([image(7), image(1), image(7)])
    first, second = rows.take([1, 0, 2])
    assert first.shape == (3, 2, 3) and second.shape == (3, 4)
    assert first[:, 0, 0].tolist() == second[:, 0].tolist() == [1.5, 7.5, 7.5]
    with pytest.raises(KeyError):
        entry.rows([image(9)])


@pytest.mark.parametrize("change", [
    {"prefix": "q"}, {"engine": "onnxruntime"}, {"preprocessing": {"size": (9, 8)}}, {"view": {"number": 0}},
    {"shapes": ((2, 3), (5,))}, {"dtype": "float16"}])
def test_whatever_changes_a_number_makes_another_entry(change):
    assert spec().key == spec().key != spec(**change).key


def test_a_spec_reads_back_as_the_same_key(shelf):
    entry = shelf.entry(spec(preprocessing={"size": (8, 8), "mean": (0.5, 0.5, 0.5)}))
    assert Spec.read(entry.folder / "spec.json").key == entry.spec.key


def test_what_frozen_layers_said_of_a_deleted_photo_goes_with_it(tmp_path):
    home = Home(tmp_path)
    shelf = Shelf(home)
    of_it, of_others = written(shelf.entry(spec()), 1, 2), written(shelf.entry(spec(prefix="q")), 2, 3)
    old = of_others.folder / "spec.json"
    os.utime(old, (1, 1))
    home.image(image(1)).write_bytes(b"a photo that no dataset holds any more")
    os.utime(home.image(image(1)), (1, 1))
    _collect_one(home)
    assert not home.image(image(1)).exists()
    assert not of_it.folder.exists() and list(of_others.images) == [bytes.fromhex(image(number)) for number in (2, 3)]
    assert old.stat().st_mtime == 1, "looking is not using"


@pytest.mark.parametrize("cut", ["rows", "0.bin", "1.bin"])
def test_half_a_row_does_not_count_and_is_cut_off(shelf, cut):
    entry = written(shelf.entry(spec()), 1, 2, 3)
    file = entry.folder / cut
    os.truncate(file, file.stat().st_size - 5)
    assert list(entry.images.values()) == [0, 1]
    written(entry, 4)
    rows = entry.rows([image(1), image(2), image(4)])
    assert rows.take([2])[1].tolist() == [[4.5] * 4]
    assert rows.take([0, 1])[0][:, 0, 0].tolist() == [1.5, 2.5]


def test_data_without_a_digest_is_overwritten(shelf):
    """A kill between the data and its digest leaves data that nobody knows."""
    entry = written(shelf.entry(spec()), 1)
    with (entry.folder / "0.bin").open("ab") as file:
        file.write(b"\xff" * 100)
    written(entry, 2)
    assert entry.rows([image(2)]).take([0])[0].ravel().tolist() == [2.5] * 6


def test_a_killed_writer_gives_its_turn_back_and_its_whole_rows_stay(shelf, tmp_path):
    program = textwrap.dedent(f"""
        import sys; sys.path[:0] = {sys.path!r}
        from test_activations import *
        entry = Shelf(Home(Path({str(tmp_path)!r}))).entry(spec())
        assert entry.take_turn(5)
        number = 0
        while True:
            entry.append([image(number)], data(number)); number += 1
            print(number, flush=True)
    """)
    writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent)
    for _ in range(25):
        count = int(writer.stdout.readline())
    entry = shelf.entry(spec())
    assert not entry.take_turn(0.05), "one writer at a time"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert entry.take_turn(5)
    entry.done()
    known = entry.images
    assert len(known) >= count
    rows = entry.rows([digest.hex() for digest in known])
    assert rows.take(range(len(known)))[1][:, 0].tolist() == [number + 0.5 for number in range(len(known))]


def test_the_least_recently_used_goes_first_and_what_is_written_stays(shelf, monkeypatch):
    entries = [written(shelf.entry(spec(prefix=name)), *range(10)) for name in "abc"]
    for age, entry in enumerate(entries):
        os.utime(entry.folder / "spec.json", (1000 + age, 1000 + age))
    entries[0].touch()  # used just now
    each = next(iter(shelf)).bytes
    monkeypatch.setenv("TRANSFER_STUDIO_CACHE_BYTES", str(3 * each + 10))
    assert budget(shelf) == 3 * each + 10
    assert make_room(shelf, each)
    assert [stored.spec.prefix for stored in shelf] == ["c", "a"]
    assert entries[2].take_turn(5)
    assert make_room(shelf, 2 * each), "a goes, though it is younger: c is being written"
    assert [stored.spec.prefix for stored in shelf] == ["c"]
    entries[2].done()
    assert not make_room(shelf, 4 * each)
    assert not make_room(shelf, 3 * each, keep=frozenset({entries[2].spec.key}))
    assert [stored.spec.prefix for stored in shelf] == ["c"], "nothing is removed for what cannot fit anyway"


def exported(shelf: Shelf, prefix: str, size: int, used: float) -> Path:
    file = shelf.engines / f"{prefix}.onnx"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes(size))
    os.utime(file, (used, used))
    return file


def test_exported_prefixes_count_and_go_first_the_oldest_of_them_before_the_others(shelf, monkeypatch):
    kept = written(shelf.entry(spec(prefix="kept")), 1)
    other = written(shelf.entry(spec(prefix="other")), 1)
    for prefix, used in (("kept", 10), ("other", 20), ("young", 30)):
        exported(shelf, prefix, 1000, used)
    entries = sum(stored.bytes for stored in shelf)
    assert shelf.bytes == entries + 3000
    monkeypatch.setenv("TRANSFER_STUDIO_CACHE_BYTES", str(entries + 3000))
    keep = frozenset({kept.spec.key})
    assert make_room(shelf, 1000, keep) and list(shelf.exported()) == ["kept", "young"], "the kept entry's own stays"
    assert make_room(shelf, 2000, keep) and list(shelf.exported()) == ["kept"]
    assert len(list(shelf)) == 2
    assert make_room(shelf, 2100, keep) and [stored.key for stored in shelf] == [kept.spec.key]
    assert shelf.clear() > 1000 and shelf.bytes == 0
    assert other.missing([image(1)]) == [0]


def test_clear_frees_all_and_a_reader_reads_on(shelf):
    entry = written(shelf.entry(spec()), 1, 2)
    rows = entry.rows([image(2)])
    assert shelf.clear() > 0 == shelf.bytes
    assert rows.take([0])[0].ravel().tolist() == [2.5] * 6
    assert shelf.entry(spec()).missing([image(2)]) == [0]


def test_who_waited_for_a_removed_entry_makes_it_anew(shelf):
    entry = shelf.entry(spec())
    shelf.remove(spec().key)
    assert written(entry, 5).rows([image(5)]).take([0])[1].ravel().tolist() == [5.5] * 4


def test_a_full_disk_leaves_what_was_whole(shelf, monkeypatch):
    entry = written(shelf.entry(spec()), 1)
    assert entry.take_turn(5)

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transfer_core.activations.entry.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        entry.append([image(2)], data(2))
    monkeypatch.undo()
    entry.done()
    assert list(entry.images.values()) == [0]
    assert written(entry, 3).rows([image(3)]).take([0])[1].ravel().tolist() == [3.5] * 4
