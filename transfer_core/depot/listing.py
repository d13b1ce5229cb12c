"""The list of a folder in the store: which files it holds, and which of them somebody wants. What lies in a store is data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from transfer_core.errors import Unavailable

INDEX, GROWS = "index.json", "index.jsonl"
"""The list of a folder in the store; and that of an upload, which changes with each file that arrives."""
MOST, LONGEST, LARGEST = 100_000, 64_000_000, 1 << 40
"""Files of a folder, bytes of its index, bytes of a file, at most."""
HEAVY = frozenset((".pt", ".pt2", ".safetensors", ".onnx", ".zip", ".html", ".bin", ".npz", ".npy", ".data"))
"""Endings of files that a look at a folder does not bring: models and what was made of them."""
CHECKPOINT = "last.pt"
_HASH = re.compile(r"[0-9a-f]{64}")
Index = dict[str, tuple[int, str]]
"""Path inside the folder → size, sha256."""
Wanted = Callable[[str], bool]


def light(path: str) -> bool:
    return PurePosixPath(path).suffix not in HEAVY


def all_but_checkpoint(path: str) -> bool:
    return path != CHECKPOINT


def everything(_path: str) -> bool:
    return True


def checked(data: bytes, name: str) -> Index:
    """An index as it was read: what lies in a store is data, not trusted paths. Raises `Unavailable("artifacts_damaged")`."""
    try:
        files: Mapping[str, Any] = json.loads(data)["files"]
        found = {path: (size, sha256) for path, (size, sha256) in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Unavailable("artifacts_damaged", name=name) from None
    for path, (size, sha256) in found.items():
        if not (_stays_inside(path) and isinstance(size, int) and 0 <= size < LARGEST and isinstance(sha256, str)
                and _HASH.fullmatch(sha256)) or len(found) > MOST:
            raise Unavailable("artifacts_damaged", name=name)
    # A name cannot be a file and a folder.
    folders = {parent.as_posix() for path in found for parent in PurePosixPath(path).parents}
    if folders & found.keys():
        raise Unavailable("artifacts_damaged", name=name)
    return found


def _stays_inside(path: str) -> bool:
    parts = path.split("/")
    return len(path) < 1000 and len(parts) < 6 and not any(
        part in ("", ".", "..") or part.startswith(".") or any(sign in part for sign in "\\\0") for part in parts)
