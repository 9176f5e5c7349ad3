"""``autocast``: regions in which products run in a lower precision."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

from fovea import casting, dtypes
from fovea.casting import Mode, clear_cache
from fovea.dtypes import DType, as_dtype
from fovea.errors import ArgumentError

__all__ = [
    "autocast",
    "clear_autocast_cache",
    "custom_bwd",
    "custom_fwd",
    "get_autocast_dtype",
    "is_autocast_available",
    "is_autocast_cache_enabled",
    "is_autocast_enabled",
    "set_autocast_cache_enabled",
    "set_autocast_dtype",
    "set_autocast_enabled",
]

_LOWER = (dtypes.bfloat16, dtypes.float16)


class _Depth(threading.local):
    depth = 0


_nesting = _Depth()


class autocast:  # noqa: N801 - PyTorch's name
    """A context manager and decorator: inside, each op runs in the precision that suits it.

    Convolutions, matrix products and ``prelu`` run in ``dtype``, losses, ``prod`` and reflecting
    or replicating ``pad`` in float32, everything else in the type of its inputs (the widest where
    several meet). Only float32 and the two half types are cast. Parameters stay float32 and so
    are their gradients; the cast of a parameter is kept until the outermost region ends or the
    parameter changes. Backward needs no region: it runs in the types of the forward pass.

    Args:
        device_type: ``"cpu"``; a device that is not there disables the region with a warning.
        dtype: ``fovea.bfloat16`` or ``fovea.float16``; by default ``get_autocast_dtype()``, which
            is bfloat16 unless set.
        enabled: False runs a part of a region without casts.
        cache_enabled: whether casts of parameters are kept; by default as outside.

    Source: Micikevicius et al., "Mixed precision training", 2018; the lists are those of PyTorch's
    CPU autocast.

    >>> import fovea
    >>> x = fovea.ones(2, 2)
    >>> with fovea.autocast("cpu", dtype=fovea.bfloat16):
    ...     y = x @ x
    ...     z = y + x
    >>> y.dtype, z.dtype
    (fovea.bfloat16, fovea.float32)
    """

    def __init__(
        self,
        device_type: str = "cpu",
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        self.device, self._enabled, self._cache_enabled = device_type, enabled, cache_enabled
        self.fast_dtype = casting.mode().dtype if dtype is None else as_dtype(dtype)
        self._before: list[Mode] = []
        if enabled and not is_autocast_available(device_type):
            warnings.warn(
                f"autocast: there is no device {device_type!r}; the region is disabled.",
                stacklevel=2,
            )
            self._enabled = False
        elif enabled and self.fast_dtype not in _LOWER:
            warnings.warn(
                f"autocast: dtype must be bfloat16 or float16, got {self.fast_dtype.name}; "
                "the region is disabled.",
                stacklevel=2,
            )
            self._enabled = False

    def __enter__(self) -> autocast:
        if self.device != "cpu":  # says nothing about what the CPU does
            return self
        outer = casting.mode()
        kept = outer.cache_enabled if self._cache_enabled is None else self._cache_enabled
        self._before.append(casting.set_mode(Mode(self._enabled, self.fast_dtype, kept)))
        _nesting.depth += 1
        return self

    def __exit__(self, *exc: object) -> None:
        if self.device != "cpu":
            return
        _nesting.depth -= 1
        if _nesting.depth == 0:
            clear_cache()
        casting.set_mode(self._before.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        arguments = (self.device, self.fast_dtype, self._enabled, self._cache_enabled)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with autocast(*arguments):  # a new one: the function may run in several threads
                return function(*args, **kwargs)

        return run


def is_autocast_available(device_type: str) -> bool:
    """Whether ``autocast`` works for a type of device.

    >>> is_autocast_available("cpu")
    True
    """
    if not isinstance(device_type, str):
        raise TypeError(f"device_type must be a string such as 'cpu', got {device_type!r}.")
    return device_type == "cpu"


def is_autocast_enabled(device_type: str = "cpu") -> bool:
    """Whether this thread is inside an enabled region."""
    return is_autocast_available(device_type) and casting.enabled()


def set_autocast_enabled(device_type: str, enabled: bool) -> None:
    """Switch casts on or off in this thread, as entering a region does."""
    _need_cpu("set_autocast_enabled", device_type)
    casting.set_mode(casting.mode()._replace(enabled=bool(enabled)))


def get_autocast_dtype(device_type: str = "cpu") -> DType:
    """The lower precision that regions use.

    >>> get_autocast_dtype("cpu")
    fovea.bfloat16
    """
    _need_cpu("get_autocast_dtype", device_type)
    return casting.mode().dtype


def set_autocast_dtype(device_type: str, dtype: Any) -> None:
    """Set the lower precision that regions of this thread use by default."""
    _need_cpu("set_autocast_dtype", device_type)
    chosen = as_dtype(dtype)
    if chosen not in _LOWER:
        raise ArgumentError(f"autocast: dtype must be bfloat16 or float16, got {chosen.name}.")
    casting.set_mode(casting.mode()._replace(dtype=chosen))


def is_autocast_cache_enabled() -> bool:
    """Whether casts of parameters are kept."""
    return casting.mode().cache_enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Keep casts of parameters, or make them anew each time."""
    casting.set_mode(casting.mode()._replace(cache_enabled=bool(enabled)))


def clear_autocast_cache() -> None:
    """Forget the casts of parameters that this thread keeps."""
    clear_cache()


def _need_cpu(name: str, device_type: str) -> None:
    if not is_autocast_available(device_type):
        raise ArgumentError(f"{name}: there is no device {device_type!r}.", fix="'cpu'")


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str = "cpu", cast_inputs: Any = None
) -> Any:
    """Decorate the forward of an ``autograd.Function`` so that it fits autocast.

    Args:
        device_type: ``"cpu"``.
        cast_inputs: a dtype: inside a region, floating-point tensors are cast to it and forward
            runs without casts. None: forward runs as any code in the region.
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    _need_cpu("custom_fwd", device_type)

    @functools.wraps(fwd)
    def run(*args: Any, **kwargs: Any) -> Any:
        ctx = args[0]
        ctx._dtype = casting.mode().dtype
        if cast_inputs is None:
            ctx._fwd_used_autocast = casting.enabled()
            return fwd(*args, **kwargs)
        inside = casting.enabled()
        ctx._fwd_used_autocast = False
        if not inside:
            return fwd(*args, **kwargs)
        dtype = as_dtype(cast_inputs)
        with autocast(device_type, enabled=False):
            return fwd(*_cast_all(args, dtype), **_cast_all(kwargs, dtype))

    return run


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str = "cpu") -> Any:
    """Decorate the backward of an ``autograd.Function``: it runs with forward's autocast mode."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)
    _need_cpu("custom_bwd", device_type)

    @functools.wraps(bwd)
    def run(*args: Any, **kwargs: Any) -> Any:
        ctx = args[0]
        with autocast(device_type, dtype=ctx._dtype, enabled=ctx._fwd_used_autocast):
            return bwd(*args, **kwargs)

    return run


def _cast_all(value: Any, dtype: DType) -> Any:
    """Every floating-point tensor in nested tuples, lists and dicts, cast; float64 ones stay."""
    if hasattr(value, "dtype") and hasattr(value, "storage"):
        fits = value.dtype.is_floating_point and value.dtype is not dtypes.float64
        return value.to(dtype) if fits else value
    if isinstance(value, dict):
        return {k: _cast_all(v, dtype) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_cast_all(v, dtype) for v in value)
    return value
