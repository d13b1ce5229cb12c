"""Frozen means frozen, in every major family: no gradient, no moving statistics, no dropout, and the same forward pass."""

from __future__ import annotations

import pytest
import torch
from families import FAMILIES, make
from torch import nn

from transfer_core.errors import BadRecipe
from transfer_core.recipe import Recipe
from transfer_core.training.freezing import climb, freeze
from transfer_core.training.layers import layer_groups


def three_steps(model: nn.Module, images: torch.Tensor) -> None:
    """A rough optimiser, so that whatever can move does."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    labels = torch.tensor([0, 1, 2, 0])
    for _ in range(3):
        model.train()  # as any loop does: it must not wake what is frozen
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_head_only_moves_the_head_alone(family):
    model, images = make(family)
    ladder = climb(Recipe(dataset="x", freeze="all"), model, layer_groups(model), 10_000)
    before, features = snapshot(model), model.eval().forward_features(images)
    freeze(model, ladder)
    three_steps(model, images)
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert changed <= ladder.head
    model.train()
    assert torch.equal(model.forward_features(images), features)


@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_groups_stay_bit_identical_while_others_train(family):
    model, images = make(family, drop_rate=0.2)
    groups = layer_groups(model)
    half = len(groups) // 2
    ladder = climb(Recipe(dataset="x", freeze=half, batch_size=64), model, groups, 10_000)
    freeze(model, ladder)
    before = snapshot(model)
    three_steps(model, images)
    after = model.state_dict()
    frozen = [name for group in groups[:half] for name in (*group.parameters, *group.buffers) if name in before]
    assert frozen
    assert [name for name in frozen if not torch.equal(before[name], after[name])] == []
    moved = [name for group in groups[half:] for name in group.parameters if not torch.equal(before[name], after[name])]
    assert moved
    assert not any(part.training for group in groups[:half] for module in group.modules for part in module.modules())


def test_the_bug_is_real_without_eval_mode():
    """What the tests above would miss if a train-mode forward changed nothing anyway."""
    model, images = make("resnet")
    model.requires_grad_(False)
    before = snapshot(model)
    model.train()(images)
    assert not all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(("batch", "images", "live"), [(64, 5000, True), (31, 5000, False), (64, 999, False)])
def test_statistics_of_trained_groups_rest_where_data_are_few(batch, images, live):
    model, batch_of_images = make("resnet")
    ladder = climb(Recipe(dataset="x", freeze=0, batch_size=batch), model, layer_groups(model), images)
    freeze(model, ladder)
    before = model.bn1.running_mean.clone()
    model.train()(batch_of_images)
    assert torch.equal(before, model.bn1.running_mean) == (not live)
    assert model.bn1.weight.requires_grad


def test_single_positions_overrule_the_slider():
    model, _ = make("resnet")
    groups = layer_groups(model)
    recipe = Recipe(dataset="x", freeze=2, positions={groups[0].name: "train", groups[3].name: "anchor"})
    ladder = climb(recipe, model, groups, 5000)
    assert [position for _, position in ladder.rungs][:4] == ["train", "freeze", "train", "anchor"]


def test_groups_that_do_not_exist_are_refused_by_name():
    model, _ = make("resnet")
    groups = layer_groups(model)
    with pytest.raises(BadRecipe) as error:
        climb(Recipe(dataset="x", positions={"layer9": "train"}), model, groups, 10)
    assert "layer4" in error.value.hint()
    with pytest.raises(BadRecipe, match=str(len(groups))):
        climb(Recipe(dataset="x", freeze=99), model, groups, 10)
