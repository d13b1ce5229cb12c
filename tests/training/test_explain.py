"""Heat maps: exact where they can be, on the patch that decides, gone with the weights, and put back where they belong."""

from __future__ import annotations

import copy
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from families import FAMILIES, make
from pasted_patches import Box, learned, patches
from PIL import Image
from torch import nn

from transfer_core.errors import Unavailable
from transfer_core.framing import seen
from transfer_core.images import Preprocessing, fit_to
from transfer_core.training.explain import heat_of
from transfer_core.training.explain.layout import places
from transfer_core.training.explain.linear import Linear
from transfer_core.training.explain.overlay import LONGEST, overlay, spread_out
from transfer_core.training.models import classifiers
from transfer_core.training.structure import Structure, put_head

LEARNED = {
    "cnn": ("test_resnet", 160, 48, 3, {}),
    "class token": ("test_vit", 96, 32, 6, {"img_size": 96}),
    "mean of tokens": ("test_vit", 96, 32, 6, {"img_size": 96, "global_pool": "avg", "class_token": False}),
}


@pytest.fixture(scope="module", params=LEARNED)
def colours(request):
    """A model that has learned which colour a patch has, and images it never saw."""
    name, side, patch, epochs, more = LEARNED[request.param]
    return learned(name, side, patch, epochs, **more), *patches(40, side, patch, seed=1)


def randomised(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            if parameter.ndim > 1:
                parameter.normal_(0, float(parameter.std()), generator=torch.Generator().manual_seed(index))
    return model


def decided(model: nn.Module) -> nn.Module:
    """With a random head: one of zeros has no reason to show."""
    torch.manual_seed(1)
    for head in classifiers(model):
        for parameter in head.parameters():
            nn.init.normal_(parameter)
    return model


# What it shows


def warmth(model: nn.Module, image: torch.Tensor, label: int, box: Box) -> tuple[bool, float]:
    """Whether the warmest pixel lies on the patch, and how much of the heat does. A map is no finer than its cells, so half a
    cell of grace on each side."""
    side, found = image.shape[-1], heat_of(model, image[None], label).heat
    warm = spread_out(found, (0, 0, side, side), (side, side))
    half = side // len(found) // 2
    left, top, right, bottom = (max(0, edge) for edge in (box[0] - half, box[1] - half, box[2] + half, box[3] + half))
    row, column = np.unravel_index(warm.argmax(), warm.shape)
    return left <= column < right and top <= row < bottom, warm[top:bottom, left:right].sum() / max(warm.sum(), 1e-9)


def test_what_decides_is_warm(colours):
    model, images, labels, boxes = colours
    with torch.no_grad():
        right = (model(images).argmax(-1) == labels).sum()
    assert right >= 36, "it must have learned the colours for the rest to mean anything"
    peaks, shares = zip(*map(partial(warmth, model), images, labels.tolist(), boxes), strict=True)
    assert sum(peaks) >= 36
    assert sum(share > 0.5 for share in shares) >= 36


def test_random_weights_show_something_else(colours):
    """Adebayo et al. 2018 (arXiv:1810.03292): a map that random weights do not change shows the image, not the model."""
    model, images, labels, boxes = colours
    other = randomised(copy.deepcopy(model))
    alike = [np.corrcoef(*(heat_of(each, image[None], label).evidence.ravel() for each in (model, other)))[0, 1]
             for image, label in zip(images[:21], labels[:21].tolist(), strict=True)]
    peaks, _ = zip(*map(partial(warmth, other), images, labels.tolist(), boxes), strict=True)
    assert np.mean(alike) < 0.5
    assert sum(peaks) < 20


def test_the_same_question_has_the_same_answer(colours):
    model, images, *_ = colours
    np.testing.assert_array_equal(heat_of(model, images[:1], 0).evidence, heat_of(model, images[:1], 0).evidence)


def test_each_class_has_a_map_of_its_own(colours):
    model, images, labels, _ = colours
    target = int(labels[0])
    named, other = heat_of(model, images[:1], target), heat_of(model, images[:1], (target + 1) % 3)
    assert (named.target, other.target) == (target, (target + 1) % 3)
    assert named.evidence.sum() > other.evidence.sum()


# That it adds up


@pytest.mark.parametrize("family", ["resnet", "efficientnet", "regnet", "densenet"])
def test_it_adds_up_to_the_answer_where_pooling_and_a_linear_layer_follow(family):
    """Each class's logit without its bias, as its distance from the mean of all."""
    model, image, head = pooled(family)
    with torch.no_grad():
        wanted = model(image)[0] - head.bias
    found = [heat_of(model, image, target).evidence for target in range(3)]
    assert all(evidence.size > 1 for evidence in found)
    np.testing.assert_allclose([evidence.sum() for evidence in found], (wanted - wanted.mean()).numpy(), rtol=1e-4, atol=1e-4)


def pooled(family: str = "resnet") -> tuple[nn.Module, torch.Tensor, nn.Linear]:
    """At 64 pixels 2 × 2 places are left."""
    model, images = make(family)
    return decided(model.eval()), nn.functional.interpolate(images[:1], 64), model.get_classifier()


def test_the_sum_is_the_logit_where_the_classes_weights_sum_to_zero():
    """As they do after a training that began from zeros with two classes."""
    model, image, head = pooled()
    with torch.no_grad():
        head.weight -= head.weight.mean(0)
        logits = model(image)[0] - head.bias
    assert heat_of(model, image, 1).evidence.sum() == pytest.approx(float(logits[1]), abs=1e-4)


def test_what_is_added_to_all_classes_alike_changes_nothing():
    """The probabilities stay what they were, and so must the reasons."""
    model, image, head = pooled()
    before = heat_of(model, image, 1)
    with torch.no_grad():
        head.weight += torch.randn(head.in_features)
    after = heat_of(model, image, 1)
    np.testing.assert_allclose(after.probabilities, before.probabilities, atol=1e-4)
    np.testing.assert_allclose(after.evidence, before.evidence, atol=1e-4)


def test_a_head_that_reads_every_place_adds_up_too():
    """Where Grad-CAM would be wrong: it has one weight a channel, the head one a channel and place."""
    model, image, _ = pooled()
    put_head(model, Structure(head="flatten"), 3, (64, 64))
    last = decided(model).get_classifier()[-1]
    with torch.no_grad():
        wanted = model(image)[0] - last.bias
    found = heat_of(model, image, 2).evidence
    assert found.shape == (2, 2)
    assert found.sum() == pytest.approx(float(wanted[2] - wanted.mean()), rel=1e-4, abs=1e-4)


def test_tokens_add_up_through_a_norm():
    """Mean of tokens, LayerNorm, linear layer: the answer but for what it says of nothing, (W·β + b)."""
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=3, img_size=64, global_pool="avg", class_token=False).eval()
    head, image = decided(model).get_classifier(), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        model.fc_norm.bias.normal_()
        said = model(image)[0] - head.weight @ model.fc_norm.bias - head.bias
    assert isinstance(model.norm, nn.Identity), "the norm stands behind pooling"
    found = heat_of(model, image, 0).evidence
    assert found.sum() == pytest.approx(float(said[0] - said.mean()), abs=1e-4)


