"""Losses against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from fovea.errors import LabelError, ShapeError
from tests.nn.oracle import Array, compare, rng, second_derivatives, torch

TF = torch.nn.functional
REDUCTIONS = ["mean", "sum", "none"]


def logits(shape: tuple[int, ...] = (5, 4)) -> Array:
    return rng().standard_normal(shape) * 2


def labels(shape: tuple[int, ...], classes: int, ignored: int | None = None) -> Array:
    out = rng(1).integers(0, classes, shape)
    if ignored is not None and out.size:
        out.flat[0] = out.flat[-1] = ignored
    return out


def both(name: str, *arrays: Array, **options: Any) -> None:
    ours, theirs = getattr(F, name), getattr(TF, name)
    compare(lambda *t: ours(*t, **options), lambda *t: theirs(*t, **options), *arrays)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(5, 4), (2, 4, 3), (2, 4, 3, 2), (4,)])
@pytest.mark.parametrize("ignored", [None, -100, 2])
def test_labels(name: str, reduction: str, shape: Any, ignored: int | None) -> None:
    x = logits(shape)
    t = labels(() if len(shape) == 1 else (shape[0], *shape[2:]), 4, ignored)
    options: Any = {"reduction": reduction}
    if ignored is not None:
        options["ignore_index"] = ignored
    both(name, x, t, **options)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ignored", [None, -100])
def test_class_weights(name: str, reduction: str, ignored: int | None) -> None:
    x, t, w = logits((3, 4, 2)), labels((3, 2), 4, ignored), rng(2).uniform(0.2, 2, 4)

    def call(f: Any) -> Any:
        return lambda x, t, w: f(x, t, w.detach(), reduction=reduction)

    compare(call(getattr(F, name)), call(getattr(TF, name)), x, t, w)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [None, -100])
def test_label_smoothing(reduction: str, weighted: bool, ignored: int | None) -> None:
    x, t, w = logits((3, 4, 2)), labels((3, 2), 4, ignored), rng(2).uniform(0.2, 2, 4)

    def call(f: Any) -> Any:
        return lambda x, t, w: f(
            x, t, w.detach() if weighted else None, reduction=reduction, label_smoothing=0.2
        )

    compare(call(F.cross_entropy), call(TF.cross_entropy), x, t, w)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(5, 4), (2, 4, 3), (4,)])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_soft_targets(reduction: str, shape: Any, smoothing: float) -> None:
    t = rng(1).random(shape)
    both("cross_entropy", logits(shape), t, reduction=reduction, label_smoothing=smoothing)


def test_soft_targets_with_class_weights() -> None:
    x, t, w = logits((3, 4, 2)), rng(1).random((3, 4, 2)), rng(2).uniform(0.2, 2, 4)

    def call(f: Any) -> Any:
        return lambda x, t, w: f(x, t, w.detach())

    compare(call(F.cross_entropy), call(TF.cross_entropy), x, t, w)


def test_no_label_counts() -> None:
    both("cross_entropy", logits(), np.full(5, -100))
    both("cross_entropy", logits(), np.full(5, -100), reduction="sum")
    both("cross_entropy", np.zeros((0, 4)), np.zeros(0, np.int64), reduction="sum")


def test_large_logits_do_not_overflow() -> None:
    both("cross_entropy", np.array([[1e4, -1e4, 0.0]]), np.array([1]))
    both("cross_entropy", np.array([[-np.inf, 0.0, 1.0]]), np.array([1]))


def test_channels_last_logits() -> None:
    x, t = logits((2, 3, 3, 4)), labels((2, 3, 3), 4)

    def call(f: Any) -> Any:
        return lambda x, t: f(x.permute(0, 3, 1, 2), t)

    compare(call(F.cross_entropy), call(TF.cross_entropy), x, t)


def test_cross_entropy_second_derivatives() -> None:
    t = fovea.tensor([0, 2, -100])
    second_derivatives(lambda x: F.cross_entropy(x, t), logits((3, 4)))
    second_derivatives(lambda x: F.cross_entropy(x, t, reduction="none"), logits((3, 4)))
    second_derivatives(lambda x: F.nll_loss(x.square(), t), logits((3, 4)))


@pytest.mark.parametrize(
    ("wrong", "position"), [([0, 4, 1], "1"), ([0, 1, -1], "2"), ([[0, 1], [2, 9]], "(1, 1)")]
)
def test_labels_out_of_range(wrong: Any, position: str) -> None:
    t = fovea.tensor(wrong)
    x = fovea.randn(t.shape[0], 4, *t.shape[1:], requires_grad=True)
    for f in (F.cross_entropy, F.nll_loss):
        with pytest.raises(LabelError, match="none of 4 classes") as info:
            f(x, t)
        assert f"at position {position} " in str(info.value)
    assert isinstance(info.value, IndexError)


def test_targets_that_do_not_fit() -> None:
    x = fovea.randn(3, 4)
    with pytest.raises(ShapeError, match=r"target must have shape \(3,\), got \(3, 1\)"):
        F.cross_entropy(x, fovea.zeros(3, 1, dtype=fovea.int64))
    with pytest.raises(TypeError, match="int64 class labels"):
        F.cross_entropy(x, fovea.zeros(3))
    with pytest.raises(ShapeError, match="4 classes"):
        F.cross_entropy(x, fovea.zeros(3, dtype=fovea.int64), weight=fovea.ones(3))


# -- regression --------------------------------------------------------------------------------

PAIRS: list[tuple[str, dict[str, Any]]] = [
    ("mse_loss", {}),
    ("l1_loss", {}),
    ("smooth_l1_loss", {}),
    ("smooth_l1_loss", {"beta": 0.3}),
    ("smooth_l1_loss", {"beta": 0}),
    ("huber_loss", {}),
    ("huber_loss", {"delta": 0.4}),
    ("kl_div", {"log_target": True}),
]


@pytest.mark.parametrize(("name", "options"), PAIRS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_pairs(name: str, options: dict[str, Any], reduction: str) -> None:
    r = rng()
    x, t = r.standard_normal((3, 4)) * 2, r.standard_normal((3, 4)) * 2
    both(name, x, t, reduction=reduction, **options)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_soft_margin_loss(reduction: str) -> None:
    x, t = rng().standard_normal((3, 4)) * 2, np.sign(rng(1).standard_normal((3, 4)))
    both("soft_margin_loss", x, t.astype(np.int64), reduction=reduction)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_element_weights(name: str, reduction: str) -> None:
    r = rng()
    x, t, w = r.standard_normal((3, 4)), r.standard_normal((3, 4)), r.random((3, 4))
    ours, theirs = getattr(F, name), getattr(TF, name)
    compare(
        lambda x, t, w: ours(x, t, reduction=reduction, weight=w),
        lambda x, t, w: theirs(x, t, reduction=reduction, weight=w),
        x,
        t,
        w,
    )


@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
def test_kl_div(reduction: str) -> None:
    r = rng()
    x, t = np.log(r.random((3, 4))), r.random((3, 4))
    both("kl_div", x, t, reduction=reduction)
    t[0, 1] = 0.0

    def call(f: Any) -> Any:
        return lambda x, t: f(x, t.detach(), reduction=reduction)

    compare(call(F.kl_div), call(TF.kl_div), x, t)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy(reduction: str) -> None:
    r = rng()
    x, t, w = r.random((3, 4)), r.random((3, 4)), r.random((3, 4))
    both("binary_cross_entropy", x, t, reduction=reduction)

    def call(f: Any) -> Any:
        return lambda x, t, w: f(x, t, w.detach(), reduction=reduction)

    compare(call(F.binary_cross_entropy), call(TF.binary_cross_entropy), x, t, w)
    edges, hard = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])

    def fixed(f: Any) -> Any:
        return lambda x, t: f(x, t.detach(), reduction=reduction)

    functions = fixed(F.binary_cross_entropy), fixed(TF.binary_cross_entropy)
    compare(*functions, edges, hard, dtypes=("float32",))  # PyTorch's 1e-12 is a float32


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy_with_logits(reduction: str) -> None:
    r = rng()
    x, t = r.standard_normal((3, 4)) * 4, r.random((3, 4))
    x[0, :2], x[1, :2] = 0.0, (400.0, -400.0)
    both("binary_cross_entropy_with_logits", x, t, reduction=reduction)

    def call(f: Any) -> Any:
        return lambda x, t, w, p: f(x, t, w.detach(), reduction=reduction, pos_weight=p.detach())

    name = "binary_cross_entropy_with_logits"
    compare(call(getattr(F, name)), call(getattr(TF, name)), x, t, r.random((3, 4)), r.random(4))


def test_binary_cross_entropy_wants_probabilities() -> None:
    with pytest.raises(ValueError, match=r"they leave \[0, 1\]"):
        F.binary_cross_entropy(fovea.tensor([1.5]), fovea.tensor([1.0]))


def test_binary_second_derivatives() -> None:
    r = rng()
    x, t = r.uniform(0.2, 0.8, (2, 3)), r.uniform(0.2, 0.8, (2, 3))
    second_derivatives(F.binary_cross_entropy, x, t)
    second_derivatives(F.binary_cross_entropy_with_logits, x * 4 - 2, t)


NAMES = [
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "kl_div",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "soft_margin_loss",
    "hinge_embedding_loss",
]


@pytest.mark.parametrize("name", NAMES)
def test_losses_do_not_broadcast(name: str) -> None:
    x, t = fovea.rand(4, 1), fovea.rand(4)
    with pytest.raises(ShapeError, match="different shapes") as info:
        getattr(F, name)(x, t)
    assert "target.reshape(input.shape)" in str(info.value)
    assert "float32 (4, 1)" in str(info.value)


@pytest.mark.parametrize("name", ["mse_loss", "cross_entropy"])
def test_unknown_reduction(name: str) -> None:
    x = fovea.rand(2, 3)
    with pytest.raises(ValueError, match="reduction must be 'mean', 'sum' or 'none', got 'avg'"):
        getattr(F, name)(x, x, reduction="avg")


def test_old_reduction_flags() -> None:
    x, t = fovea.rand(2, 3), fovea.rand(2, 3)
    with pytest.warns(UserWarning, match="reduction='sum'"):
        assert F.mse_loss(x, t, size_average=False).item() == pytest.approx(
            F.mse_loss(x, t, reduction="sum").item()
        )
    with pytest.warns(UserWarning, match="reduction='none'"):
        assert F.mse_loss(x, t, reduce=False).shape == (2, 3)


# -- embeddings --------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_pairs_of_embeddings(reduction: str) -> None:
    r = rng()
    a, b, c = (r.standard_normal((5, 4)) for _ in range(3))
    sign = np.array([1, -1, 1, -1, -1])
    both("cosine_embedding_loss", a, b, sign, margin=0.1, reduction=reduction)
    both("margin_ranking_loss", a, b, np.sign(c), margin=0.2, reduction=reduction)
    both("hinge_embedding_loss", a, np.sign(c), margin=0.7, reduction=reduction)
    both("triplet_margin_loss", a, b, c, reduction=reduction)
    both("triplet_margin_loss", a, b, c, p=1.0, margin=2.0, swap=True, reduction=reduction)


@pytest.mark.parametrize(("shape", "dim"), [((5, 4), 1), ((2, 3, 4), -1), ((2, 3, 4), 0)])
def test_cosine_similarity(shape: Any, dim: int) -> None:
    r = rng()
    both("cosine_similarity", r.standard_normal(shape), r.standard_normal(shape), dim=dim)


def test_pairwise_distance() -> None:
    r = rng()
    a, b = r.standard_normal((5, 4)), r.standard_normal((5, 4))
    both("pairwise_distance", a, b)
    both("pairwise_distance", a, b, p=1.0, keepdim=True)
