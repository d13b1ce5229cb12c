"""A recipe: everything a training needs to be repeated. Frozen, validated once, JSON both ways."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from transfer_core.errors import BadRecipe
from transfer_core.regularizers import REGULARIZERS
from transfer_core.source_losses import SOURCE_LOSSES

Position = Literal["train", "anchor", "freeze"]
DEFAULT_MODEL = "tf_efficientnet_lite0"
_FEWEST_VIEWS, _MOST_VIEWS = 2, 4
"""Stored variations of each image unless a recipe says so. A single one is worse than none, more than four give nothing that
was measured: see docs/decisions.md."""


def _regularizer(name: str | None) -> str | None:
    return None if name is None else REGULARIZERS[name].name


def _source_loss(name: str | None) -> str | None:
    return None if name is None else SOURCE_LOSSES[name].name


class Recipe(BaseModel):
    """What to train, on what, how, and from which random numbers. Two equal recipes on one machine give equal models.

    The objective is one of two forms, told apart by what is set (both may be):

        source–target   L = ( L_source + λ · L_target ) / (1 + λ)    `source_loss`, `lambda_target` = λ ≥ 0
        regularised     L = L_target + λ_Ω · Ω(θ)                    `regularizer`, `lambda_omega` = λ_Ω ≥ 0

    Raises `BadRecipe` with the setting's name and what it allows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    version: Annotated[int, Field(ge=1)] = 1

    model: str = DEFAULT_MODEL
    weights: Literal["pretrained", "file", "scratch", "run"] = "pretrained"
    weights_file: str | None = None
    """SHA-256 of a weight file in the data home; only with weights = "file"."""
    start_from: Annotated[str | None, Field(pattern=r"^[\w-]+$")] = None
    """A run whose best weights are the start; only with weights = "run"."""

    kept_groups: Annotated[int, Field(ge=1)] | None = None
    """Use only the first so many layer groups of the backbone and leave out the rest; None keeps all."""
    head: Literal["linear", "hidden", "flatten"] = "linear"
    """What tells the classes apart: one layer on the pooled features, a hidden layer before it, or one layer on all places of
    the last picture of features instead of their mean."""
    head_width: Annotated[int, Field(ge=2, le=8192)] = 256
    """Units of the hidden layer."""
    head_dropout: Annotated[float, Field(ge=0, le=0.95)] = 0.2
    """Share of the hidden layer's units that are left out at random in each step."""

    freeze: Annotated[int, Field(ge=0)] | Literal["all"] = "all"
    """Freeze the first k layer groups of the backbone; "all" is head only (feature transfer), 0 trains everything."""
    positions: dict[str, Position] = {}
    """Single layer groups by name, where they differ from what `freeze` says."""
    tuning: Literal["all", "lora", "norm", "bias"] = "all"
    """What of the groups that train may change: all weights, a change of low rank, only norms, or only biases."""
    lora_rank: Annotated[int, Field(ge=1, le=1024)] = 8
    lambda_anchor: Annotated[float, Field(ge=0, le=1e6)] = 100.0
    """λ of the l2_sp pull on anchored groups; freezing is λ → ∞."""

    source_loss: Annotated[str | None, AfterValidator(_source_loss)] = None
    source_dataset: Annotated[str | None, Field(pattern=r"^[\w-]+$")] = None
    """A second dataset to learn at the same time; only with source_loss = "replay"."""
    source_version: Annotated[int, Field(ge=1)] = 1
    lambda_target: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    regularizer: Annotated[str | None, AfterValidator(_regularizer)] = "l2_sp"
    """On the head alone l2_sp is l2; on a pretrained backbone it starts at 0, where l2 would start in the thousands."""
    lambda_omega: Annotated[float, Field(ge=0, le=1e6)] = 0.01

    epochs: Annotated[int, Field(ge=1, le=1000)] = 10
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 32
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 3e-3
    """Of the head; the backbone's is `backbone_factor` times this."""
    backbone_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of all steps in which the learning rate rises from zero."""
    clip: Annotated[float, Field(ge=0)] = 1.0
    """Largest norm of the gradient; 0 switches clipping off."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augmentation: Literal["auto", "none", "light", "medium", "strong"] = "auto"
    """How images are varied while training. "auto" is none with head only (each image then goes through the frozen
    backbone once instead of once an epoch), else light."""
    stored_views: Annotated[int, Field(ge=0, le=64)] | None = None
    """Variations of each image that are drawn once and kept as the frozen layers see them; epochs take turns. 0 draws fresh
    ones for every epoch, at the price of running the frozen layers on each; None chooses by the number of epochs."""
    flip: bool = True
    """Mirror images left to right while training; off where the side matters (text, left and right hands)."""
    class_balance: Literal["none", "weights", "sampler"] = "none"
    image_size: Annotated[int, Field(ge=16, le=1024)] | None = None
    """Pixels; None is the size the model was trained at."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    patience: Annotated[int, Field(ge=0)] = 5
    """Stop after this many epochs without a better validation accuracy or loss; 0 never stops early."""
    minutes: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Train for so long at most, and take the best by then; None is no limit. The learning rate falls in the last fifth of
    the time, so such a training depends on how fast the machine is (see `training.budget`)."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    def __init__(self, **settings: object) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"] if part not in ("constrained-int", "literal['all']"))
            raise BadRecipe("bad_setting", setting=place, given=repr(first["input"]), reason=first["msg"]) from error

    @model_validator(mode="after")
    def _weights_go_together(self) -> Recipe:
        if (self.weights == "file") != (self.weights_file is not None):
            raise BadRecipe("weights_file_missing")
        if (self.weights == "run") != (self.start_from is not None):
            raise BadRecipe("start_missing")
        if self.tuning == "lora" and "anchor" in self.positions.values():
            raise BadRecipe("lora_anchor")
        needs_data = self.source_loss is not None and bool(SOURCE_LOSSES[self.source_loss].facts.get("data"))
        if needs_data != (self.source_dataset is not None):
            raise BadRecipe("source_dataset_missing", source=self.source_loss or "none")
        return self

    def position(self, group: str, index: int, groups: int) -> Position:
        """Where layer group number `index` (of `groups` in the backbone) stands on the freeze ladder."""
        frozen = groups if self.freeze == "all" else self.freeze
        return self.positions.get(group, "freeze" if index < frozen else "train")

    @property
    def views(self) -> Literal["none", "light", "medium", "strong"]:
        """The augmentation that is meant, "auto" resolved."""
        if self.augmentation != "auto":
            return self.augmentation
        return "none" if self.freeze == "all" and set(self.positions.values()) <= {"freeze"} else "light"

    @property
    def kept_views(self) -> int | None:
        """Stored variations of each training image, None resolved: 0 without augmentation; None where each epoch is to see
        fresh ones."""
        if self.views == "none":
            return 0
        if self.stored_views is None:
            return min(_MOST_VIEWS, max(_FEWEST_VIEWS, -(-self.epochs // 2)), self.epochs)
        return self.stored_views or None

    def but(self, **changes: object) -> Recipe:
        """The same recipe with some settings changed, validated again."""
        return Recipe(**{**self.model_dump(), **changes})

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that are equal exactly for equal recipes."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


def parse_freeze(text: str | int) -> int | Literal["all"]:
    """`all`, `none` or a number of layer groups, as people type it."""
    text = str(text).strip().lower()
    if text == "all":
        return "all"
    if text == "none":
        return 0
    if text.isdigit():
        return int(text)
    raise BadRecipe("bad_setting", setting="freeze", given=text, reason="all, none or a number of layer groups")
