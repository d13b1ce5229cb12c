"""Each term against a reference worked out by another route: numpy, finite differences, singular values, closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_objective import CPU, IMAGES, LABELS, Photos, after, setting
from torch import nn

from transfer_core.regularizers import REGULARIZERS, bss, l1_sp, l2_sp
from transfer_core.source_losses import co_tuning, ewc, lwf, replay
from transfer_core.training.objective.terms import Importance, Relation, answers
from transfer_core.training.step import train_step


def slopes(function, at: torch.Tensor, width: float = 1e-6) -> np.ndarray:
    """The gradient by central differences."""
    found = np.zeros(at.numel())
    for place in range(at.numel()):
        for sign in (1, -1):
            moved = at.detach().clone().flatten()
            moved[place] += sign * width
            found[place] += sign * float(function(moved.view_as(at))) / (2 * width)
    return found.reshape(at.shape)


def wave(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


# Values and gradients

def test_lwf_in_numpy():
    now, start, heat = wave(5, 9).numpy(), wave(5, 9, seed=1).numpy(), 2.0

    def soft(logits):
        powers = np.exp(logits / heat - (logits / heat).max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    wanted, given = soft(start), soft(now)
    expected = heat**2 * (wanted * (np.log(wanted) - np.log(given))).sum(1).mean()
    assert float(lwf(torch.from_numpy(now), torch.from_numpy(start), heat)) == pytest.approx(expected, rel=1e-12)


def test_a_hot_lwf_is_the_distance_of_centred_logits():
    """T → ∞: T² KL → ‖(z − z̄) − (z⁰ − z̄⁰)‖² / (2K), a mean over the samples."""
    now, start = wave(4, 7), wave(4, 7, seed=1)
    centred = (now - now.mean(1, keepdim=True)) - (start - start.mean(1, keepdim=True))
    assert float(lwf(now, start, 1e4)) == pytest.approx(float((centred**2).sum(1).mean() / 14), rel=1e-3)


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (5, 5)])
@pytest.mark.parametrize("smallest", [1, 2])
def test_bss_is_the_sum_of_the_smallest_squared_singular_values(shape, smallest):
    features = wave(*shape).requires_grad_()
    expected = (np.linalg.svd(features.detach().numpy(), compute_uv=False)[-smallest:] ** 2).sum()
    value = bss(features, smallest)
    assert float(value) == pytest.approx(expected, rel=1e-9)
    value.backward()
    left, singular, right = np.linalg.svd(features.detach().numpy(), full_matrices=False)
    closed = sum(2 * singular[-k] * np.outer(left[:, -k], right[-k]) for k in range(1, smallest + 1))  # ∇σ² = 2σ u vᵀ
    np.testing.assert_allclose(features.grad.numpy(), closed, atol=1e-9)
    np.testing.assert_allclose(features.grad.numpy(), slopes(lambda at: bss(at, smallest), features), atol=1e-6)


def test_bss_of_what_exploded_is_no_number():
    assert math.isnan(bss(torch.full((4, 6), float("inf"))))


def test_bss_is_worked_out_in_float32_under_autocast():
    features = torch.randn(8, 30, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert float(bss(features)) == pytest.approx(float(bss(features.double())), rel=1e-3)


def test_co_tuning_in_numpy_and_never_below_the_entropy():
    now, wanted = wave(6, 8).requires_grad_(), wave(6, 8, seed=1).softmax(-1)
    logits, rows = now.detach().numpy(), wanted.numpy()
    expected = -(rows * (logits - np.log(np.exp(logits).sum(1, keepdims=True)))).sum(1).mean()
    value = co_tuning(now, wanted)
    assert float(value) == pytest.approx(expected, rel=1e-12)
    value.backward()
    np.testing.assert_allclose(now.grad.numpy(), slopes(lambda at: co_tuning(at, wanted), now), atol=1e-7)
    entropy = -(rows * np.log(rows)).sum(1).mean()
    assert float(co_tuning(wanted.log(), wanted)) == pytest.approx(entropy, rel=1e-12)
    assert expected > entropy


def test_replay_is_cross_entropy():
    logits, labels = wave(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    assert float(replay(logits, labels)) == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-12)


def test_ewc_with_equal_importance_is_half_of_l2_sp():
    now, start = {"a": wave(3, 4), "b": wave(5)}, {"a": wave(3, 4, seed=1), "b": wave(5, seed=2)}
    same = {name: torch.ones_like(weight) for name, weight in now.items()}
    assert float(ewc(now, start, same)) == pytest.approx(float(l2_sp(now, start)), rel=1e-12)
    weighed = {"a": wave(3, 4, seed=3) ** 2, "b": wave(5, seed=4) ** 2}
    by_hand = sum((weighed[n].numpy() * (now[n] - start[n]).numpy() ** 2).sum() for n in now) / 2
    assert float(ewc(now, start, weighed)) == pytest.approx(by_hand, rel=1e-12)


def test_l1_sp_rests_where_it_started_unless_the_pull_is_stronger():
    """min ½‖w − t‖² + λ‖w − w⁰‖₁ has w = w⁰ + sign(t − w⁰) · max(|t − w⁰| − λ, 0)."""
    start, target = torch.tensor([1.0, -2.0, 0.5, 3.0]).double(), torch.tensor([4.0, -2.2, 0.7, 1.0]).double()
    weight = start.clone()
    for _ in range(500):
        weight -= 0.1 * (weight - target)
        REGULARIZERS["l1_sp"].facts["step"](weight, start, 0.1 * 0.5)
    assert torch.allclose(weight, torch.tensor([3.5, -2.0, 0.5, 1.5]).double(), atol=1e-9)
    assert weight[1] == start[1] and weight[2] == start[2]
    assert float(l1_sp({"w": weight, "h": torch.tensor([[-2.0]])}, {"w": start})) == pytest.approx(2.5 + 1.5 + 2)


@pytest.mark.parametrize(("name", "middle"), [("l2_sp", 1.0), ("l1_sp", 1e-4)])
def test_a_strong_pull_to_the_start_leaves_the_backbone_there(name, middle):
    def drift(strength: float) -> float:
        training = setting(regularizer=name, lambda_omega=strength)
        pulled = {name: weight for name, weight in training.model.named_parameters()
                  if weight.ndim > 1 and name not in training.ladder.head}
        start = {name: weight.detach().clone() for name, weight in pulled.items()}
        after(training)
        return math.sqrt(sum(float(((pulled[name] - start[name]) ** 2).sum()) for name in start))

    distances = [drift(strength) for strength in (0.0, middle, 100 * middle, 1e6)]
    assert distances == sorted(distances, reverse=True) and distances[1] < distances[0]
    assert distances[-1] < 1e-4 * distances[0]
    if name == "l1_sp":
        assert distances[-1] == 0  # not near the start: there


# What is found out beforehand

def test_the_relation_is_the_mean_answer_of_each_class():
    training = setting(source_loss="co_tuning")
    term = training.objective.source
    training.model.eval()
    said = answers(training.model, IMAGES, term.heads)[0].softmax(-1).detach().numpy()
    assert isinstance(term, Relation)
    expected = np.stack([said[LABELS.numpy() == label].mean(0) for label in range(3)])
    np.testing.assert_allclose(term.table.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(term.table.sum(1).numpy(), 1, atol=1e-6)


def test_a_class_without_photos_is_taken_for_what_all_are():
    training = setting(source_loss="co_tuning")
    term, some = training.objective.source, Photos(IMAGES)
    some.labels = torch.tensor([0, 0, 0, 1, 1, 1])
    training.model.eval()
    list(term.prepare(training.network, some, CPU, 0))
    np.testing.assert_allclose(term.table[2].numpy(), term.table[:2].mean(0).numpy(), atol=1e-6)


def test_co_tuning_teaches_the_original_classifier_too():
    training = setting(source_loss="co_tuning")
    before = [parameter.detach().clone() for head in training.objective.source_heads for parameter in head.parameters()]
    after(training)
    now = [parameter for head in training.objective.source_heads for parameter in head.parameters()]
    assert all(not torch.equal(one, other) for one, other in zip(before, now, strict=True))


class Softmax(nn.Module):
    """Softmax regression: its Fisher information is known, p_k (1 − p_k) x_j² on the diagonal."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(4, 3, bias=False).double(), nn.Identity()

    def forward(self, images):
        return self.head(self.body(images))

    def get_classifier(self):
        return self.head


