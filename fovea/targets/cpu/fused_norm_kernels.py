"""Kernels of batch normalization with an activation and a residual, and of its gradient.

They are passes over rows as those of `norm_kernels`, in which the activation (or its slope) is one
step more on values that are in registers anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.channels import fill_zero
from fovea.targets.cpu.elements import Element, f64
from fovea.targets.cpu.epilogue import Affine, Epilogue, Finish, Function
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.norm_kernels import VECTORS, Columns, Pass, RowPass, affine
from fovea.targets.cpu.values import Value

__all__ = ["Slope", "affine_columns_kernel", "apply_kernel", "grad_apply_kernel",
           "grad_sums_kernel"]  # fmt: skip


def affine_columns_kernel(element: Element, elements: Sequence[tuple[str, Element]]) -> Kernel:
    """Columns' center, scale and shift from mean and rstd, and weight and bias if given."""
    g = Columns("batch_norm_affine_columns", elements, element.compute)
    k = g.k

    def channel(c: Value, lanes: int) -> None:
        scale = g.load("rstd", c, lanes, f64, 1.0) * g.load("weight", c, lanes, f64, 1.0)
        center = g.load("mean", c, lanes, f64, 0.0)
        g.spread([center, scale, g.load("bias", c, lanes, f64, 0.0)], c)

    g.each_channel(f64, channel)
    return k


def apply_kernel(element: Element, epilogue: Epilogue, centered: bool = True) -> Kernel:
    """y = (x - center) * scale + shift (or without the center), and what the epilogue makes of it.
    It starts at the end, which is still in a cache.
    """
    kind = element.compute
    sources = ("x", "residual") if epilogue.residual is not None else ("x",)
    matrices = Pass(element, sources, "y")
    p = RowPass("batch_norm_finish", matrices, [("columns", kind)], epilogue.scalars)
    k, finish = p.k, Finish(p.k, epilogue, kind)
    columns = p.parts_of(k.buffers[len(sources)], 3 if centered else 2)
    with k.parallel(p.pieces) as piece:
        low, high = p.span(p.pieces - 1 - piece)

        def write(lines: list[Buffer], c: Value, lanes: int) -> None:
            x, *residual, y = lines
            value = affine(k, k.load(x, c, lanes), columns, c, lanes)
            more = k.load(residual[0], c, lanes) if residual else None
            k.store(finish.value(value, Affine(None, None), more), y, c)

        p.each(low, high, write, 1 if finish.costly else VECTORS)
    return k


@dataclass(frozen=True)
class Slope:
    """How the gradient of an activation's result becomes that of its operand.

    Args:
        function: multiplies a gradient with the slope at a point; None where there is no
            activation.
        from_result: the point is the result, a matrix "y"; else it is computed from x.
    """

    function: Function | None = None
    from_result: bool = False

    @property
    def key(self) -> str:
        if self.function is None:
            return "plain"
        return f"{self.function.key}.{'y' if self.from_result else 'x'}"

    @property
    def sources(self) -> tuple[str, ...]:
        """The matrices that a pass reads."""
        reads_result = self.function is not None and self.from_result
        return ("gy", "x", "y") if reads_result else ("gy", "x")

    @property
    def scalars(self) -> tuple[str, ...]:
        """The scalars that a pass takes."""
        return self.function.scalars if self.function is not None else ()

    @property
    def words(self) -> tuple[int, ...]:
        """The words that hold those."""
        return self.function.words if self.function is not None else ()

    @property
    def vectors(self) -> int:
        """How many vectors a loop over columns is written out for."""
        return 1 if self.function is not None and self.function.costly else VECTORS

    def reader(
        self, p: RowPass, center: Buffer, scale: Buffer, shift: Buffer
    ) -> Callable[[list[Buffer], Value, int], tuple[Value, Value]]:
        """A function of lines, column and lanes that loads (gradient, x - center)."""
        k, function = p.k, self.function
        numbers = [k.cast(s, center.element) for s in k.scalars]

        def read(lines: list[Buffer], c: Value, lanes: int) -> tuple[Value, Value]:
            gy, x = (k.load(line, c, lanes) for line in lines[:2])
            off = x - k.load(center, c, lanes)
            if function is None:
                return gy, off
            if self.from_result:
                point = k.load(lines[2], c, lanes)
            else:
                point = k.fma(off, k.load(scale, c, lanes), k.load(shift, c, lanes))
            return function.emit(k, [gy, point], numbers), off

        return read


def grad_sums_kernel(element: Element, slope: Slope, keep: bool) -> Kernel:
    """For each piece of rows, the sums of g and of g * (x - center), g the gradient behind the
    slope. `keep`: g is written, too.
    """
    kind = element.compute
    others = [("columns", kind), ("partials", kind)]
    matrices = Pass(element, slope.sources, "gr" if keep else None)
    p = RowPass("batch_norm_finish_sums", matrices, others, slope.scalars)
    k, first = p.k, len(slope.sources)
    columns, partials = k.buffers[first : first + 2]
    read = slope.reader(p, *p.parts_of(columns, 3))
    with k.parallel(p.pieces) as piece:
        low, high = p.span(piece)
        sums = partials.at(piece * 2 * p.columns)
        products = sums.at(p.columns)
        fill_zero(k, sums, 0, k.index(p.columns) * 2)

        def add(lines: list[Buffer], c: Value, lanes: int) -> None:
            g, off = read(lines, c, lanes)
            if keep:
                k.store(g, lines[-1], c)
            k.store(k.load(sums, c, lanes) + g, sums, c)
            k.store(k.fma(g, off, k.load(products, c, lanes)), products, c)

        p.each(low, high, add, slope.vectors)
    return k


def grad_apply_kernel(element: Element, slope: Slope) -> Kernel:
    """gx from gy, x and the columns of `grad_columns_kernel` and `affine_columns_kernel`."""
    kind = element.compute
    others = [("columns", kind), ("affine", kind)]
    p = RowPass("batch_norm_finish_grad", Pass(element, slope.sources, "gx"), others, slope.scalars)
    k, first = p.k, len(slope.sources)
    center, a, along, level = p.parts_of(k.buffers[first], 4)
    _, scale, shift = p.parts_of(k.buffers[first + 1], 3)
    read = slope.reader(p, center, scale, shift)
    with k.parallel(p.pieces) as piece:
        low, high = p.span(p.pieces - 1 - piece)

        def write(lines: list[Buffer], c: Value, lanes: int) -> None:
            g, off = read(lines, c, lanes)
            rest = k.fma(off, k.load(along, c, lanes), k.load(level, c, lanes))
            k.store(k.fma(g, k.load(a, c, lanes), rest), lines[-1], c)

        p.each(low, high, write, slope.vectors)
    return k
