"""A convolution and a still BatchNorm run as one: the same answers and gradients of the same parameters, from less memory."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from families import FAMILIES, make
from torch import Tensor, nn

from transfer_core.recipe import Recipe
from transfer_core.training.fit import fit
from transfer_core.training.folding import fold, unfold
from transfer_core.training.freezing import Ladder, climb, freeze
from transfer_core.training.layers import LayerGroup, layer_groups

MANY = 10_000
"""A batch that repays folding anything."""
LABELS = torch.tensor([0, 1, 2, 0])


def stirred(model: nn.Module) -> nn.Module:
    """BatchNorm as after a pretraining: no scale is 1, no average 0."""
    chance = torch.Generator().manual_seed(1)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor, low, high in ((part.weight, 0.5, 1.5), (part.bias, -0.3, 0.3), (part.running_mean, -0.3, 0.3),
                                      (part.running_var, 0.5, 2.0)):
                tensor.data.copy_(torch.rand(tensor.shape, generator=chance) * (high - low) + low)
    return model


def laddered(model: nn.Module, frozen: int = 0, images: int = 4, **settings) -> Ladder:
    ladder = climb(Recipe(dataset="d", model="m", freeze=frozen, **settings), model, layer_groups(model), images)
    freeze(model, ladder)
    return ladder


def norms(model: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in model.modules())


def kept_bytes(work: Callable[[], Tensor]) -> int:
    """What autograd keeps for the way back."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        held = work()
    del held
    return sum(kept.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_and_gradients_stay_the_same(family):
    model, images = make(family)
    stirred(model)
    plain = copy.deepcopy(model)
    laddered(plain)
    ladder = laddered(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    folded = fold(model, model, ladder, images[:2], MANY)
    assert (folded > 0) == (norms(model) > 0 and family != "vgg")  # whose convolutions and norms are rungs of their own
    assert model.training
    losses = []
    for network in (plain, model):
        torch.manual_seed(0)  # dropout
        losses.append(nn.functional.cross_entropy(network(images), LABELS))
        losses[-1].backward()
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    for (name, one), other in zip(plain.named_parameters(), model.parameters(), strict=True):
        largest = float(one.grad.abs().max())
        assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-4 * largest + 1e-7), name
    assert {name: torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items()} == dict.fromkeys(before, True)


def test_less_is_kept_for_the_way_back():
    model, _ = make("efficientnet")
    images = torch.randn(4, 3, 224, 224)  # with few pixels, the weights outweigh what lies between them
    ladder = laddered(stirred(model))

    def work() -> Tensor:
        return model(images).sum()

    before = kept_bytes(work)
    assert fold(model, model, ladder, images[:2], MANY) == norms(model)
    assert kept_bytes(work) < 0.75 * before
    unfold(model)
    assert kept_bytes(work) == before


def test_a_layer_with_more_weights_than_pixels_stays_as_it_is():
    model, images = make("resnet")
    ladder = laddered(model)
    counts = [fold(model, model, ladder, images[:2], batch) for batch in (1, 64, MANY) if unfold(model) is None]
    assert 0 == counts[0] < counts[1] < counts[2] == norms(model)


def test_averages_that_move_are_not_folded():
    model, images = make("efficientnet")
    ladder = laddered(model, images=10_000, batch_size=64)
    assert not ladder.statistics_frozen
    assert fold(model, model, ladder, images[:2], MANY) == 0
    ladder = laddered(model, positions={ladder.rungs[1][0].name: "anchor"}, images=10_000, batch_size=64)
    within = sum(isinstance(part, nn.BatchNorm2d) for module in ladder.rungs[1][0].modules for part in module.modules())
    assert fold(model, model, ladder, images[:2], MANY) == within > 0


def test_what_is_frozen_stays_as_it_is():
    """So that what is stored of it, and what is computed, are the same to the last bit."""
    model, images = make("efficientnet")
    ladder = laddered(model, frozen=4)
    folded = fold(model, model, ladder, images[:2], MANY)
    learning = sum(isinstance(part, nn.BatchNorm2d) for group in ladder.at("train") for module in group.modules
                   for part in module.modules())
    assert folded == learning < norms(model)


def rung(name: str, **modules: nn.Module) -> LayerGroup:
    parameters = tuple(f"{path}.{key}" for path, module in modules.items() for key, _ in module.named_parameters())
    buffers = tuple(f"{path}.{key}" for path, module in modules.items() for key, _ in module.named_buffers())
    return LayerGroup(name, parameters, buffers, tuple(modules), tuple(modules.values()))


class Twice(nn.Module):
    """Something else listens to the convolution, or it is asked twice."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.conv, self.norm, self.fc = how, nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)
        nn.init.zeros_(self.fc.weight)  # as a new head is: its answers show no difference

    def get_classifier(self) -> nn.Module:
        return self.fc

    def features(self, images: Tensor) -> Tensor:
        said = self.conv(images)
        heard = self.norm(said)
        if self.how == "beside":
            heard = heard + said
        elif self.how == "again":
            heard = heard + self.conv(images)
        elif self.how == "two norms":
            heard = heard + self.norm(said.sin())
        return heard.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.features(images))


@pytest.mark.parametrize("how", ["beside", "again", "two norms"])
def test_where_another_listens_nothing_changes(how):
    model = stirred(Twice(how))
    images = torch.randn(2, 3, 8, 8)
    ladder = Ladder(((rung("all", conv=model.conv, norm=model.norm), "train"),), frozenset(), True)
    freeze(model, ladder)
    before = model.features(images)
    assert fold(model, model, ladder, images, MANY) == 0
    assert torch.equal(model.features(images), before)


def test_what_a_group_says_is_not_touched():
    """Its end is asked for by others: a source loss, a cut."""
    model = stirred(Twice("once"))
    images = torch.randn(2, 3, 8, 8)
    ladder = Ladder(((rung("first", conv=model.conv), "train"), (rung("second", norm=model.norm), "train")), frozenset(), True)
    freeze(model, ladder)
    assert fold(model, model, ladder, images, MANY) == 0


def test_a_training_folds_and_learns_the_same(home, manifest, recipe, tmp_path, monkeypatch):
    folds = []
    monkeypatch.setattr("transfer_core.training.preparing.fold", lambda *given: folds.append(fold(*given)))
    told = list(fit(recipe, manifest, home, tmp_path / "folded"))
    monkeypatch.setattr("transfer_core.training.preparing.fold", lambda *given: None)
    plain = list(fit(recipe, manifest, home, tmp_path / "plain"))
    assert folds[0] > 0
    one, other = ([event.train.total for event in events if event.type == "epoch"] for events in (told, plain))
    assert one == pytest.approx(other, rel=1e-4)
    list(fit(recipe.but(freeze="all"), manifest, home, tmp_path / "head"))
    assert len(folds) == 1
