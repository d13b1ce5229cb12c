"""A person's own weight file, from upload to use: checked against the model first, then kept under its content's hash."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import timm

from transfer_core import depot
from transfer_core.depot.marks import lies_here
from transfer_core.depot.tidying import remove
from transfer_core.errors import BadWeights, NotFound
from transfer_core.paths import Home, replacing
from transfer_core.training.layers import head_parameters
from transfer_core.training.weight_files import fit_weights, inspect_weights, read_weights


def take_in(upload: Path, model: str, home: Home) -> dict[str, Any]:
    """Keep the one file of an upload folder as `home.weights/<sha256>` when it fits timm model `model`.

    Returns `{"sha256", "fitting", "total"}` (tensors of the backbone) and the facts of `WeightFile`.
    Raises `BadWeights` for a file that is unreadable, unsafe or another model's; then nothing is kept.
    """
    lines = [json.loads(line) for line in (upload / "index.jsonl").read_text("utf-8").splitlines()]
    if len(lines) != 1:
        raise NotFound("no_upload")
    name, file = Path(lines[0]["path"]).name, upload / str(lines[0]["n"])
    tensors = _reread(file, name)
    network = timm.create_model(model, pretrained=False)
    backbone = [each for each in network.state_dict() if each not in head_parameters(network)]
    _, notes = fit_weights(network, tensors, name)  # raises when too few fit
    fitting = next((note.values["fitting"] for note in notes if "fitting" in note.values), len(backbone))
    facts = asdict(inspect_weights(file))
    sha256 = _hash(file)
    if not lies_here(home, home.weights / sha256):
        with replacing(home.weights / sha256) as part:
            shutil.move(file, part)
    if depot.is_on():
        from transfer_core.depot.things import push_weights

        push_weights(home, sha256)
    remove(home, "uploads", upload.name)
    return {"sha256": sha256, "fitting": fitting, "total": len(backbone), **facts}


def _reread(file: Path, name: str) -> dict[str, Any]:
    """The tensors; an error names the file as its owner does, not by its number in the upload."""
    try:
        return read_weights(file)
    except BadWeights as error:
        raise BadWeights(error.code, **{**error.values, "file": name}) from error


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
