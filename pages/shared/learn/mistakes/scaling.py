"""Pixels prepared another way: the training's own model asked in three ways, in the predictor process."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from html import escape
from pathlib import Path
from statistics import fmean

import streamlit as st

from pages.shared import backend, frame
from pages.shared.learn import parts
from pages.shared.learn.shown import Shown
from pages.shared.model.numbers import percent
from pages.shared.text import plain, t
from transfer_core.charts import PALETTE
from transfer_core.datasets.manifest import Image
from transfer_core.depot.looking import bring_image
from transfer_core.errors import StudioError, Unavailable
from transfer_core.images import Preprocessing
from transfer_core.predicting.process import Died, shared
from transfer_core.predicting.ways import wrongly

MOST = 36
"""Test photos asked about: three answers each, two or three seconds."""
MOMENT = 0.8
"""Seconds a page waits for the answers before it is drawn without them."""
_INKS = {"own": PALETTE[1], "unit": PALETTE[0], "bytes": PALETTE[2]}
_asking = ThreadPoolExecutor(2, "ways")
_ASKED = "learn ways"
"""In the session state: what was asked, of which model (run, and when it was written)."""

Answers = list[dict[str, list[float]]]


class Asked:
    """One question to the predictor process: how far it is, and the answers to come."""

    def __init__(self, model: Path, files: list[str]) -> None:
        self.done, self.total = 0, len(files)
        self.answers: Future[Answers] = _asking.submit(self._ask, model, files)

    def _ask(self, model: Path, files: list[str]) -> Answers:
        try:
            return shared.ask("ways", self._hear, model=str(model), files=files)
        except Died as died:
            raise Unavailable("predictor_died") from died

    def _hear(self, done: int) -> None:
        self.done = done

    @property
    def failed(self) -> bool:
        """Then it may be asked again."""
        return self.answers.done() and self.answers.exception() is not None

    def soon(self) -> None:
        """Wait a moment for the answers."""
        patience = time.monotonic() + MOMENT
        while not self.answers.done() and time.monotonic() < patience:
            time.sleep(0.01)


def formula() -> None:
    parts.formula("scaling", r"x = \frac{\mathrm{pixel} / 255 \;-\; \mathrm{mean}}{\mathrm{std}}", {
        r"\mathrm{pixel}": "pixel", r"\mathrm{mean},\; \mathrm{std}": "mean"}, "timm")


def check(now: Shown | None) -> None:
    how = now and now.info.get("preprocessing")
    if not how:
        st.caption(t("learn.scaling.no_run"))
        return
    st.markdown(in_words(Preprocessing.from_dict(how)))
    model, photos = backend.home().at("runs", now.job.id, "model.onnx"), _photos(now)
    if not photos or not model.is_file():
        return
    key = (now.job.id, model.stat().st_mtime_ns)
    of, asked = st.session_state.get(_ASKED) or (None, None)
    asked = asked if of == key else None
    st.button(t("learn.scaling.ask"), icon=":material/compare:", key="learn-ways", on_click=_ask, args=(key, model, photos),
              disabled=asked is not None and not asked.failed, help=t("learn.scaling.ask_help", count=len(photos)))
    if asked is not None:
        asked.soon()
        live = not asked.answers.done()
        look = st.fragment(_look, run_every=0.4 if live else None, key="learn-ways-look")
        look(asked, photos, _classes(now), now.info["preprocessing"], live)


def in_words(how: Preprocessing) -> str:
    height, width = how.size
    facts = {"height": height, "width": width, "interpolation": t(f"learn.scaling.{how.interpolation}"),
             "mean": _three(how.mean), "std": _three(how.std)}
    if how.crop_mode == "center":
        return t("learn.scaling.model", crop=f"{100 * how.crop_share:.3g}", **facts)
    return t(f"learn.scaling.model_{how.crop_mode}", **facts)


def _three(values: tuple[float, float, float]) -> str:
    return " / ".join(f"{value:.3g}" for value in values)


def _photos(now: Shown) -> list[Image]:
    """Test photos of classes the model knows, in an order of chance that is always the same: by their content's hash."""
    try:
        manifest = backend.manifest(now.recipe.dataset, now.recipe.version)
    except FileNotFoundError:
        return []
    known = set(_classes(now))
    return sorted((image for image in manifest.of("test") if image.label in known), key=lambda image: image.sha256)[:MOST]


def _classes(now: Shown) -> list[str]:
    file = backend.home().run(now.job.id) / "classes.json"
    return list(parts.read(file, file.stat().st_mtime_ns))


def _ask(key: tuple[str, int], model: Path, photos: list[Image]) -> None:
    for photo in photos:
        bring_image(backend.home(), photo.sha256)
    files = [str(backend.home().image(photo.sha256)) for photo in photos]
    st.session_state[_ASKED] = (key, Asked(model, files))


def _look(asked: Asked, photos: list[Image], classes: list[str], how: dict, was_live: bool) -> None:
    if not asked.answers.done():
        st.progress(asked.done / asked.total, t("learn.scaling.asking"))
        return
    if was_live:
        st.rerun()
    try:
        found = asked.answers.result()
    except StudioError as error:
        frame.show(error)
        return
    number = st.session_state.get("learn ways photo", 0) % len(photos)
    picture, says = st.columns([1, 3], gap="medium")
    with picture:
        st.html(f'<img class="learn-photo" src="/thumbnails/{photos[number].sha256}.webp" '
                f'alt="{escape(t("learn.scaling.photo", label=photos[number].label))}">')
        st.caption(t("learn.scaling.truth", label=plain(photos[number].label)))
        st.button(t("learn.scaling.another"), key="learn-ways-another", on_click=_next, args=(number,), type="tertiary")
    with says:
        parts.bars([_said(way, given, classes) for way, given in found[number].items()], key="learn-ways-photo")
    st.caption(t("learn.scaling.sure", count=len(photos)))
    parts.bars([_sure(way, found, [classes.index(photo.label) for photo in photos]) for way in _INKS], key="learn-ways-sure")
    ways = wrongly(Preprocessing.from_dict(how))
    if ways["own"] == ways["unit"]:
        st.caption(t("learn.scaling.same"))


def _next(number: int) -> None:
    st.session_state["learn ways photo"] = number + 1


def _said(way: str, given: list[float], classes: list[str]) -> tuple[str, float, str, str]:
    best = max(range(len(classes)), key=given.__getitem__)
    name = t("learn.scaling.says", way=t(f"learn.scaling.{way}"), label=classes[best])
    return name, given[best], percent(given[best]), _INKS[way]


def _sure(way: str, found: Answers, truth: list[int]) -> tuple[str, float, str, str]:
    """Finer than the number of right answers, which so few photos hardly tell apart; that is said beside it."""
    given = [each[way] for each in found]
    right = sum(max(range(len(row)), key=row.__getitem__) == place for row, place in zip(given, truth, strict=True))
    sure = fmean(row[place] for row, place in zip(given, truth, strict=True))
    name = t("learn.scaling.right", way=t(f"learn.scaling.{way}"), count=right, all=len(truth))
    return name, sure, percent(sure), _INKS[way]
