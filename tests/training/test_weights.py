"""Every source of weights: packages, the hub cache as huggingface_hub lays it out, a person's own file, and none."""

from __future__ import annotations

import pickle

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from transfer_core.errors import BadRecipe, BadWeights, NotFound, Unavailable
from transfer_core.training import packaged, weights
from transfer_core.training.models import build
from transfer_core.training.weight_files import inspect_weights, read_weights

TINY = "test_resnet.r160_in1k"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty hub cache, and no network."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return folder


def put_in_cache(folder, repository: str, name: str, tensors: dict) -> None:
    """As huggingface_hub does: refs/main names a commit, snapshots/<commit>/<file> links to blobs/<hash>."""
    place = folder / f"models--{repository.replace('/', '--')}"
    for part in ("refs", "blobs", "snapshots/c0ffee"):
        (place / part).mkdir(parents=True, exist_ok=True)
    (place / "refs/main").write_text("c0ffee")
    save_file(tensors, place / "blobs/feed")
    (place / "snapshots/c0ffee" / name).symlink_to("../../blobs/feed")


@pytest.mark.parametrize("name", packaged.PACKAGES)
def test_packaged_weights_are_the_model(name):
    tensors = weights.pretrained_state_dict(name)
    model = timm.create_model(name)
    model.load_state_dict(tensors, strict=True)
    # A model with shuffled weights would not: its BatchNorm statistics would fit no other layer's activations.
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in tensors.items())
    assert weights.locate(name).kind == "packaged"
    assert weights.locate(f"{name}.in1k").kind == "packaged"


def test_a_changed_package_is_refused(tmp_path):
    file = packaged.packaged_file("tf_efficientnet_lite0")
    tensors = torch.load(file, weights_only=True)
    swapped = {**tensors, "_blocks.5._bn0.bias": tensors["_blocks.5._bn2.bias"]}
    torch.save(swapped, tmp_path / "changed.pth")
    with pytest.raises(BadWeights) as error:
        packaged.packaged_state_dict("tf_efficientnet_lite0", tmp_path / "changed.pth")
    assert error.value.values["fitting"] == 295
    renamed = {key.replace("_conv_head", "_head"): tensor for key, tensor in tensors.items()}
    torch.save(renamed, tmp_path / "renamed.pth")
    with pytest.raises(BadWeights):
        packaged.packaged_state_dict("tf_efficientnet_lite0", tmp_path / "renamed.pth")


def test_cached_weights_are_used_without_network(cache, home, recipe):
    torch.manual_seed(1)
    published = timm.create_model("test_resnet", num_classes=1000)
    put_in_cache(cache, "timm/test_resnet.r160_in1k", "model.safetensors", published.state_dict())
    assert weights.locate(TINY).kind == "cached"
    built = build(recipe.but(model=TINY, weights="pretrained"), 3, home)
    first = next(iter(published.state_dict()))
    assert torch.equal(built.model.state_dict()[first], published.state_dict()[first])
    assert torch.equal(built.source_head[0].weight, published.get_classifier().weight)


def test_no_network_is_said_plainly_and_nothing_is_random(cache, home, recipe):
    assert weights.locate(TINY).kind == "download"
    with pytest.raises(Unavailable) as error:
        build(recipe.but(model=TINY, weights="pretrained"), 3, home)
    assert "tf_efficientnet_lite0" in error.value.hint()


def test_unknown_names():
    with pytest.raises(NotFound):
        weights.locate("resnet51")


def test_a_download_reports_its_bytes():
    def work(bar):
        with bar(total=5 << 20, initial=0, desc="x", name="huggingface_hub.http_get") as drawn:
            for _ in range(5):
                drawn.update(1 << 20)

    events = list(weights._reported(work))
    assert [(event.done >> 20, event.total) for event in events] == [(0, None)] + [(n, 5 << 20) for n in range(1, 6)]


def test_a_failing_download_raises_in_the_caller():
    def work(bar):
        raise Unavailable("weights_no_network", model="x", packaged="y")

    with pytest.raises(Unavailable):
        list(weights._reported(work))


# A person's own file

def own(home, tensors, wrap=lambda content: content, kind="torch"):
    path = home.weights / ("a" * 64)
    if kind == "torch":
        torch.save(wrap(tensors), path)
    else:
        save_file(tensors, path)
    return path


@pytest.mark.parametrize("wrap", [
    lambda content: content,
    lambda content: {"state_dict": content, "epoch": 3},
    lambda content: {"model": {f"module.{name}": tensor for name, tensor in content.items()}},
    lambda content: {f"_orig_mod.module.{name}": tensor for name, tensor in content.items()},
], ids=["plain", "state_dict", "module", "compiled"])
@pytest.mark.parametrize("classes", [1000, 7])
def test_own_file_in_its_usual_wrappings(home, recipe, wrap, classes):
    theirs = timm.create_model("test_resnet", num_classes=classes)
    own(home, theirs.state_dict(), wrap)
    built = build(recipe.but(weights="file", weights_file="a" * 64), 3, home)
    ours = built.model.state_dict()
    same = [torch.equal(ours[name], tensor) for name, tensor in theirs.state_dict().items() if ours[name].shape == tensor.shape]
    assert len(same) == len(ours) - 2
    assert all(same)
    # A head of another size cannot be the source classifier, and its absence is said.
    assert bool(built.source_head) == (classes == 1000)
    assert [note.key for note in built.notes] == ([] if classes == 1000 else ["fit.head_left_out"])


def test_own_safetensors(home, recipe):
    theirs = timm.create_model("test_resnet", num_classes=5).state_dict()
    path = own(home, theirs, kind="safetensors")
    described = inspect_weights(path)
    assert described.format == "safetensors"
    assert described.tensors == len(theirs)
    assert described.classes == 5
    build(recipe.but(weights="file", weights_file="a" * 64), 3, home)


def test_a_file_for_another_model_is_refused_with_its_count(home, recipe):
    own(home, timm.create_model("test_vit").state_dict())
    with pytest.raises(BadWeights) as error:
        build(recipe.but(weights="file", weights_file="a" * 64), 3, home)
    assert error.value.code == "weights_do_not_fit"
    assert error.value.values["fitting"] == 0
    assert str(error.value.values["total"]) in error.value.message("zh")


class Shell:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_a_file_that_would_run_code_is_not_opened(home, capsys):
    path = home.weights / "evil"
    torch.save({"state_dict": Shell()}, path)
    with pytest.raises(BadWeights) as error:
        read_weights(path)
    assert error.value.code == "weights_unsafe"
    path.write_bytes(pickle.dumps(Shell()))
    with pytest.raises(BadWeights):
        read_weights(path)
    assert "never" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 broken zip", (2**40).to_bytes(8, "little") + b"{}", b"\x80\x04"])
def test_what_is_no_weight_file(tmp_path, content):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(BadWeights) as error:
        read_weights(path)
    assert error.value.code == "weights_unreadable"
    assert "model.pt" in error.value.message()


def test_own_file_that_is_gone_or_pretends_to_be_a_path(home):
    for name in ("b" * 64, "../../etc/passwd"):
        with pytest.raises(NotFound):
            weights.own_file(name, home)


def test_a_model_without_published_weights(monkeypatch):
    monkeypatch.setattr(weights, "get_pretrained_cfg", lambda name: None)
    with pytest.raises(BadRecipe):
        weights.locate("resnet18")
