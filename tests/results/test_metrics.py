"""Scores against values worked out by hand, published values, and scikit-learn as an independent reference."""

import json

import numpy as np
import pytest
from sklearn import metrics as reference

from transfer_core import metrics


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
    assert found["baseline_class"] == "a"  # a tie goes to the first class


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


def test_the_bootstrap_agrees_with_resampling_images_one_by_one():
    random = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], [60, 25, 15])
    predicted = np.where(random.random(100) < 0.8, labels, random.integers(0, 3, 100))
    confusion = metrics.confusion_matrix(labels, predicted, 3)
    slow = []
    for _ in range(2000):
        chosen = np.concatenate([random.choice(np.flatnonzero(labels == c), (labels == c).sum()) for c in range(3)])
        matrix = metrics.confusion_matrix(labels[chosen], predicted[chosen], 3)
        slow.append(metrics.macro_f1(np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)))
    found = metrics.bootstrap(confusion)
    assert found["macro_f1"] == pytest.approx(np.quantile(slow, (0.025, 0.975)), abs=0.015)
    assert found == metrics.bootstrap(confusion), "the same seed gives the same interval"
    assert found != metrics.bootstrap(confusion, seed=1)


def test_the_bootstrap_of_a_perfect_score_is_not_certain():
    found = metrics.bootstrap(np.diag([20, 22]))
    assert found["macro_f1"] == found["balanced_accuracy"] == metrics.wilson(42, 42)


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
