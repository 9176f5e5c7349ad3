"""Layouts of weights, which are the engine's business here."""

from __future__ import annotations

from typing import Any, TypeVar

from fovea.nn.module import Module

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]

M = TypeVar("M", bound=Module)


def convert_conv2d_weight_memory_format(module: M, memory_format: Any) -> M:
    """The module itself: images are channels-last in memory whatever is asked for."""
    return module


def convert_conv3d_weight_memory_format(module: M, memory_format: Any) -> M:
    """The module itself: volumes are channels-last in memory whatever is asked for."""
    return module
