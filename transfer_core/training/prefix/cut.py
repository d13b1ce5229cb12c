"""Cut a model in two: a prefix that is frozen and answers the same at all times, and a suffix that learns.

The model's `forward` is traced with torch.fx. Leaves of the trace are the layer groups' own modules, which are called as they
are: only the glue between them has to be traceable, hooks on them still fire, and both halves run the very operations of the
whole. Where a unit is frozen is decided by what flows into it, not by its place in a list.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers import get_notrace_functions, get_notrace_modules
from torch import Tensor, fx, nn

from transfer_core.training.freezing import Ladder
from transfer_core.training.models import classifiers, random_head

_DROPOUT = "functional_dropout_"
_RANDOM_FUNCTIONS = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "rand",
                     "rand_like", "randn", "randn_like", "bernoulli", "bernoulli_", "randperm", "multinomial", "normal"}


class CannotCut(Exception):
    """This model, frozen this way, has no prefix that could be computed once; the text says why (for logs)."""


@dataclass(frozen=True)
class Live:
    """One tensor that is alive across the cut, as the store keeps it."""

    shape: tuple[int, ...]
    """Of one image, in the order the numbers lie in memory."""
    merged: int
    """Rows of the tensor's first dimension for one image: 1, or the windows of an image in windowed attention."""
    channels_last: bool

    @property
    def numbers(self) -> int:
        return torch.Size(self.shape).numel()


@dataclass(frozen=True)
class Cut:
    """A model in two halves that share its modules, weights and hooks.

    `prefix(images N × 3 × H × W)` gives a tuple of tensors, one for each of `live`; `suffix(*tensors)` gives the logits.
    `boundary` names the first unit of the suffix that has weights.
    """

    prefix: fx.GraphModule
    suffix: fx.GraphModule
    live: tuple[Live, ...]
    boundary: str
    constants: Mapping[str, Tensor]

    def suffix_of(self, model: nn.Module) -> fx.GraphModule:
        """The same suffix of another model of this shape (the teacher)."""
        return _module(model, self.suffix.graph, self.constants)


def cut(model: nn.Module, ladder: Ladder, size: tuple[int, int]) -> Cut:
    """Cut `model` (on its device, ladder applied) for images of height and width `size`.

    Raises `CannotCut` when the glue between its groups cannot be traced, when nothing with weights is frozen at its
    start, or when what is alive across the cut is not a tensor per image.
    """
    graph = trace(model, ladder)
    asked = _from_images(graph)
    inside = _frozen_nodes(graph, model, ladder) & asked
    if not any(_weighs(node, model) for node in inside):
        raise CannotCut("nothing is frozen at the start")
    live = [node for node in graph.nodes if node in inside and any(user not in inside for user in node.users)]
    device = next(model.parameters()).device
    values = _values(model, graph, asked - inside, live, size, device)
    kept, replaced = _sorted_out(live, values)
    if not kept:
        raise CannotCut("no tensor of the images crosses the cut")
    first = _prefix(graph, asked - inside, [node for node, _ in kept])
    second, constants = _suffix(graph, inside, kept, replaced)
    return Cut(_module(model, first), _module(model, second, constants), tuple(found for _, found in kept),
               _boundary(graph, inside, model), constants)


def trace(model: nn.Module, ladder: Ladder) -> fx.Graph:
    """The model's forward as a graph whose leaves are the groups' modules, the head, and modules without weights."""
    leaves = {id(module) for group, _ in ladder.rungs for module in group.modules} | {id(head) for head in classifiers(model)}
    try:
        graph = _Tracer(leaves).trace(model)
    except Exception as error:  # whatever a model's own code says to a tracer
        raise CannotCut(f"{type(error).__name__}: {error}") from error
    _drop_unused(graph)
    for node in graph.nodes:
        if node.op == "call_function" and node.target is nn.functional.dropout:
            _follow(node)
    return graph


def _follow(node: fx.Node) -> None:
    """Whether it drops was fixed when it was traced; from now on it follows the model, in training and in evaluation."""
    share = node.kwargs.get("p", node.args[1] if len(node.args) > 1 else 0.5)
    node.op, node.target, node.args, node.kwargs = "call_module", f"{_DROPOUT}{share}".replace(".", "_"), node.args[:1], {}


class _Dropout(nn.Module):
    def __init__(self, p: float, model: nn.Module) -> None:
        super().__init__()
        self.p, self._model = p, [model]  # a list: not a child of its own child

    def forward(self, tensor: Tensor) -> Tensor:
        return nn.functional.dropout(tensor, self.p, self._model[0].training)


