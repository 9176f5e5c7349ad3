"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fovea.autograd import enable_grad, no_grad
from fovea.errors import ArgumentError
from fovea.functions.creation import zeros
from fovea.functions.parts import cat
from fovea.optim.line_search import Point, strong_wolfe
from fovea.optim.optimizer import Optimizer
from fovea.optim.update import check_lr

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Limited-memory BFGS (Liu and Nocedal 1989): one step is up to ``max_iter`` iterations.

    Args:
        params: tensors, or (name, tensor) pairs: one group.
        lr: the step size; the first try of a line search.
        max_iter: the most iterations of a step.
        max_eval: the most calls of the closure in a step; ``1.25 * max_iter`` unless given.
        tolerance_grad: a gradient whose largest element is below this ends the step.
        tolerance_change: so does a smaller change of the parameters or the loss.
        history_size: how many pairs of changes are remembered.
        line_search_fn: None, or ``"strong_wolfe"``.

    Raises:
        ArgumentError: several groups, an unknown line search, or no parameters.

    >>> import fovea
    >>> w = fovea.zeros(2, requires_grad=True)
    >>> optimizer = LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - fovea.tensor([3.0, -1.0])) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> float(optimizer.step(closure))  # the loss before the step
    10.0
    >>> w
    tensor([ 3., -1.], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr("LBFGS", lr)
        if line_search_fn not in (None, "strong_wolfe"):
            raise ArgumentError(
                f"LBFGS: line_search_fn must be None or 'strong_wolfe', got {line_search_fn!r}."
            )
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ArgumentError("LBFGS: all parameters share their options: give one group.")

    @property
    def _params(self) -> list[Tensor]:
        return self.param_groups[0]["params"]

    def _gradient(self) -> Tensor:
        """All gradients as one vector."""
        parts = [
            zeros(p.numel(), dtype=p.dtype) if p.grad is None else p.grad.detach().reshape(-1)
            for p in self._params
        ]
        return cat(parts)

    def _move(self, t: float, direction: Tensor) -> None:
        at = 0
        for p in self._params:
            p.add_(direction[at : at + p.numel()].reshape(tuple(p.shape)), alpha=t)
            at += p.numel()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Iterate until the gradient or the change is small, or there have been enough tries.

        Args:
            closure: clears the gradients, computes the loss, calls backward, returns the loss.

        Returns:
            The first loss.

        Raises:
            ArgumentError: no closure.
        """
        if closure is None:
            raise ArgumentError(
                "LBFGS: step needs a closure, which computes the loss and its gradients anew.",
                fix="optimizer.step(closure)",
            )
        with no_grad():
            return self._iterate(closure)

    def _iterate(self, closure: Callable[[], Any]) -> Any:
        group, state = self.param_groups[0], self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first = _evaluated(closure)
        loss, gradient, evaluations = float(first), self._gradient(), 1
        state["func_evals"] += 1
        if float(gradient.abs().max()) <= group["tolerance_grad"]:
            return first
        for number in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            _remember(state, gradient, group["history_size"])
            state["prev_flat_grad"], state["prev_loss"] = gradient.clone(), loss
            d, slope = state["d"], float(gradient.dot(state["d"]))
            t = float(group["lr"])
            if state["n_iter"] == 1:
                t *= min(1.0, 1.0 / float(gradient.abs().sum()))
            state["t"] = t
            if slope > -group["tolerance_change"]:
                break
            last = number == group["max_iter"]
            if group["line_search_fn"] is not None:
                start = Point(0.0, loss, gradient, slope)
                found, calls = self._search(closure, start, d, t, group["max_eval"] - evaluations)
                loss, gradient, t = found.loss, found.gradient, found.t
                state["t"] = t
                self._move(t, d)
            else:
                self._move(t, d)
                calls = 0 if last else 1  # what follows the last iteration is not needed
                if not last:
                    loss, gradient = float(_evaluated(closure)), self._gradient()
            evaluations += calls
            state["func_evals"] += calls
            if (
                last
                or evaluations >= group["max_eval"]
                or float(gradient.abs().max()) <= group["tolerance_grad"]
                or float(d.abs().max()) * t <= group["tolerance_change"]
                or abs(loss - state["prev_loss"]) < group["tolerance_change"]
            ):
                break
        return first

    def _search(
        self, closure: Callable[[], Any], start: Point, d: Tensor, t: float, tries: int
    ) -> tuple[Point, int]:
        before = [p.detach().clone() for p in self._params]

        def evaluate(t: float) -> Point:
            self._move(t, d)
            loss, gradient = float(_evaluated(closure)), self._gradient()
            for p, value in zip(self._params, before, strict=True):
                p.copy_(value)
            return Point(t, loss, gradient, float(gradient.dot(d)))

        return strong_wolfe(evaluate, start, t, float(d.abs().max()), tries)


def _evaluated(closure: Callable[[], Any]) -> Any:
    with enable_grad():
        return closure()


def _remember(state: dict[str, Any], gradient: Tensor, history: int) -> None:
    """Let the last change into the memory, and set the next direction."""
    if state["n_iter"] == 1:
        state.update(d=-gradient, old_dirs=[], old_stps=[], ro=[], H_diag=1)
        return
    changes, steps, inverse = state["old_dirs"], state["old_stps"], state["ro"]
    change, step = gradient - state["prev_flat_grad"], state["d"] * state["t"]
    product = change.dot(step)
    if float(product) > 1e-10:
        if len(changes) == history:
            for held in (changes, steps, inverse):
                held.pop(0)
        changes.append(change)
        steps.append(step)
        inverse.append(1.0 / product)
        state["H_diag"] = product / change.dot(change)
    state["d"] = _direction(gradient, changes, steps, inverse, state["H_diag"])


def _direction(
    gradient: Tensor, changes: list[Tensor], steps: list[Tensor], inverse: list[Tensor], scale: Any
) -> Tensor:
    """Minus the inverse Hessian times the gradient, by two loops over the memory."""
    q = -gradient
    shares = []
    for change, step, r in zip(*map(reversed, (changes, steps, inverse)), strict=True):
        share = step.dot(q) * r
        shares.append(share)
        q = q - change * share
    d = q * scale
    for change, step, r, share in zip(changes, steps, inverse, reversed(shares), strict=True):
        d = d + step * (share - change.dot(d) * r)
    return d
