"""Calls of ``keras.ops`` on symbolic tensors, in files of Keras's and of fovea's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea import keras as fk
from fovea.errors import ArgumentError
from fovea.keras.ops.operations import _BY_CLASS, _BY_FUNCTION, module_of_function
from fovea.keras.ops.symbolic import FUNCTIONS

from .compare import data

# Calls of ``keras.ops`` on symbolic x, y (None, 4) and z (None, 3, 4).
CALLS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "operators": lambda ops, x, y, z: (
        (2 - x) * y / 3 + (-x) ** 2 - abs(y) % 2 + y // 0.5 + 1 / (x + 5) + 2.0 ** (x @ W) @ W.T
    ),
    "comparisons": lambda ops, x, y, z: ops.cast(
        ((x > y) & ~(x >= 0.5)) | (x < 0.1) ^ (y <= 0.3) | (x != y), "float32"
    ),
    "array first": lambda ops, x, y, z: (
        ops.add(W[:, 0], x) + ops.matmul(np.eye(3, dtype="f4"), z)[:, 0]
    ),
    "items": lambda ops, x, y, z: [x[:, 1:3], z[:, 0], z[..., -1], z[:, None, ::2, 0]],
    "reductions": lambda ops, x, y, z: [
        ops.sum(z, axis=(1, 2)), ops.mean(z, axis=1, keepdims=True), ops.max(z, axis=-1),
        ops.min(z, axis=1), ops.prod(z, axis=-1), ops.std(z, axis=2), ops.var(z, axis=1),
        ops.logsumexp(z, axis=1), ops.any(z > 0, axis=1), ops.all(z > 0, axis=1),
        ops.argmax(z, axis=1), ops.argmin(z, axis=-1), ops.cumsum(z, axis=1), ops.norm(x, axis=-1),
        ops.median(z, axis=1), ops.average(z, axis=1),
    ],
    "shapes": lambda ops, x, y, z: [
        ops.reshape(z, (-1, 12)), ops.transpose(z, (0, 2, 1)), ops.expand_dims(x, 1),
        ops.squeeze(ops.expand_dims(x, -1), -1), ops.swapaxes(z, 1, 2), ops.moveaxis(z, 1, -1),
        ops.flip(z, axis=1), ops.repeat(x, 2, axis=1), ops.tile(x, (1, 2)), ops.roll(x, 1, axis=1),
        ops.pad(x, [[0, 0], [1, 2]]), ops.pad(x, ((0, 0), (1, 1)), constant_values=3.0),
        ops.concatenate([x, y], axis=1), ops.stack([x, y], axis=1), ops.hstack([x, y]),
        *ops.split(x, 2, axis=1), *ops.unstack(z, axis=1), ops.take(x, [0, 2], axis=1),
        ops.tril(z), ops.zeros_like(x), ops.ones_like(x),
    ],
    "products": lambda ops, x, y, z: [
        ops.matmul(z, ops.transpose(z, (0, 2, 1))), ops.einsum("bi,bji->bj", x, z),
        ops.tensordot(z, W, axes=[[2], [0]]), ops.dot(x, W),
    ],
    "elementwise": lambda ops, x, y, z: [
        ops.exp(x), ops.log1p(abs(x)), ops.sqrt(abs(x)), ops.tanh(x), ops.sin(x), ops.erf(x),
        ops.clip(x, -0.5, 0.5), ops.maximum(x, y), ops.where(x > 0, x, y), ops.sign(x),
        ops.logical_and(x > 0, y > 0), ops.isnan(x), ops.round(x), ops.floor(x), ops.square(x),
        ops.rsqrt(abs(x) + 1), ops.nan_to_num(x), ops.arctan2(x, y), ops.abs(x),
    ],
    "networks": lambda ops, x, y, z: [
        ops.relu(x), ops.softmax(x), ops.sigmoid(x), ops.gelu(x, approximate=False), ops.silu(x),
        ops.leaky_relu(x, negative_slope=0.1), ops.elu(x), ops.selu(x), ops.log_softmax(x, axis=-1),
        ops.softplus(x), ops.one_hot(ops.argmax(x, -1), 4), *ops.moments(z, axes=[1]),
        ops.hard_sigmoid(x), ops.relu6(x), ops.celu(x), ops.normalize(x, axis=-1),
        ops.stop_gradient(x), *ops.top_k(x, 2),
    ],
    "images": lambda ops, x, y, z: [
        ops.image.resize(I(ops, z), (6, 5)), ops.image.rgb_to_grayscale(I(ops, z)),
        ops.image.rgb_to_hsv(I(ops, z)), ops.image.hsv_to_rgb(I(ops, z)),
        ops.image.pad_images(I(ops, z), 1, 1, 0, 2), ops.image.crop_images(I(ops, z), 1, 0, 0, 1),
        ops.image.extract_patches(I(ops, z), 2), ops.image.sobel_edges(I(ops, z)),
        ops.image.gaussian_blur(I(ops, z), (3, 3), (1.0, 0.5)),
        ops.image.ssim(I(ops, z), 1 - I(ops, z), filter_size=3),
    ],
    "others": lambda ops, x, y, z: [
        ops.diff(z), ops.saturate_cast(x * 300, "uint8"), ops.convert_to_tensor(x, "float16"),
        ops.layer_normalization(z, axis=-1),
    ],
}  # fmt: skip


@fk.saving.register_keras_serializable("tests")
def twice(t: Any) -> Any:
    return t * 2


@fk.saving.register_keras_serializable("tests")
def total(carry: Any, t: Any) -> Any:
    return carry + t


@fk.saving.register_keras_serializable("tests")
def running(carry: Any, t: Any) -> Any:
    return carry + t, carry * t


CALLS["functions of functions"] = lambda ops, x, y, z: [
    ops.map(twice, x), *ops.scan(running, ops.sum(x, axis=0), y), ops.associative_scan(total, x),
    ops.switch(ops.cast(x[0, 0] > 0, "int32"), [twice, abs_], y),
]  # fmt: skip
CALLS["methods"] = lambda ops, x, y, z: [
    z.reshape((-1, 12)), x[:, :1].squeeze(), x[:, :1].squeeze(-1), round(x), ops.size(z),
    ops.full((2, 3), x[0, 0]), *ops.split(x, [1], axis=1),
]  # fmt: skip


@fk.saving.register_keras_serializable("tests")
def abs_(t: Any) -> Any:
    return abs(t)


def I(ops: Any, z: Any) -> Any:  # noqa: E743, N802
    """Images with values from 0 to 1."""
    return ops.stack([ops.sigmoid(z), ops.sigmoid(-z), ops.sigmoid(z * 2)], -1)


W = data((4, 4), seed=7)


def model(keras: Any, make: Callable[..., Any]) -> Any:
    x, y, z = keras.Input((4,)), keras.Input((4,)), keras.Input((3, 4))
    return keras.Model([x, y, z], make(keras.ops, x, y, z))


def results(found: Any) -> list[Any]:
    flat = found if isinstance(found, list | tuple) else [found]
    return [np.asarray(t.detach().numpy()) for t in flat]


INPUTS = [data((5, 4)), data((5, 4), seed=1), data((5, 3, 4), seed=2)]


@pytest.mark.parametrize("name", CALLS)
def test_both_ways(keras: Any, name: str, tmp_path: Path) -> None:
    """Models of calls: same shapes and values here and there, and each reads the other's file."""
    for function in (twice, total, running, abs_):
        keras.saving.register_keras_serializable("tests")(function)
    ours, theirs = model(fk, CALLS[name]), model(keras, CALLS[name])
    assert [t.shape for t in ours.outputs] == [t.shape for t in theirs.outputs]
    assert [t.dtype for t in ours.outputs] == [t.dtype for t in theirs.outputs]
    want = results(theirs(INPUTS))
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    found = {
        "ours": ours,
        "theirs read here": fk.models.load_model(tmp_path / "theirs.keras"),
        "ours read there": keras.models.load_model(tmp_path / "ours.keras"),
        "ours read here": fk.models.load_model(tmp_path / "ours.keras"),
    }
    for how, m in found.items():
        for a, b in zip(results(m(INPUTS)), want, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6, err_msg=how)


