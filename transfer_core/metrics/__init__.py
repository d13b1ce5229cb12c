"""Scores with their uncertainty, from labels and probabilities. Pure numpy; no model, no file.

Every score of a small test set is a guess at what the model would score on all such images; each comes with the number of
images it rests on and a 95 % interval. A class without a single image in the split has no score (None), not zero.
"""

from transfer_core.metrics.calibration import Reliability, best_temperature, calibration, reliability
from transfer_core.metrics.comparing import (
    compare,
    groups_of,
    holm,
    mcnemar,
    packed,
    paired_difference,
    paired_error,
    paired_gain,
    unpacked,
)
from transfer_core.metrics.counts import (
    balanced_accuracy,
    confusion_matrix,
    intervals,
    macro_f1,
    top_confusions,
    usual_answer,
    weighted_f1,
)
from transfer_core.metrics.intervals import RESAMPLES, Z, evidence, f1_interval, wilson
from transfer_core.metrics.ranking import Ranking, Tradeoff, orders, ranked, tradeoff
from transfer_core.metrics.report import SCORES, log_loss, named_only, nested, report
from transfer_core.metrics.unknown import none_below, strangers

__all__ = [
    "RESAMPLES",
    "SCORES",
    "Ranking",
    "Reliability",
    "Tradeoff",
    "Z",
    "balanced_accuracy",
    "best_temperature",
    "calibration",
    "compare",
    "confusion_matrix",
    "evidence",
    "f1_interval",
    "groups_of",
    "holm",
    "intervals",
    "log_loss",
    "macro_f1",
    "mcnemar",
    "named_only",
    "nested",
    "none_below",
    "orders",
    "packed",
    "paired_difference",
    "paired_error",
    "paired_gain",
    "ranked",
    "reliability",
    "report",
    "strangers",
    "top_confusions",
    "tradeoff",
    "unpacked",
    "usual_answer",
    "weighted_f1",
    "wilson",
]
