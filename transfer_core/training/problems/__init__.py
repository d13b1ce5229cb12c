"""What is wrong with a dataset: copies on both sides, wrong labels, odd photos, poor photos. Nothing is changed."""

from transfer_core.training.problems.finding import find_problems

__all__ = ["find_problems"]
