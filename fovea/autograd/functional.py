"""Jacobians, Hessians and their products with vectors.

``fovea.func`` has the same as functions of functions; these here are PyTorch's older forms, which
take the function and its arguments at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fovea import dispatch
from fovea.autograd.rows import rows
from fovea.backward import grad
from fovea.errors import ArgumentError, GradientError, ShapeError, describe
from fovea.functions.creation import ones_like, zeros, zeros_like
from fovea.functions.parts import stack
from fovea.functions.ranges import eye
from fovea.functions.shaping import reshape
from fovea.tensorbase import TensorBase

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = tuple[Any, ...]


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The outputs of ``func`` and the product of a vector with its Jacobian, ``v^T J``.

    Args:
        func: takes the inputs, returns a tensor or a tuple of them.
        inputs: a tensor or a tuple of them.
        v: as the outputs; may be left out if the output has one element.
        create_graph: record, so that the results can be differentiated.
        strict: raise where an output does not depend on an input, instead of giving zeros.

    >>> import fovea
    >>> vjp(lambda x: x * x, fovea.tensor([1.0, 2.0]), fovea.ones(2))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    with _recording():
        call = _Call("vjp", func, inputs, create_graph, strict)
        seeds = call.vector(v, call.outputs, "outputs")
        found = call.gradients(call.outputs, call.inputs, seeds, create_graph)
    return call.finished(call.outputs, call.one_output), call.finished(found, call.one_input)


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The outputs of ``func`` and the product of its Jacobian with a vector, ``J v``.

    ``v^T J`` is linear in its vector: its gradient is ``J v``, in two backward passes.

    Args:
        func, inputs, create_graph, strict: as for `vjp`.
        v: as the inputs; may be left out if the input has one element.

    >>> import fovea
    >>> jvp(lambda x: x * x, fovea.tensor([1.0, 2.0]), fovea.tensor([1.0, 0.0]))
    (tensor([1., 4.]), tensor([2., 0.]))
    """
    with _recording():
        call = _Call("jvp", func, inputs, create_graph, strict)
        direction = call.vector(v, call.inputs, "inputs")
        probe = tuple(zeros_like(o).requires_grad_() for o in call.outputs)
        pulled = call.gradients(call.outputs, call.inputs, probe, create=True)
        found = call.gradients(pulled, probe, direction, create_graph, "backward")
    return call.finished(call.outputs, call.one_output), call.finished(found, call.one_output)


def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The output of a scalar ``func`` and the product of a vector with its Hessian.

    Args:
        func, inputs, v, create_graph, strict: as for `jvp`.

    >>> import fovea
    >>> vhp(lambda x: (x * x * x).sum(), fovea.tensor([1.0, 2.0]), fovea.ones(2))
    (tensor(9.), tensor([ 6., 12.]))
    """
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The output of a scalar ``func`` and the product of its Hessian with a vector.

    Args:
        func, inputs, v, create_graph, strict: as for `jvp`.
    """
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


