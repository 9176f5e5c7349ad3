"""Layers that learn their sizes: from the first input, or from a state."""

from __future__ import annotations

import pytest

import fovea
import fovea.nn as nn


def test_a_chain_learns_its_sizes_and_then_trains() -> None:
    fovea.manual_seed(0)
    net = nn.Sequential(
        nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)
    )
    x = fovea.randn(5, 3, 6, 6)
    assert net(x).shape == (5, 2)
    assert [type(m).__name__ for m in net] == ["Conv2d", "BatchNorm2d", "ReLU", "Flatten", "Linear"]
    assert net[0].in_channels == 3
    assert net[1].num_features == 4
    assert net[4].in_features == 64
    optimizer = fovea.optim.SGD(net.parameters(), lr=0.1)
    before = net(x).square().mean()
    before.backward()
    optimizer.step()
    assert net(x).square().mean().item() < before.item()


def test_parameters_keep_their_identity_and_get_first_values() -> None:
    layer = nn.LazyLinear(200)
    weight = layer.weight
    layer(fovea.ones(1, 300))
    assert layer.weight is weight
    assert type(weight) is nn.Parameter
    bound = 1 / 300**0.5
    assert 0.9 * bound < weight.abs().max().item() <= bound


def test_sizes_come_from_a_state() -> None:
    for lazy, other in (
        (nn.LazyConv1d(4, 3), nn.Conv1d(2, 4, 3)),
        (nn.LazyBatchNorm1d(), nn.BatchNorm1d(3)),
        (nn.LazyLinear(2, bias=False), nn.Linear(7, 2, bias=False)),
    ):
        lazy.load_state_dict(other.state_dict())
        assert not lazy.has_uninitialized_params()
        for key, value in other.state_dict().items():
            assert fovea.equal(lazy.state_dict()[key], value)


def test_types_are_kept() -> None:
    layer = nn.LazyLinear(2).double()
    assert layer(fovea.ones(1, 3, dtype=fovea.float64)).dtype is fovea.float64


def test_channels_that_groups_do_not_divide() -> None:
    with pytest.raises(ValueError, match="groups=2 must divide in_channels=3"):
        nn.LazyConv2d(4, 1, groups=2)(fovea.ones(1, 3, 2, 2))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_normalizations_like_those_with_given_sizes(rank: int) -> None:
    x = fovea.randn(2, 5, *(3,) * rank)
    for family in ("BatchNorm", "InstanceNorm"):
        given = getattr(nn, f"{family}{rank}d")(5, affine=True, track_running_stats=True)
        lazy = getattr(nn, f"Lazy{family}{rank}d")()
        assert fovea.equal(lazy(x), given(x))
        assert type(lazy) is type(given)
        assert fovea.equal(lazy.running_var, given.running_var)
    alone = getattr(nn, f"LazyInstanceNorm{rank}d")()
    assert alone(x[0]).shape == x[0].shape
    assert alone.num_features == 5
