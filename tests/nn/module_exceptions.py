"""Where fovea.nn does not do what PyTorch's table of modules asks, and why. Keep this list short."""

from __future__ import annotations

# Modules of ``module_db`` (or ``name:check``) that are left out.
EXCEPTIONS: dict[str, str] = {}

# Modules of ``module_db`` that fovea does not have.
ABSENT = frozenset(
    [
        "nn.LazyConv1d",
        "nn.LazyConv2d",
        "nn.LazyConv3d",
        "nn.LazyConvTranspose1d",
        "nn.LazyConvTranspose2d",
        "nn.LazyConvTranspose3d",
        "nn.LinearCrossEntropyLoss",
    ]
)
