"""All commands, gathered: importing a module registers its commands."""

from __future__ import annotations

from transfer_core.cli import (
    artifacts,
    averages,
    backup,
    cache,
    check,
    crossvalidate,
    data,
    doctor,
    environment,
    evaluation,
    explaining,
    guess,
    learning_curve,
    people,
    publishing,
    report,
    results,
    runs,
    serve,
    similar,
    sweep,
)
from transfer_core.cli.command import app

__all__ = ["app", "artifacts", "averages", "backup", "cache", "check", "crossvalidate", "data", "doctor", "environment",
           "evaluation", "explaining", "guess", "learning_curve", "people", "publishing", "report", "results", "runs", "serve",
           "similar", "sweep"]
