"""Convolutions and normalizations that finish their results."""

from __future__ import annotations

from typing import Any

import pytest

import fovea
from fovea import dtypes
from fovea.graph import Graph, Node
from fovea.graph.passes.fuse_contractions import fuse_contractions
from fovea.ops.activation import gelu, hardtanh, silu
from fovea.ops.conv import conv2d
from fovea.ops.elementwise import add, exp, neg, relu
from fovea.ops.fused import conv2d_fused
from fovea.ops.fused_norm import batch_norm_apply
from fovea.ops.norm import batch_norm_infer, batch_norm_update
from fovea.ops.shape import expand
from tests.graph.builder import Builder
from tests.graph.passes.compare import ops_of, transformed

CONV = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}


def fused(graph: Graph) -> Graph:
    return transformed(graph, fuse_contractions, rtol=2e-5, atol=2e-5)


class Net(Builder):
    """Writes networks by the layer."""

    def image(self, channels: int = 4, **more: Any) -> Any:
        return self.input(2, channels, 6, 5, nhwc=True, **more)

    def conv(self, x: Any, outputs: int = 4, *, bias: bool = True, **more: Any) -> Any:
        groups = more.get("groups", 1)
        weight = self.state(fovea.randn(outputs, x.shape[1] // groups, 3, 3) * 0.3)
        b = self.state(fovea.randn(outputs)) if bias else None
        return self(conv2d, x, weight, b, **{**CONV, **more})

    def norm(self, x: Any, *, affine: bool = True, axis: int = 1) -> Any:
        n = x.shape[axis]
        mean, var = self.state(fovea.randn(n)), self.state(fovea.rand(n) + 0.5)
        w, b = (self.state(fovea.randn(n)) if affine else None for _ in range(2))
        return self(batch_norm_infer, x, mean, var, w, b, eps=1e-3, axis=axis)


def only(graph: Graph, op: Any) -> Node:
    (found,) = (node for node in graph.nodes if node.op is op)
    return found


@pytest.mark.parametrize("bias", [False, True])
def test_activation_of_a_convolution(bias: bool) -> None:
    n = Net()
    y = n(hardtanh, n.conv(n.image(), bias=bias), low=0.0, high=6.0)
    (node,) = fused(n.graph(y)).nodes
    assert node.op is conv2d_fused and node.outputs == (y,)
    assert node.attrs.activation == ("hardtanh", (0.0, 6.0))  # type: ignore[union-attr]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_given_statistics_become_scale_and_bias(affine: bool, bias: bool) -> None:
    n = Net()
    y = n(relu, n.norm(n.conv(n.image(), 8, bias=bias, groups=4), affine=affine))
    after = fused(n.graph(y))
    node = after.nodes[-1]
    assert node.op is conv2d_fused and node.inputs[2] is not None and node.inputs[3] is not None
    assert all(v.shape in ((8,), ()) for node in after.nodes[:-1] for v in node.outputs)


def test_a_residual_block() -> None:
    n = Net()
    x = n.image()
    h = n(relu, n.norm(n.conv(x, bias=False)))
    y = n(relu, n(add, n.norm(n.conv(h, bias=False)), x))
    after = fused(n.graph(y))
    first, second = (node for node in after.nodes if node.op is conv2d_fused)
    assert len(after.nodes) == 2 + 2 * 5
    assert first.inputs[4] is None and second.inputs[4] is x
    assert not second.attrs.residual_after  # type: ignore[union-attr]


def test_a_residual_after_the_activation() -> None:
    n = Net()
    x = n.image()
    y = n(add, x, n(silu, n.conv(x)))
    (node,) = fused(n.graph(y)).nodes
    assert node.attrs.residual_after and node.attrs.activation == ("silu", ())  # type: ignore[union-attr]


def test_both_branches_of_a_sum() -> None:
    """One takes the sum, with the other's result as its residual."""
    n = Net()
    x = n.image()
    y = n(relu, n(add, n.conv(x), n.conv(x)))
    after = fused(n.graph(y))
    assert ops_of(after) == ["conv2d", "conv2d_fused"]
    assert after.nodes[1].inputs[4] is after.nodes[0].outputs[0]


def test_what_is_needed_elsewhere_is_stored() -> None:
    n = Net()
    y = n.conv(n.image())
    graph = n.graph(n(relu, y), y)
    assert ops_of(fused(graph)) == ["conv2d", "relu"]
    n = Net()
    y = n.conv(n.image())
    graph = n.graph(n(add, n(relu, y), n(neg, y)))
    assert "conv2d_fused" not in ops_of(fused(graph))


def test_what_does_not_fit_follows() -> None:
    n = Net()
    x = n.image()
    two = n(relu, n(gelu, n.conv(x), approximate="none"))
    wide = n(add, n.conv(x), n(expand, n.input(1, 4, 1, 1), shape=(1, 4, 6, 5)))
    plain = n(exp, n.conv(x))
    across = n.norm(n.conv(x), axis=2)
    twice = n.norm(n.norm(n.conv(x)))
    same = n.conv(x)
    double = n(add, same, same)
    after = fused(n.graph(two, wide, plain, across, twice, double))
    assert ops_of(after).count("conv2d_fused") == 2  # gelu's, the first normalization's
    for name in ("relu", "exp", "add", "batch_norm_infer"):
        assert name in ops_of(after)


def test_a_normalization_before_a_convolution() -> None:
    n = Net()
    x = n.image()
    y = n.conv(n(relu, n.norm(x)))
    after = fused(n.graph(y))
    node = only(after, batch_norm_apply)
    assert ops_of(after) == ["batch_norm_apply", "conv2d"]
    assert node.attrs.variance and node.attrs.eps == 1e-3  # type: ignore[union-attr]
    n = Net()
    x = n.image()
    after = fused(n.graph(n(add, n(relu, n.norm(x, axis=3)), x)))
    assert ops_of(after) == ["batch_norm_apply"]


def test_narrow_types() -> None:
    n = Net()
    x = n.image(dtype=dtypes.bfloat16)
    w = n.state(fovea.randn(4, 4, 3, 3).bfloat16())
    y = n(conv2d, x, w, n.state(fovea.randn(4).bfloat16()), **CONV)
    y = n(relu, n.norm(y))
    graph = n.graph(y)
    after = transformed(graph, fuse_contractions, rtol=2e-2, atol=2e-2)
    node = only(after, conv2d_fused)
    assert node.inputs[3] is not None and node.inputs[3].dtype is dtypes.float32


def test_changing_statistics_are_read_in_time() -> None:
    """A convolution that waits for its residual must not read a state that changed meanwhile."""
    n = Net()
    x = n.image()
    mean, var = n.state(fovea.randn(4)), n.state(fovea.rand(4) + 0.5)
    y = n(batch_norm_infer, n.conv(x), mean, var, None, None, eps=1e-5)
    m, v = n.input(4), n.input(4)
    new_mean, new_var = n(batch_norm_update, mean, var, m, v, momentum=0.1, correction=1.0)
    z = n(relu, n(add, y, x))
    fused(n.graph(z, updates=[(mean, new_mean), (var, new_var)]))
