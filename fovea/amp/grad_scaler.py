"""``GradScaler``: scales a loss up so that small gradients don't vanish in float16."""

from __future__ import annotations

import enum
import warnings
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fovea import dtypes, watching
from fovea.autograd import no_grad
from fovea.errors import ArgumentError, GradientError
from fovea.functions.creation import scalar_tensor
from fovea.functions.indexing import copy_
from fovea.functions.pointwise import where
from fovea.ops.nonfinite import nonfinite
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.optim import Optimizer
    from fovea.tensor import Tensor

__all__ = ["GradScaler", "OptState"]


class OptState(enum.Enum):
    """What has been done with an optimizer's gradients since the last ``update``."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _fresh() -> dict[str, Any]:
    return {"stage": OptState.READY, "found_inf": None}


class GradScaler:
    """Multiplies losses by a factor, divides gradients by it, and leaves out steps that overflowed.

    ``scale`` the loss before backward, ``step`` the optimizer through the scaler, then ``update``
    the factor: it falls by ``backoff_factor`` after a step with infinite or NaN gradients, which is
    left out, and rises by ``growth_factor`` after ``growth_interval`` steps without.

    Args:
        device: ``"cpu"``; a device that is not there disables the scaler with a warning.
        init_scale: the factor to begin with.
        growth_factor: more than 1.
        backoff_factor: less than 1.
        growth_interval: how many good steps in a row it takes to grow.
        enabled: False makes ``scale`` and ``unscale_`` do nothing and ``step`` a plain step.

    Raises:
        ArgumentError: factors out of their ranges.

    Source: Micikevicius et al., "Mixed precision training", 2018.

    >>> import fovea
    >>> w = fovea.tensor([1.0], requires_grad=True)
    >>> optimizer, scaler = fovea.optim.SGD([w], lr=0.5), GradScaler(init_scale=8.0)
    >>> scaler.scale((w * w).sum()).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> w, scaler.get_scale()
    (tensor([0.], requires_grad=True), 8.0)
    """

    def __init__(
        self,
        device: str = "cpu",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled and device != "cpu":
            warnings.warn(
                f"GradScaler: there is no device {device!r}; it is disabled.", stacklevel=2
            )
            enabled = False
        if enabled and not growth_factor > 1:
            raise ArgumentError(f"GradScaler: growth_factor must exceed 1, got {growth_factor}.")
        if enabled and not backoff_factor < 1:
            raise ArgumentError(
                f"GradScaler: backoff_factor must be less than 1, got {backoff_factor}."
            )
        self._device, self._enabled = device, enabled
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._scale = scalar_tensor(init_scale, dtype=dtypes.float32)
        self._growth_tracker = scalar_tensor(0, dtype=dtypes.int32)
        self._per_optimizer: defaultdict[int, dict[str, Any]] = defaultdict(_fresh)

    # -- a training step -----------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """A tensor times the factor, or each tensor in nested tuples and lists."""
        if not self._enabled:
            return outputs
        if is_tensor(outputs):
            return outputs * self._scale.to(outputs.dtype)
        if isinstance(outputs, Iterable):
            scaled = [self.scale(o) for o in outputs]
            return type(outputs)(scaled) if isinstance(outputs, list | tuple) else iter(scaled)
        raise TypeError(
            f"scale takes a tensor or an iterable of tensors, got {type(outputs).__name__}."
        )

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimizer's parameters by the factor, for instance to clip
        them before ``step``, which does it otherwise.

        Raises:
            GradientError: a second time since the last ``update``, or after ``step``.
            ArgumentError: float16 gradients, which are parameters' that ought to be float32.
        """
        if not self._enabled:
            return
        state = self._per_optimizer[id(optimizer)]
        if state["stage"] is OptState.UNSCALED:
            raise GradientError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        if state["stage"] is OptState.STEPPED:
            raise GradientError("unscale_() is being called after step().")
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        if any(g.dtype is dtypes.float16 for g in gradients):
            raise ArgumentError(
                "unscale_: the gradients are float16.",
                fix="keep parameters in float32 and run the forward pass in fovea.autocast",
            )
        if gradients:
            state["found_inf"] = self._unscale(gradients)
        state["stage"] = OptState.UNSCALED

    @no_grad()
    def _unscale(self, gradients: list[Tensor]) -> Tensor:
        inverse = self._scale.double().reciprocal().float()
        found: Tensor = nonfinite.bind(tuple(gradients))
        for g in gradients:
            g.mul_(inverse)
        return found

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args, **kwargs)``, unless a gradient is infinite or NaN.

        Returns:
            What the optimizer's step returns; None where it was left out.

        Raises:
            GradientError: a second time since the last ``update``, a closure, or no gradients.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise GradientError("step: closures are not supported by an enabled GradScaler.")
        state = self._per_optimizer[id(optimizer)]
        if state["stage"] is OptState.STEPPED:
            raise GradientError("step() has already been called since the last update().")
        if state["stage"] is OptState.READY:
            self.unscale_(optimizer)
        found = state["found_inf"]
        if found is None:
            raise GradientError("step: none of the optimizer's parameters has a gradient.")
        result = self._step_unless(found, optimizer, args, kwargs)
        state["stage"] = OptState.STEPPED
        return result

    def _step_unless(
        self, found: Tensor, optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if watching.watcher is not None and not args and not kwargs:
            flagged = getattr(optimizer, "step_unless", None)
            if flagged is not None:  # a captured program decides in each call, not now
                return flagged(found)
        return None if found.item() else optimizer.step(*args, **kwargs)

    @no_grad()
    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapt the factor to what the steps since the last ``update`` found, or set it.

        Raises:
            GradientError: no step since.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            self._set_scale(new_scale)
        else:
            found = [s["found_inf"] for s in self._per_optimizer.values()]
            found = [f for f in found if f is not None]
            if not found:
                raise GradientError("update: no gradients were checked since the last update().")
            total = found[0]
            for f in found[1:]:
                total = total + f
            self._adapt(total > 0)
        self._per_optimizer.clear()

    def _set_scale(self, new_scale: Any) -> None:
        if not is_tensor(new_scale):
            self._scale.fill_(float(new_scale))
            return
        if new_scale.numel() != 1 or new_scale.requires_grad:
            raise ArgumentError(
                "update: new_scale must be a number, or a tensor of one without a gradient."
            )
        copy_(self._scale, new_scale.reshape(()))

    def _adapt(self, overflowed: Tensor) -> None:
        """In tensors throughout, so that it can be captured."""
        good = self._growth_tracker + 1
        grows = good == self._growth_interval
        grown = self._scale * self._growth_factor
        grown = where(grown.isfinite(), grown, self._scale)
        risen = where(grows, grown, self._scale)
        copy_(self._scale, where(overflowed, self._scale * self._backoff_factor, risen))
        copy_(self._growth_tracker, where(overflowed | grows, 0, good))

    # -- settings ------------------------------------------------------------------------------

    def get_scale(self) -> float:
        """The factor; 1 if disabled."""
        return float(self._scale.item()) if self._enabled else 1.0

    def is_enabled(self) -> bool:
        """Whether the scaler does anything."""
        return self._enabled

    def get_growth_factor(self) -> float:
        """What the factor is multiplied by to grow."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the factor is multiplied by to grow."""
        self._growth_factor = new_factor
        watching.touch()

    def get_backoff_factor(self) -> float:
        """What the factor is multiplied by after an overflow."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the factor is multiplied by after an overflow."""
        self._backoff_factor = new_factor
        watching.touch()

    def get_growth_interval(self) -> int:
        """How many good steps in a row it takes to grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set how many good steps in a row it takes to grow."""
        self._growth_interval = new_interval
        watching.touch()

    # -- saving and loading --------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Factor, settings and how many good steps there were; empty if disabled.

        >>> sorted(GradScaler().state_dict())
        ['_growth_tracker', 'backoff_factor', 'growth_factor', 'growth_interval', 'scale']
        """
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": int(self._growth_tracker.item()),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that ``state_dict`` gave.

        Raises:
            ArgumentError: the state of a disabled scaler.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise ArgumentError(
                "load_state_dict: the state is empty, as a disabled GradScaler's is."
            )
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._scale.fill_(state_dict["scale"])
        self._growth_tracker.fill_(state_dict["_growth_tracker"])
        watching.touch()

    def __getstate__(self) -> dict[str, Any]:
        if self._enabled and self._per_optimizer:
            raise GradientError(
                "a GradScaler can be pickled before a step or after update(), not in between."
            )
        return dict(self.__dict__)
