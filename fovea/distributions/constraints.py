"""What arguments and values of distributions must satisfy: in words, and as a check.

>>> import fovea
>>> interval(0.0, 2.0).check(fovea.tensor([1.0, 3.0]))
tensor([ True, False])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fovea import linalg
from fovea.dtypes import bool_, finfo
from fovea.functions.creation import full
from fovea.functions.joining import cat as joined
from fovea.functions.parts import stack as stacked

__all__ = [
    "Constraint",
    "boolean",
    "cat",
    "corr_cholesky",
    "dependent",
    "dependent_property",
    "greater_than",
    "greater_than_eq",
    "half_open_interval",
    "independent",
    "integer_interval",
    "interval",
    "is_dependent",
    "less_than",
    "lower_cholesky",
    "lower_triangular",
    "multinomial",
    "nonnegative",
    "nonnegative_integer",
    "one_hot",
    "positive",
    "positive_definite",
    "positive_integer",
    "positive_semidefinite",
    "real",
    "real_vector",
    "simplex",
    "square",
    "stack",
    "symmetric",
    "unit_interval",
]


class Constraint:
    """A region that values lie in.

    Args:
        words: what a value must be, in words, with places for attributes in braces.
        holds: from a tensor to booleans, one for each event.
        event_dim: how many of the last dimensions are one event.
        is_discrete: whether values are whole numbers.

    Attributes:
        bounds: ``lower_bound``, ``upper_bound`` and the like, as attributes.
    """

    def __init__(
        self,
        words: str,
        holds: Callable[[Any], Any],
        event_dim: int = 0,
        is_discrete: bool = False,
        **bounds: Any,
    ) -> None:
        self._words, self._holds = words, holds
        self.event_dim, self.is_discrete = event_dim, is_discrete
        self.__dict__.update(bounds)

    @property
    def words(self) -> str:
        """What a value must be."""
        return self._words.format_map(vars(self))

    def check(self, value: Any) -> Any:
        """Booleans: which events of ``value`` lie in the region."""
        return self._holds(value)

    def __iter__(self) -> Iterator[Any]:
        yield self.words
        yield self.check

    def __repr__(self) -> str:
        return f"Constraint({self.words})"


def _is_number(x: Any) -> Any:
    return x == x


def _whole(x: Any) -> Any:
    return x % 1 == 0


def _kept(t: Any, count: int) -> Any:
    """Booleans that hold where all do along the last dimensions."""
    return t.reshape(*t.shape[: t.ndim - count], -1).all(-1) if count else t


real = Constraint("numbers, not NaN", _is_number)
boolean = Constraint("0 or 1", lambda x: (x == 0) | (x == 1), is_discrete=True)


def greater_than(lower_bound: Any) -> Constraint:
    """Numbers above a bound."""
    words = "greater than {lower_bound}"
    return Constraint(words, lambda x: x > lower_bound, lower_bound=lower_bound)


def greater_than_eq(lower_bound: Any) -> Constraint:
    """Numbers from a bound on."""
    words = "{lower_bound} or more"
    return Constraint(words, lambda x: x >= lower_bound, lower_bound=lower_bound)


def less_than(upper_bound: Any) -> Constraint:
    """Numbers below a bound."""
    words = "less than {upper_bound}"
    return Constraint(words, lambda x: x < upper_bound, upper_bound=upper_bound)


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers between two bounds, which belong to it."""
    return Constraint(
        "from {lower_bound} to {upper_bound}",
        lambda x: (x >= lower_bound) & (x <= upper_bound),
        lower_bound=lower_bound,
        upper_bound=upper_bound,
    )


def half_open_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers from a bound up to, not including, another."""
    return Constraint(
        "from {lower_bound} to below {upper_bound}",
        lambda x: (x >= lower_bound) & (x < upper_bound),
        lower_bound=lower_bound,
        upper_bound=upper_bound,
    )


def integer_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Whole numbers between two bounds, which belong to it."""
    return Constraint(
        "whole, from {lower_bound} to {upper_bound}",
        lambda x: _whole(x) & (x >= lower_bound) & (x <= upper_bound),
        is_discrete=True,
        lower_bound=lower_bound,
        upper_bound=upper_bound,
    )


positive = Constraint("greater than 0", lambda x: x > 0, lower_bound=0.0)
nonnegative = Constraint("0 or more", lambda x: x >= 0, lower_bound=0.0)
unit_interval = interval(0.0, 1.0)
nonnegative_integer = Constraint(
    "whole and 0 or more", lambda x: _whole(x) & (x >= 0), is_discrete=True, lower_bound=0
)
positive_integer = Constraint(
    "whole and greater than 0", lambda x: _whole(x) & (x >= 1), is_discrete=True, lower_bound=1
)


def independent(base_constraint: Constraint, reinterpreted_batch_ndims: int) -> Constraint:
    """A region of arrays all of whose parts lie in another."""
    return Constraint(
        "{base_constraint.words}",
        lambda x: _kept(base_constraint.check(x), reinterpreted_batch_ndims),
        base_constraint.event_dim + reinterpreted_batch_ndims,
        base_constraint.is_discrete,
        base_constraint=base_constraint,
        reinterpreted_batch_ndims=reinterpreted_batch_ndims,
    )


