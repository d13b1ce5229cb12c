"""The shipped index is what the installed timm says; its numbers are those of published counts."""

import gzip
import json

import pytest
import timm

from transfer_core import catalog
from transfer_core.paths import assets
from transfer_core.training import index
from transfer_core.training.describe import describe
from transfer_core.training.layers import layer_groups

INDEX = assets() / "models" / "index.json.gz"


def test_the_index_is_of_the_installed_timm_and_complete():
    assert catalog.timm_version() == timm.__version__, "run: python -m transfer_core.training.index"
    assert {info.name for info in catalog.models()} | set(catalog.undescribed()) == set(index.names())
    assert set(timm.list_pretrained()) <= set(index.names())
    assert {name.partition(".")[0] for name in index.names()} == set(timm.list_models())


def test_what_could_not_be_described_has_no_classifier():
    """Encoders of language models: nothing to put a new head on. They are named, and few."""
    failed = catalog.undescribed()
    assert len(failed) <= 20
    assert {name.partition(".")[0] for name in failed} == {
        "deepseek_vit_412m_enc", "gemma4_vit_167m_enc", "gemma4_vit_570m_enc", "mobilenetv5_300m_enc",
        "qwen3_vit_88m_enc", "qwen3_vit_306m_enc", "qwen3_vit_416m_enc"}
    assert all("get_classifier" in why for why in failed.values())


def test_the_index_is_small_and_the_same_each_time(tmp_path):
    assert INDEX.stat().st_size < 400_000
    content = index.build(only=["test_resnet.r160_in1k", "test_vit.r160_in1k"])
    index.write(*content, tmp_path / "a.gz")
    index.write(*content, tmp_path / "b.gz")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert INDEX.read_bytes()[4:8] == bytes(4), "no date in the compressed file"


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0.in1k", "resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k",
                                  "convnext_nano.in12k_ft_in1k", "deit_tiny_distilled_patch16_224.fb_in1k", "test_vit.r160_in1k"])
def test_recomputing_gives_what_is_shipped(name):
    head, (structure,) = index.build(only=[name])
    first, *lines = gzip.decompress(INDEX.read_bytes()).splitlines()
    shipped = next(row for row in json.loads(first)["models"] if row[0] == name)
    assert json.loads(lines[shipped[-1]]) == structure
    assert head["models"][0][5:7] == shipped[5:7]
    info = catalog.model(name)
    assert info.preprocessing.to_dict() == index.preprocessing(name)
    model = timm.create_model(name, pretrained=False)
    assert info.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert [group.name for group in info.groups] == [group.name for group in layer_groups(model)]
    model.reset_classifier(7)
    assert info.backbone_parameters + info.head_parameters(7) == sum(parameter.numel() for parameter in model.parameters())


def test_multiply_adds_of_one_convolution_by_hand():
    """The stem of lite0: 3 → 32 channels, 3 × 3, stride 2 of 224: 112² · 32 · 3 · 9 = 10,838,016."""
    stem = describe("tf_efficientnet_lite0")["groups"][0]
    assert stem == ["stem", 32 * 27 + 64, 10_838_016, [32, 112, 112], 3 * 32 * 112 * 112]


@pytest.mark.parametrize(("name", "gmacs", "millions"), [  # published by timm (results csv); attention is counted there too
    ("resnet50.a1_in1k", 4.11, 25.56), ("vit_base_patch16_224.augreg_in21k_ft_in1k", 17.6, 86.57),
    ("convnext_tiny.in12k_ft_in1k", 4.47, 28.59), ("tf_efficientnet_lite0.in1k", 0.41, 4.65)])
def test_counts_agree_with_published_ones(name, gmacs, millions):
    info = catalog.model(name)
    assert info.gmacs == pytest.approx(gmacs, rel=0.07)
    assert info.parameters / 1e6 == pytest.approx(millions, abs=0.006)


@pytest.mark.parametrize(("tag", "dataset"), [
    ("sw_in12k_ft_in1k", "in12k → in1k"), ("in1k", "in1k"), ("openai_ft_in12k_in1k", "openai → in12k → in1k"),
    ("lvd142m", "lvd142m"), ("seer", "unknown"), ("", "unknown"), ("metaclip_400m", "metaclip_400m"),
    ("dino", "in1k"), ("fb_dino", "in1k"), ("mae", "in1k"), ("mae_in1k_ft_in1k", "in1k"),
    ("fcmae_ft_in22k_in1k_384", "in1k → in22k → in1k"), ("in1k_ft_in22k_in1k", "in1k → in22k → in1k")])
def test_datasets_are_read_from_tags(tag, dataset):
    assert index.trained_on(tag) == dataset


def test_the_index_says_what_the_tags_say():
    assert [info.name for info in catalog.models() if info.trained_on != index.trained_on(info.tag)] == []
    assert catalog.model("vit_small_patch16_224.dino").trained_on == "in1k"


def test_a_partial_file_is_gone_on_from(tmp_path):
    partial = tmp_path / "partial.jsonl"
    partial.write_text(json.dumps(["known", {"failed": "kept"}]) + "\n", "utf-8")
    found = index.structures({"known": "no such model", "new": "no such model either"}, partial)
    assert found["known"] == {"failed": "kept"}
    assert "no such model either" in found["new"]["failed"] or "Unknown" in found["new"]["failed"]
    assert len(partial.read_text("utf-8").splitlines()) == 2
