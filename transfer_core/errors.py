"""What can go wrong, as a small tree. Each error says what happened and what to do next, in the reader's language.

StudioError
├── BadInput            what a person gave us cannot be used (upload, setting, file)
│   ├── BadArchive      an archive as a whole is refused
│   ├── BadImage        one image is refused; the others go on
│   ├── BadWeights      a weight file does not fit or is not safe
│   └── BadRecipe       settings that contradict each other
├── NotFound            no dataset, run or file of that name
├── Unavailable         the network, a hub or a device does not answer now
├── TrainingFailed      the training itself cannot go on (NaN, out of memory at batch 1)
└── Busy                someone else holds it; try again
"""

from __future__ import annotations

import errno
from typing import Any

from transfer_core.words import FALLBACK, Message, has, say


class StudioError(Exception):
    """Raised with the name of a text in `assets/words/<language>/errors.toml`, and the values that fill it.

    >>> raise BadArchive("not_a_zip", file="photos.rar")
    """

    def __init__(self, code: str, **values: Any) -> None:
        self.code, self.values = code, values
        super().__init__(code)

    def message(self, language: str = FALLBACK) -> str:
        """What happened, to which file or setting."""
        return say(f"errors.{self.code}.text", language, **self.values)

    def hint(self, language: str = FALLBACK) -> str:
        """What to do next."""
        key = f"errors.{self.code}.hint"
        return say(key, language, **self.values) if has(key) else ""

    def as_message(self) -> Message:
        """The same fact as data, to be stored with an event and said later."""
        return Message(key=f"errors.{self.code}.text", values=self.values)

    def __str__(self) -> str:
        return f"{self.message()} {self.hint()}".strip()


class BadInput(StudioError):
    pass


class BadArchive(BadInput):
    pass


class BadImage(BadInput):
    pass


class BadWeights(BadInput):
    pass


class BadRecipe(BadInput):
    pass


class NotFound(StudioError):
    pass


class Unavailable(StudioError):
    pass


class TrainingFailed(StudioError):
    pass


class Busy(StudioError):
    pass


def says_disk_full(error: BaseException | None) -> bool:
    """Whether this, or what led to it, is a full disk of ours. PyTorch and safetensors say so only in words, or in what they
    hide. What a database server says of its own disk (it has a `sqlstate`) is not meant."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        words = str(error)
        if getattr(getattr(error, "orig", error), "sqlstate", None) or (
                isinstance(error, Unavailable) and error.code == "database_disk_full"):
            return False
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if isinstance(error, Unavailable) and error.code == "disk_full":
            return True
        if "No space left on device" in words or "database or disk is full" in words:
            return True
        error = error.__cause__ or error.__context__
    return False
