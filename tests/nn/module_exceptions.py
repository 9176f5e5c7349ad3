"""Where fovea.nn does not do what PyTorch's table of modules asks, and why. Keep this list short."""

from __future__ import annotations

# Modules of ``module_db`` (or ``name:check``) that are left out.
EXCEPTIONS: dict[str, str] = {}

# Modules of ``module_db`` that fovea does not have.
ABSENT: frozenset[str] = frozenset()
