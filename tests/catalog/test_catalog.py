"""The catalog: light, quick, found by the words people use; suggestions exist; weights are looked for, not fetched."""

import subprocess
import sys

import pytest
from huggingface_hub import try_to_load_from_cache

from transfer_core import catalog
from transfer_core.errors import NotFound
from transfer_core.paths import Home
from transfer_core.recipe import DEFAULT_MODEL
from transfer_core.words import languages, say


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def empty_caches(monkeypatch, tmp_path):
    for name in ("HF_HUB_CACHE", "HF_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_catalog_opens_without_torch_in_a_tenth_of_a_second():
    code = ("import sys, time, transfer_core.images, transfer_core.catalog as c, transfer_core.estimate, transfer_core.presets\n"
            "t = time.process_time(); c.models(); c.model('resnet18').groups; c.search('resnet'); "
            "print(time.process_time() - t)\n"
            "print({'torch', 'timm', 'streamlit', 'huggingface_hub'} & set(sys.modules))")
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    seconds, loaded = printed.splitlines()
    assert loaded == "set()"
    assert float(seconds) < 0.1


def test_every_model_is_whole_and_consistent():
    for info in catalog.models():
        groups = info.groups
        assert groups and sum(group.parameters for group in groups) == info.backbone_parameters <= info.parameters
        assert sum(group.share for group in groups) == pytest.approx(1)
        assert all(group.shape and group.activations > 0 for group in groups), info.name
        assert info.macs > 0 and info.image_size >= 16 and info.licence and info.trained_on
        assert info.head_parameters(10) > 0
        assert not info.pretrained or info.hub or info.url, info.name


def test_a_name_without_tag_means_timms_default():
    assert catalog.model(DEFAULT_MODEL).name == "tf_efficientnet_lite0.in1k"
    assert catalog.model("resnet50.a1_in1k").tag == "a1_in1k"
    assert catalog.model("resnet50").default


def test_an_unknown_name_is_answered_with_names_like_it():
    with pytest.raises(NotFound) as refused:
        catalog.model("resnet5o")
    assert "resnet50" in refused.value.values["near"]
    assert "resnet5o" in str(refused.value)


@pytest.mark.parametrize(("text", "first"), [
    ("EfficientNet-Lite0", "tf_efficientnet_lite0.in1k"),
    ("resnet 50", "resnet50.a1_in1k"),
    ("CONVNEXT nano 12k", "convnext_nano"),
    ("vit_small dinov2", "vit_small_patch14_dinov2"),
    ("mobilenetv4 conv small", "mobilenetv4_conv_small"),
])
def test_search_finds_what_people_type(text, first):
    assert any(info.name.startswith(first) for info in catalog.search(text)[:3])


def test_search_forgives_a_slip():
    assert all("efficientnet" in info.name for info in catalog.search("efficentnet b0")[:3])
    assert catalog.search("efficentnet b0")
    assert catalog.search("qqqqqqqq") == []


@pytest.mark.parametrize("text", ["", "resnet", "vit", "<1M", "efficientnet in1k"])
def test_toys_for_tests_are_last(text):
    toys = [info.toy for info in catalog.search(text)]
    assert any(toys) and toys == sorted(toys)


def test_toys_for_tests_are_found_by_their_name():
    assert all(info.toy for info in catalog.search("test_")[:5])
    assert catalog.search("test_vit")[0].name == "test_vit.r160_in1k"


def test_search_limits_in_the_text_and_as_filters():
    small = catalog.search("resnet < 12 M")
    assert small and all(info.parameters < 12e6 and "resnet" in info.name + info.family for info in small)
    assert catalog.search("resnet <12M") == small
    assert all(info.gmacs < 0.3 for info in catalog.search("<0.3G"))
    assert all(info.image_size >= 384 for info in catalog.search(">=384px"))
    assert all(info.parameters <= 5e6 for info in catalog.search(max_parameters=5_000_000))
    assert all(info.commercial is True for info in catalog.search(commercial=True))
    assert not any(info.licence == "cc-by-nc-4.0" for info in catalog.search(commercial=True))
    assert all(info.family == "convnext" for info in catalog.search(family="convnext"))
    assert len(catalog.search("", limit=7)) == 7


def test_models_without_weights_are_found_only_when_asked_for():
    bare = [info for info in catalog.search("", pretrained=False) if not info.pretrained]
    assert bare and not any(not info.pretrained for info in catalog.search(""))
    assert len(catalog.search("")) == sum(catalog.families().values())


def test_weights_here(home, empty_caches):
    assert {info.name for info in catalog.search("", here=home)} == {f"tf_efficientnet_lite{n}.in1k" for n in (0, 1, 2)}


def test_weights_are_found_where_the_hub_keeps_them(home, empty_caches):
    name = "resnet18.a1_in1k"
    assert catalog.weights_at(name, home) == "download"
    folder = empty_caches / "huggingface" / "hub" / "models--timm--resnet18.a1_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / "model.safetensors").write_bytes(b"x")
    assert catalog.weights_at(name, home) == "cached"
    assert try_to_load_from_cache(catalog.model(name).hub, "model.safetensors", cache_dir=folder.parent), "as the hub itself says"
    assert catalog.weights_at("resnet34", home) == "download"


def test_weights_at_a_plain_address_lie_where_torch_keeps_them(home, empty_caches):
    info = catalog.model("legacy_seresnet18")
    assert info.hub is None and info.url
    assert catalog.weights_at(info.name, home) == "download"
    (empty_caches / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    (empty_caches / "torch" / "hub" / "checkpoints" / info.url).write_bytes(b"x")
    assert catalog.weights_at(info.name, home) == "cached"


def test_packaged_models_are_those_the_training_can_read():
    packaged = pytest.importorskip("transfer_core.training.packaged")
    assert catalog.PACKAGED == packaged.PACKAGES
    assert all(packaged.packaged_file(name) for name in catalog.PACKAGED)


def test_five_suggestions_each_with_words():
    suggestions = catalog.suggested()
    assert len(suggestions) == 5 == len({suggestion.model.name for suggestion in suggestions})
    for suggestion in suggestions:
        assert suggestion.model.pretrained and suggestion.model.commercial and suggestion.source
        assert 0 < suggestion.top1 < 100
        for language in languages():
            for part in ("title", "text"):
                assert say(f"catalog.roles.{suggestion.role}.{part}", language)
    assert sum(suggestion.model.architecture in catalog.PACKAGED for suggestion in suggestions) >= 2, "a choice without a network"
