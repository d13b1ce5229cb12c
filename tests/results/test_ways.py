"""One photo prepared rightly and in two wrong ways, through the real predictor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import stories
from onnx import helper

from transfer_core.errors import BadImage
from transfer_core.images import Preprocessing
from transfer_core.predicting.process import PredictorProcess
from transfer_core.predicting.ways import answer_all_ways
from transfer_core.predictor import Predictor, softmax

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The colour model (10 × the mean of each channel), told that it wants normalised pixels."""
    stories.color_model(tmp_path / "model.onnx")
    loaded = onnx.load(tmp_path / "model.onnx")
    facts = {entry.key: entry.value for entry in loaded.metadata_props}
    how = Preprocessing(size=(8, 8), crop_share=1.0, mean=MEAN, std=STD)
    helper.set_model_props(loaded, facts | {"preprocessing": json.dumps(how.to_dict())})
    onnx.save(loaded, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def by_hand(pixel: np.ndarray) -> list[float]:
    return softmax(10 * pixel).tolist()


def test_each_way_is_what_its_formula_says(model, tmp_path):
    color = np.array([120, 110, 90])
    told = answer_all_ways(Predictor(model), stories.photo(tmp_path / "brown.png", tuple(color)))
    assert told["own"] == pytest.approx(by_hand((color / 255 - MEAN) / STD), abs=1e-4)
    assert told["unit"] == pytest.approx(by_hand(color / 255), abs=1e-4)
    assert told["bytes"] == pytest.approx(by_hand(color.astype(float)), abs=1e-4)


def test_the_right_way_is_the_predictors_own_and_the_wrong_ones_differ(model, tmp_path):
    file, predictor = stories.photo(tmp_path / "brown.png", (120, 110, 90)), Predictor(model)
    told = answer_all_ways(predictor, file)
    assert told["own"] == pytest.approx(predictor.predict_files([file])[0].probabilities, abs=1e-6)
    assert np.argmax(told["own"]) == 1 and np.argmax(told["unit"]) == 0  # another answer, and no error
    assert max(told["bytes"]) > 0.999 > max(told["own"])  # and sure of it


def test_the_process_answers_for_several_files_in_order(model, tmp_path):
    files = [stories.photo(tmp_path / f"{name}.png", color) for name, color in (("a", (250, 0, 0)), ("b", (0, 0, 250)))]
    with PredictorProcess() as process:
        first, second = process.ask("ways", model=str(model), files=list(map(str, files)))
        assert np.argmax(first["own"]) == 0 and np.argmax(second["own"]) == 2
        (tmp_path / "no.png").write_text("no picture")
        with pytest.raises(BadImage):
            process.ask("ways", model=str(model), files=[str(tmp_path / "no.png")])
