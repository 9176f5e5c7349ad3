"""A network cut off behind the layers whose results are wanted."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from fovea import nn
from fovea.errors import ArgumentError

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["IntermediateLayerGetter"]


class IntermediateLayerGetter(nn.ModuleDict):
    """Runs a network's children in order, up to the last one asked for, and returns what those
    asked for return.

    Args:
        model: the network; its children must run one after the other, as in ``nn.Sequential``.
        return_layers: from the names of children to the names of their results.

    Raises:
        ArgumentError: names that are no children.

    >>> import fovea
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4))
    >>> parts = IntermediateLayerGetter(net, {"1": "hidden"})
    >>> [(name, value.shape) for name, value in parts(fovea.zeros(5, 2)).items()]
    [('hidden', fovea.Size([5, 3]))]
    """

    def __init__(self, model: nn.Module, return_layers: dict[str, str]) -> None:
        wanted = {str(name): str(result) for name, result in return_layers.items()}
        children = OrderedDict(model.named_children())
        missing = [name for name in wanted if name not in children]
        if missing:
            raise ArgumentError(
                f"IntermediateLayerGetter: the model has no child named {', '.join(missing)}.",
                fix=f"one of {', '.join(children)}",
            )
        last = max((list(children).index(name) for name in wanted), default=-1)
        super().__init__(OrderedDict(list(children.items())[: last + 1]))
        self.return_layers = wanted

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        results: OrderedDict[str, Tensor] = OrderedDict()
        for name, child in self.items():
            x = child(x)
            if name in self.return_layers:
                results[self.return_layers[name]] = x
        return results
