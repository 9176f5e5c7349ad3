"""Names that well-known programs for CIFAR give the layers of ResNets."""

from __future__ import annotations

import re

from fovea.vision.models.naming import Naming

__all__ = ["NAMINGS"]


def _block(found: re.Match[str]) -> str:
    """A block's convolutions, normalizations and activations in one list."""
    place = int(found[3])
    kind = "bn" if place % 3 else "conv"
    return f"layer{int(found[1]) - 1}.{found[2]}.{kind}{place // 3 + 1}."


NAMINGS: dict[str, tuple[Naming, ...]] = {
    "CifarResNet": (
        # Shortcuts and the last layer as in torchvision's larger networks.
        Naming(
            "fc.weight",
            (
                (r"(layer\d)\.(\d+)\.downsample\.", r"\1.\2.shortcut."),
                (r"fc\.", "linear."),
            ),
        ),
    ),
    "ResNet": (
        # Shortcuts and the last layer as in the small networks.
        Naming(
            "linear.weight",
            (
                (r"(layer\d)\.(\d+)\.shortcut\.", r"\1.\2.downsample."),
                (r"linear\.", "fc."),
            ),
        ),
        Naming(
            "conv2_x.0.residual_function.0.weight",
            (
                (r"conv1\.0\.", "conv1."),
                (r"conv1\.1\.", "bn1."),
                (r"conv(\d)_x\.(\d+)\.residual_function\.(\d)\.", _block),
                (
                    r"conv(\d)_x\.(\d+)\.shortcut\.",
                    lambda m: f"layer{int(m[1]) - 1}.{m[2]}.downsample.",
                ),
            ),
        ),
    ),
}
