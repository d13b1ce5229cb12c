"""Where a visitor hands photos to a published model and reads the answers."""

from __future__ import annotations

from collections.abc import Sequence

from pages.shared.components.face import face
from pages.shared.text import t
from transfer_core.http.photos import LARGEST, MB

_WORDS = ("drop", "touch", "choose", "camera", "take", "close", "sending", "failed", "no_camera", "insecure", "preview")


def ask(address: str, examples: Sequence[str], unsure: float) -> None:
    """`address`: where the photos go; `examples`: addresses of pictures to try; below `unsure` the first answer is a guess."""
    words = {word: t(f"photos.{word}") for word in _WORDS} | {
        "hint": t("demo.hint"), "queued": t("demo.queued"), "unsure": t("demo.unsure"), "none": t("demo.none"),
        "example": t("demo.example"), "empty": t("demo.empty"),
        "too_large": t("demo.too_heavy", megabytes=LARGEST // MB)}
    html = '<div id="ask"><div class="hand-in"></div><div class="examples"></div><div class="answers"></div></div>'
    shown = face("ask", html, parts=("handing_in",))
    shown(key="ask", data={"words": words, "limit": LARGEST, "address": address, "unsure": unsure, "examples": list(examples)})
