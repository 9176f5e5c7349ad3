"""What runs a Keras optimizer: its update op on all weights, or its ``update_step`` on each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import watching
from fovea.functions import creation
from fovea.functions.indexing import copy_
from fovea.functions.pointwise import where
from fovea.keras.variables import assign
from fovea.ops.update import UpdateAttrs
from fovea.optim.optimizer import Group
from fovea.optim.update import UpdateOptimizer

if TYPE_CHECKING:
    from fovea.keras.optimizers.base import Optimizer
    from fovea.tensor import Tensor

__all__ = ["StepEngine", "UpdateEngine"]


class UpdateEngine(UpdateOptimizer):
    """Runs a Keras optimizer's update op; a group with weight decay, and one without.

    Attributes:
        given: the learning rate and the number of steps of a stateless step, as tensors.
    """

    def __init__(self, owner: Optimizer, params: list[Tensor]) -> None:
        self.owner = owner
        self.given: tuple[Any, Any] | None = None
        assert owner.update is not None
        self.update = owner.update  # type: ignore[misc]
        decayed = [p for p in params if owner.weight_decay and owner._decays(p)]
        ids = {id(p) for p in decayed}
        rest = [p for p in params if id(p) not in ids]
        groups = [{"params": decayed, "decays": True}, {"params": rest, "decays": False}]
        super().__init__([g for g in groups if g["params"]], {})

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "owner": self.owner}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.given = None
        if "owner" in state:
            self.update = type(self.owner).update  # type: ignore[misc,assignment]

    def step_unless(self, skip: Tensor | None) -> None:
        if self.given is None:
            super().step_unless(skip)
            return
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            with watching.unwatched():
                updates = self._prepared(group, params)
            decay = self.owner.weight_decay if group["decays"] else 0.0
            values = (0.0, float(decay or 0.0), *self.owner._numbers())
            for update in updates:
                update.sync(values)
                copy_(update.scalars[0], self.given[0])
                update.run(values, skip)

    def make_states(self) -> None:
        """Give every weight its state."""
        for group in self.param_groups:
            attrs = self.attributes(group, True)
            for p in group["params"]:
                self.state_of(p, attrs)

    def attributes(self, group: Group, fresh: bool) -> UpdateAttrs:
        return self.owner._attributes("decoupled" if group["decays"] else "none")

    def numbers(self, group: Group) -> tuple[float, ...]:
        rate, decay = self.owner._rate(), self.owner.weight_decay if group["decays"] else 0.0
        return (rate, float(decay or 0.0), *self.owner._numbers())

    def new_state(self, p: Tensor, name: str) -> Tensor:
        initial = self.owner._initial(name)
        if initial is None:
            return super().new_state(p, name)
        return creation.full_like(p.detach(), initial)


class StepEngine:
    """Runs a Keras optimizer's ``update_step`` for each weight.

    The learning rate and the number of updates are tensors, so that a program that was captured
    from a step follows them.

    Attributes:
        given: as of `UpdateEngine`.
    """

    def __init__(self, owner: Optimizer, params: list[Tensor]) -> None:
        self.owner = owner
        self.param_groups: list[Group] = [{"params": params}]
        self.given: tuple[Any, Any] | None = None
        self.rate = creation.from_array(np.zeros((), np.float32))
        self.iterations = creation.from_array(np.zeros((), np.int64))
        self._look()

    def _look(self) -> None:
        """Note the arrays beneath the tensors: a step that is captured may not look at these."""
        self._numbers = self.rate._array(), self.iterations._array()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_numbers"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._look()

    @property
    def state(self) -> dict[Any, dict[Any, Any]]:
        """The optimizer's variables."""
        return {0: dict(enumerate(self.owner._added))}

    def attributes(self, group: Group, fresh: bool) -> tuple[Any, ...]:
        """The options that a captured step takes as they are."""
        return tuple(
            (k, v)
            for k, v in vars(self.owner).items()
            if not k.startswith("_") and isinstance(v, bool | int | float | str | None)
        )

    def sync(self) -> None:
        """Write the learning rate and the number of updates into the tensors."""
        if self.given is not None:
            return
        values = self.owner._rate(), self.owner._done()
        for held, array, value in zip(
            (self.rate, self.iterations), self._numbers, values, strict=True
        ):
            if array[()] != np.asarray(value, array.dtype):
                array[()] = value
                held.storage.version += 1

    def step_unless(self, skip: Tensor | None) -> None:
        """Update the weights that have a gradient; nothing changes where ``skip`` is 1."""
        if self.given is not None:
            own = self.rate, self.iterations
            self.rate, done = self.given
            self.iterations = done.to(own[1].dtype)
            try:
                self._step(skip)
            finally:
                self.rate, self.iterations = own
            return
        self.sync()
        if watching.watcher is not None:
            watching.watcher.optimizer(self)
        self._step(skip)

    def _step(self, skip: Tensor | None) -> None:
        weights = [p for p in self.param_groups[0]["params"] if p.grad is not None]
        changed = [*weights, *self.owner._added] if skip is not None else []
        before = [t.detach().clone() for t in changed]
        self.owner._apply_weight_decay(weights)
        for p in weights:
            self.owner.update_step(p.grad, p, self.rate)
        for t, old in zip(changed, before, strict=True):
            assert skip is not None
            assign(t, where(skip.eq(1), old, t.detach()))
