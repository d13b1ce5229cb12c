"""Why a model answers as it does: which places of a photo speak for a class, and whether it looks at the background."""

from transfer_core.training.explain.background import background
from transfer_core.training.explain.heat import Heat, heat_of
from transfer_core.training.explain.photo import Explained, Explainer, explain

__all__ = ["Explained", "Explainer", "Heat", "background", "explain", "heat_of"]