def test_files_say_what_kerass_say(keras: Any) -> None:
    """The entries of layers are the same: classes, configs, nodes."""

    def entries(k: Any) -> Any:
        k.utils.clear_session()
        found = json.loads(model(k, CALLS["operators"]).to_json())["config"]["layers"]
        return [e for e in found if e["class_name"] != "InputLayer"]

    for a, b in zip(entries(fk), entries(keras), strict=True):
        assert a["config"] == b["config"] and a["class_name"] == b["class_name"]
        assert (a["module"], a["registered_name"]) == (b["module"], b["registered_name"])
        for mine, yours in zip(a["inbound_nodes"], b["inbound_nodes"], strict=True):
            assert json.dumps(mine["kwargs"]) == json.dumps(yours["kwargs"])
            if "__numpy__" not in json.dumps([mine, yours]):
                assert mine["args"] == yours["args"]


def test_the_table_is_kerass(keras: Any) -> None:
    """Every class is one of Keras's, whose call takes the arguments that the table says."""
    import importlib
    import inspect

    assert len(_BY_CLASS) == len(_BY_FUNCTION)
    for (_, cls), function in _BY_CLASS.items():
        there = getattr(importlib.import_module(module_of_function(function)), cls, None)
        assert there is not None, cls
        takes = list(inspect.signature(there.call).parameters.values())[1:]
        assert [p.name for p in takes if p.kind is not p.VAR_KEYWORD] == list(
            _BY_FUNCTION[function][1]
        ), function


