"""The one door to Pillow, an optional library."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

from fovea.errors import MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["is_pil_image", "require_pillow"]


def require_pillow(purpose: str) -> Any:
    """The module ``PIL.Image``.

    Raises:
        MissingExtraError: Pillow is not installed; ``purpose`` says what it was wanted for.
    """
    try:
        import PIL.Image
    except ImportError:
        raise MissingExtraError(
            f"{purpose} needs Pillow, which is not installed.", fix='pip install "fovea[vision]"'
        ) from None
    return PIL.Image


def is_pil_image(value: object) -> TypeGuard[Image]:
    """Whether ``value`` is a PIL image (false without an import if Pillow was never loaded)."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)
