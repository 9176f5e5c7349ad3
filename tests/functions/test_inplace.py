"""Changes in place: values, gradients, what other views see, and what is refused."""

from __future__ import annotations

import pytest
import torch

import fovea
from fovea.errors import DTypeError, FoveaError, InplaceError


def both(change: str, *args: float, views: bool = False) -> None:
    """The gradient through a change of an intermediate tensor is PyTorch's."""
    grads = []
    for lib in (fovea, torch):
        x = lib.tensor([[0.2, 0.5, 0.7], [0.3, 0.1, 0.9]], requires_grad=True)
        y = x * 0.5 + 0.2
        part = y[0] if views else y
        assert getattr(part, change)(*args) is part
        (y * y).sum().backward()
        grads.append(torch.tensor(x.grad.tolist()))
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("views", [False, True])
@pytest.mark.parametrize(
    "change", ["erfinv_", "lgamma_", "digamma_", "logit_", "sinc_", "exp2_", "tan_", "log1p_"]
)
def test_gradients_of_unary_changes(change: str, views: bool) -> None:
    both(change, views=views)


@pytest.mark.parametrize(
    ("change", "args"),
    [
        ("clamp_min_", (0.4,)),
        ("nan_to_num_", ()),
        ("unsqueeze_", (0,)),
        ("t_", ()),
        ("transpose_", (0, 1)),
        ("cumsum_", (0,)),
        ("tril_", ()),
    ],
)
def test_gradients_of_other_changes(change: str, args: tuple[float, ...]) -> None:
    both(change, *args)


def test_other_views_see_the_change() -> None:
    x = fovea.arange(6.0).reshape(2, 3)
    row = x[1]
    x.sinc_()
    assert row.tolist() == x[1].tolist()
    row.cumsum_(0)
    assert x[1].tolist() == row.tolist()


def test_views_in_place_share_memory() -> None:
    x = fovea.zeros(2, 3)
    y = x.detach()
    y.t_().unsqueeze_(0)
    assert y.shape == (1, 3, 2)
    y[0, 2, 1] = 5.0
    assert x[1, 2] == 5.0


def test_comparisons_keep_the_type() -> None:
    x = fovea.tensor([1.0, 2.0, 3.0])
    assert x.gt_(1.5).tolist() == [0.0, 1.0, 1.0]
    assert x.dtype is fovea.float32


def test_refusals() -> None:
    leaf = fovea.ones(3, requires_grad=True)
    for change in ("sinc_", "unsqueeze_", "erf_"):
        with pytest.raises((InplaceError, TypeError)):
            getattr(leaf, change)(*([0] if change == "unsqueeze_" else []))
    with pytest.raises(DTypeError):
        fovea.ones(3, dtype=fovea.int64).sinc_()
    with pytest.raises(FoveaError):
        fovea.ones(3).addmm_(fovea.ones(2, 2), fovea.ones(2, 2))


def test_resize() -> None:
    x = fovea.arange(6)
    assert x.resize_(2, 2).tolist() == [[0, 1], [2, 3]]
    assert x.resize_(3, 3).reshape(-1)[:4].tolist() == [0, 1, 2, 3]


def test_draws() -> None:
    fovea.manual_seed(0)
    x = fovea.zeros(20000)
    assert abs(x.cauchy_(2.0, 3.0).median() - 2.0) < 0.2
    assert abs(x.log_normal_(0.5, 0.25).log().mean() - 0.5) < 0.02
    assert abs(x.geometric_(0.25).mean() - 4.0) < 0.15
    assert x.min() == 1.0
    assert fovea.zeros(3, dtype=fovea.int64).geometric_(0.5).dtype is fovea.int64


def test_fill_diagonal() -> None:
    for shape, wrap in (
        ((3, 3), False),
        ((7, 3), True),
        ((7, 3), False),
        ((2, 5), True),
        ((3, 3, 3), False),
    ):
        ours, theirs = fovea.zeros(*shape), torch.zeros(*shape)
        ours.fill_diagonal_(2.0, wrap)
        theirs.fill_diagonal_(2.0, wrap)
        assert ours.tolist() == theirs.tolist()
