"""Source losses as a training runs them: what each must know beforehand, and its value for a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transfer_core.errors import BadRecipe
from transfer_core.events import Event, Progressed
from transfer_core.source_losses import RELATED, WEIGHED
from transfer_core.training.freezing import Ladder
from transfer_core.training.layers import LayerGroup
from transfer_core.training.models import Built, features_and_logits
from transfer_core.training.pipeline import Inputs, in_batches, in_order, shuffled
from transfer_core.training.prefix.inputs import StoredInputs, ToldInputs, moved, placed

Network = Callable[[Any], Tensor]
"""The model, or the suffix of a cut one; its modules' hooks fire either way."""
TOLD_BYTES = 256_000_000
"""Memory for original answers that are kept instead of asked for in every step: 64,000 photos of 1,000 classes."""
_AT_ONCE = 8
"""So few that memory is no question, before the training has found its batch size."""


class Term:
    """One source loss. Make it before the model is frozen or trained; call `prepare` once before the first step."""

    teacher: nn.Module | None = None
    """The model as it was, while its answers are asked for in every step; where photos are stored, its suffix."""
    heads: Sequence[nn.Module] = ()
    """Source classifiers that learn along."""
    new = False
    """Whether those know nothing yet."""

    def prepare(self, network: Network, inputs: Inputs, device: torch.device, seed: int) -> Iterator[Event]:
        """Look at training images while the network (in evaluation mode) still is what it was. Nothing by default."""
        yield from ()

    def begin(self, epoch: int, batch_size: int) -> None:
        """An epoch of training begins."""

    def end(self) -> None:
        """It is over, in whichever way."""

    def __call__(self, network: Network, images: Any, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        """The logits of the person's classes, and L_source; None where it says nothing of these images."""
        raise NotImplementedError


class Answers(Term):
    """What the original classifier says of the person's photos, now and at the start."""

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], built: Built) -> None:
        self.loss, self.kept, self.teacher = loss, built.source_head, _as_it_is(built.model)

    @torch.no_grad()
    def ask_once(self, splits: Sequence[StoredInputs], epochs: int, device: torch.device,
                 cast: Callable[[], AbstractContextManager]) -> Generator[Event, None, Sequence[StoredInputs | ToldInputs]]:
        """Progress, then the same inputs with the original answers beside them, and no need of the teacher any more. What would
        not repay, or take more memory than `TOLD_BYTES`, is given back as it came."""
        classes = answers(self.teacher, _first_of(splits, device), self.kept)[0].shape[1]
        total = sum(len(split.labels) * len(split.views) for split in splits)
        if 4 * total * classes > TOLD_BYTES or max(len(split.views) for split in splits) >= epochs:
            return splits
        done, told = 0, []
        for split in splits:
            said = [torch.empty(len(split.labels), classes) for _ in split.views]
            for view, logits in enumerate(said):
                order = in_order(len(split.labels), _AT_ONCE)
                for places, (images, _) in zip(order, split.batches(order, view + 1), strict=True):
                    with cast():
                        logits[places] = answers(self.teacher, placed(images, device), self.kept)[0].float().cpu()
                    done += len(places)
                    yield Progressed(stage="asking", done=done, total=total)
            told.append(ToldInputs(split, said))
        self.teacher = None
        return told

    def __call__(self, network: Network, images: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        now, logits = answers(network, images, self.kept)
        if self.teacher is None:
            return logits, self.loss(now.float(), images[-1])
        with torch.no_grad():
            start, _ = answers(self.teacher, images, self.kept)
        return logits, self.loss(now.float(), start.float())


class Views(Term):
    """What each trained layer group says of the person's photos, now and at the start."""

    def __init__(self, loss: Callable[[Mapping, Mapping], Tensor], built: Built, groups: list[LayerGroup]) -> None:
        self.loss, self.name, self.teacher = loss, built.architecture, _as_it_is(built.model)
        paths = output_paths(groups)
        self.now = {name: built.model.get_submodule(path) for name, path in paths.items()}
        self.start = {name: self.teacher.get_submodule(path) for name, path in paths.items()}

    def __call__(self, network: Network, images: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        with watching(self.now) as now:
            logits = network(images)
        if not now:  # no group's last module gives a plain tensor
            raise BadRecipe("no_feature_groups", model=self.name)
        with torch.no_grad(), watching(self.start) as start:
            self.teacher(images)
        return logits, self.loss(now, start)


class Relation(Term):
    """What the original model takes each of the person's classes for, on average; its classifier learns along."""

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], built: Built, classes: int) -> None:
        self.loss, self.classes = loss, classes
        self.heads = [copy.deepcopy(head).requires_grad_(True) for head in built.source_head]
        self.table = torch.empty(0)
        """The person's classes × source classes, rows of probabilities; known after `prepare`."""

    @torch.no_grad()
    def prepare(self, network: Network, inputs: Inputs, device: torch.device, seed: int) -> Iterator[Event]:
        chosen = _some(len(inputs.labels), RELATED, seed)
        sums, counts = None, torch.zeros(self.classes, device=device)
        for images, labels in _counted(inputs, in_batches(chosen, _AT_ONCE), device):
            given = answers(network, images, self.heads)[0].float().softmax(-1)
            sums = torch.zeros(self.classes, given.shape[1], device=device) if sums is None else sums
            sums.index_add_(0, labels, given)
            counts += torch.bincount(labels, minlength=self.classes)
            yield Progressed(stage="relating", done=int(counts.sum()), total=len(chosen))
        # A class that was not met is taken for what photos of this dataset are taken for in general.
        self.table = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], sums.sum(0) / counts.sum())

    def __call__(self, network: Network, images: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        now, logits = answers(network, images, self.heads)
        return logits, self.loss(now.float(), self.table[labels])


class Importance(Term):
    """How much the original classifier's answers depend on each weight that is trained, and how far it has moved."""

    def __init__(self, loss: Callable[[Mapping, Mapping, Mapping], Tensor], built: Built, ladder: Ladder) -> None:
        trained = ladder.learning("train", "anchor")
        self.loss, self.kept = loss, built.source_head
        self.now = {name: parameter for name, parameter in built.model.named_parameters() if name in trained}
        self.start: dict[str, Tensor] = {}
        self.importance: dict[str, Tensor] = {}

    def prepare(self, network: Network, inputs: Inputs, device: torch.device, seed: int) -> Iterator[Event]:
        """The diagonal of the Fisher information E_x E_{y ~ p(·|x)} (∂ log p(y|x) / ∂w)², an image and a drawn label at a time.

        The largest hundredth is cut off, and the mean is 1: a few weights would otherwise make up the whole sum.
        """
        self.start = {name: weight.detach().clone() for name, weight in self.now.items()}
        self.importance = {name: torch.zeros_like(weight) for name, weight in self.start.items()}
        chance, chosen = torch.Generator().manual_seed(seed), _some(len(inputs.labels), WEIGHED, seed)
        for done, (images, _) in enumerate(_counted(inputs, [[place] for place in chosen], device), 1):
            told = answers(network, images, self.kept)[0].float().log_softmax(-1)[0]
            drawn = int(torch.multinomial(told.detach().exp().cpu(), 1, generator=chance))
            slopes = torch.autograd.grad(told[drawn], list(self.now.values()), allow_unused=True)
            for total, slope in zip(self.importance.values(), slopes, strict=True):
                if slope is not None:
                    total += slope.float() ** 2
            yield Progressed(stage="weighing", done=done, total=len(chosen))
        together = torch.cat([total.flatten() for total in self.importance.values()])
        top = together.cpu().kthvalue(max(1, round(0.99 * len(together)))).values.to(together.device)
        scale = 1 / together.clamp(max=top).mean().clamp_min(1e-30)
        self.importance = {name: total.clamp(max=top) * scale for name, total in self.importance.items()}

    def __call__(self, network: Network, images: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        return network(images), self.loss(self.now, self.start, self.importance)


class Joint(Term):
    """Batches of a second dataset beside the person's own, through the same layers, with a classifier of their own."""

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], heads: Sequence[nn.Module], new: bool, seed: int) -> None:
        self.loss, self.heads, self.new, self.seed = loss, heads, new, seed
        self.train: Inputs | None = None
        self.validation: Inputs | None = None
        self._next: Generator[tuple[Any, Tensor]] = (nothing for nothing in ())

    def draw_from(self, train: Inputs, validation: Inputs, device: torch.device) -> None:
        """The source dataset's splits, cut as the person's own are."""
        self.train, self.validation, self.device = train, validation, device

    def begin(self, epoch: int, batch_size: int) -> None:
        self._next = self._endless(epoch, batch_size)

    def end(self) -> None:
        self._next.close()  # and with it the threads that decode ahead

    def _endless(self, epoch: int, batch_size: int) -> Generator[tuple[Any, Tensor]]:
        """Which source photos an epoch sees hangs on its number only, so that a resumed training sees the same."""
        again = 0
        while True:
            order = shuffled(self.train.labels, batch_size, self.seed + 1 + (again << 20), epoch, balanced=False)
            for images, labels in self.train.batches(order, epoch):
                yield placed(images, self.device), moved(labels, self.device)
            again += 1

    def __call__(self, network: Network, images: Any, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        if not torch.is_grad_enabled():
            return network(images), None  # source photos are looked at by themselves, see `look`
        others, wanted = next(self._next)
        given, logits = answers(network, _beside(images, others), self.heads)
        return logits[:len(labels)], self.loss(given[len(labels):].float(), wanted)

    @torch.no_grad()
    def look(self, network: Network, batch_size: int) -> tuple[float, float, int] | None:
        """Mean loss, accuracy and number of the source dataset's validation photos; None without any."""
        count = len(self.validation.labels) if self.validation else 0
        loss = right = 0.0
        for images, labels in self.validation.batches(in_order(count, batch_size), 0) if count else ():
            given, wanted = answers(network, placed(images, self.device), self.heads)[0].float(), moved(labels, self.device)
            loss += float(self.loss(given, wanted)) * len(labels)
            right += int((given.argmax(-1) == wanted).sum())
        return (loss / count, right / count, count) if count else None


def _beside(images: Any, others: Any) -> Any:
    if isinstance(images, tuple):
        return tuple(torch.cat(both) for both in zip(images, others, strict=True))
    return torch.cat((images, others))


def answers(network: Network, images: Any, heads: Sequence[nn.Module]) -> tuple[Tensor, Tensor]:
    """What these heads say of what the network's own are given, and what its own say."""
    features, logits = features_and_logits(network, images)
    given = [head(feature) for head, feature in zip(heads, features, strict=True)]
    return sum(given) / len(given), logits  # distilled models average their two heads


def _first_of(splits: Sequence[StoredInputs], device: torch.device) -> Any:
    images, _ = next(iter(splits[0].batches([[0]], 1)))
    return placed(images, device)


def _as_it_is(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).requires_grad_(False).eval()


def _some(count: int, most: int, seed: int) -> list[int]:
    return sorted(np.random.default_rng((seed, 2)).permutation(count)[:most].tolist())


def _counted(inputs: Inputs, order: Sequence[Sequence[int]], device: torch.device) -> Iterator[tuple[Any, Tensor]]:
    for images, labels in inputs.batches(order, 1):
        yield placed(images, device), moved(labels, device)


def output_paths(groups: list[LayerGroup]) -> dict[str, str]:
    """Layer group → path of the module whose output is the group's: the last one that has parameters."""
    found = {}
    for group in groups:
        paths = [path for path, module in zip(group.module_names, group.modules, strict=True)
                 if next(module.parameters(), None) is not None]
        if paths:
            found[group.name] = paths[-1]
    return found


@contextmanager
def watching(units: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of some modules during one forward pass."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                seen[name] = output.float()

        return hook

    hooks = [unit.register_forward_hook(keep(name)) for name, unit in units.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
