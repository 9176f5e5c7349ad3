"""What convolutions are to the kernels: correlations of images with weights.

The gradient to the data is itself a correlation, of the output's gradient with the weights turned
around. Where the convolution strides, input pixels fall into phases (even and odd rows and columns
for stride 2), each of which meets only some of the taps, at stride 1: one correlation a phase.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.packing import Order
from fovea.targets.cpu.views import View

__all__ = [
    "ConvParams",
    "Correlation",
    "band_source",
    "forward_correlation",
    "input_grad_correlations",
    "pooled",
    "source_of",
]

Pair = tuple[int, int]


@dataclass(frozen=True)
class ConvParams:
    """A convolution's parameters: padding is (top, bottom, left, right)."""

    stride: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def output_size(self, size: Pair, kernel: Pair) -> Pair:
        """Height and width of the result.

        >>> ConvParams(stride=(2, 2), padding=(1, 1, 1, 1)).output_size((56, 56), (3, 3))
        (28, 28)
        """
        top, bottom, left, right = self.padding
        (height, width), (r, s) = size, kernel
        reach = self.dilation[0] * (r - 1) + 1, self.dilation[1] * (s - 1) + 1
        return (
            (height + top + bottom - reach[0]) // self.stride[0] + 1,
            (width + left + right - reach[1]) // self.stride[1] + 1,
        )


@dataclass(frozen=True)
class Correlation:
    """y[n, h, w, g, o] = sum over r, s, c of x[n, i, j, g, c] * w[g, o, c, r, s].

    There i = h * stride + origin + r * step, and j likewise. `x` and `y` are (N, C, H, W) views
    over all groups; x is zero outside its image. `grid` is the part of y that is written: every
    `spacing`-th pixel from `y_offset` on. Weight strides are by group, output, channel, row and
    column. `depthwise`: see `widened`; `mixed`: see `interleaved`. A pixel of y is the largest of a
    `window` of results, whose input pixels lie `window_step` apart.
    """

    x: View
    y: View
    groups: int
    channels: int
    outputs: int
    grid: Pair
    spacing: Pair
    y_offset: int
    taps: Pair
    stride: Pair
    step: Pair
    origin: Pair
    weight_strides: tuple[int, int, int, int, int]
    weight_offset: int
    depthwise: bool = False
    window: Pair = (1, 1)
    window_step: Pair = (1, 1)
    mixed: int = 1

    @property
    def contracted(self) -> int:
        """How many channels each output channel sees."""
        return self.mixed if self.depthwise else self.channels

    @property
    def flops(self) -> int:
        pixels = self.x.shape[0] * self.grid[0] * self.grid[1] * self.window[0] * self.window[1]
        products = self.groups * self.outputs * self.contracted * self.taps[0] * self.taps[1]
        return 2 * pixels * products

    def widened(self) -> Correlation:
        """Many groups of one channel as one group, computed channel by channel."""
        if self.groups == 1 or self.channels > 1 or self.outputs > 1:
            return self
        of_group, _, _, of_row, of_column = self.weight_strides
        return replace(
            self, groups=1, channels=self.groups, outputs=self.groups, depthwise=True,
            weight_strides=(0, of_group, 0, of_row, of_column),
        )  # fmt: skip

    def interleaved(self, lanes: int) -> Correlation:
        """Many groups of a few channels as one group, if vectors of so many lanes hold whole
        groups: each output channel sees those of its group, which lie in the same vector.

        Eight channels fill half a vector by themselves, and spreading them takes longer than four,
        so that it pays only where the convolution strides.
        """
        few, outputs = self.channels, self.outputs
        of_group, of_output, of_channel, of_row, of_column = self.weight_strides
        whole = few == outputs and 1 < few < lanes and lanes % few == 0 and self.window == (1, 1)
        pays = few <= 4 or self.stride[1] > 1
        if not whole or not pays or self.groups * few < lanes or of_group != few * of_output:
            return self
        return replace(
            self, groups=1, channels=self.groups * few, outputs=self.groups * few, depthwise=True,
            mixed=few, weight_strides=(0, of_output, of_channel, of_row, of_column),
        )  # fmt: skip

    @property
    def reach(self) -> Pair:
        """How far behind the first input pixel that a pixel of y needs the last one lies."""
        of_taps = (max(n - 1, 0) * step for n, step in zip(self.taps, self.step, strict=True))
        of_window = ((n - 1) * s for n, s in zip(self.window, self.window_step, strict=True))
        down, across = (a + b for a, b in zip(of_taps, of_window, strict=True))
        return down, across

    @property
    def inside(self) -> bool:
        """Whether no tap ever falls outside the image."""
        return all(
            origin >= 0 and (n - 1) * stride + origin + reach < size
            for origin, n, stride, reach, size in zip(
                self.origin, self.grid, self.stride, self.reach, self.x.shape[2:], strict=True
            )
        )


