"""``keras.ops``: values, shapes, dtypes and signatures are Keras's; symbolic calls are layers."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk
from fovea.keras import ops
from fovea.keras.ops.elementwise import BINARY, UNARY

A = np.random.default_rng(0).uniform(0.1, 0.9, (2, 3, 4)).astype("f4")
B = np.random.default_rng(1).uniform(0.1, 0.9, (2, 3, 4)).astype("f4")
M = np.random.default_rng(2).normal(size=(4, 5)).astype("f4")
I = np.array([[2, 0, 1], [1, 1, 0]])  # noqa: E741
T = A > 0.5

NOT_FLOATS = ("bitwise_not", "bitwise_invert", "logical_not", "arccosh", "imag", "left_shift",
              "right_shift", "gcd", "lcm", "ldexp")  # fmt: skip
CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *((n, (A,), {}) for n in UNARY if n not in NOT_FLOATS),
    ("arccosh", (A + 1,), {}), ("logical_not", (T,), {}), ("exp", (I,), {}), ("abs", (-I,), {}),
    *((n, (A, B), {}) for n in BINARY if not n.startswith(("bitwise", "logical")) and n not in NOT_FLOATS),
    *((n, (I, I[::-1].copy()), {}) for n in BINARY if n.startswith("bitwise")), ("bitwise_invert", (I,), {}), ("lcm", (I + 1, I + 2), {}),
    *((n, (T, ~T), {}) for n in BINARY if n.startswith("logical_")),
    ("add", (A, 2), {}), ("multiply", (2.0, A), {}), ("divide", (I, 2), {}), ("power", (A, 2), {}),
    ("clip", (A, 0.3, 0.6), {}), ("round", (A,), {"decimals": 1}), ("where", (T, A, B), {}),
    ("where", (T, A, 0.0), {}), ("nan_to_num", (np.array([np.nan, np.inf, 1], "f4"),), {}),
    *((n, (A,), k) for n in ("sum", "mean", "max", "min", "var", "std", "prod")
      for k in ({}, {"axis": 1}, {"axis": (0, -1)}, {"axis": -1, "keepdims": True})),
    ("sum", (I,), {}), ("mean", (I,), {}), ("max", (A,), {"initial": 0.8}), ("all", (T,), {"axis": 1}),
    ("any", (T,), {}), ("count_nonzero", (T,), {}), ("logsumexp", (A,), {"axis": 1}),
    ("average", (A,), {"axis": 1}), ("average", (A,), {"axis": 2, "weights": np.arange(1.0, 5, dtype="f4")}),
    ("median", (A,), {"axis": 1}), ("median", (A,), {}), ("norm", (M,), {}), ("norm", (A,), {"axis": -1}),
    *((n, (A,), k) for n in ("argmax", "argmin") for k in ({}, {"axis": 1}, {"axis": -1, "keepdims": True})),
    ("argsort", (A,), {}), ("sort", (A,), {"axis": 0}), ("cumsum", (A,), {"axis": 1}), ("cumsum", (A,), {}),
    ("cumprod", (A,), {"axis": -1}), ("matmul", (A, M), {}), ("dot", (A, M), {}), ("outer", (M[0], M[1]), {}),
    ("tensordot", (A, M), {"axes": 1}), ("einsum", ("abc,cd->abd", A, M), {}), ("trace", (M,), {}),
    ("reshape", (A, (6, -1)), {}), ("ravel", (A,), {}), ("transpose", (A,), {}),
    ("transpose", (A,), {"axes": (1, 0, 2)}), ("swapaxes", (A, 0, 2), {}), ("moveaxis", (A, 0, -1), {}),
    ("expand_dims", (A, 1), {}), ("expand_dims", (A, (0, -1)), {}), ("squeeze", (A[:1],), {}),
    ("squeeze", (A[:1],), {"axis": 0}), ("broadcast_to", (M[0], (3, 5)), {}), ("tile", (M, (2, 1)), {}),
    ("concatenate", ([A, B],), {"axis": -1}), ("stack", ([A, B],), {"axis": 1}), ("hstack", ([A, B],), {}),
    ("vstack", ([A, B],), {}), ("split", (A, 2), {"axis": -1}), ("split", (A, [1, 3]), {"axis": -1}),
    ("unstack", (A,), {"axis": 1}), ("repeat", (A, 2), {"axis": 1}), ("repeat", (A, 2), {}), ("flip", (A,), {}),
    ("flip", (A,), {"axis": 1}), ("roll", (A, 2), {"axis": -1}),
    ("pad", (M, ((1, 0), (0, 2))), {"constant_values": 3}), ("pad", (M, ((0, 0), (1, 2))), {"mode": "reflect"}),
    ("take", (A, I), {"axis": 1}),     ("take_along_axis", (A, np.argsort(A, 1)), {"axis": 1}), ("diag", (M[0],), {}), ("diag", (M,), {"k": 1}),
    ("tril", (M,), {}), ("triu", (M,), {"k": 1}), ("zeros", ((2, 3),), {}), ("ones", ((2,),), {"dtype": "int32"}),
    ("full", ((2, 2), 7.0), {}), ("zeros_like", (A,), {}), ("ones_like", (A,), {"dtype": "int32"}),
    ("full_like", (A, 2.0), {}), ("eye", (3,), {}), ("eye", (3, 4), {"k": 1}), ("identity", (2,), {}),
    ("arange", (5,), {}), ("arange", (1, 2, 0.25), {}), ("linspace", (0.0, 1.0), {"num": 5}),
    ("linspace", (0.0, 1.0), {"num": 4, "endpoint": False}),
    *((n, (A - 0.5,), {}) for n in ("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "glu", "silu",
      "swish", "softplus", "softsign", "log_sigmoid", "hard_sigmoid", "hard_silu", "hard_swish", "softmax", "log_softmax")),
    ("softmax", (A,), {"axis": 1}), ("one_hot", (I, 3), {}), ("one_hot", (I, 3), {"axis": 0}),
    ("multi_hot", (I, 4), {}), ("top_k", (A, 2), {}), ("in_top_k", (I[0], M[:3, :3].copy()), {"k": 1}),
    ("normalize", (A,), {}), ("normalize", (A,), {"axis": 1}), ("moments", (A,), {"axes": (0, 1)}),
    ("batch_normalization", (A, M[:, 0], M[:, 1] ** 2), {"axis": -1}),
    ("batch_normalization", (A, M[:, 0], M[:, 1] ** 2, -1, M[:, 2], M[:, 3]), {}),
    ("binary_crossentropy", (T.astype("f4"), A), {}), ("binary_crossentropy", (T.astype("f4"), A), {"from_logits": True}),
    ("categorical_crossentropy", (A / A.sum(-1, keepdims=True), B / B.sum(-1, keepdims=True)), {}),
    ("sparse_categorical_crossentropy", (I, A / A.sum(-1, keepdims=True)), {}),
    ("max_pool", (A[..., None], 2), {}), ("average_pool", (A[..., None], 2), {"strides": 1, "padding": "same"}),
    ("cast", (A, "float16"), {}), ("slice", (A, (0, 1, 2), (1, 2, 2)), {}),
    ("slice_update", (A, (0, 1, 2), np.zeros((1, 2, 2), "f4")), {}), ("stop_gradient", (A,), {}),
    ("scatter", (np.array([[0], [2], [0]]), np.array([1.0, 2, 3], "f4"), (4,)), {}),
    ("scatter_update", (M, np.array([[0, 1], [3, 4]]), np.array([9.0, 8], "f4")), {}),
]  # fmt: skip


def flat(value: Any) -> list[Any]:
    return [v for part in value for v in flat(part)] if isinstance(value, list | tuple) else [value]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[2]}")
def test_values_are_keras(keras: Any, case: Any) -> None:
    name, args, options = case
    given = args
    if name in ("unstack", "stop_gradient"):  # which want tensors there
        given = tuple(map(keras.ops.convert_to_tensor, args))
    theirs = flat(getattr(keras.ops, name)(*given, **options))
    mine = flat(getattr(ops, name)(*args, **options))
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        x, y = ops.convert_to_numpy(a), np.asarray(keras.ops.convert_to_numpy(b))
        assert x.shape == y.shape
        kinds = {np.dtype(k).kind for k in (x.dtype, y.dtype)}
        assert len(kinds) == 1 or kinds <= set("iu"), (x.dtype, y.dtype)
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-6)


def described(function: Any) -> list[Any]:
    """A function's arguments: names, kinds and defaults."""
    return [
        (p.name, p.kind, "" if p.default is p.empty else str(p.default))
        for p in inspect.signature(function).parameters.values()
    ]


