"""A model is made as sure as it is right: what changes, what must not, and that every file says the same."""

import json

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from transfer_core.images import Preprocessing
from transfer_core.metrics import best_temperature
from transfer_core.predictor import softmax
from transfer_core.training import calibrate, checkpoint
from transfer_core.training.models import classifiers

HOW = Preprocessing(size=(64, 64), crop_share=1.0, crop_mode="center", interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)


def overconfident(n: int, times: float, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits `times` as large as those whose probabilities the labels were drawn with."""
    random = np.random.default_rng(seed)
    honest = random.normal(size=(n, classes)) * 2
    labels = np.array([random.choice(classes, p=row) for row in softmax(honest)])
    return times * honest, labels


@pytest.mark.parametrize("times", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_logits_is_found(times):
    found = best_temperature(*overconfident(20_000, times))
    assert found["value"] == pytest.approx(times, rel=0.03)
    assert found["log_loss_after"] <= found["log_loss_before"] + 1e-12


def test_agrees_with_scikit_learn():
    """Temperature scaling of scikit-learn, an implementation of its own, on the same logits."""
    random = np.random.default_rng(1)
    features = random.normal(size=(4000, 5))
    labels = (features @ random.normal(size=(5, 3)) + random.gumbel(size=(4000, 3))).argmax(1)
    model = LogisticRegression(C=1e3).fit(features[:60], labels[:60])  # of few images: too sure
    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(features[60:], labels[60:])
    logits = model.decision_function(features[60:])
    ours = softmax(logits / best_temperature(logits, labels[60:])["value"])
    assert ours == pytest.approx(theirs.predict_proba(features[60:]), abs=2e-3)


def test_a_perfect_few_do_not_make_it_infinitely_sure():
    """All of 24 named rightly: the likelihood alone goes on to T = 0."""
    labels = np.arange(24) % 3
    logits = np.eye(3)[labels] * 3
    assert best_temperature(logits, labels)["value"] > 0.25


def test_what_is_right_already_is_left_and_written_down():
    """A model whose percentages were right made a NumPy boolean, which JSON has not: its training failed at the very end."""
    torch.manual_seed(0)
    logits, labels = overconfident(2_000, 1.0)
    logits /= best_temperature(logits, labels)["value"]
    found = calibrate.settle(timm.create_model("test_resnet", num_classes=4), HOW, logits, labels)
    assert found["value"] == 1.0 and json.loads(json.dumps(found))["fitted"] is True


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "vit_tiny_patch16_224", "levit_128s", "mobilenetv3_small_050",
                                  "deit_tiny_distilled_patch16_224", "crossvit_9_240", "vgg11"])
def test_the_last_layer_takes_it_in_every_family(tmp_path, name):
    size = {"vit_tiny_patch16_224": 224, "levit_128s": 224, "deit_tiny_distilled_patch16_224": 224, "crossvit_9_240": 240}
    how = Preprocessing(**{**HOW.__dict__, "size": (size.get(name, 64),) * 2})
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=4).eval()
    with torch.no_grad():
        for head in classifiers(model):
            for parameter in head.parameters():
                parameter.normal_()
        photos = torch.randn(3, 3, *how.size)
        before = model(photos)
        logits, labels = overconfident(400, 2.5)
        found = calibrate.settle(model, how, logits, labels)
        calibrate.save(tmp_path / checkpoint.BEST, model, found["value"])
        assert found["value"] == pytest.approx(2.5, rel=0.2)
        assert torch.allclose(model(photos) * found["value"], before, rtol=1e-3, atol=1e-4 * float(before.abs().max()))
    assert calibrate.temperature_of(tmp_path / checkpoint.BEST) == found["value"]
    assert found["log_loss_after"] < found["log_loss_before"]
    assert found["ece_after"] <= found["floor"] < found["ece_before"], "calibrated data stay within what luck alone gives"


class Squashed(torch.nn.Module):
    """A model whose logits are not what its classifier gives."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(3, 4)

    def get_classifier(self) -> torch.nn.Module:
        return self.fc

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.fc(images.mean((2, 3))))


def test_what_cannot_take_it_is_left_as_it_was(tmp_path):
    model = Squashed()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = calibrate.settle(model, HOW, *overconfident(400, 2.5))
    assert (found["value"], found["fitted"]) == (1, False)
    calibrate.save(tmp_path / checkpoint.BEST, model, 1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert calibrate.temperature_of(tmp_path / checkpoint.BEST) == 1, "it was looked at, and is not looked at again"


def test_few_images_settle_nothing():
    model = timm.create_model("resnet10t", num_classes=4).eval()
    found = calibrate.settle(model, HOW, *overconfident(calibrate.FEWEST - 1, 4.0))
    assert (found["value"], found["fitted"]) == (1, False)
    assert found["ece_before"] == found["ece_after"]


def test_what_was_trained_is_there_again(tmp_path):
    """An average of runs is one of what they learned, not of what they were divided by."""
    torch.manual_seed(0)
    model = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=4).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    how = Preprocessing(**{**HOW.__dict__, "size": (224, 224)})
    found = calibrate.settle(model, how, *overconfident(400, 2.5))
    calibrate.save(tmp_path / "model.safetensors", model, found["value"])
    again, saved = calibrate.undivided(tmp_path / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert all(torch.allclose(again[name], before[name], rtol=1e-6, atol=0) for name in before)
    assert {name for name in before if not torch.equal(saved[name], before[name])} == {
        f"{head}.{part}" for head in ("head", "head_dist") for part in ("weight", "bias") if before[f"{head}.{part}"].any()}


@pytest.mark.parametrize("said", ["x", "nan", "inf", "-3", "0", "1e9", ""])
def test_a_strangers_nonsense_is_no_temperature(tmp_path, said):
    save_file({"fc.weight": torch.ones(2, 2)}, tmp_path / "m.safetensors", {"temperature": f"{said} fc.weight"})
    assert calibrate.temperature_of(tmp_path / "m.safetensors") is None
    assert torch.equal(calibrate.undivided(tmp_path / "m.safetensors")["fc.weight"], torch.ones(2, 2))
