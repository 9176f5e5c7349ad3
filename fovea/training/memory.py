"""What a training step will take of memory, before the first one is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fovea import casting, dispatch, targets
from fovea.compiler import compile as compiled
from fovea.compiler.function import CompiledFunction
from fovea.compiler.structure import flatten
from fovea.errors import ArgumentError
from fovea.form import form_of
from fovea.functions import creation
from fovea.tensorbase import is_tensor
from fovea.training.feeding import batch_size_of
from fovea.training.learner import as_tensors, split_batch
from fovea.training.untouched import untouched

if TYPE_CHECKING:
    from fovea.compiler.program import Program
    from fovea.training.trainer import Trainer

__all__ = ["MemoryPlan", "largest_batch", "memory_plan"]

_SMALL = (2, 3, 5)  # sizes that are really run; programs for others follow from them


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes that a compiled training step takes.

    Attributes:
        batch_size: for which.
        weights: parameters and buffers, with their moving average if there is one.
        gradients: of the parameters.
        optimizer: the optimizer's state.
        batch: the batch.
        intermediate: results between the first op and the update, in the arena that the program's
            memory plan has packed.
        kept: what the program computes once and keeps, such as packed weights.
    """

    batch_size: int
    weights: int
    gradients: int
    optimizer: int
    batch: int
    intermediate: int
    kept: int

    @property
    def total(self) -> int:
        """All of it. The interpreter, the libraries and compiled code come on top."""
        return (
            self.weights + self.gradients + self.optimizer + self.batch + self.intermediate
            + self.kept
        )  # fmt: skip

    def __str__(self) -> str:
        names = ("weights", "gradients", "optimizer", "batch", "intermediate", "kept", "total")
        lines = [f"a step of {self.batch_size} samples takes"]
        return "\n".join(
            [*lines, *(f"  {n:<13}{getattr(self, n) / 2**20:10.1f} MiB" for n in names)]
        )


def memory_plan(trainer: Trainer, batch: Any, batch_size: int | None = None) -> MemoryPlan:
    """Predict the memory of a training step.

    Steps of 2, 3 and 5 samples are made and undone; the program for the asked size follows from
    theirs, and how its memory is packed is known without running it.

    Args:
        trainer: what will train; it is then what it was, to the same bits.
        batch: an example of a batch, of any size.
        batch_size: how many samples the step will have; as many as ``batch`` unless given.

    Raises:
        ArgumentError: the step cannot be compiled, or not for other sizes than it has run for.

    >>> import fovea
    >>> from fovea import nn
    >>> model = nn.Sequential(nn.Linear(100, 500), nn.ReLU(), nn.Linear(500, 2))
    >>> optimizer = fovea.optim.Adam(model.parameters())
    >>> trainer = fovea.Trainer(model, nn.CrossEntropyLoss(), optimizer)
    >>> plan = memory_plan(trainer, (fovea.ones(1, 100), fovea.tensor([0])), batch_size=64)
    >>> plan.optimizer >= 2 * plan.weights == 2 * plan.gradients, plan.intermediate > 64 * 500 * 4
    (True, True)
    """
    size = batch_size_of(split_batch(as_tensors(batch))[0]) if batch_size is None else batch_size
    with _planning(trainer, as_tensors(trainer._paired(batch))) as plan:
        return plan(size)


