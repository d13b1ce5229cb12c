"""Every row of EXPECTED.csv: what must happen to each entry of the nasty archives. A text without a handler is a failure."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from imported import DATA, Outcome, import_archive
from PIL import Image

from transfer_core.datasets.names import parts_of
from transfer_core.images import open_image

NASTY = DATA / "nasty"
ROWS = list(csv.DictReader((NASTY / "EXPECTED.csv").open(encoding="utf-8"))) if NASTY.is_dir() else []
HANDLERS: dict[str, Callable[[Outcome, dict], None]] = {}

pytestmark = pytest.mark.skipif(not ROWS, reason="shared/data/nasty is not beside the repository")


def handles(*texts: str):
    def register(function):
        for text in texts:
            assert text not in HANDLERS
            HANDLERS[text] = function
        return function

    return register


@pytest.fixture(scope="session")
def outcome_of(tmp_path_factory):
    @cache
    def outcome(archive: str) -> Outcome:
        root = tmp_path_factory.mktemp(archive.replace(".", "_")) / "outer" / "home"
        return import_archive(NASTY / archive, root)

    return outcome


def bytes_of(row: dict) -> bytes:
    """The entry's own bytes, read here with plain zipfile and not by the code under test."""
    with zipfile.ZipFile(NASTY / row["archive"]) as archive:
        for info in archive.infolist():
            name = info.orig_filename
            if row["archive"] == "odd_gbk_names.zip":
                name = name.encode("cp437").decode("gbk")
            if name == row["entry"] and int(row["bytes"]) in (0, info.file_size):
                with archive.open(info) as file:
                    return file.read()
    raise AssertionError(f"no entry {row['entry']!r} in {row['archive']}")


def images_of(outcome: Outcome, row: dict) -> list:
    sha256 = hashlib.sha256(bytes_of(row)).hexdigest()
    return [image for image in outcome.manifest.images if image.sha256 == sha256]


def shown(row: dict) -> str:
    return "/".join(parts_of(row["entry"]))


def name_of(i: int, row: dict) -> str:
    return f"{i}-{row['archive'][:-4]}-{row['expected'][:24]}"


@pytest.mark.parametrize("row", [pytest.param(row, id=name_of(i, row)) for i, row in enumerate(ROWS)])
def test_row(row: dict, outcome_of):
    assert row["expected"] in HANDLERS, f"nobody wrote down how to check {row['expected']!r}"
    HANDLERS[row["expected"]](outcome_of(row["archive"]), row)


def test_there_are_245_rows_and_no_handler_is_idle():
    assert len(ROWS) == 245
    assert {row["expected"] for row in ROWS} == set(HANDLERS)


@handles("load")
def load(outcome: Outcome, row: dict):
    if row["archive"] == "hostile_zipbomb.zip":  # refused as a whole, so its three ordinary pictures cannot be loaded
        assert outcome.error.code == "archive_bomb"
        return
    assert outcome.error is None
    found = [image for image in images_of(outcome, row) if image.file == shown(row)]
    assert len(found) == 1
    image = open_image(outcome.home.image(found[0].sha256))
    assert image.mode == "RGB"
    assert image.size == (found[0].width, found[0].height)
    assert outcome.home.thumbnail(found[0].sha256).is_file()
    assert outcome.quarantined(shown(row)) is None
    low, high = np.asarray(image).min(), np.asarray(image).max()
    assert high - low > 20 or image.width * image.height < 100, "a flat picture: the conversion lost it"


@handles("load upright")
def load_upright(outcome: Outcome, row: dict):
    load(outcome, row)
    with zipfile.ZipFile(NASTY / row["archive"]) as archive:
        reference = open_image(archive.read("hat/exif_orientation_1.jpg"))
    ours = open_image(outcome.home.image(images_of(outcome, row)[0].sha256))
    assert ours.size == reference.size
    assert np.abs(np.asarray(ours, float) - np.asarray(reference, float)).mean() < 4  # each was encoded on its own
    assert ("exif" in images_of(outcome, row)[0].converted) == (not row["entry"].endswith("_1.jpg"))


@handles("load first frame", "load first page")
def load_first_frame(outcome: Outcome, row: dict):
    load(outcome, row)
    image = images_of(outcome, row)[0]
    assert "animated" in image.converted
    with Image.open(io.BytesIO(bytes_of(row))) as frames:
        frames.seek(0)
        first = np.asarray(frames.convert("RGB"), float)
        frames.seek(1)
        second = np.asarray(frames.convert("RGB"), float)
    ours = np.asarray(open_image(outcome.home.image(image.sha256)), float)
    assert np.abs(ours - first).mean() < 1
    assert np.abs(ours - second).mean() > 1


