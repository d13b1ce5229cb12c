"""Scores against values worked out by hand, published values, and scikit-learn as an independent reference."""

import json
import math

import numpy as np
import pytest
from scipy.stats import beta, binom
from scipy.stats import t as student
from sklearn import metrics as reference

from transfer_core import measured, metrics
from transfer_core.metrics.intervals import on_logits
from transfer_core.metrics.report import _of_mean
from transfer_core.predictor import softmax


def one_hot(predicted, classes):
    return np.eye(classes)[predicted]


@pytest.mark.parametrize(("correct", "n", "low", "high"), [
    # Newcombe 1998, Statistics in Medicine 17, 857: Table I, method 3 (score without continuity correction).
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718),
])
def test_wilson_gives_published_values(correct, n, low, high):
    assert metrics.wilson(correct, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_a_perfect_score_is_not_certain():
    low, high = metrics.wilson(42, 42)
    assert high == 1.0
    assert low == pytest.approx(42 / (42 + 1.96**2), abs=1e-4)  # for k = n the formula becomes n / (n + z²)
    assert metrics.wilson(0, 0) == (0.0, 1.0)


def test_a_report_by_hand():
    # Truth a a a b b c; said a a b b b a. Trained mostly on b.
    labels, predicted = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0]
    found = metrics.report(labels, one_hot(predicted, 3), ["a", "b", "c"], {"a": 5, "b": 9, "c": 1})
    assert (found["n"], found["correct"], found["accuracy"]) == (6, 4, pytest.approx(4 / 6))
    assert (found["baseline_class"], found["baseline"]) == ("b", pytest.approx(2 / 6))
    assert found["confusion"] == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    # F1: a 2·2/(3+3), b 2·2/(2+3), c 0
    assert found["macro_f1"] == pytest.approx((4 / 6 + 4 / 5 + 0) / 3)
    assert found["weighted_f1"] == pytest.approx((3 * 4 / 6 + 2 * 4 / 5 + 0) / 6)
    assert found["confusions"] == [{"label": "a", "predicted": "b", "count": 1, "of": 3},
                                   {"label": "c", "predicted": "a", "count": 1, "of": 1}]
    c = found["per_class"][2]
    assert (c["precision"], c["recall"], c["f1"], c["support"]) == (None, 0, 0, 1)  # never said: no precision
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_class_without_test_images_has_no_score():
    # Truth a a b, said a c b: c has no image. Recalls 1/2 and 1; F1: a 2/(2+1), b 1.
    found = metrics.report([0, 0, 1], one_hot([0, 2, 1], 3), ["a", "b", "c"], {"a": 1, "b": 1, "c": 1})
    c = found["per_class"][2]
    assert (c["precision"], c["recall"], c["f1"], c["recall_low"], c["support"], c["predicted"]) == (None,) * 4 + (0, 1)
    assert found["balanced_accuracy"] == pytest.approx(0.75)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert (found["baseline_class"], found["baseline"]) == ("a", pytest.approx(2 / 3))  # a tie goes to what is tested most
    again = metrics.report([0, 1, 1], one_hot([0, 2, 1], 3), ["a", "b", "c"], {"a": 1, "b": 1, "c": 1})
    assert (again["baseline_class"], again["baseline"]) == ("b", pytest.approx(2 / 3))


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_scikit_learn(seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 5, 200)
    probabilities = random.dirichlet(np.ones(5), 200)
    probabilities[np.arange(200), labels] += random.random(200)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    found = metrics.report(labels, probabilities, list("abcde"), {"a": 1})
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted))
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    assert found["weighted_f1"] == pytest.approx(reference.f1_score(labels, predicted, average="weighted"))
    assert found["log_loss"] == pytest.approx(reference.log_loss(labels, probabilities))
    assert found["confusion"] == reference.confusion_matrix(labels, predicted).tolist()
    columns = ("precision", "recall", "f1", "support")
    expected = reference.precision_recall_fscore_support(labels, predicted)
    for name, values in zip(columns, expected, strict=True):
        assert [row[name] for row in found["per_class"]] == pytest.approx(list(values))


