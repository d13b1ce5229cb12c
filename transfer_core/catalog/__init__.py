"""What is known of every timm model without importing torch: facts, search, suggestions, and where weights are."""

from transfer_core.catalog.models import WHOLE, GroupInfo, ModelInfo, model, models, timm_version, undescribed
from transfer_core.catalog.search import families, licences, search
from transfer_core.catalog.suggestions import Suggestion, suggested
from transfer_core.catalog.weights import PACKAGED, weights_at

__all__ = [
    "PACKAGED",
    "WHOLE",
    "GroupInfo",
    "ModelInfo",
    "Suggestion",
    "families",
    "licences",
    "model",
    "models",
    "search",
    "suggested",
    "timm_version",
    "undescribed",
    "weights_at",
]
