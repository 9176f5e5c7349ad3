"""Padding, resizing, look-ups and dropout against PyTorch."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from fovea.errors import ArgumentError, ShapeError
from tests.nn.oracle import close, compare, rng, second_derivatives, torch

TF = torch.nn.functional


@pytest.mark.parametrize(
    ("shape", "amounts"),
    [
        ((2, 3, 4, 5), (1, 2)),
        ((2, 3, 4, 5), (1, 2, 0, 3)),
        ((2, 3, 4, 5), (-1, 2, 1, -2)),
        ((3,), (0, 2)),
        ((2, 3, 4), (1, 1, 2, 2, 3, 0)),
    ],
)
def test_pad_with_a_constant(shape: Any, amounts: Any) -> None:
    x = rng().standard_normal(shape)
    compare(lambda t: F.pad(t, amounts), lambda t: TF.pad(t, amounts), x)
    compare(lambda t: F.pad(t, amounts, value=1.5), lambda t: TF.pad(t, amounts, value=1.5), x)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize(
    ("shape", "amounts"),
    [
        ((2, 3, 4, 5), (1, 2, 3, 0)),
        ((2, 3, 5), (2, 1)),
        ((3, 4, 5), (1, 1, 2, 2)),
        ((3, 5), (4, 3)),
    ],
)
def test_pad_with_the_image(mode: str, shape: Any, amounts: Any) -> None:
    x = rng().standard_normal(shape)
    compare(lambda t: F.pad(t, amounts, mode), lambda t: TF.pad(t, amounts, mode), x)


def test_pad_of_other_types() -> None:
    x = fovea.tensor([[1, 2], [3, 4]], dtype=fovea.uint8)
    assert F.pad(x, (1, 0), value=9).tolist() == [[9, 1, 2], [9, 3, 4]]


def test_pad_too_much() -> None:
    with pytest.raises(ShapeError, match="reflect padding of 3 needs more than the 3 elements"):
        F.pad(fovea.rand(1, 3), (3, 0), "reflect")
    with pytest.raises(ValueError, match="two amounts a dimension"):
        F.pad(fovea.rand(1, 3), (1, 2, 3))
    with pytest.raises(ValueError, match="mode must be 'constant'"):
        F.pad(fovea.rand(1, 3), (1, 2), "mirror")


# -- resizing ----------------------------------------------------------------------------------

SIZES: list[dict[str, Any]] = [
    {"size": (7, 9)},
    {"size": 3},
    {"size": (1, 1)},
    {"scale_factor": 2},
    {"scale_factor": 2.3},
    {"scale_factor": (0.6, 1.7)},
    {"scale_factor": 0.7, "recompute_scale_factor": True},
]


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
@pytest.mark.parametrize("size", SIZES)
def test_interpolate(mode: str, size: dict[str, Any]) -> None:
    x = rng().standard_normal((2, 3, 4, 5))
    compare(
        lambda t: F.interpolate(t, mode=mode, **size),
        lambda t: TF.interpolate(t, mode=mode, **size),
        x,
    )


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", SIZES)
def test_interpolate_with_aligned_corners(mode: str, size: dict[str, Any]) -> None:
    x = rng().standard_normal((2, 3, 4, 5))
    compare(
        lambda t: F.interpolate(t, mode=mode, align_corners=True, **size),
        lambda t: TF.interpolate(t, mode=mode, align_corners=True, **size),
        x,
    )


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear", "area"])
def test_interpolate_sequences(mode: str) -> None:
    x = rng().standard_normal((2, 3, 5))
    for size in ({"size": 8}, {"scale_factor": 1.6}):
        compare(
            lambda t, s=size: F.interpolate(t, mode=mode, **s),
            lambda t, s=size: TF.interpolate(t, mode=mode, **s),
            x,
        )


def test_interpolate_second_derivatives() -> None:
    x = rng().standard_normal((1, 2, 3, 4))
    second_derivatives(lambda t: F.interpolate(t, size=(5, 3), mode="bilinear").square(), x)


def test_interpolate_wants_a_size_or_a_scale() -> None:
    x = fovea.rand(1, 1, 2, 2)
    with pytest.raises(ValueError, match="either size or scale_factor"):
        F.interpolate(x)
    with pytest.raises(ValueError, match="mode for 4 dimensions must be one of"):
        F.interpolate(x, 3, mode="linear")
    with pytest.raises(ValueError, match="align_corners has no meaning"):
        F.interpolate(x, 3, align_corners=True)


@pytest.mark.parametrize("shape", [(2, 8, 3, 5), (8, 3, 5), (2, 2, 8, 3, 5)])
def test_pixel_shuffle(shape: Any) -> None:
    x = rng().standard_normal(shape)
    compare(lambda t: F.pixel_shuffle(t, 2), lambda t: TF.pixel_shuffle(t, 2), x)
    back = rng().standard_normal((*shape[:-3], 3, 4, 6))
    compare(lambda t: F.pixel_unshuffle(t, 2), lambda t: TF.pixel_unshuffle(t, 2), back)


def test_channel_shuffle() -> None:
    x = rng().standard_normal((2, 6, 3, 2))
    compare(lambda t: F.channel_shuffle(t, 3), lambda t: TF.channel_shuffle(t, 3), x, grads=False)


# -- look-ups and matrices ---------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("padding_idx", [None, 1, -1])
def test_embedding(shape: Any, padding_idx: int | None) -> None:
    rows, weight = rng().integers(0, 5, shape), rng(1).standard_normal((5, 4))
    compare(
        lambda i, w: F.embedding(i, w, padding_idx),
        lambda i, w: TF.embedding(i, w, padding_idx),
        rows,
        weight,
    )


def test_embedding_with_a_norm() -> None:
    weight = rng().standard_normal((5, 4)).astype("float32") * 3
    ours, theirs = fovea.tensor(weight), torch.tensor(weight)
    rows = [0, 3, 3]
    close(
        F.embedding(fovea.tensor(rows), ours, max_norm=1.0),
        TF.embedding(torch.tensor(rows), theirs, max_norm=1.0),
        "float32",
    )
    close(ours, theirs, "float32")


def test_embedding_out_of_range() -> None:
    with pytest.raises(IndexError, match="row 5 is out of range for 5 rows"):
        F.embedding(fovea.tensor([0, 5]), fovea.rand(5, 2))


def test_one_hot() -> None:
    x = np.array([[0, 2], [1, 0]])
    assert F.one_hot(fovea.tensor(x)).tolist() == TF.one_hot(torch.tensor(x)).tolist()
    assert F.one_hot(fovea.tensor(x), 5).tolist() == TF.one_hot(torch.tensor(x), 5).tolist()
    with pytest.raises(ValueError, match="label 2 is outside the 2 classes"):
        F.one_hot(fovea.tensor(x), 2)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 4)])
def test_linear(shape: Any) -> None:
    r = rng()
    x, w, b = r.standard_normal(shape), r.standard_normal((5, 4)), r.standard_normal(5)
    compare(F.linear, TF.linear, x, w, b)
    compare(F.linear, TF.linear, x, w)


def test_bilinear() -> None:
    r = rng()
    arrays = [r.standard_normal(s) for s in ((2, 3, 4), (2, 3, 5), (6, 4, 5), (6,))]
    compare(F.bilinear, TF.bilinear, *arrays)


# -- dropout -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d", "dropout3d"])
def test_dropout(name: str) -> None:
    shape = {"dropout1d": (64, 50, 4), "dropout3d": (64, 50, 2, 2, 2)}.get(name, (64, 50, 3, 4))
    x = fovea.rand(*shape) + 1
    y = getattr(F, name)(x, 0.3)
    zeros = y == 0
    assert abs(zeros.float().mean().item() - 0.3) < 0.04
    kept = (y * 0.7 - x).masked_fill(zeros, 0.0)
    assert kept.abs().max().item() < 1e-5
    if name != "dropout":  # whole channels
        flat = zeros.flatten(2)
        assert fovea.equal(flat.all(2), flat.any(2))
    assert getattr(F, name)(x, 0.3, training=False) is x


@pytest.mark.parametrize("name", ["dropout", "alpha_dropout"])
def test_everything_or_nothing_is_dropped(name: str) -> None:
    x = fovea.randn(10)
    f = getattr(F, name)
    assert f(x, 1.0, training=True).abs().max().item() == 0.0
    assert fovea.equal(f(x, 0.0, training=True), x)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got 1.5"):
        f(x, 1.5)


def test_dropout_gradient_is_zero_where_dropped() -> None:
    x = fovea.rand(1000, requires_grad=True)
    y = F.dropout(x, 0.4)
    y.sum().backward()
    assert fovea.equal(x.grad == 0, y == 0)
    assert x.grad.max().item() == pytest.approx(1 / 0.6)


def test_dropout_in_place() -> None:
    x = fovea.ones(100)
    assert F.dropout(x, 0.5, inplace=True) is x
    assert set(x.tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("name", ["alpha_dropout", "feature_alpha_dropout"])
def test_alpha_dropout_keeps_mean_and_variance(name: str) -> None:
    x = fovea.randn(300, 400)
    y = getattr(F, name)(x, 0.3, training=True)
    assert abs(y.mean().item()) < 0.02
    assert abs(y.std().item() - 1) < 0.02


def test_dropout_follows_the_seed() -> None:
    x = fovea.ones(50)
    fovea.manual_seed(3)
    first = F.dropout(x)
    fovea.manual_seed(3)
    assert fovea.equal(first, F.dropout(x))


# -- signatures --------------------------------------------------------------------------------

SIGNED = [
    n for n in dir(F) if not n.startswith("_") and inspect.isfunction(getattr(F, n))
    and hasattr(TF, n) and n not in ("same_padding", "conv_tbc")
]  # fmt: skip


def pytorchs(name: str) -> Any:
    """The parameters of PyTorch's function: of a built-in, as the first line of its help says."""
    if "kwargs" not in (found := _parameters(getattr(TF, name))):
        return found
    return _parameters(getattr(TF, f"{name}_with_indices"))  # a flag chooses between two functions


