"""`Batched`: a tensor that stands for one sample and holds them all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from fovea.dtypes import int64
from fovea.errors import ArgumentError, InplaceError, describe
from fovea.form import Form, form_of
from fovea.functions.shaping import expand, unsqueeze
from fovea.size import Size
from fovea.targets.base import blank
from fovea.tensor import Tensor

__all__ = [
    "Batched",
    "Draws",
    "Level",
    "at_level",
    "current",
    "draws",
    "levels",
    "set_planner",
    "split",
    "use_level",
]


class Level:
    """A `vmap` in progress.

    Args:
        number: how many are around it, and itself.
        size: how many samples there are.
        randomness: ``"error"``, ``"same"`` or ``"different"`` for the samples' draws.
    """

    def __init__(self, number: int, size: int, randomness: str) -> None:
        self.number, self.size, self.randomness = number, size, randomness


class _Stack(threading.local):
    def __init__(self) -> None:
        self.levels: list[Level] = []


_stack = _Stack()


def levels() -> list[Level]:
    """The `vmap`s in progress in this thread, from the outermost in."""
    return _stack.levels


def current(number: int) -> Level:
    """The `vmap` with this number."""
    if number > len(_stack.levels):
        raise ArgumentError(
            "a tensor from inside vmap is used after that is over.",
            fix="return it from the function that is mapped",
        )
    return _stack.levels[number - 1]


@contextmanager
def use_level(size: int, randomness: str) -> Iterator[Level]:
    """One more `vmap`, for a while."""
    level = Level(len(_stack.levels) + 1, size, randomness)
    _stack.levels.append(level)
    try:
        yield level
    finally:
        _stack.levels.pop()


class _BatchedForm(Form):
    """The form of a batched tensor: of its sample, for plans of its own."""

    __slots__ = ()


def set_planner(planner: Any) -> None:
    """Called once by the table of rules: what plans ops on batched tensors."""
    _BatchedForm.planner = planner


def _sample_form(form: Form) -> Form:
    """The form of a sample of a tensor of this form."""
    form.sample = sample = _BatchedForm(Size(form.shape[1:]), tuple(form.strides[1:]), form.dtype)
    return sample


class Batched(Tensor):
    """A sample of many. Shape and strides are the sample's.

    Attributes:
        physical: all samples, along the first dimension. It may be `Batched` itself: of a `vmap`
            around this one.
    """

    physical: Any

    @classmethod
    def of(cls, physical: Any, level: int) -> Batched:
        """The samples of ``physical``, at the `vmap` with this number."""
        t = blank(cls)
        t._hold(physical)
        t._level = level
        return t

    def _hold(self, physical: Any) -> None:
        form = physical._form or form_of(physical)
        self._form = sample = form.sample or _sample_form(form)
        self.physical = physical
        self.storage, self.offset, self.dtype = physical.storage, physical.offset, physical.dtype
        self.shape, self.strides = sample.shape, sample.strides  # type: ignore[assignment]

    @classmethod
    def _make(cls, *parts: Any) -> NoReturn:
        raise ArgumentError(
            "vmap: memory cannot be read in another way than it was written.",
            fix="use reshape, permute or to(dtype)",
        )

    def _alias(self) -> Any:
        return type(self).of(self.physical, self._level)

    def detach(self) -> Any:
        """The same memory, outside all tapes."""
        return type(self).of(self.physical.detach(), self._level)

    @property
    def data(self) -> Any:
        """The same memory, outside all tapes. Assigning replaces the samples."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        self._hold(at_level(value, self._level))

    # -- values, which one sample does not have ---------------------------------------------------

    def _array(self) -> NoReturn:
        raise ArgumentError(
            "vmap: a sample has no values of its own that Python could read.",
            {"tensor": describe(self)},
            "compute with tensors (where, minimum ...) instead of item(), numpy(), if and while",
        )

    def item(self) -> NoReturn:
        """Raises: there are as many values as samples."""
        self._array()

    def __repr__(self) -> str:
        return f"Batched(level={self._level}, value={self.physical!r})"

    # -- new tensors like this one, into which samples can be written -----------------------------

    def new_full(self, size: Any, fill_value: Any, *, dtype: Any = None, **kwargs: Any) -> Tensor:
        """A tensor for each sample, filled with ``fill_value``."""
        return self._new("new_full", (size,), fill_value, dtype=dtype, **kwargs)

    def new_zeros(self, *size: Any, **kwargs: Any) -> Tensor:
        """A tensor of zeros for each sample."""
        return self._new("new_zeros", size, **kwargs)

    def new_ones(self, *size: Any, **kwargs: Any) -> Tensor:
        """A tensor of ones for each sample."""
        return self._new("new_ones", size, **kwargs)

    def new_empty(self, *size: Any, **kwargs: Any) -> Tensor:
        """A tensor for each sample, not set."""
        return self._new("new_empty", size, **kwargs)

    def _new(self, name: str, size: tuple[Any, ...], *values: Any, **kwargs: Any) -> Tensor:
        shape = size if len(size) != 1 or isinstance(size[0], int) else tuple(size[0])
        requires_grad = kwargs.pop("requires_grad", False)
        made = getattr(self.physical, name)((len(self.physical), *shape), *values, **kwargs)
        return Batched.of(made, self._level).requires_grad_(requires_grad)


_STATE = _BatchedForm(Size((2,)), (1,), int64)


class Draws(Batched):
    """A generator's state, as random functions see it inside `vmap`; ``physical`` is the state."""

    def _hold(self, physical: Any) -> None:
        super()._hold(physical)
        self.shape, self.strides = physical.shape, physical.strides
        self._form = _STATE


def draws(state: Any) -> Any:
    """A generator's state, for the `vmap`s in progress."""
    for level in _stack.levels:
        state = Draws.of(state, level.number)
    return state


def split(t: Any, level: int) -> tuple[Any, bool]:
    """All samples of a tensor and True, or the tensor itself and False if it has none here."""
    if t is not None and t._level == level:
        return t.physical, True
    if t is not None and t._level > level:
        current(t._level)  # raises where it has escaped
        raise InplaceError("vmap: a tensor of an inner vmap has got into an outer one.")
    return t, False


def at_level(t: Any, level: int) -> Any:
    """All samples of a tensor: repeated (as a view) if it has none at this level."""
    found, batched = split(t, level)
    if batched:
        return found
    return expand(unsqueeze(found, 0), (current(level).size, *found.shape))
