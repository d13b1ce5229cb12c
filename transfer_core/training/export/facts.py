"""What every exported file says of itself, and how files are called."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from transfer_core.paths import studio_version
from transfer_core.training.export.replay import Run


def facts_of(run: Run) -> dict[str, Any]:
    """All that is needed to ask a file about a photo, and where it came from; under which licence its weights began, too, where
    their authors say it: a single file travels without its model card."""
    origin = (getattr(run.model, "pretrained_cfg", None) or {}) if run.recipe.get("weights") == "pretrained" else {}
    licence = {"weights_license": str(origin["license"])} if origin.get("license") else {}
    return {"classes": run.classes, "preprocessing": run.how.to_dict(), "temperature": 1.0,
            "architecture": run.recipe["model"], **licence, "run": run.folder.name, "studio_version": studio_version()}


def sha256_of(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
