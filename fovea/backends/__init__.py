"""Choices about how ops are computed: ``fovea.backends.cpu``."""

from __future__ import annotations

from fovea.backends import cpu

__all__ = ["cpu"]
