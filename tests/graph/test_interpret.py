"""Graphs run op by op: like eager code, and without touching what they start from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from fovea import dtypes
from fovea.errors import GraphError
from fovea.graph import Constant, Value
from fovea.graph.interpret import interpret
from fovea.ops.conv import conv2d
from fovea.ops.elementwise import add, mul, relu
from fovea.ops.norm import batch_norm_train, batch_norm_update
from fovea.ops.op import Spec
from fovea.ops.optim import SgdAttrs, sgd_update
from fovea.ops.random import random_uniform
from fovea.ops.rearrange import flip
from fovea.ops.reduce import sum_
from fovea.ops.shape import expand, permute, slice_, view
from tests.graph.builder import Builder

CONV = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}


def test_a_block_and_its_running_statistics() -> None:
    b = Builder()
    x = b.input(4, 3, 5, 5, nhwc=True)
    w = b.state(fovea.randn(6, 3, 3, 3), "w")
    mean, var = b.state(fovea.zeros(6), "mean"), b.state(fovea.ones(6), "var")
    y = b(conv2d, x, w, None, **CONV)
    y, m, _, v = b(batch_norm_train, y, None, None, eps=1e-5)
    news = b(batch_norm_update, mean, var, m, v, momentum=0.1, correction=100 / 99)
    graph = b.graph(b(relu, y), updates=list(zip((mean, var), news, strict=True)))
    data = fovea.randn(4, 3, 5, 5)  # row-major: the graph wants channels-last
    (out,), (same_w, new_mean, new_var) = interpret(graph, [data])
    tensors = [s.tensor for s in graph.states]
    assert same_w.storage is tensors[0].storage
    assert tensors[1].tolist() == [0.0] * 6  # the real state is as it was
    running_mean, running_var = fovea.zeros(6), fovea.ones(6)
    expected = F.relu(
        F.batch_norm(
            F.conv2d(data, tensors[0], padding=1), running_mean, running_var, training=True
        )
    )
    assert fovea.equal(out, expected)
    assert fovea.equal(new_mean, running_mean)
    assert fovea.equal(new_var, running_var)
    _, (_, again, _) = interpret(graph, [data], [tensors[0], new_mean, new_var])
    assert fovea.allclose(again, new_mean * 1.9)


def test_random_numbers_advance_a_copy() -> None:
    b = Builder()
    generator = fovea.Generator().manual_seed(3)
    rng = b.state(generator.state, "rng")
    attrs = {"shape": (5,), "dtype": dtypes.float32, "low": 0.0, "high": 1.0}
    first, once = b(random_uniform, rng, **attrs)
    second, twice = b(random_uniform, once, **attrs)
    graph = b.graph(first, second, updates=[(rng, twice)])
    (u, v), (state,) = interpret(graph, [])
    assert fovea.equal(u, fovea.rand(5, generator=generator))
    assert fovea.equal(v, fovea.rand(5, generator=generator))
    assert fovea.equal(state, generator.state)
    (w, _), _ = interpret(graph, [], [state])
    assert fovea.equal(w, fovea.rand(5, generator=generator))


def test_an_optimizer_step() -> None:
    b = Builder()
    scalars = b.state(np.array([0.1, 0.0, 0.9, 0.0, 0.0]), "scalars")
    w, buffer = b.state(fovea.ones(3), "w"), b.state(fovea.zeros(3), "buffer")
    g = b.input(3)
    news = b.bind(sgd_update, (scalars, w, g, buffer), SgdAttrs.of("none", False, True))
    graph = b.graph(updates=list(zip((w, buffer), news, strict=True)))
    outputs, states = interpret(graph, [fovea.tensor([1.0, 2.0, 3.0])])
    assert outputs == ()
    assert fovea.allclose(states[1], fovea.tensor([0.9, 0.8, 0.7]))
    assert states[2].tolist() == [1.0, 2.0, 3.0]
    assert graph.states[1].tensor.tolist() == [1.0] * 3


def test_views_keep_their_strides() -> None:
    b = Builder()
    x = b.input(2, 3, 4)
    y = b(permute, x, dims=(2, 0, 1))
    z = b(slice_, y, start=(3, 0, 0), length=(2, 2, 3), step=(-2, 1, 1))
    e = b(expand, b(sum_, z, dims=(0,), keepdim=True), shape=(2, 2, 3))
    graph = b.graph(z, e, b(mul, z, e), b(view, z, shape=(2, 6)))
    data = fovea.randn(2, 3, 4)
    (out_z, out_e, out, flat), _ = interpret(graph, [data])
    array = data.numpy().transpose(2, 0, 1)[3:0:-2]
    total = array.sum(0, keepdims=True)
    assert out_z.strides == z.strides == (-2, 12, 4)
    assert out_z.storage is data.storage
    assert out_e.strides[0] == 0
    np.testing.assert_array_equal(out_z.numpy(), array)
    np.testing.assert_allclose(out.numpy(), array * total, rtol=1e-6)
    np.testing.assert_array_equal(flat.numpy(), array.reshape(2, 6))


def test_results_are_laid_out_as_declared() -> None:
    b = Builder()
    y = b(flip, b.input(2, 3), dims=(0,))
    turned = Value(Spec((2, 3), dtypes.float32, (1, 2)))
    graph = b.graph(y)
    node = dataclasses.replace(graph.nodes[0], outputs=(turned,))
    graph = graph.replace(nodes=(node,), outputs=(turned,))
    (out,), _ = interpret(graph, [fovea.arange(6.0).reshape(2, 3)])
    assert out.strides == (1, 2)
    assert out.tolist() == [[3, 4, 5], [0, 1, 2]]


def test_constants_lie_in_memory_order() -> None:
    b = Builder()
    value = Value(Spec((2, 3), dtypes.float32, (1, 2)))
    b.constants.append(Constant(value, np.arange(6, dtype=np.float32)))
    spread = Value(Spec((2, 3), dtypes.int64, (0, 1)))
    b.constants.append(Constant(spread, np.arange(3)))
    half = b.constant(0.5)
    (out, wide), _ = interpret(b.graph(b(add, value, half), spread), [])
    assert out.tolist() == [[0.5, 2.5, 4.5], [1.5, 3.5, 5.5]]
    assert wide.tolist() == [[0, 1, 2]] * 2


def test_updates_take_the_states_layout() -> None:
    b = Builder()
    w = b.state(fovea.ones(3, 2).t(), "w")
    new = b(add, w, b(relu, b.input(2, 3)))
    flat = b(view, b(relu, b.input(6)), shape=(2, 3))
    _, (state,) = interpret(b.graph(updates=[(w, flat)]), [fovea.ones(2, 3), fovea.arange(6.0)])
    assert state.strides == (1, 2)
    assert state.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert new.strides == (1, 2)


def test_nothing_is_recorded() -> None:
    b = Builder()
    w = b.state(fovea.ones(2, requires_grad=True), "w")
    (out,), _ = interpret(b.graph(b(mul, w, w)), [])
    assert not out.requires_grad
    assert fovea.is_grad_enabled()


def test_what_does_not_fit() -> None:
    b = Builder()
    x = b.input(2, 3)
    graph = b.graph(b(relu, x))
    with pytest.raises(GraphError, match="the graph has 1 inputs, got 0"):
        interpret(graph, [])
    with pytest.raises(
        GraphError, match=r"input 0 does not fit[^$]*f32\[2, 3\][^$]*float32 \(3, 2\)"
    ):
        interpret(graph, [fovea.ones(3, 2)])
    with pytest.raises(GraphError, match="float64"):
        interpret(graph, [fovea.ones(2, 3, dtype=fovea.float64)])
    b.state(fovea.ones(2))
    with pytest.raises(GraphError, match="state 0 does not fit"):
        interpret(b.graph(), [fovea.ones(2, 3)], [fovea.ones(3)])