@handles("load or name it unsupported", "load or skip with a reason", "load or skip, never crash", "load or warn",
         "load or warn too small")
def load_or_say(outcome: Outcome, row: dict):
    said = outcome.quarantined(shown(row))
    if said is None:
        load(outcome, row)
        if "aspect" in row["why"]:
            assert row["entry"].rpartition("/")[2] in outcome.notes
    else:
        assert said["reason"]
        assert said["hint"]
        assert not images_of(outcome, row)
    # What we promise beyond "or": these load.
    if row["entry"].rpartition(".")[2] in ("avif", "HEIC", "jp2", "tiff", "hat/no_extension"):
        assert said is None


@handles("load into the class folder or explain")
def load_nested(outcome: Outcome, row: dict):
    load(outcome, row)
    assert [image.label for image in images_of(outcome, row) if image.file == shown(row)] == ["猫咪 🐱"]
    assert "sub-folder" in outcome.notes


REASONS = {
    "zero_bytes.jpg": "empty_file", "text_renamed.jpg": "text_file", "truncated_half.jpg": "truncated_image",
    "truncated_header.jpg": "truncated_image", "truncated.png": "truncated_image", "bad_crc.png": "damaged_image",
    "html_error_page.jpg": "html_page", "git_lfs_pointer.jpg": "lfs_pointer", "claims_65500x65500.jpg": "too_many_pixels",
    "30000x30000_1bit.png": "too_many_pixels", "20000x20000_rgb.png": "too_many_pixels",
}


@handles("skip, name the file and the reason")
def skip(outcome: Outcome, row: dict):
    said = outcome.quarantined(row["entry"])
    assert said["code"] == REASONS[row["entry"].rpartition("/")[2]]
    assert said["reason"]
    assert said["hint"]
    assert not images_of(outcome, row)


@handles("ignore")
def ignore(outcome: Outcome, row: dict):
    assert not images_of(outcome, row)
    assert outcome.quarantined(row["entry"]) is None
    assert row["entry"] in files_ignored(outcome)["not_a_picture"]


@handles("ignore silently")
def ignore_silently(outcome: Outcome, row: dict):
    assert not images_of(outcome, row)
    assert outcome.quarantined(shown(row)) is None
    assert not any(shown(row) in files for files in files_ignored(outcome).values())
    assert row["entry"].rpartition("/")[2] not in outcome.notes


@handles("ignore or warn")
def ignore_or_warn(outcome: Outcome, row: dict):
    folder = row["entry"].split("/")[2]
    assert folder not in outcome.summary["classes"]
    assert folder in outcome.notes


@handles("ignore with a note")
def ignore_with_a_note(outcome: Outcome, row: dict):
    assert not [image for image in outcome.manifest.images if image.file == row["entry"]]
    assert files_ignored(outcome)["outside_classes"] == [row["entry"]]


def files_ignored(outcome: Outcome) -> dict[str, list[str]]:
    return {item.reason: item.files for item in outcome.understanding.ignored}


@handles("warn: class too small to split")
def too_small(outcome: Outcome, row: dict):
    load(outcome, row)
    [warning] = [w for w in outcome.summary["warnings"] if w["key"] == "import.warnings.too_small_to_split"]
    assert "only one picture" in warning["values"]["classes"]


@handles("report duplicate")
def duplicate(outcome: Outcome, row: dict):
    same = images_of(outcome, row)
    assert len(same) == 2
    assert len({image.group for image in same}) == 1
    assert len({image.split for image in same}) == 1
    assert outcome.summary["duplicates"] >= 1


@handles("report duplicate across classes")
def conflict(outcome: Outcome, row: dict):
    same = images_of(outcome, row)
    assert {image.split for image in same} == {"left_out"}
    assert {image.label for image in same} in [{place["label"] for place in places} for places in outcome.summary["conflicts"]]
    assert len({image.label for image in same}) == 2
    assert any(w["key"] == "import.warnings.conflicts" for w in outcome.summary["warnings"])


