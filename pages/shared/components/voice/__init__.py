"""Says in which language a page is, where only the browser can: screen readers choose their voice by it."""

from __future__ import annotations

from pages.shared.components.face import face
from pages.shared.text import t


def voice(language: str, key: str = "voice") -> None:
    face("voice", "<i></i>")(key=key, data={"language": language, "skip": t("app.skip")})
