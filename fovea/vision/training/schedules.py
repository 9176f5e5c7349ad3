"""What recipes share: which weights decay, what they learn by, and how the learning rate goes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fovea import optim
from fovea.errors import ArgumentError
from fovea.nn import Conv2d, Linear
from fovea.nn.module import Module
from fovea.nn.utils.freezing import param_groups_layer_decay
from fovea.tensor import Tensor

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "cosine",
    "decaying_groups",
    "hidden_filters",
    "optimizer_of",
    "scheduled",
]

OPTIMIZERS = ("adamw", "muon", "sgd")
SCHEDULES = ("cosine", "step", "constant")


def decaying_groups(model: Module, decay: float) -> list[dict[str, Any]]:
    """Filters, which decay, and all else, which does not."""
    learned = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in learned if p.ndim < 2], "weight_decay": 0.0},
    ]


def hidden_filters(model: Module) -> list[Tensor]:
    """The learned weights of convolutions (of one group) and linear layers, without those of the
    first and of the last.
    """
    layers = [m for m in model.modules() if isinstance(m, Conv2d | Linear)]
    hidden = [m for m in layers[1:-1] if getattr(m, "groups", 1) == 1]
    return [m.weight for m in hidden if m.weight.requires_grad]


def optimizer_of(
    model: Module, name: str, lr: float, decay: float, layer_decay: float | None = None
) -> optim.Optimizer:
    """AdamW (``"adamw"``), SGD with Nesterov's momentum of 0.9 (``"sgd"``), or Muon (``"muon"``)
    for hidden filters and AdamW for all else, with steps as large for the same rate. Frozen
    parameters are left out. With ``layer_decay`` rates are lower the further a layer is from the
    end, as of ``fovea.nn.utils.param_groups_layer_decay``.

    Raises:
        ArgumentError: another name; all is frozen.
    """
    if name not in OPTIMIZERS:
        raise ArgumentError(f"unknown optimizer {name!r}.", fix="'adamw', 'muon' or 'sgd'")
    if layer_decay is None:
        groups = [{**group, "lr": lr} for group in decaying_groups(model, decay) if group["params"]]
    else:
        groups = param_groups_layer_decay(model, decay, layer_decay=layer_decay, lr=lr)
    if not groups:
        raise ArgumentError("all parameters are frozen: nothing is left to learn.")
    if name == "adamw":
        return optim.AdamW(groups, lr=lr)
    if name == "sgd":
        return optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True)
    filters = {id(p) for p in hidden_filters(model)}
    muon, rest = list[dict[str, Any]](), list[dict[str, Any]]()
    for group in groups:
        hidden, others = (
            [p for p in group["params"] if (id(p) in filters) is wanted] for wanted in (True, False)
        )
        how = {"use_muon": True, "adjust_lr_fn": "match_rms_adamw"}
        muon.append({**group, "params": hidden, **how})
        how = {"use_muon": False, "betas": (0.9, 0.999), "eps": 1e-8}
        rest.append({**group, "params": others, **how})
    return optim.MuonWithAuxAdam([g for g in (*muon, *rest) if g["params"]])


def cosine(steps: int, warmup: int, last: float = 0.01) -> Callable[[int], float]:
    """A factor of the learning rate: it rises to 1, and falls as a cosine to ``last``.

    >>> factor = cosine(100, 10)
    >>> round(factor(9), 2), round(factor(100), 2)
    (0.89, 0.01)
    """
    warmup = min(warmup, steps // 4)

    def factor(step: int) -> float:
        share = min(step / steps, 1.0)
        rising = min((step + 1) / (warmup + 1), 1.0)
        return rising * (last + (1 - last) * (1 + math.cos(math.pi * share)) / 2)

    return factor


def scheduled(name: str, steps: int, warmup: int) -> Callable[[int], float]:
    """A factor of the learning rate, which rises over ``warmup`` steps, then falls as a cosine
    (``"cosine"``), to a tenth after half and after three quarters of the steps (``"step"``), or
    not at all (``"constant"``).

    Raises:
        ArgumentError: another name.

    >>> factor = scheduled("step", 100, 4)
    >>> [round(factor(n), 2) for n in (0, 4, 49, 50, 75)]
    [0.2, 1.0, 1.0, 0.1, 0.01]
    """
    if name not in SCHEDULES:
        raise ArgumentError(f"unknown schedule {name!r}.", fix=", ".join(map(repr, SCHEDULES)))
    if name == "cosine":
        return cosine(steps, warmup)
    drops = (0.5 * steps, 0.75 * steps) if name == "step" else ()

    def factor(step: int) -> float:
        risen = min((step + 1) / (warmup + 1), 1.0)
        return float(risen * 0.1 ** sum(step >= drop for drop in drops))

    return factor