@handles("two classes or one, but said")
def said_about_names(outcome: Outcome, row: dict):
    load(outcome, row)
    [image] = [image for image in images_of(outcome, row) if image.file == shown(row)]
    raw = row["entry"].split("/")[2]
    if raw in ("Hat", "hat"):
        assert image.label == raw
        assert "Hat, hat" in outcome.notes
    else:
        assert image.label == {"hat ": "hat"}.get(raw, "caf\u00e9")
        assert "café, hat" in outcome.notes


@handles("refuse this entry, write nothing outside the upload folder")
def refuse_entry(outcome: Outcome, row: dict):
    said = [entry for entry in outcome.summary["quarantined"]
            if entry["code"] in ("path_traversal", "absolute_path", "control_character_path", "special_entry")]
    name = row["entry"].rpartition("/")[2].rpartition("\\")[2]
    assert [entry["file"] for entry in said if entry["file"].endswith(name)]
    assert not [image for image in outcome.manifest.images if image.file.endswith(name)]
    outside = [path for path in outcome.home.root.parent.parent.rglob("*")
               if outcome.home.root not in (path, *path.parents) and path != outcome.home.root.parent]
    assert outside == []
    assert not Path("/tmp/w_evil_absolute.jpg").exists()
    inside = {path.name for path in outcome.home.root.rglob("*")}
    assert not [found for found in inside if "evil" in found or "dup" in found or "link" in found]


@handles("first or last, but once")
def once(outcome: Outcome, row: dict):
    assert [image.file for image in outcome.manifest.images].count("hat/dup.jpg") == 1
    assert [entry["code"] for entry in outcome.summary["quarantined"] if entry["file"] == "hat/dup.jpg"] == ["same_name_twice"]


@handles("refuse the archive before unpacking")
def refuse_archive(outcome: Outcome, row: dict):
    assert outcome.error.code == "archive_bomb"
    assert row["entry"] in outcome.error.message()
    assert not (outcome.home.root / "images").exists()


@handles("accept with progress, or refuse with the limit named")
def many(outcome: Outcome, row: dict):
    assert outcome.error is None
    assert outcome.summary["imported"] == 30_000
    assert outcome.summary["duplicates"] == 29_999
    assert len({image.group for image in outcome.manifest.images}) == 1
    assert 100 < sum(event.stage == "checking" for event in outcome.progress) < 1000


SAYINGS = {
    "say: no pictures found, there is a zip inside": ("archive_inside", "photos.zip"),
    "say: empty": ("archive_empty", "empty"),
    "say: not a zip": ("archive_of_other_kind", "RAR"),
    "say: damaged or upload cut off": ("archive_cut_off", "cut off"),
    "say: password-protected": ("archive_encrypted", "password"),
    "say: two classes are needed": ("two_classes_needed", "hat"),
    "say: put pictures in one folder per class": ("one_folder_per_class", "class"),
}


@handles(*SAYINGS)
def say_what_is_wrong(outcome: Outcome, row: dict):
    code, word = SAYINGS[row["expected"]]
    assert outcome.error.code == code
    assert word in outcome.error.message("en")
    assert outcome.error.hint("en")
    assert outcome.error.hint("zh") != outcome.error.hint("en")
    assert not (outcome.home.root / "images").exists()


@handles("load by the table or say how to")
def by_table(outcome: Outcome, row: dict):
    if row["entry"] == "labels.csv":
        assert outcome.understanding.layout == "table"
        assert outcome.understanding.table["missing"] == ["missing.jpg"]
        assert "missing.jpg" in outcome.notes
        return
    load(outcome, row)
    number = int(row["entry"][-6:-4])
    assert images_of(outcome, row)[0].label == ("hat" if number < 6 else "shoes")


@handles("classes are hat and shoes, not train and val")
def given_split(outcome: Outcome, row: dict):
    load(outcome, row)
    assert list(outcome.summary["classes"]) == ["hat", "shoes"]
    [image] = images_of(outcome, row)
    part, label, _ = row["entry"].split("/")
    assert image.label == label
    assert image.split == "validation" if part == "val" else image.split in ("train", "test")


@handles("load; classes should read 帽子 and 鞋子")
def chinese(outcome: Outcome, row: dict):
    assert list(outcome.summary["classes"]) == ["帽子", "鞋子"]
    load(outcome, row)


def test_nothing_lies_in_the_uploads_or_at_the_root_after_hostile_paths(outcome_of):
    outcome = outcome_of("hostile_paths.zip")
    there = {path.name for path in outcome.home.root.iterdir()}
    assert there <= {"images", "images.lock", "thumbnails", "datasets", "studio.db", "studio.db-wal", "studio.db-shm"}
