"""Parts of a network that training leaves alone, and groups of parameters for training the rest.

Source of the decay by layers: K. Clark et al., "ELECTRA", 2020; H. Bao, L. Dong and F. Wei, "BEiT:
BERT Pre-Training of Image Transformers", 2021.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.nn.batch_norm import _BatchNorm
from fovea.nn.module import Module

if TYPE_CHECKING:
    from fovea.nn.parameter import Parameter

__all__ = [
    "freeze",
    "param_groups_layer_decay",
    "param_groups_weight_decay",
    "train_unfrozen",
    "unfreeze",
]

Patterns = str | Iterable[str]


def freeze(model: Module, patterns: Patterns = "*") -> list[str]:
    """Leave parameters as they are in training: they take no gradient.

    Batch normalization whose parameters are all frozen is set to evaluation mode, and
    ``Trainer.fit`` and ``fovea train`` keep it there: its running statistics stay as well. In a
    loop of your own call ``train_unfrozen(model)`` in the place of ``model.train()``.

    Args:
        model: what has them; changed in place.
        patterns: names of modules or parameters, such as ``"layer1"`` (with all below), with ``*``
            and ``?`` as in names of files; several in a list.

    Returns:
        The names of the parameters that were found.

    Raises:
        ArgumentError: a pattern fits nothing.

    >>> from fovea import nn
    >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    >>> freeze(model, ["0", "1"])
    ['0.weight', '0.bias', '1.weight', '1.bias']
    >>> train_unfrozen(model)[1].training
    False
    """
    return _require_gradients(model, patterns, False, "freeze")


def unfreeze(model: Module, patterns: Patterns = "*") -> list[str]:
    """The opposite of ``freeze``, with its arguments.

    >>> from fovea import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    >>> names = freeze(model)
    >>> unfreeze(model, "1.*")
    ['1.weight', '1.bias']
    """
    return _require_gradients(model, patterns, True, "unfreeze")


def _require_gradients(model: Module, patterns: Patterns, wanted: bool, caller: str) -> list[str]:
    parameters = dict(model.named_parameters())
    found: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else list(patterns):
        names = [
            name
            for name in parameters
            if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}.*")
        ]
        if not names:
            parts = ", ".join(name for name, _ in model.named_children()) or "none"
            raise ArgumentError(
                f"{caller}: no parameter of {type(model).__name__} is named {pattern!r}.",
                fix=f"its parts are {parts}; model.named_parameters() lists all",
            )
        found.update(names)
    chosen = [name for name in parameters if name in found]
    for name in chosen:
        parameters[name].requires_grad_(wanted)
    if model.training:
        train_unfrozen(model)
    else:
        _still(model)
    return chosen


def train_unfrozen(model: Module) -> Module:
    """Training mode, but for batch normalization whose parameters are all frozen; returns the
    model.
    """
    model.train()
    _still(model)
    return model


def _still(model: Module) -> None:
    for module in model.modules():
        own = list(module.parameters()) if isinstance(module, _BatchNorm) else []
        if own and not any(p.requires_grad for p in own):
            module.eval()


Group = dict[str, Any]


def param_groups_weight_decay(
    model: Module, weight_decay: float = 1e-5, no_weight_decay: Patterns = ()
) -> list[Group]:
    """Parameters for an optimizer, those of normalizations and biases without weight decay.

    Frozen parameters are left out.

    Args:
        model: whose they are.
        weight_decay: of the others.
        no_weight_decay: names or patterns of more without, such as ``"*pos_embedding"``.

    >>> from fovea import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    >>> [len(group["params"]) for group in param_groups_weight_decay(model, 0.1)]
    [3, 1]
    """
    without = _fits(no_weight_decay)
    groups: list[Group] = [
        {"params": [], "weight_decay": 0.0},
        {"params": [], "weight_decay": weight_decay},
    ]
    for name, parameter in _trained(model):
        groups[parameter.ndim > 1 and not without(name)]["params"].append(parameter)
    return [group for group in groups if group["params"]]


def param_groups_layer_decay(
    model: Module,
    weight_decay: float = 0.05,
    no_weight_decay: Patterns = (),
    layer_decay: float = 0.75,
    *,
    lr: float | None = None,
) -> list[Group]:
    """Parameters for an optimizer, with lower learning rates the further they are from the end.

    The network's blocks are counted in the order of its parameters: those in lists of repeated
    blocks (``layer1.0``, ``features.3.1``, ``encoder.layers.encoder_layer_2``) each, what is before
    the first as 0, the last modules as the end. Layer i of n has the rate lr · layer_decay^(n - i).
    Frozen parameters are left out.

    Args:
        model: whose they are.
        weight_decay: of all but normalizations and biases.
        no_weight_decay: names or patterns of more without.
        layer_decay: the factor from a layer to the one before.
        lr: the last layer's learning rate; None: groups have only ``lr_scale``, for schedules of
            one's own.

    >>> from fovea.vision import models
    >>> groups = param_groups_layer_decay(models.resnet18(num_classes=2), lr=0.1)
    >>> [round(group["lr"], 4) for group in groups][:4], groups[-1]["lr"]
    ([0.0075, 0.0075, 0.01, 0.01], 0.1)
    """
    if not 0 < layer_decay <= 1:
        raise ArgumentError(
            f"param_groups_layer_decay: layer_decay must be above 0 and at most 1, got "
            f"{layer_decay}."
        )
    without = _fits(no_weight_decay)
    parameters = list(_trained(model))
    layers = _layers([name for name, _ in model.named_parameters()])
    last = max(layers.values(), default=0)
    groups: dict[tuple[int, bool], Group] = {}
    for name, parameter in parameters:
        layer, decays = layers[name], parameter.ndim > 1 and not without(name)
        if (layer, decays) not in groups:
            scale = layer_decay ** (last - layer)
            groups[layer, decays] = {
                "params": [],
                "weight_decay": weight_decay if decays else 0.0,
                "lr_scale": scale,
                **({} if lr is None else {"lr": lr * scale}),
            }
        groups[layer, decays]["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


_BLOCK = re.compile(r"^(.*?(?:^|[._-])\d+(?:\.\d+)?)\.")  # through the last number of a path's head


def _layers(names: list[str]) -> dict[str, int]:
    """The layer of each parameter: 0 before the first block, one more behind the last."""
    blocks: dict[str, int] = {}
    keys = [found[1] if (found := _BLOCK.match(name)) else None for name in names]
    for key in keys:
        if key is not None:
            blocks.setdefault(key, len(blocks) + 1)
    first = next((i for i, key in enumerate(keys) if key is not None), len(keys))
    end = len(blocks) + 1
    return {
        name: blocks[key] if key is not None else 0 if i < first else end
        for i, (name, key) in enumerate(zip(names, keys, strict=True))
    }


def _trained(model: Module) -> Iterable[tuple[str, Parameter]]:
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def _fits(patterns: Patterns) -> Callable[[str], bool]:
    chosen = [patterns] if isinstance(patterns, str) else list(patterns)
    return lambda name: any(fnmatch.fnmatchcase(name, pattern) for pattern in chosen)
