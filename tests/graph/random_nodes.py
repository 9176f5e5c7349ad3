"""Random nodes: elements, reductions, views, copies, products, images, normalization."""

from __future__ import annotations

import numpy as np

from fovea import dtypes
from fovea.graph import Value
from fovea.ops import (
    conv,
    elementwise,
    linalg,
    memory,
    norm,
    pool,
    rearrange,
    reduce,
    shape,
    softmax,
)
from fovea.ops.op import contiguous_strides, numel
from tests.graph.random_values import SIZES, Values

E = elementwise
BOUNDED = (E.relu, E.neg, E.abs_, E.tanh, E.sigmoid, E.sin, E.cos, E.atan)
JUMPY = (E.floor, E.ceil, E.trunc, E.round_, E.sign)


class Nodes(Values):
    """Each method adds a node of one kind, or a few; LookupError if no value suits it."""

    def unary(self) -> None:
        if not self.smooth and self.chance(0.1):
            self.run(E.logical_not, self.value())
        else:
            jumpy = not self.smooth and self.chance(0.3)
            op = self.one(JUMPY if jumpy else BOUNDED)
            y = self.run(op, self.floating())
            if self.chance(0.2):
                self.run(op, y)

    def partner(self, x: Value) -> Value:
        """A value that broadcasts with x."""

        def fits(v: Value) -> bool:
            pairs = zip(reversed(v.shape), reversed(x.shape), strict=False)
            return v.dtype is x.dtype and all(1 in (a, b) or a == b for a, b in pairs)

        return self.value(fits)

    def binary(self) -> None:
        x = self.value()
        y = self.partner(x)
        if x.dtype.is_floating_point and self.chance(0.2):
            self.run(E.div, x, self.run(E.add, self.run(E.abs_, y), self.scalar(1.0, x.dtype)))
            return
        ops = [E.add, E.mul, E.maximum, E.minimum]
        if x.dtype is not dtypes.bool_:
            ops.append(E.sub)
        if not self.smooth:
            ops += [E.lt, E.ge, E.eq, E.logical_and, E.logical_or]
        self.run(self.one(ops), x, y)

    def neutral(self) -> None:
        """Arithmetic that may change nothing."""
        x = self.value(lambda v: v.dtype is not dtypes.bool_)
        op = self.one((E.add, E.sub, E.mul))
        numbers = (0.0, -0.0) if x.dtype.is_floating_point else (0,)
        y = self.scalar(1 if op is E.mul else self.one(numbers), x.dtype)
        if self.chance(0.3):
            y = self.run(shape.expand, y, shape=tuple(x.shape))
        self.run(op, *((x, y) if self.chance(0.6) else (y, x)))

    def select(self) -> None:
        x = self.value()
        self.run(E.where, self.value(lambda v: v.dtype is dtypes.bool_), x, self.partner(x))

    def cast(self) -> None:
        x = self.value()
        for _ in range(1 + self.below(3)):
            kind = self.kind()
            if x.dtype.is_floating_point and not kind.is_floating_point:
                x = self.run(E.abs_, self.run(E.tanh, x))  # within the range of all integers
            x = self.run(E.cast, x, dtype=kind)

    def reduce(self) -> None:
        x = self.value(lambda v: v.ndim > 0)
        keep = self.chance(0.5)
        for _ in range(1 + self.below(2)):
            dims = tuple(d for d in range(x.ndim) if self.chance(0.5))
            ops = [reduce.sum_, reduce.amax, reduce.amin]
            if x.dtype.is_floating_point:
                ops.append(reduce.mean)
            x = self.run(self.one(ops), x, dims=dims, keepdim=keep)

    def view(self) -> None:
        views = (self._view, self._permute, self._expand, self._slice, self._diagonal, self._region)
        for _ in range(1 + self.below(3)):
            self.one(views)()

    def _view(self) -> None:
        x = self.value(lambda v: numel(v.shape) > 0)
        target, left = [], numel(x.shape)
        while left > 1:
            n = self.one([k for k in range(2, left + 1) if left % k == 0])
            target += [n, *([1] if self.chance(0.2) else [])]
            left //= n
        self.run(shape.view, x, shape=tuple(target) if len(target) < 6 else (numel(x.shape),))

    def _permute(self) -> None:
        x = self.value(lambda v: v.ndim > 1)
        self.run(shape.permute, x, dims=tuple(int(d) for d in self.rng.permutation(x.ndim)))

    def _expand(self) -> None:
        x = self.value(lambda v: v.ndim < 4)
        lead = tuple(self.one(SIZES[1:4]) for _ in range(self.below(2)))
        sizes = tuple(self.one(SIZES) if n == 1 else n for n in x.shape)
        y = self.run(shape.expand, x, shape=lead + sizes)
        if self.chance(0.5):
            spread = [d for d, n in enumerate(y.strides) if n == 0]
            self.run(reduce.sum_, y, dims=tuple(spread), keepdim=self.chance(0.5))

    def _slice(self) -> None:
        x = self.value(lambda v: v.ndim > 0)
        whole = self.chance(0.15)
        sides = [(0, n, 1) if whole else self._part(n) for n in x.shape]
        start, length, step = zip(*sides, strict=True)
        self.run(shape.slice_, x, start=start, length=length, step=step)

    def _part(self, n: int) -> tuple[int, int, int]:
        if not n:
            return 0, 0, 1
        step = self.one((1, 1, 1, 2, -1))
        first = self.below(n)
        room = (n - 1 - first) // step if step > 0 else first // -step
        return first, 1 + self.below(room + 1), step

    def _diagonal(self) -> None:
        x = self.value(lambda v: v.ndim > 1)
        self.run(shape.diagonal, x, offset=self.below(3) - 1, dim1=0, dim2=x.ndim - 1)
        self.run(shape.alias, self.value())

    def _region(self) -> None:
        """Part of a block of memory is read, changed and read again."""
        x = self.value(
            lambda v: v.ndim > 0 and v.nbytes > 0 and memory.is_dense(v.shape, v.strides)
        )
        first = 0 if self.chance(0.3) else 1
        where = memory.RegionAttrs.of(
            tuple(x.shape[first:]),
            x.strides[first:],
            self.below(x.shape[0]) * x.strides[0] if first else 0,
        )
        fields = {"shape": where.shape, "strides": where.strides, "offset": where.offset}
        part = self.run(memory.strided, x, **fields)
        y = self.run(E.maximum, part, part)
        self.run(memory.strided, self.run(memory.strided_scatter, x, y, **fields), **fields)

    def copy(self) -> None:
        x = self.value()
        layout = self.one(
            ("preserve", "contiguous", *(["channels_last"] * 2 if x.ndim == 4 else []))
        )
        which = self.below(6)
        if which < 2:
            self.run(shape.clone, x, layout=layout)
        elif which == 2:
            order = self.rng.permutation(x.ndim)
            packed = contiguous_strides([x.shape[d] for d in order])
            strides = tuple(packed[list(order).index(d)] for d in range(x.ndim))
            self.run(memory.lay_out, x, strides=strides)
        elif which == 3 and x.ndim:
            self.run(shape.cat, *([x] * (1 + self.below(2))), dim=self.below(x.ndim))
        elif which == 4:
            after = tuple(self.one((0, 0, 1, -1 if n > 1 else 0)) for n in x.shape)
            self.run(rearrange.pad, x, before=(0,) * x.ndim, after=after, value=0.5)
        else:
            dims = tuple(d for d in range(x.ndim) if self.chance(0.4))
            self.run(rearrange.flip, x, dims=dims)

    def product(self) -> None:
        a = self.value(lambda v: v.dtype.is_floating_point and v.ndim >= 2)
        scale = self.scalar(0.25, a.dtype)

        def fits(v: Value) -> bool:
            return v.dtype is a.dtype and v.ndim == 2 and v.shape[0] == a.shape[-1]

        if self.chance(0.4):
            b = self.run(shape.permute, a, dims=(*range(a.ndim - 2), a.ndim - 1, a.ndim - 2))
        else:
            b = self.value(fits)
        self.run(E.mul, self.run(linalg.matmul, a, b), scale)

    def image(self) -> None:
        x = self.floating(4)
        size, pads = tuple(x.shape[2:]), (self.below(2),) * 4
        kernel = tuple(min(n, 1 + self.below(3)) for n in size)
        window = {"stride": (self.one((1, 2)),) * 2, "padding": pads}
        which = self.below(4)
        if which < 2:
            groups = self.one([g for g in (1, 2, x.shape[1]) if x.shape[1] % g == 0])
            outputs = groups * self.one((1, 2, 4))
            w = self.array((outputs, x.shape[1] // groups, *kernel), x.dtype) * 0.3
            weight = self.b.constant(w.astype(x.dtype.numpy))
            self.run(conv.conv2d, x, weight, None, **window, dilation=(1, 1), groups=groups)
        elif which == 2:
            kernel = tuple(max(k, 2) for k in kernel)
            attrs = {**window, "kernel": kernel, "dilation": (1, 1), "ceil_mode": False}
            self.run(pool.max_pool2d, x, **attrs)
        else:
            self.run(pool.adaptive_avg_pool2d, x, output_size=self.one(((1, 1), (2, 3))))

    def normalize(self) -> None:
        x = self.floating()
        which = self.below(3)
        if which == 0 and x.ndim >= 2:
            y = self.run(norm.batch_norm_train, x, None, None, eps=0.1, axis=1)
            if self.chance(0.5) and y.dtype is dtypes.float32:
                self._statistics(x, self.alive[-3], self.alive[-1])
        elif which == 1 and x.ndim:
            self.run(norm.layer_norm, x, None, None, ndim=1, eps=0.1)
        elif x.ndim:
            op = self.one((softmax.softmax, softmax.log_softmax))
            self.run(op, x, dim=self.below(x.ndim))

    def _statistics(self, x: Value, mean: Value, var: Value) -> None:
        states = [self.b.state(np.full(x.shape[1], n, np.float32)) for n in (0, 1)]
        self.held.update(zip(states, states, strict=True))
        attrs = norm.RunningAttrs.of(0.1, 1.0)
        self.changing(norm.batch_norm_update, (*states, mean, var), attrs)
