"""Blocks shared by networks, against torchvision's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision import ops


def draw(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape)


def compare(ours: Any, theirs: Any, x: np.ndarray[Any, Any]) -> None:
    """The same print, state, output and gradient, from torchvision's weights, in float64."""
    torch = pytest.importorskip("torch")
    assert repr(ours) == repr(theirs)
    theirs = theirs.double()
    state = {k: fovea.tensor(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(state)
    ours.double().load_state_dict(state)
    a, b = fovea.tensor(x).requires_grad_(), torch.tensor(x).requires_grad_()
    found, expected = ours(a), theirs(b)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), atol=1e-10)
    weights = draw(*expected.shape, seed=1)
    (found * fovea.tensor(weights)).sum().backward()
    (expected * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-10)


CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "stride, groups": {"kernel_size": 5, "stride": 2, "groups": 2},
    "dilation": {"kernel_size": (3, 5), "dilation": 2, "inplace": None},
    "sizes by dimension": {"kernel_size": 3, "dilation": (1, 2)},
    "bare": {"norm_layer": None, "activation_layer": None, "padding": 0},
    "bias": {"bias": True, "inplace": False},
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv_norm_activation(case: str, torchvision: Any) -> None:
    config = CONVOLUTIONS[case]
    theirs = torchvision.ops.Conv2dNormActivation(4, 6, **config)
    ours = ops.Conv2dNormActivation(4, 6, **config)
    assert ours.out_channels == 6
    compare(ours, theirs, draw(2, 4, 9, 8))


def test_squeeze_excitation(torchvision: Any) -> None:
    theirs = torchvision.ops.SqueezeExcitation(6, 2)
    compare(ops.SqueezeExcitation(6, 2), theirs, draw(2, 6, 3, 4))


@pytest.mark.parametrize("config", [{}, {"inplace": True, "bias": False}], ids=str)
def test_mlp(config: dict[str, Any], torchvision: Any) -> None:
    torch = pytest.importorskip("torch")
    theirs = torchvision.ops.MLP(4, [6, 3], norm_layer=torch.nn.LayerNorm, **config)
    compare(ops.MLP(4, [6, 3], norm_layer=nn.LayerNorm, **config), theirs, draw(2, 5, 4))


def test_permute(torchvision: Any) -> None:
    compare(ops.Permute([0, 2, 3, 1]), torchvision.ops.Permute([0, 2, 3, 1]), draw(2, 3, 4, 5))


def test_frozen_batch_norm(torchvision: Any) -> None:
    torch = pytest.importorskip("torch")
    theirs = torchvision.ops.FrozenBatchNorm2d(3)
    for buffer in theirs.buffers():
        buffer.copy_(torch.rand(3) + 0.5)
    ours = ops.FrozenBatchNorm2d(3)
    assert not list(ours.parameters())
    compare(ours, theirs, draw(2, 3, 4, 5))
    ours.load_state_dict(nn.BatchNorm2d(3).double().state_dict())  # with num_batches_tracked
    assert float(ours.running_var.sum()) == 3


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_stochastic_depth(mode: str) -> None:
    fovea.manual_seed(0)
    layer, x = ops.StochasticDepth(0.25, mode), fovea.ones(1000, 2, 3)
    rows = layer(x).numpy().reshape(1000, 6)
    assert (rows == rows[:, :1]).all()
    assert set(np.unique(rows)) <= {np.float32(0), np.float32(4 / 3)}
    if mode == "row":
        assert abs(rows.mean() - 1) < 0.1
        assert (rows[:, 0] == 0).any()
    else:
        assert len(np.unique(rows)) == 1
        drawn = [float(layer(x[:1]).max()) for _ in range(200)]
        assert 0.6 < np.count_nonzero(drawn) / 200 < 0.9
    assert layer.eval()(x) is x
    assert repr(layer) == f"StochasticDepth(p=0.25, mode={mode})"


def test_stochastic_depth_that_leaves_out_everything_has_no_nan() -> None:
    x = fovea.ones(3, 2).requires_grad_()
    y = ops.stochastic_depth(x, 1.0, "row")
    y.sum().backward()
    assert float(y.abs().max()) == float(x.grad.abs().max()) == 0  # type: ignore[union-attr]


def test_errors_of_stochastic_depth() -> None:
    with pytest.raises(ArgumentError, match=r"lie in \[0, 1\]"):
        ops.stochastic_depth(fovea.ones(1), 1.5, "row")
    with pytest.raises(ArgumentError, match="'batch' or 'row'"):
        ops.stochastic_depth(fovea.ones(1), 0.5, "column")
