"""Photos with what they are and what the model said, as one lazy grid (2 ms a rerun; `st.image` would cost 4 ms a photo)."""

from __future__ import annotations

from html import escape

import streamlit as st

from pages.shared.model.numbers import percent
from pages.shared.text import t

PAGE = 48


def grid(images: list[dict], classes: list[str], key: str) -> None:
    pages = -(-len(images) // PAGE)
    page = st.pagination(pages, key=f"{key}-page") if pages > 1 else 1
    shown = images[(page - 1) * PAGE : page * PAGE]
    st.html(f'<div class="photos">{"".join(_card(image, classes) for image in shown)}</div>')


def _card(image: dict, classes: list[str]) -> str:
    right = image["label"] == image["predicted"]
    ranked = sorted(zip(image["probabilities"], classes, strict=True), reverse=True)[:3]
    bars = "".join(
        f'<li><span class="bar" style="width:{100 * share:.0f}%"></span>'
        f"<span>{escape(name)}</span><b>{escape(percent(share))}</b></li>"
        for share, name in ranked
    )
    mark = "✓" if right else "✗"
    alt = escape(t("evaluate.photo_alt", truth=image["label"], predicted=image["predicted"]))
    return (
        f'<figure class="{"right" if right else "wrong"}"><a href="/images/{image["sha256"]}" target="_blank" rel="noopener">'
        f'<img loading="lazy" src="/thumbnails/{image["sha256"]}.webp" alt="{alt}" title="{escape(image["file"])}"></a>'
        f"<figcaption>{mark} {escape(t('live.truth'))} <b>{escape(image['label'])}</b></figcaption><ol>{bars}</ol></figure>"
    )
