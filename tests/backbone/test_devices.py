from __future__ import annotations

import importlib

import pytest

from transfer_core.jobs import worker

module = importlib.import_module("transfer_core.jobs.devices")  # the package's own `devices` is the function


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A Linux machine whose nvidia-smi prints what the test says."""
    monkeypatch.setattr(module.platform, "system", lambda: "Linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(module, "_torch_knows_cuda", lambda: True)

    def with_gpus(printed: str, status: int = 0):
        command = tmp_path / "nvidia-smi"
        command.write_text(f"#!/bin/sh\nprintf '{printed}'\nexit {status}\n")
        command.chmod(0o755)
        monkeypatch.setattr(module.shutil, "which", lambda _: str(command))

    return with_gpus


TWO = "GPU 0: H200 (UUID: a)\\nGPU 1: H200 (UUID: b)\\n"


@pytest.mark.parametrize(("printed", "status", "visible", "found"), [
    (TWO, 0, None, ("cuda:0", "cuda:1", "cpu")),
    (TWO, 0, "1", ("cuda:0", "cpu")),
    (TWO, 0, "", ("cpu",)),
    (TWO, 0, "-1", ("cpu",)),
    ("No devices were found\\n", 0, None, ("cpu",)),
    ("driver mismatch", 9, None, ("cpu",)),
    ("GPU 0: H200\\n  MIG 1g Device 0: (UUID: m)\\n", 0, None, ("cuda:0", "cpu")),
])
def test_accelerators_come_first_and_the_cpu_is_always_there(machine, monkeypatch, printed, status, visible, found):
    machine(printed, status)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert module.devices_here.__wrapped__() == found


def test_without_a_driver_or_a_torch_for_it_there_is_only_the_cpu(machine, monkeypatch):
    machine(TWO)
    monkeypatch.setattr(module, "_torch_knows_cuda", lambda: False)
    assert module.devices_here.__wrapped__() == ("cpu",)
    monkeypatch.undo()
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    monkeypatch.setattr(module.platform, "system", lambda: "Linux")
    assert module.devices_here.__wrapped__() == ("cpu",)


def test_an_apple_chip(monkeypatch):
    monkeypatch.setattr(module.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(module.platform, "machine", lambda: "arm64")
    assert module.devices_here.__wrapped__() == ("mps", "cpu")


def test_as_many_threads_as_cores_and_they_sleep_while_they_wait(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # restored after the test, whatever limit_threads does
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setattr(worker, "cores", lambda: 6)
    worker.limit_threads()
    assert (worker.os.environ["OMP_NUM_THREADS"], worker.os.environ["OMP_WAIT_POLICY"]) == ("6", "PASSIVE")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    worker.limit_threads()
    assert worker.os.environ["OMP_NUM_THREADS"] == "5", "what the environment says wins"
