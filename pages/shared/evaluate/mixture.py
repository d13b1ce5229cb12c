"""Between the model as it began and the model as it is: every mixture measured, one chosen, and a run made of it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.shared import backend, navigation, place, working
from pages.shared.bound import bind_to
from pages.shared.components.drawing import drawing
from pages.shared.text import plain, t, told
from pages.shared.train.follow import follow
from pages.shared.undisturbed import undisturbed
from transfer_core.charts import PALETTE
from transfer_core.drawing import shares
from transfer_core.errors import NotFound, StudioError
from transfer_core.jobs import averages
from transfer_core.store import Job
from transfer_core.sweeping import mixtures, recommend_mixture

_TOOK, _REFUSED = "mixture took", "mixture refused"


def show(run: Job) -> None:
    """Nothing where a mixture would be of no use: nothing but the head was trained, or the run is an average itself."""
    if run.is_average:
        _recall(run)
    if not _of_use(run):
        return
    st.subheader(t("mixture.title"), anchor="mixture")
    if reason := _reason(run):
        st.caption(f":material/info: {reason}")
        return
    job = _measured(run)
    if job is None or not (job.live or job.result):
        _offer(run, job)
    elif job.live:
        st.fragment(working.watch, run_every=1.0, key="mixture-watch")(job.id, "mixture-stop", t("mixture.waiting"))
    else:
        st.fragment(_choose, key="mixture-choose")(run, job.result)


def _recall(run: Job) -> None:
    """What was measured of a mixture before it was taken."""
    asked = run.payload.get("mixture")
    try:
        before = _measured(backend.store().job(asked["run"])) if asked else None
    except NotFound:
        return
    if before and before.result and asked["alpha"] in before.result["alpha"]:
        st.subheader(t("kept.title"), anchor="kept")
        st.markdown(point(before.result, before.result["alpha"].index(asked["alpha"])))
        st.caption(t("mixture.recalled"))


def _of_use(run: Job) -> bool:
    started = follow(run.id).started
    return started is not None and not run.is_average and any(position != "freeze" for _, position in started.groups)


def _reason(run: Job) -> str:
    """Why it cannot be; empty where it can."""
    if run.payload["recipe"].get("weights") == "scratch":
        return t("mixture.scratch")
    if run.payload["recipe"].get("head", "linear") != "linear":
        return t("mixture.head")
    return "" if follow(run.id).started.images.get("validation") else t("mixture.unmeasured")


def _measured(run: Job) -> Job | None:
    """The newest measurement of this model. What was measured before the run was resumed is of another one."""
    return next((job for job in backend.store().jobs("blend") if job.payload["run"] == run.id
                 and job.created >= (run.ended or 0.0)), None)


def _offer(run: Job, before: Job | None) -> None:
    st.markdown(t("mixture.text"))
    if before is not None:
        _ended(before)
    st.button(t("mixture.again" if before else "mixture.measure"), icon=":material/blender:", key="mixture-measure",
              on_click=_measure, args=(run,))


def _ended(job: Job) -> None:
    """How a measurement without a result came to its end."""
    if not working.failure(job):
        st.caption(t("mixture.stopped"))


@undisturbed()
def _measure(run: Job) -> None:
    known = _measured(run)
    if known is None or not (known.live or known.result):  # two quick clicks call this twice
        backend.store().submit("blend", {"run": run.id}, backend.device())


def _choose(run: Job, found: dict[str, Any]) -> None:
    if taken := st.session_state.pop(_TOOK, None):
        navigation.go("evaluate" if backend.store().job(taken).result else "train", run=taken)
    suggested, why = recommend_mixture(found)
    st.markdown(told(why))
    at = _at(found, round(100 * suggested.value))
    drawing(picture(found, at), key="mixture-curves")
    percent = round(100 * found["alpha"][at])
    with st.container(key="mixture-slider"):
        st.slider(t("mixture.slider"), 0, 100, step=10, format="%d %%",
                  **bind_to("mixture-share", percent, lambda share: place.put(share=share)))
    st.markdown(point(found, at))
    _offer_to_take(run, found["alpha"][at])
    st.caption(t("mixture.optimistic"))


def _at(found: dict[str, Any], suggested: int) -> int:
    """Which of the points the URL names; else the suggested one."""
    shares_ = [round(100 * alpha) for alpha in found["alpha"]]
    asked = place.get("share") or ""
    wanted = int(asked) if asked.isdecimal() and len(asked) < 4 else suggested
    return shares_.index(wanted) if wanted in shares_ else shares_.index(suggested)


def picture(found: dict[str, Any], at: int) -> str:
    """Learned with its intervals, and kept, over the share of the trained model; the chosen point is marked."""
    points = mixtures(found)
    learned = [(each.value, each.accuracy) for each in points]
    bars = list(zip(found["low"], found["high"], strict=True))
    axis = shares.Axis(0, 1, [(each.value, f"{100 * each.value:.0f} %") for each in points[::2]], t("mixture.axis"))
    numbers = {"share": f"{100 * points[at].value:.0f}", "learned": f"{100 * points[at].accuracy:.0f}"}
    lines, entries = [shares.Curve(learned, PALETTE[0], bars=bars)], [(t("mixture.learned"), PALETTE[0], False)]
    alt = t("mixture.alt_learned", **numbers)
    if found["kept"]:
        lines.append(shares.Curve([(each.value, each.kept) for each in points], PALETTE[1], "7 5", "diamond"))
        entries.append((t("mixture.kept"), PALETTE[1], True))
        alt = t("mixture.alt", **numbers, kept=f"{100 * points[at].kept:.0f}")
    return shares.picture(axis, lines, alt, points[at].value) + shares.legend(*entries)


def point(found: dict[str, Any], at: int) -> str:
    """The numbers of one mixture, in a sentence."""
    numbers = {name: f"{100 * found[name][at]:.0f}" for name in ("accuracy", "low", "high")} | {"n": found["n"]}
    alpha = found["alpha"][at]
    if alpha == 0:
        return t("mixture.point_start", **numbers)
    ending = "" if found["kept"] else "_learned"
    if found["kept"]:
        numbers["kept"] = f"{100 * found['kept'][at]:.0f}"
    if alpha == 1:
        return t(f"mixture.point_trained{ending}", **numbers)
    return t(f"mixture.point{ending}", share=f"{100 * alpha:.0f}", rest=f"{100 - 100 * alpha:.0f}", **numbers)


def _offer_to_take(run: Job, alpha: float) -> None:
    trained = alpha == 1
    label = "mixture.open" if _taken(run, alpha) else "mixture.take"
    st.button(t(label), icon=":material/check:", key="mixture-take", disabled=trained, on_click=_take, args=(run, alpha),
              help=t("mixture.take_trained" if trained else "mixture.take_help"))
    if refused := st.session_state.pop(_REFUSED, None):
        st.error(plain(told(refused)), icon=":material/error:")


def _taken(run: Job, alpha: float) -> Job | None:
    """The run that was made of this mixture already."""
    return next((job for job in backend.store().jobs("train") if job.payload.get("mixture") == {"run": run.id, "alpha": alpha}
                 and job.created >= (run.ended or 0.0) and (job.live or job.result)), None)


@undisturbed()
def _take(run: Job, alpha: float) -> None:
    try:
        made = _taken(run, alpha) or backend.store().submit(
            "train", averages.mixture(backend.store(), run.id, alpha), backend.device())
    except StudioError as error:  # the run was deleted or resumed in another tab
        st.session_state[_REFUSED] = error.as_message()
        return
    st.session_state[_TOOK] = made.id
