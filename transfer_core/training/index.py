"""Write `assets/models/index.json.gz`: what pages know of every timm model without importing torch.

    python -m transfer_core.training.index                    # all of them; about ten minutes on one core
    python -m transfer_core.training.index --partial FILE     # keeps what is done in FILE, and goes on from there

Equal timm versions give equal files. The first line holds all models, each later line one structure: an architecture at one
input size, described once and shared by all pretrained tags that have it. `transfer_core.catalog` reads it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import timm
from timm.data import resolve_data_config
from timm.models import get_pretrained_cfg, is_model_pretrained, model_entrypoint

from transfer_core.images import Preprocessing
from transfer_core.paths import assets, replacing
from transfer_core.training.describe import describe

_DATASETS = re.compile(
    r"(?:^|_)(in1k|in12k|in21k|in22k|inw21k|jft|ig1b|yfcc15m|yfcc100m|cc12m|laion2b|laion400m|laiona|datacomp1b|datacompxl"
    r"|merged2b|dfn2b|dfn5b|dfndr2b|openai|metaclip2?_(?:400m|2pt5b|worldwide)|webli|lvd142m|lvd1689m|sat493m|sa1b|bamboo"
    r"|inat21|m30m|m38m|dino|fcmae|mae)(?=_|$)")
_SELF_TAUGHT = {"dino": "in1k", "mae": "in1k", "fcmae": "in1k"}
"""Ways of learning without labels whose published weights saw one dataset: its photos, not its classes. (DINO: arXiv:2104.14294;
MAE: arXiv:2111.06377, 2306.00989; FCMAE: arXiv:2301.00808.) What two sources tell differently, as of SEER, is not stated here."""


def names() -> list[str]:
    """Every pretrained tag, and every architecture that has none."""
    tagged = timm.list_pretrained()
    return sorted({*tagged, *timm.list_models()} - {name.partition(".")[0] for name in tagged})


def trained_on(tag: str) -> str:
    """Datasets a tag names, in order: `sw_in12k_ft_in1k` → `in12k → in1k`; "unknown" when it names none."""
    named = (_SELF_TAUGHT.get(name, name) for name in _DATASETS.findall(tag))
    return " → ".join(name for name, _ in groupby(named)) or "unknown"


def structure_key(name: str) -> str:
    """`resnet18@3x224x224`: models with equal keys are cut, shaped and counted alike."""
    size = "x".join(map(str, get_pretrained_cfg(name).input_size))
    return f"{name.partition('.')[0]}@{size}"


def preprocessing(name: str) -> dict[str, Any]:
    """What timm does to an image before this model, as the fields of `Preprocessing`."""
    config = resolve_data_config(pretrained_cfg=get_pretrained_cfg(name).to_dict())
    return Preprocessing(tuple(config["input_size"][1:]), config["crop_pct"], config["crop_mode"], config["interpolation"],
                         tuple(config["mean"]), tuple(config["std"])).to_dict()


def structures(wanted: dict[str, str], partial: Path | None = None) -> dict[str, dict[str, Any]]:
    """Structure key → description, or `{"failed": why}`; `wanted` gives for each key a model that has it."""
    done: dict[str, dict[str, Any]] = {}
    if partial and partial.exists():
        done = dict(json.loads(line) for line in partial.read_text("utf-8").splitlines())
    for number, (key, name) in enumerate(wanted.items(), 1):
        if key not in done:
            try:
                done[key] = describe(name)
            except Exception as error:  # noqa: BLE001  what cannot be described is named, with the reason
                done[key] = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
            if partial:
                with partial.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps([key, done[key]]) + "\n")
        if number % 100 == 0:
            sys.stderr.write(f"{number} of {len(wanted)}\n")
    return {key: done[key] for key in wanted}


def build(only: list[str] | None = None, partial: Path | None = None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The first line of the index and its structures, in order. Models without a structure are named in `failed`."""
    all_names = only or names()
    wanted = {structure_key(name): name for name in reversed(all_names)}
    found = structures(dict(sorted(wanted.items())), partial)
    numbers = {key: number for number, key in enumerate(key for key in found if "failed" not in found[key])}
    rows, failed, tables = [], {}, _Tables()
    for name in all_names:
        key = structure_key(name)
        if key in numbers:
            rows.append(_row(name, found[key], numbers[key], tables))
        else:
            failed[name] = found[key]["failed"]
    head = {"timm": timm.__version__, "failed": failed, **tables.values, "models": rows}
    return head, [found[key] for key in numbers]


class _Tables:
    """Values that many models share, stored once and named by their number."""

    def __init__(self) -> None:
        self.values: dict[str, list[Any]] = {"families": [], "licences": [], "datasets": [], "preprocessing": []}

    def number(self, table: str, value: Any) -> int:
        values = self.values[table]
        if value not in values:
            values.append(value)
        return values.index(value)


def _row(name: str, structure: dict[str, Any], number: int, tables: _Tables) -> list[Any]:
    """In the order in which `catalog._index` unpacks it."""
    architecture, _, tag = name.partition(".")
    stated = get_pretrained_cfg(name)
    each, further = structure["head"]
    head = each * stated.num_classes + further if stated.num_classes else 0
    hub, url = (stated.hf_hub_id, stated.url) if tag else (None, None)
    return [
        name,
        tables.number("families", model_entrypoint(architecture).__module__.rpartition(".")[2]),
        tables.number("licences", stated.license or "unknown"),
        tables.number("datasets", trained_on(tag)),
        stated.num_classes,
        structure["backbone"] + head,
        structure["macs"],
        tables.number("preprocessing", preprocessing(name)),
        hub,
        None if hub or not url else url.rpartition("/")[2],
        int(is_model_pretrained(architecture) and get_pretrained_cfg(architecture).tag == tag) if tag else 1,
        number,
    ]


def write(head: dict[str, Any], described: list[dict[str, Any]], path: Path) -> None:
    """Compressed without a date, so that the same index is the same file."""
    lines = [json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in (head, *described)]
    with replacing(path) as part:
        part.write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--partial", type=Path, help="keep finished descriptions here and go on from them")
    parser.add_argument("--out", type=Path, default=assets() / "models" / "index.json.gz")
    given = parser.parse_args()
    write(*build(partial=given.partial), given.out)


if __name__ == "__main__":
    main()
