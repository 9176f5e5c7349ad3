"""``keras.ops``: what holds for all its functions: gradients are Keras's, captured calls give what
eager ones give, and results have the dtypes that Keras gives them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk
from fovea.keras import ops

from .test_more_ops import CASES as MORE
from .test_more_ops import IMAGES, flat
from .test_ops import CASES

ALL = [("", *c) for c in CASES + MORE] + [("image", *c) for c in IMAGES]
IDS = [f"{part}.{name}-{list(options)}" for part, name, _, options in ALL]
R = np.random.default_rng(5)


def called(lib: Any, part: str, name: str) -> Any:
    return getattr(getattr(lib, part) if part else lib, name)


def mapped(f: Callable[[Any], Any], value: Any) -> Any:
    """The arrays among an argument's parts replaced."""
    if isinstance(value, np.ndarray):
        return f(value)
    if isinstance(value, list | tuple) and value and isinstance(value[0], np.ndarray):
        return type(value)(mapped(f, v) for v in value)
    return value


# Keras's own have no gradient there, or change their arguments in place.
NO_GRADIENT = {"floor_divide", "heaviside", "vander", "histogram", "affine_transform", "nextafter"}
# NaN everywhere in a row, gradients of one triangle alone, places at the very edge of an image.
OTHERWISE = {"nanmean", "nanvar", "nanstd", "nanmedian", "nanpercentile", "cholesky_inverse",
             "perspective_transform", "scale_and_translate"}  # fmt: skip


def gradients(lib: Any, function: Any, args: Any, options: Any, leaf: Any) -> list[Any]:
    """Of a weighted sum of all results, for each array of floats among the arguments."""
    leaves: list[Any] = []

    def taken(a: Any) -> Any:
        t = leaf(a)
        if a.dtype.kind == "f":
            leaves.append(t.requires_grad_())
        return t

    total: Any = 0
    for t in flat(function(*[mapped(taken, a) for a in args], **options)):
        if hasattr(t, "requires_grad") and t.requires_grad:
            weights = np.random.default_rng(1).normal(size=tuple(t.shape)).astype("f4")
            total = total + (t * leaf(weights)).sum()
    if not isinstance(total, int):
        total.backward()
    zeros = [np.zeros(tuple(t.shape), "f4") for t in leaves]
    return [z if t.grad is None else t.grad.numpy() for t, z in zip(leaves, zeros, strict=True)]