@pytest.mark.parametrize("part", ["", "image", "linalg", "nn", "numpy"])
def test_signatures(keras: Any, part: str) -> None:
    """All that is here is Keras's, and takes what Keras's takes."""
    ours, theirs = (getattr(lib, part) if part else lib for lib in (ops, keras.ops))
    there = [n for n in dir(theirs) if inspect.isfunction(getattr(theirs, n))]
    missing = {n for n in there if not hasattr(ours, n)}
    assert missing <= {"eig", "lu_factor"}
    same = {n: described(getattr(theirs, n)) for n in there if n not in missing}
    assert {n: described(getattr(ours, n)) for n in same} == same
    assert part or set(ops.__all__) <= set(there)


def network() -> Any:
    x = fk.Input((8, 8, 2))
    y = fk.layers.Conv2D(4, 3)(x)
    y = ops.relu(y - ops.mean(y, axis=(1, 2), keepdims=True))
    y = ops.concatenate([y, ops.square(y)], axis=-1)
    y = ops.reshape(y, (-1, 6 * 6 * 8))
    out = ops.softmax(fk.layers.Dense(3)(ops.add(y, 1.0)))
    return fk.Model(x, [out, ops.argmax(out, axis=-1)])


def test_symbolic_calls_are_layers() -> None:
    model = network()
    assert model.outputs[0].shape == (None, 3) and model.outputs[1].dtype == "int32"
    x = np.random.default_rng(0).normal(size=(5, 8, 8, 2)).astype("f4")
    out, best = model(fovea.tensor(x))
    assert out.shape == (5, 3) and best.numpy().tolist() == out.detach().numpy().argmax(-1).tolist()
    copied = fk.models.clone_model(model)
    copied.set_weights(model.get_weights())
    np.testing.assert_allclose(
        copied(fovea.tensor(x))[0].detach().numpy(), out.detach().numpy(), rtol=1e-6
    )