def test_the_interval_of_one_class_is_that_of_jeffreys():
    """Of the second class so many photos are known that it adds nothing: half the spread of Beta(18 + ½, 12 + ½) is left, around
    the score itself, widened by √(1 + 1/30), and by Student's quantile with 29 degrees of freedom for 1.96."""
    confusion = np.array([[18, 12], [0, 10**7]])
    low, high = metrics.intervals(confusion)["balanced_accuracy"]
    exact, wider = beta(18.5, 12.5), (1 + 1 / 30) ** 0.5 * student(29).ppf(0.975) / 1.96
    assert low == pytest.approx((18 / 30 + 1) / 2 + wider * (exact.ppf(0.025) - exact.mean()) / 2, abs=6e-3)
    assert high == pytest.approx((18 / 30 + 1) / 2 + wider * (exact.ppf(0.975) - exact.mean()) / 2, abs=6e-3)
    assert metrics.intervals(confusion) == metrics.intervals(confusion), "the same seed gives the same interval"
    assert metrics.intervals(confusion) != metrics.intervals(confusion, seed=1)


def test_a_class_of_two_photos_makes_a_balanced_accuracy_unsure():
    """Five classes of 16, 12, 6, 4 and 2 photos, each found with 70 %: the interval holds the mean, .7, as often as it says."""
    random, held = np.random.default_rng(5), 0
    for _ in range(400):
        confusion = np.zeros((5, 5), int)
        for true, size in enumerate((16, 12, 6, 4, 2)):
            confusion[true] = random.multinomial(size, [0.7 if said == true else 0.075 for said in range(5)])
        low, high = metrics.intervals(confusion, draws=500)["balanced_accuracy"]
        held += low <= 0.7 <= high
    assert 0.93 <= held / 400 <= 0.99


def test_with_many_photos_the_intervals_are_those_of_resampling_them():
    random = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], [600, 250, 150])
    predicted = np.where(random.random(1000) < 0.8, labels, random.integers(0, 3, 1000))
    slow = []
    for _ in range(1000):
        chosen = np.concatenate([random.choice(np.flatnonzero(labels == c), (labels == c).sum()) for c in range(3)])
        matrix = metrics.confusion_matrix(labels[chosen], predicted[chosen], 3)
        slow.append([metrics.macro_f1(np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)),
                     metrics.weighted_f1(np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1))])
    found = metrics.intervals(metrics.confusion_matrix(labels, predicted, 3))
    for name, values in zip(("macro_f1", "weighted_f1"), np.transpose(slow), strict=True):
        assert found[name] == pytest.approx(np.quantile(values, (0.025, 0.975)), abs=0.006)


def test_a_perfect_score_is_not_certain():
    for low, high in metrics.intervals(np.diag([20, 22])).values():
        assert 0.85 < low < 0.96 and high == 1


def test_log_loss_of_a_confident_mistake_is_finite():
    # −ln(1e-15) = 34.54; the other image costs −ln 0.5 = 0.693
    assert metrics.log_loss(np.array([0, 0]), np.array([[0.0, 1.0], [0.5, 0.5]])) == pytest.approx((34.539 + 0.693) / 2, abs=1e-3)


@pytest.mark.parametrize(("gained", "lost", "p"), [
    (6, 0, 2 / 64), (5, 0, 2 / 32), (9, 1, 22 / 1024), (8, 2, 112 / 1024), (3, 3, 1.0), (0, 0, 1.0), (19, 15, 0.6076),
])
def test_mcnemar_by_hand(gained, lost, p):
    first = [False] * gained + [True] * lost + [True] * 7
    second = [True] * gained + [False] * lost + [True] * 7
    found = metrics.mcnemar(first, second)
    assert (found["gained"], found["lost"], found["n"]) == (gained, lost, gained + lost + 7)
    assert found["p"] == pytest.approx(p, abs=5e-4)
    assert found["different"] == (p < 0.05)


