"""Feature pyramids: maps of several sizes, each told what the coarser ones see."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import fovea.nn.functional as F
from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.ops.misc import Conv2dNormActivation

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ExtraFPNBlock", "FeaturePyramidNetwork", "LastLevelMaxPool", "LastLevelP6P7"]

Maps = list[Any]


class ExtraFPNBlock(nn.Module):
    """Adds coarser maps behind a pyramid: ``forward(results, x, names)`` returns both lists."""

    def forward(self, results: Maps, x: Maps, names: list[str]) -> tuple[Maps, list[str]]:
        raise NotImplementedError(f"{type(self).__name__} must define forward().")


class FeaturePyramidNetwork(nn.Module):
    """Maps of a backbone to maps of ``out_channels`` channels: each is added to the coarser one
    enlarged.

    Args:
        in_channels_list: channels of the maps, from the finest to the coarsest.
        out_channels: of every result.
        extra_blocks: an `ExtraFPNBlock` for further maps.
        norm_layer: makes a normalization behind each convolution; None: none, and a bias instead.

    Takes and returns an ordered dictionary of maps (N, C, H, W).

    Source: Lin et al., "Feature pyramid networks for object detection", CVPR 2017.

    >>> import fovea
    >>> fpn = FeaturePyramidNetwork([4, 8], 6)
    >>> maps = fpn({"0": fovea.rand(1, 4, 8, 8), "1": fovea.rand(1, 8, 4, 4)})
    >>> [tuple(m.shape) for m in maps.values()]
    [(1, 6, 8, 8), (1, 6, 4, 4)]
    """

    def __init__(
        self,
        in_channels_list: list[int],
        out_channels: int,
        extra_blocks: ExtraFPNBlock | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.inner_blocks, self.layer_blocks = nn.ModuleList(), nn.ModuleList()
        for channels in in_channels_list:
            if channels == 0:
                raise ArgumentError("FeaturePyramidNetwork: a map of 0 channels is no map.")
            self.inner_blocks.append(_convolution(channels, out_channels, 1, norm_layer))
            self.layer_blocks.append(_convolution(out_channels, out_channels, 3, norm_layer))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if extra_blocks is not None and not isinstance(extra_blocks, ExtraFPNBlock):
            raise ArgumentError("FeaturePyramidNetwork: extra_blocks must be an ExtraFPNBlock.")
        self.extra_blocks = extra_blocks

    def forward(self, x: dict[str, Tensor]) -> OrderedDict[str, Tensor]:
        names, maps = list(x), list(x.values())
        coarse = self.inner_blocks[-1](maps[-1])
        results = [self.layer_blocks[-1](coarse)]
        for i in range(len(maps) - 2, -1, -1):
            lateral = self.inner_blocks[i](maps[i])
            coarse = lateral + F.interpolate(coarse, size=lateral.shape[-2:], mode="nearest")
            results.insert(0, self.layer_blocks[i](coarse))
        if self.extra_blocks is not None:
            results, names = self.extra_blocks(results, maps, names)
        return OrderedDict(zip(names, results, strict=True))


def _convolution(
    channels: int, out_channels: int, kernel: int, norm: Callable[..., nn.Module] | None
) -> nn.Module:
    return Conv2dNormActivation(
        channels,
        out_channels,
        kernel_size=kernel,
        padding=kernel // 2,
        norm_layer=norm,
        activation_layer=None,
    )


class LastLevelMaxPool(ExtraFPNBlock):
    """One more map, ``"pool"``: every other pixel of the coarsest."""

    def forward(self, results: Maps, x: Maps, names: list[str]) -> tuple[Maps, list[str]]:
        pooled = F.max_pool2d(results[-1], kernel_size=1, stride=2, padding=0)
        return [*results, pooled], [*names, "pool"]


class LastLevelP6P7(ExtraFPNBlock):
    """Two more maps, ``"p6"`` and ``"p7"``, by convolutions of stride 2, as in RetinaNet.

    They start from the pyramid's last map if ``in_channels`` and ``out_channels`` are equal, else
    from the backbone's.

    Source: Lin et al., "Focal loss for dense object detection", ICCV 2017.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.p6 = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, 2, 1)
        for module in (self.p6, self.p7):
            nn.init.kaiming_uniform_(module.weight, a=1)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        self.use_P5 = in_channels == out_channels

    def forward(self, results: Maps, x: Maps, names: list[str]) -> tuple[Maps, list[str]]:
        p6 = self.p6(results[-1] if self.use_P5 else x[-1])
        p7 = self.p7(F.relu(p6))
        return [*results, p6, p7], [*names, "p6", "p7"]
