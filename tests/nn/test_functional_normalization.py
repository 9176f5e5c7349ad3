"""Normalization against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from tests.nn.oracle import close, compare, rng, second_derivatives, torch

TF = torch.nn.functional
SHAPES = [(4, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 4)]


def arrays(shape: tuple[int, ...]) -> list[np.ndarray]:
    r = rng()
    c = (shape[1],)
    return [r.standard_normal(shape) * 3 + 1, r.standard_normal(c), r.standard_normal(c)]


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_in_training(shape: Any) -> None:
    compare(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        lambda x, w, b: TF.batch_norm(x, None, None, w, b, training=True),
        *arrays(shape),
    )
    x = arrays(shape)[0]
    compare(
        lambda x: F.batch_norm(x, None, None, training=True, eps=0.1),
        lambda x: TF.batch_norm(x, None, None, training=True, eps=0.1),
        x,
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_running_statistics(shape: Any, dtype: str) -> None:
    x, mean, var = arrays(shape)
    ours = [fovea.tensor(a.astype(dtype)) for a in (mean, np.abs(var))]
    theirs = [torch.tensor(a.astype(dtype)) for a in (mean, np.abs(var))]
    for i in range(3):
        batch = (x * (i + 1)).astype(dtype)
        y = F.batch_norm(fovea.tensor(batch), *ours, training=True, momentum=0.3)
        t = TF.batch_norm(torch.tensor(batch), *theirs, training=True, momentum=0.3)
        close(y, t, dtype)
    for a, b in zip(ours, theirs, strict=True):
        close(a, b, dtype)


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_in_evaluation(shape: Any) -> None:
    r = rng(3)
    mean, var = r.standard_normal(shape[1]), r.uniform(0.5, 2, shape[1])
    compare(
        lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b, eps=1e-3),
        lambda x, w, b, m, v: TF.batch_norm(x, m.detach(), v.detach(), w, b, eps=1e-3),
        *arrays(shape),
        mean,
        var,
        grads=False,
    )

    def ours(x: Any, w: Any, b: Any) -> Any:
        stats = [fovea.tensor(s).to(x.dtype) for s in (mean, var)]
        return F.batch_norm(x, *stats, w, b)

    def theirs(x: Any, w: Any, b: Any) -> Any:
        stats = [torch.tensor(s).to(x.dtype) for s in (mean, var)]
        return TF.batch_norm(x, *stats, w, b)

    compare(ours, theirs, *arrays(shape))


def test_batch_norm_keeps_channels_last() -> None:
    x = fovea.randn(2, 4, 5, 3).permute(0, 3, 1, 2)
    assert F.batch_norm(x, None, None, training=True).strides == x.strides


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_with_float32_parameters(dtype: str) -> None:
    kind = getattr(fovea, dtype)
    x = fovea.tensor(arrays((8, 3, 4, 4))[0].astype("float32")).to(kind)
    w, b = fovea.ones(3), fovea.zeros(3)
    full = F.batch_norm(x.float(), None, None, w, b, training=True)
    half = F.batch_norm(x, None, None, w, b, training=True)
    assert half.dtype is kind
    assert (half.float() - full).abs().max().item() < 0.02


def test_batch_norm_second_derivatives() -> None:
    x, w, b = arrays((3, 2, 2, 2))
    second_derivatives(lambda x, w, b: F.batch_norm(x, None, None, w, b, True), x, w, b)
    m, v = np.array([0.1, -0.2]), np.array([1.1, 0.7])
    second_derivatives(lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b), x, w, b, m, v)


@pytest.mark.parametrize(
    ("shape", "normalized"), [((4, 6), (6,)), ((2, 3, 4), (3, 4)), ((5,), (5,))]
)
def test_layer_norm(shape: Any, normalized: Any) -> None:
    r = rng()
    x, w, b = (r.standard_normal(s) for s in (shape, normalized, normalized))
    compare(
        lambda x, w, b: F.layer_norm(x, normalized, w, b),
        lambda x, w, b: TF.layer_norm(x, normalized, w, b),
        x,
        w,
        b,
    )
    compare(
        lambda x: F.layer_norm(x, normalized, eps=0.1),
        lambda x: TF.layer_norm(x, normalized, eps=0.1),
        x,
    )
    second_derivatives(lambda x, w, b: F.layer_norm(x, normalized, w, b), x, w, b)


@pytest.mark.parametrize(("shape", "groups"), [((2, 6, 4, 5), 3), ((2, 6, 7), 1), ((3, 4), 2)])
def test_group_norm(shape: Any, groups: int) -> None:
    x, w, b = arrays(shape)
    compare(
        lambda x, w, b: F.group_norm(x, groups, w, b),
        lambda x, w, b: TF.group_norm(x, groups, w, b),
        x,
        w,
        b,
    )


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5)])
def test_instance_norm(shape: Any) -> None:
    x, w, b = arrays(shape)
    compare(
        lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
        lambda x, w, b: TF.instance_norm(x, weight=w, bias=b),
        x,
        w,
        b,
    )
    ours = [fovea.zeros(3, dtype=fovea.float64), fovea.ones(3, dtype=fovea.float64)]
    theirs = [torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)]
    F.instance_norm(fovea.tensor(x), *ours, momentum=0.2)
    TF.instance_norm(torch.tensor(x), *theirs, momentum=0.2)
    for a, e in zip(ours, theirs, strict=True):
        close(a, e, "float64")


@pytest.mark.parametrize("size", [1, 2, 5])
def test_local_response_norm(size: int) -> None:
    x = rng().standard_normal((2, 6, 4, 3))
    options: Any = {"alpha": 0.3, "beta": 0.7, "k": 1.5}
    compare(
        lambda t: F.local_response_norm(t, size, **options),
        lambda t: TF.local_response_norm(t, size, **options),
        x,
    )


@pytest.mark.parametrize(("p", "dim"), [(2.0, 1), (1.0, -1), (3.0, (0, 2)), (float("inf"), 1)])
def test_normalize(p: float, dim: Any) -> None:
    x = rng().standard_normal((3, 4, 5))
    compare(lambda t: F.normalize(t, p, dim), lambda t: TF.normalize(t, p, dim), x)
