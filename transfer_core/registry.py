"""One place for each kind of thing there can be more of. Registration is existence.

    REGULARIZERS = Registry("regularizer")

    @REGULARIZERS.add("l2_sp", paper="Li et al. 2018, arXiv:1802.01483")
    def l2_sp(now, start):
        '''Stay near the weights the model arrived with.'''

The choice in the UI, the validation of recipes, the contract test and the table in the docs follow from the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from transfer_core.errors import BadRecipe

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Choice(Generic[F]):
    """One registered thing: its name, the function, and facts about it (`paper`, `range`, …)."""

    name: str
    function: F
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def help(self) -> str:
        """The first paragraph of the docstring."""
        return (self.function.__doc__ or "").strip().split("\n\n")[0]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


class Registry(Generic[F]):
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._choices: dict[str, Choice[F]] = {}

    def add(self, name: str, **facts: Any) -> Callable[[F], F]:
        def register(function: F) -> F:
            if name in self._choices:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            if not function.__doc__:
                raise ValueError(f"{self.kind} {name!r} has no docstring, and the docstring is its help")
            self._choices[name] = Choice(name, function, facts)
            return function

        return register

    def __getitem__(self, name: str) -> Choice[F]:
        try:
            return self._choices[name]
        except KeyError:
            raise BadRecipe("unknown_choice", kind=self.kind, name=name, allowed=", ".join(self._choices)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._choices

    def __iter__(self) -> Iterator[Choice[F]]:
        return iter(self._choices.values())

    def __len__(self) -> int:
        return len(self._choices)

    def names(self) -> list[str]:
        return list(self._choices)
