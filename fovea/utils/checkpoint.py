"""Checkpointing: compute again in backward instead of keeping.

Within `checkpoint` nothing that backward will read is kept, only where it comes from: hooks on
saved tensors (`fovea.autograd.graph`) hand out empty places. The first place that backward looks
into makes the function run again, which fills all of them in the order in which they were handed
out.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fovea import casting, dispatch, random, watching
from fovea.autograd.grad_mode import enable_grad, no_grad
from fovea.autograd.graph import hooks, saved_tensors_hooks
from fovea.errors import ArgumentError, GradientError
from fovea.tape import Kept, Node
from fovea.tensorbase import is_tensor
from fovea.utils.selective import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    create_selective_checkpoint_contexts,
)

__all__ = [
    "CheckpointError",
    "CheckpointPolicy",
    "SelectiveCheckpointContext",
    "checkpoint",
    "checkpoint_sequential",
    "create_selective_checkpoint_contexts",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
]


class CheckpointError(GradientError):
    """The function did something else when it ran again."""


class _Settings(threading.local):
    early_stop: bool | None = None
    debug: bool | None = None


_settings = _Settings()


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Whether checkpoints called within stop running again once backward has what it needs; goes
    before their own ``early_stop``.
    """
    before, _settings.early_stop = _settings.early_stop, enable
    try:
        yield
    finally:
        _settings.early_stop = before


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Whether errors of checkpoints called within list all that was saved; None: their own
    ``debug`` says.
    """
    before, _settings.debug = _settings.debug, enabled
    try:
        yield
    finally:
        _settings.debug = before


def noop_context_fn() -> tuple[Any, Any]:
    """Two contexts that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Call ``function`` without keeping for backward what it computes on the way; backward calls it
    again.

    Args:
        function: must compute the same when it is called again; random draws are the same.
        args, kwargs: its arguments.
        use_reentrant: accepted. There is one way, and it does what PyTorch's non-reentrant one
            does: gradients flow to all that the function reads, also with ``autograd.grad``.
        context_fn: returns two context managers, for the first run and for those in backward;
            `create_selective_checkpoint_contexts` makes ones that keep some results.
        determinism_check: ``"default"`` compares shapes and dtypes of what is saved in the runs,
            ``"none"`` does not.
        debug: list what was saved when that differs.
        early_stop: end a run in backward as soon as all is there that backward needs.
        preserve_rng_state: False saves the care for the default generator, for functions that do
            not draw.

    Raises:
        CheckpointError: (in backward) the function saved other tensors than in its first run.

    >>> import fovea
    >>> x = fovea.tensor([1.0, 2.0], requires_grad=True)
    >>> checkpoint(lambda x: x.exp().log() ** 2, x, use_reentrant=False).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """
    if determinism_check not in ("default", "none"):
        raise ArgumentError(
            f"checkpoint: unknown determinism_check {determinism_check!r}.",
            fix='"default" or "none"',
        )
    if not dispatch.grad_enabled():
        return function(*args, **kwargs)
    first, again = context_fn()
    frame = _Frame(
        function,
        args,
        kwargs,
        again,
        preserve_rng_state,
        checks=determinism_check == "default",
        stops=early_stop if _settings.early_stop is None else _settings.early_stop,
        lists=debug if _settings.debug is None else _settings.debug,
    )
    with first, saved_tensors_hooks(frame.pack, frame.unpack):
        return function(*args, **kwargs)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Run functions one after the other, in so many segments, each but the last a `checkpoint`.

    Args:
        functions: a ``Sequential`` or a sequence of functions of one argument.
        segments: how many.
        input: of the first function.
        kwargs: ``preserve_rng_state``, and what `checkpoint` takes besides.

    >>> import fovea
    >>> net = fovea.nn.Sequential(fovea.nn.Linear(2, 2), fovea.nn.ReLU(), fovea.nn.Linear(2, 1))
    >>> checkpoint_sequential(net, 2, fovea.ones(4, 2), use_reentrant=False).shape
    fovea.Size([4, 1])
    """
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= len(steps):
        raise ArgumentError(
            f"checkpoint_sequential: {segments} segments of {len(steps)} functions."
        )
    size = len(steps) // segments
    bounds = [*range(0, size * (segments - 1), size), size * (segments - 1)]
    for start in bounds[:-1]:
        part = _chain(steps[start : start + size])
        input = checkpoint(part, input, use_reentrant=use_reentrant, **kwargs)
    return _chain(steps[bounds[-1] :])(input)


