"""The machine and what is installed on it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from transfer_core import settings as environment
from transfer_core.doctor.finding import Finding, Patient, probe
from transfer_core.errors import BadInput
from transfer_core.jobs.supervisor import free_memory
from transfer_core.jobs.worker import cores

OLDEST = (3, 11)
LITTLE_MEMORY, TOO_LITTLE_MEMORY = 4_000_000_000, 2_000_000_000
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
FREE = 3
"""Exit status of a worker whose job is not to be had."""


def settings(_patient: Patient) -> Finding:
    try:
        environment.check()
    except BadInput as error:
        return Finding("settings", "problem", "refused", {"problem": error.as_message(), "advice": _hint(error)})
    count = sum(name in os.environ for name in environment.FIELDS)
    return Finding("settings", "ok", "fine", {"count": count})


def _hint(error: BadInput):
    from transfer_core.words import message

    return message(f"errors.{error.code}.hint", **error.values)


def python(_patient: Patient) -> Finding:
    said = {"version": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}",
            "oldest": ".".join(map(str, OLDEST))}
    if sys.version_info < OLDEST:
        return Finding("python", "problem", "old", said)
    return Finding("python", "problem" if sys.maxsize < 2 ** 32 else "ok", "narrow" if sys.maxsize < 2 ** 32 else "fine", said)


def packages(_patient: Patient) -> Finding:
    """Versions against those `pyproject.toml` asks for."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in importlib.metadata.requires("transfer-studio") or ()]
    except importlib.metadata.PackageNotFoundError:
        return Finding("packages", "warning", "unknown")
    missing, other = [], []
    needed = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    for each in needed:
        try:
            version = importlib.metadata.version(each.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(str(each))
            continue
        if not each.specifier.contains(version, prereleases=True):
            other.append(f"{each.name} {version} ({each.specifier})")
    if missing:
        return Finding("packages", "problem", "missing", {"packages": ", ".join(missing)})
    if other:
        return Finding("packages", "warning", "other", {"packages": ", ".join(other)})
    return Finding("packages", "ok", "fine", {"count": len(needed)})


def torch(patient: Patient) -> Finding:
    if (told := patient.torch.told) is None:
        return Finding("torch", "problem", "broken", {"reason": patient.torch.reason})
    return Finding("torch", "ok", "fine", {"torch": told["torch"], "torchvision": told["torchvision"]})


def gpu(patient: Patient) -> Finding:
    told = patient.torch.told
    driver = _driver()
    if told is None:
        return Finding("gpu", "ok", "unknown")
    if told["mps"]:
        return Finding("gpu", "ok", "apple")
    if told["cards"]:
        cards = ", ".join(f"{card['name']} ({card['bytes'] / 1e9:.0f} GB)" for card in told["cards"])
        return Finding("gpu", "ok", "fine", {"cards": cards, "driver": driver or "–", "cuda": told["cuda"]})
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if driver and visible is not None and visible.strip() in ("", "-1"):
        return Finding("gpu", "ok", "hidden")
    if driver and not told["cuda"]:
        return Finding("gpu", "warning", "not_built", {"torch": told["torch"], "driver": driver})
    if driver:
        return Finding("gpu", "warning", "not_usable", {"driver": driver, "cuda": told["cuda"], "reason": told["error"] or "–"})
    return Finding("gpu", "ok", "none")


def _driver() -> str:
    """Of NVIDIA, as `570.86`; empty where there is none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ""
    try:
        told = subprocess.run([command, "--query-gpu=driver_version", "--format=csv,noheader"],  # noqa: S603
                              capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.strip().splitlines()[0] if told.strip() else ""


def processor(_patient: Patient) -> Finding:
    usable, whole = cores(), os.cpu_count() or 1
    said = {"usable": usable, "whole": whole}
    if usable == 1:
        return Finding("processor", "warning", "one", said)
    return Finding("processor", "ok", "limited" if usable < whole else "fine", said)


def memory(_patient: Patient) -> Finding:
    try:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return Finding("memory", "ok", "unknown")
    limit = min([pages, *_limits()])
    free = min(free_memory(), limit)
    said = {"whole": f"{limit / 1e9:.1f}", "free": f"{free / 1e9:.1f}"}
    if limit < TOO_LITTLE_MEMORY:
        return Finding("memory", "problem", "too_little", said)
    if limit < LITTLE_MEMORY:
        return Finding("memory", "warning", "little", said)
    return Finding("memory", "ok", "limited" if limit < pages else "fine", said)


def _limits() -> list[int]:
    """Of the container, in bytes."""
    found = []
    for file in MEMORY_LIMITS:
        try:
            text = file.read_text("ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            found.append(int(text))
    return found


def onnx(patient: Patient) -> Finding:
    done = probe(_ONNX, patient.patience)
    if done.told is None:
        return Finding("onnx", "problem", "broken", {"reason": done.reason})
    return Finding("onnx", "ok", "fine", {"version": done.told["version"]})


_ONNX = """
import json
import numpy, onnxruntime
from onnx import TensorProto, helper
given, asked = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
model = helper.make_model(helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "tiny", [given], [asked]),
                          opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
assert session.run(None, {"x": numpy.array([1, 2], "float32")})[0].tolist() == [2, 4]
print(json.dumps({"version": onnxruntime.__version__}))
"""


def worker(patient: Patient) -> Finding:
    """Start one for a job there is none of, in a home of its own: it looks, and leaves with status 3."""
    with tempfile.TemporaryDirectory() as place:
        program = ("import json, os, sys\n"
                   "from transfer_core.settings import with_settings\n"
                   f"os.environ.update(with_settings(home={place!r}, database_url=''))\n"
                   "from transfer_core.jobs import worker\n"
                   "print(json.dumps({'status': worker.main(['none'])}))")
        done = probe(program, patient.patience)
    if done.told is None or done.told["status"] != FREE:
        return Finding("worker", "problem", "broken", {"reason": done.reason or str(done.told)})
    return Finding("worker", "ok", "fine")
