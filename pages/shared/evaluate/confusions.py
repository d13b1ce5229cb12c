"""The confusion matrix whose cells open the photos in them, and the mistakes the model was surest of."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.shared.evaluate import photos
from pages.shared.evaluate.results import Results
from pages.shared.text import plain, t

SHOWN = 24


def show(results: Results) -> None:
    st.subheader(t("evaluate.confusion"))
    st.caption(t("evaluate.confusion_help" if results.predictions else "evaluate.confusion_only"))
    classes, counts = results.classes, results.report["confusion"]
    # Column ids must be unique and may not be changed by what a class is called: the name stands in the column's label.
    frame = pd.DataFrame(counts, columns=[str(number) for number in range(len(classes))])
    frame.insert(0, "truth", classes)
    column = st.column_config
    config = {"truth": column.TextColumn(f"{t('live.truth')} ↓ {t('live.predicted')} →", pinned=True)}
    config |= {str(number): column.NumberColumn(name, width=72) for number, name in enumerate(classes)}
    shape = {"width": "content", "height": min(38 + 35 * len(classes), 560)}
    if not results.predictions:  # no photos to open
        st.dataframe(_colored(frame), hide_index=True, column_config=config, key="confusion-only", **shape)
        _say_top(results)
        return
    chosen = st.dataframe(_colored(frame), hide_index=True, column_config=config, selection_mode="single-cell", on_select="rerun",
                          key="confusion", **shape)["selection"]["cells"]
    if not chosen:
        _say_top(results)
        return
    row, name = chosen[0]
    if name == "truth":
        images = [image for image in results.predictions if image["label"] == classes[row]]
        st.markdown(t("evaluate.row", count=len(images), truth=plain(classes[row])))
    else:
        predicted = classes[int(name)]
        images = results.cell(classes[row], predicted)
        key = "evaluate.cell_right" if predicted == classes[row] else "evaluate.cell"
        st.markdown(t(key, count=len(images), truth=plain(classes[row]), predicted=plain(predicted)))
    photos.grid(images, results.classes, key="cell")


def _colored(frame: pd.DataFrame) -> pd.io.formats.style.Styler:
    """Blue on the diagonal, orange off it, as strong as the share of the true class's photos."""
    counts = frame.drop(columns="truth")
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0).to_numpy()

    def styles(_: pd.DataFrame) -> pd.DataFrame:
        found = pd.DataFrame("", index=frame.index, columns=frame.columns)
        for row in range(len(shares)):
            for column in range(len(shares)):
                share = shares[row, column]
                color = "47,116,192" if row == column else "217,98,43"
                style = f"background-color: rgba({color},{0.75 * share:.2f})" if share else "color: rgba(128,128,128,.55)"
                found.iat[row, column + 1] = style
        return found

    return frame.style.apply(styles, axis=None)


def _say_top(results: Results) -> None:
    top = results.report["confusions"][:3]
    if not top:
        st.success(t("evaluate.no_mistakes"), icon=":material/celebration:")
        return
    for entry in top:
        truth, predicted = plain(entry["label"]), plain(entry["predicted"])
        st.markdown("- " + t("evaluate.top", count=entry["count"], truth=truth, predicted=predicted))


def worst(results: Results) -> None:
    """The wrong answers with the highest probability: a wrong label, or something to learn."""
    wrong = sorted(results.wrong, key=lambda image: -max(image["probabilities"]))
    if not wrong:
        return
    st.subheader(t("evaluate.worst"))
    st.caption(t("evaluate.worst_help"))
    photos.grid(wrong[:SHOWN], results.classes, key="worst")
