"""Pooling beyond PyTorch's: several kinds together, generalized means, without aliasing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import fovea.nn.functional as F
from fovea import dtypes, nn
from fovea.errors import ArgumentError
from fovea.functions.creation import full, tensor
from fovea.functions.joining import cat
from fovea.vision.layers.helpers import same_size

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "AdaptiveAvgMaxPool2d",
    "AdaptiveCatAvgMaxPool2d",
    "BlurPool2d",
    "GeMPool2d",
    "SelectAdaptivePool2d",
]

_Size = int | tuple[int, int]


class AdaptiveAvgMaxPool2d(nn.Module):
    """y = (mean + maximum) / 2 of each part of an image

    Args:
        output_size: how many parts, a number or (H, W).

    Shapes:
        (N, C, H, W) to (N, C, *output_size).

    >>> import fovea
    >>> AdaptiveAvgMaxPool2d()(fovea.tensor([[[[1.0, 3.0]]]])).item()
    2.5
    """

    def __init__(self, output_size: _Size = 1) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        mean = F.adaptive_avg_pool2d(x, self.output_size)
        return 0.5 * (mean + F.adaptive_max_pool2d(x, self.output_size))


class AdaptiveCatAvgMaxPool2d(nn.Module):
    """y = mean and maximum of each part of an image, one after the other in the channels

    Args:
        output_size: how many parts, a number or (H, W).

    Shapes:
        (N, C, H, W) to (N, 2 C, *output_size).

    >>> import fovea
    >>> AdaptiveCatAvgMaxPool2d()(fovea.tensor([[[[1.0, 3.0]]]])).flatten().tolist()
    [2.0, 3.0]
    """

    def __init__(self, output_size: _Size = 1) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        mean = F.adaptive_avg_pool2d(x, self.output_size)
        return cat([mean, F.adaptive_max_pool2d(x, self.output_size)], 1)


_POOLS = {
    "avg": nn.AdaptiveAvgPool2d,
    "max": nn.AdaptiveMaxPool2d,
    "avgmax": AdaptiveAvgMaxPool2d,
    "catavgmax": AdaptiveCatAvgMaxPool2d,
}


class SelectAdaptivePool2d(nn.Module):
    """Pooling to a given size by the name of its kind

    Args:
        output_size: how many parts, a number or (H, W).
        pool_type: ``"avg"``, ``"max"``, ``"avgmax"``, ``"catavgmax"``, or ``""`` for none;
            ``"fast"`` in front of a name, and alone for ``"avg"``, is taken, too.
        flatten: (N, C, 1, 1) becomes (N, C).
        input_fmt: ``"NCHW"`` or ``"NHWC"``.

    Raises:
        ArgumentError: another kind or form.

    >>> import fovea
    >>> SelectAdaptivePool2d(pool_type="catavgmax", flatten=True)(fovea.ones(2, 3, 4, 4)).shape
    fovea.Size([2, 6])
    """

    def __init__(
        self,
        output_size: _Size = 1,
        pool_type: str = "fast",
        flatten: bool = False,
        input_fmt: str = "NCHW",
    ) -> None:
        super().__init__()
        if input_fmt not in ("NCHW", "NHWC"):
            raise ArgumentError(f"SelectAdaptivePool2d: input_fmt is NCHW or NHWC: {input_fmt!r}.")
        self.pool_type, self.input_fmt = (pool_type or "").lower(), input_fmt
        kind = self.pool_type.removeprefix("fast") or ("avg" if self.pool_type else "")
        if kind and kind not in _POOLS:
            raise ArgumentError(
                f"SelectAdaptivePool2d: pool_type is one of {', '.join(_POOLS)}; got {pool_type!r}."
            )
        if output_size != 1 and (self.pool_type.startswith("fast") or input_fmt != "NCHW"):
            raise ArgumentError(
                f"SelectAdaptivePool2d: {pool_type!r} of {input_fmt} makes one number a channel, "
                f"not {output_size}.",
                fix=f"pool_type={kind!r}, input_fmt='NCHW'",
            )
        self.pool = _POOLS[kind](output_size) if kind else nn.Identity()
        self.flatten = nn.Flatten(1) if flatten else nn.Identity()

    def is_identity(self) -> bool:
        """Whether nothing is pooled."""
        return not self.pool_type

    def feat_mult(self) -> int:
        """Channels of the result, a channel of x."""
        return 2 if self.pool_type.endswith("catavgmax") else 1

    def forward(self, x: Tensor) -> Any:
        if self.is_identity() or self.input_fmt == "NCHW":
            return self.flatten(self.pool(x))
        pooled = self.pool(x.permute(0, 3, 1, 2))
        flat = not isinstance(self.flatten, nn.Identity)
        return self.flatten(pooled) if flat else pooled.permute(0, 2, 3, 1)

    def extra_repr(self) -> str:
        return f"pool_type={self.pool_type}"


class GeMPool2d(nn.Module):
    """y = mean(max(x, eps)^p)^(1 / p) of each channel, a mean that p makes a maximum as it grows

    Args:
        p: the power at first; learned.
        eps: the least value of x.
        flatten: (N, C) instead of (N, C, 1, 1).

    Shapes:
        (N, C, H, W) to (N, C, 1, 1) or (N, C).

    Parameters:
        p: (1,).

    Source: Radenović et al., "Fine-tuning CNN image retrieval with no human annotation", TPAMI
    2019.

    >>> import fovea
    >>> GeMPool2d(p=1.0, flatten=True)(fovea.tensor([[[[1.0, 3.0]]]])).tolist()
    [[2.0]]
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6, flatten: bool = False) -> None:
        super().__init__()
        self.p = nn.Parameter(full((1,), p))
        self.eps, self.flatten = eps, flatten

    def forward(self, x: Tensor) -> Tensor:
        mean = (x.clamp(min=self.eps) ** self.p).mean((2, 3), keepdim=not self.flatten)
        return mean ** (1.0 / self.p)


