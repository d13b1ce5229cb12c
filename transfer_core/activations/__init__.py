"""What frozen layers said of photos, kept on disk: shared by epochs, runs, seeds and λ values, thrown away by age."""

from transfer_core.activations.budget import budget, keep_within, make_room
from transfer_core.activations.entry import Entry, Rows, Spec
from transfer_core.activations.shelf import Shelf, Stored

__all__ = ["Entry", "Rows", "Shelf", "Spec", "Stored", "budget", "keep_within", "make_room"]
