"""Who watches what is run: nobody, or the tracer that records a call for `fovea.compile`.

Everything that a captured program must know of passes one of a few places: ops (`dispatch`), values
that Python reads (`Storage.array`, `look`), gradients of leaves, optimizer steps, calls of modules.
Each asks here for a watcher first, which costs nanoseconds when there is none.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol, Self

__all__ = ["Observer", "Watcher", "foreign", "look", "shared", "touch", "unwatched"]


class Watcher(Protocol):
    """What a tracer is told.

    Attributes:
        captures: whether what it is told becomes a program: compiled functions are then run as they
            are.
    """

    captures: bool

    def run(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any) -> Any:
        """Run a plan, and record it."""

    def run_into(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any, out: Any) -> None:
        """Run a plan that writes into ``out``, and record it."""

    def update(
        self, op: Any, inputs: tuple[Any, ...], attrs: Any, written: int, run: Callable[[], None]
    ) -> None:
        """Run an optimizer's update of its first tensors and its states, and record it."""

    def recorded(self, out: Any) -> None:
        """A call was put on the tape."""

    def backward_of(self, node: Any) -> None:
        """Backward has come to a node (None: it is over)."""

    def made(self, storage: Any) -> None:
        """Python made a block of memory."""

    def read(self, storage: Any) -> None:
        """Python looks at the bytes of a block, or changes them."""

    def look(self, t: Any, see: Callable[[Any], Any], essential: bool) -> Any:
        """Python checks the values of a tensor."""

    def refuse(self, reason: str, fix: str) -> None:
        """Something happened that a program cannot repeat."""

    def call_module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a module."""

    def note_modules(self, module: Any) -> None:
        """A module and those within are about to be given other tensors for a while."""

    def run_program(self, program: Any, inputs: Any) -> Any:
        """Run a program."""

    def runs_again(self) -> int:
        """A function that ran before is about to run again: the number of that run."""

    def optimizer(self, optimizer: Any) -> None:
        """An optimizer takes a step."""

    def accumulates(self, leaf: Any) -> None:
        """A gradient is about to be summed into a leaf's."""

    def drops_gradient(self, leaf: Any) -> None:
        """``zero_grad`` drops a leaf's gradient, or finds none."""

    def casts(self) -> dict[Any, Any] | None:
        """Where autocast keeps the casts of parameters during this call; None: where it always
        does.
        """


watcher: Watcher | None = None

# Makes a module's call with symbolic tensors a part of their graph, and returns None for any other
# call; set once there are symbolic tensors (`fovea.keras`).
join: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any] | None = None


class Observer:
    """A watcher that lets everything run as if it were not there; subclasses look at some of it.

    ``with observer:`` puts it in; it may stand within another one, but not within a capture.
    """

    captures = False
    _before: Watcher | None = None

    def __enter__(self) -> Self:
        global watcher
        self._before, watcher = watcher, self
        return self

    def __exit__(self, *error: object) -> None:
        global watcher
        watcher, self._before = self._before, None

    def run(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any) -> Any:
        """Run a plan."""
        return plan(inputs)

    def run_into(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any, out: Any) -> None:
        """Run a plan that writes into ``out``."""
        plan(inputs, out)

    def update(
        self, op: Any, inputs: tuple[Any, ...], attrs: Any, written: int, run: Callable[[], None]
    ) -> None:
        """Run an optimizer's update."""
        run()

    def recorded(self, out: Any) -> None:
        """A call was put on the tape."""

    def backward_of(self, node: Any) -> None:
        """Backward has come to a node (None: it is over)."""

    def made(self, storage: Any) -> None:
        """Python made a block of memory."""

    def read(self, storage: Any) -> None:
        """Python looks at the bytes of a block."""

    def look(self, t: Any, see: Callable[[Any], Any], essential: bool) -> Any:
        """Python checks the values of a tensor."""
        return see(t._array())

    def refuse(self, reason: str, fix: str) -> None:
        """Something happened that a program cannot repeat."""

    def call_module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a module."""
        return module._call(args, kwargs)

    def note_modules(self, module: Any) -> None:
        """Modules are about to be given other tensors for a while."""

    def runs_again(self) -> int:
        """A function that ran before is about to run again."""
        return 0

    def run_program(self, program: Any, inputs: Any) -> Any:
        """Run a program."""
        return program.run_unwatched(inputs)

    def optimizer(self, optimizer: Any) -> None:
        """An optimizer takes a step."""

    def accumulates(self, leaf: Any) -> None:
        """A gradient is about to be summed into a leaf's."""

    def drops_gradient(self, leaf: Any) -> None:
        """``zero_grad`` drops a leaf's gradient."""

    def casts(self) -> dict[Any, Any] | None:
        """Autocast keeps casts where it always does."""
        return None


class unwatched:  # noqa: N801 - a context manager, named like a statement
    """``with unwatched():`` what runs is no part of a capture, as nobody's code between two calls.

    For what is computed anew outside of a program in each call, such as a learning rate. A capture
    of another thread, which this one is no part of, goes on.
    """

    _before: Watcher | None

    def __enter__(self) -> None:
        global watcher
        here = threading.get_ident()
        self._before = watcher if getattr(watcher, "thread", here) == here else None
        if self._before is not None:
            watcher = None

    def __exit__(self, *error: object) -> None:
        global watcher
        if self._before is not None:
            watcher = self._before


rerun = 0  # the number of the run that is in progress, of a function that had run before
eager = False  # whether compiled functions run as they are: while anomaly detection is on

# Rises whenever something changes that captures take as constant: an attribute of a module, the
# memory of a parameter, whether it requires a gradient, the groups of an optimizer.
epoch = 0


def touch() -> None:
    """Something changed that captures may have taken as constant."""
    global epoch
    epoch += 1


def look(t: Any, see: Callable[[Any], Any], *, essential: bool = True) -> Any:
    """``see(array of t's values)``, for checks: a captured program makes them again in each call.

    Args:
        see: raises for values that are not allowed; what it returns must not change from call to
            call, or the program does not hold.
        essential: False where only a clear error is lost if a program cannot look, because the
            tensor is made within it.
    """
    if t._level:  # under vmap: all samples at once
        return look(t.physical, see, essential=essential)
    if watcher is not None:
        return watcher.look(t, see, essential)
    return see(t._array())


def foreign(data: Any) -> Any:
    """``data``, which becomes a tensor: an array's values are not known to a captured program."""
    if watcher is not None and hasattr(data, "__array_interface__") and data.shape:
        watcher.refuse("a NumPy array becomes a tensor", "pass it as a tensor argument")
    return data


# Blocks of memory that never change: shared numbers. A program may take their values as constant.
shared: weakref.WeakSet[Any] = weakref.WeakSet()
