"""The last step of a convolution's gradient to its weights: partial sums are added up in order and
laid out as the weights are.

Partial sums lie as [chunk][group][tap][channel block][output][lane].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import Element, u8
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.packing import transpose
from fovea.targets.cpu.program import KernelCall
from fovea.targets.cpu.values import Index, Value
from fovea.targets.cpu.views import View

SIZES = (
    "groups", "outputs", "channels", "taps", "blocks", "vectors", "output_stride",
    "chunks", "chunk_stride", "scratch_stride",
)  # fmt: skip
STRIDED_SIZES = (
    *SIZES, "taps_h", "taps_w", "tap_row", "tap_column",
    "w_group", "w_output", "w_channel", "w_row", "w_column",
)  # fmt: skip


@dataclass(frozen=True)
class Sums:
    """Partial sums of one weight gradient.

    Args:
        gw: (O, I, kh, kw), what they become; its `outputs` are of one of `groups`.
        compute: what they are.
        width: lanes of a channel block.
        blocks: channel blocks of a tap.
        padded: outputs of a group that there is room for.
        chunks: how many there are of each; without any, the result is zero.
        merged: the taps of a row count as one, with more channels.
    """

    gw: View
    compute: Element
    groups: int
    width: int
    blocks: int
    padded: int
    chunks: int
    merged: bool = False

    @property
    def vectors(self) -> int:
        """Channel blocks of all taps."""
        taps_h, taps_w = self.gw.shape[2:]
        return taps_h * (1 if self.merged else taps_w) * self.blocks

    @property
    def size(self) -> int:
        """Numbers of one partial sum, of all groups."""
        return self.groups * self.vectors * self.padded * self.width

    @property
    def thread_bytes(self) -> int:
        """Scratch bytes that each thread needs for the call."""
        return self.vectors * self.width * self.compute.bytes

    def call(self, buffers: tuple[int, int, int], scratch_stride: int) -> KernelCall:
        """The call on partial sums, result and thread scratch."""
        outputs, channels, taps_h, taps_w = self.gw.shape
        per_group, of_tap = outputs // self.groups, self.blocks * self.width
        words: tuple[int, ...] = (
            self.groups, per_group, channels, taps_h * taps_w, self.blocks, self.vectors,
            self.padded * self.width, self.chunks, self.size, scratch_stride,
        )  # fmt: skip
        form = self._form
        if form == "strided":
            tap_columns = 1 if self.merged else taps_w
            w_output, *strides = self.gw.strides
            words += (taps_h, taps_w, tap_columns * of_tap, channels if self.merged else of_tap)
            words += (per_group * w_output, w_output, *strides)
        key = f"conv_weight_grad_sum/{form}/{self.gw.element}/{self.compute}/{self.width}"
        build = partial(sum_kernel, form, self.gw.element, self.compute, self.width)
        return KernelCall(load_cached(key, build), buffers, words, self.gw.size > 16384)

    @property
    def _form(self) -> str:
        dense = self.gw.strides == View.dense(self.gw.shape, self.gw.dtype).strides
        lanes = min(active().lanes(self.compute.bytes), self.width)
        if not self.chunks or self.merged or not dense or self.gw.shape[1] % lanes:
            return "strided"
        return "single" if self.gw.shape[2:] == (1, 1) else "rows"


def sum_kernel(form: str, kind: Element, compute: Element, width: int) -> Kernel:
    """The weights' gradient from partial sums.

    `form`: how the weights lie. "single": (O, I) row-major, one tap; "rows": (O, I, taps)
    row-major; "strided": anyhow.
    """
    sizes = STRIDED_SIZES if form == "strided" else SIZES
    buffers = (("partial", compute), ("w", kind), ("scratch", u8))
    k = Kernel("conv_weight_grad_sum", buffers, sizes)
    sums, w, scratch = k.buffers
    s = SimpleNamespace(**dict(zip(sizes, k.sizes, strict=True)))
    lanes = min(k.isa.lanes(compute.bytes), width)
    with k.parallel(s.groups * s.outputs) as piece:
        group, output = piece // s.outputs, piece % s.outputs
        source = sums.at(group * (s.vectors * s.output_stride) + output * width)
        if form == "strided":
            own = scratch.at(k.tid * s.scratch_stride).view(compute)
            _scatter(k, s, source, own, w.at(group * s.w_group + output * s.w_output), width, lanes)
        else:
            target = w.at(piece * (s.channels * s.taps))
            with k.loop(0, s.channels, lanes) as channel:
                block = source.at(channel // width * s.output_stride + channel % width)
                into = target.at(channel * s.taps)
                if form == "single":
                    k.store(_sum(k, s, block, lanes), into)
                else:
                    _taps(k, s, block, into, lanes)
    return k


def _sum(k: Kernel, s: SimpleNamespace, source: Buffer, lanes: int) -> Value:
    """A vector of all chunks' sum."""
    total = k.var(k.load(source, 0, lanes))
    with k.loop(1, s.chunks) as chunk:
        total.set(total.get() + k.load(source, chunk * s.chunk_stride, lanes))
    return total.get()


def _taps(k: Kernel, s: SimpleNamespace, source: Buffer, target: Buffer, lanes: int) -> None:
    """Store all taps of a vector of channels, so that the taps of each channel are neighbors."""
    of_tap, count = s.blocks * s.output_stride, min(lanes, 8)
    full = s.taps // count * count
    with k.loop(0, full, count) as tap:
        sums = [_sum(k, s, source.at((tap + i) * of_tap), lanes) for i in range(count)]
        store_rows(k, sums, target.at(tap), s.taps)
    with k.loop(full, s.taps) as tap:
        total = _sum(k, s, source.at(tap * of_tap), lanes)
        for i in range(lanes):
            k.store(k.extract(total, i), target, tap + s.taps * i)


def store_rows(k: Kernel, vectors: Sequence[Value], target: Buffer, stride: Index) -> None:
    """target[lane * stride + i] = lane of vectors[i]; there are 8 vectors, or as many as lanes."""
    n = len(vectors)
    for first in range(0, vectors[0].lanes, n):
        part = [k.shuffle(v, None, range(first, first + n)) for v in vectors]
        for i, line in enumerate(transpose(k, part)):
            k.store(line, target, stride * (first + i))


def _scatter(
    k: Kernel, s: SimpleNamespace, source: Buffer, own: Buffer, target: Buffer, width: int,
    lanes: int,
) -> None:  # fmt: skip
    """One by one, by way of the thread's scratch memory; without chunks, zeros."""
    with k.loop(0, s.vectors) as number:
        for at in range(0, width, lanes):
            total = k.var(k.const(0.0, source.element, lanes))
            with k.loop(0, s.chunks) as chunk:
                place = number * s.output_stride + chunk * s.chunk_stride + at
                total.set(total.get() + k.load(source, place, lanes))
            k.store(total.get(), own, number * width + at)
    with k.loop(0, s.channels) as c, k.loop(0, s.taps_h) as r, k.loop(0, s.taps_w) as t:
        value = k.load(own, r * s.tap_row + t * s.tap_column + c)
        k.store(value, target, c * s.w_channel + r * s.w_row + t * s.w_column)