def test_mcnemar_calls_equal_models_different_in_at_most_one_of_twenty_comparisons():
    """Exactly, for every number of images on which two equally good models differ: the chance of each count is binomial."""
    errors = []
    for tosses in range(1, 161):
        called = [gained for gained in range(tosses + 1)
                  if metrics.mcnemar([True] * (tosses - gained) + [False] * gained,
                                     [False] * (tosses - gained) + [True] * gained)["different"]]
        errors.append(binom.pmf(called, tosses, 0.5).sum())
    assert max(errors) < 0.05 and errors[5] == pytest.approx(2 / 2**6)
    assert np.mean(errors[60:]) > 0.03, "it is not only cautious: half of what it may err it does"


def test_mcnemar_finds_a_model_that_is_better():
    """Power, exactly: 60 images on which they differ, right on 70 % of them: found in more than four of five comparisons."""
    called = [gained for gained in range(61) if metrics.mcnemar([True] * (60 - gained) + [False] * gained,
                                                                [False] * (60 - gained) + [True] * gained)["different"]]
    assert binom.pmf(called, 60, 0.7).sum() > 0.8


def test_mcnemar_of_many_images_does_not_overflow():
    found = metrics.mcnemar([True] * 3000 + [False] * 2800, [False] * 3000 + [True] * 2800)
    assert 0.005 < found["p"] < 0.05  # z = (200 − 1) / √5800 = 2.61, p = 0.009


def test_runs_are_compared_only_on_the_same_images():
    rows = [{"sha256": str(i), "file": f"{i}.jpg", "label": "a", "predicted": "ab"[i % 2]} for i in range(8)]
    other = [{**row, "predicted": "a"} for row in reversed(rows)]
    assert metrics.compare(rows, other)["gained"] == 4
    # One image less in the second: file 7, which only the second had right.
    assert (metrics.compare(rows, other[1:])["n"], metrics.compare(rows, other[1:])["gained"]) == (7, 3)
    renamed = [{**row, "label": "c"} for row in rows]
    assert metrics.compare(rows, renamed) is None
    assert metrics.compare([], []) is None


def test_an_empty_split_is_an_error():
    with pytest.raises(ValueError, match="0 labels"):
        metrics.report([], np.zeros((0, 2)), ["a", "b"], {})


