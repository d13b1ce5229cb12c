"""The score as it is beside the score as it would seem, and the way to a training with what was put right."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.shared import backend, draft, navigation
from pages.shared.learn.parts import bars
from pages.shared.text import t, told
from transfer_core import sentences
from transfer_core.charts import PALETTE
from transfer_core.recipe import Recipe
from transfer_core.store import Dataset, Job


def show(scores: dict[str, Any] | None) -> None:
    """Nothing where no score could be made."""
    if scores is None:
        return
    honest, naive = scores["honest"], scores["naive"]
    if not scores["differ"]:
        st.markdown(told(sentences.honest_score(scores)))
        return
    st.warning(told(sentences.honest_score(scores)), icon=":material/warning:")
    both = (("naive_score", naive, PALETTE[1]), ("honest_score", honest, PALETTE[0]))
    bars([(t(f"problems.{name}"), score["accuracy"],
           f"{100 * score['accuracy']:.0f} % ({100 * score['low']:.0f} – {100 * score['high']:.0f})", ink)
          for name, score, ink in both], key="problem-scores")


def retrain(dataset: Dataset) -> None:
    """For the newest training of an older version: what frozen layers said of the photos that stayed is not computed again."""
    run = next((job for job in backend.store().jobs("train") if job.result and not job.is_part
                and job.payload["recipe"]["dataset"] == dataset.id), None)
    if run is None or run.payload["recipe"]["version"] == dataset.latest.version:
        return
    count = fixes(dataset, run)
    if count:
        navigation.link("model", t("problems.retrain", count=count), ":material/model_training:", run=None, dataset=dataset.id,
                        **draft.address(Recipe(**run.payload["recipe"])))


def fixes(dataset: Dataset, run: Job) -> int:
    """Images that have another label or another side of the split than in the run's version, or are not there any more."""
    before = backend.manifest(dataset.id, run.payload["recipe"]["version"])
    now = {(image.sha256, image.label, image.split) for image in backend.manifest(dataset.id, dataset.latest.version).images}
    return sum((image.sha256, image.label, image.split) not in now for image in before.images)
