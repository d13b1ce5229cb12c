"""Heat maps of some photos of one run, each as a picture in the job's folder."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from transfer_core.errors import BadImage, NotFound
from transfer_core.events import Event, Progressed
from transfer_core.paths import Home, replacing
from transfer_core.store import Job, Store
from transfer_core.words import Message

MOST = 24
"""Photos of one job: each takes half a second."""
_SHA256, _UPLOAD = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{32}")


def heat_maps(job: Job, store: Store) -> Generator[Event, None, dict[str, Any]]:
    """Payload: `{"run", "photos": [{"sha256"} | {"upload", "number"}, each with "label" or not]}`. Returns `{"photos": [{"label",
    "probability"} | {"error": message}]}`; picture number k lies at `picture(home, job.id, k)`.

    Raises `Unavailable` (`no_heat_map`) for a model that cannot be asked; a bad photo is an answer of its own.
    """
    from transfer_core.training.explain import Explainer

    asked = job.payload["photos"][:MOST]
    explain = Explainer(store.home.run(store.job(job.payload["run"]).id))
    found: list[dict[str, Any]] = []
    for number, photo in enumerate(asked):
        yield Progressed(stage="explaining", done=number, total=len(asked))
        try:
            told = explain(photo_file(store.home, photo), photo.get("label"))
        except (BadImage, NotFound) as error:
            found.append({"error": error.as_message().model_dump()})
            continue
        with replacing(picture(store.home, job.id, number), lasting=False) as part:
            told.picture.save(part, "WEBP", quality=88, method=2)
        found.append({"label": told.label, "probability": told.probabilities[told.label]})
    return {"photos": found}


def photo_file(home: Home, photo: Mapping[str, Any]) -> Path:
    """A dataset's image, or one of an upload. Nothing that was asked becomes a path as it came. Raises `NotFound`."""
    sha256, upload, number = str(photo.get("sha256", "")), str(photo.get("upload", "")), photo.get("number")
    if _SHA256.fullmatch(sha256):
        file = home.image(sha256)
    elif _UPLOAD.fullmatch(upload) and isinstance(number, int):
        file = home.uploads / upload / str(number)
    else:
        raise NotFound("no_file", file="–")
    if not file.is_file():
        raise NotFound("no_file", file=str(number if upload else sha256[:12]))
    return file


def picture(home: Home, job: str, number: int) -> Path:
    return home.job(job) / f"heat-{number}.webp"


def reason(told: Mapping[str, Any]) -> Message | None:
    """Why there is no picture of this photo."""
    return Message(**told["error"]) if "error" in told else None
