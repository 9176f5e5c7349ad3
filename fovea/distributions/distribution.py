"""What distributions share: shapes, checks of arguments, and what follows from other methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from fovea.autograd import no_grad
from fovea.distributions.constraints import Constraint
from fovea.errors import ArgumentError
from fovea.functions.creation import tensor
from fovea.functions.shaping import broadcast_tensors
from fovea.size import Size
from fovea.tensorbase import is_tensor

__all__ = ["Check", "Distribution", "together"]

Check = Constraint  # what an argument must satisfy


def together(*values: Any) -> tuple[Any, ...]:
    """Numbers and tensors as tensors of one shape."""
    some = next((v for v in values if is_tensor(v)), None)
    dtype = None if some is None else some.dtype
    made = [v if is_tensor(v) else tensor(float(v), dtype=dtype) for v in values]
    return tuple(broadcast_tensors(*made))


class Distribution:
    """Base of distributions.

    Args:
        batch_shape: of the distributions that this one is.
        event_shape: of one draw from one of them.
        validate_args: whether arguments and values are checked (they are, by default).

    Attributes:
        has_rsample: whether draws have gradients (``rsample``).
        arg_constraints: what its arguments must satisfy, by name.
    """

    has_rsample = False
    has_enumerate_support = False
    arg_constraints: ClassVar[dict[str, Check]] = {}
    support: Any = None
    _validate_args = True

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether arguments are checked unless a distribution is told otherwise."""
        Distribution._validate_args = bool(value)

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            for name, (words, holds) in self.arg_constraints.items():
                if name in vars(self) and not bool(holds(vars(self)[name]).all()):
                    raise ArgumentError(
                        f"{type(self).__name__}: {name} must be {words}.",
                        {name: repr(vars(self)[name].detach())},
                    )

    # -- shapes -------------------------------------------------------------------------------

    @property
    def batch_shape(self) -> Size:
        """The shape of the distributions that this one is."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one draw from one of them."""
        return self._event_shape

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same distributions, repeated to another ``batch_shape``."""
        raise NotImplementedError(f"{type(self).__name__} cannot be expanded.")

    # -- draws --------------------------------------------------------------------------------

    def sample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws, without gradients: ``sample_shape + batch_shape + event_shape``."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Any:
        """Draws with gradients to the distribution's arguments."""
        raise NotImplementedError(f"{type(self).__name__} has no draws with gradients.")

    def sample_n(self, n: int) -> Any:
        """``sample((n,))``."""
        return self.sample((n,))

    # -- facts --------------------------------------------------------------------------------

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density, or of the probability, of a value."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob.")

    def entropy(self) -> Any:
        """The entropy, in nats."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy.")

    def cdf(self, value: Any) -> Any:
        """The probability of values up to this one."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf.")

    def icdf(self, value: Any) -> Any:
        """The inverse of ``cdf``."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf.")

    def enumerate_support(self, expand: bool = True) -> Any:
        """All values, along a new first dimension."""
        raise NotImplementedError(f"{type(self).__name__} cannot list its values.")

    @property
    def mean(self) -> Any:
        """The mean."""
        raise NotImplementedError(f"{type(self).__name__} has no mean.")

    @property
    def mode(self) -> Any:
        """The most likely value."""
        raise NotImplementedError(f"{type(self).__name__} has no mode.")

    @property
    def variance(self) -> Any:
        """The variance."""
        raise NotImplementedError(f"{type(self).__name__} has no variance.")

    @property
    def stddev(self) -> Any:
        """The root of the variance."""
        return self.variance.sqrt()

    def perplexity(self) -> Any:
        """The exponential of the entropy."""
        return self.entropy().exp()

    def _checked(self, value: Any) -> Any:
        """A value whose probability is asked, of a shape that fits and in the support."""
        if not is_tensor(value):
            raise ArgumentError(f"{type(self).__name__}: a value is a tensor, got {value!r}.")
        if not self._validate_args:
            return value
        events = len(self._event_shape)
        if events and tuple(value.shape[-events:]) != tuple(self._event_shape):
            raise ArgumentError(
                f"{type(self).__name__}: a value ends with {tuple(self._event_shape)}, "
                f"got {tuple(value.shape)}."
            )
        if self.support is not None:
            words, holds = self.support
            if not bool(holds(value).all()):
                raise ArgumentError(f"{type(self).__name__}: a value must be {words}.")
        return value

    def __repr__(self) -> str:
        held = {n: vars(self)[n] for n in self.arg_constraints if n in vars(self)}
        shown = (f"{n}: {t if t.numel() == 1 else t.size()}" for n, t in held.items())
        return f"{type(self).__name__}({', '.join(shown)})"


class Located(Distribution):
    """Base of distributions whose arguments, tensors of one shape, are all that they are."""

    _names: ClassVar[tuple[str, ...]] = ()

    def _set(self, values: Sequence[Any], validate_args: bool | None) -> None:
        for name, value in zip(self._names, together(*values), strict=True):
            setattr(self, name, value)
        Distribution.__init__(self, getattr(self, self._names[0]).shape, (), validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same distributions, repeated to another ``batch_shape``."""
        parts = [getattr(self, name).expand(batch_shape) for name in self._names]
        made: Any = type(self)
        return made(*parts, validate_args=False)

    def _like(self, sample_shape: Sequence[int], draw: Callable[..., Any]) -> Any:
        first = getattr(self, self._names[0])
        return draw(self._extended_shape(sample_shape), dtype=first.dtype)