def drawn_answers(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that know something of them; rounded, so that there are ties."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(n) % classes)
    given = random.dirichlet(np.ones(classes), n)
    given[np.arange(n), labels] += random.random(n)
    return labels, np.round(given / given.sum(axis=1, keepdims=True), 2)


@pytest.mark.parametrize("seed", range(3))
def test_ranking_agrees_with_scikit_learn(seed):
    labels, given = drawn_answers(150, 4, seed)
    found = metrics.report(labels, given, list("abcd"), {})
    one_of = np.eye(4)[labels]
    assert found["auc"] == pytest.approx(reference.roc_auc_score(one_of, given, average="macro"))
    assert found["average_precision"] == pytest.approx(reference.average_precision_score(one_of, given, average="macro"))
    assert [row["auc"] for row in found["per_class"]] == pytest.approx(list(reference.roc_auc_score(one_of, given, average=None)))
    assert [row["average_precision"] for row in found["per_class"]] == pytest.approx(
        list(reference.average_precision_score(one_of, given, average=None)))


def test_with_many_photos_their_intervals_are_those_of_resampling_with_scikit_learn():
    labels, given = drawn_answers(600, 3, 5)
    random, slow = np.random.default_rng(9), []
    for _ in range(400):
        chosen = np.concatenate([random.choice(np.flatnonzero(labels == c), (labels == c).sum()) for c in range(3)])
        one_of = np.eye(3)[labels[chosen]]
        slow.append((reference.roc_auc_score(one_of, given[chosen]), reference.average_precision_score(one_of, given[chosen]),
                     metrics.log_loss(labels[chosen], given[chosen])))
    found = metrics.report(labels, given, list("abc"), {})
    for name, values in zip(("auc", "average_precision", "log_loss"), np.transpose(slow), strict=True):
        width = np.subtract(*np.quantile(values, (0.975, 0.025)))
        bounds = found[f"{name}_low"], found[f"{name}_high"]
        assert bounds == pytest.approx(np.quantile(values, (0.025, 0.975)), abs=0.15 * width)


def test_a_perfect_order_is_not_certain():
    """12 against 12 without a mistake. Score interval: at its lower end A, 1 − A = z · √V(A) with Hanley and McNeil's V."""
    found = metrics.report([0] * 12 + [1] * 12, one_hot([0] * 12 + [1] * 12, 2), ["a", "b"], {})
    low = found["auc_low"]
    assert (found["auc"], found["auc_high"]) == (1, 1) and 0.7 < low < 0.95
    variance = (low * (1 - low) + 11 * (low / (2 - low) - low**2) + 11 * (2 * low**2 / (1 + low) - low**2)) / 144
    assert 1 - low == pytest.approx(1.96 * variance**0.5, rel=1e-3)


def test_with_images_of_one_class_nothing_can_be_ordered():
    found = metrics.report([0, 0, 0], one_hot([0, 1, 0], 2), ["a", "b"], {})
    assert found["auc"] is found["auc_low"] is None
    assert metrics.nested(found)["auc"] is None


def test_calibration_error_by_hand():
    """Thirty images in fifteen bins of two: ten pairs of 0.8 with one right (|0.8 − 0.5| each), five of 0.6 with both right."""
    confidence = [0.8] * 20 + [0.6] * 10
    right = [True, False] * 10 + [True] * 10
    found = metrics.calibration(confidence, right)
    assert found["ece"] == pytest.approx((10 * 0.3 + 5 * 0.4) / 15)
    bins = metrics.reliability(confidence, right)
    assert [(each.confidence, each.accuracy, each.n) for each in bins] == [(pytest.approx(0.6), 1.0, 2)] * 5 + [
        (pytest.approx(0.8), 0.5, 2)] * 10


def test_the_floor_is_what_luck_alone_gives():
    """Answers drawn with their own confidence lie below the floor 19 times in 20, and those of a model too sure of itself not."""
    random = np.random.default_rng(0)
    below = too_sure = 0
    for seed in range(200):
        confidence = random.beta(6, 1, 150)
        found = metrics.calibration(confidence, random.random(150) < confidence, seed)
        below += found["ece"] <= found["floor"]
        too_sure += metrics.calibration(confidence, random.random(150) < confidence - 0.2, seed)["ece"] > found["floor"]
    assert 179 <= below <= 199  # 190 ± 3 standard deviations
    assert too_sure >= 190


def test_scores_nested_for_machines():
    labels, given = drawn_answers(40, 2, 1)
    found = metrics.report(labels, given, ["a", "b"], {"a": 3})
    given = metrics.nested(found)
    assert given["accuracy"] == {"value": found["accuracy"], "low": found["low"], "high": found["high"]}
    assert given["macro_f1"] == {"value": found["macro_f1"], "low": found["macro_f1_low"], "high": found["macro_f1_high"]}
    assert set(metrics.SCORES) <= set(given) and given["ece"]["floor"] == found["ece_floor"]
    assert json.loads(json.dumps(given, allow_nan=False)) == given
    named = metrics.named_only(np.array(found["confusion"]), ["a", "b"], {"a": 3})
    assert metrics.nested(named)["auc"] is metrics.nested(named)["ece"] is None and named["accuracy"] == found["accuracy"]


def test_holm_by_hand():
    # 0.01 · 4, 0.02 · 3, 0.03 · 2 (not below the one before), 0.6 · 1
    assert metrics.holm([0.03, 0.01, 0.6, 0.02]) == pytest.approx([0.06, 0.04, 0.6, 0.06])
    assert metrics.holm([]) == []


def test_the_interval_of_a_paired_difference_by_hand():
    # 9 gained, 3 lost of 50: shares 10/52 and 4/52, their difference 6/52, its standard error √((14/52 − (6/52)²) / 52)
    low, high = metrics.paired_difference(9, 3, 50)
    error = ((14 / 52 - (6 / 52) ** 2) / 52) ** 0.5
    assert (low, high) == pytest.approx((6 / 52 - 1.96 * error, 6 / 52 + 1.96 * error), abs=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9936, 0.9999, 1.0])
