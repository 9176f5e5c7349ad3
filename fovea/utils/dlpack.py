"""Memory shared with other libraries."""

from __future__ import annotations

from fovea.functions.exchange import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
