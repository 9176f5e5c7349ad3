"""The base of Keras's optimizers: learning rates, clipping, decay, averages, over one update op."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fovea import dispatch, watching
from fovea.autograd.grad_mode import no_grad
from fovea.errors import ArgumentError, ShapeError
from fovea.functions import creation
from fovea.keras.naming import auto_name, nearest
from fovea.keras.objects import deserialize_keras_object, serialize_keras_object
from fovea.keras.optimizers.careful import Careful
from fovea.keras.optimizers.engine import StepEngine, UpdateEngine
from fovea.keras.optimizers.schedules import LearningRateSchedule
from fovea.keras.optimizers.stateless import applied, as_rate
from fovea.keras.optimizers.stepwise import Stepwise
from fovea.keras.variables import Linked, Variable, assign
from fovea.ops.op import Op
from fovea.ops.update import UpdateAttrs

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Optimizer"]


class Optimizer(Careful, Stepwise):
    """Base of Keras's optimizers.

    A subclass makes its variables in ``build`` and gives ``update_step``, which changes one weight;
    it may be captured in a compiled step as it is.

    Args:
        learning_rate: a number, a schedule, or a function without arguments.
        weight_decay: the share of a weight that each step takes away, times the learning rate.
        clipnorm: the largest norm of a weight's gradient.
        clipvalue: the largest size of a gradient's element.
        global_clipnorm: the largest norm of all gradients together.
        use_ema: keep moving averages of the weights.
        ema_momentum: how much of them is kept at each step.
        ema_overwrite_frequency: put the averages into the weights every so many steps; None does
            it at the end of ``fit``.
        loss_scale_factor: the loss is multiplied, gradients are divided by it.
        gradient_accumulation_steps: gradients are averaged over so many steps before an update.
        name: made up unless given.

    Raises:
        ArgumentError: an unknown argument, or one out of its range.

    >>> import fovea
    >>> class Signs(Optimizer):
    ...     def update_step(self, gradient, variable, learning_rate):
    ...         self.assign_sub(variable, learning_rate * gradient.sign())
    >>> w = Variable([1.0, 2.0])
    >>> Signs(learning_rate=0.5).apply([fovea.tensor([-3.0, 0.1])], [w])
    >>> w.numpy().tolist()
    [1.5, 1.5]
    """

    keras_module = "keras.optimizers"
    update: ClassVar[Op | None] = None  # where there is none, update_step says what happens
    # Keras's names of the states, in the order of its files: lists of what each weight has, to the
    # engine's names.
    slots: ClassVar[tuple[tuple[tuple[str, str], ...], ...]] = ()

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        kind = type(self).__name__
        if kwargs.pop("decay", None) is not None:
            warnings.warn(
                "Argument `decay` is no longer supported and will be ignored.", stacklevel=3
            )
        if kwargs:
            raise self._unknown(kwargs)
        if sum(c is not None for c in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ArgumentError(f"{kind}: give one of clipnorm, clipvalue and global_clipnorm.")
        if use_ema and not 0 <= ema_momentum <= 1:
            raise ArgumentError(f"{kind}: ema_momentum must lie in [0, 1], got {ema_momentum}.")
        if gradient_accumulation_steps is not None and gradient_accumulation_steps < 2:
            raise ArgumentError(
                f"{kind}: gradient_accumulation_steps must be at least 2, "
                f"got {gradient_accumulation_steps}."
            )
        self.name = name or auto_name(kind)
        self.weight_decay, self.clipnorm, self.clipvalue = weight_decay, clipnorm, clipvalue
        self.global_clipnorm, self.use_ema = global_clipnorm, use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.built = False
        self._iterations: Any = 0
        self._excluded: list[Any] = []
        self._excluded_names: list[str] = []
        self._engine: UpdateEngine | StepEngine | None = None
        self._added: list[Variable] = []
        self._parameters: list[Any] = []
        self._averages: list[Tensor] = []
        self._accumulated: list[Tensor] = []
        self._learning_rate: Any = None
        self._rate_seen: tuple[int, float] = (-1, 0.0)
        self.learning_rate = learning_rate

    def _unknown(self, kwargs: dict[str, Any]) -> ArgumentError:
        import inspect

        name = next(iter(kwargs))
        known = [p for p in inspect.signature(type(self).__init__).parameters if p != "self"]
        near = "learning_rate" if name == "lr" else nearest(name, known)
        hint = f"did you mean {near!r}?" if near else f"it takes: {', '.join(known)}"
        return ArgumentError(f"{type(self).__name__}: unknown argument {name!r}.", fix=hint)

    # -- what algorithms give -----------------------------------------------------------------

    def _attributes(self, decay: str) -> UpdateAttrs:
        """The op's attributes."""
        raise NotImplementedError

    def _numbers(self) -> tuple[float, ...]:
        """The op's numbers after the learning rate and the weight decay."""
        return ()

    def _initial(self, name: str) -> float | None:
        """What a state starts as, where it is not the engine's own choice."""
        return None

    # -- learning rate ------------------------------------------------------------------------

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the next step, as a tensor; assign a number or a schedule."""
        if isinstance(self._learning_rate, Variable):
            return self._learning_rate
        return creation.tensor(self._rate())

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if callable(value) and not hasattr(value, "storage"):
            self._learning_rate = value
            return
        if callable(self._learning_rate) and not isinstance(self._learning_rate, Variable):
            raise ArgumentError(
                f"{self.name}: its learning rate follows a schedule and cannot be set.",
                fix="make the optimizer with a number as its learning rate",
            )
        try:
            rate = float(value)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"{type(self).__name__}: learning_rate must be a number or a schedule, "
                f"got {value!r}."
            ) from None
        if isinstance(self._learning_rate, Variable):
            self._learning_rate.assign(rate)
        else:
            self._learning_rate = Variable(rate, trainable=False, name="learning_rate")

    lr = learning_rate

    def _rate(self) -> float:
        rate = self._learning_rate
        if isinstance(rate, Variable):
            version, known = self._rate_seen
            if rate.storage.version != version:
                with watching.unwatched():  # `sync` brings programs up to date
                    known = float(rate.item())
                self._rate_seen = (rate.storage.version, known)
            return known
        with watching.unwatched(), no_grad():
            if not isinstance(rate, LearningRateSchedule):
                return float(rate())
            own = type(rate).__module__ == LearningRateSchedule.__module__
            # Keras gives a tensor, and a user's schedule may ask it for its dtype.
            # Steps count, also those that only accumulate gradients, as in Keras.
            return float(rate(self._iterations if own else creation.tensor(self._iterations)))

    @property
    def iterations(self) -> Tensor:
        """How many updates have been made."""
        if isinstance(self._engine, StepEngine):
            self._engine.sync()
            return self._engine.iterations
        return creation.tensor(self._done())

    @iterations.setter
    def iterations(self, value: Any) -> None:
        self._iterations = int(value) * (self.gradient_accumulation_steps or 1)

    # -- building -----------------------------------------------------------------------------

    def build(self, variables: Iterable[Any]) -> None:
        """Make the states for these weights. It is done once; ``apply`` does it otherwise."""
        if self.built:
            return
        self._parameters = list(variables)
        if not self._parameters:
            raise ArgumentError(f"{self.name}: there are no weights to optimize.")
        if self.update is None:
            self._engine = StepEngine(self, self._parameters)
        else:
            self._engine = UpdateEngine(self, self._parameters)
            self._engine.make_states()
        if self.use_ema:
            self._averages = [creation.zeros_like(p.detach()) for p in self._parameters]
        if self.gradient_accumulation_steps:
            self._accumulated = [creation.zeros_like(p.detach()) for p in self._parameters]
        self._constrained = [
            p for p in self._parameters if getattr(p, "constraint", None) is not None
        ]
        self.built = True

    def exclude_from_weight_decay(
        self, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave weights out of the decay, by themselves or by patterns of their names.

        Raises:
            ArgumentError: the optimizer has begun to work.
        """
        if self.built:
            raise ArgumentError("exclude_from_weight_decay must be called before training begins.")
        self._excluded += list(var_list or ())
        self._excluded_names += list(var_names or ())

    def _decays(self, p: Any) -> bool:
        name = getattr(p, "name", "")
        return not any(p is v for v in self._excluded) and not any(
            re.search(pattern, name) for pattern in self._excluded_names
        )

    # -- updating -----------------------------------------------------------------------------

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> Tensor:
        """Update weights by pairs of a gradient and a weight; returns the number of updates."""
        grads, variables = zip(*grads_and_vars, strict=True)
        self.apply(list(grads), list(variables))
        return self.iterations

    def apply(self, grads: list[Any], trainable_variables: list[Any] | None = None) -> None:
        """Update weights by their gradients; None leaves a weight as it is.

        Args:
            grads: gradients.
            trainable_variables: the weights; those that it was built with unless given.

        Raises:
            ArgumentError: weights that it was not built with.
        """
        if not grads:
            return
        if trainable_variables is None:
            if not self.built:
                raise ArgumentError(f"{self.name}: give the weights, too, or call build first.")
            trainable_variables = self._parameters
        variables = list(trainable_variables)
        if not self.built:
            self.build(variables)
        known = {id(p) for p in self._parameters}
        for v in variables:
            if id(v) not in known:
                raise ArgumentError(
                    f"{self.name} was not built with the weight {getattr(v, 'path', v)}.",
                    fix="make a new optimizer for a new set of weights",
                )
        kept = [p.grad for p in self._parameters]
        for p in self._parameters:
            p.grad = None
        for v, g in zip(variables, grads, strict=True):
            v.grad = g.detach() if g is not None else None
        try:
            self.step()
        finally:
            for p, g in zip(self._parameters, kept, strict=True):
                p.grad = g

    def stateless_apply(
        self, optimizer_variables: Any, grads: Any, trainable_variables: Any
    ) -> tuple[list[Any], list[Any]]:
        """What ``apply`` would make of weights and of the optimizer's variables, which all stay as
        they are.

        Args:
            optimizer_variables: tensors, one for each of ``variables``.
            grads: gradients; None leaves a weight as it is.
            trainable_variables: the weights' values, one for each that it was built with.

        Returns:
            ``(trainable_variables, optimizer_variables)``: lists of tensors.

        Raises:
            ArgumentError: the optimizer is not built, or another number of tensors.
            ShapeError: a tensor of another shape.

        >>> import fovea
        >>> from fovea.keras.optimizers import SGD
        >>> w, optimizer = Variable([1.0]), SGD(0.5)
        >>> optimizer.build([w])
        >>> new, _ = optimizer.stateless_apply(optimizer.variables, [fovea.ones(1)], [w])
        >>> new, w.numpy()
        ([tensor([0.5000])], array([1.], dtype=float32))
        """
        return self._applied(*(list(v) for v in (optimizer_variables, grads, trainable_variables)))

    def _applied(self, variables: Any, grads: Any, weights: Any) -> tuple[list[Any], list[Any]]:
        return applied(self, variables, grads, weights)

    def _update_with(self, scope: Any, grads: list[Any], rate: Any, iterations: Any) -> None:
        """``_update`` of variables that hold other values.

        Args:
            scope: the `StandIns` that lent them.
            grads: gradients.
            rate, iterations: learning rate and number of steps, which may be tensors.
        """
        every = self.gradient_accumulation_steps or 1
        done = iterations if every == 1 else iterations // every
        self._lend_counts(scope, done)
        kept, before = [p.grad for p in self._parameters], self._iterations
        engine: Any = self._engine
        engine.given = as_rate(rate), done
        try:
            for p, g in zip(self._parameters, grads, strict=True):
                p.grad = None if g is None else g.detach()
            if not self._capturable:
                self._iterations = iterations
            self._update()
        finally:
            engine.given = None
            self._iterations = before
            for p, g in zip(self._parameters, kept, strict=True):
                p.grad = g

    def _lend_counts(self, scope: Any, done: Any) -> None:
        """Let each weight's own count of steps be this number."""
        if isinstance(self._engine, UpdateEngine):
            for p in self._parameters:
                held = self._engine.state[p]
                if "step" in held:
                    scope.lend(held["step"], done.reshape(held["step"].shape))

    def step(self) -> None:
        """Update the weights by the gradients that backward left in them."""
        self._update()
        self._count()

    def _count(self) -> None:
        """Count a step that ``_update`` has made."""
        self._iterations += 1

    def _update(self, skip: Tensor | None = None) -> None:
        """``step``, but for counting it; it changes nothing where ``skip``, a tensor, is 1."""
        assert self._engine is not None, "build comes first"
        before = dispatch.set_grad_enabled(False)
        try:
            if self._plain():
                self._engine.step_unless(skip)
            else:
                self._careful_step(skip)
            for p in self._constrained:
                assign(p, p.constraint(p))
        finally:
            dispatch.set_grad_enabled(before)

    @property
    def _capturable(self) -> bool:
        """Whether each update does the same, whatever number it has."""
        return self.gradient_accumulation_steps is None and not self.use_ema

    def scale_loss(self, loss: Tensor) -> Tensor:
        """The loss times ``loss_scale_factor``."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    # -- state --------------------------------------------------------------------------------

    def _states(self) -> list[Tensor]:
        """The states in the order of Keras's files."""
        assert self._engine is not None
        found: list[Tensor] = [*self._averages, *self._accumulated, *self._added]
        for names in self.slots:
            for p in self._parameters:
                held = self._engine.state[p]
                found += [held[engine] for _, engine in names if engine in held]
        return found

    @property
    def variables(self) -> list[Any]:
        """Steps done, learning rate, and the states of all weights. What is assigned to them is
        what the next step goes on from.
        """
        steps = Linked(creation.tensor(self._iterations, dtype="int32"), "iteration")
        steps.follow = lambda: self._count_from(int(steps.item()))
        found: list[Any] = [steps]
        if isinstance(self._learning_rate, Variable):
            found.append(self._learning_rate)
        states = self._states() if self.built else []
        return found + [v if isinstance(v, Variable) else self._linked(v) for v in states]

    def _linked(self, state: Tensor) -> Variable:
        return Linked(state, "state")

    def _count_from(self, iterations: int) -> None:
        self._iterations = iterations
        if self.built:
            self._restore_steps()

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """Copies of ``variables`` as arrays."""
        return [v._array().copy() for v in self.variables]

    def set_weights(self, weights: Any) -> None:
        """Take values in the order of ``variables``; call ``build`` first.

        Raises:
            ShapeError: another number of arrays, or another shape.
        """
        own, given = self.variables, [np.asarray(w) for w in weights]
        if len(own) != len(given) or any(
            tuple(a.shape) != tuple(b.shape) for a, b in zip(own, given, strict=True)
        ):
            raise ShapeError(
                f"{self.name}: its {len(own)} states do not take these {len(given)} arrays.",
                fix="build the optimizer with the model's weights first",
            )
        self._iterations = int(given[0])
        for v, value in zip(own[1:], given[1:], strict=True):
            assign(v, value)
        if self.built:
            self._restore_steps()

    def _restore_steps(self) -> None:
        """Each weight's own count of steps follows from the optimizer's."""
        if not isinstance(self._engine, UpdateEngine):
            return
        for p in self._parameters:
            held = self._engine.state[p]
            if "step" in held:
                held["step"].fill_(self._done())

    def get_config(self) -> dict[str, Any]:
        """The arguments to make another one with."""
        rate = self._learning_rate
        written = self._rate() if isinstance(rate, Variable) else serialize_keras_object(rate)
        return {
            "name": self.name,
            "learning_rate": written,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """One with these arguments."""
        rate = config.get("learning_rate")
        if isinstance(rate, dict):
            config = {**config, "learning_rate": deserialize_keras_object(rate, custom_objects)}
        return cls(**config)
