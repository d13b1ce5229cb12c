"""`nearest` and `map` as people type them, on a real training of a tiny model."""

from __future__ import annotations

import csv
import json

import pytest
from PIL import Image
from test_averages_cli import SMALL, ask, store  # noqa: F401 (fixtures)

from transfer_core.cli import main


@pytest.fixture
def trained(ask):  # noqa: F811
    return ask("train", "--dataset", "Colours", "--weights", "scratch", *SMALL)["run"]


def test_a_photo_is_compared_and_all_are_mapped(ask, store, trained, tmp_path, capfd, monkeypatch):  # noqa: F811
    photo = tmp_path / "new.png"
    Image.new("RGB", (60, 40), (200, 50, 40)).save(photo)
    found = ask("nearest", trained, str(photo), "--k", "3")
    assert set(found) == {"run", "image", "label", "probability", "near", "usual", "looked_at", "of"}
    assert len(found["near"]) == 3 and set(found["near"][0]) == {"sha256", "file", "label", "similarity"}
    for language, expected in (("en", "photos that can be compared"), ("zh", "可比较的")):
        monkeypatch.setenv("TRANSFER_STUDIO_LANGUAGE", language)
        with pytest.raises(SystemExit):
            main(["nearest", trained, str(photo)])
        assert expected in capfd.readouterr().out
    (tmp_path / "bad.png").write_text("no picture")
    for arguments, code in (((trained, str(tmp_path / "gone.png")), "unreadable_file"),
                            ((trained, str(tmp_path / "bad.png")), "text_file"), (("gone", str(photo)), "no_run"),
                            ((trained, str(photo), "--k", "0"), "usage")):
        assert ask("nearest", *arguments)["error"]["code"] == code
    told = ask("map", trained, "--out", str(tmp_path / "made" / "map.json"))
    points = json.loads((tmp_path / "made" / "map.json").read_text("utf-8"))["points"]
    assert told["shown"] == len(points) == told["of"] and told["method"] == "t-sne" and "points" not in told
    ask("map", trained, "--out", str(tmp_path / "map.csv"))
    rows = list(csv.DictReader((tmp_path / "map.csv").open(encoding="utf-8-sig", newline="")))
    assert [row["sha256"] for row in rows] == [point["sha256"] for point in points]
    assert ask("map", trained, "--out", str(tmp_path / "map.pdf"))["error"]["code"] == "unknown_choice"
    assert len(store.jobs("map")) == 2, "what cannot be written is not computed"
