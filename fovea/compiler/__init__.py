"""`fovea.compile`: functions, modules and training steps as programs."""

from __future__ import annotations

from typing import Any

from fovea.compiler.dynamic import mark_dynamic
from fovea.compiler.function import CompiledFunction
from fovea.compiler.module import CompiledModule
from fovea.compiler.switches import (
    allow_in_graph,
    assume_constant_result,
    cudagraph_mark_step_begin,
    disable,
    is_compiling,
    is_dynamo_compiling,
    is_exporting,
    list_backends,
    reset,
    set_stance,
)
from fovea.nn.module import Module

__all__ = [
    "CompiledFunction",
    "CompiledModule",
    "allow_in_graph",
    "assume_constant_result",
    "compile",
    "cudagraph_mark_step_begin",
    "disable",
    "is_compiling",
    "is_dynamo_compiling",
    "is_exporting",
    "list_backends",
    "mark_dynamic",
    "reset",
    "set_stance",
]


def compile(
    model: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "fovea",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
    strict: bool = False,
    memory_limit: int | None = None,
) -> Any:
    """Turn a function, a module or a whole training step into programs.

    The function is run once, eagerly and for good, while what it does is recorded; from then on
    calls with arguments of the same kinds run the recorded program, optimized as a whole. Tensors
    that the function finds (parameters, running statistics, an optimizer's states, random
    generators) are read and changed in place by the program.

    What a capture takes as constant (other arguments, attributes of modules, numbers in closures
    and globals) is compared in each call; where it changed, the function is captured again. A
    function that decides by the values of tensors cannot be captured: it runs eagerly, with one
    warning that names the line.

    Args:
        model: the function or module; left out, a decorator is returned.
        fullgraph, strict: raise ``CaptureError`` where a call cannot be captured.
        dynamic: whether Python stops running for new batch sizes once two have been captured. None:
            where the code does not decide by sizes (three captures where it does); True: in any
            case (`fovea.compiler.mark_dynamic` says so of one argument); False: never.
        backend, mode, options: accepted for PyTorch's sake.
        disable: return ``model`` as it is.
        memory_limit: bytes that a call's intermediate results may take: what is cheap to make again
            is dropped and made again for backward (gradient checkpointing).

    Returns:
        A function, or for a module a module with the same parameters.

    >>> import fovea
    >>> @fovea.compile
    ... def f(x, y):
    ...     return (x * y + 1).relu()
    >>> x = fovea.tensor([1.0, -2.0])
    >>> f(x, x), f(x, -x)
    (tensor([2., 5.]), tensor([0., 0.]))
    """
    if model is None:
        return lambda m: compile(
            m, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options,
            disable=disable, strict=strict, memory_limit=memory_limit,
        )  # fmt: skip
    if disable:
        return model
    if isinstance(model, Module):
        return CompiledModule(
            model, strict=strict or fullgraph, memory_limit=memory_limit, dynamic=dynamic
        )
    return CompiledFunction(
        model, strict=strict or fullgraph, memory_limit=memory_limit, dynamic=dynamic
    )
