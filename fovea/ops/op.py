"""What an op is: its name, where its output is decided, its gradient, and what it means."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from fovea import casting, dispatch
from fovea.dtypes import DType
from fovea.errors import DTypeError, describe
from fovea.size import contiguous_strides, numel

if TYPE_CHECKING:
    from fovea.tape import OpNode
    from fovea.tensor import Tensor

__all__ = [
    "INPUT",
    "OUTPUT",
    "REGISTRY",
    "REST",
    "Attrs",
    "Keep",
    "Op",
    "Shaped",
    "Spec",
    "contiguous_strides",
    "numel",
]

REGISTRY: dict[str, Op] = {}
PLAN_CACHE_LIMIT = 8192


class Shaped(Protocol):
    """What shape rules see of an input: a Tensor, a Spec or a graph value."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def strides(self) -> tuple[int, ...] | None: ...
    @property
    def dtype(self) -> DType: ...


class Spec(NamedTuple):
    """What an op promises of an output. ``strides`` (elements) ask for a memory layout; None is
    row-major.
    """

    shape: tuple[int, ...]
    dtype: DType
    strides: tuple[int, ...] | None = None


class Attrs:
    """Base of op attributes: frozen dataclasses, interned so that equal fields are one object."""

    _interned: dict[Any, Attrs]
    _has_floats: bool

    def __init_subclass__(cls, floats: bool = False) -> None:
        """``floats``: whether fields hold floats that their annotations do not show."""
        cls._interned = {}
        shown = any("float" in str(kind) for kind in cls.__annotations__.values())
        cls._has_floats = floats or shown

    @classmethod
    def of(cls, *values: Any) -> Any:
        """The one instance with these field values, in field order."""
        # Fields with floats are told apart by how they print: 0.0 == -0.0 and NaN != NaN.
        key: Any = repr(values) if cls._has_floats else values
        found = cls._interned.get(key)
        if found is None:
            if len(cls._interned) > PLAN_CACHE_LIMIT:
                cls._interned.clear()
            found = cls._interned[key] = cls(*values)
        return found

    @classmethod
    def from_keywords(cls, values: dict[str, Any]) -> Any:
        """The one instance with these fields; missing ones take their defaults."""
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        known = {f.name for f in fields}
        if not values.keys() <= known:
            raise TypeError(f"{cls.__name__} has no field {sorted(values.keys() - known)}.")
        return cls.of(*(values[f.name] if f.name in values else _default(f) for f in fields))


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is dataclasses.MISSING:
        raise TypeError(f"attribute {field.name!r} is required.")
    return field.default


Keep = tuple[str, int, int]  # what backward reads: name, number, and one of these kinds
INPUT, OUTPUT, REST = 0, 1, 2
F = TypeVar("F", bound=Callable[..., Any])


