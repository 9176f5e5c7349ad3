"""Convolutions and their gradients, fovea's and PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["convolution"]


def convolution(
    torch: Any,
    ours: bool,
    direction: str,
    n: int,
    size: int,
    cin: int,
    cout: int,
    k: int,
    stride: int,
) -> Callable[[], Any]:
    """A channels-last convolution: ``forward``, or its gradient to ``data`` or ``weight``."""
    pad = k // 2
    x, w = torch.randn(n, cin, size, size), torch.randn(cout, cin, k, k)
    x, w = (t.contiguous(memory_format=torch.channels_last) for t in (x, w))
    y = torch.nn.functional.conv2d(x, w, None, stride, pad)
    gy = torch.ones_like(y).contiguous(memory_format=torch.channels_last)
    if direction == "forward":
        return _quietly(torch, lambda: torch.nn.functional.conv2d(x, w, None, stride, pad))
    if ours:
        return _quietly(torch, _our_gradient(direction, x, w, gy, stride, pad))
    mask = (direction == "data", direction == "weight", False)
    args = ([0], [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1, mask)
    return _quietly(torch, lambda: torch.ops.aten.convolution_backward(gy, x, w, *args))


def _our_gradient(
    direction: str, x: Any, w: Any, gy: Any, stride: int, pad: int
) -> Callable[[], Any]:
    from fovea.ops import conv

    common = {
        "stride": (stride, stride), "padding": (pad,) * 4, "dilation": (1, 1), "groups": 1,
    }  # fmt: skip
    if direction == "data":
        size = tuple(x.shape[2:])
        return lambda: conv.conv2d_input_grad(gy, w, **common, input_size=size)
    kernel = tuple(w.shape[2:])
    return lambda: conv.conv2d_weight_grad(gy, x, **common, kernel=kernel)


def _quietly(torch: Any, run: Callable[[], Any]) -> Callable[[], Any]:
    def quiet() -> None:
        with torch.no_grad():
            run()

    return quiet
