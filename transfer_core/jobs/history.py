"""What a run reported, as a file beside its model: so that a zip of it can tell how it went."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from transfer_core.events import Event, from_json, to_json
from transfer_core.paths import replacing
from transfer_core.store import Job, Store

HISTORY = "history.jsonl"
KINDS = ("started", "epoch", "cached", "transferred", "averaged", "finished", "stopped")
"""Steps are many and notes speak of this machine; what was measured and exported is found out anew."""
LONGEST = 20_000


def write_history(store: Store, job: Job) -> None:
    with replacing(store.home.run(job.id) / HISTORY) as part:
        part.write_text("".join(to_json(event) + "\n" for _, event in store.events(job.id, kinds=KINDS)), "utf-8")


def read_history(file: Path) -> Iterator[Event]:
    """The events of a stranger's file; what is none, or of another kind, is left out."""
    for line in file.read_bytes().splitlines()[:LONGEST]:
        try:
            event = from_json(line)
        except ValidationError:
            continue
        if event.type in KINDS:
            yield event
