"""`preprocess` must give what timm's own evaluation transform gives: the training and the exported file rest on it."""

import numpy as np
import pytest
from PIL import Image

from transfer_core.images import Preprocessing, fit_to, preprocess

SIZES = [(224, 224), (225, 301), (301, 225), (97, 640), (33, 31), (7, 500), (1, 1), (799, 533), (256, 256), (256, 999), (8, 8)]


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize(("size", "share"), [((224, 224), 0.875), ((224, 224), 1.0), ((299, 299), 0.91), ((160, 224), 0.9),
                                             ((32, 32), 0.95), ((224, 223), 0.965)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_equals_timm(mode: str, size: tuple[int, int], share: float, interpolation: str):
    from timm.data import create_transform

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    how = Preprocessing(size, share, mode, interpolation, mean, std)
    timm = create_transform(input_size=(3, *size), is_training=False, crop_pct=share, crop_mode=mode,
                            interpolation=interpolation, mean=mean, std=std)
    for width, height in SIZES:
        image = noise(width, height)
        ours = preprocess(image, how)
        if mode == "border" and share * max(width, height) / min(width, height) > 2 * min(size):
            continue  # timm rounds the shorter side to 0 and fails; ours keeps one pixel
        theirs = timm(image).numpy()
        assert ours.dtype == np.float32
        assert ours.shape == theirs.shape
        assert np.array_equal(ours, theirs), (width, height, np.abs(ours - theirs).max())


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
def test_equals_what_timm_resolves_for_a_model(name: str):
    import timm
    from timm.data import create_transform, resolve_model_data_config

    config = resolve_model_data_config(timm.create_model(name))
    how = Preprocessing(config["input_size"][1:], config["crop_pct"], config["crop_mode"], config["interpolation"],
                        config["mean"], config["std"])
    transform = create_transform(**config, is_training=False)
    for width, height in SIZES:
        image = noise(width, height)
        assert np.array_equal(preprocess(image, how), transform(image).numpy()), (width, height)


def test_extreme_aspect_costs_little_memory_and_keeps_the_middle():
    """4000 × 3 would be resized to 341,333 × 256 (262 MB); cut first, the middle stays."""
    ramp = np.tile(np.linspace(0, 255, 4001).astype(np.uint8)[None, :, None], (3, 1, 3))
    result = np.asarray(fit_to(Image.fromarray(ramp), Preprocessing()))
    assert result.shape == (224, 224, 3)
    assert abs(int(result[112, 112, 0]) - 127) <= 1


def test_preprocessing_survives_json():
    how = Preprocessing(size=(160, 161), crop_mode="squash")
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in how.to_dict().items()}
    assert Preprocessing.from_dict(fields) == how
