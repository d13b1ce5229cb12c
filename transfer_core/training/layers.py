"""Layer groups: the rungs of the freeze ladder, as timm's `group_matcher` cuts a model, without its head."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from timm.models import group_parameters
from torch import nn

WHOLE = "backbone"
"""The one group of a model that cannot be cut further."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerGroup:
    """One rung. `modules` are the largest modules that belong entirely to it: set them to eval, hang hooks on them.

    Some parameters belong to no such module (a ViT's `cls_token` lies in the model itself), so freeze by `parameters`.
    """

    name: str
    """`stem`, `blocks.0`, `layer3`, …; stable, used in recipes."""
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]
    module_names: tuple[str, ...]
    modules: tuple[nn.Module, ...]


def layer_groups(model: nn.Module) -> list[LayerGroup]:
    """Every parameter of the backbone in exactly one group, in forward order; the head (`get_classifier`) in none.

    What timm groups with the head stays behind as a group of its own (`conv_head`, `pre_logits`), or joins the
    group before when it is only a norm. A model timm cannot group becomes one group named `backbone` (see `is_whole`).
    """
    head = head_parameters(model)
    names = [name for name, _ in model.named_parameters() if name not in head]
    groups = _join_norms(model, _matched(model, head)) if names else []
    if sorted(name for group in groups for name in group) != sorted(names):
        log.warning("%s cannot be cut into layer groups; its backbone is one group", type(model).__name__)
        groups = [names]
    owner = {name: index for index, group in enumerate(groups) for name in group}
    modules = _modules(model, owner)
    titles = _titles([*groups, sorted(head)], modules, _has_stem(model)) if len(groups) > 1 else [WHOLE] * len(groups)
    buffers = _buffers(model, owner, modules)
    return [
        LayerGroup(title, tuple(group), tuple(buffers[index]), tuple(modules[index]), tuple(modules[index].values()))
        for index, (title, group) in enumerate(zip(titles, groups, strict=True))
    ]


def is_whole(groups: list[LayerGroup]) -> bool:
    """Whether the model could not be cut, so that its backbone is frozen or trained as a whole."""
    return [group.name for group in groups] == [WHOLE]


def head_parameters(model: nn.Module) -> set[str]:
    """Names of the classifier's parameters; several classifiers (distilled models) count as one head."""
    heads = model.get_classifier()
    heads = heads if isinstance(heads, (tuple, list)) else (heads,)
    inside = {id(parameter) for head in heads if isinstance(head, nn.Module) for parameter in head.parameters()}
    inside |= {id(head) for head in heads if isinstance(head, nn.Parameter)}
    return {name for name, parameter in model.named_parameters() if id(parameter) in inside}


_PLAIN = {"stem": r"^(?:stem|patch_embed|cls_token|pos_embed)",
          "blocks": r"^(?:stages|dense_stages|layers|blocks|transformers)\.(\d+)"}
"""For the few families without a coarse matcher (MetaFormer, CSATv2, PiT, RDNet), whose parts carry timm's usual names."""


def _matched(model: nn.Module, head: set[str]) -> list[list[str]]:
    try:
        found = group_parameters(model, _matcher(model))
    except Exception as error:  # noqa: BLE001  a model's own matcher may fail in any way; the caller falls back
        log.warning("group_matcher of %s failed: %r", type(model).__name__, error)
        return []
    groups = ([name for name in found[key] if name not in head] for key in sorted(found))
    return [group for group in groups if group]


def _join_norms(model: nn.Module, groups: list[list[str]]) -> list[list[str]]:
    """A last group of nothing but 1-d tensors (a final norm) is no rung to choose: it joins the one before."""
    shapes = {name: parameter.ndim for name, parameter in model.named_parameters()}
    if len(groups) > 1 and all(shapes[name] <= 1 for name in groups[-1]):
        return [*groups[:-2], groups[-2] + groups[-1]]
    return groups


