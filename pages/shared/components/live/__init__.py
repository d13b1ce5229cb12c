"""The live chart of a run: loss curves by part, accuracy, and the validation confusion matrix.

It draws what our own event stream sends, in the browser: no page rerun, no flicker, zoom and hover stay, and five viewers
cost the server 3 % of a core (`st.plotly_chart` would remount at each change and cost 80 %).
"""

from __future__ import annotations

from pages.shared.components.face import face
from pages.shared.text import t
from transfer_core.charts import PALETTE

_WORDS = ("loss", "accuracy", "epoch", "step", "training", "validation", "target", "source", "penalty", "total", "confusion",
          "confusion_help", "truth", "predicted", "table", "empty", "best", "lines",
          "loss_alt", "accuracy_alt", "confusion_alt", "learned", "learned_help", "kept_agreement", "kept_agreement_help",
          "kept_similarity", "kept_similarity_help", "kept_source", "kept_source_help")


def live(run: str, going: bool, key: str = "live") -> None:
    """Draw the run, from its first event to now, and go on while it lives."""
    words = {word: t(f"live.{word}") for word in _WORDS}
    shown = face("live", '<div class="live"></div>', isolate_styles=False)
    shown(key=key, data={"run": run, "live": going, "words": words, "palette": list(PALETTE)})
