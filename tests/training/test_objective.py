"""The objective against closed forms worked out by hand, and both ends of every λ."""

from __future__ import annotations

import copy
import math
from functools import cache

import pytest
import timm
import torch
from torch import nn

from transfer_core.errors import BadRecipe
from transfer_core.recipe import Recipe
from transfer_core.regularizers import REGULARIZERS, l1, l2, l2_sp
from transfer_core.source_losses import SOURCE_LOSSES, features, lwf
from transfer_core.training.freezing import climb, freeze
from transfer_core.training.layers import layer_groups
from transfer_core.training.loop import Training
from transfer_core.training.meter import Meter
from transfer_core.training.models import Built, new_head, preprocessing_of
from transfer_core.training.objective import Joint, Objective
from transfer_core.training.objective.terms import Answers
from transfer_core.training.optim import make_optimizer, make_precision, set_learning_rate
from transfer_core.training.step import train_step

CPU = torch.device("cpu")
IMAGES = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def original() -> nn.Module:
    """A tiny model with a head of eight classes, as if it had been trained on something."""
    return copy.deepcopy(_original())


@cache
def _original() -> nn.Module:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=8)
    for _ in range(20):
        model(IMAGES)  # statistics of these images: untrained ones let next to nothing through
    return model.eval()


def setting(**recipe_settings) -> Training:
    """A tiny model whose original head is kept, ready for steps with `recipe_settings`."""
    if recipe_settings.get("source_loss") == "replay":
        recipe_settings["source_dataset"] = "y"
    recipe = Recipe(dataset="x", **{"freeze": 0, "regularizer": None, "batch_size": 6, "backbone_factor": 1.0,
                                    "learning_rate": 0.1, "optimizer": "sgd", "clip": 0, **recipe_settings})
    model = original()
    head = [copy.deepcopy(model.get_classifier()).requires_grad_(False)]
    new_head(model, 3)
    built = Built(model, head, preprocessing_of(model), layer_groups(model), "test_resnet", {})
    ladder = climb(recipe, model, built.groups, 6)
    objective, meter = Objective(recipe, built, ladder, source_classes=["a", "b", "c"]), Meter(built, ladder, 0, 0)
    freeze(model, ladder)
    if isinstance(objective.source, Joint):
        others = Photos(torch.flip(IMAGES, (0,)))
        objective.source.draw_from(others, others, CPU)
        objective.source.begin(1, 6)
    if objective.source:
        model.eval()
        list(objective.source.prepare(model, Photos(IMAGES), CPU, seed=0))
        model.train()
    optimizer = make_optimizer(recipe, model, ladder, objective.source_heads, isinstance(objective.source, Joint))
    return Training(recipe, model, model, model, ladder, objective, meter, optimizer, make_precision(recipe, CPU), CPU,
                    None, None, [], {}, train_step)


