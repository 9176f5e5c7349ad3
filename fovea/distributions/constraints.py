"""What arguments and values of distributions must satisfy: in words, and as a check.

>>> import fovea
>>> interval(0.0, 2.0).check(fovea.tensor([1.0, 3.0]))
tensor([ True, False])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fovea import linalg
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
        words: what a value must be, in words.
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
        self.words, self._holds = words, holds
        self.event_dim, self.is_discrete = event_dim, is_discrete
        self.__dict__.update(bounds)

    def check(self, value: Any) -> Any:
        """Booleans: which events of ``value`` lie in the region."""
        return self._holds(value)

    def __iter__(self) -> Iterator[Any]:
        yield self.words
        yield self.check

    def __repr__(self) -> str:
        return f"Constraint({self.words})"


def _finite(x: Any) -> Any:
    return x == x


def _whole(x: Any) -> Any:
    return x % 1 == 0


def _kept(t: Any, count: int) -> Any:
    """Booleans that hold where all do along the last dimensions."""
    return t.reshape(*t.shape[: t.ndim - count], -1).all(-1) if count else t


real = Constraint("numbers, not NaN", _finite)
boolean = Constraint("0 or 1", lambda x: (x == 0) | (x == 1), is_discrete=True)


def greater_than(lower_bound: Any) -> Constraint:
    """Numbers above a bound."""
    words = f"greater than {lower_bound}"
    return Constraint(words, lambda x: x > lower_bound, lower_bound=lower_bound)


def greater_than_eq(lower_bound: Any) -> Constraint:
    """Numbers from a bound on."""
    words = f"{lower_bound} or more"
    return Constraint(words, lambda x: x >= lower_bound, lower_bound=lower_bound)


def less_than(upper_bound: Any) -> Constraint:
    """Numbers below a bound."""
    words = f"less than {upper_bound}"
    return Constraint(words, lambda x: x < upper_bound, upper_bound=upper_bound)


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers between two bounds, which belong to it."""
    return Constraint(
        f"from {lower_bound} to {upper_bound}",
        lambda x: (x >= lower_bound) & (x <= upper_bound),
        lower_bound=lower_bound,
        upper_bound=upper_bound,
    )


def half_open_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Numbers from a bound up to, not including, another."""
    return Constraint(
        f"from {lower_bound} to below {upper_bound}",
        lambda x: (x >= lower_bound) & (x < upper_bound),
        lower_bound=lower_bound,
        upper_bound=upper_bound,
    )


def integer_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Whole numbers between two bounds, which belong to it."""
    return Constraint(
        f"whole, from {lower_bound} to {upper_bound}",
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
        base_constraint.words,
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
        f"0 or more and sum to {upper_bound} at most",
        lambda x: (x >= 0).all(-1) & (x.sum(-1) <= upper_bound),
        event_dim=1,
        is_discrete=True,
        upper_bound=upper_bound,
    )


# -- matrices -------------------------------------------------------------------------------------


def _lower(x: Any) -> Any:
    return _kept(x.tril() == x, 2)


def _unit_rows(x: Any) -> Any:
    from fovea.dtypes import finfo

    tolerance = finfo(x.dtype).eps * x.shape[-1] * 10
    return (((x.detach() ** 2).sum(-1).sqrt() - 1).abs() < tolerance).all(-1)


def _even(x: Any) -> Any:
    close = (x - x.mT).abs() <= 1e-6 + 1e-5 * x.mT.abs()
    return _kept(close, 2)


def _positive_definite(x: Any) -> Any:
    return _even(x) & (linalg.cholesky_ex(x.detach()).info == 0)


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
square = Constraint(
    "a square matrix", lambda x: (x.sum((-2, -1)) * 0 == 0) & (x.shape[-1] == x.shape[-2]), 2
)
symmetric = Constraint("a symmetric matrix", _even, 2)
positive_semidefinite = Constraint(
    "a positive semidefinite matrix",
    lambda x: _even(x) & (linalg.eigvalsh(x.detach()) >= 0).all(-1),
    2,
)
positive_definite = Constraint("a positive definite matrix", _positive_definite, 2)


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
