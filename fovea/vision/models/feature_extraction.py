"""Networks that return what comes out of their inner steps, with torchvision's names."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models.steps import Over, Steps, Survey, survey

__all__ = ["FeatureExtractor", "create_feature_extractor", "get_graph_node_names"]

Nodes = Sequence[str] | Mapping[str, str]


def get_graph_node_names(
    model: nn.Module,
    tracer_kwargs: dict[str, Any] | None = None,
    suppress_diff_warning: bool = False,
    concrete_args: dict[str, Any] | None = None,
) -> tuple[list[str], list[str]]:
    """The names of a network's steps, in order, in training and in evaluation.

    A step is a call of a layer (of ``fovea.nn`` or ``fovea.vision.ops``) or of a function, named by
    the modules that it lies in: ``"layer1.0.conv1"``, ``"layer1.0.add"``. Another of the same name
    gets a number: ``"layer1.0.relu_1"``. Steps are found by running the network on zeros without
    computing anything.

    Args:
        model: the network.
        tracer_kwargs: ``leaf_modules``, a list of further classes that count as layers; what
            torchvision takes beside it is not needed.
        suppress_diff_warning: say nothing where training has other steps than evaluation.
        concrete_args: arguments of ``forward`` by name: an example of the first one, where images
            of usual sizes do not fit; others are passed on.

    Raises:
        ArgumentError: the network cannot be run on the example.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten())
    >>> get_graph_node_names(net)[1]
    ['input', '0', '1', '2']
    """
    found = _surveys(model, tracer_kwargs, concrete_args)
    if not suppress_diff_warning:
        _warn_of_differences(*found)
    return found[0].names, found[1].names


def create_feature_extractor(
    model: nn.Module,
    return_nodes: Nodes | None = None,
    train_return_nodes: Nodes | None = None,
    eval_return_nodes: Nodes | None = None,
    tracer_kwargs: dict[str, Any] | None = None,
    suppress_diff_warning: bool = False,
    concrete_args: dict[str, Any] | None = None,
) -> FeatureExtractor:
    """A network that returns what comes out of some of another's steps.

    Args:
        model: the other network, whose layers it shares.
        return_nodes: names of steps (``get_graph_node_names``) or of modules, or a dictionary from
            them to names of results.
        train_return_nodes, eval_return_nodes: instead, those in training and in evaluation.
        tracer_kwargs, suppress_diff_warning, concrete_args: of ``get_graph_node_names``.

    Returns:
        a module that returns a dictionary of results in the order in which they come out. It stops
        after the last one, and holds what is needed up to there.

    Raises:
        ArgumentError: no names, or names that there are not.

    >>> import fovea
    >>> from fovea.vision import models
    >>> net = models.resnet18()
    >>> extractor = create_feature_extractor(net, {"layer1": "fine", "layer3.1.relu_1": "coarse"})
    >>> {name: x.shape for name, x in extractor(fovea.zeros(1, 3, 64, 64)).items()}
    {'fine': fovea.Size([1, 64, 16, 16]), 'coarse': fovea.Size([1, 256, 4, 4])}
    """
    if (train_return_nodes is None) != (eval_return_nodes is None):
        raise ArgumentError(
            "create_feature_extractor: train_return_nodes and eval_return_nodes go together."
        )
    if (return_nodes is None) == (train_return_nodes is None):
        raise ArgumentError(
            "create_feature_extractor: give return_nodes, or train_return_nodes and "
            "eval_return_nodes."
        )
    found = _surveys(model, tracer_kwargs, concrete_args)
    if not suppress_diff_warning:
        _warn_of_differences(*found)
    nodes = [return_nodes if each is None else each
             for each in (train_return_nodes, eval_return_nodes)]  # fmt: skip
    first = next(iter(inspect.signature(model.forward).parameters), None)
    fixed = {name: value for name, value in (concrete_args or {}).items() if name != first}
    return FeatureExtractor(model, found, nodes, fixed)


def _surveys(
    model: nn.Module, tracer_kwargs: dict[str, Any] | None, arguments: dict[str, Any] | None
) -> tuple[Survey, Survey]:
    layers = tuple((tracer_kwargs or {}).get("leaf_modules", ()))
    return survey(model, True, layers, arguments), survey(model, False, layers, arguments)


def _warn_of_differences(training: Survey, evaluation: Survey) -> None:
    if training.names != evaluation.names:
        warnings.warn(
            "The steps in training are not those in evaluation: train_return_nodes and "
            "eval_return_nodes may be needed.",
            stacklevel=3,
        )


def _wanted(found: Survey, nodes: Any, mode: str) -> dict[str, str]:
    """From names of steps, in order, to names of results."""
    pairs = nodes.items() if isinstance(nodes, Mapping) else ((n, n) for n in nodes)
    wanted = {_step(found, str(name), mode): str(result) for name, result in pairs}
    return {step: wanted[step] for step in found.steps if step in wanted}


def _step(found: Survey, name: str, mode: str) -> str:
    if name in found.steps:
        return name
    calls = [step for step in found.steps if step.rpartition(":")[0] == name and name]
    if not calls:
        raise ArgumentError(
            f"create_feature_extractor: there is no step {name!r} in {mode}.",
            fix="one of get_graph_node_names(model), or the path of a module that is called",
        )
    return calls[-1]


class _Part(nn.Module):
    """A module without those within it that are not needed: of what is left, the same tensors.

    Args:
        whole: the module.
        path: where it lies in the network.
        used: the paths of what is needed.
    """

    def __init__(self, whole: nn.Module, path: str, used: Iterable[str]) -> None:
        super().__init__()
        own = self.__dict__
        for name in ("training", "_parameters", "_buffers", "_non_persistent_buffers_set"):
            own[name] = whole.__dict__[name]
        own["_whole"] = whole
        for name, child in whole.named_children():
            inner = f"{path}.{name}" if path else name
            if _needed(inner, used):
                complete = all(
                    _needed(each, used)
                    for each, module in child.named_modules(prefix=inner)
                    if not any(True for _ in module.children())
                )
                own["_modules"][name] = child if complete else _Part(child, inner, used)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "_whole" not in self.__dict__ or name.startswith("__"):
                raise
            return getattr(self.__dict__["_whole"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, nn.Module) or name in self.__dict__:
            super().__setattr__(name, value)
        setattr(self.__dict__["_whole"], name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["_whole"].forward(*args, **kwargs)


def _needed(path: str, used: Iterable[str]) -> bool:
    """Whether a module is used, holds one that is, or lies within one."""
    return any(
        path == each or path.startswith(f"{each}.") or each.startswith(f"{path}.")
        for each in used
        if each
    )


class FeatureExtractor(_Part):
    """Returns what comes out of some steps of a network; made by ``create_feature_extractor``.

    Args:
        model: the network, whose tensors this one shares.
        found: its steps in training and in evaluation.
        nodes: those that are wanted, likewise.
        fixed: further arguments of each call of the network.
    """

    def __init__(
        self,
        model: nn.Module,
        found: Sequence[Survey],
        nodes: Sequence[Any],
        fixed: dict[str, Any] | None = None,
    ) -> None:
        modes = ("training", "evaluation")
        wanted = [_wanted(*each) for each in zip(found, nodes, modes, strict=True)]
        used: set[str] = set()
        for each, steps in zip(found, wanted, strict=True):
            used.update(each.used[: max((each.reads[step] for step in steps), default=0)])
        super().__init__(model, "", used)
        own = self.__dict__
        own["_wanted"] = dict(zip((True, False), wanted, strict=True))
        own["_layers"], own["_fixed"] = found[0].layers, dict(fixed or {})

    def train(self, mode: bool = True) -> Self:
        self.__dict__["_whole"].train(mode)
        return super().train(mode)

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        wanted = self._wanted[self.training]
        taken = _Taken(self.__dict__["_whole"], self._layers, wanted)
        if wanted:
            taken.follow(*args, **{**self._fixed, **kwargs})
        missing = [step for step in wanted if step not in taken.values]
        if missing:
            raise ArgumentError(f"FeatureExtractor: this call did not come to {missing[0]!r}.")
        return {name: taken.values[step] for step, name in wanted.items()}


class _Taken(Steps):
    """Keeps what comes out of some steps, and ends the pass after the last of them."""

    def __init__(self, model: nn.Module, layers: tuple[type, ...], wanted: Iterable[str]) -> None:
        super().__init__(model, layers)
        self.wanted = frozenset(wanted)
        self.values: dict[str, Any] = {}

    def reached(self, step: str, value: Any) -> None:
        if step in self.wanted:
            self.values[step] = value
        elif len(self.values) == len(self.wanted):
            raise Over

    def entered(self) -> None:
        if len(self.values) == len(self.wanted):
            raise Over
