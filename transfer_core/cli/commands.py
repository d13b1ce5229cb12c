"""All commands, gathered: importing a module registers its commands."""

from __future__ import annotations

from transfer_core.cli import cache, data, guess, results, runs, serve, sweep
from transfer_core.cli.command import app

__all__ = ["app", "cache", "data", "guess", "results", "runs", "serve", "sweep"]