def _hessian_product(
    name: str, func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool, strict: bool
) -> tuple[Any, Any]:
    """The Hessian is symmetric where second derivatives are continuous, so both sides are one."""
    with _recording():
        call = _Call(name, func, inputs, create_graph, strict)
        call.check_scalar()
        vector = call.vector(v, call.inputs, "inputs")
        slope = call.gradients(call.outputs, call.inputs, None, create=True)
        found = call.gradients(slope, call.inputs, vector, create_graph, "gradient")
    return call.finished(call.outputs, call.one_output), call.finished(found, call.one_input)


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """All derivatives of all outputs.

    Args:
        func, inputs, create_graph, strict: as for `vjp`.
        vectorize: all rows (or columns) at once, through `fovea.vmap`, instead of one by one.
        strategy: ``"reverse-mode"``, row by row, or ``"forward-mode"``, column by column: for
            functions with more outputs than inputs.

    Returns:
        Of shape ``output.shape + input.shape``; for several outputs or inputs a tuple of those, and
        for several of both a tuple of tuples: first by output.

    >>> import fovea
    >>> jacobian(lambda x: x * x, fovea.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ArgumentError(
            f"jacobian: unknown strategy {strategy!r}.", fix='"reverse-mode" or "forward-mode"'
        )
    if strict and vectorize:
        raise ArgumentError("jacobian: strict=True and vectorize=True exclude each other.")
    rows: Sequence[Tensors]
    with _recording():
        call = _Call("jacobian", func, inputs, create_graph, strict)
        if strategy == "reverse-mode":
            rows = tuple(call.rows(o, call.inputs, create_graph, vectorize) for o in call.outputs)
        else:
            rows = call.columns(create_graph, vectorize)
    blocks = tuple(call.finished(row, call.one_input) for row in rows)
    return blocks[0] if call.one_output else blocks


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """All second derivatives of a scalar function.

    Args:
        func: as for `vjp`; its output has one element.
        inputs, create_graph, strict, vectorize: as for `jacobian`.
        outer_jacobian_strategy: the ``strategy`` by which the gradient is differentiated.

    Returns:
        Of shape ``input.shape + input.shape``; for several inputs a tuple of tuples.

    >>> import fovea
    >>> hessian(lambda x: (x * x * x).sum(), fovea.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    one = isinstance(inputs, TensorBase)

    def slope(*args: Any) -> Any:
        call = _Call("hessian", func, args, create_graph=True, strict=strict)
        call.check_scalar()
        found = call.gradients(call.outputs, call.inputs, None, create=True)
        return found[0] if one else found

    return jacobian(slope, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


class _recording:  # noqa: N801 - reads like enable_grad, which stands above this module
    """Recording is on within, whatever it is outside."""

    def __enter__(self) -> None:
        self.before = dispatch.set_grad_enabled(True)

    def __exit__(self, *exc: object) -> None:
        dispatch.set_grad_enabled(self.before)


class _Call:
    """One call of the user's function on inputs of its own.

    Args:
        name: what was asked for; errors begin with it.
        create_graph: whether results are to depend on the caller's inputs.
        strict: whether zeros for lack of a dependence are an error.
    """

    def __init__(
        self, name: str, func: Callable[..., Any], inputs: Any, create_graph: bool, strict: bool
    ) -> None:
        self.name, self.create, self.strict = name, create_graph, strict
        self.one_input = isinstance(inputs, TensorBase)
        given = self._tensors(inputs, "inputs")
        self.inputs = tuple(_own(t, create_graph) for t in given)
        made = func(*self.inputs)
        self.one_output = isinstance(made, TensorBase)
        self.outputs = self._tensors(made, "outputs")
        for n, o in enumerate(self.outputs):
            if strict and not o.requires_grad:
                raise GradientError(f"{name}: output {n} is independent of the inputs.")

    def _tensors(self, value: Any, what: str) -> Tensors:
        found = (value,) if isinstance(value, TensorBase) else value
        if not (
            isinstance(found, tuple | list)
            and found
            and all(isinstance(t, TensorBase) for t in found)
        ):
            raise ArgumentError(
                f"{self.name}: {what} must be a tensor or a tuple of tensors, got "
                f"{type(value).__name__}."
            )
        return tuple(found)

    def check_scalar(self) -> None:
        """One output with one element."""
        if not self.one_output or self.outputs[0].numel() != 1:
            raise ShapeError(
                f"{self.name}: func must return one tensor with one element.",
                {"returned": ", ".join(map(describe, self.outputs))},
            )

    def vector(self, v: Any, like: Tensors, what: str) -> Tensors:
        """``v``, checked: ones for a single element if it was left out."""
        if v is None:
            if len(like) != 1 or like[0].numel() != 1:
                raise ArgumentError(
                    f"{self.name}: v may be left out only if the {what} have one element."
                )
            return (ones_like(like[0].detach()),)
        given = self._tensors(v, "v")
        if [tuple(t.shape) for t in given] != [tuple(t.shape) for t in like]:
            raise ShapeError(
                f"{self.name}: v does not look like the {what}.",
                {"v": ", ".join(map(describe, given)), what: ", ".join(map(describe, like))},
            )
        return given

    def gradients(
        self,
        outputs: Tensors,
        inputs: Tensors,
        seeds: Tensors | None,
        create: bool,
        what: str = "output",
    ) -> Tensors:
        """Gradients, with zeros for those that are none (an error if strict)."""
        if seeds is None:
            seeds = tuple(ones_like(o.detach()) for o in outputs)
        live = [(o, s) for o, s in zip(outputs, seeds, strict=True) if o.requires_grad]
        found: Tensors = (None,) * len(inputs)
        if live:
            outs, grads = zip(*live, strict=True)
            found = grad(outs, inputs, grads, True, create, allow_unused=True)
        return tuple(self._or_zeros(g, t, n, what) for n, (g, t) in enumerate(zip(found, inputs)))  # noqa: B905

    def _or_zeros(self, g: Any, t: Any, n: int, what: str) -> Any:
        if g is None and self.strict:
            raise GradientError(f"{self.name}: the {what} is independent of input {n}.")
        if g is not None and self.strict and self.create and not g.requires_grad:
            raise GradientError(
                f"{self.name}: the result for input {n} is independent of the inputs, so that it "
                "cannot be differentiated."
            )
        return zeros_like(t.detach()) if g is None else g

    def rows(self, output: Any, inputs: Tensors, create: bool, at_once: bool) -> Tensors:
        """The derivatives of one output, for each input ``output.shape + input.shape``."""
        count = output.numel()
        shapes = [(*output.shape, *t.shape) for t in inputs]
        if not (count and output.requires_grad):
            if count and self.strict:
                raise GradientError(f"{self.name}: an output is independent of the inputs.")
            return tuple(zeros(s, dtype=t.dtype) for s, t in zip(shapes, inputs, strict=True))
        if at_once:
            return tuple(rows(output, inputs, create))
        seeds = [reshape(row, output.shape) for row in eye(count, dtype=output.dtype)]
        each = [self.gradients((output,), inputs, (seed,), create) for seed in seeds]
        found = [stack(column) for column in zip(*each, strict=True)]
        return tuple(reshape(g, s) for g, s in zip(found, shapes, strict=True))

    def columns(self, create: bool, at_once: bool) -> Sequence[Tensors]:
        """The same for all outputs, by differentiating ``v^T J`` by ``v``: a pass for each element
        of the inputs.
        """
        probe = tuple(zeros_like(o.detach()).requires_grad_() for o in self.outputs)
        pulled = self.gradients(self.outputs, self.inputs, probe, create=True)
        turned = [self.rows(p, probe, create, at_once) for p in pulled]  # input first, then output
        return [
            tuple(
                g.permute(*range(t.ndim, g.ndim), *range(t.ndim))
                for g, t in zip(column, self.inputs, strict=True)
            )
            for column in zip(*turned, strict=True)
        ]

    def finished(self, tensors: Tensors, one: bool) -> Any:
        """Results for the caller: off the tape unless they shall be differentiated."""
        kept = tensors if self.create else tuple(t.detach() for t in tensors)
        return kept[0] if one else kept


def _own(t: Any, create_graph: bool) -> Any:
    """An input to differentiate by: tied to the caller's if results are to depend on it."""
    if create_graph and t.requires_grad:
        return t.view_as(t)
    return t.detach().requires_grad_()
