"""Rules that families of ops share: broadcasting, layout, dimensions, sums back to a shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.dtypes import DType
from fovea.errors import DTypeError, OutOfRangeError, ShapeError, describe
from fovea.ops.op import Shaped, Spec, contiguous_strides

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "broadcast_shapes",
    "channels_last_strides",
    "check_vectors",
    "elementwise_spec",
    "like_layout",
    "normalize_dim",
    "normalize_dims",
    "require_dims",
    "require_dtype",
    "require_floating",
    "require_inexact",
    "require_real",
    "same_dtype",
    "statistics_dtype",
    "sum_to",
]


def broadcast_shapes(name: str, *shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that all broadcast to, by NumPy's rules.

    >>> broadcast_shapes("add", (3, 1), (4,))
    (3, 4)
    """
    if len(shapes) == 2 and shapes[0] == shapes[1]:
        return tuple(shapes[0])
    rank = max(map(len, shapes), default=0)
    out = [1] * rank
    for shape in shapes:
        for i, n in enumerate(shape, rank - len(shape)):
            if n != 1:
                if out[i] not in (1, n):
                    raise ShapeError(
                        f"{name}: shapes {' and '.join(str(tuple(s)) for s in shapes)} do not "
                        "broadcast: "
                        f"dimension {i - rank} is {out[i]} in one and {n} in another.",
                        fix="sizes must be equal or 1, counted from the right",
                    )
                out[i] = n
    return tuple(out)


def like_layout(shape: tuple[int, ...], inputs: Sequence[Shaped]) -> tuple[int, ...]:
    """Dense strides for ``shape`` in the dimension order of the first input that has this shape.

    So an activation after a channels-last convolution stays channels-last. Expanded inputs, whose
    elements share memory, have no order.
    """
    for t in inputs:
        if tuple(t.shape) == shape and t.strides is not None:
            spanned = (s for s, n in zip(t.strides, shape, strict=True) if n > 1)
            if all(spanned):
                return dense_strides(shape, t.strides)
    return contiguous_strides(shape)


