"""Would more photos help, and what would help most? The same recipe trained with fewer photos, and what that says."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from pages.shared import backend, draft, navigation, working
from pages.shared.components.drawing import drawing
from pages.shared.evaluate import folds
from pages.shared.model.numbers import duration
from pages.shared.text import plain, t, told
from pages.shared.undisturbed import undisturbed
from transfer_core.advice import Advice, advice, facts
from transfer_core.charts import PALETTE
from transfer_core.datasets.manifest import Manifest
from transfer_core.drawing.axes import Axes, legend
from transfer_core.errors import BadRecipe
from transfer_core.jobs import learning_curve
from transfer_core.jobs.apart import forecast
from transfer_core.jobs.run import came_back
from transfer_core.jobs.tasks import last_check
from transfer_core.recipe import Recipe
from transfer_core.store import Job

_NOTHING = 0.0005
"""A gain that is written as 0.0 points."""
_BESIDE = 1.08
"""Single trainings stand a little to the right of their mean: nothing hides anything."""
SHARES, REPEATS = learning_curve.SHARES, learning_curve.REPEATS


def show(run: Job) -> None:
    """Nothing for an average, or where the photos are not here."""
    recipe = Recipe(**run.payload["recipe"])
    if run.is_average or run.payload.get("claimed") or recipe.weights == "run" or recipe.source_dataset:
        return
    try:
        manifest = backend.manifest(recipe.dataset, recipe.version)
    except FileNotFoundError:
        return
    job = _made(run)
    st.subheader(t("curve.title"), anchor="more-photos")
    if job is None or not (job.live or job.result):
        if job is not None:
            working.failure(job)
        _offer(run, recipe, manifest)
    elif job.live:
        st.fragment(working.watch, run_every=1.0, key="curve-watch")(job.id, "curve-stop")
    else:
        _tell(run, recipe, job.result)


def _made(run: Job) -> Job | None:
    return next((job for job in backend.store().jobs("learning_curve") if job.payload["recipe"] == run.payload["recipe"]), None)


def _offer(run: Job, recipe: Recipe, manifest: Manifest) -> None:
    try:
        learning_curve.check(recipe, manifest, SHARES)
    except BadRecipe as error:
        st.caption(f":material/info: {plain(told(error))}")
        return
    st.markdown(t("curve.text"))
    st.button(t("curve.start"), icon=":material/trending_up:", key="curve-start", on_click=_start, args=(run,))
    times = len(SHARES) * REPEATS
    # Each takes as many steps as one on all images, which this run has stored already.
    cost = forecast(backend.home(), recipe, len(manifest.of("train")), len(manifest.classes), times, stored=True)
    if cost is None:
        st.caption(t("curve.count", count=times))
    else:
        st.caption(t("curve.takes" if cost.measured else "curve.takes_slow", count=times, time=duration(cost.seconds)))


@undisturbed()
def _start(run: Job) -> None:
    known = _made(run)
    if known is not None and (known.state == "failed" or came_back(backend.store(), known)):  # what it told is not trained again
        backend.store().requeue(known.id)
    elif known is None or not (known.live or known.result):  # two quick clicks call this twice
        payload = {"recipe": run.payload["recipe"], "shares": list(SHARES), "repeats": REPEATS}
        backend.store().submit("learning_curve", payload, backend.device())


def _tell(run: Job, recipe: Recipe, found: dict[str, Any]) -> None:
    st.markdown(sentence(found))
    drawing(picture(found), key="curve-picture")
    if twice := found["twice"]:
        st.markdown(t("curve.twice", count=twice["train"], low=_percent(twice["low"]), high=_percent(twice["high"])))
    notes = [t("curve.how", trainings=found["trainings"])]
    if len(found["points"][0]["repeats"]) == 1:
        notes.append(t("curve.repeats"))
    if found["whole"]:
        notes.append(t("curve.whole", names=plain(", ".join(found["whole"]))))
    if found["split"] == "validation":
        notes.append(t("curve.only_validation"))
    st.caption(" ".join(notes))
    _suggest(run, recipe, found)


def sentence(found: dict[str, Any]) -> str:
    gain = found["gain"]
    numbers = {name: f"{100 * gain[name]:.1f}" for name in ("low", "high")}
    key = "not_more" if found["verdict"] == "not_shown" and gain["value"] < _NOTHING else found["verdict"]
    text = t(f"curve.{key}", first=gain["from"], second=gain["to"], n=found["n"], gain=f"{100 * gain['value']:.1f}",
             **numbers)
    if found["verdict"] == "not_shown" and gain["high"] > 0:
        text += " " + t("curve.not_shown_up_to", high=_percent(gain["high"]))
    return text


def picture(found: dict[str, Any]) -> str:
    """Right answers over the number of training photos, each step of the axis twice as many."""
    points = found["points"]
    first, last = points[0]["train"], points[-1]["train"]
    seen = [share for point in points for share in (point["accuracy"]["low"], *point["repeats"])]
    bottom = max(0.0, math.floor(10 * min(seen)) / 10)
    axes = Axes("curve", (first / 1.25, last * 1.25), (bottom, 1.0), logarithmic=True)
    drawn = [*(axes.upright(point["train"], point["accuracy"]["low"], point["accuracy"]["high"], PALETTE[0]) for point in points),
             axes.curve([(point["train"], point["accuracy"]["value"]) for point in points], PALETTE[0]),
             *(axes.dot(_BESIDE * point["train"], share, PALETTE[1], diamond=True)
               for point in points for share in point["repeats"]),
             *(axes.dot(point["train"], point["accuracy"]["value"], PALETTE[0]) for point in points)]
    step = 0.1 if bottom >= 0.5 else 0.25
    levels = {1 - step * number: f"{100 - 100 * step * number:.0f} %" for number in range(int((1 - bottom) / step + 1e-9) + 1)}
    rows = ", ".join(t("curve.alt_row", train=point["train"], **{
        name: _percent(point["accuracy"][name]) for name in ("value", "low", "high")}) for point in points)
    ticks = {point["train"]: str(point["train"]) for point in points}
    return axes.svg(t("curve.alt", rows=rows), drawn, ticks, levels, t("curve.axis")) + legend(
        [(t("curve.mean"), PALETTE[0], "dot"), (t("curve.single"), PALETTE[1], "diamond")])


def _suggest(run: Job, recipe: Recipe, found: dict[str, Any]) -> None:
    check = last_check(backend.store(), recipe.dataset, recipe.version)
    suggested = advice(facts(found, recipe, check.result if check else None, folds.result(run)))
    st.markdown(f"**{t('advice.title')}**")
    if not suggested:
        st.markdown(t("advice.none"))
    with st.container(key="advice", gap="small"):
        for number, each in enumerate(suggested):
            with st.container(border=True, key=f"advice-{number}", gap="small"):
                _way(each, recipe)
                st.caption(plain(told(each.why)))


def _way(each: Advice, recipe: Recipe) -> None:
    """The next step, as a link to where it is made."""
    label = f"**{told(each.do)}**"
    if each.page == "folds":
        st.markdown(f":material/arrow_upward: [{told(each.do)}](#folds)")
    elif each.page == "model":
        navigation.link("model", label, ":material/tune:", run=None, dataset=recipe.dataset, **draft.address(recipe))
    else:
        icon = ":material/troubleshoot:" if each.page == "problems" else ":material/photo_library:"
        navigation.link("data", label, icon, dataset=recipe.dataset, run=None)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"
