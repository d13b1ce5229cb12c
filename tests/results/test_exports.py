"""What is downloaded is what was measured: a contract for every format, and each format opened as a stranger would."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from markdown_it import MarkdownIt
from trained_run import LABELS, odd_pictures, trained

from transfer_core.errors import BadRecipe, TrainingFailed, Unavailable
from transfer_core.events import Exported, Note
from transfer_core.images import Preprocessing, open_image, preprocess
from transfer_core.predictor import Predictor
from transfer_core.training.export import EXPORTERS, export, file_name, formats
from transfer_core.training.export.facts import facts_of
from transfer_core.training.finish import finish
from transfer_core.training.models import load_run
from transfer_core.words import say

CLASSES = sorted(LABELS)


@pytest.fixture(scope="module")
def unpacked(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("download")
    with zipfile.ZipFile(next(finished[0].folder.glob("*.zip"))) as packed:
        packed.extractall(folder)
    return folder


@pytest.mark.parametrize("kind", EXPORTERS.names())
def test_every_format_is_made_replayed_and_copied_out(finished, tmp_path, kind, request):
    if kind.startswith("html"):
        request.getfixturevalue("web_runtime")
    if extra := EXPORTERS[kind].facts.get("extra"):
        pytest.importorskip(extra)
    run, _ = finished
    folder = shutil.copytree(run.folder, tmp_path / "train-1")
    *_, last = export(folder, run.home, kind, name="my model", out=tmp_path / "out")
    assert isinstance(last, Exported)
    assert (last.format, last.replayed) == (kind, 8)
    if kind == "onnx-int8":
        assert 0 < last.largest_difference < 0.5 and last.right_before is not None
    else:
        assert last.same == 8 and 0 <= last.largest_difference < 1e-4
    assert (folder / last.file).stat().st_size == last.bytes
    assert last.files and all((tmp_path / "out" / name).is_file() for name in last.files)
    assert CLIENTS[kind](tmp_path / "out", last.files) == CLASSES, "a class is called otherwise in this file"
    assert EXPORTERS[kind].help
    assert not list(folder.glob(".*")), "a half-written file stayed behind"


def _of_onnx(folder: Path, files: list[str]) -> list[str]:
    file = next(name for name in files if name.endswith(".onnx"))
    return json.loads(onnxruntime.InferenceSession(folder / file).get_modelmeta().custom_metadata_map["classes"])


def _of_program(folder: Path, files: list[str]) -> list[str]:
    extra = {"transfer_studio.json": ""}
    torch.export.load(folder / files[0], extra_files=extra)
    return json.loads(extra["transfer_studio.json"])["classes"]


def _of_openvino(folder: Path, _files: list[str]) -> list[str]:
    import openvino

    outputs = openvino.Core().read_model(folder / "model.xml").outputs[0].partial_shape[1].get_length()
    classes = json.loads((folder / "transfer_studio.json").read_text("utf-8"))["classes"]
    assert outputs == len(classes)
    return classes


def _of_litert(folder: Path, _files: list[str]) -> list[str]:
    """As the card says, with what `requirements.txt` names and nothing of this studio."""
    (folder / "photo.jpg").write_bytes(odd_pictures()["turned.jpg"])
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)[1]
    forbidden = "import sys\nfor name in ('transfer_core', 'torch', 'timm', 'onnxruntime'): sys.modules[name] = None\n"
    done = subprocess.run([sys.executable, "-X", "utf8", "-c", forbidden + code], cwd=folder, capture_output=True, check=True,
                          text=True, encoding="utf-8")
    said = [line.rsplit(" ", 1) for line in done.stdout.split("\n")[:-1]]
    assert sorted(label for label, _ in said) == sorted(rendered_classes())
    assert sum(float(share) for _, share in said) == pytest.approx(1, abs=1e-5)
    facts = json.loads((folder / "transfer_studio.json").read_text("utf-8"))
    assert (folder / "labels.txt").read_text("utf-8").split("\n")[:-1] == [" ".join(label.split()) for label in facts["classes"]]
    return facts["classes"]


class _Read(HTMLParser):
    """The list of classes and the facts of a page, as a browser sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.listed, self.facts, self.tags = "", [], "", set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.inside = "facts" if ("id", "facts") in attributes else tag
        if tag == "li":
            self.listed.append("")

    def handle_endtag(self, _tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside == "facts":
            self.facts += data
        elif self.inside == "li":
            self.listed[-1] += data


def _of_page(folder: Path, files: list[str]) -> list[str]:
    page = _Read()
    page.feed((folder / next(name for name in files if name.endswith(".html"))).read_text("utf-8"))
    assert page.listed == json.loads(page.facts)["classes"] and not page.tags & {"b", "iframe"}
    return page.listed


def _of_python(folder: Path, files: list[str]) -> list[str]:
    (folder / "a.jpg").write_bytes(odd_pictures()["plain.jpg"])
    said = subprocess.run([sys.executable, "predict.py", "--json", "a.jpg"], cwd=folder, capture_output=True, check=True)
    assert sorted(rendered((folder / "README.md").read_text("utf-8"))) == sorted(rendered_classes())
    assert _of_onnx(folder, files) == list(json.loads(said.stdout)["predictions"][0]["probabilities"])
    return _of_onnx(folder, files)


def _of_zip(folder: Path, files: list[str]) -> list[str]:
    with zipfile.ZipFile(folder / files[0]) as packed:
        for card in ("README.md", "README.zh.md"):
            assert sorted(rendered(packed.read(card).decode())) == sorted(rendered_classes())
        if "dataset/manifest.jsonl" in packed.namelist():
            rows = map(json.loads, packed.read("dataset/manifest.jsonl").splitlines())
            assert {row["label"] for row in rows} == set(LABELS[:8])
        return json.loads(packed.read("classes.json"))


def rendered(card: str) -> list[str]:
    """The classes in a card's largest table, as a reader of Markdown shows them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(card.split("---", 2)[2])
    inside = {child.type for token in tokens for child in token.children or ()}
    assert not inside & {"html_inline", "link_open", "image"}
    rows = [index + 2 for index, token in enumerate(tokens) if token.type == "tr_open" and tokens[index + 1].type == "td_open"]
    widest = [place for place in rows if [token.type for token in tokens[place - 2:]].index("tr_close") == 16]
    return ["".join(child.content for child in tokens[place].children) for place in widest]


def rendered_classes() -> list[str]:
    return [" ".join(label.split()) for label in LABELS]


def _of_timm(folder: Path, _files: list[str]) -> list[str]:
    return list(timm.create_model(f"local-dir:{folder}", pretrained=True).pretrained_cfg["label_names"])


CLIENTS = {"timm": _of_timm, "onnx": _of_onnx, "onnx-int8": _of_onnx, "pt2": _of_program, "openvino": _of_openvino,
           "litert": _of_litert, "html": _of_page, "html-folder": _of_page, "python": _of_python, "zip": _of_zip,
           "project": _of_zip}
"""How the classes are read by who opens a format; a new one needs its reader here."""


def test_no_sign_of_a_name_means_anything_to_a_reader_of_markdown():
    card = formats.model_card.__globals__["plain"]
    assert card("$x$ :d: @c https://a www.b") == r"\$x\$ \:d\: \@c https\://a www\.b", "math, emoji, somebody, links"


@pytest.mark.parametrize("kind", ["onnx", "timm", "pt2"])
def test_a_file_that_disagrees_is_not_offered(tmp_path, kind):
    run = trained(tmp_path)
    list(finish(run.folder, run.manifest, run.home, name="x", device="cpu"))
    rows = [json.loads(line) for line in (run.folder / "predictions_test.jsonl").read_text("utf-8").splitlines()]
    rows[3]["probabilities"] = [min(1.0, p + 0.002) for p in rows[3]["probabilities"]]
    (run.folder / "predictions_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (run.folder / "exports.json").unlink()
    with pytest.raises(TrainingFailed, match=r"8 of 8 photos the same, largest difference 0\.002"):
        list(export(run.folder, run.home, kind))
    assert kind == "timm" or not (run.folder / f"model.{kind}").exists()
    assert (run.folder / "model.safetensors").exists(), "the training's result is never removed"
    assert kind not in json.loads((run.folder / "exports.json").read_text())


def test_a_model_that_onnx_cannot_hold_still_goes_home(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("no such operator\nand a long trace")

    monkeypatch.setattr(formats, "write_onnx", broken)
    run = trained(tmp_path)
    story = list(finish(run.folder, run.manifest, run.home, name="x", device="cpu"))
    assert [event.message.say() for event in story if isinstance(event, Note)] == [
        "The model could not be written as onnx (no such operator)."]
    assert [event.format for event in story if isinstance(event, Exported)] == ["timm", "zip"]
    with zipfile.ZipFile(run.folder / "x.zip") as packed:
        assert {"model.safetensors", "config.json", "README.md"} <= set(packed.namelist())
        assert not {"model.onnx", "predict.py"} & set(packed.namelist())


def test_an_unknown_format_names_those_there_are(finished):
    with pytest.raises(BadRecipe) as error:
        list(export(finished[0].folder, finished[0].home, "tflite"))
    assert set(error.value.values["allowed"].split(", ")) == set(CLIENTS)


def test_timm_loads_the_folder_and_gives_the_same_logits(finished, unpacked):
    run, _ = finished
    ours, classes, how = load_run(run.folder)
    theirs = timm.create_model(f"local-dir:{unpacked}", pretrained=True).eval()
    images = torch.randn(3, 3, *how.size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(ours(images), theirs(images))
    assert theirs.num_classes == len(classes)
    assert list(theirs.pretrained_cfg["label_names"]) == classes == CLASSES
    config = timm.data.resolve_model_data_config(theirs)
    assert (config["input_size"], config["crop_pct"], config["interpolation"], tuple(config["mean"])) == (
        (3, *how.size), how.crop_share, how.interpolation, how.mean)


def test_onnx_runtime_gives_the_probabilities_of_pytorch_on_odd_pictures(finished):
    run, _ = finished
    model, _, how = load_run(run.folder)
    pictures = odd_pictures()
    with torch.inference_mode():
        inputs = np.stack([preprocess(open_image(content), how) for content in pictures.values()])
        expected = model(torch.from_numpy(inputs)).softmax(dim=-1).numpy()
    found = Predictor(run.folder / "model.onnx").predict_files(list(pictures.values()))
    assert np.abs(np.array([one.probabilities for one in found]) - expected).max() < 1e-4
    assert np.abs(expected[0] - expected[1:]).max(axis=1).min() > 1e-3, "pictures the model cannot tell apart prove nothing"


def test_the_onnx_file_knows_everything_but_the_pixels(finished):
    run, _ = finished
    file = onnx.load(run.folder / "model.onnx")
    onnx.checker.check_model(file)
    facts = {entry.key: entry.value for entry in file.metadata_props}
    assert facts.pop("format") == "transfer-studio/1"
    facts = {name: json.loads(text) for name, text in facts.items()}
    assert facts["classes"] == CLASSES
    assert Preprocessing.from_dict(facts["preprocessing"]) == load_run(run.folder)[2]
    assert (facts["temperature"], facts["architecture"], facts["run"]) == (1.0, "test_resnet", "train-1")
    assert (facts["input"], facts["output"]) == (file.graph.input[0].name, file.graph.output[0].name) == ("images", "logits")
    assert facts["opset"] == file.opset_import[0].version
    assert file.graph.input[0].type.tensor_type.shape.dim[0].dim_param, "any number of images at once"
    text = (run.folder / "model.onnx").read_bytes()
    assert b"site-packages" not in text
    assert b"stack_trace" not in text


def test_predict_py_says_what_the_studio_says(finished, unpacked, tmp_path):
    run, _ = finished
    pictures = odd_pictures() | {"notes.txt": b"not a picture"}
    for name, content in pictures.items():
        (tmp_path / name).write_bytes(content)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-I", "-c", _WITHOUT_THE_STUDIO, str(unpacked / "predict.py"), "--json", *pictures],
                          cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 1, done.stderr  # one of the files is no picture
    said = json.loads(done.stdout)["predictions"]
    studio = Predictor(run.folder / "model.onnx").predict_files(list(pictures.values()))
    for name, theirs, ours in zip(pictures, said, studio, strict=True):
        assert theirs["file"] == name
        if ours.error:
            assert "error" in theirs
        else:
            assert theirs["label"] == ours.label
            assert list(theirs["probabilities"]) == CLASSES
            assert list(theirs["probabilities"].values()) == pytest.approx(ours.probabilities, abs=1e-6)
    assert "error" in said[-1]


# Runs predict.py as a machine without the studio and without torch would.
_WITHOUT_THE_STUDIO = """
import runpy, sys
for name in ("transfer_core", "torch", "timm", "pydantic"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rsplit("/", 1)[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_timm_code_of_card_and_page_turns_a_phone_photo_upright(finished, unpacked, tmp_path):
    from pages.shared.share.snippets import timm_code

    (tmp_path / "my-model").symlink_to(unpacked)
    (tmp_path / "photo.jpg").write_bytes(odd_pictures()["turned.jpg"])
    assert timm_code(".") in (unpacked / "README.md").read_text("utf-8")
    done = subprocess.run([sys.executable, "-c", timm_code()], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    [expected] = Predictor(finished[0].folder / "model.onnx").predict_files([odd_pictures()["turned.jpg"]])
    label, share = done.stdout.strip().rsplit(" ", 1)
    assert label == expected.label
    assert float(share) == pytest.approx(max(expected.probabilities), abs=1e-4)


def test_predict_py_speaks_to_people(unpacked, tmp_path):
    (tmp_path / "a.jpg").write_bytes(odd_pictures()["plain.jpg"])
    done = subprocess.run([sys.executable, str(unpacked / "predict.py"), "--top", "2", "a.jpg"], cwd=tmp_path,
                          capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"a\.jpg: '.+' \d+\.\d%, '.+' \d+\.\d%\n", done.stdout)
    done = subprocess.run([sys.executable, str(unpacked / "predict.py"), "b.jpg"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "b.jpg: there is no such file\n")


def test_the_zip_holds_everything_and_strange_labels_survive(finished, unpacked):
    files = [file.relative_to(unpacked) for file in unpacked.rglob("*") if file.is_file()]
    names = {file.as_posix() for file in files if "__pycache__" not in file.parts}
    assert names == {"README.md", "README.zh.md", "model.safetensors", "config.json", "info.json", "classes.json", "recipe.json",
                     "report.json", "model.onnx", "predict.py", "requirements.txt", "pictures/__init__.py",
                     "pictures/errors.py", "pictures/decode.py", "pictures/framing.py", "pictures/images.py"}
    assert json.loads((unpacked / "classes.json").read_text("utf-8")) == CLASSES
    assert json.loads((unpacked / "config.json").read_text("utf-8"))["label_names"] == CLASSES
    assert Predictor(unpacked / "model.onnx").classes == CLASSES
    assert json.loads((unpacked / "recipe.json").read_text("utf-8"))["model"] == "test_resnet"


@pytest.mark.parametrize("language", ["README.md", "README.zh.md"])
def test_the_card_gives_numbers_with_their_n_and_no_label_becomes_markup(finished, unpacked, language):
    run, _ = finished
    card = (unpacked / language).read_text("utf-8")
    report = json.loads((run.folder / "report.json").read_text("utf-8"))["test"]
    for number in (report["accuracy"], report["low"], report["high"], report["baseline"]):
        assert f"{100 * number:.1f}" in card
    assert f"{report['macro_f1_low']:.3f} – {report['macro_f1_high']:.3f}" in card
    for name in ("auc", "log_loss"):
        assert f"{report[name]:.3f} | {report[f'{name}_low']:.3f} – {report[f'{name}_high']:.3f}" in card
    code = "zh" if "zh" in language else "en"
    floor = say("results.card.ece_floor", code, floor=f"{report['ece_floor']:.3f}")
    assert f"| {report['ece']:.3f} | {floor} |" in card
    assert f"| {say('results.card.temperature', code)} | 1.000 |" in card and say("trust.unfitted", code, n=8) in card
    assert "8" in card
    assert "<b>" not in card
    assert "&lt;b&gt;" in card
    assert "line break" in card
    assert "a/b\\\\c\\|d" in card
    tables = [line for line in card.splitlines() if line.startswith("| ")]
    assert tables
    assert all(len(re.findall(r"(?<!\\)\|", line)) in (3, 4, 6) for line in tables), "a label broke a table"
    assert "{" not in card.replace("\\{", "").split("```")[0]


@pytest.mark.parametrize(("name", "file"), [
    ("clothing 10", "clothing 10"), ("../../etc/passwd", "etc-passwd"), ("CON", "CON_"), ("nul.txt", "nul_.txt"),
    ("console", "console"), ("a:b*c?", "a-b-c-"), ("line\nbreak", "line-break"),
    ("  . ", "model"), ("", "model"), ("苹果🍎", "苹果🍎"), ("ü" * 90, "ü" * 50),
])
def test_file_names_are_safe_on_every_system(name, file):
    assert file_name(name).strip("-") == file.strip("-")
    assert len(file_name(name).encode()) <= 100
    assert not re.search(r'[/\\:*?"<>|\x00-\x1f]', file_name(name))


@pytest.mark.parametrize("model", ["test_efficientnet", "test_vit", "test_convnext", "test_mambaout"])
def test_other_families_export_too(tmp_path, model):
    run = trained(tmp_path, labels=["a", "b"], model=model)
    story = finish(run.folder, run.manifest, run.home, name="x", device="cpu")
    exported = [event for event in story if isinstance(event, Exported)]
    assert [(event.format, event.same) for event in exported] == [("timm", 8), ("onnx", 8), ("zip", 8)]
    assert max(event.largest_difference for event in exported) < 1e-4


def test_a_new_name_makes_a_new_zip_and_nothing_else(finished, tmp_path):
    run, _ = finished
    folder = shutil.copytree(run.folder, tmp_path / "train-1")
    written = (folder / "model.onnx").stat().st_mtime_ns
    list(export(folder, run.home, "zip", name="another"))
    assert [file.name for file in folder.glob("*.zip")] == ["another.zip"]
    assert (folder / "model.onnx").stat().st_mtime_ns == written


@pytest.mark.parametrize(("kind", "told"), [
    ("openvino", "pip install openvino"),
    ("litert", "pip install --no-deps --require-hashes --requirement requirements-litert.lock")])
def test_a_format_whose_package_is_missing_says_which(finished, monkeypatch, kind, told):
    monkeypatch.setattr("transfer_core.training.export.find_spec", lambda _name: None)
    with pytest.raises(Unavailable) as error:
        list(export(finished[0].folder, finished[0].home, kind))
    assert error.value.code == "export_extra" and told in error.value.hint()


def test_the_python_folder_runs_on_a_clean_machine(finished, tmp_path):
    """An environment of its own with what `requirements.txt` names, and nothing of this one."""
    uv = shutil.which("uv", path=Path(sys.executable).parent) or shutil.which("uv")
    if uv is None:
        pytest.skip("uv, which makes the environment, is not installed")
    run, _ = finished
    *_, made = export(run.folder, run.home, "python", name="x", out=tmp_path / "folder")
    python = tmp_path / "clean" / "bin" / "python"
    for command in (["venv", "--quiet", tmp_path / "clean"],
                    ["pip", "install", "--quiet", "--python", python, "-r", tmp_path / "folder" / "requirements.txt"]):
        done = subprocess.run([uv, *command], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"packages could not be installed: {done.stderr[-300:]}")
    (tmp_path / "a.jpg").write_bytes(odd_pictures()["turned.jpg"])
    said = subprocess.run([python, "-I", "-c", _ELSEWHERE, tmp_path / "folder" / "predict.py", "--json", tmp_path / "a.jpg"],
                          cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", env={"PATH": os.environ["PATH"]})
    assert said.returncode == 0, said.stderr
    [row] = json.loads(said.stdout)["predictions"]
    [studio] = Predictor(run.folder / "model.onnx").predict_files([odd_pictures()["turned.jpg"]])
    assert row["label"] == studio.label
    assert list(row["probabilities"].values()) == pytest.approx(studio.probabilities, abs=1e-5)
    assert {"predict.py", "requirements.txt", "model.onnx"} <= set(made.files)


_ELSEWHERE = """
import runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rsplit("/", 1)[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(("weights", "told"), [("pretrained", "cc-by-nc-4.0"), ("scratch", None)])
def test_a_file_says_under_which_licence_its_weights_began(weights, told):
    """A single file travels without its model card."""
    run = SimpleNamespace(model=SimpleNamespace(pretrained_cfg={"license": "cc-by-nc-4.0"}), classes=["a", "b"], folder=Path("r"),
                          recipe={"model": "m", "weights": weights}, how=SimpleNamespace(to_dict=dict))
    assert facts_of(run).get("weights_license") == told