def test_models_with_calls_survive_files(tmp_path: Path) -> None:
    model = network()
    model.save(tmp_path / "model.keras")
    other = fk.models.load_model(tmp_path / "model.keras")
    x = fovea.randn(3, 8, 8, 2)
    np.testing.assert_allclose(
        other(x)[0].detach().numpy(), model(x)[0].detach().numpy(), rtol=1e-6
    )


def test_loops_and_branches() -> None:
    assert ops.cond(True, lambda: 1, lambda: 2) == 1 and ops.switch(5, [lambda: 1, lambda: 2]) == 2
    assert ops.while_loop(lambda i, t: i < 4, lambda i, t: (i + 1, t * 2), (0, 1)) == (4, 16)
    assert ops.fori_loop(0, 4, lambda i, v: v + i, 10) == 16
    carry, ys = ops.scan(lambda c, x: (c + x, c), fovea.tensor(0.0), fovea.arange(4.0))
    assert float(carry) == 6 and ys.tolist() == [0.0, 0.0, 1.0, 3.0]
    assert ops.map(lambda t: t * 2, fovea.arange(3)).tolist() == [0, 2, 4]
    assert ops.vectorized_map(lambda t: t + 1, fovea.arange(3)).tolist() == [1, 2, 3]
    assert ops.vectorized_map(lambda t: t + 1, np.arange(3)).tolist() == [1, 2, 3]
    assert (
        ops.shape(fk.Input((3,))) == (None, 3)
        and ops.ndim([[1.0]]) == 2
        and ops.dtype([1.0]) == "float32"
    )
    assert ops.is_tensor(fk.Input((3,))) and not ops.is_tensor(3.0)
    assert [t.tolist() for t in ops.meshgrid([1, 2], [3])] == [[[1, 2]], [[3, 3]]]


def test_gradients_flow() -> None:
    x = fovea.tensor(A, requires_grad=True)
    ops.sum(ops.square(ops.transpose(x))).backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * A, rtol=1e-6)


def test_what_keras_does_otherwise_on_pytorch() -> None:
    """Its own NumPy semantics: every axis is padded, -1 is the last of all elements."""
    np.testing.assert_array_equal(ops.pad(M, 1).numpy(), np.pad(M, 1))
    np.testing.assert_array_equal(ops.take(A, np.array([-1, 0])).numpy(), np.take(A, [-1, 0]))
    np.testing.assert_array_equal(ops.count_nonzero(T, axis=0).numpy(), np.count_nonzero(T, axis=0))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="reduction"):
        ops.scatter_update(M, [[0, 0]], [1.0], reduction="mean")
