"""A timm model with pretrained weights, a new head for the person's classes, and the original head kept aside."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from timm.data import resolve_model_data_config
from torch import Tensor, nn

from transfer_core.errors import BadRecipe, NotFound
from transfer_core.events import Transferred
from transfer_core.images import Preprocessing
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.training.layers import LayerGroup, layer_groups
from transfer_core.training.starts import SourceRun, Start, from_file, from_run, read_run, run_folder, without_head
from transfer_core.training.structure import AS_IT_CAME, Structure, behind_pooling, pooling, put_head, reshape, shorten
from transfer_core.training.weight_files import read_weights
from transfer_core.training.weights import own_file, pretrained_state_dict
from transfer_core.words import Message


@dataclass
class Built:
    """A model ready to be trained."""

    model: nn.Module
    source_head: list[nn.Module]
    """Frozen copies of the original classifier (more than one where the model has two); empty when it had none."""
    preprocessing: Preprocessing
    groups: list[LayerGroup]
    """Of the backbone, in forward order."""
    architecture: str
    arguments: dict[str, Any]
    """What `timm.create_model` needs besides the name to make this shape again (`img_size`)."""
    notes: list[Message] = field(default_factory=list)
    source_classes: list[str] | None = None
    """What the original classifier tells apart, where that is known: it started from a run."""
    transferred: Transferred | None = None
    """What was taken over from that run."""
    structure: Structure = AS_IT_CAME
    pool: str | None = None
    """How the model pools its last features, where its shape is not timm's own."""


def build(recipe: Recipe, num_classes: int, home: Home, classes: Sequence[str] = (), start: Path | None = None) -> Built:
    """Make the recipe's model. Its new head is all zeros, so the first loss is exactly ln(num_classes).

    A random head would send large gradients into the backbone and tear up its features (Kumar et al. 2022). Only where the model
    starts from a run that tells the same `classes` apart, in the same order, the head goes on as it is. `start` is the folder of
    that run, or of what was kept of it (see `starts.keep`).
    Raises `NotFound`, `BadWeights`, `Unavailable`, `BadRecipe` (image size the model cannot take).
    """
    if not timm.is_model(recipe.model):
        raise NotFound("no_such_model", model=recipe.model)
    model, arguments, begun = _with_weights(recipe, home, start)
    source_head = _kept_head(model) if begun.head else []
    transferred, structure = begun.transferred, Structure.of(recipe)
    if structure.kept_groups == len(layer_groups(model)) and begun.structure.kept_groups is None:
        structure = replace(structure, kept_groups=None)
    preprocessing = preprocessing_of(model, recipe.image_size)
    if recipe.image_size:
        _try_size(model, preprocessing, recipe)
    pool = None if structure.usual and begun.structure.usual else begun.pool or pooling(model)
    if not (begun.head and classes and begun.classes == list(classes) and begun.structure.fits(structure)):
        before = head_tensors(model)
        if shorten(model, recipe.model, structure.kept_groups):
            source_head = []  # its classifier read what is no longer there
        elif begun.structure.head == "flatten" != structure.head:
            source_head = []  # it read every place, and now they are pooled before any head sees them
        elif structure.head == "flatten" and begun.structure.head != "flatten":
            source_head = behind_pooling(source_head, model)
        new_head(model, num_classes, structure, preprocessing.size, pool)
        transferred = without_head(transferred, before, head_tensors(model))
    return Built(model, source_head, preprocessing, layer_groups(model), recipe.model, arguments, begun.notes, begun.classes,
                 transferred and transferred.event, structure, pool)


