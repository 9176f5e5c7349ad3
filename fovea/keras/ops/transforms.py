"""``keras.ops``: functions of functions, and casts that keep within a type's range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fovea
from fovea.errors import ArgumentError
from fovea.keras import config
from fovea.keras.ops.elementwise import tensor
from fovea.keras.ops.symbolic import symbolic
from fovea.keras.tree import flatten, map_structure, pack_as

__all__ = ["associative_scan", "custom_gradient", "saturate_cast", "vectorize"]


@symbolic
def saturate_cast(x: Any, dtype: Any) -> Any:
    """Another dtype; what does not fit becomes its nearest value."""
    x, kind = tensor(x), config.as_dtype(dtype)
    if kind.is_complex or x.dtype.is_complex:
        return x.to(kind)
    if kind.name == "bool":
        return x if x.dtype.name == "bool" else x > 0
    limits = fovea.finfo(kind) if kind.is_floating_point else fovea.iinfo(kind)
    low, high = limits.min, limits.max
    if not x.dtype.is_floating_point:
        own = fovea.iinfo("uint8" if x.dtype.name == "bool" else x.dtype)
        low, high = max(low, own.min), min(high, own.max)
        x = x.to(fovea.uint8) if x.dtype.name == "bool" else x
    elif not kind.is_floating_point:
        # The largest integer may round up to a number that does not fit.
        wide = np.asarray(high).astype(x.dtype.numpy)
        high = float(np.nextafter(wide, x.dtype.numpy.type(0))) if float(wide) > high else high
        x = fovea.where(fovea.isnan(x), 0.0, x)
    return fovea.clamp(x, low, high).to(kind)


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that brings its own gradient: ``f(*args)`` returns the result, and a function that
    makes the arguments' gradients of the result's.

    >>> import fovea
    >>> @custom_gradient
    ... def doubled_backwards(x):
    ...     return x * 1.0, lambda upstream: upstream * 2
    >>> x = fovea.ones(2, requires_grad=True)
    >>> doubled_backwards(x).sum().backward()
    >>> x.grad
    tensor([2., 2.])
    """

    class Custom(fovea.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            result, ctx.backward_function = f(*args)
            ctx.count = len(args)
            return result

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            found = ctx.backward_function(*upstream)
            found = tuple(found) if isinstance(found, list | tuple) else (found,)
            if len(found) != ctx.count:
                raise ArgumentError(
                    f"custom_gradient: {len(found)} gradients for {ctx.count} arguments."
                )
            return found

    def call(*args: Any) -> Any:
        return Custom.apply(*[tensor(a) for a in args])

    return call


def vectorize(
    pyfunc: Callable[..., Any], *, excluded: Any = None, signature: str | None = None
) -> Callable[..., Any]:
    """A function of numbers (or of the axes that ``signature`` names) as one of tensors.

    Args:
        excluded: numbers of arguments that are handed on as they are.
        signature: such as ``"(n),(n)->()"``: what the function takes and gives; without it,
            numbers.
    """
    left_out = set(excluded or ())
    cores = None
    if signature is not None:
        inputs = signature.replace(" ", "").partition("->")[0]
        cores = [len([n for n in part.strip("()").split(",") if n]) for part in _parts(inputs)]

    def call(*args: Any) -> Any:
        moving = [i for i in range(len(args)) if i not in left_out]
        given = [tensor(args[i]) for i in moving]
        ranks = cores if cores is not None else [0] * len(given)
        if len(ranks) != len(given):
            raise ArgumentError(
                f"vectorize: {signature!r} names {len(ranks)} arguments, got {len(given)}."
            )
        loops = [t.shape[: t.ndim - r] for t, r in zip(given, ranks, strict=True)]
        shape = fovea.broadcast_shapes(*loops)
        flat = [
            t.expand(*shape, *t.shape[t.ndim - r :]).reshape(-1, *t.shape[t.ndim - r :])
            for t, r in zip(given, ranks, strict=True)
        ]

        def one(*items: Any) -> Any:
            whole = list(args)
            for i, item in zip(moving, items, strict=True):
                whole[i] = item
            return pyfunc(*whole)

        found = fovea.vmap(one, randomness="different")(*flat)
        return map_structure(lambda t: t.reshape(*shape, *t.shape[1:]), found)

    return call


def _parts(text: str) -> list[str]:
    """``"(n),(m,k)"`` as ["(n)", "(m,k)"]."""
    found, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and not depth:
            found.append("")
        else:
            found[-1] += letter
    return found


@symbolic
def associative_scan(
    f: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """Running results of an associative function along an axis: log2(n) calls of whole tensors.

    Args:
        f: takes and gives structures like ``elems``.
        elems: a tensor, or a structure of them with one size along ``axis``.

    Source: Hillis and Steele, "Data parallel algorithms", CACM 1986.
    """
    leaves = [tensor(t) for t in flatten(elems)]
    sizes = {t.shape[axis] for t in leaves}
    if len(sizes) != 1:
        raise ArgumentError(f"associative_scan: different sizes {sorted(sizes)} along the axis.")
    (n,) = sizes
    leaves = [t.flip((axis % t.ndim,)) for t in leaves] if reverse else leaves
    step = 1
    while step < n:
        early = [t.narrow(axis % t.ndim, 0, n - step) for t in leaves]
        late = [t.narrow(axis % t.ndim, step, n - step) for t in leaves]
        joined = flatten(f(pack_as(elems, early), pack_as(elems, late)))
        leaves = [
            fovea.cat([t.narrow(axis % t.ndim, 0, step), j], axis % t.ndim)
            for t, j in zip(leaves, joined, strict=True)
        ]
        step *= 2
    leaves = [t.flip((axis % t.ndim,)) for t in leaves] if reverse else leaves
    return pack_as(elems, leaves)
