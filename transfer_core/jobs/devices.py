"""Which devices a job may queue for, found without importing torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from transfer_core.cluster.state import cluster
from transfer_core.paths import Home


def devices() -> tuple[str, ...]:
    """Accelerators first, the CPU always last: `("cuda:0", "cpu")`. In torch's own names. Those of the cluster, where jobs are
    handed to one, else this machine's."""
    known = cluster(Home.default())
    return devices_here() if known is None else known.devices


@cache
def devices_here() -> tuple[str, ...]:
    """Looked up once a process."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return ("mps", "cpu")
    return (*(f"cuda:{index}" for index in range(_nvidia_gpus())), "cpu")


def _nvidia_gpus() -> int:
    """How many GPUs torch would see: none without a driver, without a torch built for CUDA, or when they are hidden."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and (visible.strip() in ("", "-1")):
        return 0
    command = shutil.which("nvidia-smi")
    if command is None or not _torch_knows_cuda():
        return 0
    try:
        listed = subprocess.run([command, "--list-gpus"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return 0
    found = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return found if visible is None else min(found, len(visible.split(",")))


def _torch_knows_cuda() -> bool:
    """`torch/version.py` says `cuda = '12.8'` or `cuda = None`; reading it costs nothing, importing torch seconds."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    lines = Path(spec.origin).with_name("version.py").read_text("utf-8").splitlines()
    return any(line.startswith("cuda") and "None" not in line.split("=")[-1] for line in lines)
