"""Optimizers whose step is one update op a group, and the quick way to run that op.

The op takes hundreds of tensors, so what `dispatch.bind` looks at for each call (every shape,
stride and dtype) would cost more than a small model's update. An `Update` is checked when it is
made; before each further run only identities are compared: the same parameters and states over the
same storages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import chain
from operator import attrgetter, eq, is_
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fovea import dtypes, targets, watching
from fovea.autograd import enable_grad
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.functions.creation import constant, from_array, full_like, scalar_tensor
from fovea.functions.indexing import copy_
from fovea.ops import memory
from fovea.ops.op import Op
from fovea.ops.rules import dense_strides
from fovea.ops.update import SCALAR_STATES, UpdateAttrs
from fovea.optim.optimizer import Group, Optimizer
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "Update",
    "UpdateOptimizer",
    "check_betas",
    "check_lr",
    "check_not_negative",
    "decay_kind",
    "unavailable",
]

_storage, _strides = attrgetter("storage"), attrgetter("strides")
_shape, _dtype, _offset = attrgetter("shape"), attrgetter("dtype"), attrgetter("offset")


class Update:
    """One call of an update op on certain parameters.

    Args:
        op, attrs: the update.
        params: parameters of one dtype, each with a gradient.
        states: for each of them its state, by name; None where there is none.
    """

    def __init__(
        self,
        op: Op,
        attrs: UpdateAttrs,
        params: list[Tensor],
        states: list[dict[str, Any] | None],
    ) -> None:
        self.op, self.attrs, self.params, self.states = op, attrs, params, states
        self._shapes = [p.shape for p in params]
        self._dtypes = [p.dtype for p in params]
        self._layouts = [dense_strides(tuple(p.shape), p.strides) for p in params]
        self._offsets = [p.offset for p in params]
        self._param_strides = [p.strides for p in params]
        self._dicts = [s for s in states if s is not None]
        self._known_states = list(chain.from_iterable(s.values() for s in self._dicts))
        columns = [[s[name] for s in self._dicts] for name in attrs.states]
        self.fixed = [*params, *chain.from_iterable(columns)]
        self.storages = [t.storage for t in self.fixed]
        self.values: tuple[float, ...] = (0.0,) * (len(attrs.scalars) - 1)
        self.skips = False  # whether the last scalar, skip, may be other than 0
        self.scalars = from_array(np.zeros(len(attrs.scalars)))
        self._numbers = self.scalars._array()
        self.target = targets.active()
        inputs = self._inputs(self._gradients())
        plan: Any = self.target.plan(op, inputs, attrs, op.specs(inputs, attrs))
        # A plan may offer to keep all addresses but those of the gradients.
        fixed = getattr(plan, "with_gradients_later", None)
        self._call = fixed(inputs) if fixed else lambda grads: plan(self._inputs(grads))

    def _inputs(self, grads: Sequence[Tensor]) -> tuple[Tensor, ...]:
        count = len(self.params)
        return (self.scalars, *self.params, *grads, *self.fixed[count:])

    def fits(self, params: Sequence[Tensor], state: dict[Any, dict[str, Any]]) -> bool:
        """Whether these parameters and their states are still what it was made for."""
        held = chain.from_iterable(map(dict.values, self._dicts))
        return (
            len(params) == len(self.params)
            and all(map(is_, params, self.params))
            and all(map(is_, map(state.get, params), self.states))
            and all(map(is_, held, self._known_states))
            and all(map(is_, map(_storage, self.fixed), self.storages))
            and all(map(is_, map(_shape, params), self._shapes))
            and all(map(is_, map(_strides, params), self._param_strides))
            and all(map(eq, map(_offset, params), self._offsets))
            and targets.active() is self.target
        )

    def run(self, values: tuple[float, ...], skip: Tensor | None = None) -> None:
        """Update the parameters, with these numbers for ``attrs.scalars``, unless ``skip`` is 1."""
        self.sync(values)
        if skip is not None or self.skips:
            self.skips = skip is not None
            copy_(self.scalars[-1], constant(0.0, dtypes.float64) if skip is None else skip)
        grads = self._gradients()
        if watching.watcher is None:
            self._call(grads)
        else:
            watching.watcher.update(
                self.op,
                self._inputs(grads),
                self.attrs,
                len(self.params),
                lambda: self._call(grads),
            )
        for storage in self.storages:
            storage.version += 1

    def sync(self, values: tuple[float, ...]) -> None:
        """Write the hyper-parameters into the tensor that the op reads."""
        if values != self.values:
            self._numbers[:-1] = self.values = values
            self.scalars.storage.version += 1

    def _gradients(self) -> list[Tensor]:
        """The gradients, each in the memory layout of its parameter's state."""
        grads: list[Any] = [p.grad for p in self.params]
        if (
            all(map(eq, map(_strides, grads), self._layouts))
            and all(map(eq, map(_shape, grads), self._shapes))
            and all(map(is_, map(_dtype, grads), self._dtypes))
        ):
            return grads
        triples = zip(self.params, grads, self._layouts, strict=True)
        return [g if _fits(p, g, layout) else _laid_out(p, g, layout) for p, g, layout in triples]


