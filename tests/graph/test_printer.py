"""Graphs as text."""

from __future__ import annotations

import numpy as np
import pytest

from fovea import dtypes
from fovea.errors import ShapeError
from fovea.graph import Graph, Node, Source
from fovea.graph.printer import format_graph, format_type, value_names
from fovea.ops.conv import conv2d
from fovea.ops.elementwise import add, cast, relu
from fovea.ops.norm import batch_norm_train, batch_norm_update
from fovea.ops.optim import SgdAttrs, sgd_update
from fovea.ops.random import random_uniform
from fovea.ops.reduce import sum_
from fovea.ops.shape import permute, view
from fovea.size import Size
from tests.graph.builder import Builder

CONV = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}


def test_a_network() -> None:
    b = Builder()
    x = b.input(8, 3, 32, 32, name="x", nhwc=True)
    w = b.state(np.zeros((64, 3, 3, 3), np.float32), "conv1.weight")
    half = b.constant(0.5)
    b.source = Source("/home/me/train.py", 41, "conv1")
    y = b(conv2d, x, w, None, **CONV)
    b.source = Source("/home/me/train.py", 43)
    y = b(relu, b(add, y, half))
    b.source = Source("", 0, "conv1", backward=True)
    z = b(cast, b(sum_, y, dims=(2, 3), keepdim=False), dtype=dtypes.bfloat16, name="logits")

    def comment(line: str, text: str) -> str:
        return f"  {line:<72}  # {text}\n"

    assert str(b.graph(z, y)) == (
        "graph(%x f32[8, 3, 32, 32]nhwc)\n"
        "  state conv1.weight f32[64, 3, 3, 3]\n"
        "  constant %c0 f32[] = 0.5\n"
        "  %0 f32[8, 64, 32, 32]nhwc = conv2d(%x, conv1.weight, None, stride=(1, 1), "
        "padding=(1, 1, 1, 1), dilation=(1, 1), groups=1)  # conv1 train.py:41\n"
        + comment("%1 f32[8, 64, 32, 32]nhwc = add(%0, %c0)", "train.py:43")
        + comment("%2 f32[8, 64, 32, 32]nhwc = relu(%1)", "train.py:43")
        + comment("%3 f32[8, 64] = sum(%2, dims=(2, 3), keepdim=False)", "conv1 backward")
        + comment("%logits bf16[8, 64] = cast(%3, dtype=bfloat16)", "conv1 backward")
        + "  return %logits, %2"
    )


def test_changed_states_have_a_prime() -> None:
    b = Builder()
    x = b.input(8, 4, 3, 3, name="x")
    mean, var = b.state(np.zeros(4, np.float32), "mean"), b.state(np.ones(4, np.float32), "var")
    y, m, _, v = b(batch_norm_train, x, None, None, eps=1e-5)
    new_mean, new_var = b(batch_norm_update, mean, var, m, v, momentum=0.1, correction=1.0)
    text = str(b.graph(y, updates=[(mean, new_mean), (var, new_var)]))
    assert "  mean', var' = batch_norm_update(mean, var, %1, %3, momentum=0.1" in text
    assert text.endswith("return %0\n  update mean = mean'\n  update var = var'")
    state = b.state(np.zeros(2, np.int64), "rng")
    attrs = {"shape": (2,), "dtype": dtypes.float32, "low": 0.0, "high": 1.0}
    _, once = b(random_uniform, state, **attrs)
    _, twice = b(random_uniform, once, **attrs)
    assert "%5 f32[2], rng'' = random_uniform(rng'," in str(b.graph(updates=[(state, twice)]))


def test_long_lists_of_operands_are_cut() -> None:
    b = Builder()
    scalars = b.state(np.zeros(5), "scalars")
    params = [b.state(np.zeros(2, np.float32), f"p{i}") for i in range(20)]
    grads = [b.input(2) for _ in range(20)]
    b.bind(sgd_update, (scalars, *params, *grads), SgdAttrs.of("none", False))
    line = str(b.graph()).splitlines()[-2]
    assert "p11', ... 8 more = sgd_update(scalars, p0," in line
    assert "p10, ... 29 more, decay='none'" in line
    assert "p19', " not in line
    assert "p19' = sgd_update(" in format_graph(b.graph(), most_operands=None)


def test_layouts() -> None:
    b = Builder()
    x = b.input(2, 3, 4, 5)
    assert format_type(x) == "f32[2, 3, 4, 5]"
    assert format_type(b(permute, x, dims=(0, 3, 1, 2))) == "f32[2, 5, 3, 4]nhwc"
    assert format_type(b(permute, x, dims=(3, 2, 1, 0))) == "f32[5, 4, 3, 2]{1, 5, 20, 60}"
    assert format_type(b(view, x, shape=(1, 6, 1, 20))) == "f32[1, 6, 1, 20]"
    assert format_type(b.input(dtype=dtypes.uint8)) == "u8[]"
    assert format_type(b.input(0, 3, strides=(7, 9))) == "f32[0, 3]"


def test_sizes_print_as_tuples() -> None:
    b = Builder()
    x = b.input(13, 17)
    assert "shape=(221,)" in str(b.graph(b(view, x, shape=Size((221,)))))
    with pytest.raises(ShapeError, match=r"shape \(17, 12\) needs 204"):
        b(view, x, shape=Size((17, 12)))


def test_names_are_unique() -> None:
    b = Builder()
    x, y = b.input(2, name="x"), b.input(2, name="x")
    first, second = b.state(np.zeros(2, np.float32), "w"), b.state(np.zeros(2, np.float32), "w")
    z = b(add, x, y, name="2")
    u, v = b(relu, z), b(relu, first)
    names = value_names(b.graph(u, v))
    assert names[x] == "%x"
    assert names[y] == "%x.2"
    assert (names[first], names[second]) == ("w", "w.2")
    assert len(set(names.values())) == 7


def test_a_broken_graph_prints() -> None:
    b = Builder()
    x = b.input(2)
    y = b(relu, x)
    broken = Graph((), (), (), (Node(relu, (x,), None, (y,)),), (y,))
    assert f"= relu(<unknown {x.number}>)" in str(broken)
