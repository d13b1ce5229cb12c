"""What would help most: each suggestion only when its facts hold, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from transfer_core.advice import Facts, advice, facts
from transfer_core.recipe import Recipe
from transfer_core.words import languages

CLASSES = [{"label": name, "n": 100, "value": 0.9, "low": 0.83, "high": 0.95} for name in ("oak", "elm", "fir")]
FINE = Facts(verdict="level", n=300, accuracy=0.9, unsure=0.01, baseline=0.33, train_accuracy=0.95,
             validation_accuracy=0.9, validation=100, classes=CLASSES, confusions=[], mistakes=30, learns="head",
             checked={"label_errors": 0, "leaks": 0, "looked_at": 500}, better=True, folded=False)


def codes(known: Facts) -> list[str]:
    return [each.code for each in advice(known)]


def mixed(first: str, second: str, count: float) -> dict:
    return {"label": first, "predicted": second, "count": count}


def test_where_nothing_stands_out_nothing_is_said():
    assert codes(FINE) == []


def test_more_photos_only_of_a_curve_that_rises_and_of_the_classes_that_are_behind():
    rising = replace(FINE, verdict="rising")
    [told] = advice(rising)
    assert (told.code, told.page, told.why.key) == ("photos", "data", "advice.photos.why")
    weak = {"label": "yew", "n": 60, "value": 0.7, "low": 0.57, "high": 0.8}
    unsure = {"label": "ash", "n": 9, "value": 0.7, "low": 0.4, "high": 0.9}  # its interval reaches the mean
    [told] = advice(replace(rising, classes=[*CLASSES, unsure, weak]))
    assert told.why.values["names"] == "yew (70 %)"
    assert codes(replace(FINE, classes=[*CLASSES, weak])) == [], "a weak class alone does not show that photos help"


def test_a_model_that_does_not_fit_its_own_photos_is_to_learn_more():
    unfit = replace(FINE, train_accuracy=0.7, validation_accuracy=0.68)
    [told] = advice(unfit)
    assert (told.code, told.page, told.do.key) == ("unfit", "model", "advice.unfit.do")
    assert advice(replace(unfit, learns="all"))[0].do.key == "advice.unfit.do_all"
    assert codes(replace(unfit, train_accuracy=0.9, validation_accuracy=0.88)) == []
    assert codes(replace(unfit, train_accuracy=None)) == []


def test_learning_by_heart_is_a_gap_beyond_luck():
    """90 of 100 validation photos: up to 94.5 % by luck. 99.4 % of the training photos is within five points of that."""
    assert codes(replace(FINE, train_accuracy=0.994)) == []
    assert codes(replace(FINE, train_accuracy=1.0)) == ["by_heart"]
    assert codes(replace(FINE, train_accuracy=1.0, validation=20)) == [], "18 of 20 may be 97 %"
    assert codes(replace(FINE, train_accuracy=1.0, validation=0)) == []
    apart = replace(FINE, train_accuracy=0.8, validation_accuracy=0.5)
    assert codes(apart) == ["by_heart"], "never both: it does not fit, and it fits too well"
    assert advice(apart)[0].do.key == "advice.by_heart.do_head"
    assert advice(replace(apart, learns="some"))[0].do.key == "advice.by_heart.do"


def test_one_pair_that_makes_half_of_the_mistakes_in_either_direction():
    pair = [mixed("oak", "elm", 9), mixed("elm", "oak", 7), mixed("fir", "oak", 5)]
    [told] = advice(replace(FINE, confusions=pair))
    assert told.code == "pair" and told.why.values == {"first": "elm", "second": "oak", "share": "53"}
    assert codes(replace(FINE, confusions=pair, mistakes=33)) == []
    assert codes(replace(FINE, confusions=[mixed("oak", "elm", 4)], mistakes=4)) == [], "four mistakes are no pattern"
    assert codes(replace(FINE, confusions=pair, classes=CLASSES[:2])) == [], "of two classes there is only one pair"


def test_doubtful_labels_and_photos_on_both_sides():
    assert codes(replace(FINE, checked={"label_errors": 5, "leaks": 0, "looked_at": 500})) == ["label_errors"]
    assert codes(replace(FINE, checked={"label_errors": 4, "leaks": 0, "looked_at": 500})) == []
    assert codes(replace(FINE, checked={"label_errors": 0, "leaks": 1, "looked_at": 500})) == ["leaks"]
    assert codes(replace(FINE, checked={"label_errors": 0, "leaks": 0, "looked_at": 0})) == []
    assert codes(replace(FINE, checked=None)) == ["unchecked"]


def test_a_test_too_small_to_tell():
    small = replace(FINE, verdict="not_shown", n=30, unsure=0.12)
    [told] = advice(small)
    assert (told.code, told.page, told.why.values) == ("small", "folds", {"count": 30, "points": "12"})
    assert advice(replace(small, folded=True))[0].page == "data"
    assert codes(replace(small, verdict="rising")) == ["photos"], "what is shown is shown, however few the photos"
    assert codes(replace(FINE, verdict="not_shown")) == [], "large enough; there just is no difference"


def test_where_nothing_was_learned_no_setting_is_judged():
    lost = replace(FINE, verdict="not_shown", better=False, accuracy=0.36, train_accuracy=0.6, validation_accuracy=0.35,
                   confusions=[mixed("oak", "elm", 100)], mistakes=190)
    assert codes(lost) == ["chance"] and advice(lost)[0].why.values == {"baseline": "33"}


def test_their_order():
    """First what spoils all numbers, then what was shown, then what is inferred, then what nobody has looked at."""
    everything = replace(FINE, verdict="rising", train_accuracy=0.7, validation_accuracy=0.68, mistakes=16,
                         confusions=[mixed("oak", "elm", 9), mixed("elm", "oak", 7)],
                         checked={"label_errors": 50, "leaks": 2, "looked_at": 500})
    assert codes(everything) == ["label_errors", "leaks", "photos", "unfit", "pair"]
    assert codes(replace(everything, checked=None)) == ["photos", "unfit", "pair", "unchecked"]
    assert codes(replace(everything, verdict="not_shown", unsure=0.12))[2] == "small"


@pytest.mark.parametrize("language", languages())
def test_every_suggestion_can_be_said(language):
    for known in (replace(FINE, verdict="rising", train_accuracy=0.7, checked=None), replace(FINE, train_accuracy=1.0)):
        for each in advice(known):
            assert each.why.say(language) and each.do.say(language)


def test_facts_from_what_was_measured():
    found = {"verdict": "level", "n": 300, "points": [{}, {"accuracy": {"value": 0.9, "low": 0.86, "high": 0.93}}],
             "gain": {"low": 0.0, "high": 0.02}, "fit": {"train": 0.95, "validation": 0.9, "images": 100}, "baseline": 0.33,
             "per_class": CLASSES, "confusions": [], "mistakes": 30}
    checked = {"looked_at": 500, "counts": {"label_errors": 0, "leaks": 0, "odd": 3}}
    assert facts(found, Recipe(dataset="d"), checked, None) == FINE
    for settings, learns in (({"freeze": 2}, "some"), ({"freeze": 0}, "all"), ({"freeze": 0, "tuning": "lora"}, "some"),
                             ({"positions": {"a": "train"}}, "some"), ({"freeze": 0, "positions": {"a": "freeze"}}, "some")):
        assert facts(found, Recipe(dataset="d", **settings), None, None).learns == learns
    few = {**found, "points": [{"accuracy": {"value": 0.5, "low": 0.3, "high": 0.7}}]}
    folded = {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}, "baseline": 0.33}
    assert not facts(few, Recipe(dataset="d"), None, None).better
    told = facts(few, Recipe(dataset="d"), None, folded)
    assert told.better and told.folded, "many photos may show what few could not"
