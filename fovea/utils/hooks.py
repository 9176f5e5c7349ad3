"""``fovea.utils.hooks``: where PyTorch keeps the handle that registering a hook returns."""

from fovea.tensorbase import RemovableHandle

__all__ = ["RemovableHandle"]
