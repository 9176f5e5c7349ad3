"""What an optimizer written as ``update_step`` is made of: variables of its own, and changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fovea.keras import initializers
from fovea.keras.variables import Variable, assign

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Stepwise"]


class Stepwise:
    """The half of ``Optimizer`` that subclasses use to write ``build`` and ``update_step``."""

    weight_decay: float | None
    _parameters: list[Any]
    _added: list[Variable]

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """Change one weight: what a subclass gives.

        Args:
            gradient: the weight's, scaled and clipped.
            variable: the weight.
            learning_rate: a 0-d tensor.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update_step.")

    # -- variables ----------------------------------------------------------------------------

    def add_variable(
        self,
        shape: Any,
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """A variable of the optimizer's own, saved with it.

        Args:
            shape, dtype: the variable's.
            initializer: an initializer or its name.
            aggregation, layout: accepted for Keras's sake.
            name: what it is called.

        Raises:
            ValueError: no initializer.
        """
        initial = initializers.get(initializer)
        if initial is None:
            raise ValueError("a variable of an optimizer needs an initializer.")
        made = initial(tuple(shape), dtype=dtype)
        variable = Variable(made, trainable=False, name=name)
        self._added.append(variable)
        return variable

    def add_variable_from_reference(
        self, reference_variable: Any, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """``add_variable`` with a weight's shape and dtype, named after it."""
        of = getattr(reference_variable, "name", "variable")
        return self.add_variable(
            reference_variable.shape,
            initializer,
            reference_variable.dtype,
            name=f"{of}_{name or 'slot'}",
        )

    def add_optimizer_variables(
        self,
        trainable_variables: Iterable[Any],
        name: str | Sequence[str],
        initializer: Any = "zeros",
    ) -> Any:
        """A variable for each weight: a list, or one list for each name.

        Raises:
            ValueError: another number of initializers than of names.
        """
        several = not isinstance(name, str)
        names: list[str] = [name] if isinstance(name, str) else list(name)
        kinds = list(initializer) if isinstance(initializer, list | tuple) else [initializer]
        kinds = kinds * len(names) if len(kinds) == 1 else kinds
        if len(kinds) != len(names):
            raise ValueError(f"{len(kinds)} initializers for {len(names)} names of variables.")
        found: list[list[Variable]] = [[] for _ in names]
        for weight in trainable_variables:
            for held, n, kind in zip(found, names, kinds, strict=True):
                held.append(self.add_variable_from_reference(weight, n, kind))
        return tuple(found) if several else found[0]

    def _get_variable_index(self, variable: Any) -> int:
        """Where a weight stands among those that the optimizer was built with."""
        return next(i for i, p in enumerate(self._parameters) if p is variable)

    # -- changes ------------------------------------------------------------------------------

    def assign(self, variable: Any, value: Any) -> None:
        """Give a weight or a variable other values."""
        assign(variable, value)

    def assign_add(self, variable: Any, value: Any) -> None:
        """Add to a weight or a variable."""
        variable.detach().add_(value)

    def assign_sub(self, variable: Any, value: Any) -> None:
        """Subtract from a weight or a variable."""
        variable.detach().sub_(value)

    def _decays(self, p: Any) -> bool:
        raise NotImplementedError

    def _apply_weight_decay(self, variables: Iterable[Any]) -> None:
        if self.weight_decay is None:
            return
        for v in variables:
            if self._decays(v):
                self._shrink(v, self.weight_decay)

    def _shrink(self, variable: Any, decay: float) -> None:
        rate = self._engine.rate  # type: ignore[attr-defined]
        variable.detach().sub_(variable.detach() * decay * rate)
