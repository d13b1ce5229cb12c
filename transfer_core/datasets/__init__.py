"""Datasets: from what a person drops into the browser to labelled, checked, split images; and every later change of them."""

from transfer_core.datasets.editing import (
    delete_class,
    delete_images,
    keep_together,
    merge_classes,
    move_images,
    rename_class,
    restore_version,
)
from transfer_core.datasets.entries import Entries, Entry, Refused, read_entries
from transfer_core.datasets.importing import import_dataset
from transfer_core.datasets.manifest import SPLITS, Image, Manifest, Split
from transfer_core.datasets.plan import understand
from transfer_core.datasets.understanding import Answers, Question, Understanding

__all__ = [
    "SPLITS", "Answers", "Entries", "Entry", "Image", "Manifest", "Question", "Refused", "Split", "Understanding",
    "delete_class", "delete_images", "import_dataset", "keep_together", "merge_classes", "move_images", "read_entries",
    "rename_class", "restore_version", "understand",
]
