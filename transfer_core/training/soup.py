"""A greedy soup: the average of several trained models, as far as it answers better (Wortsman et al. 2022, arXiv:2203.05482).

Recipe 1 there: the models are sorted by their accuracy on the validation images; one at a time is added to the average, and
stays where the accuracy of the average does not fall.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from transfer_core.datasets.manifest import Manifest, spread
from transfer_core.errors import BadRecipe
from transfer_core.events import Averaged, Event
from transfer_core.paths import Home
from transfer_core.training.averaging import ESTIMATED, State, Sum, answers, as_part, at_part, leave, put_into
from transfer_core.training.calibrate import undivided
from transfer_core.training.checkpoint import BEST
from transfer_core.training.export.replay import read_json
from transfer_core.training.fit import choose_device
from transfer_core.training.models import load_run
from transfer_core.training.pipeline import ImageInputs

_STAGE = "soup"


def soup(folders: Mapping[str, Path], manifest: Manifest, home: Home, out: Path | str, *,
         device: str = "auto") -> Generator[Event, None, Averaged]:
    """Average the runs in `folders` (name → folder, only read) greedily, and leave the outcome in `out` as the folder of a run.

    The caller has seen to it that they began alike. Raises `BadRecipe` (other classes, nothing to measure with), `NotFound`.
    """
    where, names = choose_device(device), list(folders)
    model, classes, how = load_run(folders[names[0]])
    for name in names[1:]:
        if load_run(folders[name])[1] != classes:
            raise BadRecipe("soup_differs", setting="classes", one=names[0], other=name)
    known = [image for image in manifest.of("validation") if image.label in set(classes)]
    if not known:
        raise BadRecipe("soup_unmeasured")
    inputs = ImageInputs.of(known, classes, home, how)
    train = ImageInputs.of(spread(manifest.of("train"), ESTIMATED), classes, home, how)
    pot = _Pot(folders, model, train, inputs, home, where, steps=2 * len(names) - 1)
    alone = {}
    for name in names:
        alone[name] = yield from pot.alone(name)
    fact = yield from greedy(alone, pot.trial)
    fact = fact.model_copy(update={"n": len(known)})
    state, norms = pot.of(fact.runs)
    leave(Path(out), folders[fact.order[0]], put_into(model, state, norms, train, where), fact, choice=pot.cut_alike)
    return fact


Trial = Callable[[list[str], str], Generator[Event, None, float]]
"""The accuracy of the average of these runs and one more."""


def greedy(alone: Mapping[str, float], trial: Trial) -> Generator[Event, None, Averaged]:
    """Who is in the soup, given what each is worth alone. Of equals the one named first goes first."""
    order = sorted(alone, key=lambda name: -alone[name])
    taken, reached, found = [order[0]], alone[order[0]], [alone[order[0]]]
    for name in order[1:]:
        together = yield from trial(taken, name)
        found.append(together)
        if together >= reached:
            taken, reached = [*taken, name], together
    return Averaged(runs=taken, order=order, alone=[alone[name] for name in order], validation=found)


class _Pot:
    """The models while they are tried: never more in memory than the sum, one of them, and the model that answers."""

    def __init__(self, folders: Mapping[str, Path], model: nn.Module, train: ImageInputs, inputs: ImageInputs, home: Home,
                 where: torch.device, steps: int) -> None:
        self._folders, self._model, self._train, self._inputs = folders, model, train, inputs
        self._home, self._where, self._steps, self._step = home, where, steps, 0
        self._sum: tuple[list[str], Sum] | None = None
        cuts = [[read_json(folder / "recipe.json").get(key) for key in ("freeze", "positions")] for folder in folders.values()]
        self.cut_alike = all(cut == cuts[0] for cut in cuts)
        """Whether all froze the same layers: then so does every average, and the store answers for it."""

    def of(self, names: list[str]) -> tuple[State, list[str]]:
        """Their average; for one alone, exactly what it is."""
        return self._summed(names).mean()

    def alone(self, name: str) -> Generator[Event, None, float]:
        return (yield from self._accuracy(self._folders[name], *self.of([name])))

    def trial(self, taken: list[str], name: str) -> Generator[Event, None, float]:
        through = self._folders[name] if self.cut_alike else None
        return (yield from self._accuracy(through, *self._summed(taken).mean(self._weights(name))))

    def _accuracy(self, through: Path | None, state: State, norms: list[str]) -> Generator[Event, None, float]:
        yield at_part(_STAGE, self._step, self._steps)
        model = put_into(self._model, state, norms, self._train, self._where)
        asked = answers(through, model, self._inputs, self._home, self._where)
        answered = yield from as_part(asked, _STAGE, self._step, self._steps)
        self._step += 1
        yield at_part(_STAGE, self._step, self._steps)
        return float(np.mean(answered.argmax(1) == self._inputs.labels.numpy()))

    def _weights(self, name: str) -> State:
        return undivided(self._folders[name] / BEST)

    def _summed(self, names: list[str]) -> Sum:
        if self._sum and self._sum[0] == names[:len(self._sum[0])]:
            known, total = self._sum
        else:
            known, total = names[:1], Sum(self._weights(names[0]))
        for name in names[len(known):]:
            total.add(self._weights(name))
        self._sum = list(names), total
        return total
