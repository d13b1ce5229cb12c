"""ONNX Runtime Web: the three files with which a browser runs a model by itself. Of a pinned version, known by their hashes.

They are not part of this repository. Where they come from, in this order: the folder in `TRANSFER_STUDIO_WEB_RUNTIME`, the data
home (where they stay once they are there), a public mirror of npm packages, the machine's own `npm`.

    python -m transfer_core.web_runtime FOLDER    # fetch them into a folder, for machines that will have no network
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

from transfer_core.errors import Unavailable
from transfer_core.paths import Home, replacing
from transfer_core.settings import settings

log = logging.getLogger(__name__)
VERSION = "1.30.0"
SCRIPT, GLUE, ENGINE = "ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"
SHA256 = {
    SCRIPT: "faece07e84faa9001f5104bbe4e5c70861d06cb2376a0dea1fa0ad33a67adc81",
    GLUE: "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    ENGINE: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
MIRROR = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist"
LARGEST = 40_000_000
"""Bytes of one of the files, above which a mirror is not listened to any longer."""
SECONDS = 20


def web_runtime(home: Home) -> Path:
    """The folder that holds the files. Raises `Unavailable("no_web_runtime")`."""
    given = settings().web_runtime
    kept = home.shared / "web-runtime" / VERSION
    for folder in (*([given] if given else []), kept):
        if _complete(folder):
            return folder
    fetch(kept)
    return kept


def fetch(folder: Path) -> None:
    """Bring the files into a folder, each whole and of the right content or not at all. Raises `Unavailable`."""
    for source in (_from_mirror, _from_npm):
        try:
            source(lambda name, data: _keep(folder, name, data))
        except (OSError, ValueError, subprocess.SubprocessError, tarfile.TarError) as error:
            log.info("ONNX Runtime Web not through %s: %r", source.__name__, error)
        if _complete(folder):
            return
    raise Unavailable("no_web_runtime", version=VERSION, files=", ".join(SHA256), folder=str(folder))


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() and _is_right(name, (folder / name).read_bytes()) for name in SHA256)


def _is_right(name: str, data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == SHA256[name]


def _keep(folder: Path, name: str, data: bytes) -> None:
    if not _is_right(name, data):
        raise ValueError(f"{name} is not what it was")
    with replacing(folder / name, lasting=False) as part:
        part.write_bytes(data)


Keep = Callable[[str, bytes], None]


def _from_mirror(keep: Keep) -> None:
    for name in SHA256:
        with urllib.request.urlopen(f"{MIRROR}/{name}", timeout=SECONDS) as answer:  # noqa: S310 — https, see MIRROR
            keep(name, answer.read(LARGEST))


def _from_npm(keep: Keep) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm")
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([npm, "pack", "--silent", "--ignore-scripts", f"onnxruntime-web@{VERSION}"], cwd=place, check=True,  # noqa: S603
                       capture_output=True, timeout=10 * SECONDS)
        with tarfile.open(next(Path(place).glob("*.tgz"), Path(place) / "none")) as packed:
            for name in SHA256:
                keep(name, packed.extractfile(f"package/dist/{name}").read(LARGEST))


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
