"""`grad`, `vjp`, `jvp`, `linearize`: functions that give a function's derivatives."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fovea.autograd.grad_mode import set_grad_enabled
from fovea.errors import ArgumentError, DTypeError, GradientError, ShapeError, describe
from fovea.func.roots import Run, tensors_of
from fovea.functions.creation import zeros_like
from fovea.tensorbase import is_tensor

__all__ = ["grad", "grad_and_value", "jvp", "linearize", "positions", "value_and_grad", "vjp"]


def positions(name: str, argnums: int | tuple[int, ...], count: int) -> tuple[int, ...]:
    """``argnums`` as a tuple of positions among so many arguments."""
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers:
        raise ArgumentError(f"{name}: argnums must not be empty.")
    for n in numbers:
        if isinstance(n, bool) or not isinstance(n, int):
            raise ArgumentError(f"{name}: argnums must be integers, got {type(n).__name__}.")
        if not -count <= n < count:
            raise ArgumentError(f"{name}: argnum {n}, but only {count} positional arguments.")
    found = tuple(n % count for n in numbers)
    if len(set(found)) != len(found):
        raise ArgumentError(f"{name}: argnums must be unique, got {numbers}.")
    return found


def grad(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of a scalar ``func``.

    Args:
        func: returns a 0-d tensor, or with ``has_aux`` a pair ``(tensor, aux)``.
        argnums: the arguments to differentiate by; each a tensor or a structure of tensors.
        has_aux: return ``(gradient, aux)``.

    Returns:
        Takes the arguments of ``func``. The gradient looks like the argument; for a tuple of
        ``argnums`` it is a tuple. It can be differentiated in turn.

    >>> import fovea
    >>> grad(lambda x: x ** 3)(fovea.tensor(2.0))
    tensor(12.)
    >>> grad(grad(lambda x: x ** 3))(fovea.tensor(2.0))
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return run


def grad_and_value(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns ``(gradient, value)`` of a scalar ``func``.

    Args:
        func, argnums: as for `grad`.
        has_aux: return ``(gradient, (value, aux))``.

    >>> import fovea
    >>> grad_and_value(lambda x: x ** 3)(fovea.tensor(2.0))
    (tensor(12.), tensor(8.))
    """

    @functools.wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        chosen = positions("grad", argnums, len(args))
        call = Run("grad", func, args, kwargs, chosen, has_aux)
        out = call.output
        _check_scalar(out)
        keep = call.tied(out, call.aux)
        found = call.tree.build(call.gradients([out], None, keep))
        value = call.released(out, keep)
        if has_aux:
            value = (value, call.released(call.aux, keep))
        return (found if isinstance(argnums, tuple) else found[0]), value

    return run