def test_the_table_fits_the_functions() -> None:
    """A function that is there has the arguments that files name."""
    import inspect

    for name, function in FUNCTIONS.items():
        if name not in _BY_FUNCTION:
            continue
        own = inspect.signature(function).parameters
        assert all(place in own for place in _BY_FUNCTION[name][1]), name


def test_arguments_of_any_name_survive_files(tmp_path: Path) -> None:
    """Sizes of axes, and older names of arguments."""
    z = fk.Input((3, 4))
    ops = fk.ops
    outputs = [
        ops.rearrange(z, "b h (v w) -> b (h v) w", v=2),
        ops.multi_hot(ops.argmax(z, -1), num_tokens=4),
        ops.layer_normalization(z, rms_scaling=True),
        ops.einsum("bij,bkj->bik", z, z, optimize=True),
    ]
    ours = fk.Model(z, outputs)
    ours.save(tmp_path / "m.keras")
    read = fk.models.load_model(tmp_path / "m.keras")
    for a, b in zip(results(read(INPUTS[2])), results(ours(INPUTS[2])), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_operation_called_twice(keras: Any, tmp_path: Path) -> None:
    x = keras.Input((4,))
    square = type(keras.Model(x, keras.ops.square(x)).operations[-1])()
    theirs = keras.Model(x, square(square(x)))
    theirs.save(tmp_path / "m.keras")
    ours = fk.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(results(ours(INPUTS[0]))[0], INPUTS[0] ** 4, rtol=1e-5)


def test_branches_may_use_symbolic_tensors(tmp_path: Path) -> None:
    """Where the condition is symbolic both branches are in the graph, and files hold them."""
    ops, x = fk.ops, fk.Input((4,))
    shifted = ops.cond(x[0, 0] > 0, lambda: {"y": x + 1}, lambda: {"y": x * 2})
    ours = fk.Model(x, shifted["y"])
    ours.save(tmp_path / "m.keras")
    read = fk.models.load_model(tmp_path / "m.keras")
    for m in (ours, read):
        for sign in (1, -1):
            given = np.full((2, 4), sign, "f4")
            want = given + 1 if sign > 0 else given * 2
            np.testing.assert_array_equal(results(m(given))[0], want)
    with pytest.raises(ArgumentError, match="same structure"):
        ops.cond(x[0, 0] > 0, lambda: x, lambda: (x, x))


def test_loops_of_symbolic_tensors() -> None:
    """The number of steps is found when there are values; halves of a batch vary with it."""
    ops, x = fk.ops, fk.Input((4,))
    grown = ops.while_loop(lambda t: ops.sum(t) < 100, lambda t: (t * 2,), (x,))
    assert grown[0].shape == (None, 4)
    outputs = [
        *ops.jvp(twice, (x,), (x * 3,)),
        *grown,
        ops.fori_loop(0, 3, lambda i, t: t + i * x, x),
        *ops.split(x, 2, axis=0),
    ]
    assert [t.shape for t in outputs[-2:]] == [(None, 4), (None, 4)]
    found = results(fk.Model(x, outputs)(np.ones((6, 4), "f4")))
    assert [float(a[0, 0]) for a in found] == [2, 6, 8, 4, 1, 1] and found[-1].shape == (3, 4)


def test_integers_stay_integers() -> None:
    x = fk.Input((2,), dtype="int64")
    m = fk.Model(x, x + 2**53)
    big = np.array([[1, 2]], dtype="int64")
    assert m(big).tolist() == [[2**53 + 1, 2**53 + 2]]


def activated(k: Any) -> Any:
    """Calls of activation functions on a symbolic tensor."""
    x, f = k.Input((4,)), k.activations
    outputs = [
        f.relu(x), f.relu(x, max_value=0.5), f.relu(x, negative_slope=0.1, threshold=0.2),
        f.silu(x), f.gelu(x), f.gelu(x, approximate=True), f.softmax(x), f.tanh(x), f.sigmoid(x),
        f.exponential(x), f.elu(x, alpha=0.5), f.leaky_relu(x), f.hard_sigmoid(x), f.linear(x),
    ]  # fmt: skip
    return k.Model(x, outputs)


def test_activations_are_operations(keras: Any, tmp_path: Path) -> None:
    """A graph names them as Keras does, and no layer stands for them."""
    fk.utils.clear_session()
    keras.utils.clear_session()
    ours, theirs = activated(fk), activated(keras)
    assert [op.name for op in ours.operations] == [op.name for op in theirs.operations]
    assert len(ours.layers) == len(theirs.layers) == 1
    configs = [json.loads(m.to_json())["config"]["layers"][1:] for m in (ours, theirs)]
    for a, b in zip(*configs, strict=True):
        for key in ("module", "class_name", "config", "registered_name", "inbound_nodes"):
            assert a[key] == b[key]
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    x, want = INPUTS[0], results(theirs(INPUTS[0]))
    read = fk.models.load_model(tmp_path / "theirs.keras")
    for m in (ours, read, keras.models.load_model(tmp_path / "ours.keras")):
        for a, b in zip(results(m(x)), want, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_activations_that_keras_does_not_trace(tmp_path: Path) -> None:
    x = fk.Input((4,))
    outputs = [fk.activations.get(n)(x) for n in ("mish", "hard_silu", "sparsemax")]
    ours = fk.Model(x, outputs)
    ours.save(tmp_path / "ours.keras")
    read = fk.models.load_model(tmp_path / "ours.keras")
    for a, b in zip(results(read(INPUTS[0])), results(ours(INPUTS[0])), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("value", [np.array([[-1.0, 2.0]], "f"), [[-1.0, 2.0]]])
def test_activations_take_arrays(keras: Any, value: Any) -> None:
    names = ["relu", "sigmoid", "silu", "gelu", "tanh", "elu", "softplus"]
    for name in [*names, *(["softmax"] if isinstance(value, np.ndarray) else [])]:
        ours, theirs = getattr(fk.activations, name)(value), getattr(keras.activations, name)(value)
        np.testing.assert_allclose(ours.numpy(), np.asarray(theirs, "f"), rtol=1e-5, atol=1e-6)


def test_tensors_and_variables_beside_symbolic_tensors(keras: Any, tmp_path: Path) -> None:
    """``tensor + symbolic`` is an operation of the graph, whichever comes first."""

    def make(k: Any) -> Any:
        x = k.Input((4,))
        t, m = k.ops.convert_to_tensor(W[0]), k.ops.convert_to_tensor(W)
        return k.Model(x, [t + x, t * x, t - x, t / (x + 9.0), m @ k.ops.transpose(x), x - t])

    ours, theirs = make(fk), make(keras)
    for a, b in zip(results(ours(INPUTS[0])), results(theirs(INPUTS[0])), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    ours.save(tmp_path / "m.keras")
    for a, b in zip(
        results(fk.models.load_model(tmp_path / "m.keras")(INPUTS[0])),
        results(ours(INPUTS[0])),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    v, x = fk.Variable(W[1]), fk.Input((4,))
    assert (v + x).shape == (None, 4) and (v * x).shape == (None, 4)
    with pytest.raises(TypeError):
        fk.ops.ones(2) + object()
