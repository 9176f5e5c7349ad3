"""Calls at the edge: 0-d tensors along a dimension, attributes of the wrong length, absurd sizes."""

from __future__ import annotations

from typing import Any

import pytest

import fovea
from fovea.errors import FoveaError
from fovea.ops import memory
from fovea.ops.index import IndexAttrs, index
from fovea.ops.pool import avg_pool2d_grad
from fovea.ops.reduce import amax, mean, prod, sum_
from fovea.ops.resize import resize2d

torch = pytest.importorskip("torch")

ALONG = {
    "sum": lambda x: x.sum(0),
    "mean": lambda x: x.mean(-1),
    "max": lambda x: x.max(0)[0],
    "min": lambda x: x.min(-1)[0],
    "amax": lambda x: x.amax(0),
    "cumsum": lambda x: x.cumsum(0),
    "cumprod": lambda x: x.cumprod(0),
    "flip": lambda x: x.flip(0),
    "sort": lambda x: x.sort(0)[0],
    "softmax": lambda x: x.softmax(0),
}


@pytest.mark.parametrize("name", ALONG)
def test_a_scalar_along_a_dimension(name: str) -> None:
    """As PyTorch does it: a vector of one element, in memory of its own."""
    found = []
    for library in (fovea, torch):
        x: Any = library.tensor(2.0, requires_grad=True)
        y = ALONG[name](x)
        (y * 3).backward()
        plain = x.detach()
        changed = ALONG[name](plain)
        changed += 1
        found.append((y.item(), y.ndim, x.grad.item(), plain.item(), changed.item()))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "call",
    [
        lambda x: sum_(x[0, 0, 0, 0], dims=(0,), keepdim=False),
        lambda x: mean(x[0, 0, 0, 0], dims=(0,), keepdim=False),
        lambda x: amax(x[0, 0, 0, 0], dims=(0,), keepdim=True),
        lambda x: index.bind((x[0, 0, 0, 0], fovea.tensor([0])), IndexAttrs.of((0,))),
        lambda x: fovea.tril(x[0, 0, 0]),
        lambda x: fovea.triu(x[0, 0, 0, 0]),
        lambda x: resize2d(x, output_size=(2, 2), mode="bilinear", align_corners=False, scale=(0.0,)),
        lambda x: avg_pool2d_grad(x, kernel=(2, 2), stride=(2, 2), padding=(0, 0, 0, 0), ceil_mode=False,
                                  count_include_pad=True, divisor=None, input_size=(8,)),
        lambda x: fovea.nn.functional.adaptive_avg_pool2d(x[:0], (2**62, 1)),
        lambda x: x.as_strided((-5,), (1,)),
        lambda x: x.as_strided((2, 2), (1,)),
        lambda x: x[:1, :1, :1, :1].expand(2**30, 2**30, 2**30, 1),
        lambda x: fovea.randperm(2, dtype=fovea.bool),
        lambda x: memory.strided.bind((x[..., ::2],), memory.RegionAttrs.of((2,), (9,), 0)),
        lambda x: memory.strided.bind((x[:1].expand(4, -1, -1, -1),), memory.RegionAttrs.of((1,), (1,), 90)),
        lambda x: memory.strided.bind((x,), memory.RegionAttrs.of((2, 2), (1,), 0)),
        lambda x: memory.strided.bind((x,), memory.RegionAttrs.of((-3,), (1,), 2)),
    ],
)  # fmt: skip
def test_what_fits_nothing_is_refused(call: Any) -> None:
    with pytest.raises(FoveaError):
        call(fovea.rand(2, 3, 4, 4))


def test_rows_without_elements_have_no_mean_but_a_gradient() -> None:
    x = fovea.zeros(3, 0, requires_grad=True)
    y, mean_, rstd = fovea.ops.norm.layer_norm(x, None, None, ndim=1, eps=1e-3)
    assert y.shape == (3, 0)
    (y.sum() + rstd.sum() + mean_.sum()).backward()
    assert x.grad.shape == (3, 0)


@pytest.mark.parametrize("dims", [(0,), (1,), (0, 1)])
def test_backward_through_a_product_of_nothing(dims: tuple[int, ...]) -> None:
    x = fovea.zeros(3, 0, requires_grad=True)
    prod(x, dims=dims, keepdim=False).sum().backward()
    assert x.grad.shape == (3, 0)


def test_too_few_tensors() -> None:
    with pytest.raises(FoveaError, match="sum takes 1 tensors, got 0"):
        sum_(dims=(0,), keepdim=False)
    with pytest.raises(FoveaError, match="conv2d: weight is required, got None"):
        fovea.ops.conv.conv2d(fovea.rand(1, 1, 3, 3), None, None, stride=(1, 1), padding=(0, 0, 0, 0),
                              dilation=(1, 1), groups=1)  # fmt: skip