def test_a_score_lies_in_its_own_interval(share):
    """Near the ends the interval is made a little further inside, where the score need not be."""
    low, high = on_logits(share, 1e-4, 0.5 / 24)
    assert 0 <= low <= share <= high <= 1


# Photos that are like each other

def test_copies_are_no_evidence():
    assert metrics.evidence([7, 7, 8, 9]) == pytest.approx(16 / (4 + 1 + 1)) and metrics.evidence(range(5)) == 5
    assert metrics.evidence([1] * 40) == 1 and metrics.evidence([]) == 0


def test_each_photo_twice_gives_the_same_scores_and_no_narrower_intervals():
    labels, given = drawn_answers(80, 3, 2)
    once = metrics.report(labels, given, list("abc"), {"a": 3})
    twice = metrics.report(labels.repeat(2), given.repeat(2, axis=0), list("abc"), {"a": 3}, groups=np.arange(80).repeat(2))
    assert (twice["n"], twice["evidence"], once["evidence"]) == (160, 80, 80)
    for name in ("accuracy", "low", "high", "balanced_accuracy_low", "macro_f1_high", "weighted_f1_low", "auc", "log_loss"):
        assert twice[name] == pytest.approx(once[name]), name
    for name, off in (("auc_low", 0.01), ("auc_high", 0.01), ("average_precision_low", 0.015), ("log_loss_high", 0.01),
                      ("ece_floor", 0.02)):
        assert twice[name] == pytest.approx(once[name], abs=off), name
    for row, other in zip(twice["per_class"], once["per_class"], strict=True):
        for name in ("recall", "precision", "f1"):
            assert [row[f"{name}{end}"] for end in ("", "_low", "_high")] == pytest.approx(
                [other[f"{name}{end}"] for end in ("", "_low", "_high")])
    alone = metrics.report(labels, given, list("abc"), {"a": 3}, groups=np.arange(80) * 7)
    assert alone == once, "groups of one are no groups"


def test_copies_of_one_photo_are_one_toss_of_mcnemars_coin():
    # Three photos, each there twice, right only for the second model: 2 of 8 ways to fall, not 2 of 64.
    first, second = [False] * 6 + [True] * 4, [True] * 10
    found = metrics.mcnemar(first, second, [1, 1, 2, 2, 3, 3, 4, 5, 6, 7])
    assert found["p"] == pytest.approx(2 / 8) and not found["different"] and (found["gained"], found["lost"]) == (6, 0)
    assert metrics.mcnemar(first, second)["different"]
    # Coins that count 2, 1 and −1 sum to 2 or more, up or down, in 6 of 8 ways: not for (2, −1, −1) and (−2, 1, 1).
    assert metrics.mcnemar([False] * 3 + [True], [True] * 3 + [False], [1, 1, 2, 3])["p"] == pytest.approx(6 / 8)
    # Alike are only photos about which both agree: nothing changes.
    like = [*range(9), 8, *range(20, 30)]
    first, second = [False] * 7 + [True] * 13, [True] * 5 + [False] + [True] * 14
    assert metrics.mcnemar(first, second, like)["p"] == pytest.approx(metrics.mcnemar(first, second)["p"])


def test_mcnemar_on_copies_calls_equal_models_different_in_at_most_one_of_twenty_comparisons():
    random, sizes = np.random.default_rng(3), [1, 1, 2, 4] * 10
    groups = np.repeat(np.arange(40), sizes)
    told = taken_for_different = 0
    for _ in range(600):
        one, other = (np.repeat(random.random(40) < 0.7, sizes) for _ in range(2))
        told += metrics.mcnemar(one, other, groups)["different"]
        taken_for_different += metrics.mcnemar(one, other)["different"]
    assert told <= 0.05 * 600 + 3 * (600 * 0.05 * 0.95) ** 0.5 < taken_for_different