def _chain(steps: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def run(input: Any) -> Any:
        for step in steps:
            input = step(input)
        return input

    return run


class _Place:
    """Where a tensor would be kept. Only the tape holds it, so that what is filled in goes when
    backward has used it.
    """

    __slots__ = ("__weakref__", "number", "tensor")

    def __init__(self, number: int) -> None:
        self.number, self.tensor = number, None


class _Stop(BaseException):
    """All that was asked for is there."""


class _Frame:
    """One call of `checkpoint`: what it takes to run the function again.

    Attributes:
        places: what was handed out, as long as the tape needs it.
        kinds: shape and dtype of each tensor that was saved.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: Any,
        preserves: bool,
        *,
        checks: bool,
        stops: bool,
        lists: bool,
    ) -> None:
        self.function, self.context = function, context
        self.checks, self.stops, self.lists = checks, stops, lists
        outer = hooks()  # of a checkpoint around this one, which keeps no arguments either
        self.args = [_held(a, outer) for a in args]
        self.kwargs = {name: _held(a, outer) for name, a in kwargs.items()}
        self.mode = casting.mode()
        self.draws = _state_copy() if preserves else None
        self.places: list[weakref.ref[_Place]] = []
        self.kinds: list[tuple[Any, Any]] = []

    def pack(self, t: Any) -> _Place:
        """A place for a tensor that the first run saves."""
        place = _Place(len(self.places))
        self.places.append(weakref.ref(place))
        self.kinds.append((t.shape, t.dtype))
        return place

    def unpack(self, place: _Place) -> Any:
        """The tensor of a place."""
        if place.tensor is None:
            self._run_again()
            if place.tensor is None:
                raise self._differs(f"{len(self.kinds)} tensors were saved, now fewer")
        return place.tensor

    def _run_again(self) -> None:
        args = [_fresh(a) for a in self.args]
        kwargs = {name: _fresh(a) for name, a in self.kwargs.items()}
        count = 0
        wanted = sum(1 for ref in self.places if ref() is not None)

        def fill(t: Any) -> Any:
            nonlocal count, wanted
            number, count = count, count + 1
            if number >= len(self.kinds):
                raise self._differs(f"{len(self.kinds)} tensors were saved, now more")
            if self.checks and (t.shape, t.dtype) != self.kinds[number]:
                raise self._differs(
                    f"tensor {number} was {_shown(self.kinds[number])}, is now "
                    f"{_shown((t.shape, t.dtype))}"
                )
            place = self.places[number]()
            if place is not None:
                place.tensor, wanted = t.detach(), wanted - 1
                if self.stops and not wanted:
                    raise _Stop
            return None

        mode, rerun = casting.set_mode(self.mode), watching.rerun
        if watching.watcher is not None:
            watching.rerun = watching.watcher.runs_again()
        try:
            with (
                contextlib.suppress(_Stop),
                enable_grad(),
                _drawing(self.draws),
                self.context,
                saved_tensors_hooks(fill, _unreadable),
            ):
                self.function(*args, **kwargs)
        finally:
            watching.rerun = rerun
            casting.set_mode(mode)
            if not mode.enabled:  # the region whose casts these are is long left
                casting.clear_cache()

    def _differs(self, how: str) -> CheckpointError:
        rows = {f"saved {n}": _shown(kind) for n, kind in enumerate(self.kinds)}
        return CheckpointError(
            f"checkpoint: the function did something else when it ran again: {how}.",
            rows if self.lists else None,
            "it must not depend on what changes between the runs",
        )


def _shown(kind: tuple[Any, Any]) -> str:
    return f"{kind[1].name} {tuple(kind[0])}"


def _held(value: Any, outer: Any) -> Any:
    """An argument to be used again later; within another checkpoint that keeps it as little as
    what it saves.
    """
    return Kept(value, outer) if is_tensor(value) and outer is not None else value


def _fresh(value: Any) -> Any:
    """An argument for another run: off the tape, and recorded from there."""
    if isinstance(value, Kept):
        requires = value.edge is not None
        t = value.tensor()
    elif is_tensor(value):
        requires, t = value.requires_grad, value
    else:
        return value
    fresh = t.detach()
    if requires:  # no leaf, which could not be changed in place
        fresh._set_node(Node((), (fresh,)), 0)
    return fresh


def _unreadable(packed: Any) -> Any:
    raise GradientError(
        "checkpoint: the function calls backward within itself.", fix="call it outside"
    )


def _state_copy() -> Any:
    with no_grad():
        return random.default_generator.state.clone()


@contextlib.contextmanager
def _drawing(state: Any) -> Iterator[None]:
    """The default generator draws from a state, then goes on as before."""
    if state is None:
        yield
        return
    own = random.default_generator.state
    now = _state_copy()
    with no_grad():
        own.copy_(state)
    try:
        yield
    finally:
        with no_grad():
            own.copy_(now)
