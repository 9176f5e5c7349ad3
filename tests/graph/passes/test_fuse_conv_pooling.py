"""Convolutions that take in the pooling of their results."""

from __future__ import annotations

from typing import Any

import pytest

import fovea
from fovea.graph import Graph
from fovea.graph.passes.fuse_contractions import fuse_contractions
from fovea.graph.passes.fuse_conv_pooling import fuse_conv_pooling
from fovea.ops.conv import conv2d
from fovea.ops.elementwise import add, neg, relu
from fovea.ops.norm import batch_norm_infer
from fovea.ops.pool import max_pool2d
from tests.graph.builder import Builder
from tests.graph.passes.compare import ops_of, transformed

CONV = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}
POOL = {
    "kernel": (2, 2),
    "stride": (2, 2),
    "padding": (0,) * 4,
    "dilation": (1, 1),
    "ceil_mode": False,
}


class Net(Builder):
    """Writes networks by the layer."""

    def conv(self, x: Any, outputs: int = 5) -> Any:
        weight = self.state(fovea.randn(outputs, x.shape[1], 3, 3) * 0.3)
        return self(conv2d, x, weight, self.state(fovea.randn(outputs)), **CONV)

    def image(self) -> Any:
        return self.input(2, 3, 7, 6, nhwc=True)

    def pool(self, x: Any, **more: Any) -> Any:
        return self(max_pool2d, x, **{**POOL, **more})


def fused(graph: Graph) -> Graph:
    return transformed(
        graph, lambda g: fuse_conv_pooling(fuse_contractions(g)), rtol=2e-5, atol=2e-5
    )


@pytest.mark.parametrize("window", [{}, {"kernel": (3, 2), "stride": (4, 2)}])
def test_a_convolution_and_what_follows(window: Any) -> None:
    n = Net()
    y = n.pool(n(relu, n.conv(n.image())), **window)
    (node,) = fused(n.graph(y)).nodes
    assert node.op.name == "conv2d_max_pool" and node.outputs == (y,)
    assert node.attrs.activation == ("relu", ())  # type: ignore[union-attr]


def test_a_bare_convolution() -> None:
    n = Net()
    assert ops_of(fused(n.graph(n.pool(n.conv(n.image()))))) == ["conv2d_max_pool"]


def test_a_normalization_with_negative_scales() -> None:
    n = Net()
    mean, var, w, b = (
        n.state(t) for t in (fovea.randn(5), fovea.rand(5), -fovea.ones(5), fovea.randn(5))
    )
    y = n(relu, n(batch_norm_infer, n.conv(n.image()), mean, var, w, b, eps=1e-3, axis=1))
    assert ops_of(fused(n.graph(n.pool(y))))[-1] == "conv2d_max_pool"


def test_one_after_the_other() -> None:
    n = Net()
    y = n.pool(n(relu, n.conv(n.pool(n(relu, n.conv(n.image()))))), kernel=(1, 1), stride=(1, 1))
    assert ops_of(fused(n.graph(y))) == ["conv2d_max_pool"] * 2


@pytest.mark.parametrize(
    "window",
    [
        {"kernel": (3, 3)},  # overlap
        {"padding": (1, 1, 1, 1)},
        {"dilation": (2, 2), "stride": (3, 3)},
        {"ceil_mode": True},
        {"kernel": (5, 5), "stride": (5, 5)},  # too large
    ],
)
def test_windows_that_do_not_fit(window: Any) -> None:
    n = Net()
    y = n.pool(n(relu, n.conv(n.image())), **window)
    assert ops_of(fused(n.graph(y))) == ["conv2d_fused", "max_pool2d"]


def test_what_is_needed_elsewhere_is_stored() -> None:
    n = Net()
    x = n(relu, n.conv(n.image()))
    assert ops_of(fused(n.graph(n.pool(x), x))) == ["conv2d_fused", "max_pool2d"]
    n = Net()
    x = n(relu, n.conv(n.image()))
    assert "max_pool2d" in ops_of(fused(n.graph(n.pool(x), n(neg, x))))


def test_a_residual_is_added_first() -> None:
    n = Net()
    x = n.image()
    y = n.pool(n(relu, n(add, n.conv(x, 3), x)))
    assert ops_of(fused(n.graph(y))) == ["conv2d_fused", "max_pool2d"]
