"""Computer vision: ``datasets``, ``transforms``, ``models``, ``ops``, ``io`` under torchvision's
names; ``layers`` under timm's; ``losses``.

Pillow (``pip install "fovea[vision]"``) is needed for image files and PIL images, and only when one
is met.
"""

from __future__ import annotations

import importlib
from typing import Any

from fovea.errors import ArgumentError
from fovea.version import __version__

__all__ = [
    "__version__",
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
_PACKAGES = frozenset(__all__) - {"__version__"}


def get_image_backend() -> str:
    """``"PIL"``: what reads images of folders.

    >>> get_image_backend()
    'PIL'
    """
    return "PIL"


def set_image_backend(backend: str) -> None:
    """Accepts ``"PIL"``.

    Raises:
        ArgumentError: another.
    """
    if backend != "PIL":
        raise ArgumentError(f"set_image_backend: images are read by 'PIL', got {backend!r}.")


def disable_beta_transforms_warning() -> None:
    """Nothing to switch off."""


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