class Op:
    """One operation. Calling it runs it now on the inputs' device and records it for backward.

    Args:
        name: unique name, the one printed in graphs.
        inputs: names of the tensor inputs, in order; a name ending in ``?`` may be None, one
            starting with ``*`` takes all the rest.
        attrs: the class of its attributes, if it has any.
        outputs: names of the outputs; more than one means that the op returns a tuple.
        view: the outputs share the input's memory (give a ``strided`` rule instead of kernels).
        mutates: names of inputs that the op writes in place.
        nondifferentiable: why there is no gradient, where there is none.
        autocast: the precision that an autocast region runs it in, a policy of `fovea.casting`;
            None: that of its inputs.
    """

    def __init__(
        self,
        name: str,
        inputs: tuple[str, ...],
        attrs: type[Attrs] | None = None,
        *,
        outputs: tuple[str, ...] = ("y",),
        view: bool = False,
        mutates: tuple[str, ...] = (),
        nondifferentiable: str | None = None,
        autocast: str | None = None,
    ) -> None:
        if name in REGISTRY:
            raise ValueError(f"op {name!r} is declared twice")
        REGISTRY[name] = self
        self.name = name
        self.optional = tuple(i.endswith("?") for i in inputs)
        self.inputs = tuple(i.strip("?*") for i in inputs)
        self.variadic = bool(inputs) and inputs[-1].startswith("*")
        self.attrs_class = attrs
        self.outputs = outputs
        self.view = view
        self.mutates = mutates
        self.nondifferentiable = nondifferentiable
        self.autocast = autocast
        self.saves: tuple[str, ...] = ()
        self.kept: tuple[Keep, ...] | None = None  # once asked for
        self.shape_rule: Callable[..., Any] | None = None
        self.strided_rule: Callable[..., Any] | None = None
        self.gradient: Callable[..., Any] | None = None
        self.reference_rule: Callable[..., Any] | None = None
        self.decomposition: Callable[..., Any] | None = None
        self.plans: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    # -- declaration --------------------------------------------------------------------------

    def shape(self, rule: F) -> F:
        """``rule(*inputs, attrs) -> Spec | tuple[Spec, ...]``; checks inputs, decides outputs."""
        self.shape_rule = rule
        return rule

    def strided(self, rule: F) -> F:
        """View ops: ``rule(x, attrs) -> (shape, strides, offset)`` relative to ``x``."""
        self.strided_rule = rule
        return rule

    def grad(self, saves: tuple[str, ...] = ()) -> Callable[[F], F]:
        """``rule(ctx, *output_gradients) -> gradient | tuple``: one a tensor input, None where
        there is none.

        ``saves`` names the inputs and outputs that the rule reads as ``ctx.<name>``.
        """

        def declare(rule: F) -> F:
            self.saves, self.gradient, self.kept = saves, rule, None
            return rule

        return declare

    def reference(self, rule: F) -> F:
        """``rule(*arrays, attrs) -> array | tuple``: the meaning of the op, in NumPy."""
        self.reference_rule = rule
        return rule

    def decompose(self, rule: F) -> F:
        """``rule(*tensors, attrs) -> tensor | tuple``: the op written in other ops."""
        self.decomposition = rule
        return rule

    def find_kept(self) -> tuple[Keep, ...]:
        """Where each tensor lies that the gradient rule reads: name, number, kind."""
        found: list[Keep] = []
        for name in self.saves if self.gradient is not None else self.inputs:
            if name not in self.inputs:
                found.append((name, self.outputs.index(name), OUTPUT))
                continue
            i = self.inputs.index(name)
            rest = self.variadic and i == len(self.inputs) - 1
            found.append((name, i, REST if rest else INPUT))
        self.kept = tuple(found)
        return self.kept

    # -- use ----------------------------------------------------------------------------------

    def __call__(self, *inputs: Tensor | None, **attrs: Any) -> Any:
        """Run the op with its attributes given by name."""
        a = self.attrs_class.from_keywords(attrs) if self.attrs_class is not None else None
        return self.bind(inputs, a)

    def bind(self, inputs: tuple[Any, ...], attrs: Attrs | None = None) -> Any:
        """Run the op with ready-made attributes: the quick way in."""
        if self.autocast is not None and casting.regions:
            inputs = casting.cast_inputs(self, inputs)
        try:
            return dispatch.bind(self, inputs, attrs)
        except AttributeError as error:
            raise self._about_inputs(inputs) or error from None

    def _about_inputs(self, inputs: tuple[Any, ...]) -> DTypeError | None:
        """What is wrong if an input is no tensor."""
        for name, t in zip_longest(self.inputs, inputs, fillvalue=self.inputs[-1]):
            if t is None or hasattr(type(t), "_form"):
                continue
            kind = f"{type(t).__module__}.{type(t).__name__}".removeprefix("builtins.")
            array = hasattr(t, "__array__")
            return DTypeError(
                f"{self.name}: {name} must be a tensor, got {kind}.",
                {name: describe(t)} if array else None,
                f"fovea.as_tensor({name})" if array else "make a tensor of it",
            )
        return None

    def specs(self, inputs: Sequence[Any], attrs: Attrs | None) -> tuple[Spec, ...]:
        """The outputs' specs for these inputs; raises what the shape rule raises."""
        if self.shape_rule is None:
            raise TypeError(f"{self!r} has no shape rule")
        out = self.shape_rule(*inputs, attrs) if self.attrs_class else self.shape_rule(*inputs)
        return (out,) if isinstance(out, Spec) else tuple(out)

    def run_gradient(self, node: OpNode, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """The input gradients of a recorded call."""
        if self.gradient is None:
            from fovea.tape import gradient_of_decomposition

            return gradient_of_decomposition(self, node, grads)
        out = self.gradient(node, *grads)
        return out if isinstance(out, tuple) else (out,)
