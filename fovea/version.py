"""The version of this package."""

from __future__ import annotations

from typing import Final

__version__ = "0.1.0"

# As `torch.version` says it of a build without these.
cuda: Final[str | None] = None
hip: Final[str | None] = None
xpu: Final[str | None] = None
git_version: Final[str | None] = None
debug: Final = False