def test_importance_is_the_true_fisher_information(monkeypatch):
    """On softmax regression, over many drawn labels; not that of the labels in the dataset, nor of a batch's mean."""
    monkeypatch.setattr("transfer_core.training.objective.terms.WEIGHED", 10**6)
    monkeypatch.setattr("transfer_core.training.objective.terms.classifiers", lambda model: [model.head], raising=False)
    monkeypatch.setattr("transfer_core.training.models.classifiers", lambda model: [model.head])
    model, few = Softmax(), wave(4, 4, seed=5)
    photos = Photos(few.repeat(3000, 1))
    photos.labels = torch.zeros(len(photos.images), dtype=torch.long)
    term = Importance.__new__(Importance)
    term.loss, term.kept, term.now, term.start, term.importance = ewc, [nn.Identity()], {"body.weight": model.body.weight}, {}, {}
    list(term.prepare(model, photos, CPU, seed=1))
    told = model(few).softmax(-1).detach().numpy()
    exact = np.einsum("nk,nj->kj", told * (1 - told), few.numpy() ** 2)
    exact = np.minimum(exact, np.sort(exact.ravel())[-1])
    np.testing.assert_allclose(term.importance["body.weight"].numpy(), exact / exact.mean(), rtol=0.1)


def test_anchored_weights_matter_too():
    names = [group.name for group in setting().ladder.at("train")]
    training = setting(source_loss="ewc", positions=dict.fromkeys(names, "anchor"))
    assert training.objective.source.importance
    train_step(training, IMAGES, LABELS)
    assert training.objective(training.network, IMAGES, LABELS).source is not None


