"""Autocast's state, and the casts that a region makes: which op runs in which precision.

An op or a function says so where it is declared, with a policy: ``LOWER`` runs in the region's
lower precision, ``FLOAT32`` in float32. All others run in the type of their inputs. The lists are
those of PyTorch's CPU autocast. `fovea.amp.autocast` switches regions on and off.

Outside of all regions, ops without a policy pay nothing and ops with one a look at ``regions``.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from fovea import dispatch, dtypes, watching
from fovea.dtypes import FLOAT, DType
from fovea.targets.base import tensor_class

if TYPE_CHECKING:
    from fovea.ops.op import Op
    from fovea.tensor import Tensor

__all__ = [
    "FLOAT32",
    "LOWER",
    "Mode",
    "autocasts",
    "cast_inputs",
    "clear_cache",
    "enabled",
    "mode",
    "set_mode",
]

LOWER: Final = "lower"
FLOAT32: Final = "float32"

regions = 0  # threads that are inside an enabled region
_counting = threading.Lock()


class Mode(NamedTuple):
    """What autocast does in a thread: part of what a captured program depends on."""

    enabled: bool = False
    dtype: DType = dtypes.bfloat16
    cache_enabled: bool = True


Casts = dict[tuple[int, bool], tuple[Any, Any, int, Any]]


class _State(threading.local):
    def __init__(self) -> None:
        self.mode = Mode()
        # (id of a parameter, whether its cast is on the tape): the parameter, its storage and
        # version then, the cast
        self.cache: Casts = {}


_state = _State()
_cast: Any = None


def mode() -> Mode:
    """This thread's autocast mode."""
    return _state.mode


def enabled() -> bool:
    """Whether this thread is inside an enabled region."""
    return regions > 0 and _state.mode.enabled


def set_mode(new: Mode) -> Mode:
    """Change this thread's mode; returns what it was."""
    global regions
    before = _state.mode
    if before.enabled != new.enabled:
        with _counting:
            regions += 1 if new.enabled else -1
    _state.mode = new
    return before


def clear_cache() -> None:
    """Forget the casts of parameters that this thread keeps."""
    _state.cache.clear()


def cast_inputs(op: Op, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs of an op with a policy, as this thread's region wants them."""
    held = _state.mode
    if not held.enabled:
        return inputs
    dtype = held.dtype if op.autocast is LOWER else dtypes.float32
    return tuple([_casted(t, dtype, held) for t in inputs])


F = TypeVar("F", bound=Callable[..., Any])


def autocasts(policy: str) -> Callable[[F], F]:
    """Declare what a function of tensors does in a region: its tensor arguments are cast.

    >>> import fovea
    >>> @autocasts(LOWER)
    ... def double(x):
    ...     return x + x
    >>> with fovea.autocast("cpu"):
    ...     double(fovea.ones(2)).dtype
    fovea.bfloat16
    """

    def declare(function: F) -> F:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            if regions and _state.mode.enabled:
                held = _state.mode
                dtype = held.dtype if policy is LOWER else dtypes.float32
                args = tuple(_casted_argument(a, dtype, held) for a in args)
                kwargs = {k: _casted_argument(a, dtype, held) for k, a in kwargs.items()}
            return function(*args, **kwargs)

        return run  # type: ignore[return-value]

    return declare


def _casted_argument(value: Any, dtype: DType, held: Mode) -> Any:
    return _casted(value, dtype, held) if isinstance(value, tensor_class()) else value


def _casted(t: Any, dtype: DType, held: Mode) -> Any:
    """``t`` as ``dtype``; float64 and integers stay as they are."""
    if t is None or t.dtype is dtype or t.dtype is dtypes.float64 or t.dtype.category != FLOAT:
        return t
    if (
        held.cache_enabled
        and dtype is held.dtype
        and t._requires_grad
        and t._node is None
        and t._base is None
        and t.dtype is dtypes.float32
    ):
        return _cached(t, dtype)
    return _cast_to(t, dtype)


def _cached(t: Tensor, dtype: DType) -> Tensor:
    """The cast of a parameter, made once in the outermost region unless the parameter changes."""
    cache, key = _state.cache, (id(t), dispatch.grad_enabled())
    if watching.watcher is not None:  # a program makes its own casts, from each call's parameters
        own = watching.watcher.casts()
        cache = cache if own is None else own
    found = cache.get(key)
    if found is not None:
        _, storage, version, cast = found
        if storage is t.storage and version == storage.version and cast.dtype is dtype:
            return cast
    cast = _cast_to(t, dtype)
    cache[key] = (t, t.storage, t.storage.version, cast)
    return cast


def _cast_to(t: Tensor, dtype: DType) -> Tensor:
    global _cast
    if _cast is None:  # ops stand above this module: found when they are first needed
        from fovea.functions.pointwise import to_dtype

        _cast = to_dtype
    return _cast(t, dtype)
