"""What would help most? From what was measured of a recipe to suggestions, each with its reason and the next step.

A suggestion is made only when its facts hold. What rests on a comparison that was made (a curve that rises) stands before what is
inferred (a model that does not fit), and what would spoil every other number (wrong labels, too few test photos) before both.
Nothing is said about the percentages: how sure a model is, is put right after every training, and takes no photos.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from transfer_core.metrics import wilson
from transfer_core.recipe import Recipe
from transfer_core.words import Message, message

DOUBTED = 0.01
"""Share of the photos whose labels are doubted, from which on that comes first: two doubts in five are mistaken (cleanlab on
clothing, docs/decisions.md), and fewer wrong labels move no score by what can be seen."""
SMALL = 0.05
"""Half of the width of the gain's interval from which on the test says too little: what helps, mostly helps by less (doubling the
photos of ants and bees gained 3 points, then 1)."""
UNFIT = 0.9
"""Right answers on the training photos themselves below which a model does not even fit what it was shown."""
GAP = 0.05
"""By how much training photos are named better than new ones, beyond what luck with so many validation photos explains, before
it is called learning by heart: less is found in every training."""
PAIR, PAIR_LEAST = 0.5, 5
"""A pair of classes is the trouble when it makes up half of all mistakes, and of at least so many."""
LISTED = 3
"""Classes that are named; more would be all of them."""

Page = Literal["data", "problems", "model", "folds"]


@dataclass(frozen=True)
class Facts:
    verdict: Literal["rising", "level", "not_shown"]
    n: int
    """Images that were measured on."""
    accuracy: float
    unsure: float
    """By how much the gain of the last step of the curve is uncertain, up or down."""
    baseline: float
    train_accuracy: float | None
    validation_accuracy: float | None
    validation: int
    classes: Sequence[Mapping[str, Any]]
    """`{"label", "n", "value", "low", "high"}`: recall of each."""
    confusions: Sequence[Mapping[str, Any]]
    """`{"label", "predicted", "count"}`, the commonest first."""
    mistakes: float
    learns: Literal["head", "some", "all"]
    """What of the model changes."""
    checked: Mapping[str, int] | None
    """What the dataset check counted: `{"label_errors", "leaks", "looked_at"}`; None where it was not made."""
    better: bool
    """Whether it is shown to do better than always naming the largest class: here, or by a cross-validation."""
    folded: bool
    """Whether there is a cross-validation already."""


@dataclass(frozen=True)
class Advice:
    code: str
    why: Message
    do: Message
    page: Page
    """Where it is done."""


def facts(found: Mapping[str, Any], recipe: Recipe, checked: Mapping[str, Any] | None,
          folded: Mapping[str, Any] | None) -> Facts:
    """From what a learning curve found (`jobs.learning_curve.summary`), and the results of the dataset check and of a
    cross-validation, if there are any."""
    score, fit = found["points"][-1]["accuracy"], found["fit"]
    better = score["low"] > found["baseline"] or bool(folded and folded["accuracy"]["low"] > folded["baseline"])
    counts = None if checked is None else {"looked_at": checked["looked_at"], **{
        name: checked["counts"].get(name, 0) for name in ("label_errors", "leaks")}}
    positions = set(recipe.positions.values())
    head_only = recipe.freeze == "all" and positions <= {"freeze"}
    everything = recipe.freeze == 0 and "freeze" not in positions and recipe.tuning == "all"
    return Facts(found["verdict"], found["n"], score["value"], (found["gain"]["high"] - found["gain"]["low"]) / 2,
                 found["baseline"], fit["train"], fit["validation"], fit["images"], found["per_class"], found["confusions"],
                 found["mistakes"], "head" if head_only else "all" if everything else "some", counts, better, bool(folded))


def advice(known: Facts) -> list[Advice]:
    """What to do, what helps most first. Empty where nothing can be said."""
    return [each for rule in _RULES for each in rule(known)]


def _chance(known: Facts) -> bool:
    return not known.better


def _small(known: Facts) -> bool:
    return known.verdict == "not_shown" and known.unsure > SMALL


def _wrong_labels(known: Facts) -> Iterator[Advice]:
    """Wrong labels are learned and measured by alike, and photos on both sides flatter every score."""
    if known.checked is None:
        return
    doubted, alike = known.checked["label_errors"], known.checked["leaks"]
    if doubted and doubted >= DOUBTED * known.checked["looked_at"]:
        why = message("advice.label_errors.why", count=doubted)
        yield Advice("label_errors", why, message("advice.label_errors.do"), "problems")
    if alike:
        yield Advice("leaks", message("advice.leaks.why", count=alike), message("advice.leaks.do"), "problems")


def _too_small_a_test(known: Facts) -> Iterator[Advice]:
    if _small(known):
        why = message("advice.small.why", count=known.n, points=_percent(known.unsure))
        yield Advice("small", why, message("advice.small.do" if known.folded else "advice.small.do_fold"),
                     "data" if known.folded else "folds")


def _nothing_learned(known: Facts) -> Iterator[Advice]:
    """Where nothing is shown to have been learned, no setting can be judged by what it gains."""
    if _chance(known):
        why = message("advice.chance.why", baseline=_percent(known.baseline))
        yield Advice("chance", why, message("advice.chance.do"), "data")


def _more_photos(known: Facts) -> Iterator[Advice]:
    if known.verdict != "rising":
        return
    weak = sorted((row for row in known.classes if row["high"] < known.accuracy), key=lambda row: row["value"])[:LISTED]
    if weak:
        names = ", ".join(f"{row['label']} ({_percent(row['value'])} %)" for row in weak)
        yield Advice("photos", message("advice.photos.why_weak", names=names, accuracy=_percent(known.accuracy)),
                     message("advice.photos.do"), "data")
    else:
        yield Advice("photos", message("advice.photos.why"), message("advice.photos.do"), "data")


def _by_heart(known: Facts) -> bool:
    if known.train_accuracy is None or known.validation_accuracy is None or not known.validation:
        return False
    _, high = wilson(known.validation_accuracy * known.validation, known.validation)
    return known.train_accuracy - high > GAP


def _unfit(known: Facts) -> Iterator[Advice]:
    """The training photos are counted while they are learned, and varied: a little too low, so the limit is low as well."""
    if _chance(known) or _by_heart(known) or known.train_accuracy is None or known.train_accuracy >= UNFIT:
        return
    yield Advice("unfit", message("advice.unfit.why", train=_percent(known.train_accuracy)),
                 message("advice.unfit.do_all" if known.learns == "all" else "advice.unfit.do"), "model")


def _overfit(known: Facts) -> Iterator[Advice]:
    if _by_heart(known) and not _chance(known):
        why = message("advice.by_heart.why", train=_percent(known.train_accuracy), validation=_percent(known.validation_accuracy))
        yield Advice("by_heart", why, message("advice.by_heart.do_head" if known.learns == "head" else "advice.by_heart.do"),
                     "model")


def _one_pair(known: Facts) -> Iterator[Advice]:
    """Of two classes, every mistake is between the two: that says nothing."""
    if len(known.classes) < 3 or _chance(known):
        return
    pairs: dict[tuple[str, ...], float] = {}
    for row in known.confusions:
        pair = tuple(sorted((row["label"], row["predicted"])))
        pairs[pair] = pairs.get(pair, 0) + row["count"]
    pair, count = max(pairs.items(), key=lambda entry: entry[1], default=((), 0))
    if count >= PAIR_LEAST and count >= PAIR * known.mistakes:
        yield Advice("pair", message("advice.pair.why", first=pair[0], second=pair[1], share=_percent(count / known.mistakes)),
                     message("advice.pair.do"), "data")


def _unchecked(known: Facts) -> Iterator[Advice]:
    if known.checked is None:
        yield Advice("unchecked", message("advice.unchecked.why"), message("advice.unchecked.do"), "problems")


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


_RULES = (_wrong_labels, _too_small_a_test, _nothing_learned, _more_photos, _unfit, _overfit, _one_pair, _unchecked)
"""In this order."""
