"""Computer vision: ``datasets``, ``transforms``, ``models``, ``ops``, ``io`` under torchvision's
names; ``layers`` under timm's; ``losses``.

Pillow (``pip install "fovea[vision]"``) is needed for image files and PIL images, and only when one
is met.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = [
    "datasets",
    "explain",
    "io",
    "layers",
    "losses",
    "models",
    "ops",
    "plots",
    "rle",
    "transforms",
    "tv_tensors",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
