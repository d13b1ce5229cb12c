"""Choosing λ from several trainings, or a mixture of before and after: what is hopeless, and what to take. Nothing needs torch.

Both are judged on validation images, since they are chosen by them; the test images are asked once, about the one that is taken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from transfer_core.errors import BadRecipe
from transfer_core.events import Swept
from transfer_core.metrics import paired_error, unpacked, wilson
from transfer_core.recipe import Recipe
from transfer_core.regularizers import REGULARIZERS
from transfer_core.words import Message, message

SOURCE_GRID = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
"""λ of the source–target form; the last is all but plain fine-tuning."""
OMEGA_STEPS = (0.0, 0.01, 0.1, 1.0, 10.0, 100.0)
"""λ_Ω as multiples of what is taken when Ω is chosen, up to the end of its slider."""
HOPELESS = 2.0
"""Standard errors (see `Tried.behind`) behind the best, after which a λ gets no further training."""


def setting_of(recipe: Recipe) -> str | None:
    """The λ a sweep varies: that of the source loss, else that of the regularizer; None where there is neither."""
    if recipe.source_loss:
        return "lambda_target"
    return "lambda_omega" if recipe.regularizer else None


def grid(recipe: Recipe) -> list[float]:
    """Values to try where a person names none."""
    if setting_of(recipe) == "lambda_target":
        return list(SOURCE_GRID)
    facts = REGULARIZERS[recipe.regularizer].facts
    return [facts["default"] * step for step in OMEGA_STEPS if facts["default"] * step <= facts["top"]]


def check(recipe: Recipe, values: Sequence[float]) -> list[float]:
    """The values in order, each once. Raises `BadRecipe` where there is no λ to vary, or a value it cannot have."""
    setting = setting_of(recipe)
    if setting is None:
        raise BadRecipe("nothing_to_sweep")
    if not values:
        raise BadRecipe("bad_setting", setting="lambda", given="", reason="0,0.1,1,10")
    return sorted({getattr(recipe.but(**{setting: value}), setting) for value in values})


def numbers(text: str) -> list[float]:
    """`0, 0.1, 1` as numbers; commas of either kind, semicolons and blanks part them. Raises `ValueError`."""
    return [float(part) for part in re.split(r"[\s,;，、；]+", text) if part]


@dataclass(frozen=True)
class Tried:
    """One λ over the seeds it was tried with, or one mixture."""

    value: float
    """λ, or α."""
    accuracy: float
    kept: float | None
    seeds: int
    n: int
    """Validation images."""
    kept_n: int = 0
    """Images of which `kept` is a share; 0 where it is none (a mean similarity) or that is not known."""
    right: np.ndarray | None = field(default=None, repr=False, compare=False)
    """Of each of them, the share of seeds that named it rightly. Unknown of what was measured before this was noted."""

    @property
    def error(self) -> float:
        """Standard error of the accuracy over images like these. More seeds do not make more images."""
        return math.sqrt(max(self.accuracy * (1 - self.accuracy), 0.25 / max(self.n, 1)) / max(self.n, 1))

    @property
    def learned_interval(self) -> tuple[float, float]:
        """95 %, for images like these (Wilson)."""
        return wilson(round(self.accuracy * self.n), self.n)

    @property
    def kept_interval(self) -> tuple[float, float] | None:
        """The same of what was kept; None where it is no share of images."""
        return wilson(round(self.kept * self.kept_n), self.kept_n) if self.kept is not None and self.kept_n else None

    def behind(self, best: Tried) -> tuple[float, float]:
        """How much less it learned than `best`, and the standard error of that. Image by image where that is known: both have
        seen the same images, and what is hard for both says nothing of their difference."""
        if self.right is None or best.right is None or len(self.right) != len(best.right):
            return best.accuracy - self.accuracy, best.error
        return best.accuracy - self.accuracy, paired_error(best.right - self.right)


def tried(points: Sequence[Swept]) -> list[Tried]:
    """Means over the seeds, by λ."""
    found = []
    for value in sorted({point.value for point in points}):
        same = [point for point in points if point.value == value]
        kept = [point.kept for point in same if point.kept is not None]
        found.append(Tried(value, fmean(point.accuracy for point in same), fmean(kept) if kept else None, len(same), same[0].n,
                           same[0].kept_images if same[0].kept_is_share else 0,
                           _right([point.right for point in same], same[0].n)))
    return found


def _right(each: Sequence[str | None], n: int) -> np.ndarray | None:
    return None if None in each else np.mean([unpacked(bits, n) for bits in each], axis=0)


def best_of(value: float, points: Sequence[Swept]) -> Swept:
    """The training of this λ that learned most."""
    return max((point for point in points if point.value == value), key=lambda point: point.accuracy)


def hopeless(points: Sequence[Swept]) -> set[float]:
    """Values that learn so much less than the best that no more seeds are spent on them. The best is never among them."""
    known = tried(points)
    if not known:
        return set()
    best = max(known, key=lambda each: each.accuracy)
    return {each.value for each in known if _lags(each, best, HOPELESS)}


def _lags(each: Tried, best: Tried, errors: float) -> bool:
    gap, error = each.behind(best)
    return gap > errors * error


def choose(known: Sequence[Tried]) -> tuple[Tried, Tried, bool]:
    """The one that keeps most among those as good as the best; the best; whether that is alone.

    The one-standard-error rule (Breiman et al. 1984, §3.4.3), leaning towards what keeps more. The error is that of the
    difference, which is smaller than that of one score (docs/decisions.md says what the latter cost).
    """
    best = max(known, key=lambda each: (each.accuracy, each.kept or 0.0))
    as_good = [each for each in known if not _lags(each, best, 1.0)]
    chosen = max(as_good, key=lambda each: (each.kept if each.kept is not None else -1.0, each.accuracy))
    return chosen, best, len(as_good) == 1


def told_apart(points: Sequence[Swept]) -> bool:
    """Whether any λ differs from the recommended one by more than luck, in what it learned or in what it kept (interval beside
    interval). Where none does, the recommendation is a guess, and more images are what helps."""
    known = tried(points)
    chosen, *_ = choose(known)
    return any(_apart(each.learned_interval, chosen.learned_interval) or _apart(each.kept_interval, chosen.kept_interval)
               for each in known)


def _apart(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    return one is not None and other is not None and (one[1] < other[0] or other[1] < one[0])


def recommend(points: Sequence[Swept]) -> tuple[Tried, Message] | None:
    """The λ to take (see `choose`), and why in words. None without any point."""
    known = tried(points)
    if not known:
        return None
    chosen, best, alone = choose(known)
    facts = {"value": f"{chosen.value:g}", "accuracy": f"{100 * chosen.accuracy:.0f}", "n": chosen.n, "seeds": chosen.seeds}
    if chosen.kept is None:
        return chosen, message("sweep.why_learns", **facts)
    facts["kept"] = f"{100 * chosen.kept:.0f}"
    if alone or chosen.value == best.value:
        return chosen, message("sweep.why_best", **facts)
    return chosen, message("sweep.why_keeps", **facts, best=f"{100 * best.accuracy:.0f}", best_value=f"{best.value:g}",
                           best_kept=f"{100 * (best.kept or 0):.0f}", error=f"{100 * chosen.behind(best)[1]:.0f}")


def mixtures(found: Mapping[str, Any]) -> list[Tried]:
    """The points of what `blend` found, from the start to the trained model."""
    kept = found["kept"] or [None] * len(found["alpha"])
    right = [_right([bits], found["n"]) for bits in found.get("right") or [None] * len(found["alpha"])]
    return [Tried(alpha, learned, keeps, 1, found["n"], right=each)
            for alpha, learned, keeps, each in zip(found["alpha"], found["accuracy"], kept, right, strict=True)]


def recommend_mixture(found: Mapping[str, Any]) -> tuple[Tried, Message]:
    """The mixture to take (see `choose`), and why in words."""
    chosen, best, _ = choose(mixtures(found))
    facts = {"share": f"{100 * chosen.value:.0f}", "accuracy": f"{100 * chosen.accuracy:.0f}", "n": chosen.n}
    if chosen.kept is None and chosen.value in (0, 1):
        return chosen, message("mixture.why_learns_start" if chosen.value == 0 else "mixture.why_learns_trained", **facts)
    if chosen.kept is None:
        return chosen, message("mixture.why_learns", **facts)
    facts["kept"] = f"{100 * chosen.kept:.0f}"
    if chosen.value == 0 and chosen.accuracy >= best.accuracy:
        return chosen, message("mixture.why_start", **facts)
    if chosen.value == 0:
        return chosen, message("mixture.why_start_near", **facts, best=f"{100 * best.accuracy:.0f}")
    if chosen.value == 1:
        return chosen, message("mixture.why_trained", **facts)
    if chosen.accuracy >= best.accuracy:
        return chosen, message("mixture.why_best", **facts)
    return chosen, message("mixture.why_keeps", **facts, best=f"{100 * best.accuracy:.0f}", best_share=f"{100 * best.value:.0f}",
                           best_kept=f"{100 * (best.kept or 0):.0f}", error=f"{100 * chosen.behind(best)[1]:.0f}")
