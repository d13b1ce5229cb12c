"""What a freezing costs, as tiles. It listens to the ladder: a moved handle shows the new price before the server answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

from pages.shared.components.face import face
from pages.shared.text import t


class Tag(NamedTuple):
    """One tile. Without a `value` of its own it shows the price's."""

    label: str
    help: str
    value: str | None = None


class Price(TypedDict):
    values: list[str]
    """As read, one for each tag that has none of its own."""
    share: float
    """0 to 1, drawn as a bar with `text` over it."""
    text: str


def price(positions: Sequence[str], prices: Mapping[str, Price], tags: Sequence[Tag], key: str = "price-tags") -> None:
    """Draw the price of `positions`; `prices` (by pattern of positions) also holds those the ladder may be moved to next.

    A pattern that is not among them shows the price before it, greyed, until the server has answered.
    """
    face("price", '<div class="price"></div>', isolate_styles=False)(key=key, data={
        "positions": list(positions), "prices": dict(prices),
        "tags": [{**tag._asdict(), "asks": t("model.asks", name=tag.label)} for tag in tags]})
