"""Random functions of tensors that fovea and PyTorch both run: the same lines, another library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fovea

Step = Callable[[Any, list[Any], dict[str, Any]], Any]  # (library, values, state) -> a new value

UNARY = ("relu", "neg", "abs", "tanh", "sigmoid", "sin", "cos", "square", "exp")
LARGEST = 3000


class Function:
    """A random function: steps that compute a value from earlier ones, or change one in place.

    It is made by running it: each step is chosen by the shapes that are there.

    Args:
        seed: what it depends on.
        gradients: leave out changes in place.
        changes: the kinds of changes in place, where they are not left out; all unless given.
        batch: the size of the first dimension of all arguments; any unless given.
        steps: how many.

    Attributes:
        shapes: of the arguments.
    """

    def __init__(
        self,
        seed: int,
        *,
        gradients: bool = False,
        changes: Sequence[Callable[[Function], None]] | None = None,
        batch: int | None = None,
        steps: int = 14,
    ) -> None:
        self.rng = np.random.default_rng(seed)
        if changes is None:
            changes = CHANGES
        self.lines: list[str] = []
        self.steps: list[Step] = []
        self.shapes = [self._shape() for _ in range(1 + self._below(3))]
        self._values = [fovea.from_numpy(a) for a in self.arguments(0, batch)]
        self._state = self.state(fovea)
        if gradients:
            for i in range(len(self.shapes)):
                self._add(f"v{i} * 1", lambda t, v, s, i=i: v[i] * 1)
        with fovea.no_grad():
            while len(self.steps) < steps:
                try:
                    self._one(changes if not gradients and self._below(3) == 0 else KINDS)(self)
                except (LookupError, ValueError, RuntimeError):
                    continue
        last = len(self._values) - 1
        picked = {last, last - self._below(4), *(self._below(last) for _ in range(2))}
        self.outputs = sorted(i for i in picked if i >= 0)

    def arguments(self, seed: int, batch: int | None = None) -> list[np.ndarray[Any, Any]]:
        """Values for the arguments, in batches of that size."""
        rng = np.random.default_rng(seed)
        shapes = [s if batch is None else (batch, *s[1:]) for s in self.shapes]
        return [rng.uniform(-1, 1, s).astype(np.float32) for s in shapes]

    def state(self, library: Any) -> dict[str, Any]:
        """What lives from call to call."""
        rng = np.random.default_rng(0)
        weights = rng.normal(size=(4, 3, 3, 3)).astype(np.float32) * 0.3
        return {
            "count": library.zeros(()),
            "mean": library.zeros(3),
            "var": library.ones(3),
            "weight": library.from_numpy(weights),
        }

    def __call__(self, library: Any, arguments: list[Any], state: dict[str, Any]) -> list[Any]:
        """Run it; returns the outputs."""
        values = list(arguments)
        for step in self.steps:
            values.append(step(library, values, state))
        return [values[i] for i in self.outputs]

    def __str__(self) -> str:
        return "\n".join([f"arguments {self.shapes}", *self.lines, f"return {self.outputs}"])

    # -- choices ------------------------------------------------------------------------------

    def _below(self, n: int) -> int:
        return int(self.rng.integers(n))

    def _one(self, options: Any) -> Any:
        return options[self._below(len(options))]

    def _shape(self) -> tuple[int, ...]:
        if self._below(3) == 0:
            return (2, 3, self._one((4, 5)), self._one((4, 6)))
        return tuple(self._one((1, 2, 3, 4, 5)) for _ in range(1 + self._below(3)))

    def _pick(self, accept: Callable[[Any], bool] = lambda t: True) -> int:
        """The number of a value; the last ones are more likely."""
        found = [i for i, t in enumerate(self._values) if accept(t)]
        if not found:
            raise LookupError
        near = found[-1 - min(self._below(3), len(found) - 1)]
        return near if self._below(3) else int(self._one(found))

    def _partner(self, i: int) -> int:
        """A value that broadcasts with another one."""
        shape = self._values[i].shape

        def fits(t: Any) -> bool:
            pairs = zip(reversed(t.shape), reversed(shape), strict=False)
            return all(a == b or 1 in (a, b) for a, b in pairs)

        return self._pick(fits)

    def _add(self, line: str, step: Step) -> None:
        value = step(fovea, self._values, self._state)
        if value.numel() > LARGEST or not value.numel():
            raise LookupError
        self.lines.append(f"v{len(self._values)} = {line}")
        self.steps.append(step)
        self._values.append(value)

    # -- steps --------------------------------------------------------------------------------

    def unary(self) -> None:
        i, name = self._pick(), self._one(UNARY)
        if name in ("exp", "square"):  # nothing may grow without end
            self._add(f"tanh(v{i}).{name}()", lambda t, v, s: getattr(v[i].tanh(), name)())
        else:
            self._add(f"v{i}.{name}()", lambda t, v, s: getattr(v[i], name)())

    def binary(self) -> None:
        i = self._pick()
        j = self._partner(i)
        which = self._below(6)
        if which == 0:
            self._add(f"v{i} + v{j}", lambda t, v, s: v[i] + v[j])
        elif which == 1:
            self._add(f"v{i} * v{j}.tanh()", lambda t, v, s: v[i] * v[j].tanh())
        elif which == 2:
            self._add(f"v{i} - v{j}", lambda t, v, s: v[i] - v[j])
        elif which == 3:
            self._add(f"maximum(v{i}, v{j})", lambda t, v, s: t.maximum(v[i], v[j]))
        elif which == 4:
            self._add(f"v{i} / (v{j}.abs() + 1)", lambda t, v, s: v[i] / (v[j].abs() + 1))
        else:
            self._add(
                f"where(v{i} > 0.1, v{i}, v{j})", lambda t, v, s: t.where(v[i] > 0.1, v[i], v[j])
            )

    def scalar(self) -> None:
        i, number = self._pick(), self._one((0.5, 1.0, -1.0, 2.0, 0.0))
        if self._below(2):
            self._add(f"v{i} * {number}", lambda t, v, s: v[i] * number)
        else:
            self._add(f"{number} - v{i}", lambda t, v, s: number - v[i])

    def view(self) -> None:
        i = self._pick(lambda t: t.ndim > 0)
        shape = self._values[i].shape
        d, n = self._below(len(shape)), len(shape)
        k = self._below(shape[d])
        options: list[tuple[str, Step]] = [
            (f"v{i}.transpose(0, {d})", lambda t, v, s: v[i].transpose(0, d)),
            (f"v{i}.reshape(-1) + 0", lambda t, v, s: v[i].reshape(-1) + 0),  # a view or a copy
            (f"v{i}.unsqueeze({d})", lambda t, v, s: v[i].unsqueeze(d)),
            (f"v{i}.flatten({d}).clone()", lambda t, v, s: v[i].flatten(d).clone()),
            (f"v{i}.narrow({d}, {k}, 1)", lambda t, v, s: v[i].narrow(d, k, 1)),
            (f"v{i}.select({d}, {k})", lambda t, v, s: v[i].select(d, k)),
            (f"v{i}[..., ::2]", lambda t, v, s: v[i][..., ::2]),
            (f"v{i}.expand(2, ...)", lambda t, v, s: v[i].expand(2, *v[i].shape)),
            (f"v{i}.permute(reversed)", lambda t, v, s: v[i].permute(*range(n - 1, -1, -1))),
        ]
        self._add(*self._one(options))

    def reduce(self) -> None:
        i = self._pick(lambda t: t.ndim > 0)
        d, keep = self._below(self._values[i].ndim), bool(self._below(2))
        name = self._one(("sum", "mean", "amax", "softmax"))
        if name == "softmax":
            self._add(f"softmax(v{i}, {d})", lambda t, v, s: t.softmax(v[i], d))
        else:
            self._add(
                f"v{i}.{name}({d}, keepdim={keep})",
                lambda t, v, s: getattr(v[i], name)(d, keepdim=keep),
            )

    def product(self) -> None:
        i = self._pick(lambda t: t.ndim >= 2)
        scale = 1 / self._values[i].shape[-1]
        self._add(
            f"v{i} @ v{i}.transpose(-1, -2) * {scale:.3g}",
            lambda t, v, s: v[i] @ v[i].transpose(-1, -2) * scale,
        )

    def join(self) -> None:
        i = self._pick(lambda t: t.ndim > 0)
        d = self._below(self._values[i].ndim)
        self._add(f"cat(v{i}, -v{i}; {d})", lambda t, v, s: t.cat([v[i], -v[i]], d))

    def image(self) -> None:
        i = self._pick(lambda t: t.ndim == 4 and t.shape[1] == 3)
        which = self._below(3)
        if which == 0:
            self._add(
                f"conv2d(v{i}, weight)", lambda t, v, s: t.conv2d(v[i], s["weight"], padding=1)
            )
        elif which == 1:
            self._add(f"max_pool2d(v{i}, 2)", lambda t, v, s: t.max_pool2d(v[i], 2))
        else:
            self._add(
                f"batch_norm(v{i}, mean, var)",
                lambda t, v, s: t.nn.functional.batch_norm(
                    v[i], s["mean"], s["var"], training=True
                ),
            )

    def change_a_copy(self) -> None:
        i = self._pick(lambda t: t.ndim > 0)

        def step(t: Any, v: list[Any], s: dict[str, Any]) -> Any:
            copy = v[i].clone()
            copy[..., 0].mul_(0.5)
            copy.add_(1)
            return copy

        self._add(f"a copy of v{i}, the first column halved, plus 1", step)

    # -- changes of what others may look at ---------------------------------------------------

    def change(self) -> None:
        i = self._pick(lambda t: all(s for s, n in zip(t.strides, t.shape, strict=True) if n > 1))
        j = self._pick(lambda t: t.shape == self._values[i].shape or t.ndim == 0)
        options: list[tuple[str, Step]] = [
            (f"v{i}.add_(tanh(v{j}))", lambda t, v, s: v[i].add_(v[j].tanh())),
            (f"v{i}.mul_(0.5)", lambda t, v, s: v[i].mul_(0.5)),
            (f"v{i}.copy_(tanh(v{j}))", lambda t, v, s: v[i].copy_(v[j].tanh())),
            (f"v{i}.zero_()", lambda t, v, s: v[i].zero_()),
            (f"v{i}.clamp_(-0.5, 0.5)", lambda t, v, s: v[i].clamp_(-0.5, 0.5)),
            (f"v{i}.relu_()", lambda t, v, s: v[i].relu_()),
        ]
        self._add(*self._one(options))

    def change_a_part(self) -> None:
        i = self._pick(
            lambda t: (
                t.ndim > 0 and all(s for s, n in zip(t.strides, t.shape, strict=True) if n > 1)
            )
        )

        def assign(t: Any, v: list[Any], s: dict[str, Any]) -> Any:
            v[i][..., 0] = 0.25
            return v[i]

        options: list[tuple[str, Step]] = [
            (f"v{i}[0].add_(1)", lambda t, v, s: v[i][0].add_(1)),
            (f"v{i}[..., ::2].mul_(-0.5)", lambda t, v, s: v[i][..., ::2].mul_(-0.5)),
            (f"v{i}[..., 0] = 0.25", assign),
            (f"v{i}.transpose(0, -1).sub_(0.5)", lambda t, v, s: v[i].transpose(0, -1).sub_(0.5)),
        ]
        self._add(*self._one(options))

    def change_the_state(self) -> None:
        i = self._pick()
        if self._below(2):
            self._add(f"count.add_(v{i}.mean())", lambda t, v, s: s["count"].add_(v[i].mean()))
        else:
            self._add("weight[0].mul_(0.9)", lambda t, v, s: s["weight"][0].mul_(0.9))


KINDS = (
    *(Function.unary,) * 3,
    *(Function.binary,) * 4,
    *(Function.view,) * 4,
    *(Function.image,) * 2,
    Function.scalar,
    Function.reduce,
    Function.product,
    Function.join,
    Function.change_a_copy,
)
ARGUMENTS = (Function.change, Function.change_a_part)  # changes of them, and of what is computed
CHANGES = (*ARGUMENTS, Function.change_the_state)
