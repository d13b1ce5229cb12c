"""A growing file of JSON lines, each line read once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Tail:
    """A file of JSON lines that another process may be writing, each line read once."""

    def __init__(self, file: Path) -> None:
        self.file, self.place = file, 0

    def new(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The whole lines since the last call, each with the place in the file where it begins."""
        if not self.file.exists():
            return
        with self.file.open("rb") as lines:
            lines.seek(self.place)
            for line in lines:
                if not line.endswith(b"\n"):  # half written
                    return
                begins, self.place = self.place, self.place + len(line)
                try:
                    yield begins, json.loads(line)
                except ValueError:  # a process ended in the middle of this line
                    continue

    def cut(self) -> bool:
        """Whether the file is shorter than what was read of it."""
        return self.place > (self.file.stat().st_size if self.file.exists() else 0)
