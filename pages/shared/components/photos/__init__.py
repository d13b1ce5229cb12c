"""Where a person hands in photos to try: drop, choose, or camera. (Streamlit's own widgets speak English only.)"""

from __future__ import annotations

from pages.shared.components.face import face
from pages.shared.text import t

_WORDS = ("drop", "touch", "hint", "choose", "camera", "take", "close", "sending", "failed", "no_camera", "insecure",
          "preview", "too_large")
MAX_BYTES = 50_000_000
"""Of one photo; a 100-megapixel JPEG stays below."""


def photos(key: str = "photos", small: bool = False) -> str | None:
    """The id of a fresh upload once all its photos have arrived, in that one run of the script; else None.

    `small`: there are answers below, which matter more than the next photo.
    """
    words = {word: t(f"photos.{word}") for word in _WORDS}
    shown = face("photos", '<div id="photos"></div>', parts=("handing_in",))
    data = {"words": words, "limit": MAX_BYTES, "small": small}
    return shown(key=key, data=data, on_uploaded_change=lambda: None).uploaded
