"""Kernel and lowering of the gradient of reading images at places between their pixels.

An image is one piece: its gradient is set to zero, and then each place adds to the pixels that it
read, in the order of places, so that the result is the same for any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fovea.ops import sampling as ops
from fovea.ops.op import Op, Spec, contiguous_strides, numel
from fovea.ops.rules import channels_last_strides
from fovea.targets.base import Plan
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.channels import fill_zero
from fovea.targets.cpu.elements import element, i64
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.sampling import LONGEST
from fovea.targets.cpu.sampling_kernels import Sample, SampleKernel, Table, Tap
from fovea.targets.cpu.stages import Stages, worth_sharing
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.values import Index, Value
from fovea.targets.reference import reference_plan

__all__: list[str] = []


class _Gradient(Sample):
    """Builds the kernel: places are read as `Sample` reads them."""

    def __init__(self, v: SampleKernel) -> None:
        self.v = v
        compute = v.element.compute
        self.k = k = Kernel(
            f"sample_grad_{v.mode}",
            [("gy", v.element), ("x", v.element), ("places", v.places), ("gx", v.element),
             ("gplaces", v.places), ("numbers", compute)],
            ("images", "pixels", "channels", "height", "width", "x_image", "x_row", "x_column"),
        )  # fmt: skip
        (images, pixels, self.channels, self.height, self.width, size, self.x_row,
         self.x_column) = k.sizes  # fmt: skip
        gy, x, self.places, gx, gplaces, numbers = k.buffers
        taps = 1 if v.mode == "nearest" else 4
        self.table = Table(k, taps, k.lanes(v.places), compute)
        self.parts = [k.scratch(compute, self.table.size) for _ in range(2)]
        self.lanes = 1 << (v.channels - 1).bit_length() if v.channels else k.lanes(v.element)
        with k.parallel(images) as image:
            self.numbers = [k.load(numbers, n) for n in range(3)]
            source, into = x.at(image * size), gx.at(image * size)
            fill_zero(k, into, 0, size)
            with k.loop(0, pixels, self.table.size, unroll=1) as start:
                count = k.index(k.smaller(pixels - start, self.table.size))
                base = image * pixels + start
                for number in range(self.table.size // self.table.lanes):
                    self._fill_table(self.places.at(base * 2), count, number)
                with k.loop(0, count, unroll=1) as i:
                    at = base + i
                    self._add(gy.at(at * self.channels), source, into, gplaces.at(at * 2), i)

    def _note(self, rows: list[Tap], columns: list[Tap], first: Index) -> None:
        """How far places lie from the first of two rows and columns."""
        for taps, kept in zip((rows, columns), self.parts, strict=True):
            part = taps[-1].share
            if part is not None:
                self.k.store(self.k.cast(part, self.v.element.compute), kept, first)

    def _add(self, gy: Buffer, source: Buffer, into: Buffer, to: Buffer, i: Value) -> None:
        """One pixel of the result: its part of both gradients."""
        k, table, kind = self.k, self.table, self.v.element.compute
        bits = k.load(table.inside, i) if self.v.outside == "constant" else None
        dots = []
        for number, offsets in enumerate(table.offsets):
            offset = k.cast(k.load(offsets, i), i64)
            share = None if self.v.mode == "nearest" else k.load(table.shares[number], i)
            pixel = source.at(offset), into.at(offset)
            if bits is None:
                dots.append(self._tap_of(gy, *pixel, share))
                continue
            dot = k.var(k.const(0, kind), kind)
            with k.if_else((bits & (1 << number)).ne(0)) as (within, outside):
                with within:
                    dot.set(self._tap_of(gy, *pixel, share))
                with outside:
                    if share is not None:
                        dot.set(self.numbers[0] * self._sum(gy))
            dots.append(dot.get())
        slopes = [k.const(0, kind)] * 2
        if len(dots) == 4:
            down, across = (k.load(kept, i) for kept in self.parts)
            slopes = [
                (dots[1] - dots[0]) * (1.0 - down) + (dots[3] - dots[2]) * down,
                (dots[2] - dots[0]) * (1.0 - across) + (dots[3] - dots[1]) * across,
            ]
        for d in range(2):
            moved = slopes[d] * self.numbers[1 + d]
            k.store(k.cast(moved, self.v.places), to, d)

    def _vectors(self, body: Any) -> None:
        """Call ``body(first channel, how many of the lanes)``."""
        k, few = self.k, self.v.channels
        if few:
            body(0, None if self.lanes == few else few)
            return
        with k.loop(0, self.channels, self.lanes, unroll=1) as c:
            body(c, k.index(k.smaller(self.channels - c, self.lanes)))

    def _tap_of(self, gy: Buffer, x: Buffer, gx: Buffer, share: Value | None) -> Value:
        """Add to the gradient of a pixel that was read; the product of pixel and gradient."""
        k, lanes, kind = self.k, self.lanes, self.v.element.compute
        total = k.var(k.const(0, kind, lanes), kind)

        def body(c: Index, count: Index | None) -> None:
            g, so_far = k.load(gy, c, lanes, count), k.load(gx, c, lanes, count)
            if share is None:
                k.store(so_far + g, gx, c, count)
                return
            total.set(k.fma(g, k.load(x, c, lanes, count), total.get()))
            k.store(k.fma(g, k.broadcast(share, lanes), so_far), gx, c, count)

        self._vectors(body)
        return k.reduce_add(total.get())

    def _sum(self, gy: Buffer) -> Value:
        k, lanes, kind = self.k, self.lanes, self.v.element.compute
        total = k.var(k.const(0, kind, lanes), kind)
        self._vectors(lambda c, count: total.set(total.get() + k.load(gy, c, lanes, count)))
        return k.reduce_add(total.get())


def gradient_kernel(v: SampleKernel) -> Kernel:
    """The kernel of places that are read as `v` says."""
    return _Gradient(v).k


@CPU.lower(ops.sample2d_grad)
def _(op: Op, inputs: tuple[Any, ...], a: ops.SampleAttrs, specs: Sequence[Spec]) -> Plan:
    gy, x, at = inputs
    n, channels, height, width = x.shape
    kind = element(x.dtype.name)
    large = channels * height * width >= LONGEST or max(height, width) > ops.FARTHEST
    if kind.compute is not kind or large or not numel(gy.shape) or not numel(x.shape):
        return reference_plan(op, a, specs)
    stages, places = Stages(inputs, specs), element(at.dtype.name)
    few = channels if channels < active().lanes(kind.bytes) else 0
    v = SampleKernel(kind, places, a.mode, a.outside, a.grid, few)
    layout = channels_last_strides(x.shape)
    numbers = [a.fill, *(ops.in_pixels_slope(size, a.grid) for size in (width, height))]
    operands = [
        stages.read(0, channels_last_strides(gy.shape)),
        stages.read(1, layout),
        stages.read_dense(2),
        stages.write(0, layout),
        stages.write(1, contiguous_strides(at.shape)),
        stages.table(np.array(numbers, np.float64 if kind.bytes == 8 else np.float32)),
    ]
    pixels = gy.shape[2] * gy.shape[3]
    row = width * channels
    words = (n, pixels, channels, height, width, height * row, row, channels)
    shared = worth_sharing(4 * numel(gy.shape) * kind.bytes)
    stages.call(f"{v.key}/grad", partial(gradient_kernel, v), operands, words, shared)
    return stages.plan()