@pytest.mark.parametrize("case", ALL, ids=IDS)
def test_gradients_are_keras_s(keras: Any, case: Any) -> None:
    import torch

    part, name, args, options = case
    in_place = name == "scatter_update" and options.get("reduction") not in (None, "add")
    if name in NO_GRADIENT | OTHERWISE or in_place:
        pytest.skip("looked at below")
    own = gradients(fovea, called(ops, part, name), args, options, fovea.tensor)
    theirs = gradients(torch, called(keras.ops, part, name), args, options, torch.tensor)
    for a, b in zip(own, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


SMOOTH = [
    ("", "nanvar", [R.normal(size=(3, 4))], {"axis": 1}),
    ("", "nanstd", [np.where(R.random((3, 4)) > 0.7, np.nan, R.normal(size=(3, 4)))], {}),
    ("", "nanmean", [np.where(R.random((3, 4)) > 0.7, np.nan, R.normal(size=(3, 4)))], {}),
    ("", "nanmedian", [np.where(R.random((3, 5)) > 0.8, np.nan, R.normal(size=(3, 5)))], {}),
    ("", "nanpercentile", [R.normal(size=(3, 5)), 30.0], {"axis": 0}),
    ("", "layer_normalization", [R.normal(size=(3, 5)), R.normal(size=5)], {"axis": (-1,)}),
    ("image", "perspective_transform", [R.random((1, 8, 9, 2)),
     np.array([[0.3, 0.2], [7.2, 0.4], [0.1, 6.3], [7.6, 5.8]]),
     np.array([[1.2, 1.3], [6.7, 0.2], [0.1, 5.3], [7.9, 5.7]])], {}),
    *(("image", "scale_and_translate", [R.random((5, 6)), (4, 7), np.array(s), np.array(t), (0, 1), m, a], {})
      for m in ("linear", "cubic", "lanczos3") for a in (True, False)
      for s, t in (([0.7, 1.3], [0.3, -0.4]), ([1.2, 0.45], [0.1, 0.2]))),
]  # fmt: skip


@pytest.mark.parametrize("case", SMOOTH, ids=lambda c: f"{c[1]}-{c[2][5:]}")
def test_gradients_where_functions_are_smooth(keras: Any, case: Any) -> None:
    import torch

    part, name, args, options = case
    own = gradients(fovea, called(ops, part, name), args, options, fovea.tensor)
    theirs = gradients(torch, called(keras.ops, part, name), args, options, torch.tensor)
    for a, b in zip(own, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def test_no_gradient_is_lost_to_nan() -> None:
    """Elements that are NaN have gradient 0, also where a row has no others."""
    for name in ("nansum", "nanvar", "nanstd", "nanmax", "nanmedian"):
        x = fovea.tensor(np.array([[1.0, np.nan, 3, 5], [2, 0, 1, np.nan]]), requires_grad=True)
        getattr(ops, name)(x, axis=1).sum().backward()
        assert x.grad[0, 1] == 0 and x.grad[1, 3] == 0 and bool(x.grad.isfinite().all())


def test_gradients_of_updates() -> None:
    """Those that win have them; factors have the other factors."""
    for reduction, gx, gu in (
        ("max", [0.0, 1, 1], [1.0, 0]),
        ("min", [1.0, 0, 1], [0.0, 1]),
        ("mul", [3.0, 4, 1], [1.0, 5]),
    ):
        x = fovea.tensor([1.0, 5.0, 2.0], requires_grad=True)
        u = fovea.tensor([3.0, 4.0], requires_grad=True)
        ops.sum(ops.scatter_update(x, [[0], [1]], u, reduction=reduction)).backward()
        assert x.grad.tolist() == gx and u.grad.tolist() == gu


@pytest.mark.parametrize("case", ALL, ids=IDS)
def test_captured_calls_are_eager_ones(case: Any) -> None:
    part, name, args, options = case
    function, given = called(ops, part, name), []

    def marked(a: Any) -> Any:
        given.append(fovea.tensor(a))
        return _Place(len(given) - 1)

    places = [mapped(marked, a) for a in args]

    def call(*values: Any) -> Any:
        filled = [_filled(p, values) for p in places]
        return tuple(t for t in flat(function(*filled, **options)) if fovea.is_tensor(t))

    if not given or name == "empty_like":
        pytest.skip("nothing to compare")
    for a, b in zip(fovea.compile(call)(*given), call(*given), strict=True):
        assert a.dtype is b.dtype and a.shape == b.shape
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


class _Place(int):
    """Where a tensor stood."""


def _filled(value: Any, values: Any) -> Any:
    if isinstance(value, _Place):
        return values[value]
    if isinstance(value, list | tuple) and value and isinstance(value[0], _Place):
        return type(value)(_filled(v, values) for v in value)
    return value


# -- dtypes --------------------------------------------------------------------------------------

KINDS = ("float32", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "int64", "float64", "bool")  # fmt: skip
PAIRS = (
    "add subtract multiply divide floor_divide mod power maximum minimum equal less logical_and arctan2 logaddexp "
    "hypot bitwise_and bitwise_left_shift fmax fmod gcd lcm ldexp nextafter divide_no_nan matmul dot outer inner "
    "vdot kron tensordot append isclose"

)  # fmt: skip
# Where Keras's results have other dtypes than those of their kind: a half beside Python's float,
# products of int8 and bool, booleans shifted.
ODD = {
    *((n, k, "float") for n in ("arctan2", "logaddexp", "hypot", "nextafter") for k in ("float16", "bfloat16")),
    ("matmul", "int8", "bool"), ("matmul", "bool", "int8"), *(("bitwise_left_shift", "bool", k) for k in ("int", "bool", *KINDS[3:8])),
}  # fmt: skip
N = np.array([[1, 2], [3, 1]])


def named(t: Any) -> str:
    """A dtype's name; Keras on PyTorch has 32 bits in some places where 64 were given."""
    name = str(t.dtype).split(".")[-1]
    return {"float64": "float32", "int64": "int32"}.get(name, name)


@pytest.mark.parametrize("name", PAIRS.split())
def test_dtypes_of_two(keras: Any, name: str) -> None:
    """All pairs of dtypes, and Python's numbers on either side: Keras's results, where it has any."""
    import torch

    def both(kind: str) -> tuple[Any, Any]:
        return fovea.tensor(N).to(getattr(fovea, kind)), torch.tensor(N).to(getattr(torch, kind))

    for kind in KINDS:
        own, there = both(kind)
        pairs = [(k, (own, both(k)[0]), (there, both(k)[1])) for k in KINDS]
        for x in (2, 2.5, True):
            pairs += [(type(x).__name__, (own, x), (there, x)), (type(x).__name__, (x, own), (x, there))]  # fmt: skip
        for other, mine, theirs in pairs:
            try:
                want = getattr(keras.ops, name)(*theirs)
            except (RuntimeError, TypeError, ValueError, NotImplementedError):
                continue
            if (name, kind, other) not in ODD:
                found = getattr(ops, name)(*mine)
                assert named(found) == named(want), (kind, other)
                a, b = found.to(fovea.float64).numpy(), want.to(torch.float64).numpy()
                np.testing.assert_allclose(a, b, rtol=1e-2)


REDUCED = ("sum mean max min var std prod cumsum cumprod trace nansum nanmean nanmax nanmin nanvar nanprod nancumsum ptp "
           "median quantile all any count_nonzero argmax argsort sort ceil floor trunc round abs square exp sqrt sign "
           "relu relu6 hard_tanh average clip logsumexp norm diff")  # fmt: skip
MORE_ARGUMENTS = {"quantile": (0.3,), "clip": (1, 2)}


@pytest.mark.parametrize("name", REDUCED.split())
def test_dtypes_of_one(keras: Any, name: str) -> None:
    import torch

    for kind in KINDS:
        more = MORE_ARGUMENTS.get(name, ())
        try:
            want = getattr(keras.ops, name)(torch.tensor(N).to(getattr(torch, kind)), *more)
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            continue
        found = getattr(ops, name)(fovea.tensor(N).to(getattr(fovea, kind)), *more)
        assert named(found) == named(want), kind
        a, b = found.to(fovea.float64).numpy(), want.to(torch.float64).numpy()
        np.testing.assert_allclose(a, b, rtol=2e-2)


def test_plain_numbers_and_lists() -> None:
    assert ops.convert_to_tensor(3).dtype is fovea.int32
    assert ops.convert_to_tensor([1, 2]).dtype is fovea.int32
    assert ops.convert_to_tensor([2**40]).dtype is fovea.int64
    assert ops.convert_to_tensor(np.array([1, 2])).dtype is fovea.int64
    assert ops.convert_to_tensor([1, 2.5]).dtype is fovea.float32
    assert ops.convert_to_tensor(np.float16(2)).dtype is fovea.float16
    assert ops.convert_to_tensor([True]).dtype is fovea.bool
    x = fovea.tensor([1.0, 2.0], requires_grad=True)
    ops.sum(ops.convert_to_tensor([x * 2, [3.0, 4.0]])).backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert ops.divide(2.5, fovea.tensor([2])).tolist() == [1.25]
    assert fk.ops.convert_to_tensor(fk.Input((2,)), dtype="float16").dtype == "float16"


# -- shapes --------------------------------------------------------------------------------------


def test_symbolic_shapes_that_values_decide() -> None:
    x, i = fk.KerasTensor((2, 3)), fk.KerasTensor((None,), "int32")
    assert ops.bincount(i).shape == (None,)
    assert ops.segment_sum(x, i).shape == (None, 3)
    assert ops.segment_max(x, i, num_segments=4).shape == (4, 3)
    assert [t.shape for t in ops.nonzero(x)] == [(None,), (None,)]
    found = ops.unique(x, return_inverse=True, return_counts=True)
    assert [t.shape for t in found] == [(None,), (2, 3), (None,)]
    assert ops.unique(x, axis=1, size=2).shape == (2, 2)
    points = fk.KerasTensor((None, 4, 2))
    images = fk.KerasTensor((None, 8, 9, 3))
    assert ops.image.perspective_transform(images, points, points).shape == images.shape
    assert ops.linspace(x, x + 1, 5, axis=1).shape == (2, 5, 3)


def test_no_elements_and_no_axes() -> None:
    empty = np.zeros((0, 3), "f4")
    assert ops.max(empty, axis=0, initial=1.5).tolist() == [1.5] * 3
    assert ops.min(empty, initial=2).tolist() == 2
    assert ops.all(empty, axis=0).tolist() == [True] * 3 and not ops.any(empty).item()
    assert ops.sum(empty, axis=0).tolist() == [0] * 3 and ops.prod(empty).item() == 1
    assert ops.logsumexp(empty, axis=0).tolist() == [-np.inf] * 3
    assert ops.nanmedian(empty, axis=()).shape == (0, 3)
    assert [t.tolist() for t in ops.histogram(empty, bins=2)] == [[0, 0], [0, 0.5, 1]]
    x = np.arange(6, dtype="f4").reshape(2, 3)
    for name in ("sum", "mean", "max", "prod"):
        assert getattr(ops, name)(x, axis=()).tolist() == x.tolist()
    assert ops.max(fovea.tensor([1, 2]), initial=1.5).tolist() == 2


@pytest.mark.parametrize("mode", ["reflect", "symmetric", "edge", "wrap"])
def test_borders_are_numpys(mode: Any) -> None:
    x = R.normal(size=(2, 3, 4, 2)).astype("f4")
    for width in (((1, 0), (2, 1), (0, 5), (1, 1)), ((0, 0), (7, 2), (0, 0), (0, 0))):
        np.testing.assert_array_equal(ops.pad(x, width, mode=mode).numpy(), np.pad(x, width, mode))


def test_ranges_between_tensors() -> None:
    a, b = R.random((2, 3)), R.random((2, 3)) + 2
    for axis in (0, 1, -1):
        for end in (True, False):
            want = np.linspace(a, b, 5, endpoint=end, axis=axis)
            np.testing.assert_allclose(
                ops.linspace(a, b, 5, end, axis=axis).numpy(), want, rtol=1e-5
            )
            want = np.geomspace(a, b, 5, endpoint=end, axis=axis)
            np.testing.assert_allclose(
                ops.geomspace(a, b, 5, end, axis=axis).numpy(), want, rtol=1e-5
            )
            want = np.logspace(a, b, 5, endpoint=end, axis=axis)
            np.testing.assert_allclose(
                ops.logspace(a, b, 5, end, axis=axis).numpy(), want, rtol=1e-4
            )
    values, step = ops.linspace(a, b, 3, retstep=True)
    np.testing.assert_allclose(step.numpy(), (b - a) / 2, rtol=1e-5)
    assert values[-1].tolist() == fovea.tensor(b, dtype=fovea.float32).tolist()
    assert ops.linspace(0, 10, 5, dtype="int32").tolist() == [0, 2, 5, 7, 10]


def test_repeats_of_each() -> None:
    assert ops.repeat(fovea.arange(3), [1, 2, 0]).tolist() == [0, 1, 1]
    assert ops.repeat(np.eye(2), [1, 2], axis=0).tolist() == [[1, 0], [0, 1], [0, 1]]
