"""The transforms where torchvision has them: ``transforms.transforms.Compose``."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(importlib.import_module("fovea.vision.transforms"), name)


def __dir__() -> list[str]:
    return sorted(importlib.import_module("fovea.vision.transforms").__all__)