def _parameters(function: Any) -> Any:
    try:
        return inspect.signature(function).parameters
    except ValueError:
        text = function.__doc__.strip()
        arguments = re.match(r"\w+\((.*?)\) -> (Tensor|\w+)", text, re.DOTALL)
        assert arguments is not None, text
        return inspect.signature(eval(f"lambda {' '.join(arguments[1].split())}: None")).parameters


@pytest.mark.parametrize("name", SIGNED)
def test_signatures_are_pytorchs(name: str) -> None:
    """The same arguments in the same order with the same defaults."""
    theirs = pytorchs(name)
    ours = inspect.signature(getattr(F, name)).parameters
    assert list(ours) == list(theirs)
    for key, parameter in theirs.items():
        mine = ours[key].default
        assert mine == parameter.default or mine is parameter.default, key


@pytest.mark.parametrize("shape", [(3, 0), (0, 0), (2, 3, 0)])
def test_linear_of_no_features(shape: Any) -> None:
    compare(F.linear, TF.linear, np.zeros(shape), np.zeros((4, 0)), rng().standard_normal(4))
    compare(F.linear, TF.linear, np.ones((*shape[:-1], 2)), np.zeros((0, 2)))
    compare(lambda a, b: a @ b, lambda a, b: a @ b, np.zeros(shape), np.zeros((0, 4)))


def test_one_hot_compiles_where_the_classes_are_known() -> None:
    labels = fovea.tensor([[1, 3], [0, 2]])
    program = fovea.compile(lambda t: F.one_hot(t, 4), strict=True)
    for turned in (labels, labels.flip(0), labels.t()):
        assert program(turned).tolist() == F.one_hot(turned, 4).tolist()
    with pytest.raises(ArgumentError, match="outside the 4 classes"):
        program(labels + 1)
