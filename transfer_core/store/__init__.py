"""What must never be lost, in SQL: datasets and their versions, jobs, and every event a job reported."""

from transfer_core.store.database import Store
from transfer_core.store.jobs import ENDED, Job
from transfer_core.store.versions import Dataset, Version

__all__ = ["ENDED", "Dataset", "Job", "Store", "Version"]