def pooled(c: Correlation, y: View, kernel: Pair, stride: Pair) -> Correlation:
    """The correlation of which y has the largest of each window of results."""
    down, across = (s * t for s, t in zip(stride, c.stride, strict=True))
    return replace(
        c, y=y, grid=(y.shape[2], y.shape[3]), stride=(down, across), window=kernel,
        window_step=c.stride,
    )  # fmt: skip


def forward_correlation(x: View, weight: View, y: View, p: ConvParams) -> Correlation:
    """The correlation that a convolution is."""
    outputs, channels, *taps = weight.shape
    of_output, of_channel, of_row, of_column = weight.strides
    per_group = outputs // p.groups
    return Correlation(
        x, y, p.groups, channels, per_group, (y.shape[2], y.shape[3]), (1, 1), 0,
        (taps[0], taps[1]), p.stride, p.dilation, (-p.padding[0], -p.padding[2]),
        (per_group * of_output, of_output, of_channel, of_row, of_column), 0,
    )  # fmt: skip


@dataclass(frozen=True)
class _Phase:
    """Of input positions start, start + stride, ... (one dimension): the taps that reach them, and
    from where.
    """

    start: int
    count: int
    taps: int
    first_tap: int
    tap_step: int
    origin: int
    step: int


def _phases(size: int, taps: int, stride: int, padding: int, dilation: int) -> list[_Phase]:
    """The phases that any tap reaches.

    Input position i meets tap r from output (i + padding - r * dilation) / stride, where that is
    whole.
    """
    meeting: dict[int, list[int]] = {}
    for r in range(taps):
        meeting.setdefault((r * dilation - padding) % stride, []).append(r)
    tap_step = stride // gcd(stride, dilation)
    step = max(tap_step * dilation // stride, 1)
    phases = []
    for start, met in sorted(meeting.items()):
        if start < size:
            # Later taps come from earlier outputs: go through them backwards.
            origin = (start + padding - met[-1] * dilation) // stride
            count = -(-(size - start) // stride)
            phases.append(_Phase(start, count, len(met), met[-1], tap_step, origin, step))
    return phases


def input_grad_correlations(gy: View, weight: View, gx: View, p: ConvParams) -> list[Correlation]:
    """The correlations, one a phase, that make up the gradient to the data (elsewhere it is 0)."""
    outputs, channels, r, s = weight.shape
    of_output, of_channel, of_row, of_column = weight.strides
    per_group = outputs // p.groups
    down = _phases(gx.shape[2], r, p.stride[0], p.padding[0], p.dilation[0])
    across = _phases(gx.shape[3], s, p.stride[1], p.padding[2], p.dilation[1])
    return [
        Correlation(
            gy, gx, p.groups, per_group, channels, (v.count, h.count), p.stride,
            v.start * gx.strides[2] + h.start * gx.strides[3], (v.taps, h.taps),
            (1, 1), (v.step, h.step), (v.origin, h.origin),
            (
                per_group * of_output, of_channel, of_output,
                -v.tap_step * of_row, -h.tap_step * of_column,
            ),
            v.first_tap * of_row + h.first_tap * of_column,
        )
        for v in down
        for h in across
    ]  # fmt: skip


def source_of(c: Correlation, compute: Element) -> str:
    """How a kernel that computes with these elements reads the images: in place where nothing needs
    changing, else by way of a band.
    """
    dense = c.x.strides[1] == 1 or c.channels == 1
    return "direct" if c.x.element is compute and dense and c.inside else band_source(c, compute)


def band_source(c: Correlation, compute: Element) -> str:
    """How images are copied into a band: whole rows where they lie so ("dense"), else an Order's
    value.
    """
    _, channel, _, column = c.x.strides
    if (channel == 1 or c.channels == 1) and c.groups == 1 and column == c.channels:
        return "dense"
    return Order.of(column, channel, c.x.shape[3], c.channels).value
