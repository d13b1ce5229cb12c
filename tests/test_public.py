"""What `from transfer_core import …` offers, and what importing costs."""

from __future__ import annotations

import ast
import inspect
import json
import pkgutil
import subprocess
import sys

import pytest

import transfer_core

HEAVY = {"torch", "torchvision", "timm", "sklearn", "cleanlab", "scipy", "streamlit", "pages"}
LATER = {"pandas", "pyarrow", "onnx", "onnxruntime", "plotly"}
"""Allowed in the light half, but only inside functions: `transfer-studio runs` must not wait for them."""


def light_modules() -> list[str]:
    found = [module.name for module in pkgutil.walk_packages(transfer_core.__path__, "transfer_core.")]
    return [name for name in found if not name.startswith(("transfer_core.training", "transfer_core.studio"))]


def test_the_light_half_is_light():
    """One process imports all of it; none of the heavy ones may come along."""
    program = ("import importlib, json, sys\n"
               "for name in sys.argv[1:]: importlib.import_module(name)\n"
               "print(json.dumps(sorted(sys.modules)))")
    printed = subprocess.run([sys.executable, "-c", program, "transfer_core", *light_modules()],
                             capture_output=True, text=True, check=True).stdout
    loaded = {name.split(".")[0] for name in json.loads(printed)}
    assert loaded & HEAVY == set()
    assert loaded & LATER == set()


def test_the_names_are_few_sorted_and_all_there():
    names = transfer_core.__all__
    assert len(names) <= 30
    assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert set(names) == set(transfer_core._MODULES)
    assert set(names) <= set(dir(transfer_core))


def test_type_checkers_see_the_same_names():
    tree = ast.parse(inspect.getsource(transfer_core))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name: node.module for node in block.body for alias in node.names}
    assert typed == {name: f"transfer_core.{module}" for name, module in transfer_core._MODULES.items()}


@pytest.mark.parametrize("name", transfer_core.__all__)
def test_every_name_is_there_and_says_what_it_is(name):
    found = getattr(transfer_core, name)
    if inspect.isclass(found) or inspect.isfunction(found):
        assert inspect.getdoc(found), f"{name} has no docstring"
    if inspect.isfunction(found):
        signature = inspect.signature(found)
        assert signature.return_annotation is not inspect.Signature.empty
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        untyped = [each.name for each in signature.parameters.values()
                   if each.annotation is inspect.Parameter.empty and each.kind not in kinds]
        assert untyped == []


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="no_such_name"):
        transfer_core.no_such_name  # noqa: B018