def test_a_norm_hides_what_goes_through_it_unless_it_is_taken_for_linear():
    """Σ x ∂f/∂x is zero of any x that reaches f through a LayerNorm only: that would be the map of a Vision Transformer."""
    torch.manual_seed(0)
    x, norm, weight = torch.randn(5, 8, requires_grad=True), nn.LayerNorm(8, eps=0), torch.randn(8)
    nn.init.normal_(norm.weight)
    naive = x * torch.autograd.grad((norm(x) @ weight).sum(), x)[0]
    with Linear():
        answers = norm(x) @ weight
    ours = x * torch.autograd.grad(answers.sum(), x)[0]
    assert naive.sum(-1).abs().max() < 1e-5
    torch.testing.assert_close(ours.sum(-1), answers)


@pytest.mark.parametrize("part", [nn.LayerNorm(8), nn.RMSNorm(8), nn.GroupNorm(4, 8), nn.Softmax(-1)],
                         ids=lambda part: type(part).__name__)
def test_the_answers_stay_the_same(part):
    torch.manual_seed(0)
    for parameter in part.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(3, 8, 8)
    with Linear():
        ours = part(x)
    torch.testing.assert_close(ours, part(x))


# Every kind of model


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_explained_and_left_as_it_was(family):
    model, images = make(family)
    decided(model)
    if FAMILIES[family][2] == 32 and family not in ("vit", "deit"):
        images = torch.nn.functional.interpolate(images, 64)  # at 32 pixels one place is left
    model.train()
    parameters = list(model.parameters())
    for parameter in parameters[::2]:
        parameter.requires_grad_(False)
    next(model.children()).eval()
    before = state(model)
    with torch.inference_mode():
        found = heat_of(model, images[:1])
    assert same(before, state(model))
    rows, columns = found.evidence.shape
    assert rows == columns > 1 and np.isfinite(found.evidence).all() and found.evidence.any()
    assert found.heat.min() >= 0 and found.heat.max() in (0, pytest.approx(1))
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert found.target == found.probabilities.argmax()