def dense_strides(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """Strides without gaps whose order of dimensions is that of ``strides``."""
    plain = contiguous_strides(shape)
    if strides == plain:
        return plain
    spanned = [i for i, n in enumerate(shape) if n > 1]
    if any(strides[i] == 0 for i in spanned):
        return plain
    order = sorted(range(len(shape)), key=lambda i: (shape[i] > 1, strides[i], -i))
    out, step = [0] * len(shape), 1
    for i in order:
        out[i] = step
        step *= max(shape[i], 1)
    return tuple(out)


def channels_last_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides of a logical (N, C, spatial...) image batch whose channels lie together in memory.

    >>> channels_last_strides((2, 3, 4, 5))
    (60, 1, 15, 3)
    """
    n, c, *spatial = shape
    physical = contiguous_strides((n, *spatial, c))
    return (physical[0], physical[-1], *physical[1:-1])


def elementwise_spec(name: str, inputs: Sequence[Shaped], dtype: DType | None = None) -> Spec:
    """The spec of a broadcast element-wise result (default dtype: the first input's)."""
    if len(inputs) == 1:
        x = inputs[0]
        shape = tuple(x.shape)
    else:
        shape = broadcast_shapes(name, *(t.shape for t in inputs))
    return Spec(shape, dtype or inputs[0].dtype, like_layout(shape, inputs))


def same_dtype(name: str, *inputs: Shaped) -> DType:
    """The dtype that all inputs have; DTypeError if they differ."""
    first = inputs[0].dtype
    for t in inputs[1:]:
        if t.dtype is not first:
            raise _mixed(name, inputs)
    return first


def _mixed(name: str, inputs: Sequence[Shaped]) -> DTypeError:
    """An error that tells the inputs' dtypes, and how to mend it."""
    from fovea.ops.op import REGISTRY

    op, rows, fix = REGISTRY.get(name), None, "convert one with .to(dtype)"
    if op is not None and len(op.inputs) >= len(inputs) and not op.variadic:
        rows = {key: describe(t) for key, t in zip(op.inputs, inputs, strict=False)}
        first, wanted = op.inputs[0], inputs[1].dtype
        if all(t.dtype is wanted for t in inputs[1:]):
            fix = f"{first}.to(fovea.{wanted.name})"
            if "weight" in rows:
                fix += f", or the module's .to(fovea.{inputs[0].dtype.name})"
    kinds = ", ".join(t.dtype.name for t in inputs)
    return DTypeError(f"{name}: inputs have dtypes {kinds}; they must be equal.", rows, fix)


def require_floating(name: str, **inputs: Shaped | None) -> None:
    """DTypeError unless all given inputs are floating point."""
    for key, t in inputs.items():
        if t is not None and not t.dtype.is_floating_point:
            raise DTypeError(
                f"{name}: {key} must be floating point, got {describe(t)}.", fix=f"{key}.float()"
            )


def require_inexact(name: str, x: Shaped) -> None:
    """DTypeError unless ``x`` is floating point or complex."""
    if not x.dtype.is_complex:
        require_floating(name, x=x)


def require_real(name: str, x: Shaped) -> None:
    """DTypeError for complex numbers, which have no order."""
    if x.dtype.is_complex:
        raise DTypeError(f"{name}: complex numbers have no order, got {describe(x)}.")


def require_dtype(name: str, key: str, t: Shaped, *allowed: DType) -> None:
    """DTypeError unless ``t`` has one of the allowed dtypes."""
    if t.dtype not in allowed:
        names = " or ".join(d.name for d in allowed)
        raise DTypeError(
            f"{name}: {key} must be {names}, got {describe(t)}.",
            fix=f"{key}.to(fovea.{allowed[0].name})",
        )


def statistics_dtype(dtype: DType) -> DType:
    """What means and variances of ``dtype`` are kept in."""
    return dtypes.float32 if dtype.itemsize < 4 else dtype


def check_vectors(
    name: str, x: Shaped, shape: tuple[int, ...], what: str, **vectors: Shaped | None
) -> None:
    """The per-channel (or per-feature) inputs: right shape, a dtype that goes with x's."""
    allowed = (x.dtype, statistics_dtype(x.dtype))
    for key, t in vectors.items():
        if t is None:
            continue
        if tuple(t.shape) != shape:
            raise ShapeError(
                f"{name}: {key} has shape {tuple(t.shape)}, x needs {shape}: one number a {what}.",
                {"x": describe(x), key: describe(t)},
                f"a layer that is made for {shape[0]} {what}s" if len(shape) == 1 else None,
            )
        if t.dtype not in allowed:
            raise DTypeError(
                f"{name}: {key} is {t.dtype.name} but x is {x.dtype.name}.",
                fix=f"{key}.to(x.dtype)",
            )


def normalize_dim(name: str, dim: int, rank: int) -> int:
    """``dim`` counted from the front; OutOfRangeError outside [-rank, rank)."""
    limit = max(rank, 1)
    if not -limit <= dim < limit:
        raise OutOfRangeError(
            f"{name}: dimension {dim} is out of range for a tensor of {rank} dimensions "
            f"(expected {-limit} to {limit - 1})."
        )
    return dim % limit


def normalize_dims(name: str, dims: Any, rank: int) -> tuple[int, ...]:
    """None (all), an int or a sequence as sorted distinct dimensions counted from the front."""
    if dims is None:
        return tuple(range(rank))
    if isinstance(dims, int):
        return (normalize_dim(name, dims, rank),) if rank else ()
    out = tuple(normalize_dim(name, int(d), rank) for d in dims)
    if len(set(out)) != len(out):
        raise OutOfRangeError(f"{name}: dimensions {tuple(dims)} name one twice.")
    return tuple(sorted(out)) if rank else ()


def require_dims(name: str, rank: int, dims: Sequence[int], scalars: bool = False) -> None:
    """OutOfRangeError unless these are different dimensions of a tensor of ``rank``, from the
    front.

    Args:
        scalars: a 0-d tensor counts as a vector of one element.
    """
    limit = max(rank, scalars)
    for d in dims:
        if not 0 <= d < limit:
            raise OutOfRangeError(
                f"{name}: dimension {d} is out of range for a tensor of {rank} dimensions."
            )
    if len(set(dims)) != len(dims):
        raise OutOfRangeError(f"{name}: dimensions {tuple(dims)} name one twice.")


def sum_to(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum a gradient over the dimensions along which its tensor was broadcast."""
    if g.shape == shape:
        return g
    lead = len(g.shape) - len(shape)
    dims = tuple(range(lead)) + tuple(
        i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1
    )
    if dims:
        g = g.sum(dims, keepdim=True)
    return g.reshape(shape) if lead else g
