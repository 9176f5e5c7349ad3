"""Norms, softmax, losses, running sums, random numbers and updates: every vector unit, and kernels
that check their bounds, against the NumPy references.
"""

from __future__ import annotations

import copy
import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest

import fovea.ops
from fovea.ops.op import REGISTRY, Op
from fovea.targets.reference import ReferenceTarget
from tests.ops.elsewhere import ELSEWHERE
from tests.targets.cpu.kernel_cases import LAYOUTS, RNG, isa, normal, numpy_type
from tests.targets.cpu.operands import agree, both

assert isa  # a fixture, used by its name
for module in pkgutil.iter_modules(fovea.ops.__path__):
    importlib.import_module(f"fovea.ops.{module.name}")

ROWS = [(3, 1), (1, 7), (5, 10), (33, 9), (4, 67), (2, 1000)]
IMAGES = [(2, 3, 5, 7), (3, 19, 4, 4), (1, 64, 1, 1)]


def tensors(arrays: list[Any]) -> tuple[Any, ...]:
    return tuple(None if a is None else fovea.from_numpy(np.array(a)) for a in arrays)


def attrs_of(op: Op, **fields: Any) -> Any:
    return op.attrs_class.from_keywords(fields) if op.attrs_class else None


def same(op: Op, inputs: tuple[Any, ...], attrs: Any, scale: float = 1.0) -> None:
    """Each output is as the reference has it."""
    found, expected = both(op, inputs, attrs)
    pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
    for number, (got, want) in enumerate(pairs):
        assert agree(got, want, scale), f"output {number}: {got} is not {want}"


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(isa: str, name: str, dtype: str) -> None:
    op, grad = REGISTRY[name], REGISTRY[f"{name}_grad"]
    for shape in [*ROWS, (3, 5, 9), (2, 4, 33)]:
        for dim in range(len(shape)):
            x = (normal(*shape) * 3).astype(numpy_type(dtype))
            (t,) = tensors([x])
            same(op, (t,), attrs_of(op, dim=dim), 4)
            y = op.bind((t,), attrs_of(op, dim=dim))
            (gy,) = tensors([normal(*shape, dtype=dtype)])
            same(grad, (gy, y), attrs_of(grad, dim=dim), 8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_losses(isa: str, shape: tuple[int, int], dtype: str) -> None:
    rows, classes = shape
    labels = RNG.integers(0, classes, rows)
    labels[0] = -100
    logits, target, gy = tensors(
        [normal(*shape, dtype=dtype) * 5, labels, normal(rows, dtype=dtype)]
    )
    cross, nll = REGISTRY["cross_entropy"], REGISTRY["nll_loss"]
    a = attrs_of(cross, ignore_index=-100)
    same(cross, (logits, target), a, 4)
    same(REGISTRY["cross_entropy_grad"], (gy, logits, target), a, 4)
    same(cross, (logits.T.contiguous().T, target), a, 4)
    same(nll, (logits, target), attrs_of(nll, ignore_index=-100))
    grad = REGISTRY["nll_loss_grad"]
    same(grad, (gy, target), attrs_of(grad, ignore_index=-100, classes=classes))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_batch_norm(isa: str, layout: str, dtype: str) -> None:
    train, infer = REGISTRY["batch_norm_train"], REGISTRY["batch_norm_infer"]
    wide = "float32" if dtype == "bfloat16" else dtype
    for shape in IMAGES:
        x, channels = LAYOUTS[layout](normal(*shape, dtype=dtype)), shape[1]
        weight, bias, mean = tensors([normal(channels, dtype=wide) for _ in range(3)])
        (var,) = tensors([np.abs(normal(channels, dtype=wide)) + 1])
        kind = weight.dtype if dtype != "bfloat16" else x.dtype
        same(
            infer,
            (x, mean, var, weight.to(kind), bias.to(kind)),
            attrs_of(infer, eps=1e-3, axis=1),
            8,
        )
        if shape[0] * shape[2] * shape[3] > 1:
            same(train, (x, weight.to(kind), bias.to(kind)), attrs_of(train, eps=1e-3, axis=1), 16)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_layer_norm(isa: str, shape: tuple[int, int], dtype: str) -> None:
    op, grad = REGISTRY["layer_norm"], REGISTRY["layer_norm_grad"]
    x, weight, bias, gy = tensors([normal(*shape, dtype=dtype), normal(shape[1], dtype=dtype),
                                   normal(shape[1], dtype=dtype), normal(*shape, dtype=dtype)])  # fmt: skip
    a = attrs_of(op, ndim=1, eps=1e-3)
    same(op, (x, weight, bias), a, 8)
    same(op, (x, None, None), a, 8)
    _, mean, rstd = op.bind((x, weight, bias), a)
    found = grad.bind((gy, x, weight, mean, rstd), a)
    wide = [t.double() for t in (gy, x, weight, mean, rstd)]
    for got, want in zip(found, grad.bind(tuple(wide), a), strict=True):
        tolerance = 1e-4 if dtype == "float32" else 1e-11
        np.testing.assert_allclose(got.numpy(), want.numpy(), tolerance, tolerance)


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_running(isa: str, name: str) -> None:
    op = REGISTRY[name]
    for shape in [(7,), (3, 19), (2, 5, 33)]:
        for dim in range(len(shape)):
            same(op, tensors([normal(*shape)]), attrs_of(op, dim=dim), 8)
            same(op, tensors([RNG.integers(-3, 4, shape)]), attrs_of(op, dim=dim))


IN_PLACE = [(n, i) for n in ELSEWHERE for i in range(len(ELSEWHERE[n]))
            if n.endswith("_update") or n.startswith("random_")]  # fmt: skip


@pytest.mark.parametrize(("name", "number"), IN_PLACE)
def test_what_changes_state(isa: str, name: str, number: int) -> None:
    """The result and what is left in every input: twice, so that states are used, too."""
    op, (arrays, fields) = REGISTRY[name], ELSEWHERE[name][number]
    attrs = attrs_of(op, **fields)
    ours, theirs = tensors(arrays), tensors(copy.deepcopy(arrays))
    plan = ReferenceTarget("meaning").plan(op, theirs, attrs, op.specs(theirs, attrs))
    for _ in range(2):
        got, want = op.bind(ours, attrs), plan(theirs)
        if name.startswith("random_"):
            assert agree(got, want, 2)
        for mine, other in zip(ours, theirs, strict=True):
            assert agree(mine, other, 4)
