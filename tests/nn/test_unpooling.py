"""Unpooling, random windows, and losses that PyTorch's table of modules lacks, against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import fovea
import fovea.nn as nn
import fovea.nn.functional as F
from fovea.errors import ArgumentError, LabelError, OutOfRangeError, ShapeError
from tests.nn.oracle import compare, rng, torch

SHAPES = {1: (2, 3, 9), 2: (2, 3, 7, 8), 3: (2, 3, 5, 6, 7)}


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("lone", [False, True])
def test_unpooled_like_pytorchs(n: int, lone: bool) -> None:
    x = rng(n).standard_normal(SHAPES[n][1:] if lone else SHAPES[n])
    pool = getattr(torch.nn.functional, f"max_pool{n}d")
    _, places = pool(torch.tensor(x), 2, return_indices=True)
    small = rng(n + 1).standard_normal(tuple(places.shape))
    ours, theirs = (getattr(lib, f"MaxUnpool{n}d")(2) for lib in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    size = SHAPES[n]
    compare(
        lambda t: ours(t, fovea.tensor(places.numpy()), output_size=size),
        lambda t: theirs(t, places, output_size=size),
        small,
    )


def test_pooled_and_unpooled_keeps_the_maxima() -> None:
    x = fovea.tensor(rng(3).standard_normal((2, 3, 6, 6)))
    y, places = nn.MaxPool2d(2, return_indices=True)(x)
    back = nn.MaxUnpool2d(2)(y, places)
    assert (back.sum() - y.sum()).abs().item() < 1e-12
    assert ((back == 0) | (back == x)).all().item()


def test_errors_of_unpooling() -> None:
    x = fovea.ones(1, 2, 2)
    with pytest.raises(OutOfRangeError, match="index 16 is outside the 16"):
        F.max_unpool2d(x, fovea.full((1, 2, 2), 16), 2)
    with pytest.raises(ShapeError, match="one shape"):
        F.max_unpool2d(x, fovea.zeros(1, 2, 1).long(), 2)
    with pytest.raises(ArgumentError, match="output_size"):
        F.max_unpool2d(x, fovea.zeros(1, 2, 2).long(), 2, output_size=(9, 9))


@pytest.mark.parametrize("n", [2, 3])
def test_given_random_numbers_give_pytorchs_windows(n: int) -> None:
    shape = (2, 3, 11, 9, 8)[: n + 2]
    x, samples = rng(4).standard_normal(shape), rng(5).random((2, 3, n))
    options = {"output_size": (5, 4, 3)[:n], "return_indices": True}
    name = f"fractional_max_pool{n}d"
    compare(
        lambda t: getattr(F, name)(
            t, 2, _random_samples=fovea.tensor(samples).to(t.dtype), **options
        ),
        lambda t: getattr(torch.nn.functional, name)(
            t, 2, _random_samples=torch.tensor(samples).to(t.dtype), **options
        ),
        x,
        dtypes=("float64",),
    )


def test_random_windows_differ_and_hold_their_maxima() -> None:
    x = fovea.tensor(rng(6).standard_normal((1, 2, 16, 16)))
    layer = nn.FractionalMaxPool2d(3, output_ratio=0.5, return_indices=True)
    (y, places), (z, _) = layer(x), layer(x)
    assert y.shape == (1, 2, 8, 8)
    assert not fovea.equal(y, z)
    assert fovea.equal(x.flatten(2).gather(2, places.flatten(2)), y.flatten(2))
    with pytest.raises(ArgumentError, match="not both"):
        nn.FractionalMaxPool2d(2)


@pytest.mark.parametrize("swap", [False, True])
def test_triplets_with_any_distance(swap: bool) -> None:
    arrays = [rng(i).standard_normal((4, 5)) for i in range(3)]
    for distance in (None, "l1"):
        ours, theirs = (
            lib.TripletMarginWithDistanceLoss(
                distance_function=None if distance is None else lambda a, b: (a - b).abs().sum(1),
                margin=2.0,
                swap=swap,
            )
            for lib in (nn, torch.nn)
        )
        compare(ours, theirs, *arrays)


def test_labels_are_checked_before_anything_is_computed() -> None:
    x = fovea.zeros(2, 3)
    with pytest.raises(LabelError, match="label 3 is outside the 3 classes"):
        F.multi_margin_loss(x, fovea.tensor([0, 3]))
    with pytest.raises(LabelError, match="label -2"):
        F.multilabel_margin_loss(x, fovea.tensor([[0, -2, -1], [0, 1, -1]]))
    with pytest.raises(ShapeError, match="target"):
        F.multi_margin_loss(x, fovea.tensor([0, 1, 2]))
    with pytest.raises(ArgumentError, match="negative"):
        F.gaussian_nll_loss(x, x, x - 1)


def test_variances_of_rows_and_numbers() -> None:
    x, t = rng(1).standard_normal((4, 3)), rng(2).standard_normal((4, 3))
    v = rng(3).random(4)
    v[0] = 0.0
    ours, theirs = F.gaussian_nll_loss, torch.nn.functional.gaussian_nll_loss
    compare(lambda *a: ours(*a, full=True), lambda *a: theirs(*a, full=True), x, t, v)
    compare(ours, theirs, x, t, v.reshape(4, 1))
    compare(lambda a, b: ours(a, b, 0.5), lambda a, b: theirs(a, b, 0.5), x, t)


def test_old_names_warn() -> None:
    with pytest.warns(FutureWarning, match="NLLLoss2d"):
        loss = nn.NLLLoss2d()
    x = np.log(np.full((1, 2, 2, 2), 0.5))
    assert abs(loss(fovea.tensor(x), fovea.zeros(1, 2, 2).long()).item() - np.log(2)) < 1e-12