class Photos:
    """What a training reads."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images, self.labels = images, LABELS

    def batches(self, order, epoch):
        for places in order:
            yield self.images[places], self.labels[places]


def after(training: Training, steps: int = 3) -> dict[str, torch.Tensor]:
    for _ in range(steps):
        train_step(training, IMAGES, LABELS)
    return {name: tensor.clone() for name, tensor in training.model.state_dict().items()}


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


# Closed forms

def test_first_loss_of_a_zero_head_is_ln_of_the_number_of_classes():
    training = setting()
    assert training.objective(training.network, IMAGES, LABELS).target.item() == pytest.approx(math.log(3), abs=1e-6)


def test_a_head_of_several_layers_starts_at_zero_logits_and_still_learns():
    torch.manual_seed(0)
    model = timm.create_model("convformer_s18", num_classes=8)
    new_head(model, 3)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    for step in range(2):
        logits = model(IMAGES)
        assert logits.any() == (step > 0)
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, torch.tensor([0, 0, 0, 0, 1, 2])).backward()
        optimizer.step()
    assert [name for name, parameter in model.get_classifier().named_parameters() if not parameter.grad.any()] == []


@pytest.mark.parametrize("strength", [0.0, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_l2_sp_rests_at_the_ridge_towards_the_start(strength, rate):
    """min ½/n ‖Xw − y‖² + λ/2 ‖w − w⁰‖² has w = (XᵀX/n + λI)⁻¹ (Xᵀy/n + λw⁰), whatever the learning rate."""
    torch.manual_seed(0)
    X, y, start = torch.randn(20, 5).double(), torch.randn(20, 1).double(), torch.randn(5, 1).double()
    step, weight = REGULARIZERS["l2_sp"].facts["step"], start.clone()
    for _ in range(4000):
        weight -= rate * X.T @ (X @ weight - y) / 20
        step(weight, start, rate * strength)
    expected = torch.linalg.solve(X.T @ X / 20 + strength * torch.eye(5).double(), X.T @ y / 20 + strength * start)
    assert (weight - expected).abs().max() <= 1e-8


def test_l2_rests_at_the_ridge_towards_zero():
    X, y = torch.eye(3).double(), torch.tensor([[3.0], [6.0], [9.0]]).double()
    weight = torch.zeros(3, 1).double()
    for _ in range(2000):
        weight -= 0.1 * X.T @ (X @ weight - y)
        REGULARIZERS["l2"].facts["step"](weight, None, 0.1 * 0.5)
    assert torch.allclose(weight, y / 1.5, atol=1e-10)  # (I + ½I)⁻¹ y


def test_l1_rests_at_the_soft_threshold_with_zeros_that_are_zero():
    target = torch.tensor([3.0, 0.4, -2.0, -0.1]).double()
    weight = torch.zeros(4).double()
    for _ in range(500):
        weight -= 0.1 * (weight - target)
        REGULARIZERS["l1"].facts["step"](weight, None, 0.1 * 0.5)
    assert torch.allclose(weight, torch.tensor([2.5, 0.0, -1.5, 0.0]).double(), atol=1e-10)
    assert weight[1] == 0
    assert weight[3] == 0


@pytest.mark.parametrize("weight_of_target", [0.0, 0.5, 1.0, 8.0])
def test_two_quadratics_meet_between_their_minima(weight_of_target):
    """(½(w − s)ᵀA(w − s) + λ · ½(w − t)ᵀB(w − t)) / (1 + λ) is least at (A + λB)⁻¹ (As + λBt)."""
    A, B = torch.diag(torch.tensor([1.0, 2.0, 3.0])).double(), torch.diag(torch.tensor([2.0, 1.0, 0.5])).double()
    s, t = torch.tensor([1.0, -1.0, 2.0]).double(), torch.tensor([-2.0, 0.5, 1.0]).double()
    weight = torch.zeros(3, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.2)
    for _ in range(1000):
        source, target = (weight - s) @ A @ (weight - s) / 2, (weight - t) @ B @ (weight - t) / 2
        optimizer.zero_grad()
        ((source + weight_of_target * target) / (1 + weight_of_target)).backward()
        optimizer.step()
    expected = torch.linalg.solve(A + weight_of_target * B, A @ s + weight_of_target * (B @ t))
    assert (weight.detach() - expected).abs().max() <= 1e-8


def test_the_source_target_form_is_the_one_above():
    training = setting(source_loss="lwf", lambda_target=3.0)
    train_step(training, IMAGES, LABELS)
    parts = training.objective(training.network, IMAGES, LABELS)
    assert float(parts.data) == pytest.approx((float(parts.source) + 3 * float(parts.target)) / 4, rel=1e-6)
    assert float(parts.source) > 0


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_gradient_of_lwf(temperature):
    """∂/∂z T² KL(p⁰ ‖ p) = T (softmax(z/T) − softmax(z⁰/T)) / N."""
    torch.manual_seed(0)
    start, now = torch.randn(4, 7).double(), torch.randn(4, 7).double().requires_grad_()
    lwf(now, start, temperature).backward()
    expected = temperature * ((now / temperature).softmax(-1) - (start / temperature).softmax(-1)) / 4
    assert (now.grad - expected).abs().max() <= 1e-12


@pytest.mark.parametrize("name", ["lwf", "features", "ewc"])
def test_source_losses_are_zero_with_zero_gradient_at_the_start(name):
    training = setting(source_loss=name, lambda_target=0.0)
    training.model.eval()
    parts = training.objective(training.network, IMAGES, LABELS)
    parts.data.backward()
    gradients = [p.grad.abs().max() for p in training.model.parameters() if p.grad is not None]
    assert float(parts.source) == pytest.approx(0, abs=1e-10)
    assert max(gradients) <= 1e-6
    # And not because it is always zero: after some steps on the target alone it has grown.
    moved = setting(source_loss=name, lambda_target=1e6)
    after(moved)
    assert float(moved.objective(moved.network, IMAGES, LABELS).source) > 1e-6


def test_source_logits_are_the_original_models_answers():
    """Through the kept head, teacher and untrained student both say what the original model said."""
    seen = {}

    def loss(now, start):
        seen.update(now=now, start=start)
        return now.sum() * 0

    training, model = setting(), original()
    built = Built(training.model, [model.get_classifier()], preprocessing_of(model), [], "test_resnet", {})
    del training.model.train  # as before freezing, when a training makes its terms
    term = Answers(loss, built)
    training.model.eval()
    term(training.model, IMAGES, LABELS)
    assert torch.allclose(seen["start"], model(IMAGES), atol=1e-6)
    assert torch.allclose(seen["now"], model(IMAGES), atol=1e-6)
    assert model(IMAGES).abs().max() > 0.1


def test_features_by_hand():
    now, start = {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([[0.0]])}, {"a": torch.zeros(1, 2), "b": torch.ones(1, 1)}
    assert float(features(now, start)) == pytest.approx((2.5 + 1) / 2)
    twice = {name: tensor.repeat(2, 1) for name, tensor in now.items()}
    assert float(features(twice, {name: t.repeat(2, 1) for name, t in start.items()})) == pytest.approx(1.75)


def test_penalties_by_hand_and_without_biases():
    now, start = {"w": torch.tensor([[3.0, -4.0]]), "h": torch.tensor([[2.0]])}, {"w": torch.tensor([[1.0, -4.0]])}
    assert (float(l2(now, start)), float(l1(now, start)), float(l2_sp(now, start))) == (14.5, 9.0, 4.0)
    training = setting(regularizer="l2_sp", lambda_omega=1.0)
    assert all(parameter.ndim > 1 for parameter in training.objective.decayed.values())
    assert float(training.objective(training.network, IMAGES, LABELS).penalty) == 0


# Both ends of λ

def test_no_regularizer_and_lambda_zero_are_plain_fine_tuning():
    plain = after(setting())
    for name in REGULARIZERS.names():
        assert distance(after(setting(regularizer=name, lambda_omega=0.0)), plain) == 0
        assert distance(after(setting(regularizer=name, lambda_omega=1.0)), plain) > 1e-5


@pytest.mark.parametrize("source_loss", SOURCE_LOSSES.names())
def test_a_huge_lambda_target_is_plain_fine_tuning(source_loss):
    plain = after(setting(learning_rate=0.02))
    far, near = (distance(after(setting(learning_rate=0.02, source_loss=source_loss, lambda_target=x)), plain)
                 for x in (0.5, 1e6))
    assert far > 1e-3
    assert near < 1e-4


def test_lambda_target_zero_learns_nothing():
    start = {name: tensor.clone() for name, tensor in setting().model.state_dict().items()}
    assert distance(after(setting(source_loss="lwf", lambda_target=0.0)), start) < 1e-6


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_an_anchor_goes_from_plain_to_frozen(optimizer):
    names = [group.name for group in layer_groups(timm.create_model("test_resnet"))]
    anchors = dict.fromkeys(names[:3], "anchor")
    frozen = after(setting(optimizer=optimizer, freeze=3))
    held = setting(freeze=3).ladder.parameters("freeze")

    def moved(**settings) -> float:
        now = after(setting(optimizer=optimizer, **settings))
        return distance({name: now[name] for name in held}, {name: frozen[name] for name in held})

    assert moved(positions=anchors, lambda_anchor=0.0) == moved() > 1e-3
    distances = [moved(positions=anchors, lambda_anchor=a) for a in (1.0, 1e2, 1e4, 1e6)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-4 * distances[0]


def test_anchored_groups_feel_their_anchor_and_never_omega_too():
    names = [group.name for group in layer_groups(timm.create_model("test_resnet"))]
    anchors = dict.fromkeys(names, "anchor")
    one = after(setting(positions=anchors, lambda_anchor=0.5), steps=1)
    training = setting(positions=anchors, lambda_anchor=0.5, regularizer="l1", lambda_omega=0.5)
    both = after(training, steps=1)
    head = training.ladder.head
    assert all(torch.equal(one[name], both[name]) for name in one if name not in head)
    assert any(not torch.equal(one[name], both[name]) for name in head)
    assert set(training.objective.decayed) <= head


def test_more_lambda_moves_less():
    """‖θ − θ⁰‖ falls as λ_Ω of l2_sp grows."""
    start = setting().model.state_dict()
    moved = [distance(after(setting(regularizer="l2_sp", lambda_omega=x)), start) for x in (0.0, 1.0, 10.0, 100.0)]
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] < moved[0] / 2


# What cannot be

def test_lwf_needs_the_original_classifier():
    recipe = Recipe(dataset="x", freeze=0, source_loss="lwf")
    model = timm.create_model("test_resnet", num_classes=3)
    built = Built(model, [], preprocessing_of(model), layer_groups(model), "test_resnet", {})
    with pytest.raises(BadRecipe) as error:
        Objective(recipe, built, climb(recipe, model, built.groups, 10))
    assert error.value.code == "no_source_head"


def test_a_source_term_of_a_frozen_backbone_is_left_out():
    assert setting(freeze="all", source_loss="lwf").objective.source is None


def test_learning_rates_of_head_and_backbone():
    training = setting(learning_rate=0.1, backbone_factor=0.25, positions={"stem": "anchor"}
                       if "stem" in [g.name for g in layer_groups(timm.create_model("test_resnet"))] else {})
    set_learning_rate(training.optimizer, 0.5)
    rates = {group["position"]: group["lr"] for group in training.optimizer.param_groups}
    assert rates["head"] == 0.05
    assert rates["train"] == 0.0125


def test_class_weights_keep_the_mean_over_samples():
    training = setting()
    training.objective.class_weights = torch.tensor([2.0, 0.5, 0.5])
    logits = training.model(IMAGES)
    each = nn.functional.cross_entropy(logits, LABELS, reduction="none")
    parts = training.objective(training.network, IMAGES, LABELS)
    assert float(parts.target) == pytest.approx(float((each * torch.tensor([2, .5, .5, 2, .5, .5])).mean()), rel=1e-6)