def _fits(p: Tensor, g: Tensor, layout: tuple[int, ...]) -> bool:
    return g.strides == layout and g.shape == p.shape and g.dtype is p.dtype


def _laid_out(p: Tensor, g: Tensor, layout: tuple[int, ...]) -> Tensor:
    if g.shape != p.shape:
        raise ShapeError(
            "step: a gradient does not have its parameter's shape.",
            {"parameter": describe(p), "gradient": describe(g)},
        )
    if g.dtype is not p.dtype:
        raise DTypeError(
            "step: a gradient does not have its parameter's dtype.",
            {"parameter": describe(p), "gradient": describe(g)},
        )
    return memory.lay_out.bind((g.detach(),), memory.StridesAttrs.of(layout))


class UpdateOptimizer(Optimizer):
    """An optimizer whose step is the op ``update``; subclasses give attributes and numbers."""

    update: ClassVar[Op]
    initial: ClassVar[dict[str, float]] = {"mu_product": 1.0}

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self._updates: dict[int, list[Update]] = {}
        self._skip: Tensor | None = None
        for flag in ("capturable", "differentiable"):
            unavailable(type(self).__name__, flag, defaults.get(flag))
        if defaults.get("foreach") and defaults.get("fused"):
            raise ArgumentError(f"{type(self).__name__}: foreach and fused cannot both be True.")
        super().__init__(params, defaults)

    def attributes(self, group: Group, fresh: bool) -> UpdateAttrs:
        """The op's attributes for a group; ``fresh``: for parameters without state."""
        raise NotImplementedError

    def numbers(self, group: Group) -> tuple[float, ...]:
        """The values of the attributes' ``scalars``, but for the last."""
        raise NotImplementedError

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._updates, self._skip = {}, None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters that have a gradient.

        Args:
            closure: computes the loss and gradients anew; called once, its result returned.
        """
        loss = None
        if watching.watcher is not None:
            watching.watcher.optimizer(self)
        if closure is not None:
            with enable_grad():
                loss = closure()
        for number, group in enumerate(self.param_groups):
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._step_group(number, group, params)
        return loss

    def step_unless(self, skip: Tensor | None) -> None:
        """``step`` that changes nothing where ``skip``, a 0-d tensor, is 1: without asking it, so
        that a captured program decides in each call.
        """
        self._skip = skip
        try:
            self.step()
        finally:
            self._skip = None

    def sync(self) -> None:
        """Write what ``param_groups`` says into the tensors that updates read.

        ``step`` does so itself; a program that was captured from one calls this before each run.
        """
        for number, updates in self._updates.items():
            for update in updates:
                update.sync(self.numbers(self.param_groups[number]))

    def _step_group(self, number: int, group: Group, params: list[Tensor]) -> None:
        attrs, values = self.attributes(group, False), self.numbers(group)
        updates = self._updates.get(number)
        if updates is not None and len(updates) == 1 and updates[0].attrs is attrs:
            if updates[0].fits(params, self.state):
                updates[0].run(values, self._skip)
                return
        elif updates is not None and self._all_fit(updates, params, attrs):
            for update in updates:
                update.run(values, self._skip)
            return
        updates = self._updates[number] = self._prepared(group, params)
        for update in updates:
            update.run(values, self._skip)

    def _all_fit(self, updates: list[Update], params: list[Tensor], attrs: UpdateAttrs) -> bool:
        """The same for a group that takes several calls, for its dtypes or layouts."""
        known = {id(p) for update in updates for p in update.params}
        return known == {id(p) for p in params} and all(
            u.attrs is attrs and u.fits(u.params, self.state) for u in updates
        )

    def _prepared(self, group: Group, params: list[Tensor]) -> list[Update]:
        parts: dict[Any, list[Tensor]] = {}
        for p in params:
            held = self.state.get(p) or {}
            wanted = self.attributes(group, False).states
            fresh = any(held.get(name) is None for name in wanted)
            attrs = self.attributes(group, fresh)
            dense = dense_strides(tuple(p.shape), p.strides) == p.strides
            parts.setdefault((p.dtype, dense, attrs), []).append(p)
        # To a capture, state is found, not made, if a first step is no other than later ones.
        steady = {attrs for _, _, attrs in parts} == {self.attributes(group, False)}
        with watching.unwatched() if steady else nullcontext():
            return [self._made(attrs, members) for (_, _, attrs), members in parts.items()]

    def _made(self, attrs: UpdateAttrs, members: list[Tensor]) -> Update:
        states = [self.state_of(p, attrs) for p in members]
        return Update(self.update, attrs, members, states)

    def state_of(self, p: Tensor, attrs: UpdateAttrs) -> dict[str, Any] | None:
        """The parameter's state: what is missing is made, what lies otherwise is laid out anew."""
        if not attrs.states:
            return self.state.get(p)
        state = self.state[p]
        layout = dense_strides(tuple(p.shape), p.strides)
        for name in sorted(attrs.states, key=lambda n: n not in SCALAR_STATES):
            held = state.get(name)
            if held is None:
                state[name] = self.new_state(p, name)
            elif name in SCALAR_STATES:
                if not is_tensor(held) or held.dtype is not dtypes.float32:
                    state[name] = scalar_tensor(float(held), dtype=dtypes.float32)
            elif held.shape == p.shape and held.dtype is p.dtype and held.strides != layout:
                state[name] = _laid_out(p, held, layout)
        return state

    def new_state(self, p: Tensor, name: str) -> Tensor:
        """What a parameter's state starts as."""
        value = self.initial.get(name, 0.0)
        if name in SCALAR_STATES:
            return scalar_tensor(value, dtype=dtypes.float32)
        return full_like(p.detach(), value)


def unavailable(name: str, flag: str, value: Any) -> None:
    if value:
        raise ArgumentError(
            f"{name}: {flag}=True is not available.",
            fix=f"leave {flag} out: a step is never recorded, and can be captured as it is",
        )


def check_not_negative(name: str, **values: Any) -> None:
    """ArgumentError unless each value is zero or more."""
    for key, value in values.items():
        if not value >= 0:
            raise ArgumentError(f"{name}: {key} must not be negative, got {value}.")


def check_lr(name: str, lr: Any) -> None:
    """ArgumentError unless a learning rate is one number, zero or more."""
    if is_tensor(lr) and lr.numel() != 1:
        raise ArgumentError(f"{name}: a tensor lr must hold one number, this has {lr.numel()}.")
    check_not_negative(name, **{"learning rate": lr})


def check_betas(name: str, betas: Sequence[Any]) -> None:
    """ArgumentError unless both betas lie in [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0 <= beta < 1:
            raise ArgumentError(f"{name}: betas[{i}] must lie in [0, 1), got {beta}.")


def decay_kind(weight_decay: Any, decoupled: bool = False) -> str:
    """Which weight decay an update has to compute."""
    if weight_decay == 0:
        return "none"
    return "decoupled" if decoupled else "l2"