def _with_weights(recipe: Recipe, home: Home, start: Path | None) -> tuple[nn.Module, dict[str, Any], Start]:
    """The model with its original head, loaded. timm translates names, label offsets and position embeddings."""
    arguments: dict[str, Any] = {}
    card = timm.get_pretrained_cfg(recipe.model, allow_unregistered=True)
    if recipe.image_size and card and card.fixed_input_size:
        arguments["img_size"] = recipe.image_size
    loading: dict[str, Any] = {}
    run = read_run(recipe.start_from, start or run_folder(recipe.start_from, home)) if recipe.weights == "run" else None
    if recipe.weights == "pretrained":
        tensors = pretrained_state_dict(recipe.model)
        loading = {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": tensors, "source": ""}}
    elif run:
        loading = {"num_classes": len(run.classes)}
    try:
        # Random initial weights would differ from run to run in what "scratch" means.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            model = timm.create_model(recipe.model, **arguments, **loading)
    except (TypeError, AssertionError) as error:
        if not arguments:
            raise
        raise BadRecipe("image_size_unfit", size=recipe.image_size, model=recipe.model) from error
    if isinstance(model.pretrained_cfg, dict):
        model.pretrained_cfg.pop("state_dict", None)  # the tensors are in the model now; keep them once
    if recipe.weights == "file":
        file = own_file(recipe.weights_file or "", home)
        return model, arguments, from_file(model, read_weights(file), file.name[:12])
    if run:
        pool = pooling(model)
        _shape(model, recipe, run)
        return model, arguments, replace(from_run(model, run), structure=run.structure, pool=pool)
    return model, arguments, Start(head=recipe.weights == "pretrained")


def _shape(model: nn.Module, recipe: Recipe, run: SourceRun) -> None:
    """As the run's model is. Raises `BadRecipe` where more is asked for than that has."""
    theirs = run.structure
    if theirs.kept_groups and (recipe.kept_groups is None or recipe.kept_groups > theirs.kept_groups):
        raise BadRecipe("start_is_shorter", run=run.run, kept=theirs.kept_groups)
    preprocessing = preprocessing_of(model, recipe.image_size)
    if recipe.image_size and not theirs.usual:
        _try_size(model, preprocessing, recipe)
    reshape(model, recipe.model, theirs, len(run.classes), preprocessing.size)


def in_fast_layout(model: nn.Module) -> nn.Module:
    """Convolutions read channels_last 1.6 to 1.7 times faster on a processor, and tensor cores want it too."""
    if sum(isinstance(module, nn.Conv2d) for module in model.modules()) > 8:
        model.to(memory_format=torch.channels_last)
    return model


def classifiers(model: nn.Module) -> list[nn.Module]:
    """The head as a list: one module, or two in distilled models and CrossViT; empty in a model without a head."""
    heads = model.get_classifier()
    heads = heads if isinstance(heads, (tuple, list, nn.ModuleList)) else [heads]
    return [head for head in heads if isinstance(head, nn.Module) and not isinstance(head, nn.Identity)]


def head_tensors(model: nn.Module) -> set[str]:
    """Names in the state dict that belong to the classifiers, buffers too."""
    heads = set(classifiers(model))
    return {f"{path}.{name}" for path, module in model.named_modules() if module in heads for name in module.state_dict()}


def _kept_head(model: nn.Module) -> list[nn.Module]:
    heads = [copy.deepcopy(head) for head in classifiers(model)]
    return [head.requires_grad_(False).eval() for head in heads]


def new_head(model: nn.Module, num_classes: int, structure: Structure = AS_IT_CAME, size: tuple[int, int] = (0, 0),
             pool: str | None = None) -> None:
    """Replace the classifier by a new one whose last layer is zeros: the first logits are 0, whatever the features.

    `size` in pixels and `pool` are needed for a `structure` that is not timm's own.

    Only the last layer: an MLP head of zeros throughout would pass no gradient to its first layer and never learn.
    """
    put_head(model, structure, num_classes, size, pool)
    for head in classifiers(model):
        layers = [module for module in head.modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
        for layer in layers[-1:]:
            nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


@contextmanager
def random_head(model: nn.Module) -> Iterator[None]:
    """The heads with random weights, and theirs again afterwards: a head of zeros says nothing of what it is given."""
    parameters = [parameter for head in classifiers(model) for parameter in head.parameters()]
    kept = [parameter.detach().clone() for parameter in parameters]
    chance = torch.Generator().manual_seed(0)
    try:
        for parameter in parameters:
            parameter.data.copy_(torch.randn(parameter.shape, generator=chance))
        yield
    finally:
        for parameter, before in zip(parameters, kept, strict=True):
            parameter.data.copy_(before)


def preprocessing_of(model: nn.Module, image_size: int | None = None) -> Preprocessing:
    """What the model was trained to see (timm's `resolve_model_data_config`), at another size if asked."""
    config = resolve_model_data_config(model)
    size = (image_size, image_size) if image_size else tuple(config["input_size"][1:])
    return Preprocessing(size=size, crop_share=config["crop_pct"], crop_mode=config["crop_mode"],
                         interpolation=config["interpolation"], mean=tuple(config["mean"]), std=tuple(config["std"]))


def _try_size(model: nn.Module, preprocessing: Preprocessing, recipe: Recipe) -> None:
    training = model.training
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, 3, *preprocessing.size))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise BadRecipe("image_size_unfit", size=recipe.image_size, model=recipe.model) from error
    finally:
        model.train(training)


def features_and_logits(model: nn.Module, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """What goes into each classifier, and the logits: one forward pass."""
    seen: list[Tensor] = []
    hooks = [head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0])) for head in classifiers(model)]
    try:
        logits = model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return seen, logits


def load_run(folder: Path) -> tuple[nn.Module, list[str], Preprocessing]:
    """A trained model out of a run's folder: in eval mode, with its class names in the order of the logits."""
    try:
        info = json.loads((folder / "info.json").read_text("utf-8"))
        classes = json.loads((folder / "classes.json").read_text("utf-8"))
        tensors = load_file(folder / "model.safetensors")
    except FileNotFoundError as error:
        raise NotFound("no_trained_model", folder=folder.name) from error
    model = shaped(info, len(classes))
    model.load_state_dict(tensors)
    return model.eval(), classes, Preprocessing.from_dict(info["preprocessing"])


def shaped(info: Mapping[str, Any], num_classes: int) -> nn.Module:
    """A model of the shape a run's `info.json` tells of, with weights of no meaning."""
    model = timm.create_model(info["architecture"], num_classes=num_classes, **info["arguments"])
    size = Preprocessing.from_dict(info["preprocessing"]).size
    reshape(model, info["architecture"], Structure.from_dict(info.get("structure")), num_classes, size)
    return model
