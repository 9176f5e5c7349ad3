"""Where PyTorch keeps the inside of its loaders, and programs import some of it from."""

from fovea.utils.data._utils import collate

__all__ = ["collate"]
