"""Fine-tune a pretrained image model on your own photos, and see what freezing and λ cost and keep.

The same things as in the browser, from Python. A training is a generator of events:

    from transfer_core import Home, Manifest, Predictor, Recipe, Store, finish, fit, import_dataset

    store = Store(Home.default())
    for event in import_dataset("photos.zip", "Hats", store):
        print(event)

    dataset = store.dataset("Hats")
    manifest = Manifest.read(store.home, dataset.id, dataset.latest.version)
    recipe = Recipe(dataset=dataset.id, model="tf_efficientnet_lite0", freeze="all", epochs=10)
    for event in fit(recipe, manifest, store.home, "hats"):
        print(event)                      # stop whenever you like: the best weights so far are in the folder
    for event in finish("hats", manifest, store.home, name="Hats"):
        print(event)                      # measured on photos the model never saw, exported, replayed

    print(Predictor("hats/model.onnx").predict_files(["new.jpg"])[0].label)

Importing this package is light; torch is imported when something that needs it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transfer_core.catalog import ModelInfo, model, models, search, suggested
    from transfer_core.datasets import Manifest, import_dataset, understand
    from transfer_core.errors import StudioError
    from transfer_core.estimate import estimate
    from transfer_core.events import Event, from_json, to_json
    from transfer_core.examples import make_example
    from transfer_core.images import open_image
    from transfer_core.paths import Home
    from transfer_core.predictor import Predictor
    from transfer_core.presets import PRESETS, recommend
    from transfer_core.progress import Progress, fold, verdict
    from transfer_core.recipe import Recipe
    from transfer_core.store import Store
    from transfer_core.training.export import export
    from transfer_core.training.finish import finish
    from transfer_core.training.fit import fit
    from transfer_core.training.models import load_run

__all__ = [
    "PRESETS",
    "Event",
    "Home",
    "Manifest",
    "ModelInfo",
    "Predictor",
    "Progress",
    "Recipe",
    "Store",
    "StudioError",
    "estimate",
    "export",
    "finish",
    "fit",
    "fold",
    "from_json",
    "import_dataset",
    "load_run",
    "make_example",
    "model",
    "models",
    "open_image",
    "recommend",
    "search",
    "suggested",
    "to_json",
    "understand",
    "verdict",
]

_PLACES = {
    "catalog": ("ModelInfo", "model", "models", "search", "suggested"),
    "datasets": ("Manifest", "import_dataset", "understand"),
    "errors": ("StudioError",),
    "estimate": ("estimate",),
    "events": ("Event", "from_json", "to_json"),
    "examples": ("make_example",),
    "images": ("open_image",),
    "paths": ("Home",),
    "predictor": ("Predictor",),
    "presets": ("PRESETS", "recommend"),
    "progress": ("Progress", "fold", "verdict"),
    "recipe": ("Recipe",),
    "store": ("Store",),
    "training.export": ("export",),
    "training.finish": ("finish",),
    "training.fit": ("fit",),
    "training.models": ("load_run",),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted((*globals(), *__all__))
