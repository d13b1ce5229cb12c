"""One finding, and who is examined."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from transfer_core.logs import safe
from transfer_core.paths import PACKAGE, Home
from transfer_core.words import has, say

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    name: str
    state: State
    outcome: str
    """`doctor.<name>.<outcome>` says what was found, `…_do` what to do about it, where anything is to be done."""
    values: dict[str, Any] = field(default_factory=dict)

    def title(self, language: str) -> str:
        return say(f"doctor.{self.name}.title", language)

    def found(self, language: str) -> str:
        return safe(say(f"doctor.{self.name}.{self.outcome}", language, **self.values))

    def advice(self, language: str) -> str:
        words = f"doctor.{self.name}.{self.outcome}_do"
        return safe(say(words, language, **self.values)) if has(words) else ""


@dataclass(frozen=True)
class Patient:
    home: Home
    url: str
    """Of the database."""
    address: str = ""
    """Of a studio that runs, to be looked at from outside."""
    patience: float = 60.0
    """Seconds that torch may take to import; the network gets a twelfth of it."""

    @cached_property
    def torch(self) -> Probe:
        return probe(_TORCH, self.patience)


@dataclass(frozen=True)
class Probe:
    """What a small program found out."""

    told: dict[str, Any] | None
    reason: str = ""
    """Why it told nothing: its last words, or how it ended."""


def probe(program: str, seconds: float) -> Probe:
    """Run a Python program in a process of its own; it prints one JSON object. Killed, with all it started, after `seconds`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(PACKAGE.parent))))}
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,  # noqa: S603
                               stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True, env=environment)
    try:
        out, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Probe(None, f"> {seconds:g} s")
    if process.returncode < 0:
        return Probe(None, signal.Signals(-process.returncode).name)
    try:
        return Probe(json.loads(out.strip().splitlines()[-1]))
    except (ValueError, IndexError):
        lines = [line for line in said.strip().splitlines() if line.strip()]
        return Probe(None, lines[-1][:300] if lines else f"exit {process.returncode}")


_TORCH = """
import json
import torch, torchvision
boxes = torch.tensor([[0., 0., 2., 2.], [0., 0., 2., 2.1]])
assert len(torchvision.ops.nms(boxes, torch.tensor([.9, .8]), .5)) == 1  # the pair was built for each other
assert float((torch.ones(8, 8) @ torch.ones(8, 8)).sum()) == 512
told = {"torch": torch.__version__, "torchvision": torchvision.__version__, "cuda": torch.version.cuda or torch.version.hip,
        "cards": [], "error": "", "mps": bool(torch.backends.mps.is_available())}
if told["cuda"]:
    try:
        torch.cuda.init()
        for index in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(index)
            (torch.ones(8, 8, device=f"cuda:{index}") @ torch.ones(8, 8, device=f"cuda:{index}")).sum().item()
            told["cards"].append({"name": facts.name, "bytes": facts.total_memory})
    except Exception as error:
        told["error"] = str(error).splitlines()[0][:300]
print(json.dumps(told))
"""