class BlurPool2d(nn.Module):
    """y = x blurred by binomial weights, every ``stride``-th pixel of it

    Args:
        channels: of x; None for any.
        filt_size: pixels of the blur.
        stride: by which an image gets smaller.
        pad_mode: how images go on beyond their borders, as of ``F.pad``.

    Shapes:
        (N, C, H, W) to (N, C, about H / stride, about W / stride).

    Source: Zhang, "Making convolutional networks shift-invariant again", ICML 2019.

    >>> import fovea
    >>> BlurPool2d(2)(fovea.ones(1, 2, 4, 4)).tolist()
    [[[[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]]]
    """

    filt: Tensor

    def __init__(
        self,
        channels: int | None = None,
        filt_size: int = 3,
        stride: int = 2,
        pad_mode: str = "reflect",
    ) -> None:
        super().__init__()
        if filt_size < 2:
            raise ArgumentError(f"BlurPool2d: filt_size of {filt_size} does not blur; at least 2.")
        self.channels, self.filt_size, self.stride, self.pad_mode = (
            channels, filt_size, stride, pad_mode,
        )  # fmt: skip
        self.padding = [same_size(filt_size, stride)[0]] * 4
        n = filt_size - 1
        weights = [[math.comb(n, i) * math.comb(n, j) / 4**n for j in range(n + 1)]
                   for i in range(n + 1)]  # fmt: skip
        filt = tensor(weights, dtype=dtypes.float32).reshape(1, 1, filt_size, filt_size)
        self.register_buffer("filt", filt.repeat(channels or 1, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, self.padding, mode=self.pad_mode)
        channels = x.shape[1]
        filt = self.filt if self.channels is not None else self.filt.expand(channels, -1, -1, -1)
        return F.conv2d(x, filt, stride=self.stride, groups=channels)
