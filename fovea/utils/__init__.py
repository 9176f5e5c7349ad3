"""Tools around training: ``fovea.utils.data`` (datasets and loaders), ``fovea.utils.checkpoint``,
``fovea.utils.download`` and ``fovea.utils.tensorboard``.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = [
    "benchmark",
    "checkpoint",
    "data",
    "dlpack",
    "download",
    "hooks",
    "model_zoo",
    "tensorboard",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
