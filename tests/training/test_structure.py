"""Another shape than the model came with: what stays is the pretrained model's, and whatever is recorded builds it again."""

from __future__ import annotations

import json
import zipfile

import pytest
import timm
import torch
from events_of import of

from transfer_core.errors import BadRecipe
from transfer_core.events import Cached, Epoch, Exported, Kept, Note, Started
from transfer_core.predictor import Predictor
from transfer_core.recipe import Recipe
from transfer_core.training.finish import finish
from transfer_core.training.fit import fit
from transfer_core.training.layers import layer_groups
from transfer_core.training.models import build, classifiers, features_and_logits, load_run
from transfer_core.training.structure import Structure, endings

MODEL = "test_resnet"
FAMILIES = ("test_resnet", "test_efficientnet", "test_vit", "mobilenetv3_small_050", "regnety_002", "vgg11")


def asked(**settings) -> Recipe:
    return Recipe(**{"dataset": "colours", "model": MODEL, "weights": "scratch", "freeze": 0, "image_size": 32, **settings})


@pytest.mark.parametrize("name", FAMILIES)
def test_a_shorter_model_says_what_the_whole_one_says_there(name, home):
    """With the weights of the same seed, its features are those timm calls the intermediate ones at that place."""
    for kept, end in endings(name).items():
        recipe = Recipe(dataset="d", model=name, weights="scratch", kept_groups=kept)
        short = build(recipe, 3, home).model.eval()
        whole = build(recipe.but(kept_groups=None), 3, home).model.eval()
        size = whole.pretrained_cfg["input_size"]
        images = torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            (there,) = whole.forward_intermediates(images, indices=[end.place], intermediates_only=True)
            (features,), _ = features_and_logits(short, images)
        if name == "test_vit":  # tokens as a picture, before the last norm: its mean over places is not what the head reads
            assert features.shape == (2, end.features)
        else:
            assert torch.allclose(features, there.mean((2, 3)), atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_left_are_the_first_groups(name):
    whole = layer_groups(timm.create_model(name))
    for kept in endings(name):
        short = build(Recipe(dataset="d", model=name, weights="scratch", kept_groups=kept), 3, None)
        assert [group.name for group in short.groups] == [group.name for group in whole[:kept]]
    assert all(0 < kept < len(whole) for kept in endings(name))


@pytest.mark.parametrize("name", ["efficientformer_l1", "test_mambaout", "resnet50_clip", "levit_128s", "convnext_atto",
                                  "coat_tiny"])
def test_what_is_offered_can_be_built_and_answers(name, home):
    """timm shortens some models and then cannot give them a head, or pool what is left."""
    for kept in endings(name):
        built = build(Recipe(dataset="d", model=name, weights="scratch", kept_groups=kept), 3, home)
        with torch.inference_mode():
            assert built.model.eval()(torch.zeros(1, *built.model.pretrained_cfg["input_size"])).shape == (1, 3)


def test_all_groups_are_no_other_shape(home):
    built = build(asked(kept_groups=5), 3, home)
    assert built.structure.usual


def test_where_a_model_cannot_end_the_error_says_where_it_can(home):
    with pytest.raises(BadRecipe) as error:
        build(asked(kept_groups=1), 3, home)
    assert error.value.code == "cannot_shorten"
    assert error.value.values["allowed"] == ", ".join(map(str, endings(MODEL)))
    assert len(build(asked(kept_groups=5), 3, home).groups) == 5, "all of them is no shortening"


def test_a_hidden_layer_is_what_its_formula_says(home):
    built = build(asked(head="hidden", head_width=7, head_dropout=0.5), 3, home)
    model = built.model.eval()
    (head,) = classifiers(model)
    torch.nn.init.normal_(head.out.weight, generator=torch.Generator().manual_seed(1))
    (features,), logits = features_and_logits(model, torch.randn(4, 3, 32, 32))
    hidden = (features @ head.hidden.weight.T + head.hidden.bias).clamp_min(0)
    assert torch.allclose(logits, hidden @ head.out.weight.T + head.out.bias, atol=1e-5)
    assert head.hidden.weight.shape == (7, model.num_features)
    assert head.drop.p == 0.5


def test_a_new_head_of_any_kind_begins_without_an_opinion(home):
    for head in ("linear", "hidden", "flatten"):
        model = build(asked(head=head), 3, home).model.eval()
        assert torch.equal(model(torch.randn(2, 3, 32, 32)), torch.zeros(2, 3)), head


def test_a_flat_head_knows_where_something_is(home):
    """Mirrored features pool to the same mean; a head that reads every place tells them apart."""
    model = build(asked(head="flatten"), 2, home).model.eval()
    (head,) = classifiers(model)
    features = model.forward_features(torch.randn(1, 3, 32, 64))
    assert features.shape[-1] == 2
    for layer in (head.out,):
        torch.nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(1))
    square = torch.randn(1, model.num_features, 1, 1)
    assert head.out.in_features == square.numel(), "32 pixels leave one place"
    wide = build(asked(head="flatten", image_size=64), 2, home).model
    (wide_head,) = classifiers(wide)
    assert wide_head.out.in_features == 4 * square.numel()
    torch.nn.init.normal_(wide_head.out.weight, generator=torch.Generator().manual_seed(1))
    places = torch.randn(1, model.num_features, 2, 2, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(places.mean((2, 3)), places.flip(-1).mean((2, 3)), atol=1e-6)
    assert not torch.allclose(wide_head(places), wide_head(places.flip(-1)), atol=1e-2)


def test_what_cannot_have_a_head_says_so(home):
    for name, head in (("test_vit", "flatten"), ("levit_128s", "hidden"), ("convnext_atto", "flatten"),
                       ("inception_v3", "hidden")):  # the last would lose its layer groups
        with pytest.raises(BadRecipe) as error:
            build(Recipe(dataset="d", model=name, weights="scratch", head=head), 3, home)
        assert error.value.code == "head_unfit", name


@pytest.mark.parametrize("settings", [
    {"head": "hidden", "head_width": 16}, {"head": "flatten", "image_size": 64}, {"kept_groups": 3},
    {"kept_groups": 4, "head": "hidden", "freeze": 2}, {"kept_groups": 3, "freeze": "all", "head": "flatten", "image_size": 64}])
def test_a_training_is_built_again_and_taken_home(settings, recipe, manifest, home, tmp_path):
    """Trained, read back, exported: the file answers as the model does; timm, which cannot build it, is not offered."""
    out = tmp_path / "run"
    asked = recipe.but(epochs=3, **settings)
    events = [*fit(asked, manifest, home, out, device="cpu"), *finish(out, manifest, home, name="n", device="cpu")]
    info = json.loads((out / "info.json").read_text())
    assert Structure.from_dict(info["structure"]) == Structure.of(asked)
    model, classes, how = load_run(out)
    (started,) = of(Started, events)
    assert started.total_parameters == sum(p.numel() for p in model.parameters())
    assert started.trainable_parameters == info["trainable_parameters"]
    assert len(started.groups) == settings.get("kept_groups", 5)
    assert of(Epoch, events)[-1].train.total < of(Epoch, events)[0].train.total
    assert {event.format for event in of(Exported, events)} == {"onnx", "zip"}
    assert "errors.export_structure.text" in {event.message.key for event in of(Note, events)}
    (onnx,) = (event for event in of(Exported, events) if event.format == "onnx")
    assert onnx.same == onnx.replayed > 0
    assert onnx.largest_difference < 1e-4
    assert Predictor(out / "model.onnx").classes == classes
    with zipfile.ZipFile(out / "n.zip") as packed:
        assert "config.json" not in packed.namelist(), "timm would build another model from it"
        packed.extractall(tmp_path / "unpacked")
    again, _, _ = load_run(tmp_path / "unpacked")
    images = torch.randn(2, 3, *how.size)
    with torch.inference_mode():
        assert torch.equal(again(images), model(images))


def test_stored_activations_change_nothing(recipe, manifest, home, tmp_path):
    settings = recipe.but(kept_groups=4, freeze=2, head="hidden", head_dropout=0.0, epochs=3)
    cached = list(fit(settings, manifest, home, tmp_path / "a", device="cpu"))
    plain = list(fit(settings, manifest, home, tmp_path / "b", device="cpu", cache=False))
    assert of(Cached, cached)
    for one, other in zip(of(Epoch, cached), of(Epoch, plain), strict=True):
        assert one.train.total == pytest.approx(other.train.total, rel=1e-5)


def test_from_run_to_run_the_shape_goes_along(recipe, manifest, home, tmp_path):
    """Same shape, same classes: the head goes on. Another head: it is new, and the old one is what forgetting is measured by."""
    first = "b" * 32
    list(fit(recipe.but(kept_groups=4, head="hidden", epochs=2), manifest, home, home.run(first), device="cpu"))
    before, classes, _ = load_run(home.run(first))
    onward = recipe.but(weights="run", start_from=first)
    same = build(onward.but(kept_groups=4, head="hidden"), 3, home, classes)
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(same.model.eval()(images), before(images), atol=1e-6)
        other = build(onward.but(kept_groups=4), 3, home, classes)
        assert torch.equal(other.model.eval()(images), torch.zeros(2, 3))
        (features,), _ = features_and_logits(other.model, images)
        assert torch.allclose(other.source_head[0](features), before(images), atol=1e-6)
        flat = build(onward.but(kept_groups=4, head="flatten", image_size=64), 3, home, classes)
        large = torch.randn(2, 3, 64, 64)
        (places,), _ = features_and_logits(flat.model.eval(), large)
        assert torch.allclose(flat.source_head[0](places), before(large), atol=1e-5), "pooled before it is asked"
        shorter = build(onward.but(kept_groups=3), 3, home, classes)
        assert shorter.source_head == [], "its classifier read what is no longer there"
    with pytest.raises(BadRecipe) as error:
        build(onward, 3, home, classes)
    assert error.value.code == "start_is_shorter"


@pytest.mark.parametrize("head", ["linear", "hidden"])
def test_from_a_flat_head_to_another(head, recipe, manifest, home, tmp_path):
    first = "c" * 32
    list(fit(recipe.but(head="flatten", image_size=64, epochs=1), manifest, home, home.run(first), device="cpu"))
    onward = recipe.but(weights="run", start_from=first, image_size=64, head=head, epochs=1)
    last = of(Epoch, fit(onward, manifest, home, tmp_path / "second", device="cpu"))[-1]
    assert last.kept.agreement is None, "the old classifier read every place"
    assert last.kept.similarity is not None


def test_another_dropout_is_no_other_shape(recipe, manifest, home):
    first = "d" * 32
    list(fit(recipe.but(head="hidden", epochs=2, learning_rate=0.01), manifest, home, home.run(first), device="cpu"))
    before, classes, _ = load_run(home.run(first))
    again = build(recipe.but(weights="run", start_from=first, head="hidden", head_dropout=0.6), 3, home, classes)
    images = torch.randn(2, 3, 32, 32)
    assert torch.allclose(again.model.eval()(images), before(images), atol=1e-6)
    assert Structure.of(recipe.but(head_width=99)) == Structure.of(recipe), "a width says nothing of one layer"


def test_an_image_size_it_cannot_take_is_said_whatever_the_head(home):
    for head in ("linear", "hidden", "flatten"):
        with pytest.raises(BadRecipe) as error:
            build(Recipe(dataset="d", model="coatnet_nano_rw_224", weights="scratch", head=head, image_size=100), 3, home)
        assert error.value.code == "image_size_unfit", head


def test_forgetting_is_not_asked_of_a_classifier_that_is_gone(recipe, manifest, home, tmp_path):
    events = list(fit(recipe.but(kept_groups=3), manifest, home, tmp_path / "run", device="cpu"))
    kept: Kept = of(Epoch, events)[-1].kept
    assert kept.agreement is None
    assert kept.similarity is not None
    with pytest.raises(BadRecipe) as error:
        list(fit(recipe.but(kept_groups=3, source_loss="lwf"), manifest, home, tmp_path / "other", device="cpu"))
    assert error.value.code == "no_source_head"
