"""A model is made as sure as it is right: what changes, what must not, and that every file says the same."""

import numpy as np
import pytest
import timm
import torch
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
        found = calibrate.settle(tmp_path, model, how, logits, labels)
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
    assert calibrate.settle(tmp_path, model, HOW, *overconfident(400, 2.5))["value"] == 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert calibrate.temperature_of(tmp_path / checkpoint.BEST) == 1, "it was looked at, and is not looked at again"


def test_few_images_settle_nothing(tmp_path):
    model = timm.create_model("resnet10t", num_classes=4).eval()
    found = calibrate.settle(tmp_path, model, HOW, *overconfident(calibrate.FEWEST - 1, 4.0))
    assert found["value"] == 1
    assert found["ece_before"] == found["ece_after"]
