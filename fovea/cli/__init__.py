"""The ``fovea`` command: train, evaluate, predict, info.

A file a command; what a command needs is imported when it runs, so that ``fovea --help`` is quick.
"""

from __future__ import annotations

from fovea.cli.main import main

__all__ = ["main"]
