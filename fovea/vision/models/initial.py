"""First values that several networks share."""

from __future__ import annotations

from fovea import nn

__all__ = ["fan_out_normal", "small_normal"]


def fan_out_normal(module: nn.Module) -> None:
    """A convolution's weights normal with variance 2 / (outputs times kernel), its bias 0; for
    ``Module.apply``.

    Source: K. He, X. Zhang, S. Ren and J. Sun, "Delving Deep into Rectifiers", 2015, section 2.2.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def small_normal(module: nn.Module) -> None:
    """``fan_out_normal``; a linear layer's weights normal with deviation 0.01, its bias 0."""
    fan_out_normal(module)
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
