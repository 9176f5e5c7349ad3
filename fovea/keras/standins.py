"""Other values in variables for a while: what `StatelessScope` and ``stateless_...`` stand on.

There are two ways. A variable may *show* another tensor's memory and place on the tape, so that
whatever holds it computes with that tensor; but backward, if it comes after the block, would find
the variable as it was again. Where gradients matter, an object *apart* takes the variable's place
in its layer instead.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fovea import watching
from fovea.errors import ArgumentError, ShapeError
from fovea.functions import creation
from fovea.ops import memory
from fovea.ops.shape import alias
from fovea.targets.base import SLOTS
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["StandIns", "check_count", "current"]

_APART = 1 << 40  # versions of memory that backward finds in none of a variable's own


class _Open(threading.local):
    """The innermost block that is open."""

    scope: StandIns | None = None


_open = _Open()


def current() -> StandIns | None:
    """The innermost open `StandIns`."""
    return _open.scope


class _StandIn:
    """A variable with another value.

    Args:
        variable: the variable.
        given: the value, in the variable's shape and dtype.
        owned: copy it, so that changes in place leave it as it is.
        subject: what shows the value: the variable, or an object apart.
    """

    def __init__(self, variable: Any, given: Any, owned: bool, subject: Any) -> None:
        self.before = {name: getattr(subject, name) for name in SLOTS if hasattr(subject, name)}
        self.layout = tuple(variable.strides)
        if not memory.is_dense(tuple(variable.shape), self.layout):
            self.layout = tuple(creation.empty(tuple(variable.shape)).strides)
        self.given, self.owned, self.subject = given, owned, subject
        if owned:
            self._show(self._copy(given))
        else:
            self._show(alias.bind((given,)) if given.requires_grad else given._alias())

    def _copy(self, t: Any) -> Any:
        order = memory.StridesAttrs.of(self.layout)
        copied = t.clone() if t._level else memory.lay_out.bind((t,), order)
        if watching.watcher is None:
            copied.storage.version += _APART
        return copied

    def _show(self, held: Any) -> None:
        for name in SLOTS:  # memory, and the place on the tape
            setattr(self.subject, name, getattr(held, name))
        if held._level:  # what a sample of a vmap has besides
            self.subject.physical = held.physical
        self.storage, self.version = held.storage, held.storage.version

    def make_own(self) -> None:
        """Give it memory of its own, which may be written."""
        if not self.owned:
            self.owned = True
            self._show(self._copy(self.subject._autograd_alias()))

    def value(self) -> Any:
        """What the variable holds now: the tensor that was given, unless it was changed."""
        held = self.subject
        if held.storage is self.storage and held.storage.version == self.version:
            return self.given
        return held._autograd_alias()

    def end(self) -> None:
        """Put the own value back."""
        for name, value in self.before.items():
            setattr(self.subject, name, value)


class StandIns:
    """Within the block, variables hold other values, and no change of a variable stays.

    Args:
        collect_losses: whether losses that layers add are kept in ``losses`` (never in layers).
    """

    def __init__(self, collect_losses: bool = False) -> None:
        self.collect_losses = collect_losses
        self.losses: list[Any] = []
        self._held: dict[int, _StandIn] = {}  # by the variable
        self._apart: dict[int, _StandIn] = {}  # by the object that takes its place
        self._variables: list[Any] = []  # held, so that identities stay taken
        self._values: dict[int, Any] = {}
        self._outer: StandIns | None = None

    def __enter__(self) -> Any:
        self._outer, _open.scope = _open.scope, self
        return self

    def __exit__(self, *error: object) -> None:
        _open.scope = self._outer
        for key, held in self._held.items():
            self._values[key] = held.value()
        for held in reversed(self._held.values()):
            if id(held.subject) not in self._apart:
                held.end()
        self._held, self._apart = {}, {}

    def lend(self, variable: Any, value: Any, owned: bool = True, subject: Any = None) -> Any:
        """Let a variable hold another value.

        Args:
            variable: a tensor.
            value: a tensor of its shape, or what can become one.
            owned: whether it gets a copy, which may be changed in place.
            subject: a new object that is to hold it instead of the variable.

        Raises:
            ShapeError: another shape.
            ArgumentError: a sample of a ``vmap``, for the variable itself.
        """
        given = fitted(variable, value)
        if given._level and subject is None:
            raise ArgumentError(
                "StatelessScope: inside vmap, a variable cannot hold one of the samples.",
                fix="layer.stateless_call(...), which can",
            )
        held = _StandIn(variable, given, owned, variable if subject is None else subject)
        self._held[id(variable)] = held
        self._variables.append(variable)
        if subject is not None:
            self._apart[id(subject)] = held
        return held.subject

    def writes(self, variable: Any) -> None:
        """A variable is about to change in place: let that happen to a copy."""
        held = self._held.get(id(variable)) or self._apart.get(id(variable))
        if held is None:
            self.lend(variable, variable._autograd_alias())
        else:
            held.make_own()

    def get_current_value(self, variable: Any) -> Any:
        """What a variable holds within the block, or held at its end; None if it was neither given
        nor changed.
        """
        held = self._held.get(id(variable))
        return self._values.get(id(variable)) if held is None else held.value()

    def values(self, variables: Iterable[Any]) -> list[Any]:
        """`get_current_value` of each; the variable itself where there is none."""
        found = []
        for v in variables:
            value = self.get_current_value(v)
            found.append(v if value is None else value)
        return found

    def add_loss(self, loss: Any) -> None:
        """Keep a loss."""
        self.losses.append(loss)

    def add_update(self, update: tuple[Any, Any]) -> None:
        """Change a variable: a pair of it and its value."""
        variable, value = update
        given = fitted(variable, value)
        self.writes(variable)
        variable.detach().copy_(given.detach())


def fitted(variable: Any, value: Any) -> Tensor:
    """A value as a tensor in a variable's dtype.

    Raises:
        ShapeError: another shape.
    """
    found: Any = value if is_tensor(value) else creation.tensor(value)
    if tuple(found.shape) != tuple(variable.shape):
        name = getattr(variable, "path", "a variable")
        raise ShapeError(
            f"{name} has shape {tuple(variable.shape)}, its value {tuple(found.shape)}."
        )
    return found if found.dtype is variable.dtype else found.to(variable.dtype)


def check_count(what: str, owner: Any, given: Any, own: Any) -> None:
    """ArgumentError unless as many values are given as there are variables."""
    if len(given) != len(own):
        raise ArgumentError(
            f"{type(owner).__name__}: {what} must be a list of tensors, one for each of its "
            f"{len(own)} variables, got {len(given)}."
        )
