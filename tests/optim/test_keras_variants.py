"""The update ops also compute Keras's variants of the formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.ops import optim as ops
from fovea.ops.update import UpdateAttrs
from fovea.optim.update import UpdateOptimizer, decay_kind

keras = pytest.importorskip("keras")

LR = 2.0**-7  # exact in float32, in which Keras keeps rates; so are the decays below


def updater(op: Any, attrs: UpdateAttrs, **numbers: float) -> type[UpdateOptimizer]:
    """An optimizer that runs one op with these attributes and scalars."""

    class Updater(UpdateOptimizer):
        update = op

        def attributes(self, group: dict[str, Any], fresh: bool) -> UpdateAttrs:
            return attrs

        def numbers(self, group: dict[str, Any]) -> tuple[float, ...]:
            values = {"lr": LR, "weight_decay": 0.0, **numbers}
            return tuple(values[n] for n in attrs.scalars[:-1])

    return Updater


def sgd(momentum: float, nesterov: bool, decay: float) -> tuple[Any, Any]:
    attrs = ops.SgdAttrs.of(
        decay_kind(decay, True), False, momentum != 0, nesterov, momentum != 0, False
    )
    mine = updater(ops.sgd_update, attrs, momentum=momentum, dampening=0.0, weight_decay=decay)
    return mine, keras.optimizers.SGD(LR, momentum, nesterov, weight_decay=decay or None)


def adam(amsgrad: bool, decay: float) -> tuple[Any, Any]:
    attrs = ops.AdamAttrs.of(decay_kind(decay, True), False, amsgrad, "raw")
    mine = updater(ops.adam_update, attrs, beta1=0.9, beta2=0.999, eps=1e-7, weight_decay=decay)
    return mine, keras.optimizers.Adam(LR, amsgrad=amsgrad, weight_decay=decay or None)


def adamw() -> tuple[Any, Any]:
    mine, _ = adam(False, 0.125)
    return mine, keras.optimizers.AdamW(LR, weight_decay=0.125)


def rmsprop(momentum: float, centered: bool) -> tuple[Any, Any]:
    attrs = ops.RmspropAttrs.of("none", False, momentum != 0, centered, "inside", momentum != 0)
    mine = updater(ops.rmsprop_update, attrs, alpha=0.9, eps=1e-7, momentum=momentum)
    return mine, keras.optimizers.RMSprop(LR, momentum=momentum, centered=centered)


def adagrad() -> tuple[Any, Any]:
    attrs = ops.AdagradAttrs.of("none", False, "inside")
    mine = updater(ops.adagrad_update, attrs, lr_decay=0.0, eps=1e-7)
    mine.initial = {"sum": 0.1}
    return mine, keras.optimizers.Adagrad(LR)


def adamax() -> tuple[Any, Any]:
    attrs = ops.AdamaxAttrs.of("none", False, "ratio")
    mine = updater(ops.adamax_update, attrs, beta1=0.9, beta2=0.999, eps=1e-7)
    return mine, keras.optimizers.Adamax(LR)


def nadam() -> tuple[Any, Any]:
    attrs = ops.NadamAttrs.of("none", False)
    numbers = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-7, "momentum_decay": 1.0}
    return updater(ops.nadam_update, attrs, **numbers), keras.optimizers.Nadam(LR)


def adadelta() -> tuple[Any, Any]:
    attrs = ops.AdadeltaAttrs.of("none", False)
    return updater(ops.adadelta_update, attrs, rho=0.95, eps=1e-7), keras.optimizers.Adadelta(LR)


def lion(decay: float) -> tuple[Any, Any]:
    attrs = ops.LionAttrs.of(decay_kind(decay, True), False)
    mine = updater(ops.lion_update, attrs, beta1=0.9, beta2=0.99, weight_decay=decay)
    return mine, keras.optimizers.Lion(LR, weight_decay=decay or None)


def ftrl(l1: float, l2: float, l2_shrinkage: float, beta: float) -> tuple[Any, Any]:
    attrs = ops.FtrlAttrs.of("none", False)
    numbers = {"power": -0.5, "l1": l1, "l2": l2 + beta / (2 * LR), "l2_shrinkage": l2_shrinkage}
    mine = updater(ops.ftrl_update, attrs, **numbers)
    mine.initial = {"accumulator": 0.1}
    theirs = keras.optimizers.Ftrl(
        LR,
        l1_regularization_strength=l1,
        l2_regularization_strength=l2,
        l2_shrinkage_regularization_strength=l2_shrinkage,
        beta=beta,
    )
    return mine, theirs


CASES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "sgd": lambda: sgd(0.0, False, 0.0),
    "sgd momentum": lambda: sgd(0.9, False, 0.0),
    "sgd nesterov": lambda: sgd(0.9, True, 0.0),
    "sgd decay": lambda: sgd(0.9, False, 0.25),
    "adam": lambda: adam(False, 0.0),
    "adam amsgrad": lambda: adam(True, 0.0),
    "adam decay": lambda: adam(False, 0.25),
    "adamw": adamw,
    "rmsprop": lambda: rmsprop(0.0, False),
    "rmsprop momentum": lambda: rmsprop(0.75, False),
    "rmsprop centered": lambda: rmsprop(0.75, True),
    "adagrad": adagrad,
    "adamax": adamax,
    "nadam": nadam,
    "adadelta": adadelta,
    "lion": lambda: lion(0.0),
    "lion decay": lambda: lion(0.25),
    "ftrl": lambda: ftrl(0.0, 0.0, 0.0, 0.0),
    "ftrl regularized": lambda: ftrl(0.125, 0.25, 0.0625, 0.5),
}


@pytest.mark.parametrize("name", CASES)
def test_follows_keras(name: str) -> None:
    cls, theirs = CASES[name]()
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in [(5,), (3, 4), (2, 3, 3, 2)]]
    mine = [fovea.tensor(a, dtype=fovea.float64).requires_grad_() for a in arrays]
    variables = [keras.Variable(a, dtype="float64") for a in arrays]
    ours = cls(mine, {"lr": LR})
    for _ in range(20):
        grads = [rng.normal(size=a.shape) for a in arrays]
        for p, g in zip(mine, grads, strict=True):
            p.grad = fovea.tensor(g, dtype=fovea.float64)
        tensors = [keras.ops.convert_to_tensor(g, dtype="float64") for g in grads]
        theirs.apply(tensors, variables)
        ours.step()
    tolerance = 1e-6 if name == "nadam" else 1e-12  # Nadam's product of momenta is float32
    for p, v in zip(mine, variables, strict=True):
        expected = keras.ops.convert_to_numpy(v)
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=tolerance, atol=tolerance)
    if name == "sgd nesterov":  # the velocity is the very number that Keras keeps
        held = keras.ops.convert_to_numpy(theirs.momentums[0])
        np.testing.assert_allclose(ours.state[mine[0]]["momentum_buffer"].numpy(), held, rtol=1e-12)
