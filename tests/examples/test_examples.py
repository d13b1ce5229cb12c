"""Every example: the same for a seed, the right number of pictures, no copies, and words in every language."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import combinations

import imagehash
import numpy as np
import pytest
from PIL import Image

from transfer_core.errors import BadRecipe
from transfer_core.events import Progressed
from transfer_core.examples import EXAMPLES, make_example
from transfer_core.words import languages, texts

NAMES = EXAMPLES.names()


def test_the_examples():
    assert NAMES == ["leaves", "cloth", "digits"]


def _files(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_bytes_and_more_pictures_leave_the_first_as_they_are(name, tmp_path):
    for folder, count, seed in (("a", 1, 3), ("b", 2, 3), ("c", 1, 4)):
        list(make_example(name, tmp_path / folder, count, seed))
    one, two, other = (_files(tmp_path / folder) for folder in "abc")
    assert one == {file: two[file] for file in one}
    assert len(two) == 2 * len(one)
    assert all(one[file] != other[file] for file in one)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_lie_in_class_folders_and_open(name, tmp_path):
    facts = EXAMPLES[name].facts
    events = list(make_example(name, tmp_path, 2))
    files = sorted(tmp_path.rglob("*.*"))
    assert Counter(file.parent.name for file in files) == dict.fromkeys(facts["classes"], 2)
    assert {file.name for file in files} == {"000.jpg", "001.jpg"}
    total = 2 * len(facts["classes"])
    assert events == [Progressed(stage="drawing", done=done, total=total) for done in range(total + 1)]
    for file in files:
        with Image.open(file) as picture:
            picture.load()
            assert picture.format == "JPEG"
            assert picture.size == (facts["edge"], facts["edge"])
            assert np.asarray(picture).std() > 4, f"{file} is blank"


def test_the_default_number_and_the_most_there_is(tmp_path):
    first = next(iter(make_example("leaves", tmp_path)))
    assert first.total == 4 * 40
    assert next(iter(make_example("digits", tmp_path, 10_000))).total == 10 * 174  # the rarest digit, 8, has 174


@pytest.mark.parametrize("name", ["leaves", "cloth"])
def test_no_two_pictures_are_nearly_the_same(name, tmp_path):
    """A 64-bit pHash of the same picture saved twice differs by 0 to 4 bits; unrelated pictures by about 32."""
    list(make_example(name, tmp_path, 8))
    hashes = [imagehash.phash(Image.open(file)) for file in sorted(tmp_path.rglob("*.jpg"))]
    assert len(hashes) == 32
    assert min(one - other for one, other in combinations(hashes, 2)) > 8


def test_no_digit_is_there_twice(tmp_path):
    list(make_example("digits", tmp_path, 40))
    assert len(set(_files(tmp_path).values())) == 400


def test_stopping_early_leaves_whole_and_balanced_pictures(tmp_path):
    drawing = make_example("digits", tmp_path, 5)
    for _ in range(21):
        next(drawing)
    drawing.close()
    assert Counter(file.parent.name for file in tmp_path.rglob("*.*")) == dict.fromkeys("0123456789", 2)


def test_an_unknown_name_or_number_is_refused_at_once(tmp_path):
    with pytest.raises(BadRecipe):
        make_example("flowers", tmp_path)
    with pytest.raises(ValueError, match="at least 1"):
        make_example("leaves", tmp_path, 0)


@pytest.mark.parametrize("name", NAMES)
def test_every_example_has_facts_and_words(name):
    facts = EXAMPLES[name].facts
    assert facts["licence"] in {"CC0-1.0", "CC-BY-4.0"}
    assert facts["attribution"] or facts["licence"] == "CC0-1.0"
    keys = ["title", "text", "licence", *(f"classes.{label}" for label in facts["classes"])]
    for language in languages():
        said = texts(language)
        assert all(said[f"examples.{name}.{key}"] for key in keys)
        assert said[f"examples.difficulty.{facts['difficulty']}"]


def test_drawing_needs_nothing_heavy():
    """Listing the examples and drawing leaves stay in the light half."""
    code = ("import sys, numpy as np; from transfer_core.examples import EXAMPLES; EXAMPLES['leaves']('oak', 0, 0);"
            "print([m for m in ('torch', 'sklearn', 'scipy', 'streamlit') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
