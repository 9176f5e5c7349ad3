"""What a user may choose about kernels; `fovea.backends.cpu` is where users do."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OPTIONS", "Options"]


@dataclass
class Options:
    """The choices of this process. Plans depend on them: `targets.forget_plans` after a change.

    Args:
        winograd: compute float32 3 x 3 convolutions and their gradients in Winograd form where that
            is faster.
    """

    winograd: bool = True


OPTIONS = Options()
