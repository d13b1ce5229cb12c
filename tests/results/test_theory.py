"""The Learn page's formulas against numbers found another way: a fine grid, exact counting, plain addition."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from transfer_core.theory import lowest, luckiest, passes, shares


@pytest.mark.parametrize("value", [0.0, 0.01, 1.0, 3.0, 100.0])
def test_the_two_shares_sum_to_one_and_stand_as_lambda_says(value):
    source, target = shares(value)
    assert source + target == pytest.approx(1) and target == pytest.approx(value * source)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize(("best", "towards"), [(3.0, 0.0), (3.0, 1.0), (-2.0, 1.0), (1.0, 1.0)])
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0, 2.5, 50.0])
@pytest.mark.parametrize("curvature", [1.0, 4.0])
def test_the_closed_form_is_where_a_grid_finds_the_minimum(absolute, best, towards, value, curvature):
    grid = np.linspace(-4, 4, 80_001)
    omega = np.abs(grid - towards) if absolute else (grid - towards) ** 2 / 2
    loss = curvature * (grid - best) ** 2 / 2 + value * omega
    assert lowest(best, towards, value, absolute=absolute, curvature=curvature) == pytest.approx(grid[loss.argmin()], abs=1e-4)


def test_the_limits_are_those_the_page_names():
    for absolute in (False, True):
        assert lowest(3, 1, 0, absolute=absolute) == 3
        assert lowest(3, 1, 1e12, absolute=absolute) == pytest.approx(1, abs=1e-9)
    assert lowest(3, 1, 2, absolute=True) == 1.0 == lowest(3, 1, 2.5, absolute=True)  # exactly, from 2 on
    assert lowest(3, 1, 2, absolute=False) != 1.0


def test_storing_what_is_frozen_by_hand():
    """100 images, 10 epochs, 90 % frozen: 1,000 passes, or 90 once and 10 in each epoch."""
    assert passes(100, 10, 0.9) == pytest.approx((1000, 190))
    assert passes(100, 10, 0.9, views=4) == pytest.approx((1000, 460))
    assert passes(100, 10, 0.0) == pytest.approx((1000, 1000))


@pytest.mark.parametrize(("tries", "n", "share"), [(1, 5, 0.3), (2, 3, 0.5), (3, 4, 0.8), (4, 2, 0.9)])
def test_the_best_of_several_by_counting_every_outcome(tries, n, share):
    def chance(right: int) -> float:
        return len([1 for bits in product((0, 1), repeat=n) if sum(bits) == right]) * share**right * (1 - share) ** (n - right)

    expected = sum(max(rights) * np.prod([chance(right) for right in rights])
                   for rights in product(range(n + 1), repeat=tries)) / n
    assert luckiest(tries, n, share) == pytest.approx(expected)


def test_luck_has_its_limits():
    assert luckiest(1, 50, 0.8) == pytest.approx(0.8)
    assert luckiest(20, 50, 0.8) > luckiest(5, 50, 0.8) > luckiest(5, 5000, 0.8) > 0.8
    assert luckiest(20, 50, 1.0) == 1.0 and luckiest(20, 50, 0.0) == 0.0 and luckiest(3, 0, 0.7) == 0.7
    assert 0.8 < luckiest(3, 100_000, 0.8) < 0.81
