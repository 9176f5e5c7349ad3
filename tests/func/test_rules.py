"""Every op has a rule for many samples at once, and it gives what the op gives for each."""

from __future__ import annotations

import fnmatch
import importlib
import pkgutil
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.ops
from fovea import dtypes
from fovea.func import grad, vmap
from fovea.func.batching.call import RULES
from fovea.func.batching.rules import ELSEWHERE
from fovea.ops.op import REGISTRY, Op
from tests.ops.cases import CASES, cases

for module in pkgutil.iter_modules(fovea.ops.__path__):
    importlib.import_module(f"fovea.ops.{module.name}")

ALONE = [pattern for names in ELSEWHERE.values() for pattern in names.split()]
SIZE = 3


def is_alone(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in ALONE)


def test_every_op_has_a_rule() -> None:
    none = [op.name for op in REGISTRY.values() if op not in RULES and not is_alone(op.name)]
    assert not none, "declare a rule in fovea/func/batching, or say in ELSEWHERE why not"
    assert not [op.name for op in RULES if is_alone(op.name)], "a rule, and a reason for none"
    idle = [p for p in ALONE if not any(fnmatch.fnmatch(n, p) for n in REGISTRY)]
    assert not idle, "reasons for ops that are not there"


def samples_of(array: np.ndarray, number: int) -> np.ndarray:
    """A few arrays like one: of the same domain, with other values."""
    if array.dtype.kind in "fc":
        return np.stack([array * (1 + 0.04 * (number + k)) for k in range(SIZE)])
    return np.stack([np.roll(array.ravel(), k).reshape(array.shape) for k in range(SIZE)])


def subsets(arrays: list[Any]) -> Iterator[list[bool]]:
    """Which inputs have samples: all, and each alone."""
    there = [a is not None for a in arrays]
    yield there
    if sum(there) > 1:
        for i in range(len(arrays)):
            if there[i]:
                yield [i == j for j in range(len(arrays))]


def prepared(name: str, number: int) -> tuple[Op, list[Any], dict[str, Any]]:
    arrays, attrs = CASES[name][number]
    if name == "cast":
        attrs = {"dtype": dtypes.as_dtype(attrs["dtype"])}
    return REGISTRY[name], [None if a is None else np.asarray(a) for a in arrays], attrs


CHECKED = [(n, i) for n, i in cases() if not is_alone(n)]


@pytest.mark.parametrize(("name", "number"), CHECKED)
def test_values(name: str, number: int) -> None:
    op, arrays, attrs = prepared(name, number)
    for has in subsets(arrays):
        given = [
            None if a is None else fovea.from_numpy(samples_of(a, n) if h else a)
            for n, (a, h) in enumerate(zip(arrays, has, strict=True))
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = vmap(lambda *x: op(*x, **attrs), in_dims=in_dims(has))(*given)
        each = [op(*one(given, has, k), **attrs) for k in range(SIZE)]
        for n, t in enumerate(found if isinstance(found, tuple) else (found,)):
            expected = fovea.stack([e[n] if isinstance(e, tuple) else e for e in each])
            assert t.shape == expected.shape and t.dtype is expected.dtype, has
            np.testing.assert_allclose(t.numpy(), expected.numpy(), 1e-9, 1e-10, err_msg=str(has))


def in_dims(has: list[bool]) -> tuple[Any, ...]:
    return tuple(0 if h else None for h in has)


def one(given: list[Any], has: list[bool], k: int) -> list[Any]:
    return [t[k] if h else t for t, h in zip(given, has, strict=True)]


@pytest.mark.parametrize(("name", "number"), CHECKED)
def test_gradients_of_samples(name: str, number: int) -> None:
    """Gradient rules, too, run on samples."""
    op, arrays, attrs = prepared(name, number)
    floats = [a is not None and a.dtype == np.float64 for a in arrays]
    if op.nondifferentiable or not any(floats) or (op.gradient is None and not op.decomposition):
        return
    argnums = tuple(i for i, f in enumerate(floats) if f)

    def loss(*inputs: Any) -> Any:
        out = op(*inputs, **attrs)
        parts = [t for t in (out if isinstance(out, tuple) else (out,)) if t.requires_grad]
        total = sum(((t if not t.is_complex() else fovea.view_as_real(t)).sin() * weights(t)).sum()
                    for t in parts)  # fmt: skip
        return total if parts else inputs[argnums[0]].sum() * 0

    def weights(t: Any) -> Any:
        shape = (*t.shape, 2) if t.is_complex() else t.shape
        n = int(np.prod(shape))
        return fovea.linspace(0.5, 1.5, n, dtype=fovea.float64).reshape(shape)

    for has in subsets(arrays):
        given = [
            None if a is None else fovea.from_numpy(samples_of(a, n) if h else a)
            for n, (a, h) in enumerate(zip(arrays, has, strict=True))
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = vmap(grad(loss, argnums), in_dims=in_dims(has))(*given)
        each = [grad(loss, argnums)(*one(given, has, k)) for k in range(SIZE)]
        for n, t in enumerate(found):
            expected = fovea.stack([e[n] for e in each])
            np.testing.assert_allclose(t.numpy(), expected.numpy(), 1e-8, 1e-9, err_msg=str(has))