def value_and_grad(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns ``(value, gradient)`` of a scalar ``func``: `grad_and_value` in the
    order of JAX and MLX.

    Args:
        func, argnums: as for `grad`.
        has_aux: return ``((value, aux), gradient)``.

    >>> import fovea
    >>> value_and_grad(lambda x: x ** 3)(fovea.tensor(2.0))
    (tensor(8.), tensor(12.))
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return value, gradient

    return run


def _check_scalar(out: Any) -> None:
    if not is_tensor(out):
        raise GradientError(f"grad: func must return a tensor, got {type(out).__name__}.")
    if out.ndim != 0:
        raise ShapeError(
            "grad: func must return a 0-d tensor.",
            {"returned": describe(out)},
            "reduce it, or use vjp or jacrev",
        )
    if not out.dtype.is_floating_point:
        raise DTypeError("grad: func must return a float.", {"returned": describe(out)})


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """The value of ``func``, and a function from cotangents to their products with the Jacobian.

    Args:
        func: takes ``primals``, returns a structure of tensors, with ``has_aux`` a pair of that
            and anything.
        primals: tensors or structures of tensors.

    Returns:
        ``(output, vjp_fn)`` or ``(output, vjp_fn, aux)``. ``vjp_fn`` takes what looks like the
        output and returns a tuple that looks like the primals; it may be called many times.

    >>> import fovea
    >>> y, pull = vjp(lambda x: x * x, fovea.tensor([1.0, 2.0]))
    >>> pull(fovea.ones(2))
    (tensor([2., 4.]),)
    """
    call = Run("vjp", func, primals, {}, range(len(primals)), has_aux)
    outputs, structure = tensors_of("vjp", call.output, "outputs")
    keep = call.tied(outputs, call.aux)

    def pull(*cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        seeds, tree = tensors_of("vjp", given, "cotangents")
        if tree != structure:
            raise ArgumentError(f"vjp: cotangents {tree!r} for an output {structure!r}.")
        create = call.tied(outputs, seeds) if create_graph is None else create_graph
        return call.tree.build(call.gradients(outputs, seeds, create, retain_graph))

    out = call.released(call.output, keep)
    return (out, pull, call.released(call.aux, keep)) if has_aux else (out, pull)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The value of ``func``, and a function from tangents to the Jacobian's products with them.

    ``func`` runs once, however many tangents follow.

    Args:
        func: takes ``primals``, returns a structure of tensors.
        primals: tensors or structures of tensors.

    >>> import fovea
    >>> y, push = linearize(lambda x: x * x, fovea.tensor([1.0, 2.0]))
    >>> push(fovea.tensor([1.0, 0.0]))
    tensor([2., 0.])
    """
    line = Linear(Run("linearize", func, primals, {}, range(len(primals)), False))

    def push(*tangents: Any) -> Any:
        return line.push(tangents)

    return line.value(), push


def jvp(
    func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False,
    has_aux: bool = False,
) -> tuple[Any, ...]:  # fmt: skip
    """The value of ``func`` and the product of its Jacobian with a vector.

    The product of a vector *with* the Jacobian (`vjp`) is linear in the vector; its own gradient is
    the product asked for. So each op's one gradient rule serves both directions.

    Args:
        func: takes ``primals``, returns a structure of tensors, with ``has_aux`` a pair of that
            and anything.
        primals: a tuple of tensors or structures of tensors.
        tangents: a tuple that looks like the primals.
        strict: raise if an output does not depend on the primals, instead of giving zeros.

    Returns:
        ``(output, tangent)`` or ``(output, tangent, aux)``.

    >>> import fovea
    >>> jvp(lambda x: x * x, (fovea.tensor([1.0, 2.0]),), (fovea.tensor([1.0, 0.0]),))
    (tensor([1., 4.]), tensor([2., 0.]))
    """
    for what, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple) or not value:
            raise ArgumentError(f"jvp: {what} must be a tuple of arguments.")
    line = Linear(Run("jvp", func, primals, {}, range(len(primals)), has_aux))
    if strict and any(not o.requires_grad for o in line.outputs):
        raise GradientError("jvp: an output is independent of the primals.")
    pushed = line.push(tangents)
    if has_aux:
        return line.value(), pushed, line.call.released(line.call.aux, line.keep)
    return line.value(), pushed


class Linear:
    """A function made linear at a point: ``v^T J`` on the tape, as a function of ``v``.

    Args:
        call: the function's call there.

    Attributes:
        outputs, structure: what the function returned: leaves and structure.
        probes: the ``v``, one for each output.
        pulled: ``v^T J``, one for each root.
    """

    def __init__(self, call: Run) -> None:
        self.call = call
        self.outputs, self.structure = tensors_of(call.name, call.output, "outputs")
        self.keep = call.tied(self.outputs, call.aux)
        self.probes = [zeros_like(o._alias()) for o in self.outputs]
        with set_grad_enabled(True):
            for o, probe in zip(self.outputs, self.probes, strict=True):
                probe._requires_grad = o.requires_grad
            self.pulled = call.gradients(self.outputs, self.probes, create=True)

    def value(self) -> Any:
        """The function's value."""
        return self.call.released(self.call.output, self.keep)

    def push(self, tangents: tuple[Any, ...]) -> Any:
        """``J`` times the tangents, which look like the primals."""
        call = self.call
        seeds, tree = tensors_of(call.name, tangents, "tangents")
        if tree != call.tree:
            raise ArgumentError(f"{call.name}: tangents {tree!r} for primals {call.tree!r}.")
        for t, root in zip(seeds, call.roots, strict=True):
            if tuple(t.shape) != tuple(root.shape):
                raise ShapeError(
                    f"{call.name}: a tangent's shape is not its primal's.",
                    {"primal": describe(root), "tangent": describe(t)},
                )
        create = call.tied(self.outputs, seeds)
        live = [p for p in self.probes if p.requires_grad]
        found = iter(call.gradients(self.pulled, seeds, create, retain=True, inputs=live))
        return self.structure.build(
            [next(found) if p.requires_grad else zeros_like(p) for p in self.probes]
        )