real_vector = independent(real, 1)
simplex = Constraint(
    "0 or more and sum to 1",
    lambda x: (x >= 0).all(-1) & ((x.sum(-1) - 1).abs() < 1e-6),
    event_dim=1,
)
one_hot = Constraint(
    "0 but for one 1",
    lambda x: ((x == 0) | (x == 1)).all(-1) & (x.sum(-1) == 1),
    event_dim=1,
    is_discrete=True,
)


def multinomial(upper_bound: int) -> Constraint:
    """Counts whose sum is ``upper_bound`` at most."""
    return Constraint(
        "0 or more and sum to {upper_bound} at most",
        lambda x: (x >= 0).all(-1) & (x.sum(-1) <= upper_bound),
        event_dim=1,
        is_discrete=True,
        upper_bound=upper_bound,
    )


# -- matrices -------------------------------------------------------------------------------------


def _lower(x: Any) -> Any:
    return _kept(x.tril() == x, 2)


def _unit_rows(x: Any) -> Any:
    tolerance = finfo(x.dtype).eps * x.shape[-1] * 10
    return (((x.detach() ** 2).sum(-1).sqrt() - 1).abs() < tolerance).all(-1)


def _square(x: Any) -> Any:
    return full(x.shape[:-2], x.shape[-1] == x.shape[-2], dtype=bool_)


def _of_symmetric(holds: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A check that only symmetric matrices pass."""

    def check(x: Any) -> Any:
        if x.shape[-1] != x.shape[-2]:
            return _square(x)
        close = (x - x.mT).abs() <= 1e-6 + 1e-5 * x.mT.abs()
        return _kept(close, 2) & holds(x.detach())

    return check


lower_triangular = Constraint("lower triangular", _lower, 2)
lower_cholesky = Constraint(
    "lower triangular with a positive diagonal",
    lambda x: _lower(x) & (x.diagonal(dim1=-2, dim2=-1) > 0).all(-1),
    2,
)
corr_cholesky = Constraint(
    "the Cholesky factor of a correlation matrix",
    lambda x: lower_cholesky.check(x) & _unit_rows(x),
    2,
)
square = Constraint("a square matrix", _square, 2)
symmetric = Constraint("a symmetric matrix", _of_symmetric(_square), 2)
positive_semidefinite = Constraint(
    "a positive semidefinite matrix",
    _of_symmetric(lambda x: (linalg.eigvalsh(x) >= 0).all(-1)),
    2,
)
positive_definite = Constraint(
    "a positive definite matrix", _of_symmetric(lambda x: linalg.cholesky_ex(x).info == 0), 2
)


# -- of several -----------------------------------------------------------------------------------


def cat(
    cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None
) -> Constraint:
    """Regions of the parts of a tensor along a dimension, as `fovea.cat` joins them."""
    parts = list(cseq)
    sizes = [1] * len(parts) if lengths is None else list(lengths)

    def check(value: Any) -> Any:
        pieces = value.split(sizes, dim)
        return joined([c.check(v) for c, v in zip(parts, pieces, strict=True)], dim)

    return Constraint(
        "; ".join(c.words for c in parts),
        check,
        max(c.event_dim for c in parts),
        any(c.is_discrete for c in parts),
    )


def stack(cseq: Sequence[Constraint], dim: int = 0) -> Constraint:
    """Regions of the slices of a tensor along a dimension, as `fovea.stack` joins them."""
    parts = list(cseq)

    def check(value: Any) -> Any:
        pieces = value.unbind(dim)
        return stacked([c.check(v) for c, v in zip(parts, pieces, strict=True)], dim)

    found = max(c.event_dim for c in parts)
    at = dim if dim < 0 else None
    return Constraint(
        "; ".join(c.words for c in parts),
        check,
        found + 1 if at is not None and found + at >= 0 else found,
        any(c.is_discrete for c in parts),
    )


# -- those that depend on other values ------------------------------------------------------------


class _Dependent(Constraint):
    """A region that depends on other values."""

    def __init__(self, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        super().__init__("depends on other values", self._refuse, event_dim, is_discrete)

    @staticmethod
    def _refuse(value: Any) -> Any:
        raise ValueError("a constraint that depends on other values cannot be checked alone.")

    def __call__(self, *, is_discrete: bool = False, event_dim: int = 0) -> Constraint:
        return _Dependent(is_discrete=is_discrete, event_dim=event_dim)


dependent = _Dependent()


def is_dependent(constraint: Any) -> bool:
    """Whether a constraint depends on other values."""
    return isinstance(constraint, _Dependent | dependent_property)


class dependent_property(property):  # noqa: N801 - PyTorch's name, of a decorator
    """A property of a distribution that is a constraint which depends on the arguments.

    Args:
        fn: from the distribution to the constraint.
        is_discrete, event_dim: of the constraint, where they are known.
    """

    def __init__(self, fn: Any = None, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        super().__init__(fn)
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, fn: Any) -> Any:
        return dependent_property(fn, is_discrete=self.is_discrete, event_dim=self.event_dim)
