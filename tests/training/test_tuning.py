"""What of the trained parts may change: all, norms, biases, or a change of low rank. Checked by what moved, and by autograd."""

from __future__ import annotations

import pytest
import timm
import torch
from events_of import of
from safetensors.torch import load_file
from torch import nn
from torch.func import functional_call

from transfer_core.errors import BadRecipe
from transfer_core.events import Epoch, Started
from transfer_core.recipe import Recipe
from transfer_core.training.fit import fit
from transfer_core.training.models import build, head_tensors
from transfer_core.training.step import train_step
from transfer_core.training.tuning import LowRank, left_out


def moved(recipe, manifest, home, out) -> set[str]:
    """Names of the backbone's weights that a training changed."""
    before = build(recipe, 3, home).model
    start = {name: parameter.detach().clone() for name, parameter in before.named_parameters()}
    list(fit(recipe, manifest, home, out, device="cpu"))
    after = load_file(out / "model.safetensors")
    return {name for name, tensor in start.items() if name not in head_tensors(before) and not torch.equal(tensor, after[name])}


def norms(model) -> set[str]:
    return {f"{path}.{name}" for path, module in model.named_modules() if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm))
            for name, _ in module.named_parameters(recurse=False)}


@pytest.mark.parametrize("freeze", [0, 2])
def test_only_norms_move(freeze, recipe, manifest, home, tmp_path):
    settings = recipe.but(tuning="norm", freeze=freeze, regularizer=None, learning_rate=0.01)
    built = build(settings, 3, home)
    free = {name for group in built.groups[freeze:] for name in group.parameters}
    assert moved(settings, manifest, home, tmp_path / "run") == norms(built.model) & free


def test_only_biases_move(recipe, manifest, home, tmp_path):
    settings = recipe.but(model="test_vit", image_size=None, tuning="bias", regularizer=None, learning_rate=0.01)
    built = build(settings, 3, home)
    biases = {name for name, _ in built.model.named_parameters() if name.endswith("bias")} - head_tensors(built.model)
    gone = moved(settings, manifest, home, tmp_path / "run")
    assert gone <= biases
    assert len(gone) > len(biases) * 0.8, "the bias of attention's keys has no gradient, all others have"


def test_low_rank_moves_matrices_by_at_most_its_rank(recipe, manifest, home, tmp_path):
    settings = recipe.but(tuning="lora", lora_rank=2, freeze=1, regularizer=None, learning_rate=0.01)
    start = dict(build(settings, 3, home).model.named_parameters())
    gone = moved(settings, manifest, home, tmp_path / "run")
    after = load_file(tmp_path / "run" / "model.safetensors")
    assert gone
    for name in gone:
        change = (after[name] - start[name].detach()).flatten(1).double()
        assert start[name].ndim > 1
        sizes = torch.linalg.svdvals(change)
        assert (sizes[2:] < 1e-5 * sizes[0]).all(), name


