"""What this machine has and lacks for the studio, one finding each, with what to do.

What may crash, hang or take all memory (torch, above all) is tried in a process of its own, so that the doctor outlives it.
Nothing is created, changed or repaired.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from transfer_core.doctor import artifacts, cluster, home, machine, network, outside
from transfer_core.doctor.finding import Finding, Patient

__all__ = ["Finding", "Patient", "examine"]

Check = Callable[[Patient], Finding]
CHECKS: dict[str, Check] = {
    "settings": machine.settings, "python": machine.python, "packages": machine.packages, "torch": machine.torch,
    "gpu": machine.gpu, "processor": machine.processor, "memory": machine.memory, "onnx": machine.onnx, "worker": machine.worker,
    "home": home.writable, "disk": home.disk, "filesystem": home.filesystem, "database": home.database,
    "artifacts": artifacts.artifacts, "copies": artifacts.copies, "weights": home.weights, "cluster": cluster.cluster,
    "hub": network.hub, "port": network.port,
}
AT_ONCE = 3
"""Several wait for a process or the network; two cores are busy with two imports of torch."""


def examine(patient: Patient) -> list[Finding]:
    """All findings, in the order of `CHECKS`; with an address also those of the studio there."""
    checks = {name: check for name, check in CHECKS.items() if not (name == "port" and patient.address)}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = list(threads.map(lambda name: careful(name, partial(checks[name], patient)), checks))
    return [*found, *(outside.examine(patient.address, patient.patience) if patient.address else ())]


def careful(name: str, check: Callable[[], Finding]) -> Finding:
    """A check that fails itself is a finding, too."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 — whatever is broken on this machine, the others are still looked at
        return Finding("unchecked", "warning", "failed", {"what": name, "error": f"{type(error).__name__}: {error}"[:300]})
