"""Mixtures of before and after: exact at both ends, measured in between, and nothing of the run is changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from events_of import ended
from test_starts import RUN, first, hashes, onward, two  # noqa: F401 (fixtures)
from torch import nn

from transfer_core.datasets.manifest import Manifest
from transfer_core.errors import BadRecipe, NotFound
from transfer_core.events import Epoch
from transfer_core.training.averaging import estimate, mixed
from transfer_core.training.blending import ALPHAS, blend
from transfer_core.training.fit import fit
from transfer_core.training.models import load_run
from transfer_core.training.pipeline import ImageInputs

CPU = torch.device("cpu")


@pytest.fixture(params=[0, 2])
def second(request, recipe, first, two, home):  # noqa: F811
    """A training that went on from the first: of everything, and with a part frozen."""
    folder = home.run("b" * 32)
    chosen = onward(recipe, dataset="bluish", freeze=request.param, epochs=3, learning_rate=0.02)
    events = list(fit(chosen, two, home, folder, device="cpu"))
    return folder, [event for event in events if isinstance(event, Epoch) and event.best][-1]


def test_from_one_end_to_the_other(second, two, home):  # noqa: F811
    folder, best = second
    before = hashes(folder)
    events, found = ended(blend(folder, two, home, device="cpu"))
    assert found["alpha"] == list(ALPHAS) == [0, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1]
    assert found["accuracy"][-1] == pytest.approx(best.validation_accuracy)
    assert found["kept"][0] == 1.0 and found["kept"][-1] == pytest.approx(best.kept.agreement)
    assert all(low <= value <= high for low, value, high in zip(found["low"], found["accuracy"], found["high"], strict=True))
    assert found["n"] == 12 and len(found["kept"]) == 11
    stages = [event.stage for event in events]
    begin = stages.index("blending")
    assert set(stages[begin:]) == {"blending"}  # a bar that goes on, not eleven that begin anew
    done = [event.done for event in events[begin:]]
    assert done == sorted(done) and {100 * step for step in range(12)} <= set(done)
    assert hashes(folder) == before


def test_the_start_has_a_head_that_is_fitted(second, two, home):  # noqa: F811
    """Not the zeros a training begins with: those would give every image the same answer."""
    _, found = ended(blend(second[0], two, home, device="cpu"))
    largest = max(sum(image.label == name for image in two.of("validation")) for name in two.classes)
    assert found["accuracy"][0] > largest / len(two.of("validation"))


def test_random_weights_are_refused(first, manifest, home):  # noqa: F811
    with pytest.raises(BadRecipe) as error:
        ended(blend(first, manifest, home, device="cpu"))
    assert error.value.code == "blend_untrained"


def test_without_validation_images_it_is_refused(second, two, home):  # noqa: F811
    some = Manifest.of_images("bluish", 1, [image for image in two.images if image.split == "train"])
    with pytest.raises(BadRecipe) as error:
        ended(blend(second[0], some, home, device="cpu"))
    assert error.value.code == "blend_unmeasured"


def test_a_run_without_a_model_is_said(two, home, tmp_path):  # noqa: F811
    with pytest.raises(NotFound):
        ended(blend(tmp_path, two, home, device="cpu"))


def test_a_linear_layer_mixes_as_its_answers_do():
    """f_α = (1 − α) f₀ + α f₁ for a linear model; the ends are exact, and counts are whole."""
    torch.manual_seed(0)
    one, other, images = nn.Linear(5, 3).double(), nn.Linear(5, 3).double(), torch.randn(7, 5).double()
    before, after = one.state_dict() | {"count": torch.tensor(3)}, other.state_dict() | {"count": torch.tensor(8)}
    for alpha in ALPHAS:
        state = mixed(before, after, alpha)
        assert state.pop("count") == 8
        between = nn.Linear(5, 3).double()
        between.load_state_dict(state)
        assert torch.allclose(between(images), (1 - alpha) * one(images) + alpha * other(images), atol=1e-12)
    assert all(torch.equal(mixed(before, after, 0)[name], before[name]) for name in one.state_dict())
    assert all(torch.equal(mixed(before, after, 1)[name], after[name]) for name in other.state_dict())


def test_averages_are_estimated_anew_where_they_moved(recipe, first, manifest, home):  # noqa: F811
    model, classes, how = load_run(first)
    norms = [name for name, part in model.named_modules() if isinstance(part, nn.BatchNorm2d)]
    inputs = ImageInputs.of(manifest.of("train"), classes, home, how)
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    estimate(model, [], inputs, CPU)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.state_dict().items())
    seen = []
    part = model.get_submodule(norms[0])
    hook = part.register_forward_pre_hook(lambda _module, given: seen.append(given[0].detach()))
    estimate(model, norms[:1], inputs, CPU)
    hook.remove()
    means = np.stack([batch.mean((0, 2, 3)).numpy() for batch in seen])
    np.testing.assert_allclose(part.running_mean.numpy(), means.mean(0), rtol=1e-4, atol=1e-5)
    assert part.momentum == 0.1 and not part.training
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, kept[name])}
    assert changed == {f"{norms[0]}.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
