"""How many operations a case takes: two for each multiply-add of convolutions and matrix products.

In the direct form, whatever a contestant does: Winograd's convolutions do with fewer.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from bench.cases import Case
from bench.nets import NETS

__all__ = ["operations", "per_image"]


def operations(case: Case) -> float:
    """Operations of a training step, or of a call of inference."""
    forward, first = per_image(case.net, case.size)
    if case.mode == "infer":
        return case.batch * forward
    # Backward: as many for weights and for inputs; the image itself needs no gradient.
    return case.batch * (3 * forward - first)


@cache
def per_image(name: str, size: int) -> tuple[float, float]:
    """Operations of a forward pass on one image, and those of its first layer among them."""
    import fovea
    from bench.nets.models import build

    net = NETS[name]
    model = build(net, size, "fovea").eval()
    counts: list[float] = []
    for module in model.modules():
        kinds = [c.__name__ for c in type(module).__mro__]
        count = next((_COUNTS[kind] for kind in kinds if kind in _COUNTS), None)
        if count is not None:
            module.register_forward_hook(
                lambda m, x, y, count=count: counts.append(2.0 * count(m, x, y))
            )
    with fovea.no_grad():
        model(fovea.zeros(1, net.channels, size, size))
    return sum(counts), counts[0]


def _conv(module: Any, x: Any, y: Any) -> int:
    return int(y.numel() * module.weight[0].numel())


def _conv_transpose(module: Any, x: Any, y: Any) -> int:
    return int(x[0].numel() * module.weight[0].numel())


def _linear(module: Any, x: Any, y: Any) -> int:
    return int(y.numel() * module.in_features)


def _attention(module: Any, x: Any, y: Any) -> int:
    """Projections, products with keys, products with values; the output's layer counts itself."""
    n, length, features = x[0].shape
    return int(n * length * features * (3 * features + 2 * length))


_COUNTS = {
    "Conv2d": _conv,
    "ConvTranspose2d": _conv_transpose,
    "Linear": _linear,
    "MultiheadAttention": _attention,
}
