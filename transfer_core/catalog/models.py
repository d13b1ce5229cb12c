"""What is known of every timm model without torch: from `assets/models/index.json.gz`, written from the installed timm.

The first line of the index holds all models, then one line a structure, read only when somebody asks for its layer groups.
"""

from __future__ import annotations

import difflib
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any

from transfer_core.errors import NotFound
from transfer_core.images import Preprocessing
from transfer_core.paths import assets

WHOLE = "backbone"
"""Name of the one layer group of a model that cannot be cut further."""
_TUNED = ("norm", "bias", "lora")
_FREE = frozenset({"apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0"})
_NOT_COMMERCIAL = frozenset({"cc-by-nc-4.0", "fair-noncommercial-research-license", "apple-amlr", "seer-license"})


@dataclass(frozen=True)
class GroupInfo:
    """One layer group of a backbone, for one image at the model's own size."""

    name: str
    parameters: int
    share: float
    """Of the multiply-adds of the whole backbone, 0 to 1."""
    shape: tuple[int, ...]
    """Of its output, without the batch; channels first or last as the model has it."""
    activations: int
    """Numbers its innermost modules write: an estimate of what a backward pass keeps."""
    tuned: Mapping[str, int] = field(default_factory=dict, compare=False)
    """How many parameters are norms' ("norm") and biases ("bias"), and how many a change of rank 1 has ("lora")."""


@dataclass(frozen=True)
class ModelInfo:
    """One pretrained model (name with tag), or an architecture without pretrained weights (no tag)."""

    name: str
    family: str
    """The timm module that defines it: `resnet`, `vision_transformer`, …"""
    licence: str
    trained_on: str
    """What the weights saw, in order: `in12k → in1k`; "unknown" when the tag does not say."""
    source_classes: int
    """Of the classifier it was published with; 0 when it has none."""
    parameters: int
    """With the classifier it was published with."""
    macs: int
    """Multiply-adds of one forward pass of one image, attention included."""
    input_size: tuple[int, int, int]
    hub: str | None
    """Repository on the hub, when its weights lie there."""
    url: str | None
    """Name of its weight file, when it lies at a plain address."""
    default: bool
    """Whether timm means this tag when only the architecture is named."""
    structure: int
    settings: Mapping[str, Any] = field(compare=False, repr=False)
    kept_groups: int | None = None
    """Layer groups that are used, where it is not all of them (see `shortened`)."""

    @property
    def architecture(self) -> str:
        return self.name.partition(".")[0]

    @property
    def tag(self) -> str:
        return self.name.partition(".")[2]

    @property
    def pretrained(self) -> bool:
        return bool(self.tag)

    @property
    def toy(self) -> bool:
        """Whether timm made it for its own tests: a thousandth of a real model, and of no use for photos."""
        return self.name.startswith("test_")

    @property
    def image_size(self) -> int:
        """Height and width in pixels."""
        return self.input_size[1]

    @property
    def gmacs(self) -> float:
        return self.macs / 1e9

    @property
    def commercial(self) -> bool | None:
        """Whether the licence allows commercial use; None when one has to read it."""
        return True if self.licence in _FREE else False if self.licence in _NOT_COMMERCIAL else None

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing.from_dict(self.settings)

    @cached_property
    def groups(self) -> tuple[GroupInfo, ...]:
        """The backbone's layer groups in forward order; the head is in none."""
        known = _structure(self.structure)
        rows = known["groups"][:self.kept_groups]
        total = sum(row[2] for row in rows) or 1
        found = [GroupInfo(name, parameters, macs / total, tuple(shape), activations, dict(zip(_TUNED, tuned, strict=True)))
                 for (name, parameters, macs, shape, activations), tuned in zip(rows, known["tuned"], strict=False)]
        if self.kept_groups:  # the last norm goes with whatever is last now
            _, norm, bias = self.ends[self.kept_groups]
            last = found[-1]
            tuned = {**last.tuned, "norm": last.tuned["norm"] + norm, "bias": last.tuned["bias"] + bias}
            found[-1] = replace(last, parameters=last.parameters + norm, tuned=tuned)
        return tuple(found)

    @cached_property
    def ends(self) -> Mapping[int, tuple[int, int, int]]:
        """Numbers of leading layer groups the backbone could end after → features it would then have, and how many parameters
        and biases its last norm has, which stays."""
        return {kept: tuple(facts) for kept, *facts in _structure(self.structure)["ends"]}

    def shortened(self, kept: int | None) -> ModelInfo:
        """The model with only its first `kept` layer groups, and without a classifier to compare with; what is published (its
        parameters, compute and file) stays what it was. The same model where it cannot end there."""
        return replace(self, kept_groups=kept, source_classes=0) if kept in self.ends else self

    @property
    def share(self) -> float:
        """Of the whole backbone's compute that is left."""
        costs = [row[2] for row in _structure(self.structure)["groups"]]
        return sum(costs[:self.kept_groups]) / (sum(costs) or 1)

    @property
    def whole(self) -> bool:
        """Whether the backbone can only be frozen or trained as a whole."""
        return [group.name for group in self.groups] == [WHOLE]

    @property
    def backbone_parameters(self) -> int:
        return sum(group.parameters for group in self.groups) if self.kept_groups else _structure(self.structure)["backbone"]

    @property
    def features(self) -> int:
        """Numbers a linear head is given for each image."""
        return self.ends[self.kept_groups][0] if self.kept_groups else self.head_parameters(2) - self.head_parameters(1) - 1

    def head_parameters(self, classes: int) -> int:
        """Parameters of a new head of so many classes."""
        if self.kept_groups:
            return (self.features + 1) * classes
        each, further = _structure(self.structure)["head"]
        return each * classes + further


def timm_version() -> str:
    """The timm the index was written from."""
    return _index().timm


def undescribed() -> Mapping[str, str]:
    """Models the catalog leaves out, and why they could not be described."""
    return _index().failed


def models() -> list[ModelInfo]:
    """Every model there is, by name."""
    return list(_index().models.values())


def model(name: str) -> ModelInfo:
    """A model by name; an architecture alone means its default tag, as in timm. Raises `NotFound` with names like it."""
    index = _index()
    found = index.models.get(name) or index.defaults.get(name)
    if found is None:
        near = difflib.get_close_matches(name.partition(".")[0], index.defaults, 3, 0.5)
        raise NotFound("unknown_model", model=name, near=", ".join(near) or "–")
    return found


@dataclass(frozen=True)
class _Index:
    timm: str
    failed: Mapping[str, str]
    models: Mapping[str, ModelInfo]
    defaults: Mapping[str, ModelInfo]
    lines: tuple[bytes, ...]


@cache
def _index() -> _Index:
    first, *lines = gzip.decompress((assets() / "models" / "index.json.gz").read_bytes()).splitlines()
    head = json.loads(first)
    settings = [MappingProxyType(fields) for fields in head["preprocessing"]]
    infos = (
        ModelInfo(name, head["families"][family], head["licences"][licence], head["datasets"][dataset], classes, parameters, macs,
                  (3, *settings[number]["size"]), hub, url, bool(default), structure, settings[number])
        for name, family, licence, dataset, classes, parameters, macs, number, hub, url, default, structure in head["models"]
    )
    found = {info.name: info for info in infos}
    defaults = {info.architecture: info for info in found.values() if info.default}
    return _Index(head["timm"], head["failed"], MappingProxyType(found), MappingProxyType(defaults), tuple(lines))


@cache
def _structure(number: int) -> dict[str, Any]:
    return json.loads(_index().lines[number])
