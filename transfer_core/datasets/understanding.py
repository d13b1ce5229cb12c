"""How an upload was understood, as data: a tree with counts, what is left aside, what must be asked. JSON both ways."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from transfer_core.words import Message

SHOWN = 20
"""Names listed of each kind of ignored file; the count is always exact."""


class Answers(BaseModel):
    """What a person said to the questions. None: not asked yet, take the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_level: str | None = None
    """"domain" or "class": the upper of two repeated folder levels."""
    labels: str | None = None
    """"folders", "table" or "names": where the class of a picture is written."""
    column: str | None = None
    """The column of a table that is the class; one that is no choice is not heeded."""


class Question(BaseModel):
    """`key` is the field of `Answers`, `options` its values (words: `import.answers.<key>.<option>`; those of "column" are a
    stranger's own), `default` what is taken unasked."""

    key: str
    text: Message
    options: list[str]
    default: str


class Node(BaseModel):
    """A folder of the tree, its meaning ("split", "domain", "class"), and how many pictures lie in and below it."""

    name: str
    kind: str
    images: int
    children: list[Node] = []


class Ignored(BaseModel):
    """Files left aside for one reason (`import.ignored.<reason>`)."""

    reason: str
    count: int
    files: list[str]


class Understanding(BaseModel):
    kind: str
    layout: str
    """"folders", "table", "names", "flat" (no classes found) or "none" (no pictures)."""
    images: int
    bytes: int
    classes: dict[str, int]
    splits: dict[str, int]
    domains: list[str]
    wrapper: str
    levels: list[str]
    tree: list[Node]
    table: dict[str, Any] | None = None
    """The label table: file, file_column, label_column, missing (names), unlabelled (count)."""
    ignored: list[Ignored]
    refused: list[dict[str, str]]
    questions: list[Question]
    notes: list[Message]
    problem: Message | None = None
    """Why this cannot be imported as it is; `hint` says what to do."""
    hint: Message | None = None

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Understanding:
        return cls.model_validate(fields)
