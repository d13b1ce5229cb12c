"""What the documents say is there: commands, links, pictures, the file tree, the reference, the Python example."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer
from PIL import Image

import transfer_core
from transfer_core.cli import app
from transfer_core.examples import make_example
from transfer_core.settings import FIELDS

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "docs"))
import take_screenshots  # noqa: E402 — scripts, not a package
import write_reference  # noqa: E402

READMES = [ROOT / "README.md", ROOT / "README.zh.md"]
GUIDES = [ROOT / "docs" / "guide.md", ROOT / "docs" / "guide.zh.md"]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
IMAGES = ROOT / "docs" / "images"
SHELL = {"git", "cd", "unzip", "pip", "python", "curl"}
"""Programs that are not ours."""


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(document: Path, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text("utf-8"), re.M | re.S)
    return [text for name, text in found if name == language]


def lines_of_shell() -> list[tuple[str, str]]:
    return [(short(document), line) for document in DOCUMENTS for block in blocks(document, "sh")
            for line in block.splitlines() if line.strip()]


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout: which files belong to it is not known")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).exists()]


# Commands


@pytest.mark.parametrize(("document", "line"), lines_of_shell())
def test_every_command_exists(document, line):
    program, *rest = line.split()
    if program == "make":
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
        assert {word for word in rest if "=" not in word} <= targets
    elif program == "transfer-studio":
        command = typer.main.get_command(app).commands[rest[0]]
        options = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
        assert {word for word in rest if word.startswith("--")} <= options
    else:
        assert program in SHELL


def test_all_commands_are_shown_or_listed():
    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    for name in typer.main.get_command(app).commands:
        assert f"`transfer-studio {name}`" in reference


# Links and pictures


def links() -> list[tuple[str, str]]:
    return [(short(document), target) for document in DOCUMENTS
            for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8")) if "://" not in target]


@pytest.mark.parametrize(("document", "target"), links())
def test_every_link_leads_somewhere(document, target):
    path, _, anchor = unquote(target).partition("#")
    file = ((ROOT / document).parent / path).resolve() if path else ROOT / document
    assert file.exists()
    if anchor:
        assert anchor in anchors(file)


def anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_picture_is_made_by_the_script_and_shown():
    there = {file.stem for file in IMAGES.glob("*.webp")}
    assert there == set(take_screenshots.SHOTS)
    shown = {Path(target).stem for _, target in links() if target.endswith(".webp")}
    assert shown == there


@pytest.mark.parametrize("file", sorted(IMAGES.glob("*")), ids=lambda file: file.name)
def test_pictures_are_small_and_of_the_two_widths(file):
    assert file.stat().st_size <= 150_000
    with Image.open(file) as image:
        assert image.width in (1280, 390)


# The tree of files


def tree(readme: Path) -> dict[str, str]:
    """Path → what is said of it, from the drawn tree."""
    drawn = next(block for block in blocks(readme, "") if block.startswith("transfer-studio/"))
    found, above = {}, ""
    for line in drawn.splitlines()[1:]:
        bars, name, text = re.fullmatch(r"([│ ]*)[├└]─ (\S+)\s+(.+)", line).groups()
        above = above if bars else name
        found[f"{above}{name}" if bars else name] = text
    return found


def belongs(path: Path) -> str:
    """A Python file or folder of Python files at no more than two levels, as the tree writes it."""
    parts = path.parts
    return "/".join(parts) if len(parts) <= 2 else "/".join(parts[:2]) + "/"


@pytest.mark.parametrize("readme", READMES, ids=short)
def test_the_tree_is_complete_and_true(readme):
    files = tracked()
    there = {belongs(path) for path in files if path.suffix == ".py" and path.name != "__init__.py"}
    drawn = tree(readme)
    assert there - drawn.keys() == set()
    assert [path for path in drawn if not (ROOT / path).exists()] == []


def test_both_trees_show_the_same():
    english, chinese = map(tree, READMES)
    assert english.keys() == chinese.keys()


# The reference


def test_the_reference_is_up_to_date():
    assert write_reference.FILE.read_text("utf-8") == write_reference.reference(), "run: python docs/write_reference.py"


def test_the_code_speaks_of_no_variable_there_is_none_of():
    sources = [*(ROOT / "transfer_core").rglob("*.py"), *(ROOT / "pages").rglob("*.py"), ROOT / "app.py"]
    named = {name for file in sources for name in re.findall(r"TRANSFER_STUDIO_[A-Z_]+[A-Z]", file.read_text("utf-8"))}
    assert named <= FIELDS.keys()


@pytest.mark.parametrize("readme", READMES, ids=short)
def test_the_readme_names_every_environment_variable(readme):
    text = readme.read_text("utf-8")
    assert {name for name in (*FIELDS, "HF_ENDPOINT") if f"`{name}`" not in text} == set()


# Two languages, one content


@pytest.mark.parametrize(("english", "chinese"), [READMES, GUIDES], ids=["README", "guide"])
def test_both_languages_have_the_same_structure(english, chinese):
    def shape(document: Path) -> list[str]:
        return re.findall(r"^(#+|```\w*|\|)(?= |$)", document.read_text("utf-8"), re.M)

    assert shape(english) == shape(chinese)
    assert [block for name in ("sh", "python") for block in blocks(english, name)] == \
        [block for name in ("sh", "python") for block in blocks(chinese, name)]


# The Python example


def example() -> str:
    (block,) = blocks(READMES[0], "python")
    return block


def test_the_package_says_the_same_as_the_readme():
    imported = re.search(r"^from transfer_core import (.+)$", example(), re.M)[1].split(", ")
    assert imported == [name for name in imported if name in transfer_core.__all__]


@pytest.mark.slow
def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    """As it stands in the README, but with a tiny untrained network and one epoch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(tmp_path / "home"))
    list(make_example("digits", tmp_path / "drawn", images_per_class=8))
    with zipfile.ZipFile("photos.zip", "w") as packed:
        for file in sorted((tmp_path / "drawn").rglob("*.jpg")):
            packed.write(file, file.relative_to(tmp_path / "drawn").as_posix())
    shutil.copyfile(next((tmp_path / "drawn").rglob("*.jpg")), "new.jpg")
    program = example().replace('"tf_efficientnet_lite0"', '"test_resnet", weights="scratch"').replace("epochs=10", "epochs=1")
    exec(compile(program, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[-1] in set("0123456789")