def state(model: nn.Module) -> tuple:
    hooks = [len(module._forward_hooks) for module in model.modules()]
    grads = [parameter.grad for parameter in model.parameters()]
    return ([module.training for module in model.modules()], hooks, grads, [each.requires_grad for each in model.parameters()],
            {name: tensor.clone() for name, tensor in model.state_dict().items()})


def same(before: tuple, after: tuple) -> bool:
    return before[:4] == after[:4] and all(torch.equal(tensor, after[4][name]) for name, tensor in before[4].items())


@pytest.mark.parametrize(("name", "more", "side", "grid"), [
    ("cait_xxs24_224", {"img_size": 64, "depth": 4}, 64, 4), ("xcit_nano_12_p16_224", {"depth": 2}, 64, 4),
    ("mixer_s32_224", {"img_size": 96}, 96, 3), ("levit_128s", {}, 224, 4), ("efficientvit_b0", {}, 64, 2),
    ("convit_tiny", {"img_size": 64, "depth": 3}, 64, 4),
])
def test_models_of_other_shapes(name, more, side, grid):
    torch.manual_seed(0)
    model = decided(timm.create_model(name, num_classes=3, **more).eval())
    with torch.no_grad():
        for module in model.modules():  # residual branches that begin at zero would show nothing
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                nn.init.ones_(module.weight)
    with torch.inference_mode():
        model(torch.randn(1, 3, side, side))  # what it keeps from here has no gradients
    assert heat_of(model, torch.randn(1, 3, side, side)).evidence.shape == (grid, grid)


def test_a_model_that_looks_at_two_sizes_is_refused():
    model = timm.create_model("crossvit_tiny_240", num_classes=3).eval()
    with pytest.raises(Unavailable) as error:
        heat_of(decided(model), torch.randn(1, 3, 240, 240))
    assert error.value.code == "no_heat_map" and "crossvit_tiny_240" in error.value.message("zh")


def test_a_head_of_zeros_shows_nothing():
    model, images = make("vit")
    assert not heat_of(model.eval(), images[:1]).heat.any()


# Where places lie


def marked(rows: int, columns: int) -> torch.Tensor:
    """1 × rows × columns × 5: every place says its own number."""
    return torch.arange(float(rows * columns)).view(1, rows, columns, 1).expand(-1, -1, -1, 5)


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [(64, 64, 4, 4), (64, 96, 4, 6), (96, 64, 6, 4),
                                                                  (240, 240, 15, 15)])
def test_layouts_are_understood(height, width, rows, columns):
    images, wanted = torch.zeros(1, 3, height, width), marked(rows, columns)
    tokens = wanted.flatten(1, 2)
    for prefix in (0, 1, 2, 5):
        given = torch.cat([torch.full((1, prefix, 5), -1.0), tokens], 1)
        assert torch.equal(places(given, SimpleNamespace(num_prefix_tokens=prefix), images), wanted)
    assert torch.equal(places(tokens, SimpleNamespace(num_prefix_tokens=1), images), wanted), "the class token comes later"
    assert torch.equal(places(wanted.permute(0, 3, 1, 2), SimpleNamespace(), images), wanted)
    assert torch.equal(places(wanted, SimpleNamespace(), images), wanted)


def test_as_many_channels_as_rows_and_columns():
    cube, images = torch.randn(1, 5, 5, 5), torch.zeros(1, 3, 40, 40)
    assert torch.equal(places(cube, SimpleNamespace(), images), cube.permute(0, 2, 3, 1))
    assert torch.equal(places(cube, SimpleNamespace(output_fmt="NHWC"), images), cube)


@pytest.mark.parametrize("shape", [(1, 7), (1, 1, 9), (1, 3, 9), (1, 9, 1, 1), (1, 9, 4, 7), (4, 16, 9), (1, 2, 2, 2, 2)])
def test_what_tells_no_places_apart(shape):
    assert places(torch.zeros(shape), SimpleNamespace(), torch.zeros(1, 3, 64, 64)) is None


# Back on the photo


@pytest.mark.parametrize(("photo", "how", "box"), [
    # 400 × 300 becomes 341 × 256, of which columns 58 to 282 and rows 16 to 240 are taken; a pixel is 1.17 of the photo's.
    ((400, 300), Preprocessing((224, 224), 0.875), (58 * 400 / 341, 16 * 300 / 256, 282 * 400 / 341, 240 * 300 / 256)),
    ((300, 400), Preprocessing((224, 224), 0.875), (16 * 300 / 256, 58 * 400 / 341, 240 * 300 / 256, 282 * 400 / 341)),
    ((512, 512), Preprocessing((224, 224), 0.875), (32, 32, 480, 480)),
    ((100, 50), Preprocessing((50, 50), 1.0), (25, 0, 75, 50)),
    ((200, 100), Preprocessing((50, 50), 1.0, "squash"), (0, 0, 200, 100)),
    ((200, 100), Preprocessing((50, 50), 1.0, "border"), (0, -48, 200, 152)),  # 50 × 25, and 12 rows above, 13 below
])
def test_the_box_is_what_was_worked_out_by_hand(photo, how, box):
    assert seen(photo, how) == pytest.approx(box)


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("photo", [(640, 427), (427, 640), (500, 500), (1000, 90), (90, 1000), (60, 40), (40_000, 20)])
def test_the_box_is_where_the_pixels_come_from(photo, mode):
    """Ramps of brightness through the real preparation tell where each of its pixels was."""
    how = Preprocessing((224, 224), 0.875, mode, "bilinear")
    left, top, right, bottom = seen(photo, how)
    for axis, (start, end) in enumerate(((left, right), (top, bottom))):
        length = photo[axis]
        ramp = np.linspace(0, 255, length).round().astype(np.uint8)
        plane = np.broadcast_to(ramp[None, :] if axis == 0 else ramp[:, None], (photo[1], photo[0]))
        view = np.asarray(fit_to(Image.fromarray(np.stack([plane] * 3, -1)), how))[..., 0].astype(float)
        low, high = ((top, bottom), (left, right))[axis]
        middle = int(224 * (photo[1 - axis] / 2 - low) / (high - low))  # in border mode little else shows the photo
        line = view[middle] if axis == 0 else view[:, middle]
        where = start + (np.arange(224) + 0.5) / 224 * (end - start)
        inside = (where > length * 0.02 + 1) & (where < length * 0.98 - 1)
        expected = np.interp(where - 0.5, np.arange(length), ramp)
        if inside.any():
            assert np.abs(line - expected)[inside].max() < 3.5 + 300 / length


def test_the_map_lies_where_the_model_looked():
    """A map of one hot cell, upper right of 4 × 4, on a 200 × 100 photo whose middle 100 × 100 the model saw."""
    heat = np.zeros((4, 4))
    heat[0, 3] = 1
    warm = spread_out(heat, (50, 0, 150, 100), (200, 100))
    assert warm.shape == (100, 200)
    assert np.isnan(warm[:, :50]).all() and np.isnan(warm[:, 150:]).all() and not np.isnan(warm[:, 50:150]).any()
    assert warm[5, 145] == 1 and warm[:50, 50:100].max() == 0 and warm[60:, 50:150].max() == 0
    # Half way between the centres of two cells it is half as warm.
    np.testing.assert_allclose(warm[5, 124:126], [0.48, 0.52], atol=1e-6)


def test_the_picture_shows_photo_heat_line_and_what_was_not_seen():
    heat = np.zeros((4, 4))
    heat[0, 3] = 1
    photo = Image.new("RGB", (200, 100), (100, 100, 100))
    drawn = np.asarray(overlay(photo, heat, (50, 0, 150, 100))).astype(int)
    assert drawn.shape == (100, 200, 3)
    assert (drawn[80, 60] == 100).all(), "a cold place shows the photo"
    hot = drawn[5, 145]
    assert hot[0] > 200 and hot[0] > hot[2] + 30, "a hot one is bright and warm"
    assert set(np.unique(drawn[:, :50].reshape(-1, 3), axis=0)[:, 0]) == {35, 95}, "not seen: dark, with stripes"
    line = (drawn == 255).all(-1)
    assert line.any() and (drawn == 0).all(-1).any()
    rows, columns = np.nonzero(line)
    assert rows.max() < 50 and columns.min() > 100, "around the hot place"


def test_huge_thin_and_tiny_photos_are_drawn():
    heat = np.eye(7)
    for size in ((5000, 3000), (3000, 2), (1, 1)):
        box = seen(size, Preprocessing())
        drawn = overlay(Image.new("RGB", size, "white"), heat, box)
        assert max(drawn.size) == min(LONGEST, max(size))
