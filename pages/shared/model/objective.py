"""What the training minimises: both forms, each with its λ between two ends in words and its formula beside it."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from pages.shared import backend, draft, navigation
from pages.shared.bound import bind_to
from pages.shared.draft import Draft
from pages.shared.model.freezing import ends
from pages.shared.model.numbers import decimal, logarithmic, plus
from pages.shared.sweep import ask
from pages.shared.text import t
from transfer_core.errors import NotFound
from transfer_core.recipe import Recipe
from transfer_core.regularizers import REGULARIZERS
from transfer_core.source_losses import SOURCE_LOSSES
from transfer_core.store import Dataset

_NONE = "none"
_SOURCE = {"lwf": r"T^2\,\mathrm{KL}\!\left(p^{0} \,\|\, p\right)",
           "features": r"\overline{\lVert F(\theta) - F(\theta^{0}) \rVert^2}",
           "co_tuning": r"-\sum p(s \,|\, y)\, \log p_s", "ewc": r"\tfrac12 \sum F\, (w - w^{0})^2",
           "replay": r"L_{\mathrm{second}}"}
_OMEGA = {"l2": r"\tfrac12 \sum w^2", "l1": r"\sum |w|",
          "l2_sp": r"\tfrac12 \sum (w - w^{0})^2 + \tfrac12 \sum w_{\mathrm{head}}^2",
          "l1_sp": r"\sum |w - w^{0}| + \sum |w_{\mathrm{head}}|", "bss": r"\sigma_{\min}^2(F)"}


def section(now: Draft) -> None:
    st.subheader(t("objective.title"), anchor="objective")
    st.markdown(t("objective.text"))
    left, right = st.columns(2, gap="large")
    with left, st.container(border=True, key="source-form"):
        _source_form(now)
    with right, st.container(border=True, key="omega-form"):
        _omega_form(now)
    with st.container(key="formula"):
        st.caption(t("objective.whole"))
        st.latex(formula(now))
        st.caption(_in_words(now))
        st.caption(navigation.theory("omega" if now.recipe.regularizer and not now.recipe.source_loss else "lambda"))
    ask.offer(now)


def refused(now: Draft) -> dict[str, str]:
    """Source losses that cannot be had with this model, freezing or data, and why."""
    reasons = {}
    classifier = {"run": _start_has_one(now), "pretrained": bool(now.info.source_classes)}.get(now.recipe.weights, False)
    for loss in SOURCE_LOSSES:
        if loss.facts["needs"] in ("source_logits", "relation", "importance") and not classifier:
            reasons[loss.name] = t("objective.no_classifier")
        elif loss.facts.get("data") and not other_datasets(now):
            reasons[loss.name] = t("objective.no_second")
        elif loss.facts.get("data"):
            pass  # a second dataset is something to keep, whatever the weights
        elif now.recipe.weights == "scratch":
            reasons[loss.name] = t("objective.from_scratch")
        if "train" not in now.positions and "anchor" not in now.positions:
            reasons.setdefault(loss.name, t("objective.all_frozen"))
    return reasons


def _start_has_one(now: Draft) -> bool:
    """Whether the training it starts from ends where this one does: its classifier is then one to compare with."""
    try:
        before = backend.store().job(now.recipe.start_from or "").payload["recipe"]
    except NotFound:
        return True  # the page says that it is gone
    pooled_since = before.get("head") == "flatten" != now.recipe.head
    return before.get("kept_groups") == now.recipe.kept_groups and not pooled_since


def other_datasets(now: Draft) -> list[Dataset]:
    """What could be learned beside the chosen dataset; first what the training learned that this one goes on from."""
    found = [each for each in backend.store().datasets() if now.dataset is None or each.id != now.dataset.id]
    learned = ""
    if now.recipe.start_from:
        with suppress(NotFound):
            learned = backend.store().job(now.recipe.start_from).payload["recipe"]["dataset"]
    return sorted(found, key=lambda each: each.id != learned)


def _source_form(now: Draft) -> None:
    reasons = refused(now)
    names = [_NONE, *SOURCE_LOSSES.names()]
    chosen = now.recipe.source_loss or _NONE
    st.markdown(f"**{t('objective.source_form')}**")
    st.radio(
        t("settings.source_loss"), names, help=t("settings.source_loss_help"),
        format_func=lambda name: _title("source", name, reasons),
        captions=[reasons.get(name) or t(f"objective.source_{name}_text") for name in names],
        **bind_to("setting-source_loss", chosen, lambda name: _choose_source(name, reasons), options=names),
    )
    if chosen == _NONE:
        return
    if chosen in reasons:
        st.warning(reasons[chosen], icon=":material/info:")
    if SOURCE_LOSSES[chosen].facts.get("data"):
        _second_dataset(now)
    st.select_slider(
        t("settings.lambda_target"), plus(logarithmic(0.01, 100), now.recipe.lambda_target),
        format_func=lambda value: f"λ = {decimal(value)}", help=t("settings.lambda_target_help"), disabled=chosen in reasons,
        **draft.bind("lambda_target", now))
    ends(t("objective.keep"), t("objective.learn"))
    learn = 100 * now.recipe.lambda_target / (1 + now.recipe.lambda_target)
    st.caption(t("objective.shares", learn=f"{learn:.0f}", keep=f"{100 - learn:.0f}"))


def _choose_source(name: str, reasons: dict[str, str]) -> None:
    # Streamlit cannot grey out one option of a radio: a choice that is not to be had springs back.
    if name in reasons:
        return
    second = other_datasets(draft.current())[0] if name != _NONE and SOURCE_LOSSES[name].facts.get("data") else None
    _take(None if name == _NONE else name, second)


def _take(name: str | None, second: Dataset | None) -> None:
    """Another source loss measures other things: it starts with its own λ."""
    usual = draft.recommended().lambda_target
    draft.change(source_loss=name, source_dataset=second and second.id, source_version=second.latest.version if second else 1,
                 lambda_target=SOURCE_LOSSES[name].facts["default"] if name else usual)


def _second_dataset(now: Draft) -> None:
    names = {each.id: each.name for each in other_datasets(now)}
    if now.recipe.source_dataset not in names:
        st.warning(t("objective.second_gone"), icon=":material/warning:")
    st.selectbox(t("settings.source_dataset"), list(names), format_func=names.__getitem__,
                 help=t("settings.source_dataset_help"), **bind_to("setting-source_dataset", now.recipe.source_dataset,
                                                                   _choose_second, options=list(names)))


def _choose_second(dataset: str) -> None:
    second = backend.store().dataset(dataset)
    draft.change(source_loss=draft.recipe().source_loss, source_dataset=second.id, source_version=second.latest.version)


def _title(kind: str, name: str, reasons: dict[str, str]) -> str:
    title = t(f"objective.{kind}_{name}_title")
    return f":gray[:material/block: {title}]" if name in reasons else title


def _omega_form(now: Draft) -> None:
    names = [_NONE, *REGULARIZERS.names()]
    chosen = now.recipe.regularizer or _NONE
    st.markdown(f"**{t('objective.omega_form')}**")
    st.radio(
        t("settings.regularizer"), names, help=t("settings.regularizer_help"),
        format_func=lambda name: _title("omega", name, {}), captions=[t(f"objective.omega_{name}_text") for name in names],
        **bind_to("setting-regularizer", chosen, _choose_omega, options=names),
    )
    if chosen == _NONE:
        return
    top = REGULARIZERS[chosen].facts["top"]
    st.select_slider(
        t("settings.lambda_omega"), plus(logarithmic(top * 1e-4, top), now.recipe.lambda_omega),
        format_func=lambda value: f"λ = {decimal(value)}", help=t("settings.lambda_omega_help"),
        **draft.bind("lambda_omega", now))
    ends(t("objective.free"), t(f"objective.omega_{chosen}_end"))


def _choose_omega(name: str) -> None:
    """Another Ω measures other things: it starts with its own λ."""
    if name == _NONE:
        draft.change(regularizer=None)
    else:
        draft.change(regularizer=name, lambda_omega=REGULARIZERS[name].facts["default"])


def formula(now: Draft) -> str:
    """The loss as LaTeX, with the recipe's own numbers."""
    recipe = now.recipe
    target = r"L_{\mathrm{target}}"
    if recipe.source_loss:
        value = _number(recipe.lambda_target)
        source = _SOURCE.get(recipe.source_loss, r"L_{\mathrm{source}}")
        loss = rf"\frac{{\overbrace{{{source}}}^{{L_{{\mathrm{{source}}}}}} + {value}\, {target}(\theta)}}{{1 + {value}}}"
    else:
        loss = rf"{target}(\theta)"
    if recipe.regularizer and recipe.lambda_omega:
        omega = _OMEGA.get(recipe.regularizer, r"\Omega")
        loss += rf" + {_number(recipe.lambda_omega)} \cdot \overbrace{{{omega}}}^{{\Omega(\theta)}}"
    if "anchor" in now.positions:
        loss += rf" + {_number(recipe.lambda_anchor)} \cdot \tfrac12 \!\!\sum_{{\mathrm{{anchored}}}}\!\! (w - w^{{0}})^2"
    return rf"L(\theta) = {loss}"


def _in_words(now: Draft) -> str:
    recipe: Recipe = now.recipe
    parts = [t("objective.words_target", target=r"$L_{\mathrm{target}}$")]
    if recipe.source_loss:
        parts.append(t(f"objective.words_{recipe.source_loss}", source=r"$L_{\mathrm{source}}$"))
    if recipe.regularizer and recipe.lambda_omega:
        parts.append(t(f"objective.words_{recipe.regularizer}"))
    if "anchor" in now.positions:
        parts.append(t("objective.words_anchor"))
    return " ".join(parts)


def _number(value: float) -> str:
    """`0.01`, or powers of ten where zeros would have to be counted."""
    mantissa, _, exponent = f"{value:g}".partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa
