"""Zips, folders and uploads as one list; whole archives refused; zips that lie."""

import json
import struct
import zipfile

import pytest
from imported import photo

from transfer_core.datasets import archive, read_entries, understand
from transfer_core.errors import BadArchive, BadImage, NotFound


def test_a_folder_a_zip_and_an_upload_of_the_same_files_are_the_same(tmp_path, zipped):
    files = {f"{label}/{i}.png": photo(10 * i + (label == "b")) for label in "ab" for i in range(3)}
    folder, upload = tmp_path / "folder", tmp_path / "upload"
    upload.mkdir()
    for n, (path, data) in enumerate(files.items()):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        (upload / str(n)).write_bytes(data)
    lines = [json.dumps({"n": n, "path": path, "bytes": len(data)}) for n, (path, data) in enumerate(files.items())]
    (upload / "index.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    found = []
    for path in (folder, zipped(files), upload):
        entries = read_entries(path)
        found.append({entry.path: entries.read(entry) for entry in entries.files})
        assert understand(path).classes == {"a": 3, "b": 3}
    assert found == [files] * 3


def test_an_upload_of_one_zip_is_that_zip(tmp_path, zipped):
    zipped({"a/0.png": photo(0), "b/1.png": photo(1)}).rename(tmp_path / "0")
    (tmp_path / "index.jsonl").write_text(json.dumps({"n": 0, "path": "my photos.zip", "bytes": 1}), "utf-8")
    assert read_entries(tmp_path).kind == "zip"


def test_upload_paths_are_strangers_too(tmp_path):
    (tmp_path / "0").write_bytes(photo(0))
    (tmp_path / "index.jsonl").write_text(json.dumps({"n": 0, "path": "../../etc/x.jpg", "bytes": 1}), "utf-8")
    entries = read_entries(tmp_path)
    assert entries.files == ()
    assert [refused.code for refused in entries.refused] == ["path_traversal"]


def test_links_in_a_folder_are_not_followed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "a" / "x.jpg").symlink_to(tmp_path / "secret")
    (tmp_path / "a" / "everything").symlink_to("/")
    entries = read_entries(tmp_path / "a")
    assert entries.files == ()
    assert [refused.file for refused in entries.refused] == ["x.jpg"]


def test_nothing_there(tmp_path):
    with pytest.raises(NotFound):
        read_entries(tmp_path / "nowhere")


def rewritten(path, size: int):
    """The same zip whose directory and local header claim another unpacked size for its first entry."""
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    struct.pack_into("<L", data, central + 24, size)
    struct.pack_into("<L", data, 22, size)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("claimed", [10, 100_000])
def test_an_entry_that_lies_about_its_size_is_quarantined_alone(zipped, claimed):
    entries = read_entries(rewritten(zipped({"a/0.png": photo(0), "b/1.png": photo(1)}), claimed))
    with pytest.raises(BadImage) as caught:
        entries.read(entries.files[0])
    assert caught.value.code == "damaged_entry"
    assert entries.read(entries.files[1]) == photo(1)


def test_a_bomb_that_claims_to_be_small_yields_no_more_than_it_claims(zipped):
    entries = read_entries(rewritten(zipped({"a/0.png": b"\0" * 30_000_000}), 1000))
    with pytest.raises(BadImage):
        entries.read(entries.files[0])


def test_bombs_by_ratio_of_one_entry_or_of_all(tmp_path, zipped):
    with pytest.raises(BadArchive, match="refused"):
        read_entries(zipped({"a/0.png": b"\0" * 65_000_000}))
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for i in range(21):
            file.writestr(f"a/{i}.png", b"\0" * 50_000_000)
    with pytest.raises(BadArchive) as caught:
        read_entries(path)
    assert caught.value.code == "archive_bomb"


def test_too_many_entries(zipped, monkeypatch):
    monkeypatch.setattr(archive, "MAX_ENTRIES", 2)
    with pytest.raises(BadArchive) as caught:
        read_entries(zipped({f"a/{i}": b"" for i in range(3)}))
    assert caught.value.code == "archive_too_many"


def test_methods_that_unpack_without_bound_are_refused(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("a/0.png", photo(0))
    assert [refused.code for refused in read_entries(path).refused] == ["unknown_compression"]


@pytest.mark.parametrize(("head", "code"), [(b"7z\xbc\xaf\x27\x1c" + bytes(50), "archive_of_other_kind"), (b"", "archive_empty"),
                                            (b"hello", "not_a_zip"), (b"PK\x03\x04" + bytes(50), "archive_cut_off")])
def test_not_a_zip(tmp_path, head, code):
    (tmp_path / "x.zip").write_bytes(head)
    with pytest.raises(BadArchive) as caught:
        read_entries(tmp_path / "x.zip")
    assert caught.value.code == code
