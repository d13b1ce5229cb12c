"""The object store that files go through, where there is one: something small is written, read back and deleted."""

from __future__ import annotations

from transfer_core.backups.tables import is_sqlite
from transfer_core.depot import room
from transfer_core.doctor.finding import Finding, Patient, probe
from transfer_core.people import is_hosted
from transfer_core.settings import raw, without_password


def artifacts(patient: Patient) -> Finding:
    """In a process of its own: a store that does not answer may keep its client waiting."""
    if not raw("artifacts"):
        return Finding("artifacts", "ok", "none")
    done = probe(_TRY, patient.patience / 2)
    said = {"address": without_password(raw("artifacts"))}
    if done.told is None or "reason" in done.told:
        reason = done.told["reason"] if done.told else done.reason
        return Finding("artifacts", "problem", "no_answer", {**said, "reason": reason})
    if done.told["read"] != done.told["written"]:
        return Finding("artifacts", "problem", "differs", said)
    if is_sqlite(patient.url):
        return Finding("artifacts", "warning", "sqlite", said)
    if is_hosted() and not raw("secret"):
        return Finding("artifacts", "warning", "secret", said)
    return Finding("artifacts", "ok", "fine", {**said, "milliseconds": done.told["milliseconds"]})


def copies(patient: Patient) -> Finding:
    """How much of it lies here, too, and how much may."""
    if not raw("artifacts"):
        return Finding("copies", "ok", "none")
    found = room.count(patient.home)
    said = {"taken": f"{found.bytes / 1e9:.2f}", "most": f"{found.most / 1e9:.2f}"}
    over = found.bytes > found.most
    return Finding("copies", "warning" if over else "ok", "over" if over else "fine", said)


_TRY = """
import json, secrets, time
from transfer_core.depot.place import patience, place
from transfer_core.errors import Unavailable
name, data = f"doctor-{secrets.token_hex(8)}", secrets.token_hex(16)
try:
    with patience(0):
        began = time.monotonic()
        place().write(name, data.encode())
        found = place().read(name, 100)
        place().remove(name)
        left = place().read(name, 100)
    print(json.dumps({"written": data, "read": (found or b"").decode("utf-8", "replace") if left is None else "",
                      "milliseconds": round(1000 * (time.monotonic() - began))}))
except Unavailable as error:
    print(json.dumps({"reason": str(error.values.get("reason") or error.message("en"))}))
"""
