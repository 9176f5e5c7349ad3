"""Every op in a program of its own: the kernels that its plan offers give what the plan gives."""

from __future__ import annotations

import gc
import importlib
import pkgutil
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fovea.ops
from fovea import dtypes
from fovea.graph import Graph, Node, Value
from fovea.graph.graph import spec_of
from fovea.ops.op import REGISTRY, Op
from fovea.targets.cpu.executable import Executable
from fovea.targets.cpu.fallback import FALLBACK
from tests.ops.cases import CASES

for module in pkgutil.iter_modules(fovea.ops.__path__):
    importlib.import_module(f"fovea.ops.{module.name}")


def tensors_of(arrays: list[Any], transposed: bool) -> list[Any]:
    """Float32 tensors, as they are or with the dimensions in memory reversed."""
    out: list[Any] = []
    for a in arrays:
        if a is None:
            out.append(None)
            continue
        narrow = np.asarray(a.astype(np.float32) if a.dtype == np.float64 else a)
        if transposed:
            narrow = np.ascontiguousarray(narrow.T).T
        out.append(fovea.from_numpy(np.array(narrow, order="K")))
    return out


def attributes(op: Op, attrs: dict[str, Any]) -> Any:
    if op.attrs_class is None:
        return None
    if op.name == "cast":
        attrs = {"dtype": dtypes.as_dtype(attrs["dtype"])}
    return op.attrs_class.from_keywords(attrs)


def one_node(op: Op, tensors: list[Any], attrs: Any) -> Graph:
    inputs = tuple(None if t is None else Value(spec_of(t)) for t in tensors)
    outputs = tuple(Value(s) for s in op.specs(inputs, attrs))
    given = tuple(v for v in inputs if v is not None)
    return Graph(given, (), (), (Node(op, inputs, attrs, outputs),), outputs)


def variants() -> Iterator[Any]:
    for name in sorted(CASES):
        if not REGISTRY[name].mutates:
            yield pytest.param(name, id=name)


@pytest.mark.parametrize("name", list(variants()))
def test_an_op_alone(name: str) -> None:
    op = REGISTRY[name]
    for arrays, keywords in CASES[name]:
        for transposed in (False, True):
            tensors = tensors_of(arrays, transposed)
            attrs = attributes(op, keywords)
            expected = op.bind(tuple(tensors), attrs)
            wanted = expected if isinstance(expected, tuple) else (expected,)
            program = Executable(one_node(op, tensors, attrs))
            for _ in range(2):
                found = program.run([t for t in tensors if t is not None])
                for a, b in zip(found, wanted, strict=True):
                    assert a.shape == b.shape and a.dtype is b.dtype
                    assert a.numpy().tobytes() == b.numpy().tobytes()
            native = all(isinstance(s, tuple) for s in program._list.main)
            assert native or name in FALLBACK, "it is run from Python"


@pytest.mark.parametrize("name", ["softmax", "index_put", "conv2d", "batch_norm_train", "cat"])
def test_plans_do_not_keep_their_inputs(name: str) -> None:
    op = REGISTRY[name]
    arrays, keywords = CASES[name][0]
    tensors = tensors_of(arrays, False)
    op.bind(tuple(tensors), attributes(op, keywords))
    watched = [weakref.ref(t.storage) for t in tensors if t is not None]
    del tensors
    gc.collect()
    assert [w() for w in watched] == [None] * len(watched)
