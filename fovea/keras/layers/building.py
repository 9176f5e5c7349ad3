"""The part of a layer that makes its weights when the shapes of its inputs are known."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from fovea.keras.keras_tensor import is_shape, shape_of
from fovea.keras.layers.spec import check_input
from fovea.keras.layers.weights import Weights

__all__ = ["Building", "as_shape"]


class Building(Weights):
    """``build``, run once, with the shapes that its arguments ask for."""

    built: bool
    input_spec: Any
    _build_shapes: dict[str, Any] | None
    _call_arguments: ClassVar[tuple[str, ...]] = ()

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape (batch first, None where sizes may vary)."""
        self.built = True

    def _build_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Make the weights if that has not been done."""
        if self.built:
            return
        shapes = self._shapes_for("build", args, kwargs)
        if self.input_spec is not None and shapes and is_shape(next(iter(shapes.values()))):
            check_input(self, self.input_spec, next(iter(shapes.values())))
        self.build_with(shapes)

    def _shapes_for(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """The arguments of ``build`` and its like: ``x_shape`` for each argument ``x`` of the call
        that they name so, else the first argument's shape.
        """
        parameters = inspect.signature(getattr(self, method)).parameters.values()
        names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        bound = {**dict(zip(self._call_arguments, args, strict=False)), **kwargs}
        named = {n: bound.get(n.removesuffix("_shape")) for n in names if n.endswith("_shape")}
        found = {n: shape_of(value) for n, value in named.items() if value is not None}
        if found or not names:
            return found
        first = args[0] if args else next(iter(kwargs.values()), None)
        return {names[0]: shape_of(first)}

    def build_with(self, shapes: dict[str, Any]) -> None:
        """Run ``build`` with these arguments, once."""
        if self.built:
            return
        if len(shapes) == 1:
            self.build(next(iter(shapes.values())))
        else:
            self.build(**shapes)
        own = self.__dict__
        own["_build_shapes"], own["built"] = shapes, True

    def get_build_config(self) -> dict[str, Any] | None:
        """What ``build`` was given."""
        shapes = self._build_shapes
        if not shapes:
            return None
        if len(shapes) == 1:
            return {"input_shape": next(iter(shapes.values()))}
        return {"shapes_dict": dict(shapes)}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Make the weights as ``get_build_config`` says."""
        if "input_shape" in config and len(config) == 1:
            self.build_with({"input_shape": as_shape(config["input_shape"])})
        elif config:
            shapes = config.get("shapes_dict", config)
            self.build_with({k: as_shape(v) for k, v in shapes.items()})


def as_shape(value: Any) -> Any:
    """Lists of sizes, as files hold them, as tuples."""
    if is_shape(value):
        return tuple(value)
    if isinstance(value, dict):
        return {k: as_shape(v) for k, v in value.items()}
    return [as_shape(v) for v in value] if isinstance(value, list | tuple) else value
