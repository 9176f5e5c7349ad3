"""`Kernel`: a compiled loop nest in the making.

A kernel's machine-code signature is `void kernel(ptr params, i64 tid, i64 nthreads, ptr counter)`.
`params` is an array of 64-bit words: a pointer for each buffer, then the sizes, then the scalars
(as doubles). Work is cut into pieces whose number depends on sizes alone; threads take pieces one
after the other from `counter`, so results have the same bits for any number of threads, and a
thread that the system holds up holds nobody else up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from fovea.targets.cpu.elements import Element, f64, i64
from fovea.targets.cpu.isa import Isa
from fovea.targets.cpu.memory import Buffer, Memory
from fovea.targets.cpu.values import Index, Value


def checking() -> bool:
    """Whether kernels are built with bounds checks (`FOVEA_CPU_CHECK=1`)."""
    return os.environ.get("FOVEA_CPU_CHECK", "") not in ("", "0")


class Kernel(Memory):
    """One kernel: declare its buffers and sizes, then write its loop nest.

    Args:
        name: a C identifier, for people; need not be unique.
        buffers: (name, element type) of each buffer, in the order in which `params` holds their
            addresses.
        sizes: names of the 64-bit integers that follow.
        scalars: names of the doubles that follow those.
        constants: sizes that are known now: `k.sizes` yields Python ints for them, and `params`
            does not hold them.
        may_alias: set where two buffers can be the same memory at different offsets; elsewhere LLVM
            is told that buffers do not overlap (the same memory at the same offsets is fine, so
            in-place kernels are).
        isa: the vector unit; the active one when left out.

    >>> from fovea.targets.cpu.elements import f32
    >>> k = Kernel("double", buffers=(("x", f32), ("y", f32)), sizes=("n",))
    >>> (x, y), (n,) = k.buffers, k.sizes
    >>> with k.loop(0, n) as i:
    ...     k.store(k.load(x, i) * 2.0, y, i)
    """

    def __init__(
        self,
        name: str,
        buffers: Sequence[tuple[str, Element]],
        sizes: Sequence[str] = (),
        scalars: Sequence[str] = (),
        constants: Mapping[str, int] | None = None,
        may_alias: bool = False,
        isa: Isa | None = None,
    ) -> None:
        super().__init__(isa)
        self.name = name
        self.checked = checking()
        self.buffer_names = tuple(b for b, _ in buffers)
        self._noalias = "" if may_alias else " noalias"
        fixed = dict(constants or {})
        self._words: list[str] = [f"i64 %size.{s}" for s in sizes if s not in fixed]
        self._words += [f"double %scalar.{s}" for s in scalars]
        self.sizes: tuple[Index, ...] = tuple(
            fixed[s] if s in fixed else Value(self, i64, 1, f"%size.{s}") for s in sizes
        )
        self.scalars = tuple(Value(self, f64, 1, f"%scalar.{s}") for s in scalars)
        self.tid = Value(self, i64, 1, "%tid")
        self.nthreads = Value(self, i64, 1, "%nthreads")
        self._parallel = False
        self.buffers = tuple(
            Buffer(self, element, f"%buffer.{b}", b, number, self._bounds(number))
            for number, (b, element) in enumerate(buffers)
        )
        if self.checked:
            self.record = "%record"

    def _bounds(self, number: int) -> tuple[Value, Value] | None:
        if not self.checked:
            return None
        return Value(self, i64, 1, f"%low.{number}"), Value(self, i64, 1, f"%high.{number}")

    @property
    def word_count(self) -> int:
        """How many words `params` holds, apart from what bounds checks add."""
        return len(self.buffers) + len(self._words)

    def lanes(self, element: Element) -> int:
        """How many elements fill a vector register (of the form that they are computed in)."""
        return self.isa.lanes(element.compute.bytes)

    @contextmanager
    def parallel(self, pieces: Index) -> Iterator[Value]:
        """Run the body for each piece 0 ... pieces - 1, shared out among the threads in no fixed
        order.

        A kernel has at most one parallel loop; what stands outside it, every thread runs.
        """
        if self._parallel:
            raise ValueError(f"kernel {self.name} has two parallel loops")
        self._parallel = True
        with self.repeat() as turn:
            piece = self.atomic_add("%counter", 1)
            turn.leave_if(piece >= pieces)
            yield piece

    def assembly(self) -> str:
        """The whole module as LLVM assembly; its entry point is called `kernel`."""
        parameters = [f"ptr{self._noalias} {b.pointer}" for b in self.buffers] + self._words
        if self.checked:
            for n in range(len(self.buffers)):
                parameters += [f"i64 %low.{n}", f"i64 %high.{n}"]
            parameters.append("ptr %record")
        shared = "i64 %tid, i64 %nthreads, ptr %counter"
        body = self.text(f"define internal void @body({', '.join([*parameters, shared])}) #0")
        lines = ["define void @kernel(ptr %params, i64 %tid, i64 %nthreads, ptr %counter) #0 {"]
        arguments = []
        for n, parameter in enumerate(parameters):
            kind = parameter.split(" ", 1)[0]
            lines.append(f" %a{n} = getelementptr i64, ptr %params, i64 {n}")
            lines.append(f" %w{n} = load {kind}, ptr %a{n}")
            arguments.append(f"{kind} %w{n}")
        lines.append(f" call void @body({', '.join([*arguments, shared])})")
        lines += [" ret void", "}"]
        return "\n".join([body, *lines, self.trailer(), "attributes #0 = { nounwind }", ""])
