"""Batch normalization in training: residual and activation forward, their gradients backward."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import fovea
from fovea.graph import Graph, Node
from fovea.graph.passes.fuse_batch_norm import fuse_batch_norm
from fovea.ops.activation import hardtanh, hardtanh_grad, silu, silu_grad
from fovea.ops.conv import conv2d
from fovea.ops.elementwise import add, neg, relu, relu_grad
from fovea.ops.fused_norm import batch_norm_grad_fused, batch_norm_train_fused
from fovea.ops.norm import batch_norm_train, batch_norm_train_grad, batch_norm_update
from tests.graph.builder import Builder
from tests.graph.passes.compare import ops_of, transformed


def fused(graph: Graph) -> Graph:
    return transformed(graph, fuse_batch_norm, rtol=2e-5, atol=2e-5)


class Net(Builder):
    """Writes forward and backward of normalized layers."""

    def image(self) -> Any:
        return self.input(3, 8, 5, 4, nhwc=True)

    def norm(self, x: Any, affine: bool = True) -> Any:
        w, b = (self.state(fovea.rand(8) + 0.5) if affine else None for _ in range(2))
        y, mean, rstd, var = self(batch_norm_train, x, w, b, eps=1e-3)
        self.saved = (x, w, mean, rstd)
        self.var = var
        return y

    def grad(self, g: Any, saved: Any) -> Any:
        return self(batch_norm_train_grad, g, *saved, eps=1e-3)


def only(graph: Graph, op: Any) -> Node:
    (found,) = (node for node in graph.nodes if node.op is op)
    return found


def attrs(node: Node) -> Any:
    return node.attrs


@pytest.mark.parametrize("affine", [True, False])
def test_relu_and_its_gradient(affine: bool) -> None:
    n = Net()
    x = n.image()
    y = n.norm(x, affine)
    _, _, mean, _ = n.saved
    z = n(relu, y)
    running = n.state(fovea.zeros(8)), n.state(fovea.ones(8))
    new = n(batch_norm_update, *running, mean, n.var, momentum=0.1, correction=1.0)
    gx, gw, gb = n.grad(n(relu_grad, n.image(), z), n.saved)
    graph = n.graph(z, gx, gw, gb, updates=list(zip(running, new, strict=True)))
    after = fused(graph)
    assert ops_of(after) == ["batch_norm_train_fused", "batch_norm_update", "batch_norm_grad_fused"]
    backward = after.nodes[-1]
    assert backward.inputs[6] is None  # the slope comes from x, which is read anyway
    assert len(backward.outputs) == 3


def test_a_residual_block() -> None:
    """The gradient before the sum goes two ways: it is stored, its slope comes from the result."""
    n = Net()
    x, identity = n.image(), n.image()
    z = n(relu, n(add, n.norm(x), identity))
    g = n(relu_grad, n.image(), z)
    gx, gw, gb = n.grad(g, n.saved)
    after = fused(n.graph(z, gx, gw, gb, n(neg, g)))
    forward, backward, _ = after.nodes
    assert forward.op is batch_norm_train_fused and forward.inputs[3] is identity
    assert backward.op is batch_norm_grad_fused
    assert backward.inputs[6] is z and backward.outputs[3] is g


def test_two_normalizations_share_a_gradient() -> None:
    """As with a projection beside a block: the second reads what the first stored."""
    n = Net()
    shortcut = n.norm(n.image())
    second = n.saved
    z = n(relu, n(add, n.norm(n.image()), shortcut))
    g = n(relu_grad, n.image(), z)
    after = fused(n.graph(z, *n.grad(g, n.saved), *n.grad(g, second)))
    assert ops_of(after) == [
        "batch_norm_train", "batch_norm_train_fused", "batch_norm_grad_fused",
        "batch_norm_train_grad",
    ]  # fmt: skip
    assert after.nodes[3].inputs[0] is after.nodes[2].outputs[3]


def test_a_region_that_sums_gradients_takes_the_slope() -> None:
    n = Net()
    z = n(relu, n(add, n.norm(n.image()), n.image()))
    total = n(add, n.image(), n.image())
    g = n(relu_grad, total, z)
    after = fused(n.graph(z, *n.grad(g, n.saved), n(neg, g)))
    assert ops_of(after)[1:] == ["add", "relu_grad", "batch_norm_train_grad", "neg"]
    n = Net()
    z = n(relu, n.norm(n.image()))
    total = n(add, n.image(), n.image())
    after = fused(n.graph(z, *n.grad(n(relu_grad, total, z), n.saved)))
    assert ops_of(after)[1:] == ["add", "batch_norm_grad_fused"]  # not where x gives it


def test_a_sum_without_activation() -> None:
    n = Net()
    x, identity = n.image(), n.image()
    y = n(add, n.norm(x), identity)
    after = fused(n.graph(y, *n.grad(n.image(), n.saved)))
    assert ops_of(after) == ["batch_norm_train_fused", "batch_norm_train_grad"]


def test_slopes_that_want_what_the_activation_was_applied_to() -> None:
    """That value is not stored at all."""
    n = Net()
    y = n.norm(n.image())
    z = n(hardtanh, y, low=0.0, high=6.0)
    g = n(hardtanh_grad, n.image(), y, low=0.0, high=6.0)
    after = fused(n.graph(z, *n.grad(g, n.saved)))
    assert ops_of(after) == ["batch_norm_train_fused", "batch_norm_grad_fused"]
    assert len(after.nodes[1].outputs) == 3
    n = Net()
    y = n.norm(n.image())
    z = n(silu, y)
    after = fused(n.graph(z, *n.grad(n(silu_grad, n.image(), y), n.saved)))
    assert ops_of(after) == ["batch_norm_train_fused", "batch_norm_grad_fused"]
    assert attrs(after.nodes[1]).residual  # it takes long: made once, and stored


def test_what_is_read_elsewhere_stays() -> None:
    n = Net()
    y = n.norm(n.image())
    graph = n.graph(n(relu, y), y)
    assert fused(graph).nodes == graph.nodes
    n = Net()
    y = n.norm(n.image())
    g = n(silu_grad, n.image(), y)
    graph = n.graph(n(silu, y), *n.grad(g, n.saved), g)
    assert fused(graph).nodes == graph.nodes
    n = Net()
    y = n.norm(n.image())
    other = n.norm(n.image())
    graph = n.graph(n(silu, y), *n.grad(n(silu_grad, n.image(), y), n.saved), other)
    assert fused(graph).nodes == graph.nodes


def test_backward_alone() -> None:
    """Where forward is another program, the slope comes from its result."""
    n = Net()
    x, z = n.image(), n.image()
    w, mean, rstd = n.state(fovea.rand(8)), n.input(8), n.input(8)
    g = n(relu_grad, n.image(), z)
    after = fused(n.graph(*n.grad(g, (x, w, mean, rstd))))
    (node,) = after.nodes
    assert node.inputs[6] is z and len(node.outputs) == 3


def test_large_convolutions_gather_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    def graph() -> Graph:
        n = Net()
        x, w = n.image(), n.state(fovea.randn(8, 8, 3, 3) * 0.1)
        y = n(conv2d, x, w, None, stride=(1, 1), padding=(1, 1, 1, 1), dilation=(1, 1), groups=1)
        z = n(relu, n.norm(y))
        return n.graph(z, *n.grad(n(relu_grad, n.image(), z), n.saved), n.norm(n(neg, y)))

    assert "conv2d_moments" not in ops_of(fused(graph()))
    monkeypatch.setattr(sys.modules[fuse_batch_norm.__module__], "MOMENTS_FROM", 1)
    assert ops_of(fused(graph())) == [
        "conv2d_moments", "batch_norm_apply", "batch_norm_grad_fused", "neg", "batch_norm_train"
    ]  # fmt: skip
    n = Net()
    x, w = n.image(), n.state(fovea.randn(8, 8, 1, 1))
    y = n(conv2d, x, w, None, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1)
    after = fused(n.graph(n.norm(y), n.norm(y)))
    assert ops_of(after) == ["conv2d_moments", "batch_norm_apply", "batch_norm_train"]
