"""What a run's own model finds alike: the training photos nearest to a photo, and all photos of its dataset as a map."""

from transfer_core.training.similar.mapping import photo_map
from transfer_core.training.similar.near import nearest

__all__ = ["nearest", "photo_map"]