_HEAD = -1


def _modules(model: nn.Module, owner: dict[str, int]) -> list[dict[str, nn.Module]]:
    """For each group its largest whole modules by name, in the order they are registered.

    A module without parameters (pooling, dropout) goes with what stands before it; between the last group and
    the head it is left to the head, so that the head keeps its dropout while the whole backbone is in eval.
    """
    found: list[dict[str, nn.Module]] = [{} for _ in range(1 + max(owner.values(), default=-1))]
    # By identity, not by name: CoaT lends one module to several blocks, and it belongs to one group only.
    places = {id(parameter): owner.get(name, _HEAD) for name, parameter in model.named_parameters()}
    seen: set[int] = set()
    waiting: list[tuple[str, nn.Module]] = []
    before: int | None = None
    for name, module, group in _pieces(model, "", places):
        if id(module) in seen:
            continue
        seen.add(id(module))
        if group is None:
            waiting.append((name, module))
            continue
        if group != _HEAD:
            for waited, piece in waiting:
                found[group if before is None else before][waited] = piece
            found[group][name] = module
            before = group
        waiting = []
    return found


def _pieces(module: nn.Module, prefix: str, places: dict[int, int]) -> Iterator[tuple[str, nn.Module, int | None]]:
    """Modules that belong to one group (its index), to the head or, without parameters, to none (None)."""
    for child_name, child in module.named_children():
        name = f"{prefix}{child_name}"
        groups = {places[id(parameter)] for parameter in child.parameters()}
        if len(groups) > 1:
            yield from _pieces(child, f"{name}.", places)
        else:
            yield name, child, next(iter(groups), None)


def _titles(groups: list[list[str]], modules: list[dict[str, nn.Module]], stem: bool) -> list[str]:
    """Readable, unique names of all groups but the last, the head: `stem`, or the first module holding a good part of it."""
    titles: list[str] = []
    for index, group in enumerate(groups[:-1]):
        title = "stem" if index == 0 and stem else _title(group, modules[index])
        # A group cut out of pieces of one block is called after the block, when the block is in no other group.
        shared = _shared_path(group)
        others = (name for other in groups if other is not group for name in other)
        if shared and title.startswith(f"{shared}.") and not any(name.startswith(f"{shared}.") for name in others):
            title = shared
        again = titles.count(title)
        titles.append(title if not again else f"{title}+{again}")
    return titles


def _title(group: list[str], modules: dict[str, nn.Module]) -> str:
    sizes = {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}
    enough = sum(sizes.values()) / 4
    return next((name for name, size in sizes.items() if size and size >= enough), group[0].rpartition(".")[0] or group[0])


def _shared_path(names: list[str]) -> str:
    """The module all names lie in: `blocks.0` of `blocks.0.a` and `blocks.0.b.c`."""
    first, last = min(names).split("."), max(names).split(".")
    same = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return ".".join(first[:min(same, len(first) - 1)])


def _matcher(model: nn.Module) -> Any:
    try:
        return model.group_matcher(coarse=True)
    except (AttributeError, AssertionError, NotImplementedError, TypeError):
        return _PLAIN


def _has_stem(model: nn.Module) -> bool:
    matcher = _matcher(model)
    return isinstance(matcher, dict) and bool(matcher.get("stem"))


def _buffers(model: nn.Module, owner: dict[str, int], modules: list[dict[str, nn.Module]]) -> list[list[str]]:
    """Each buffer goes with the module it lies in, else with the first parameter beside it."""
    inside = {id(part): index for index, group in enumerate(modules) for whole in group.values()
              for part in whole.modules()}
    found: list[list[str]] = [[] for _ in modules]
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        beside = (owner[name] for name in owner if name.startswith(prefix))
        for name, _ in module.named_buffers(recurse=False):
            index = inside[id(module)] if id(module) in inside else next(beside, None)
            if index is not None:
                found[index].append(f"{prefix}{name}")
    return found
