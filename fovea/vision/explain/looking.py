"""What all explanations share: a model that is run under watch, and the score that is explained."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fovea import watching
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.nn.module import Module
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Looker", "Targets", "evaluating", "is_keras", "module_at", "scores", "side_sizes"]

Target = int | Callable[["Tensor"], "Tensor"]
Targets = Target | Sequence[Target] | None


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """The model in evaluation mode, op by op; afterwards its modes and gradients are as before."""
    modes = [(m, m.training) for m in model.modules()]
    gradients = [(p, p.grad) for p in model.parameters()]
    eager, watching.eager = watching.eager, True
    model.eval()
    try:
        yield
    finally:
        watching.eager = eager
        for module, training in modes:
            module.__dict__["training"] = training
        for p, grad in gradients:
            p.grad = grad


class Looker(watching.Observer):
    """Keeps what modules return, and the gradients that come back to it.

    Args:
        wanted: whether to keep a module's result, which is a tensor.

    Attributes:
        outputs: (module, result as it was, gradients with respect to it) of each call; a list that
            stays empty until backward has come there.
    """

    def __init__(self, wanted: Callable[[Any, Tensor], bool]) -> None:
        self.wanted = wanted
        self.outputs: list[tuple[Any, Tensor, list[Tensor]]] = []
        self._thread = threading.get_ident()

    def call_module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a module, and keep its result."""
        out = module._call(args, kwargs)
        if threading.get_ident() == self._thread and is_tensor(out) and self.wanted(module, out):
            gradients: list[Tensor] = []
            if out.requires_grad:
                out.register_hook(lambda g: gradients.append(g.detach()))
            self.outputs.append((module, out.detach().clone(), gradients))
        return out


def module_at(model: Module, place: Any) -> Module:
    """A module by itself, by its dotted path, or by a Keras layer's name.

    Raises:
        ArgumentError: there is none; names the nearest.
    """
    if isinstance(place, Module):
        return place
    modules = dict(model.named_modules())
    if place in modules:
        return modules[place]
    for module in modules.values():
        if is_keras(module) and getattr(module, "name", None) == place:
            return module
    from difflib import get_close_matches

    near = get_close_matches(str(place), list(modules), 3)
    raise ArgumentError(
        f"{type(model).__name__} has no module at {place!r}.",
        fix=f"perhaps {' or '.join(map(repr, near))}" if near else "see model.named_modules()",
    )


def is_keras(module: Any) -> bool:
    """Whether a module is of Keras's front door, where images are (N, H, W, C)."""
    import sys

    layers = sys.modules.get("fovea.keras.layers.layer")
    return layers is not None and isinstance(module, layers.Layer)


def side_sizes(model: Any, x: Tensor) -> tuple[int, int]:
    """Height and width of the images that a model takes.

    Raises:
        ShapeError: x are no images.
    """
    if x.ndim != 4:
        raise ShapeError(f"images are a batch of four dimensions, got {describe(x)}.")
    return tuple(x.shape[1:3]) if is_keras(model) else tuple(x.shape[2:4])


def scores(outputs: Tensor, targets: Targets) -> tuple[Tensor, list[Any]]:
    """What is explained, a number a sample, and the targets in full.

    Args:
        outputs: (N, classes), or anything that the targets take.
        targets: a class for all, or one for each sample; functions of a sample's outputs, such as
            of a detector's or a segmentation's; None: the class with the highest score.

    Raises:
        ArgumentError: outputs that have no classes, or another number of targets.
    """
    from fovea.functions.joining import stack

    count = len(outputs)
    if targets is None:
        if outputs.ndim != 2:
            raise ArgumentError(
                f"outputs {describe(outputs)} are no scores of classes.",
                fix="targets=lambda output: ...  (a number made of one sample's outputs)",
            )
        targets = outputs.detach().argmax(1).tolist()
    each: list[Any] = list(targets) if isinstance(targets, list | tuple) else [targets] * count
    if len(each) != count:
        raise ArgumentError(f"{count} samples, but {len(each)} targets.")
    chosen = [t(row) if callable(t) else row[int(t)] for row, t in zip(outputs, each, strict=True)]
    wrong = [c for c in chosen if c.numel() != 1]
    if wrong:
        raise ArgumentError(f"a target must make a number of outputs, got {describe(wrong[0])}.")
    return stack([c.reshape(()) for c in chosen]), each
