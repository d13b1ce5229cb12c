"""A trained run without a training: a tiny random model, eight odd pictures, and class names nobody would wish for."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Picture

from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.images import open_image, preprocess
from transfer_core.paths import Home
from transfer_core.recipe import Recipe

LABELS = ["<b>bold</b> & \"q\"", "line\nbreak", "a/b\\c|d", "苹果", "🍎", "..", "CON", "$x$ {y} `z`", "=1+1", "hat", "Hat",
          "\u00e9", "e\u0301", "tab\there", "\u05e9\u05dc\u05d5\u05dd \u202eabc", "</script><!-- ' @@facts@@",
          "https://a.example www.b.example @c :d: e@f.example",
          "__proto__", "10", "2", "L" * 200]
"""As long as there are pictures, each has one of its own; the others are classes that nothing was measured of."""


@dataclass(frozen=True)
class Trained:
    folder: Path
    manifest: Manifest
    home: Home


def drawing(seed: int, mode: str = "RGB", size: tuple[int, int] = (97, 61)) -> Picture.Image:
    """Smooth random colours, different in every quarter, so that a turn or a flip changes what a model says."""
    random = np.random.default_rng(seed)
    small = Picture.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8))
    return small.resize(size, Picture.Resampling.BICUBIC).convert(mode)


def saved(image: Picture.Image, kind: str, **how) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def odd_pictures() -> dict[str, bytes]:
    turned = Picture.Exif()
    turned[0x0112] = 6
    see_through = drawing(3, "RGBA")
    see_through.putalpha(drawing(30, "L"))
    sixteen = Picture.fromarray(np.asarray(drawing(5, "L")).astype(np.uint16) * 257)
    return {
        "plain.jpg": saved(drawing(0), "JPEG"), "turned.jpg": saved(drawing(1), "JPEG", exif=turned),
        "grey.png": saved(drawing(2, "L"), "PNG"), "alpha.png": saved(see_through, "PNG"),
        "cmyk.jpg": saved(drawing(4, "CMYK"), "JPEG"), "16bit.png": saved(sixteen, "PNG"),
        "palette.gif": saved(drawing(6).quantize(16), "GIF"),
        "thin.webp": saved(drawing(7, size=(300, 9)), "WEBP", lossless=True),
    }


def trained(root: Path, labels: list[str] = LABELS, model: str = "test_resnet", splits=("validation", "test"),
            weights: str = "scratch") -> Trained:
    """What `fit` leaves behind, with a head that is random instead of learned."""
    from transfer_core.training.checkpoint import save_best, write_description
    from transfer_core.training.models import build, classifiers

    home, images = Home(root / "home"), []
    for number, (file, content) in enumerate(odd_pictures().items()):
        sha = hashlib.sha256(content).hexdigest()
        home.image(sha).write_bytes(content)
        for split in ("train", *splits):
            images.append(Image(sha, file, labels[number % len(labels)], split, number, 97, 61))
    folder = home.run("train-1")
    recipe = Recipe(dataset="odd", model=model, weights=weights, epochs=1)
    torch.manual_seed(0)
    built = build(recipe, len(labels), home)
    _decide(built.model, classifiers(built.model)[0], torch.from_numpy(np.stack(
        [preprocess(open_image(content), built.preprocessing) for content in odd_pictures().values()])))
    write_description(folder, recipe, sorted(labels), {
        "architecture": built.architecture, "arguments": built.arguments, "preprocessing": built.preprocessing.to_dict()})
    save_best(folder, built.model)
    manifest = Manifest("odd", 1, tuple(images))
    manifest.write(home)
    return Trained(folder, manifest, home)


def _decide(model: torch.nn.Module, head: torch.nn.Linear, pictures: torch.Tensor) -> None:
    """A random head whose logits have mean 0 and spread 2 on the pictures, so that each picture gets its own answer."""
    torch.nn.init.normal_(head.weight)
    with torch.inference_mode():
        logits = model.eval()(pictures)
    with torch.no_grad():
        scale = 2 / logits.std(dim=0)
        head.weight.mul_(scale[:, None])
        head.bias.copy_(-logits.mean(dim=0) * scale)
