"""`explain` and `background` as people type them, on a real training of a tiny model."""

from __future__ import annotations

import pytest
from PIL import Image
from test_averages_cli import SMALL, ask, store  # noqa: F401 (fixtures)

from transfer_core.cli import main
from transfer_core.measured import predictions


@pytest.fixture
def trained(ask):  # noqa: F811
    return ask("train", "--dataset", "Colours", "--weights", "scratch", *SMALL, "--image-size", "96")["run"]


@pytest.fixture
def photo(tmp_path):
    """Red, lying on its side: what a camera writes that was turned."""
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (120, 80), (200, 50, 40)).save(tmp_path / "new.jpg", exif=turned)
    return tmp_path / "new.jpg"


def test_a_photo_is_explained(ask, trained, photo, tmp_path):  # noqa: F811
    found = ask("explain", trained, str(photo), "--out", str(tmp_path / "made" / "heat.png"))
    assert set(found) == {"run", "image", "label", "probabilities", "method", "layer", "grid", "box", "heat", "out"}
    assert found["label"] == max(found["probabilities"], key=found["probabilities"].get)
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert (found["method"], found["layer"], found["grid"]) == ("hirescam", "layer4", [3, 3])
    assert [len(row) for row in found["heat"]] == [3, 3, 3] and all(0 <= value <= 1 for row in found["heat"] for value in row)
    left, top, right, bottom = found["box"]
    assert right - left == pytest.approx(bottom - top, abs=1) and left + right == pytest.approx(80, abs=1)
    with Image.open(found["out"]) as picture:
        assert (picture.format, picture.size) == ("PNG", (80, 120)), "upright, as people see it"


def test_it_says_what_was_measured_and_explains_the_class_that_is_asked_for(ask, store, trained, tmp_path):  # noqa: F811
    out = ("--out", str(tmp_path / "heat.png"))
    row = predictions(store.home.run(trained), "test")[0]
    photo = str(store.home.image(row["sha256"]))
    found = ask("explain", trained, photo, *out)
    assert list(found["probabilities"].values()) == pytest.approx(row["probabilities"], abs=1e-5)
    assert found["label"] == row["predicted"]
    assert ask("explain", trained, photo, "--label", "green", *out)["label"] == "green"


def test_what_cannot_be_explained_is_said_and_nothing_written(ask, trained, photo, tmp_path, monkeypatch):  # noqa: F811
    broken, out = tmp_path / "broken.jpg", tmp_path / "heat.png"
    broken.write_text("no picture")
    for arguments, code in (((trained, str(tmp_path / "gone.jpg")), "unreadable_file"), ((trained, str(broken)), "text_file"),
                            (("gone", str(photo)), "no_run"), ((trained, str(photo), "--label", "pink"), "no_class")):
        for language in ("en", "zh"):
            monkeypatch.setenv("TRANSFER_STUDIO_LANGUAGE", language)
            assert ask("explain", *arguments, "--out", str(out))["error"]["code"] == code
    assert not out.exists()


def test_the_background_is_checked(ask, store, trained, capfd, monkeypatch):  # noqa: F811
    found = ask("background", trained)
    assert (found["run"], found["split"], found["n"], found["verdict"]) == (trained, "test", 12, "cannot_tell")
    assert "12" in found["told"] and "30" in found["told"]
    assert store.jobs("background", "finished")[0].result["n"] == 12
    for language, expected in (("en", "middle hidden"), ("zh", "遮住中间")):
        monkeypatch.setenv("TRANSFER_STUDIO_LANGUAGE", language)
        with pytest.raises(SystemExit):
            main(["background", trained])
        assert expected in capfd.readouterr().out