def test_its_gradients_are_those_of_the_product():
    """Against autograd through W⁰ + B A, for a linear layer and a convolution."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)).double()
    factors = LowRank({name: dict(model.named_parameters())[name] for name in ("0.weight", "3.weight")}, rank=3, seed=1)
    for factor in factors.second:
        nn.init.normal_(factor)
    factors.write()
    images, start = torch.randn(4, 3, 8, 8).double(), factors._start
    model(images).square().sum().backward()
    factors.gather()
    named = {name: factor.detach().clone().requires_grad_(True) for name, factor in factors.named.items()}
    weights = {name: start[name] + (named[f"{name}.b"] @ named[f"{name}.a"]).view_as(start[name]) for name in start}
    functional_call(model, weights, (images,)).square().sum().backward()
    for name, factor in factors.named.items():
        assert torch.allclose(factor.grad, named[name].grad), name
    assert all(weight.grad is None for weight in factors.weights.values())


def test_it_begins_as_the_model_itself(recipe, home):
    model = timm.create_model("test_resnet", num_classes=3).eval()
    images = torch.randn(2, 3, 32, 32)
    before = model(images)
    names = [name for name, parameter in model.named_parameters() if parameter.ndim > 1]
    factors = LowRank({name: dict(model.named_parameters())[name] for name in names}, 4, 0)
    factors.write()
    assert torch.equal(model(images), before)


def test_an_interruption_changes_nothing(recipe, manifest, home, tmp_path):
    settings = recipe.but(tuning="lora", lora_rank=3, epochs=4)
    list(fit(settings, manifest, home, tmp_path / "whole", device="cpu"))
    stopped = fit(settings, manifest, home, tmp_path / "broken", device="cpu")
    for event in stopped:
        if isinstance(event, Epoch) and event.epoch == 2:
            break
    stopped.close()
    list(fit(settings, manifest, home, tmp_path / "broken", device="cpu", resume=True))
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("regularizer", ["l2", "l2_sp"])
def test_a_large_penalty_keeps_the_weights_where_they_were(regularizer, recipe, manifest, home, tmp_path):
    settings = recipe.but(tuning="lora", regularizer=regularizer, epochs=3)
    drift = {}
    for value in (0.0, 1e6):
        events = list(fit(settings.but(lambda_omega=value), manifest, home, tmp_path / str(value), device="cpu"))
        drift[value] = of(Epoch, events)[-1].kept.moved
    assert drift[0.0] > 1e-3
    assert drift[1e6] < 1e-3 * drift[0.0]


def test_what_learns_is_counted(recipe, manifest, home, tmp_path):
    model = build(recipe, 3, home).model
    head = sum(tensor.numel() for name, tensor in model.named_parameters() if name in head_tensors(model))
    wanted = {"norm": sum(p.numel() for name, p in model.named_parameters() if name in norms(model)),
              "bias": sum(p.numel() for name, p in model.named_parameters() if name.endswith("bias") and name not in
                          head_tensors(model)),
              "lora": sum(min(4, *p.flatten(1).shape) * sum(p.flatten(1).shape) for name, p in model.named_parameters()
                          if p.ndim > 1 and name not in head_tensors(model))}
    for tuning, count in wanted.items():
        settings = recipe.but(tuning=tuning, lora_rank=4, epochs=1)
        (started,) = of(Started, fit(settings, manifest, home, tmp_path / tuning, device="cpu"))
        assert started.trainable_parameters == head + count, tuning


def test_it_learns(recipe, manifest, home, tmp_path):
    for tuning in ("lora", "norm", "bias"):
        settings = recipe.but(tuning=tuning, epochs=6, learning_rate=0.01)
        epochs = of(Epoch, fit(settings, manifest, home, tmp_path / tuning, device="cpu"))
        assert epochs[-1].train.target < 0.8 * epochs[0].train.target, tuning


@pytest.mark.parametrize("tuning", ["all", "lora"])
def test_memory_that_runs_out_in_the_backward_pass_leaves_nothing_behind(tuning, recipe, manifest, home, tmp_path):
    """The same weights whether it ran out before the gradients or after them."""
    settings = recipe.but(tuning=tuning, epochs=2, optimizer="sgd", learning_rate=0.05, clip=0.0, regularizer=None)

    def trained(name, late):
        failed = []

        def step(training, images, labels):
            if not failed and (tmp_path / name / "model.safetensors").is_file():
                failed.append(True)
                if late:
                    training.objective(training.network, images, labels).data.backward()
                raise torch.OutOfMemoryError("CUDA out of memory")
            return train_step(training, images, labels)

        list(fit(settings, manifest, home, tmp_path / name, device="cpu", step=step))
        assert failed
        return load_file(tmp_path / name / "model.safetensors")

    early, late = trained("early", False), trained("late", True)
    assert all(torch.equal(early[name], late[name]) for name in early)


def test_what_cannot_be_is_refused():
    with pytest.raises(BadRecipe) as error:
        Recipe(dataset="d", tuning="lora", positions={"stem": "anchor"})
    assert error.value.code == "lora_anchor"
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 5))
    with pytest.raises(BadRecipe) as error:
        left_out(Recipe(dataset="d", tuning="norm"), model, {name for name, _ in model.named_parameters()})
    assert error.value.code == "nothing_tuned"
    assert left_out(Recipe(dataset="d", tuning="norm"), model, set()) == frozenset(), "head only: nothing to choose from"