def test_a_comparison_knows_copies_by_their_groups_or_by_their_bytes():
    rows = [{"sha256": f"{i // 2}", "file": f"{i}.jpg", "label": "a", "predicted": "b"} for i in range(12)]
    better = [{**row, "predicted": "a"} for row in rows]
    assert metrics.compare(rows, better)["p"] == pytest.approx(2 / 2**6)
    near = [{**row, "group": i // 4} for i, row in enumerate(rows)]
    assert metrics.compare(near, better)["p"] == pytest.approx(2 / 2**3)


def test_the_interval_of_a_log_loss_knows_of_costly_mistakes_that_were_not_made():
    """A good model, forty photos: in most test sets nothing goes badly wrong. By the spread that is seen, 87 % held the truth."""
    random = np.random.default_rng(0)

    def drawn(n: int):
        labels, logits = np.arange(n) % 2, random.normal(size=(n, 2))
        logits[np.arange(n), labels] += 2.5
        given = softmax(2.5 * logits)
        return labels, given, -np.log(given[np.arange(n), labels])

    truth, held = drawn(400_000)[2].mean(), 0
    for _ in range(500):
        labels, given, losses = drawn(40)
        low, high = _of_mean(losses, labels, given)
        held += low <= truth <= high
    assert 0.93 <= held / 500 <= 0.99


def test_scores_that_came_later_are_computed_once(tmp_path, monkeypatch):
    labels, given = drawn_answers(30, 2, 4)
    found = metrics.report(labels, given, ["a", "b"], {"b": 3})
    names = ("n", "correct", "accuracy", "low", "high", "baseline", "baseline_class", "confusion", "ece")
    old = {name: found[name] for name in names}
    rows = [{"sha256": f"{i // 2}", "file": f"{i}.jpg", "label": "ab"[label], "predicted": "ab"[each.argmax()],
             "probabilities": each.tolist()} for i, (label, each) in enumerate(zip(labels, given, strict=True))]
    for name, content in (("report.json", json.dumps({"test": old})), ("classes.json", '["a", "b"]'),
                          ("predictions_test.jsonl", "\n".join(map(json.dumps, rows)))):
        (tmp_path / name).write_text(content)
    again = measured.report(tmp_path, "test")
    assert again["evidence"] == 15 and again["auc"] == found["auc"] and again["baseline_class"] == "b"
    assert again["low"] < found["low"], "fifteen photos, each twice"
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "report", None)
        assert measured.report(tmp_path, "test") == again
    (tmp_path / "predictions_test.jsonl").write_text("\n".join(map(json.dumps, rows[:20])))  # resumed, and measured again
    assert measured.report(tmp_path, "test")["n"] == 20


@pytest.mark.parametrize(("distance", "size"), [(1.0, 5), (2.5, 5), (2.5, 12)])
def test_the_areas_of_one_class_lie_in_their_intervals(distance, size):
    """Scores of a rare class and of 88 others are normal, so many standard deviations apart: AUC = Φ(d / √2)."""
    chance = np.random.default_rng(size)
    labels = np.r_[np.ones(size, int), np.zeros(88, int)]

    def drawn(truth):
        given = 1 / (1 + np.exp(-chance.normal(size=len(truth)) - distance * truth))
        return np.stack([1 - given, given], axis=1)

    many = np.repeat(labels, 4_000)
    order = np.argsort(-drawn(many)[:, 1])
    precision = (many[order].cumsum() / np.arange(1, len(many) + 1))[many[order] == 1].mean()
    area, held = 0.5 * (1 + math.erf(distance / 2)), np.zeros(2)
    for _ in range(60):
        row = metrics.report(labels, drawn(labels), ["others", "it"], {})["per_class"][1]
        held += [row["auc_low"] <= area <= row["auc_high"],
                 row["average_precision_low"] <= precision <= row["average_precision_high"]]
    assert (held >= 54).all(), held  # of 60; on average 57 and more


def test_of_two_photos_the_average_precision_may_be_anything():
    found = metrics.report([0, 0, 1, 1, 1, 1], np.array([[0.9, 0.1], [0.3, 0.7], [0.4, 0.6], [0.2, 0.8], [0.2, 0.8], [0.1, 0.9]]),
                           ["a", "b"], {})
    rare, common = found["per_class"]
    assert (rare["average_precision_low"], rare["average_precision_high"]) == (0.0, 1.0)
    assert 0 < common["average_precision_low"] < common["average_precision"] < common["average_precision_high"] <= 1