class _Tracer(fx.Tracer):
    def __init__(self, leaves: set[int]) -> None:
        super().__init__(autowrap_modules=(), autowrap_functions=tuple(get_notrace_functions()), param_shapes_constant=True)
        self._leaves, self._kinds = leaves, tuple(get_notrace_modules())

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return (id(module) in self._leaves or isinstance(module, self._kinds) or next(module.parameters(), None) is None
                or super().is_leaf_module(module, name))


def _frozen_nodes(graph: fx.Graph, model: nn.Module, ladder: Ladder) -> set[fx.Node]:
    """Nodes whose value is the same whenever the image is: everything that flows into them is frozen, nothing is random."""
    frozen = {name for group, position in ladder.rungs if position == "freeze" for name in (*group.parameters, *group.buffers)}
    still = {id(part) for group in ladder.at("freeze") for module in group.modules for part in module.modules()}
    learns = {name for name, _ in model.named_parameters()} - frozen
    inside: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder":
            inside.add(node)
        elif node.op == "get_attr":
            if node.target not in learns:
                inside.add(node)
        elif node.op != "output" and all(source in inside for source in node.all_input_nodes) and _is_still(node, model, still):
            inside.add(node)
    return inside


def _from_images(graph: fx.Graph) -> set[fx.Node]:
    """Nodes that need the images. All others are cheap and are worked out on whichever side uses them."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or any(source in found for source in node.all_input_nodes):
            found.add(node)
    return found


def _is_still(node: fx.Node, model: nn.Module, still: set[int]) -> bool:
    if node.op != "call_module":
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        return name not in _RANDOM_FUNCTIONS
    module = _called(model, node)
    if id(module) in still:
        return True
    if any(True for _ in module.parameters()) or any(True for _ in module.buffers()):
        return False  # of a group that learns, or of the head
    return not any("drop" in type(part).__name__.lower() and getattr(part, "p", getattr(part, "drop_prob", 1)) for part in
                   module.modules())


def _weighs(node: fx.Node, model: nn.Module) -> bool:
    return node.op == "call_module" and next(_called(model, node).parameters(), None) is not None


def _boundary(graph: fx.Graph, inside: set[fx.Node], model: nn.Module) -> str:
    return next((str(node.target) for node in graph.nodes if node not in inside and _weighs(node, model)), "output")


class _Recorder(fx.Interpreter):
    """Runs the frozen part of a graph and keeps the values of some nodes."""

    def __init__(self, model: nn.Module, graph: fx.Graph, behind: set[fx.Node], wanted: Iterable[fx.Node]) -> None:
        super().__init__(_module(model, graph), graph=graph)
        self.behind, self.wanted, self.found = behind, set(wanted), {}

    def run_node(self, node: fx.Node) -> Any:
        if node in self.behind:
            return None  # behind the cut: not asked for
        value = super().run_node(node)
        if node in self.wanted:
            self.found[node] = value
        return value


def _module(model: nn.Module, graph: fx.Graph, constants: Mapping[str, Tensor] | None = None) -> fx.GraphModule:
    """The graph, calling the modules and parameters of `model` (shared, not copied) and constants of its own."""
    root: dict[str, Any] = dict(constants or {})
    for node in graph.nodes:
        if node.op == "call_module":
            root[node.target] = _called(model, node)
        elif node.op == "get_attr" and node.target not in root:
            root[node.target] = operator.attrgetter(node.target)(model)
    return fx.GraphModule(root, graph)


def _called(model: nn.Module, node: fx.Node) -> nn.Module:
    if str(node.target).startswith(_DROPOUT):
        return _Dropout(float(str(node.target).removeprefix(_DROPOUT).replace("_", ".")), model)
    return model.get_submodule(str(node.target))


def _values(model: nn.Module, graph: fx.Graph, behind: set[fx.Node], live: Sequence[fx.Node], size: tuple[int, int],
            device: torch.device) -> list[tuple[Any, Any]]:
    """The live values for two and for three different images, in evaluation mode."""
    chance = torch.Generator().manual_seed(0)
    images = torch.randn(3, 3, *size, generator=chance).to(device)
    if _is_channels_last(model):
        images = images.to(memory_format=torch.channels_last)
    found = []
    try:
        with torch.no_grad():
            for count in (2, 3):
                recorder = _Recorder(model, graph, behind, live)
                recorder.run(images[:count])
                found.append([recorder.found[node] for node in live])
    except Exception as error:
        raise CannotCut(f"{type(error).__name__}: {error}") from error
    return list(zip(*found, strict=True))


def _is_channels_last(model: nn.Module) -> bool:
    return any(p.ndim == 4 and p.is_contiguous(memory_format=torch.channels_last) and not p.is_contiguous()
               for p in model.parameters())


def _sorted_out(live: Sequence[fx.Node], values: Sequence[tuple[Any, Any]]) -> tuple[list[tuple[fx.Node, Live]], dict]:
    """Tensors per image, which are stored, and the rest: constants, and numbers that count the batch."""
    kept: list[tuple[fx.Node, Live]] = []
    replaced: dict[fx.Node, Any] = {}
    for node, (two, three) in zip(live, values, strict=True):
        if isinstance(two, Tensor):
            rows = two.shape[0] if two.ndim else 0
            if rows and rows % 2 == 0 and three.shape[0] == rows // 2 * 3 and two.shape[1:] == three.shape[1:]:
                kept.append((node, _live(two, rows // 2)))
            elif two.shape == three.shape and torch.equal(two, three):
                replaced[node] = two
            else:
                raise CannotCut(f"{node} is no tensor per image")
        elif isinstance(two, (tuple, list)) and any(isinstance(part, Tensor) for part in two):
            raise CannotCut(f"{node} is a {type(two).__name__} of tensors")
        elif two == three:
            replaced[node] = two
        elif isinstance(two, (int, torch.Size)):
            replaced[node] = _Counted(two, three)
        else:
            raise CannotCut(f"{node} is a {type(two).__name__}")
    return kept, replaced


def _live(tensor: Tensor, merged: int) -> Live:
    last = (tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous())
    shape = tuple(tensor.shape[1:])
    shape = (*shape[1:], shape[0]) if last else shape
    return Live((merged, *shape) if merged > 1 else shape, merged, last)


@dataclass(frozen=True)
class _Counted:
    """A number (or shape) that grows with the batch; checked to be so many for each image."""

    two: Any
    three: Any

    def build(self, graph: fx.Graph, batch: fx.Node, merged: int) -> Any:
        def one(two: int, three: int) -> Any:
            if two == three:
                return two
            if two % 2 or three != two // 2 * 3:
                raise CannotCut("a size that is no multiple of the batch")
            images = batch if merged == 1 else graph.call_function(operator.floordiv, (batch, merged))
            return images if two == 2 else graph.call_function(operator.mul, (images, two // 2))

        if isinstance(self.two, int):
            return one(self.two, self.three)
        return tuple(one(two, three) for two, three in zip(self.two, self.three, strict=True))


def _prefix(graph: fx.Graph, behind: set[fx.Node], kept: list[fx.Node]) -> fx.Graph:
    made = fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node not in behind:
            copied[node] = made.node_copy(node, copied.__getitem__)
    made.output(tuple(copied[node] for node in kept))
    _drop_unused(made)
    return made


def _suffix(graph: fx.Graph, inside: set[fx.Node], kept: list[tuple[fx.Node, Live]],
            replaced: dict[fx.Node, Any]) -> tuple[fx.Graph, dict[str, Tensor]]:
    """The rest of the graph, and the constants it reads."""
    made = fx.Graph()
    copied: dict[fx.Node, Any] = {node: made.placeholder(f"live_{index}") for index, (node, _) in enumerate(kept)}
    constants: dict[str, Tensor] = {}
    (first, facts), batch = kept[0], None
    for node, value in replaced.items():
        if isinstance(value, _Counted):
            batch = batch or made.call_method("size", (copied[first], 0))
            copied[node] = value.build(made, batch, facts.merged)
        elif isinstance(value, Tensor):
            name = f"constant_{len(constants)}"
            constants[name] = value
            copied[node] = made.get_attr(name)
        else:
            copied[node] = value
    for node in graph.nodes:
        if node.op == "output":
            made.output(fx.map_arg(node.args[0], copied.__getitem__))
        elif node not in inside:
            copied[node] = made.node_copy(node, copied.__getitem__)
    _drop_unused(made)
    made.lint()
    return made, constants


def _drop_unused(graph: fx.Graph) -> None:
    """Assertions, and what is worked out for nobody. A method that ends with `_` changes its tensor, and stays."""
    for node in reversed(graph.nodes):
        changes = node.op == "call_method" and str(node.target).endswith("_")
        if not node.users and node.op not in ("output", "placeholder") and not changes:
            graph.erase_node(node)


@torch.no_grad()
def difference(model: nn.Module, parts: Cut, images: Tensor, stored: Callable[[tuple[Tensor, ...]], Sequence[Tensor]]) -> float:
    """Largest difference between logits through the cut and through the whole model, relative to the largest logit.

    `stored` is what writing and reading does to the tensors. Both ways see the same random numbers, so dropout agrees.
    The head is asked with random weights: one of zeros would agree with everything.
    """
    with random_head(model), torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        torch.manual_seed(0)
        whole = model(images)
        torch.manual_seed(0)
        halves = parts.suffix(*stored(parts.prefix(images)))
    return relative_difference(halves, whole)


def relative_difference(now: Tensor, wanted: Tensor) -> float:
    """The largest difference, relative to the largest of what is wanted."""
    return ((wanted - now).abs().max() / wanted.abs().max().clamp_min(1e-12)).item()
