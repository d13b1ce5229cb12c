"""A first model of a dataset, before anybody chose anything: the default model's features and the best head for them."""

from transfer_core.training.instant.first_model import guess

__all__ = ["guess"]
