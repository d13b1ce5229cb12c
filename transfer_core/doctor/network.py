"""What this machine reaches, and who answers at the studio's usual address."""

from __future__ import annotations

import os
import socket
import time
import urllib.error
import urllib.request

from transfer_core.doctor.finding import Finding, Patient
from transfer_core.settings import without_password

HUB = "https://huggingface.co"
PORT = 8501


def hub(patient: Patient) -> Finding:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Finding("hub", "ok", "wished")
    address = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    said = {"address": without_password(address)}
    began = time.monotonic()
    try:
        request = urllib.request.Request(f"{address}/api/models?limit=1", method="GET")  # noqa: S310 — what the person set
        with urllib.request.urlopen(request, timeout=patient.patience / 12) as answer:  # noqa: S310
            answer.read(1)
    except urllib.error.HTTPError as error:
        return Finding("hub", "warning", "refused", {**said, "status": error.code})
    except (OSError, ValueError):
        return Finding("hub", "ok", "offline", said)
    return Finding("hub", "ok", "fine", {**said, "seconds": f"{time.monotonic() - began:.1f}"})


def port(_patient: Patient) -> Finding:
    said = {"port": PORT, "address": f"http://127.0.0.1:{PORT}"}
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", PORT))
            return Finding("port", "ok", "free", said)
        except OSError:
            pass
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/livez", timeout=5) as answer:
            if b'"status"' in answer.read(200):
                return Finding("port", "ok", "studio", said)
    except (OSError, ValueError):
        pass
    return Finding("port", "warning", "taken", said)
