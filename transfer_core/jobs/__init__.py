"""Work that outlives a page: a job is claimed by a worker process, reports events, and survives the web server."""

from transfer_core.jobs.devices import devices
from transfer_core.jobs.run import StopAsked, run_job
from transfer_core.jobs.supervisor import Supervisor
from transfer_core.jobs.tasks import TASKS

__all__ = ["TASKS", "StopAsked", "Supervisor", "devices", "run_job"]
