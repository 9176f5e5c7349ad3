"""Autocast op by op: the dtypes that PyTorch's CPU autocast gives, and its values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

Array = np.ndarray[Any, Any]


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed + len(shape)).standard_normal(shape).astype(np.float32)


IMAGE, LABELS = numbers(2, 4, 6, 6), np.array([1, 0, 2])
ONE = np.ones(3, np.float32)
SIGNS = np.array([1, -1, 1], np.float32)

# name: (function of (the framework, its functional module, tensors), arrays)
CASES: dict[str, tuple[Callable[..., Any], tuple[Array, ...]]] = {
    # in the lower precision
    "matmul": (lambda t, f, a, b: a @ b, (numbers(3, 4), numbers(4, 5))),
    "matmul vector": (lambda t, f, a, b: t.matmul(a, b), (numbers(3, 4), numbers(4))),
    "mm": (lambda t, f, a, b: t.mm(a, b), (numbers(3, 4), numbers(4, 5))),
    "bmm": (lambda t, f, a, b: t.bmm(a, b), (numbers(2, 3, 4), numbers(2, 4, 5))),
    "addmm": (
        lambda t, f, c, a, b: t.addmm(c, a, b),
        (numbers(3, 5), numbers(3, 4), numbers(4, 5)),
    ),
    "baddbmm": (
        lambda t, f, c, a, b: t.baddbmm(c, a, b),
        (numbers(2, 3, 5), numbers(2, 3, 4), numbers(2, 4, 5)),
    ),
    "einsum": (
        lambda t, f, a, b: t.einsum("bij,bjk->bik", a, b),
        (numbers(2, 3, 4), numbers(2, 4, 5)),
    ),
    "linear": (
        lambda t, f, x, w, b: f.linear(x, w, b),
        (numbers(3, 4), numbers(5, 4), numbers(5)),
    ),
    "conv1d": (
        lambda t, f, x, w, b: f.conv1d(x, w, b, padding=1),
        (numbers(2, 4, 6), numbers(5, 4, 3), numbers(5)),
    ),
    "conv2d": (
        lambda t, f, x, w, b: f.conv2d(x, w, b, padding=1),
        (IMAGE, numbers(5, 4, 3, 3), numbers(5)),
    ),
    "conv2d same": (
        lambda t, f, x, w: f.conv2d(x, w, padding="same"),
        (IMAGE, numbers(5, 4, 3, 3)),
    ),
    "conv_transpose1d": (
        lambda t, f, x, w: f.conv_transpose1d(x, w),
        (numbers(2, 4, 6), numbers(4, 5, 3)),
    ),
    "conv_transpose2d": (
        lambda t, f, x, w, b: f.conv_transpose2d(x, w, b, stride=2),
        (IMAGE, numbers(4, 5, 3, 3), numbers(5)),
    ),
    "prelu": (lambda t, f, x, w: f.prelu(x, w), (IMAGE, numbers(4))),
    "scaled_dot_product_attention": (
        lambda t, f, q, k, v: f.scaled_dot_product_attention(q, k, v),
        (numbers(2, 3, 5, 4), numbers(2, 3, 6, 4), numbers(2, 3, 6, 4, seed=1)),
    ),
    "masked attention": (
        lambda t, f, q, k, v, m: f.scaled_dot_product_attention(q, k, v, m.detach()),
        (numbers(2, 3, 5, 4), numbers(2, 3, 6, 4), numbers(2, 3, 6, 4, seed=1), numbers(5, 6)),
    ),
    # in the type of the inputs
    "mv": (lambda t, f, a, b: t.mv(a, b), (numbers(3, 4), numbers(4))),
    "dot": (lambda t, f, a, b: t.dot(a, b), (numbers(4), numbers(4))),
    "outer": (lambda t, f, a, b: t.outer(a, b), (numbers(4), numbers(3))),
    "relu": (lambda t, f, x: f.relu(x), (IMAGE,)),
    "gelu": (lambda t, f, x: f.gelu(x), (IMAGE,)),
    "exp": (lambda t, f, x: x.exp(), (IMAGE,)),
    "softmax": (lambda t, f, x: f.softmax(x, 1), (IMAGE,)),
    "log_softmax": (lambda t, f, x: f.log_softmax(x, 1), (IMAGE,)),
    "sum": (lambda t, f, x: x.sum(1), (IMAGE,)),
    "mean": (lambda t, f, x: x.mean((2, 3)), (IMAGE,)),
    "cumsum": (lambda t, f, x: x.cumsum(1), (IMAGE,)),
    "norm": (lambda t, f, x: x.norm(2, 1), (IMAGE,)),
    "max_pool2d": (lambda t, f, x: f.max_pool2d(x, 2), (IMAGE,)),
    "avg_pool2d": (lambda t, f, x: f.avg_pool2d(x, 2), (IMAGE,)),
    "adaptive_avg_pool2d": (lambda t, f, x: f.adaptive_avg_pool2d(x, 1), (IMAGE,)),
    "constant pad": (lambda t, f, x: f.pad(x, (1, 1, 1, 1)), (IMAGE,)),
    "circular pad": (lambda t, f, x: f.pad(x, (1, 1, 1, 1), mode="circular"), (IMAGE,)),
    "interpolate": (lambda t, f, x: f.interpolate(x, scale_factor=2), (IMAGE,)),
    "batch_norm": (
        lambda t, f, x, m, v, w, b: f.batch_norm(x, m.detach(), v.detach().abs() + 1, w, b),
        (IMAGE, numbers(4), numbers(4), numbers(4), numbers(4)),
    ),
    "batch_norm in training": (
        lambda t, f, x, w, b: f.batch_norm(x, None, None, w, b, training=True),
        (IMAGE, numbers(4), numbers(4)),
    ),
    "layer_norm": (
        lambda t, f, x, w, b: f.layer_norm(x, (6,), w, b),
        (IMAGE, numbers(6), numbers(6)),
    ),
    "group_norm": (
        lambda t, f, x, w, b: f.group_norm(x, 2, w, b),
        (IMAGE, numbers(4), numbers(4)),
    ),
    "instance_norm": (
        lambda t, f, x, w, b: f.instance_norm(x, weight=w, bias=b),
        (IMAGE, numbers(4), numbers(4)),
    ),
    "normalize": (lambda t, f, x: f.normalize(x), (IMAGE,)),
    "cosine_similarity": (
        lambda t, f, a, b: f.cosine_similarity(a, b),
        (numbers(3, 4), numbers(3, 4, seed=1)),
    ),
    "pairwise_distance": (
        lambda t, f, a, b: f.pairwise_distance(a, b),
        (numbers(3, 4), numbers(3, 4, seed=1)),
    ),
    # in the widest type
    "add": (lambda t, f, a, b: a + b, (numbers(3, 4), numbers(3, 4, seed=1))),
    "where": (lambda t, f, a, b: t.where(a > 0, a, b), (numbers(3, 4), numbers(3, 4, seed=1))),
    "cat": (lambda t, f, a, b: t.cat([a, b]), (numbers(3, 4), numbers(3, 4, seed=1))),
    "stack": (lambda t, f, a, b: t.stack([a, b]), (numbers(3, 4), numbers(3, 4, seed=1))),
    # in float32
    "prod": (lambda t, f, x: x.prod(), (numbers(3),)),
    "prod along": (lambda t, f, x: t.prod(x, 1), (numbers(3, 4),)),
    "reflect pad": (lambda t, f, x: f.pad(x, (1, 1, 1, 1), mode="reflect"), (IMAGE,)),
    "replicate pad": (lambda t, f, x: f.pad(x, (1, 1, 1, 1), mode="replicate"), (IMAGE,)),
    "mse_loss": (lambda t, f, a, b: f.mse_loss(a, b), (numbers(3, 4), numbers(3, 4, seed=1))),
    "l1_loss": (lambda t, f, a, b: f.l1_loss(a, b), (numbers(3, 4), numbers(3, 4, seed=1))),
    "smooth_l1_loss": (
        lambda t, f, a, b: f.smooth_l1_loss(a, b),
        (numbers(3, 4), numbers(3, 4, seed=1)),
    ),
    "huber_loss": (
        lambda t, f, a, b: f.huber_loss(a, b, reduction="none"),
        (numbers(3, 4), numbers(3, 4, seed=1)),
    ),
    "kl_div": (
        lambda t, f, a, b: f.kl_div(a, b.abs(), reduction="sum"),
        (numbers(3, 4), numbers(3, 4, seed=1)),
    ),
    "soft_margin_loss": (lambda t, f, a, b: f.soft_margin_loss(a, b.detach()), (numbers(3), SIGNS)),
    "hinge_embedding_loss": (
        lambda t, f, a, b: f.hinge_embedding_loss(a, b),
        (numbers(3), SIGNS),
    ),
    "margin_ranking_loss": (
        lambda t, f, a, b, y: f.margin_ranking_loss(a, b, y),
        (numbers(3), numbers(3, seed=1), SIGNS),
    ),
    "cosine_embedding_loss": (
        lambda t, f, a, b, y: f.cosine_embedding_loss(a, b, y),
        (numbers(3, 4), numbers(3, 4, seed=1), SIGNS),
    ),
    "triplet_margin_loss": (
        lambda t, f, a, b, c: f.triplet_margin_loss(a, b, c),
        (numbers(3, 4), numbers(3, 4, seed=1), numbers(3, 4, seed=2)),
    ),
    "cross_entropy": (lambda t, f, x, y: f.cross_entropy(x, y), (numbers(3, 4), LABELS)),
    "smoothed cross_entropy": (
        lambda t, f, x, y: f.cross_entropy(x, y, label_smoothing=0.1),
        (numbers(3, 4), LABELS),
    ),
    "nll_loss": (lambda t, f, x, y: f.nll_loss(x, y), (numbers(3, 4), LABELS)),
    "binary_cross_entropy": (lambda t, f, x, y: f.binary_cross_entropy(x, y), (ONE / 3, ONE)),
    "binary_cross_entropy_with_logits": (
        lambda t, f, x, y: f.binary_cross_entropy_with_logits(x, y),
        (numbers(3), ONE),
    ),
}

# which inputs are in the lower precision
MIXES: dict[str, Callable[[int], bool]] = {
    "float32": lambda i: False,
    "lower": lambda i: True,
    "lower first": lambda i: i == 0,
}


def tensors(
    framework: Any, arrays: tuple[Array, ...], dtype: str, lowered: Callable[[int], bool]
) -> list[Any]:
    out = []
    for i, array in enumerate(arrays):
        t = framework.tensor(array)
        if array.dtype.kind == "f":
            t = (t.to(getattr(framework, dtype)) if lowered(i) else t).requires_grad_()
        out.append(t)
    return out


def wide(t: Any) -> Array:
    return np.asarray(t.detach().float().numpy())


def name_of(t: Any) -> str:
    return str(t.dtype).partition(".")[2]


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_dtype_and_values(name: str, mix: str, dtype: str) -> None:
    function, arrays = CASES[name]
    ours = tensors(fovea, arrays, dtype, MIXES[mix])
    theirs = tensors(torch, arrays, dtype, MIXES[mix])
    with torch.autocast("cpu", dtype=getattr(torch, dtype)):
        try:
            expected = function(torch, torch.nn.functional, *theirs)
        except (RuntimeError, NotImplementedError) as error:
            pytest.skip(f"PyTorch refuses: {str(error).splitlines()[0][:80]}")
    with fovea.autocast("cpu", dtype=getattr(fovea, dtype)):
        y = function(fovea, fovea.nn.functional, *ours)
    assert name_of(y) == name_of(expected)
    limit = 2e-2 if dtype == "bfloat16" else 4e-3
    scale = max(1.0, float(np.abs(wide(expected)).max()))
    np.testing.assert_allclose(wide(y), wide(expected), rtol=limit, atol=limit * scale)
    if expected.requires_grad:
        seed = numbers(*expected.shape, seed=3)
        expected.backward(torch.tensor(seed).to(expected.dtype))
        y.backward(fovea.tensor(seed).to(y.dtype))
        for x, t in zip(ours, theirs, strict=True):
            if t.grad is None:
                assert x.grad is None
                continue
            assert name_of(x.grad) == name_of(t.grad) == name_of(t)
            scale = max(1.0, float(np.abs(wide(t.grad)).max()))
            np.testing.assert_allclose(
                wide(x.grad), wide(t.grad), rtol=2 * limit, atol=2 * limit * scale
            )
