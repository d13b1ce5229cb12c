"""A person's own weight file: kept under its hash when it fits, refused with its name when it does not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from transfer_core.errors import BadWeights
from transfer_core.paths import Home
from transfer_core.training.own_weights import take_in

MODEL = "test_resnet.r160_in1k"


def uploaded(home: Home, name: str, write) -> Path:
    folder = home.uploads / ("0" * 32)
    folder.mkdir()
    write(folder / "0")
    (folder / "index.jsonl").write_text(json.dumps({"n": 0, "path": name, "bytes": (folder / "0").stat().st_size}) + "\n")
    return folder


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return timm.create_model(MODEL, pretrained=False, num_classes=7).state_dict()


def test_a_file_that_fits_is_kept_under_its_hash(home, tensors):
    folder = uploaded(home, "../mine.safetensors", lambda file: save_file(tensors, file))
    sha256 = hashlib.sha256((folder / "0").read_bytes()).hexdigest()
    found = take_in(folder, MODEL, home)
    assert found["sha256"] == sha256 and (home.weights / sha256).is_file()
    assert found["fitting"] == found["total"] == len(tensors) - 2  # all but the weight and bias of a head of another size
    assert found["tensors"] == len(tensors) and found["format"] == "safetensors"
    assert not folder.exists()


def test_a_file_that_lacks_a_little_says_how_much_fits(home, tensors):
    fewer = dict(list(tensors.items())[1:])
    found = take_in(uploaded(home, "mine.pt", lambda file: torch.save({"state_dict": fewer}, file)), MODEL, home)
    assert found["fitting"] == found["total"] - 1


@pytest.mark.parametrize(("write", "code"), [
    (lambda file: file.write_bytes(b"these are no tensors"), "weights_unreadable"),
    (lambda file: save_file({"other.weight": torch.zeros(3, 3)}, file), "weights_do_not_fit"),
    (lambda file: torch.save({"a": Path("x")}, file), "weights_unsafe"),
])
def test_a_file_that_is_none_is_refused_by_its_own_name_and_not_kept(home, write, code):
    with pytest.raises(BadWeights) as refused:
        take_in(uploaded(home, "holiday/notes.pt", write), MODEL, home)
    assert refused.value.code == code and refused.value.values["file"] == "notes.pt"
    assert not any(home.weights.iterdir())
