"""Cases: what a contestant is timed at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.nets import NETS

__all__ = ["Case", "chosen"]


@dataclass(frozen=True)
class Case:
    """A training step or a call of inference.

    Attributes:
        mode: ``train`` or ``infer``.
        net: a key of ``NETS``.
        batch: images.
        size: their height and width.
        dtype: ``float32``, or ``bfloat16`` by autocast.
        threads: how many each contestant may use.
    """

    mode: str
    net: str
    batch: int
    size: int
    dtype: str = "float32"
    threads: int = 1

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.net} {self.batch}×{self.size}² {self.dtype}, {threads}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def chosen(
    mode: str,
    nets: Sequence[str] = (),
    batches: Sequence[int] = (),
    sizes: Sequence[int] = (),
    dtypes: Sequence[str] = (),
    threads: Sequence[int] = (1,),
) -> Iterator[Case]:
    """All cases of these nets, batches, ...; where none are given, those of the net's own."""
    training = mode == "train"
    for name in nets or NETS:
        net = NETS[name]
        for count in threads:
            for dtype in dtypes or ("float32",):
                for size in sizes or (net.size[not training],):
                    for batch in batches or net.batches[not training]:
                        yield Case(mode, name, batch, size, dtype, count)
