"""What verify accepts, and that it names what is wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import dtypes
from fovea.errors import GraphError
from fovea.graph import Constant, Graph, Node, Source, State, Value
from fovea.graph.verify import verify
from fovea.ops.elementwise import add, relu
from fovea.ops.norm import batch_norm_update
from fovea.ops.op import Spec
from fovea.ops.optim import SgdAttrs, sgd_update
from fovea.ops.random import random_uniform
from fovea.ops.reduce import sum_
from fovea.ops.shape import ShapeAttrs, cat, clone, expand, permute, slice_, view
from tests.graph.builder import Builder

UNIFORM = {"shape": (2,), "dtype": dtypes.float32, "low": 0.0, "high": 1.0}
RUNNING = {"momentum": 0.1, "correction": 1.0}


def vector(b: Builder, name: str = "") -> Value:
    return b.state(np.ones(4, np.float32), name)


def updated(b: Builder) -> tuple[Value, Value, Value, Value]:
    """Two states and their new values."""
    mean, var = vector(b, "mean"), vector(b, "var")
    new_mean, new_var = b(batch_norm_update, mean, var, b.input(4), b.input(4), **RUNNING)
    return mean, var, new_mean, new_var


def test_a_whole_step() -> None:
    b = Builder()
    x = b.input(2, 3, name="x")
    rng, scalars, w = b.state(np.zeros(2, np.int64)), b.state(np.zeros(5)), vector(b, "w")
    noise, new_rng = b(random_uniform, rng, **UNIFORM)
    old = b(clone, w, layout="preserve")
    g = b(view, b(expand, b(sum_, x, dims=(0, 1), keepdim=True), shape=(4, 1)), shape=(4,))
    new = b.bind(sgd_update, (scalars, w, g), SgdAttrs.of("none", False))
    verify(b.graph(noise, old, b(add, new, new), updates=[(rng, new_rng), (w, new)]))


def test_reading_before_the_change_is_fine() -> None:
    b = Builder()
    mean, var = vector(b), vector(b)
    old = b(relu, mean)
    news = b(batch_norm_update, mean, var, b.input(4), b.input(4), **RUNNING)
    verify(b.graph(old, updates=list(zip((mean, var), news, strict=True))))


def changed(graph: Graph, i: int, **fields: Any) -> Graph:
    """A graph with fields of node ``i`` replaced."""
    nodes = list(graph.nodes)
    nodes[i] = dataclasses.replace(nodes[i], **fields)
    return graph.replace(nodes=tuple(nodes))


def value(*shape: int, dtype: Any = dtypes.float32, strides: Any = None) -> Value:
    return Value(Spec(shape, dtype, strides))


def two_nodes() -> tuple[Builder, Value, Value, Value]:
    b = Builder()
    x = b.input(2, 3, name="x")
    y = b(relu, x)
    return b, x, y, b(add, y, x)


def out_of_order() -> Graph:
    b, _, _, z = two_nodes()
    graph = b.graph(z)
    return graph.replace(nodes=graph.nodes[::-1])


def not_made() -> Graph:
    b, _, _, _ = two_nodes()
    return b.graph(value(2))


def made_twice() -> Graph:
    b, _, y, z = two_nodes()
    return changed(b.graph(z), 1, outputs=(y,))


def leaf_made_again() -> Graph:
    b, x, _, z = two_nodes()
    return changed(b.graph(z), 1, outputs=(x,))


def input_twice() -> Graph:
    b, x, _, z = two_nodes()
    return b.graph(z).replace(inputs=(x, x))


def wrong_shape() -> Graph:
    b, *_ = two_nodes()
    wrong = value(3, 3)
    return changed(b.graph(wrong), 1, outputs=(wrong,))


def wrong_dtype() -> Graph:
    b, *_ = two_nodes()
    wrong = value(2, 3, dtype=dtypes.float64)
    return changed(b.graph(wrong), 1, outputs=(wrong,))


def wrong_view_strides() -> Graph:
    b = Builder()
    y = b(permute, b.input(2, 3), dims=(1, 0))
    wrong = value(*y.shape)
    return changed(b.graph(wrong), 0, outputs=(wrong,))


def impossible_view() -> Graph:
    b = Builder()
    y = b(permute, b.input(2, 3), dims=(1, 0))
    z = value(6)
    b.nodes.append(Node(view, (y,), ShapeAttrs.of((6,)), (z,)))
    return b.graph(z)


def overlapping_result() -> Graph:
    b, *_ = two_nodes()
    wrong = value(2, 3, strides=(2, 1))
    return changed(b.graph(wrong), 1, outputs=(wrong,))


def refused_inputs() -> Graph:
    b, _, y, z = two_nodes()
    other = b.input(4, 3)
    return changed(b.graph(z), 1, inputs=(y, other))


def too_few_inputs() -> Graph:
    b, _, y, z = two_nodes()
    return changed(b.graph(z), 1, inputs=(y,))


def missing_input() -> Graph:
    b, _, y, z = two_nodes()
    return changed(b.graph(z), 1, inputs=(y, None))


def wrong_attributes() -> Graph:
    b, *_, z = two_nodes()
    return changed(b.graph(z), 1, attrs=ShapeAttrs.of((2, 3)))


def too_many_outputs() -> Graph:
    b, *_, z = two_nodes()
    return changed(b.graph(z), 1, outputs=(z, value(2, 3)))


def read_after_change() -> Graph:
    b = Builder()
    mean, var, new_mean, new_var = updated(b)
    b.source = Source("train.py", 7, "norm")
    return b.graph(b(relu, mean), updates=[(mean, new_mean), (var, new_var)])


def view_read_after_change() -> Graph:
    b = Builder()
    mean, var = vector(b, "mean"), vector(b, "var")
    part = b(slice_, mean, start=(0,), length=(2,), step=(1,))
    news = b(batch_norm_update, mean, var, b.input(4), b.input(4), **RUNNING)
    out = b(relu, b(view, part, shape=(2, 1)))
    return b.graph(out, updates=list(zip((mean, var), news, strict=True)))


def base_read_after_change_of_a_view() -> Graph:
    b = Builder()
    mean, var = vector(b, "mean"), vector(b, "var")
    whole = b(view, mean, shape=(4,))
    news = b(batch_norm_update, whole, var, b.input(4), b.input(4), **RUNNING)
    return b.graph(b(relu, mean), updates=list(zip((mean, var), news, strict=True)))


def returned_after_change() -> Graph:
    b = Builder()
    mean, var, new_mean, new_var = updated(b)
    return b.graph(mean, updates=[(mean, new_mean), (var, new_var)])


def changed_twice_from_the_old() -> Graph:
    b = Builder()
    mean, var, new_mean, new_var = updated(b)
    b(batch_norm_update, mean, new_var, b.input(4), b.input(4), **RUNNING)
    return b.graph(updates=[(mean, new_mean), (var, new_var)])


def read_while_changed() -> Graph:
    b = Builder()
    mean, var = vector(b, "mean"), vector(b, "var")
    news = b(batch_norm_update, mean, var, b(view, mean, shape=(4,)), b.input(4), **RUNNING)
    return b.graph(updates=list(zip((mean, var), news, strict=True)))


def input_changed() -> Graph:
    b = Builder()
    b(random_uniform, b.input(2, dtype=dtypes.int64, name="rng"), **UNIFORM)
    return b.graph()


def constant_changed() -> Graph:
    b = Builder()
    b(random_uniform, b.constant(np.zeros(2, np.int64)), **UNIFORM)
    return b.graph()


def change_of_a_state_without_update() -> Graph:
    b = Builder()
    mean, _, new_mean, _ = updated(b)
    return b.graph(updates=[(mean, new_mean)])


def wrong_places() -> Graph:
    b = Builder()
    mean, var, new_mean, new_var = updated(b)
    graph = b.graph(updates=[(mean, new_mean), (var, new_var)])
    return changed(graph, 0, mutated=(1, 0))


def places_of_a_pure_op() -> Graph:
    b, *_, z = two_nodes()
    return changed(b.graph(z), 1, mutated=(0,))


def place_that_is_not_there() -> Graph:
    b = Builder()
    scalars, w = b.state(np.zeros(5)), vector(b)
    new = b.bind(sgd_update, (scalars, w, b.input(4)), SgdAttrs.of("none", False))
    return changed(b.graph(updates=[(w, new)]), 0, mutated=(3,))


def new_value_of_another_kind() -> Graph:
    b = Builder()
    mean, var, _, new_var = updated(b)
    wrong = value(4, dtype=dtypes.float64)
    graph = b.graph(updates=[(mean, wrong), (var, new_var)])
    return changed(graph, 0, outputs=(wrong, new_var))


def change_of_an_expanded_tensor() -> Graph:
    b = Builder()
    scalars, w, step = b.state(np.zeros(5)), vector(b), b(relu, b.input(1))
    spread = b(expand, step, shape=(4,))
    b.bind(sgd_update, (scalars, spread, w), SgdAttrs.of("none", False))
    return b.graph()


def update_of_no_state() -> Graph:
    b, x, y, z = two_nodes()
    return b.graph(z, updates=[(x, y)])


def two_updates() -> Graph:
    b = Builder()
    mean, var, new_mean, new_var = updated(b)
    return b.graph(updates=[(mean, new_mean), (var, new_var), (mean, new_mean)])


def update_of_another_shape() -> Graph:
    b = Builder()
    w = vector(b, "w")
    return b.graph(updates=[(w, b(cat, w, w, dim=0))])


def state_unlike_its_tensor() -> Graph:
    b = Builder()
    b.states.append(State(value(3), fovea.ones(4), "w"))
    return b.graph()


def constant_unlike_its_array() -> Graph:
    b = Builder()
    b.constants.append(Constant(value(3), np.zeros(4, np.float32)))
    return b.graph()


def constant_backwards() -> Graph:
    b = Builder()
    b.constants.append(Constant(value(3, strides=(-1,)), np.zeros(3, np.float32)))
    return b.graph()


BROKEN: dict[Callable[[], Graph], str] = {
    out_of_order: r"%\d is read but nothing made it before",
    not_made: r"is returned but nothing made it",
    made_twice: r"is made a second time",
    leaf_made_again: r"is made a second time",
    input_twice: r"is listed twice among the leaves",
    wrong_shape: r"add gives f32\[2, 3\], but its output is declared f32\[3, 3\]",
    wrong_dtype: r"add gives f32\[2, 3\], but its output is declared f64",
    wrong_view_strides: r"permute gives f32\[3, 2\]\{1, 3\}, but its output is declared f32\[3, 2\]",
    impossible_view: r"view refuses its inputs: view: shape \(6,\) cannot alias",
    overlapping_result: r"elements share memory: only a view may",
    refused_inputs: r"add refuses its inputs: add: shapes \(2, 3\) and \(4, 3\) do not broadcast",
    too_few_inputs: r"add takes 2 inputs, the node has 1",
    missing_input: r"add: b is required",
    wrong_attributes: r"add has attributes of class NoneType, the node's are ShapeAttrs",
    too_many_outputs: r"add has 1 outputs, the node has 2",
    read_after_change: r"mean is read after batch_norm_update overwrote its memory",
    view_read_after_change: r"%\d is read after batch_norm_update overwrote",
    base_read_after_change_of_a_view: r"mean is read after batch_norm_update overwrote",
    returned_after_change: r"mean is returned after batch_norm_update overwrote",
    changed_twice_from_the_old: r"mean is read after batch_norm_update overwrote",
    read_while_changed: r"overwrites mean while it reads %\d, which lies in the same memory",
    input_changed: r"overwrites %rng, which is an input",
    constant_changed: r"overwrites %c0, which is a constant",
    change_of_a_state_without_update: r"overwrites state var, which has no update",
    wrong_places: r"changes inputs \(0, 1\), the node says \(1, 0\)",
    places_of_a_pure_op: r"add (has 1 outputs|changes inputs)",
    place_that_is_not_there: r"no input 3",
    new_value_of_another_kind: r"its new value is declared f64",
    change_of_an_expanded_tensor: r"whose elements share memory",
    update_of_no_state: r"an update names %x, which is no state",
    two_updates: r"state mean has two updates",
    update_of_another_shape: r"state w is f32\[4\], its update %0 is f32\[8\]",
    state_unlike_its_tensor: r"state w is f32\[3\], its tensor is float32 \(4,\)",
    constant_unlike_its_array: r"needs 3 elements; its array has 4",
    constant_backwards: r"has strides \(-1,\)",
}


@pytest.mark.parametrize(
    ("make", "message"), BROKEN.items(), ids=lambda v: getattr(v, "__name__", "")
)
def test_broken(make: Callable[[], Graph], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        verify(make())


def test_the_message_shows_where() -> None:
    with pytest.raises(GraphError) as caught:
        verify(read_after_change())
    rows = str(caught.value).splitlines()
    assert rows[1] == "  node  %2 f32[4] = relu(mean)"
    assert rows[2] == "  from  norm train.py:7"
    assert "run this node before mean', var' = batch_norm_update(" in rows[-1]
