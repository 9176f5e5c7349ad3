"""Symbolic tensors: what layers are called with while a model is being put together."""

from __future__ import annotations

from typing import Any, NamedTuple

from fovea.errors import ArgumentError, ShapeError
from fovea.keras import config
from fovea.keras.naming import auto_name
from fovea.keras.tree import flatten, map_structure

__all__ = ["History", "KerasTensor", "Node", "any_symbolic", "is_keras_tensor"]

Shape = tuple[int | None, ...]


class History(NamedTuple):
    """Where a symbolic tensor comes from: a layer, its call's number, the output's number."""

    operation: Any
    node_index: int
    tensor_index: int


class KerasTensor:
    """A tensor that has a shape and a dtype but no values yet.

    Arithmetic and indexing make layers of the graph, as calling a layer does.

    Args:
        shape: sizes; None for those that may vary, such as the batch's.
        dtype: a dtype or its name.
        name: made up unless given.

    >>> KerasTensor((None, 3))
    <KerasTensor shape=(None, 3), dtype=float32, name=...>
    """

    keras_history: History
    __array_ufunc__ = None  # so that ``array + symbolic`` asks the symbolic tensor

    def __init__(self, shape: Any, dtype: Any = "float32", name: str | None = None) -> None:
        self.shape: Shape = tuple(None if d is None else int(d) for d in shape)
        self.dtype = config.standardize_dtype(dtype)
        self.name = name or auto_name(type(self).__name__)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def sparse(self) -> bool:
        """False: no tensor is sparse."""
        return False

    @property
    def ragged(self) -> bool:
        """False: no tensor is ragged."""
        return False

    def reshape(self, newshape: Any) -> Any:
        """``ops.reshape`` of it."""
        from fovea.keras import ops

        return ops.reshape(self, newshape)

    def squeeze(self, axis: Any = None) -> Any:
        """``ops.squeeze`` of it."""
        from fovea.keras import ops

        return ops.squeeze(self, axis)

    def __round__(self, ndigits: int | None = None) -> Any:
        from fovea.keras import ops

        return ops.round(self, decimals=ndigits or 0)

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"

    def _refuse(self, what: str) -> ArgumentError:
        return ArgumentError(
            f"a symbolic tensor has no values, so it cannot be {what}.",
            {"tensor": repr(self)},
            "put the computation into a Lambda or a Layer of your own",
        )

    @property
    def _form(self) -> Any:  # what ops ask of their inputs
        raise self._refuse("passed to a function of tensors; those of keras.ops take it")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise self._refuse("turned into an array")

    def __bool__(self) -> bool:
        raise self._refuse("used as a condition")

    def __float__(self) -> float:
        raise self._refuse("turned into a number")

    def __iter__(self) -> Any:
        raise self._refuse("iterated over")

    def __len__(self) -> int:
        raise self._refuse("measured with len()")


_UNARY = {"neg": "negative", "abs": "absolute", "invert": "logical_not"}
_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
    "floordiv": "floor_divide", "mod": "mod", "pow": "power", "matmul": "matmul",
    "and": "logical_and", "or": "logical_or", "xor": "logical_xor",
}  # fmt: skip
_COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "ne": "not_equal",
    "getitem": "get_item",
}  # fmt: skip


def _operator(function: str, reflected: bool = False) -> Any:
    """An operator of symbolic tensors: a call of a function of ``keras.ops``."""

    def operate(self: Any, *others: Any) -> Any:
        from fovea.keras import ops

        return getattr(ops, function)(*((*others, self) if reflected else (self, *others)))

    return operate


for _name, _function in (_UNARY | _BINARY | _COMPARISONS).items():
    setattr(KerasTensor, f"__{_name}__", _operator(_function))
for _name, _function in _BINARY.items():
    setattr(KerasTensor, f"__r{_name}__", _operator(_function, reflected=True))


def is_keras_tensor(x: Any) -> bool:
    """Whether ``x`` is symbolic.

    >>> is_keras_tensor(KerasTensor((None, 3))), is_keras_tensor(3)
    (True, False)
    """
    return isinstance(x, KerasTensor)


def any_symbolic(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether any argument is or holds a symbolic tensor."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, KerasTensor):
            return True
        if isinstance(value, list | tuple | dict) and any(
            isinstance(leaf, KerasTensor) for leaf in flatten(value)
        ):
            return True
    return False


class Node:
    """One symbolic call of a layer.

    Attributes:
        operation: the layer.
        args, kwargs: what it was called with.
        outputs: what it returned: one symbolic tensor or a structure of them.
    """

    def __init__(
        self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any
    ) -> None:
        self.operation, self.args, self.kwargs, self.outputs = operation, args, kwargs, outputs
        self.input_tensors = [
            t for t in flatten([list(args), dict(kwargs)]) if isinstance(t, KerasTensor)
        ]
        self.output_tensors = flatten(outputs)
        self.index = len(operation._inbound_nodes)
        operation._inbound_nodes.append(self)
        for i, t in enumerate(self.output_tensors):
            t.keras_history = History(operation, self.index, i)

    @property
    def parents(self) -> list[Node]:
        """The calls that made the inputs."""
        found = []
        for t in self.input_tensors:
            history = t.keras_history
            found.append(history.operation._inbound_nodes[history.node_index])
        return found

    @property
    def is_input(self) -> bool:
        """Whether this is an ``Input``, which takes nothing."""
        return not self.input_tensors


def shape_of(value: Any) -> Any:
    """The shape of a tensor, or the same structure with shapes in place of tensors."""
    return map_structure(lambda t: tuple(t.shape) if hasattr(t, "shape") else None, value)


def spec_shapes(shapes: Any) -> list[Shape]:
    """The shapes in a structure whose leaves are tuples of sizes."""
    if isinstance(shapes, dict):
        return [s for key in sorted(shapes) for s in spec_shapes(shapes[key])]
    if shapes is None or is_shape(shapes):
        return [shapes]
    return [s for part in shapes for s in spec_shapes(part)]


def is_shape(value: Any) -> bool:
    """Whether a value is one shape: a sequence of sizes and None.

    >>> is_shape((None, 3)), is_shape([(None, 3), (None, 4)])
    (True, False)
    """
    return isinstance(value, list | tuple) and all(
        d is None or (hasattr(d, "__index__") and not isinstance(d, bool)) for d in value
    )


def need_size(shape: Shape, axis: int, layer: Any) -> int:
    """The size along an axis, which the layer's weights depend on.

    Raises:
        ShapeError: it is not known.
    """
    rank = len(shape)
    if not -rank <= axis < rank or shape[axis] is None:
        raise ShapeError(
            f"{layer.name}: dimension {axis} of the input must be known to make the weights.",
            {"input": str(tuple(shape))},
            "give its size in Input(shape=...) or input_shape=...",
        )
    return int(shape[axis])  # type: ignore[arg-type]
