"""`jacrev`, `jacfwd`, `hessian`: all derivatives of a function."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from fovea.autograd.rows import rows
from fovea.errors import ArgumentError, DTypeError, describe
from fovea.func.gradients import Linear, positions
from fovea.func.roots import Run, tensors_of
from fovea.func.trees import Tree

__all__ = ["hessian", "jacfwd", "jacrev"]


def jacrev(
    func: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of ``func``, row by row: one backward pass an element
    of the outputs.

    Args:
        func: returns a structure of tensors, with ``has_aux`` a pair of that and anything.
        argnums: the arguments to differentiate by; each a tensor or a structure of tensors.
        has_aux: return ``(jacobian, aux)``.
        chunk_size: how many rows are computed at once; None: all.

    Returns:
        Takes the arguments of ``func``. In the structure of the output, each tensor is replaced by
        what looks like the argument (for a tuple of ``argnums`` a tuple of those), with tensors of
        shape ``output.shape + argument.shape``.

    >>> import fovea
    >>> jacrev(fovea.sin)(fovea.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if chunk_size is not None and chunk_size < 1:
        raise ArgumentError(f"jacrev: chunk_size must be positive, got {chunk_size}.")

    @functools.wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        chosen = positions("jacrev", argnums, len(args))
        call = Run("jacrev", func, args, kwargs, chosen, has_aux)
        outputs, structure = tensors_of("jacrev", call.output, "outputs")
        _check_real(call)
        for o in outputs:
            if not o.dtype.is_floating_point:
                raise DTypeError("jacrev: func must return floats.", {"returned": describe(o)})
        create = call.tied(outputs, call.aux)
        found = [rows(o, call.roots, create, chunk_size) for o in outputs]
        result = _arranged(found, structure, call.tree, argnums)
        return (result, call.released(call.aux, create)) if has_aux else result

    return run


def jacfwd(
    func: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
) -> Callable[..., Any]:
    """A function that returns the Jacobian of ``func``, column by column where there are fewer
    elements of the arguments than of the outputs. (Else rows are cheaper, and give the same.)

    Args:
        func, argnums, has_aux: as for `jacrev`.
        randomness: accepted; ``func`` runs once, so that all columns see the same draws.

    >>> import fovea
    >>> jacfwd(fovea.sin)(fovea.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    @functools.wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        chosen = positions("jacfwd", argnums, len(args))
        call = Run("jacfwd", func, args, kwargs, chosen, has_aux)
        outputs, structure = tensors_of("jacfwd", call.output, "outputs")
        _check_real(call)
        keep = call.tied(outputs, call.aux)
        if sum(t.numel() for t in call.roots) < sum(o.numel() for o in outputs):
            found: Any = _columns(Linear(call))
        else:
            found = [rows(o, call.roots, keep) for o in outputs]
        result = _arranged(found, structure, call.tree, argnums)
        return (result, call.released(call.aux, keep)) if has_aux else result

    return run


def _check_real(call: Run) -> None:
    """Complex numbers have more derivatives than these."""
    for t in call.roots:
        if t.dtype.is_complex:
            raise DTypeError(
                f"{call.name}: arguments must be real.", {"argument": describe(t)}, "use vjp or jvp"
            )


def hessian(func: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """A function that returns all second derivatives of ``func``: `jacfwd` of `jacrev`.

    >>> import fovea
    >>> hessian(lambda x: (x ** 3).sum())(fovea.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)


def _columns(line: Linear) -> list[list[Any]]:
    """For each output and root the derivatives, of shape ``output.shape + root.shape``: ``v^T J``
    differentiated by ``v``, element by element.
    """
    call = line.call
    create = call.tied(line.outputs)
    by_root = [rows(p, line.probes, create, None) for p in line.pulled]
    return [
        [
            g.permute(*range(root.ndim, g.ndim), *range(root.ndim))
            for g, root in zip(column, call.roots, strict=True)
        ]
        for column in zip(*by_root, strict=True)
    ]


def _arranged(
    found: Sequence[Sequence[Any]], structure: Tree, tree: Tree, argnums: int | tuple[int, ...]
) -> Any:
    """Blocks in the structure of the outputs, each in that of the arguments."""
    blocks = [tree.build(block) for block in found]
    return structure.build([b if isinstance(argnums, tuple) else b[0] for b in blocks])
