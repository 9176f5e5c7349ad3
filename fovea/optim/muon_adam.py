"""Muon for hidden layers, AdamW for the rest, as one optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.functions.pointwise import where
from fovea.optim.adam import AdamW
from fovea.optim.muon import MUON_DEFAULTS, Muon
from fovea.optim.optimizer import Group

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["MuonWithAuxAdam"]

_MUON = {**MUON_DEFAULTS, "lr": 0.02, "weight_decay": 0.0}
_ADAM = {"lr": 3e-4, "betas": (0.9, 0.95), "eps": 1e-10, "weight_decay": 0.0}


class MuonWithAuxAdam(AdamW):
    """Groups with ``use_muon=True`` learn by `Muon`, the others by `AdamW`.

    Muon is for the weights of hidden layers: matrices, and filters (out, in, ...), which are taken
    as matrices (out, in * ...). First and last layers, biases and normalizations are AdamW's.
    Names and defaults are those of the program that came with Muon.

    Args:
        param_groups: dicts of ``params``, ``use_muon`` and options: with Muon ``lr`` (0.02),
            ``momentum`` (0.95), ``weight_decay`` (0), ``nesterov``, ``ns_coefficients``,
            ``ns_steps``, ``eps`` and ``adjust_lr_fn`` as of `Muon`; else ``lr`` (3e-4), ``betas``
            (0.9, 0.95), ``eps`` (1e-10) and ``weight_decay`` (0).

    Raises:
        ArgumentError: a group that does not say ``use_muon``, or Muon for a vector.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.

    >>> import fovea
    >>> net = fovea.nn.Conv2d(2, 4, 3)
    >>> optimizer = MuonWithAuxAdam(
    ...     [{"params": [net.weight], "use_muon": True}, {"params": [net.bias], "use_muon": False}])
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.02, 0.0003]
    """

    def __init__(self, param_groups: Iterable[Group]) -> None:
        super().__init__(param_groups)
        self._matrices = _Matrices(self)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group, which says ``use_muon``."""
        super().add_param_group(_filled(param_group))

    def attributes(self, group: Group, fresh: bool) -> Any:
        if group["use_muon"]:
            return self._matrices.attributes(group, fresh)
        return super().attributes(group, fresh)

    def sync(self) -> None:
        super().sync()
        self._matrices.sync()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._matrices = _Matrices(self)

    def _step_group(self, number: int, group: Group, params: list[Tensor]) -> None:
        if not group["use_muon"]:
            super()._step_group(number, group, params)
            return
        with no_grad():
            held = [] if self._skip is None else self._held(params)
            self._matrices._step_group(number, group)
            for t, before in held:
                t.copy_(where(self._skip.bool(), before, t))  # type: ignore[union-attr]

    def _held(self, params: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Parameters and states with copies of them."""
        states = [t for p in params for t in self.state[p].values()]
        return [(t, t.clone()) for t in (*params, *states)]


class _Matrices(Muon):
    """Muon on another optimizer's groups and states."""

    def __init__(self, owner: MuonWithAuxAdam) -> None:
        self._numbers = {}
        self.param_groups, self.state = owner.param_groups, owner.state


def _filled(group: Group) -> Group:
    """A group with all of its options.

    Raises:
        ArgumentError: it does not say ``use_muon``, or it says so of a vector.
    """
    if not isinstance(group, dict) or "use_muon" not in group:
        raise ArgumentError(
            "MuonWithAuxAdam: a group does not say by what it learns.",
            fix="{'params': ..., 'use_muon': True or False}",
        )
    if not group["use_muon"]:
        return {**_ADAM, **group}
    params = list(group["params"])
    for p in params:
        if p.ndim < 2:
            raise ArgumentError(
                f"MuonWithAuxAdam: Muon is for matrices, got shape {tuple(p.shape)}.",
                fix="use_muon=False for biases and normalizations",
            )
    return {**_MUON, **group, "params": params}
