"""Layer groups: every backbone parameter in exactly one, the head in none, whatever the family."""

import pytest
import timm
import torch
from torch import nn

from transfer_core.training.layers import WHOLE, head_parameters, is_whole, layer_groups

# One small member of every large family (and the odd ones: several heads, no matcher, no coarse matcher).
FAMILIES = (
    "resnet18", "tf_efficientnet_lite0", "mobilenetv3_small_050", "mobilenetv4_conv_small_035", "convnext_atto",
    "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "swin_tiny_patch4_window7_224", "regnetx_002", "densenet121",
    "vgg11", "vgg11_bn", "mobilevit_xxs", "coat_lite_tiny", "cait_xxs24_224", "xcit_nano_12_p16_224", "maxvit_rmlp_pico_rw_256",
    "levit_128s", "efficientformer_l1", "poolformer_s12", "convformer_s18", "pit_ti_224", "rdnet_tiny", "mixer_s32_224",
    "eva02_tiny_patch14_224", "beit_base_patch16_224", "nfnet_l0", "resnetv2_50", "ghostnet_050", "hrnet_w18_small", "dla34",
    "inception_v3", "edgenext_xx_small", "fastvit_t8", "repvgg_a0", "hiera_tiny_224", "tiny_vit_5m_224", "csatv2",
    "vit_small_patch14_dinov2", "efficientvit_b0", "twins_pcpvt_small", "volo_d1_224", "crossvit_tiny_240", "mobileone_s0",
)


def meta(name: str, **arguments: object) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name, **arguments)


@pytest.mark.parametrize("name", FAMILIES)
def test_groups_partition_the_backbone(name):
    model = meta(name)
    groups = layer_groups(model)
    head = head_parameters(model)
    grouped = [path for group in groups for path in group.parameters]
    assert len(groups) >= 4, "the ladder has rungs"
    assert sorted(grouped) == sorted({path for path, _ in model.named_parameters()} - head)
    assert len({group.name for group in groups}) == len(groups)


@pytest.mark.parametrize("name", FAMILIES)
def test_modules_and_buffers_belong_to_their_group_alone(name):
    model = meta(name)
    paths = {id(parameter): path for path, parameter in model.named_parameters()}
    seen: dict[int, str] = {}
    for group in layer_groups(model):
        for module_name, module in zip(group.module_names, group.modules, strict=True):
            assert model.get_submodule(module_name) is module
            assert {paths[id(parameter)] for parameter in module.parameters()} <= set(group.parameters)
            for part in module.modules():
                assert seen.setdefault(id(part), group.name) == group.name
        assert all(model.get_buffer(path) is not None for path in group.buffers)
    buffers = [path for group in layer_groups(model) for path in group.buffers]
    heads = model.get_classifier()
    in_head = {id(buffer) for head in (heads if isinstance(heads, tuple) else (heads,)) for buffer in head.buffers()}
    assert sorted(buffers) == sorted(path for path, buffer in model.named_buffers() if id(buffer) not in in_head)


def test_lite0_by_hand():
    groups = layer_groups(meta("tf_efficientnet_lite0"))
    assert [group.name for group in groups] == ["stem", *(f"blocks.{n}" for n in range(7))]
    assert groups[0].parameters == ("conv_stem.weight", "bn1.weight", "bn1.bias")
    assert groups[0].buffers == ("bn1.running_mean", "bn1.running_var", "bn1.num_batches_tracked")
    assert groups[-1].module_names == ("blocks.6", "conv_head", "bn2")


def test_what_timm_groups_with_the_head_stays_in_the_backbone():
    model = meta("mobilenetv4_conv_small_035")
    assert [group.name for group in layer_groups(model)][-1] == "conv_head"
    assert "conv_head.weight" in layer_groups(model)[-1].parameters
    assert head_parameters(model) == {"classifier.weight", "classifier.bias"}


def test_a_final_norm_joins_the_last_stage():
    last = layer_groups(meta("swin_tiny_patch4_window7_224"))[-1]
    assert last.name == "layers.3"
    assert {"norm.weight", "norm.bias"} <= set(last.parameters)


def test_dropout_before_the_head_is_the_heads():
    groups = layer_groups(meta("test_vit", drop_rate=0.5))
    assert not any("head_drop" in group.module_names for group in groups)


def test_all_heads_of_a_distilled_model_are_head():
    assert head_parameters(meta("deit_tiny_distilled_patch16_224")) == {
        "head.weight", "head.bias", "head_dist.weight", "head_dist.bias"}


@pytest.mark.parametrize("classes", [0, 7])
def test_the_groups_do_not_depend_on_the_number_of_classes(classes):
    named = [(group.name, group.parameters) for group in layer_groups(meta("test_resnet"))]
    assert [(group.name, group.parameters) for group in layer_groups(meta("test_resnet", num_classes=classes))] == named


class Odd(nn.Module):
    """A classifier whose parts have no names anyone could group by."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.end = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.Linear(4, 2)

    def get_classifier(self) -> nn.Module:
        return self.end


class Wrong(Odd):
    def group_matcher(self, coarse: bool = False) -> object:
        raise ValueError("broken")


@pytest.mark.parametrize("model", [Odd(), Wrong()], ids=["no matcher", "broken matcher"])
def test_a_model_that_cannot_be_cut_is_one_group(model):
    groups = layer_groups(model)
    assert is_whole(groups)
    assert [group.name for group in groups] == [WHOLE]
    assert set(groups[0].parameters) == {"body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias"}
    assert set(groups[0].modules) == {model.body}
    assert not is_whole(layer_groups(meta("test_resnet")))
