"""``fovea.autograd.profiler``: `fovea.profiler` by PyTorch's older name."""

from __future__ import annotations

from typing import Any

__all__ = ["profile"]


def profile(
    enabled: bool = True,
    *,
    use_cuda: bool = False,
    use_device: str | None = None,
    record_shapes: bool = False,
    with_flops: bool = False,
    profile_memory: bool = False,
    with_stack: bool = False,
    with_modules: bool = False,
    **kwargs: Any,
) -> Any:
    """`fovea.profiler.profile` with the arguments of PyTorch's older one.

    >>> import fovea
    >>> with profile(use_cuda=False) as prof:
    ...     y = fovea.ones(2) + 1
    >>> "add" in prof.key_averages().table(sort_by="cpu_time_total")
    True
    """
    from contextlib import nullcontext

    from fovea import profiler

    if not enabled:
        return nullcontext()
    return profiler.profile(
        record_shapes=record_shapes,
        with_flops=with_flops,
        profile_memory=profile_memory,
        with_stack=with_stack,
        with_modules=with_modules,
    )


def __getattr__(name: str) -> Any:
    if name == "record_function":
        from fovea.profiler import record_function

        return record_function
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
