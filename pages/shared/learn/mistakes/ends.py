"""λ without a direction: both conventions side by side, and what λ meant in the training shown."""

from __future__ import annotations

import streamlit as st

from pages.shared.learn import parts
from pages.shared.learn.shown import Shown
from pages.shared.model.numbers import decimal, digits
from pages.shared.text import t
from transfer_core.theory import shares


def formula() -> None:
    latex = (r"\frac{1 + \lambda}{\lambda} \cdot \frac{L_{\mathrm{source}} + \lambda\, L_{\mathrm{target}}}{1 + \lambda}"
             r" = L_{\mathrm{target}} + \frac{1}{\lambda}\, L_{\mathrm{source}}")
    parts.formula("ends", latex, {r"\tfrac{1}{\lambda}": "same"}, "lwf", "l2_sp")
    st.markdown(t("learn.ends.table"))


def check(now: Shown | None) -> None:
    st.markdown(t("learn.ends.where", keep=t("objective.keep"), learn=t("objective.learn"), free=t("objective.free"),
                  end=t("objective.omega_l2_sp_end")))
    if now is None:
        return
    recipe = now.recipe
    omega = recipe.regularizer if recipe.lambda_omega else None
    if recipe.source_loss:
        keep, learn = shares(recipe.lambda_target)
        other = digits(1 / recipe.lambda_target) if recipe.lambda_target else "∞"
        st.markdown(t("learn.ends.run_source", value=decimal(recipe.lambda_target), learn=f"{100 * learn:.0f}",
                      keep=f"{100 * keep:.0f}", other=other))
    if omega:
        st.markdown(t("learn.ends.run_omega", value=decimal(recipe.lambda_omega), free=t("objective.free"),
                      end=t(f"objective.omega_{omega}_end")))
    if not recipe.source_loss and not omega:
        st.markdown(t("learn.ends.run_none"))
