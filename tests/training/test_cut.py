"""The cut: which side every part of a model falls on, and that both halves together are the model."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from transfer_core.recipe import Recipe
from transfer_core.source_losses import SOURCE_LOSSES
from transfer_core.training.freezing import climb, freeze
from transfer_core.training.layers import layer_groups
from transfer_core.training.objective.terms import output_paths, watching
from transfer_core.training.prefix.cut import CannotCut, cut, difference
from transfer_core.training.prefix.inputs import Suffix
from transfer_core.training.prefix.plan import arithmetic_share, fingerprint
from transfer_core.training.prefix.rows import from_rows, to_rows

TINY = ["test_resnet", "test_vit", "test_efficientnet", "test_convnext", "test_byobnet", "test_mambaout", "test_nfnet",
        "test_efficientnet_ln", "test_vit3"]
OTHERS = ["resnet18", "mobilenetv3_small_050", "mobilenetv4_conv_small_035", "deit_tiny_distilled_patch16_224",
          "swin_tiny_patch4_window7_224", "regnety_002", "densenet121", "mobilevit_xxs", "vgg11", "coat_lite_tiny"]


def frozen(name: str, first: int | str = "all", images: int = 100, **positions: str):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3)
    groups = layer_groups(model)
    ladder = climb(Recipe(dataset="none", model=name, freeze=first, positions=positions), model, groups, images)
    freeze(model, ladder)
    return model, ladder, tuple(model.pretrained_cfg["input_size"][1:])


@pytest.mark.parametrize("name", [*TINY, *OTHERS])
def test_both_halves_are_the_model_bit_for_bit_through_the_store(name):
    groups = len(layer_groups(timm.create_model(name)))
    for first in sorted({1, groups // 2, groups}):
        model, ladder, size = frozen(name, first)
        parts = cut(model, ladder, size)
        images = torch.randn(3, 3, *size)
        assert difference(model, parts, images, lambda given, live=parts.live: from_rows(to_rows(given, live), live)) == 0


def test_a_row_is_one_image_with_the_strides_it_had():
    model, ladder, size = frozen("test_convnext", 2)
    model.to(memory_format=torch.channels_last)
    parts = cut(model, ladder, size)
    images = torch.randn(5, 3, *size).to(memory_format=torch.channels_last)
    with torch.no_grad():
        whole = parts.prefix(images)
        alone = to_rows(parts.prefix(images[3:4]), parts.live)
    rows = to_rows(whole, parts.live)
    assert all(torch.allclose(torch.from_numpy(row[3]), torch.from_numpy(one[0]), atol=1e-5)
               for row, one in zip(rows, alone, strict=True))
    back = from_rows(rows, parts.live)
    assert [tensor.stride() for tensor in back] == [tensor.stride() for tensor in whole]


def test_only_what_is_frozen_at_the_start_is_in_the_prefix():
    model, ladder, size = frozen("test_resnet", 2)
    parts = cut(model, ladder, size)
    frozen_names = ladder.parameters("freeze")
    inside = {id(parameter) for parameter in parts.prefix.parameters()}
    assert inside == {id(parameter) for name, parameter in model.named_parameters() if name in frozen_names}
    assert parts.boundary.startswith("layer2")
    assert 0.1 < arithmetic_share(parts, torch.randn(1, 3, *size)) < 0.9


def test_frozen_behind_a_part_that_learns_stays_in_the_suffix():
    names = [group.name for group in layer_groups(timm.create_model("test_resnet"))]
    model, ladder, size = frozen("test_resnet", 0, **{names[0]: "freeze", names[1]: "train", names[2]: "freeze"})
    parts = cut(model, ladder, size)
    ahead = {id(p) for p in parts.prefix.parameters()}
    behind = {id(p) for p in parts.suffix.parameters()}
    by_group = {group.name: {id(model.get_parameter(name)) for name in group.parameters} for group, _ in ladder.rungs}
    assert ahead == by_group[names[0]]
    assert by_group[names[2]] <= behind


def test_an_anchor_is_no_freeze():
    model, ladder, size = frozen("test_resnet", 0, stem="anchor")
    with pytest.raises(CannotCut):
        cut(model, ladder, size)


def test_dropout_is_never_stored():
    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", num_classes=3, drop_rate=0.5)
    ladder = climb(Recipe(dataset="none", model="test_efficientnet", freeze="all"), model, layer_groups(model), 100)
    freeze(model, ladder)
    parts = cut(model, ladder, (64, 64))
    tensors = parts.prefix(torch.randn(2, 3, 64, 64))
    head = model.get_classifier()
    nn.init.normal_(head.weight)
    once, again = parts.suffix(*tensors), parts.suffix(*tensors)
    assert not torch.equal(once, again), "two steps drop other values"
    model.eval()
    assert torch.equal(parts.suffix(*tensors), parts.suffix(*tensors))


def test_what_branches_on_its_input_cannot_be_cut_and_says_so():
    class Undecided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.body, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 3)

        def get_classifier(self) -> nn.Module:
            return self.fc

        def group_matcher(self, coarse: bool = False) -> dict:
            return {"stem": r"^stem", "blocks": r"^body"}

        def forward(self, images):
            images = self.stem(images)
            if images.mean() > 0:
                images = -images
            return self.fc(self.body(images).mean((2, 3)))

    model = Undecided()
    ladder = climb(Recipe(dataset="none", freeze=1), model, layer_groups(model), 100)
    freeze(model, ladder)
    with pytest.raises(CannotCut, match="TraceError"):
        cut(model, ladder, (16, 16))


def test_several_tensors_in_one_value_cannot_be_cut_and_it_says_so():
    model, ladder, size = frozen("crossvit_tiny_240", 2)  # each block hands a list of two on
    with pytest.raises(CannotCut, match="of tensors"):
        cut(model, ladder, size)


def test_hooks_of_groups_fire_through_the_suffix():
    """The source loss `features` watches the groups that learn; a trace that inlined them would see nothing."""
    assert "features" in SOURCE_LOSSES.names()
    model, ladder, size = frozen("test_resnet", 2)
    parts = cut(model, ladder, size)
    units = {name: model.get_submodule(path) for name, path in output_paths(ladder.at("train")).items()}
    with watching(units) as seen:
        Suffix(parts, model)(parts.prefix(torch.randn(2, 3, *size)))
    assert set(seen) == set(units)


def test_the_fingerprint_knows_weights_and_place():
    def mark(first, change=None) -> str:
        model, ladder, size = frozen("test_resnet", first)
        if change:
            with torch.no_grad():
                model.get_parameter(change).view(-1)[0] += 1e-3
        return fingerprint(cut(model, ladder, size), "test_resnet", {})

    stem = next(name for name, _ in timm.create_model("test_resnet").named_parameters())
    assert mark(2) == mark(2)
    assert len({mark(1), mark(2), mark(2, stem)}) == 3
    assert mark(2) == mark(2, "fc.weight"), "what is behind the cut changes nothing in front of it"
