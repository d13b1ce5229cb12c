"""Check: how good the model is on photos it never saw, how sure that is, and what it mixes up."""

import streamlit as st

from pages.shared import averages, needs, report
from pages.shared.evaluate import (
    atlas,
    confusions,
    curve,
    folds,
    kept,
    looks,
    mixture,
    score,
    thresholds,
    trust,
    unknown,
)
from pages.shared.evaluate.results import load
from pages.shared.text import t
from pages.shared.train.again import again
from pages.shared.train.follow import follow

st.title(t("evaluate.title"))
run = needs.trained_run()
if run is not None:
    averages.made(run)
    results = load(run.id)
    if results is None:
        st.info(t("evaluate.none"), icon=":material/info:")
        report.offer(run)
    else:
        claimed = bool(run.payload.get("claimed"))  # of its photos nothing is here: what would look at them is left out
        if claimed:
            st.warning(t("evaluate.claimed"), icon=":material/inventory_2:")
        score.show(results, folds.result(run))
        if (times := len(follow(run.id).tested)) > 1:
            st.warning(t("evaluate.looked", count=times), icon=":material/visibility:")
        folds.show(run)
        confusions.show(results)
        score.per_class(results)
        confusions.worst(results)
        curve.show(run)
        if not claimed:
            looks.show(run, results)
            atlas.show(run)
        trust.show(results)
        unknown.show(run, results)
        thresholds.show(results)
        kept.show(run.id)
        if not claimed:
            mixture.show(run)
        report.offer(run)
        needs.next_step("predict", t("evaluate.next"))
        if not claimed:
            again(run)