def test_importance_has_a_mean_of_one_and_no_giants():
    term = setting(source_loss="ewc").objective.source
    together = torch.cat([weight.flatten() for weight in term.importance.values()])
    assert float(together.mean()) == pytest.approx(1, abs=1e-3)
    assert (together >= 0).all() and float(together.max()) == pytest.approx(float(together.quantile(0.99)), rel=0.2)


# Two datasets at once

def test_replay_alone_learns_the_second_dataset():
    """λ = 0: L = L_source, so the person's own head learns nothing and the second one does."""
    training = setting(source_loss="replay", lambda_target=0.0, learning_rate=1e-3)
    first = training.objective.source.look(training.network, 6)
    after(training, steps=8)
    loss, _, count = training.objective.source.look(training.network, 6)
    assert first[0] == pytest.approx(math.log(3), abs=1e-6)
    assert loss < first[0] and count == 6
    head = training.model.get_classifier()
    assert not head.weight.any() and not head.bias.any()


def test_both_batches_go_through_the_layers_together():
    """The loss of a step is (L_source + λ L_target) / (1 + λ), of two batches the network saw as one."""
    training = setting(source_loss="replay", lambda_target=3.0)
    others = torch.flip(IMAGES, (0,))
    head, second = training.model.get_classifier(), training.objective.source.heads[0]
    for layer, seed in ((head, 1), (second, 2)):
        nn.init.normal_(layer.weight, std=0.5, generator=torch.Generator().manual_seed(seed))
    training.model.eval()
    order = next(iter(training.objective.source._endless(1, 6)))
    parts = training.objective(training.network, IMAGES, LABELS)
    features = training.model.forward_head(training.model.forward_features(order[0]), pre_logits=True)
    source = nn.functional.cross_entropy(second(features), order[1])
    target = nn.functional.cross_entropy(training.model(IMAGES), LABELS)
    assert torch.equal(order[0].sum(), others.sum()) or len(order[0]) == 6
    assert float(parts.source.detach()) == pytest.approx(float(source.detach()), rel=1e-5)
    assert float(parts.data.detach()) == pytest.approx(float((source + 3 * target).detach() / 4), rel=1e-5)
    assert len(parts.logits) == 6
