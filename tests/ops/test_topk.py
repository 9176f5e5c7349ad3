"""``topk`` against PyTorch's values, and against the places that a stable sort gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import OutOfRangeError, ShapeError
from fovea.ops.topk import TopkAttrs, topk

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(3)
KINDS = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"]


def rows(kind: str, shape: tuple[int, ...], ties: bool) -> tuple[Any, Any]:
    values = RNG.integers(0, 5 if ties else 120, shape) + (0 if ties else RNG.random(shape))
    values = values if kind == "uint8" else values - (2 if ties else 60)
    theirs = torch.from_numpy(values).to(getattr(torch, kind))
    ours = fovea.from_numpy(values).to(getattr(fovea, kind))
    return ours, theirs


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_places(kind: str, largest: bool, ties: bool) -> None:
    for shape, k in (((3, 1), 1), ((5, 7), 3), ((2, 3, 40), 40), ((4, 1000), 17), ((300,), 128),
                     ((2, 300), 200), ((2, 6), 0), ((0, 4), 2), ((40, 33), 1)):  # fmt: skip
        ours, theirs = rows(kind, shape, ties)
        values, places = ours.topk(k, largest=largest)
        expected, order = theirs.topk(k, largest=largest), ours.sort(-1, descending=largest)
        assert values.double().tolist() == expected.values.double().tolist()
        assert places.tolist() == order.indices[..., :k].tolist()  # the first of equal ones
        assert values.dtype is ours.dtype and places.dtype is fovea.int64


@pytest.mark.parametrize("largest", [True, False])
def test_what_is_no_number_and_what_has_no_end(largest: bool) -> None:
    special = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.0, float("nan"), -2.0]
    for values in (special, special[::-1], special * 5, [float("nan")] * 20, [-float("inf")] * 20):
        for k in (1, 3, len(values)):
            ours = fovea.tensor(values).topk(k, largest=largest)
            theirs = torch.tensor(values).topk(k, largest=largest)
            np.testing.assert_array_equal(ours.values.numpy(), theirs.values.numpy())
            order = fovea.tensor(values).sort(descending=largest)
            assert ours.indices.tolist() == order.indices[:k].tolist()


def test_other_dimensions_layouts_and_threads() -> None:
    x = RNG.standard_normal((6, 50, 7)).astype("f4")
    for make in (
        lambda t: t,
        lambda t: t.transpose(0, 2),
        lambda t: t[:, ::3],
        lambda t: t[1:, 5:],
    ):
        ours, theirs = make(fovea.from_numpy(x)), make(torch.from_numpy(x))
        for dim in range(3):
            a, b = ours.topk(4, dim), theirs.topk(4, dim)
            assert a.values.tolist() == b.values.tolist()
            assert a.indices.tolist() == b.indices.tolist()
    many = fovea.from_numpy(RNG.standard_normal((512, 900)).astype("f4"))
    before = fovea.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            fovea.set_num_threads(threads)
            found.append(many.topk(20))
        assert fovea.equal(found[0].values, found[1].values)
        assert fovea.equal(found[0].indices, found[1].indices)
    finally:
        fovea.set_num_threads(before)


def test_gradients() -> None:
    x = RNG.standard_normal((3, 9))
    grads = []
    for lib in (fovea, torch):
        t = lib.tensor(x, requires_grad=True)
        values, places = t.topk(3, 0, largest=False)
        assert not places.requires_grad
        (values**3 * places).sum().backward()
        grads.append(t.grad.numpy())
    np.testing.assert_allclose(*grads, rtol=1e-12)
    leaf = fovea.tensor(x, requires_grad=True)
    assert fovea.autograd.gradgradcheck(lambda t: t.topk(4)[0] ** 2, leaf)


def test_captured_and_over_samples() -> None:
    x = fovea.from_numpy(RNG.standard_normal((4, 5, 30)).astype("f4"))
    compiled = fovea.compile(lambda t: t.relu().topk(3, -1).values.sum(-1))
    for _ in range(2):
        assert fovea.allclose(compiled(x), x.relu().topk(3, -1).values.sum(-1))
    for dim in (0, 1):
        each = fovea.vmap(lambda t, dim=dim: t.topk(2, dim))(x)
        assert fovea.equal(each[0], fovea.stack([t.topk(2, dim).values for t in x]))
        assert fovea.equal(each[1], fovea.stack([t.topk(2, dim).indices for t in x]))


def test_refusals() -> None:
    with pytest.raises(OutOfRangeError, match="k=5"):
        fovea.ones(2, 4).topk(5)
    with pytest.raises(ShapeError, match="no 5"):
        topk.bind((fovea.ones(2, 4),), TopkAttrs.of(5, True))
    assert fovea.tensor(3.0).topk(1).values.item() == 3
