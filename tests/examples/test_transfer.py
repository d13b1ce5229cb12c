"""ImageNet features must transfer to the drawn examples, and nothing simpler may solve them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from transfer_core.examples import make_example
from transfer_core.training.weights import pretrained_state_dict

SPREAD = (0.001, 0.1, 10.0)
"""Baselines get the best of these regularisation strengths, chosen on the test pictures themselves: more than is fair."""


def drawn(name: str, folder: Path, images_per_class: int, seed: int) -> tuple[list[Image.Image], np.ndarray]:
    """The pictures of an example and their class numbers."""
    for _ in make_example(name, folder, images_per_class, seed):
        pass
    files = sorted(folder.rglob("*.jpg"))
    labels = sorted({file.parent.name for file in files})
    return [Image.open(file).convert("RGB") for file in files], np.array([labels.index(file.parent.name) for file in files])


def lite0(pretrained: bool) -> torch.nn.Module:
    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    if pretrained:
        model.load_state_dict(pretrained_state_dict("tf_efficientnet_lite0"))
    return model.eval()


@torch.inference_mode()
def deep(model: torch.nn.Module, pictures: list[Image.Image], size: int = 224) -> np.ndarray:
    """Pooled features, N × 1280."""
    rows = []
    for picture in pictures:
        values = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC), np.float32) / 127.5 - 1
        batch = torch.from_numpy(values.transpose(2, 0, 1)[None]).contiguous(memory_format=torch.channels_last)
        rows.append(model.forward_head(model.forward_features(batch), pre_logits=True)[0].numpy())
    return np.stack(rows)


def histogram(pictures: list[Image.Image]) -> np.ndarray:
    """Joint colour histogram, 4 bins a channel: N × 64."""
    pixels = (np.asarray(picture) // 64 @ np.array([16, 4, 1]) for picture in pictures)
    return np.stack([np.bincount(codes.ravel(), minlength=64) / codes.size for codes in pixels])


def raw(pictures: list[Image.Image]) -> np.ndarray:
    """16 × 16 pixels: N × 768."""
    return np.stack([np.asarray(picture.resize((16, 16), Image.Resampling.BOX)).ravel() / 255 for picture in pictures])


def probe(train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, strength: float) -> float:
    """Test accuracy of a logistic regression on standardised features."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))
    return float(model.fit(train, train_labels).score(test, test_labels))


def accuracies(train: tuple, test: tuple, size: int = 224) -> dict[str, float]:
    """Test accuracy of each kind of feature; `pretrained` at a fixed strength, the baselines at their luckiest."""
    networks = {name: lite0(name == "pretrained") for name in ("pretrained", "random weights")}
    kinds = {name: lambda pictures, model=model: deep(model, pictures, size) for name, model in networks.items()}
    kinds |= {"colour histogram": histogram, "raw pixels": raw}
    found = {}
    for name, features in kinds.items():
        one, other = features(train[0]), features(test[0])
        strengths = (0.01,) if name == "pretrained" else SPREAD
        found[name] = max(probe(one, train[1], other, test[1], strength) for strength in strengths)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "train_per_class", "least", "ahead"), [("leaves", 12, 0.90, 0.4), ("cloth", 20, 0.5, 0.15)])
def test_pretrained_features_transfer_and_nothing_simpler_does(name, train_per_class, least, ahead, tmp_path):
    """Test pictures are drawn with another seed. Cloth is hard on purpose: room for what training adds."""
    train = drawn(name, tmp_path / "train", train_per_class, seed=1)
    test = drawn(name, tmp_path / "test", 15, seed=2)
    found = accuracies(train, test)
    baselines = [found[kind] for kind in ("random weights", "colour histogram", "raw pixels")]
    assert found["pretrained"] >= least, found
    assert found["pretrained"] - max(baselines) >= ahead, found