def largest_batch(trainer: Trainer, batch: Any, memory: int, most: int = 4096) -> int:
    """The largest batch whose step takes at most so many bytes.

    Args:
        trainer, batch: as for `memory_plan`.
        memory: bytes.
        most: the largest size to look at.

    Returns:
        The size, from 64 up to within 1/64 of it; 0 if not even two samples fit.

    Raises:
        ArgumentError: as for `memory_plan`; ``most`` below 16.
    """
    if most < 16:
        raise ArgumentError(f"largest_batch: most is at least 16, got {most}.")
    with _planning(trainer, as_tensors(trainer._paired(batch))) as plan:
        known = {size: plan(size).total for size in (8, 16)}
        low = max((size for size in known if known[size] <= memory), default=1)
        high = min((size for size in known if size > low), default=most + 1)
        while high - low > max(1, low // 64):
            size = _guess(known, memory, low, high)
            known[size] = plan(size).total
            low, high = (size, high) if known[size] <= memory else (low, size)
    return low if low > 1 else 0


def _guess(known: dict[int, int], memory: int, low: int, high: int) -> int:
    """The size that would just fit if memory grew by as much a sample as between the two nearest
    known sizes; a step further where that is known to fit.
    """
    a, b = sorted(known, key=lambda size: abs(known[size] - memory))[:2]
    slope = max((known[b] - known[a]) / (b - a), 1.0)
    size = int(a + (memory - known[a]) / slope)
    if size <= low:
        size = low + max(1, low // 64)
    return min(max(size, low + 1), high - 1)


@contextmanager
def _planning(trainer: Trainer, batch: Any) -> Iterator[Callable[[int], MemoryPlan]]:
    """A function that gives the plan for a batch's size."""
    learner = trainer.learner
    step = compiled(learner._learn_batch)
    with untouched(trainer):
        trainer.model.train()
        if learner.accumulate > 1:
            learner._hold_gradients()
        number = learner._number("training_step", 0)

        def run(size: int) -> None:
            for _ in range(3):  # by then a step that goes by values has shown it
                step(_resized(batch, size), *number, True, True)

        for size in _SMALL:
            run(size)

        def plan(size: int) -> MemoryPlan:
            if size < 1:
                raise ArgumentError(f"memory_plan: a batch has at least 1 sample, got {size}.")
            if size < _SMALL[0]:
                run(size)  # programs for one sample are of their own kind
            given = _resized(batch, size)
            return _plan(trainer, size, given, _program(step, (given, *number, True, True)))

        yield plan


def _plan(trainer: Trainer, size: int, batch: Any, program: Program) -> MemoryPlan:
    average = trainer._average
    runs = [program.forward] + ([] if program.backward is None else [program.backward])
    trained = [p for p in trainer.model.parameters() if p.requires_grad]
    models = [trainer.model] if average is None else [trainer.model, average.averaged]
    return MemoryPlan(
        batch_size=size,
        weights=sum(_bytes((*m.parameters(), *m.buffers())) for m in models),
        gradients=_bytes(trained),
        optimizer=_bytes(_tensors(trainer.optimizer.state_dict()["state"])),
        batch=_bytes(_tensors(batch)),
        intermediate=sum(run.memory.peak for run in runs),
        kept=sum(run.kept_bytes for run in runs),
    )


def _program(step: CompiledFunction, args: tuple[Any, ...]) -> Program:
    """The program for arguments, which are not looked at but for their sizes."""
    tensors: list[Any] = []
    structure = flatten((args, {}), tensors)
    forms = tuple([(t._form or form_of(t), t._requires_grad) for t in tensors])
    modes = (dispatch.grad_enabled(), casting.mode(), targets.generation)
    key = (structure, forms, None, *modes)
    entry = step._entries.get(key)
    if entry is None or not entry.programs:
        entry = step._entry(key)
        step._instantiate(entry, step._family_key(key, tensors), tensors)
    if not entry.programs:
        raise ArgumentError(
            "memory_plan: there is no program for this batch size.",
            fix="a step that compiles and does not decide by the batch's size",
        )
    return entry.programs[0]


def _resized(value: Any, size: int) -> Any:
    """A batch of another size: samples are repeated, those of larger ones are never written."""
    if is_tensor(value):
        if size <= max(_SMALL):
            return value[[i % len(value) for i in range(size)]]
        return _empty_like(value[[0, 0]], size)
    if isinstance(value, dict):
        return {k: _resized(v, size) for k, v in value.items()}
    return tuple(_resized(v, size) for v in value) if isinstance(value, tuple) else value


def _empty_like(value: Any, size: int) -> Any:
    """So many samples as there are few in ``value``, which lie in memory in the same way."""
    shape, strides = (size, *value.shape[1:]), value.stride()
    if strides and strides[0] == max(strides):
        return creation.empty_strided(shape, strides, dtype=value.dtype)
    return creation.empty(shape, dtype=value.dtype)


def _tensors(value: Any) -> Iterator[Any]:
    if is_tensor(value):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def _bytes(tensors: Iterable[Any]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
