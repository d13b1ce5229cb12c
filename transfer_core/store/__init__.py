"""What must never be lost, in SQL: datasets and their versions, jobs, every event a job reported, and published demos."""

from transfer_core.store.database import Store
from transfer_core.store.demos import Demo
from transfer_core.store.jobs import ENDED, Job
from transfer_core.store.versions import Dataset, Version

__all__ = ["ENDED", "Dataset", "Demo", "Job", "Store", "Version"]
