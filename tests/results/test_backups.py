"""A studio that came back from a backup answers as it did."""

from __future__ import annotations

import numpy as np
import pytest
from trained_run import LABELS, odd_pictures

from transfer_core.backups import backup, restore
from transfer_core.paths import Home
from transfer_core.predictor import Predictor
from transfer_core.store import Store


@pytest.mark.slow
def test_a_run_predicts_the_same_after_a_backup_came_back(finished, tmp_path):
    run, _ = finished
    store = Store(run.home, f"sqlite:///{run.home.database}")
    files = []
    for name, content in odd_pictures().items():
        files.append(tmp_path / name)
        files[-1].write_bytes(content)

    def answers(home: Home) -> np.ndarray:
        predictor = Predictor(home.run("train-1") / "model.onnx")
        return np.array([prediction.probabilities for prediction in predictor.predict_files(files)])

    before = answers(run.home)
    backup(run.home, store.url, tmp_path / "safe")
    store.close()
    new = Home(tmp_path / "new")
    restore(tmp_path / "safe", new, f"sqlite:///{new.root}/studio.db")
    assert before.shape == (len(files), len(LABELS))
    assert np.array_equal(answers(new), before)
