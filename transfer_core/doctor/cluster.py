"""The Ray cluster that jobs are handed to, where there is one."""

from __future__ import annotations

from transfer_core.backups.tables import is_sqlite
from transfer_core.cluster.state import Cluster, Node
from transfer_core.doctor.finding import Finding, Patient, probe
from transfer_core.settings import settings


def cluster(patient: Patient) -> Finding:
    """Asked in a process of its own, as the supervisor does: Ray ends a process whose cluster breaks off."""
    address = settings().ray_address
    if not address:
        return Finding("cluster", "ok", "none")
    said = {"address": address}
    done = probe(_RAY, patient.patience)
    if done.told is None or "away" in done.told:
        reason = done.told["away"] if done.told else done.reason
        return Finding("cluster", "problem", "missing" if reason == "no_ray" else "away", {**said, "reason": reason})
    known = Cluster(address).of((Node(**node) for node in done.told["nodes"]), settings().ray_cpus)
    if not any(known.room.values()):
        return Finding("cluster", "warning", "empty", said)
    if is_sqlite(patient.url) and len({node.address for node in known.nodes}) > 1:
        return Finding("cluster", "problem", "sqlite", said)
    return Finding("cluster", "ok", "fine", {**said, "nodes": len(known.nodes), **known.room})


_RAY = """
import subprocess, sys
driver = subprocess.Popen([sys.executable, "-m", "transfer_core.cluster.driver"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(driver.stdout.readline().decode())
driver.stdin.close()
driver.wait()
"""
