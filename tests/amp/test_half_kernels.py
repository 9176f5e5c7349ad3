"""Kernels of half types: computed in float32 and rounded once, without NumPy, for every op."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.ops
from fovea import dtypes
from fovea.ops.op import REGISTRY
from fovea.targets.cpu import target as cpu_target
from fovea.targets.cpu.target import family_of
from fovea.testing import on_reference
from fovea.vision import models
from tests.ops.cases import CASES, cases

for module in pkgutil.iter_modules(fovea.ops.__path__):
    importlib.import_module(f"fovea.ops.{module.name}")

EPS = {"bfloat16": 2.0**-8, "float16": 2.0**-11}  # half a unit in the last place


def inputs(name: str, number: int, dtype: str) -> list[Any]:
    kind = getattr(fovea, dtype)
    found: list[Any] = []
    for a in CASES[name][number][0]:
        t = None if a is None else fovea.tensor(a)
        if t is not None and t.dtype is dtypes.float64:
            is_place = name == "sample2d" and found  # half a word would name too few places
            t = t.to(dtypes.float32 if is_place else kind)
        found.append(t)
    return found


def floats(name: str) -> bool:
    """Whether an op takes floats of half a word: linear algebra takes whole ones alone, and so do
    logarithms of probabilities that are summed over many steps.
    """
    whole = family_of(REGISTRY[name]) == "matrices" or name.startswith("ctc_")
    return not whole and any(a is not None and a.dtype == np.float64 for a in CASES[name][0][0])


def run(name: str, number: int, tensors: list[Any]) -> list[Any]:
    attrs = CASES[name][number][1]
    if name == "cast":
        attrs = {"dtype": dtypes.as_dtype(attrs["dtype"])}
    out = REGISTRY[name](*tensors, **attrs)
    return list(out) if isinstance(out, tuple) else [out]


@pytest.mark.parametrize("dtype", list(EPS))
@pytest.mark.parametrize(("name", "number"), [c for c in cases() if floats(c[0])])
def test_ops_round_what_float32_gives(name: str, number: int, dtype: str) -> None:
    tensors = inputs(name, number, dtype)
    ours = run(name, number, tensors)
    with on_reference():
        expected = run(name, number, [wide(t) for t in tensors])
    for a, b in zip(ours, expected, strict=True):
        x, y = (np.asarray(t.numpy(), np.float64) for t in (a, b))
        finite = np.abs(y[np.isfinite(y)])
        scale = float(finite.max()) if finite.size else 1.0
        # conv2d_moments: of the result as it is stored.
        rounded = a.dtype.itemsize == 2 or name == "conv2d_moments"
        eps = EPS[dtype] if rounded else 1e-5
        np.testing.assert_allclose(x, y, rtol=1.01 * eps, atol=max(1e-8, floor(name, eps) * scale))


def floor(name: str, eps: float) -> float:
    """What an error may be, in parts of the largest result."""
    if name.removesuffix("_grad") in ("lstm", "gru", "rnn"):
        return 2 * eps  # each step reads what the one before it rounded
    return eps if name == "conv2d_moments" else 1e-5


def wide(t: Any) -> Any:
    return t.float() if t is not None and t.dtype.itemsize == 2 else t


@pytest.fixture
def no_numpy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever op has no compiled kernel for its inputs fails."""
    from fovea.targets import reference

    def refuse(op: Any, attrs: Any, specs: Any) -> Any:
        raise AssertionError(f"{op.name} runs in NumPy")

    monkeypatch.setattr(reference, "reference_plan", refuse)
    monkeypatch.setattr(reference, "_mutating_plan", refuse)
    for op in REGISTRY.values():
        monkeypatch.setattr(op, "plans", {})
    assert cpu_target.CPU.name == "cpu"
    yield


@pytest.mark.parametrize("dtype", list(EPS))
@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 32), ("mobilenet_v2", 32), ("convnext_tiny", 32), ("vit_ti_16", 224)],
)
def test_a_training_step_is_compiled(name: str, size: int, dtype: str, no_numpy: None) -> None:
    model = getattr(models, name)(num_classes=10)
    optimizer = fovea.optim.AdamW(model.parameters(), lr=1e-3)
    x, y = fovea.randn(2, 3, size, size), fovea.tensor([1, 2])
    with fovea.autocast("cpu", dtype=getattr(fovea, dtype)):
        loss = fovea.nn.CrossEntropyLoss()(model(x), y)
    loss.backward()
    optimizer.step()
    assert np.isfinite(loss.item())
