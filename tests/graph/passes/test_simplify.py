"""What changes nothing goes, and what must stay stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import dtypes
from fovea.dtypes import DType
from fovea.graph import Graph, Value
from fovea.graph.interpret import interpret
from fovea.graph.passes import optimize, remove_dead_code, simplify
from fovea.graph.passes.simplify import EXACT
from fovea.graph.passes.simplify.casts import holds_all_of
from fovea.graph.verify import verify
from fovea.ops.elementwise import add, cast, div, exp, logical_and, logical_or, mul, neg, relu, sub
from fovea.ops.memory import lay_out, strided, strided_scatter
from fovea.ops.optim import SgdAttrs, sgd_update
from fovea.ops.rearrange import flip, pad, roll
from fovea.ops.reduce import amax, mean, sum_
from fovea.ops.shape import alias, cat, clone, expand, permute, slice_, view
from tests.graph.builder import Builder

Made = Callable[[Builder, Value], Value]


def simpler(graph: Graph, **options: Any) -> Graph:
    verify(graph)
    result = remove_dead_code(simplify(graph, **options))
    verify(result)
    return result


def names(graph: Graph) -> list[str]:
    return [n.op.name for n in graph.nodes]


def ops_left(make: Made, *shape: int, dtype: DType = dtypes.float32, **how: Any) -> list[str]:
    """The ops left between two that cannot go, after checking that results are the same."""
    b = Builder()
    x = b.input(*shape, dtype=dtype, **how)
    start = b(neg, x)
    graph = b.graph(b(neg, make(b, start)))
    simple = simpler(graph)
    data = fovea.from_numpy(np.arange(1, 1 + np.prod(shape)).reshape(shape).astype(dtype.numpy))
    (found,), _ = interpret(simple, [data])
    (expected,), _ = interpret(graph, [data])
    np.testing.assert_array_equal(found._array(), expected._array())
    assert names(simple)[0] == names(simple)[-1] == "neg"
    return names(simple)[1:-1]


CONV = "channels_last"
GONE: dict[str, Made] = {
    "alias": lambda b, x: b(alias, x),
    "view of the same shape": lambda b, x: b(view, x, shape=(2, 3, 4, 5)),
    "permutation in order": lambda b, x: b(permute, x, dims=(0, 1, 2, 3)),
    "permutation back": lambda b, x: b(permute, b(permute, x, dims=(0, 3, 1, 2)), dims=(0, 2, 3, 1)),
    "view back": lambda b, x: b(view, b(view, b(view, x, shape=(6, 20)), shape=(120,)), shape=(2, 3, 4, 5)),
    "whole slice": lambda b, x: b(slice_, x, start=(0,) * 4, length=(2, 3, 4, 5), step=(1,) * 4),
    "expanded to its own shape": lambda b, x: b(expand, x, shape=(2, 3, 4, 5)),
    "whole block": lambda b, x: b(strided, x, shape=(2, 3, 4, 5), strides=(60, 20, 5, 1), offset=0),
    "clone": lambda b, x: b(clone, x, layout="preserve"),
    "clone in the layout it has": lambda b, x: b(clone, x, layout="contiguous"),
    "layout and back": lambda b, x: b(clone, b(clone, x, layout="channels_last"), layout="contiguous"),
    "cat of one": lambda b, x: b(cat, x, dim=1),
    "no padding": lambda b, x: b(pad, x, before=(0,) * 4, after=(0,) * 4, value=1.0),
    "nothing flipped": lambda b, x: b(flip, x, dims=()),
    "rolled by nothing": lambda b, x: b(roll, x, shifts=(0,), dims=(1,)),
    "cast to its type": lambda b, x: b(cast, x, dtype=dtypes.float32),
    "cast to a wider type and back": lambda b, x: b(cast, b(cast, x, dtype=dtypes.float64), dtype=dtypes.float32),
    "neg twice": lambda b, x: b(neg, b(neg, x)),
    "times one": lambda b, x: b(mul, x, b.constant(1.0)),
    "one times": lambda b, x: b(mul, b.constant(1.0), x),
    "times ones": lambda b, x: b(mul, x, b.constant(np.ones((4, 5), np.float32))),
    "times a spread one": lambda b, x: b(mul, x, b(expand, b.constant(1.0), shape=(2, 3, 4, 5))),
    "divided by one": lambda b, x: b(div, x, b.constant(1.0)),
    "minus zero": lambda b, x: b(sub, x, b.constant(0.0)),
    "plus minus zero": lambda b, x: b(add, b.constant(-0.0), x),
    "no dimensions summed": lambda b, x: b(sum_, x, dims=(), keepdim=True),
    "all replaced": lambda b, x: b(strided_scatter, b(exp, x), x, shape=(2, 3, 4, 5), strides=(60, 20, 5, 1), offset=0),
}  # fmt: skip


@pytest.mark.parametrize("name", GONE)
def test_gone(name: str) -> None:
    assert ops_left(GONE[name], 2, 3, 4, 5) == []


LEFT: dict[str, tuple[Made, list[str]]] = {
    "plus zero turns -0 into 0": (lambda b, x: b(add, x, b.constant(0.0)), ["add"]),
    "minus -0 too": (lambda b, x: b(sub, x, b.constant(-0.0)), ["sub"]),
    "zero minus": (lambda b, x: b(sub, b.constant(0.0), x), ["sub"]),
    "one divided by": (lambda b, x: b(div, b.constant(1.0), x), ["div"]),
    "times one, broadcast": (lambda b, x: b(mul, x, b.constant(np.ones((2, 1, 1, 1, 1), np.float32))), ["mul"]),
    "times other numbers": (lambda b, x: b(mul, x, b.constant([1, 1, 1, 1, 2.0])), ["mul"]),
    "another layout": (lambda b, x: b(clone, x, layout="channels_last"), ["clone"]),
    "two permutations": (lambda b, x: b(permute, b(permute, x, dims=(3, 0, 1, 2)), dims=(1, 0, 2, 3)), ["permute"]),
    "two views": (lambda b, x: b(view, b(view, x, shape=(6, 20)), shape=(3, 40)), ["view"]),
    "a view that a permutation stops": (lambda b, x: b(view, b(clone, b(permute, x, dims=(1, 0, 2, 3)), layout="contiguous"), shape=(120,)), ["permute", "clone", "view"]),
    "two slices": (lambda b, x: b(slice_, b(slice_, x, start=(1, 2, 3, 4), length=(1, 1, 2, 3), step=(1, 1, -2, -1)), start=(0, 0, 1, 0), length=(1, 1, 2, 2), step=(1, 1, -1, 2)), ["slice"]),
    "two layouts": (lambda b, x: b(lay_out, b(clone, x, layout="channels_last"), strides=(60, 20, 1, 4)), ["lay_out"]),
    "two casts": (lambda b, x: b(cast, b(cast, x, dtype=dtypes.float64), dtype=dtypes.bfloat16), ["cast"]),
    "a cast that rounds": (lambda b, x: b(cast, b(cast, x, dtype=dtypes.bfloat16), dtype=dtypes.float32), ["cast", "cast"]),
    "relu twice": (lambda b, x: b(relu, b(relu, x)), ["relu"]),
    "what was written is read": (
        lambda b, x: (w := {"shape": (3, 4, 5), "strides": (20, 5, 1), "offset": 60}) and b(strided, b(strided_scatter, x, b(exp, b(strided, x, **w)), **w), **w),
        ["strided", "exp"]),
    "something else is read": (
        lambda b, x: b(strided, b(strided_scatter, x, b(relu, b(strided, x, shape=(60,), strides=(1,), offset=60)), shape=(60,), strides=(1,), offset=60), shape=(60,), strides=(1,), offset=0),
        ["strided", "relu", "strided_scatter", "strided"]),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_left(name: str) -> None:
    make, expected = LEFT[name]
    assert ops_left(make, 2, 3, 4, 5) == expected


def test_slices_of_slices_start_where_they_should() -> None:
    b = Builder()
    y = LEFT["two slices"][0](b, b.input(2, 3, 4, 5))
    a: Any = simpler(b.graph(y)).nodes[0].attrs
    assert (a.start, a.length, a.step) == ((1, 2, 1, 4), (1, 1, 2, 2), (1, 1, 2, -2))


def test_flatten_after_pooling() -> None:
    """Permutations that move nothing but dimensions of size 1 are views."""

    def back_and_forth(b: Builder, x: Value) -> Value:
        flat = b(view, b(permute, x, dims=(0, 2, 3, 1)), shape=(2, 8))
        return b(view, b(view, flat, shape=(2, 8, 1, 1)), shape=(2, 8, 1, 1))

    assert ops_left(back_and_forth, 2, 8, 1, 1, nhwc=True) == []
    assert ops_left(lambda b, x: b(clone, x, layout="contiguous"), 2, 8, 1, 1, nhwc=True) == []


INTEGERS: dict[str, Made] = {
    "plus zero": lambda b, x: b(add, x, b.constant(np.array(0))),
    "minus zero": lambda b, x: b(sub, x, b.constant(np.array(0))),
    "times one": lambda b, x: b(mul, x, b.constant(np.array(1))),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_integers(name: str) -> None:
    assert ops_left(INTEGERS[name], 2, 3, dtype=dtypes.int64) == []


def test_booleans() -> None:
    b = Builder()
    x = b.input(3, dtype=dtypes.bool_)
    true, false = (b.constant(np.array(v)) for v in (True, False))
    graph = b.graph(
        b(logical_or, b(logical_and, x, true), b(logical_and, b(logical_or, false, x), x))
    )
    assert names(simpler(graph)) == ["logical_and", "logical_or"]
    b = Builder()  # of numbers they are no copies
    graph = b.graph(b(logical_and, b.input(3), b.constant(1.0)))
    assert simpler(graph) is graph


CASTS = [
    (dtypes.bfloat16, dtypes.float32, dtypes.float16, 1),
    (dtypes.float16, dtypes.float64, dtypes.float16, 0),
    (dtypes.uint8, dtypes.bfloat16, dtypes.float32, 1),
    (dtypes.uint8, dtypes.int64, dtypes.int8, 1),
    (dtypes.bool_, dtypes.float32, dtypes.int64, 1),
    (dtypes.int64, dtypes.float64, dtypes.float32, 2),
    (dtypes.float16, dtypes.bfloat16, dtypes.float32, 2),
    (dtypes.int64, dtypes.int32, dtypes.int64, 2),
    (dtypes.float32, dtypes.float64, dtypes.int32, 2),
    (dtypes.int8, dtypes.bool_, dtypes.int8, 2),
    (dtypes.int8, dtypes.uint8, dtypes.int64, 2),
]


@pytest.mark.parametrize(("kind", "by", "to", "left"), CASTS)
def test_chains_of_casts(kind: DType, by: DType, to: DType, left: int) -> None:
    b = Builder()
    x = b(lay_out, b.input(4, 2, dtype=kind), strides=(1, 4))
    y = b(lay_out, b(cast, b(cast, x, dtype=by), dtype=to), strides=(2, 1))
    assert names(simpler(b.graph(y))).count("cast") == left


@pytest.mark.parametrize("narrow", dtypes.ALL)
def test_what_types_hold(narrow: DType) -> None:
    """Against NumPy's rules, and by going there and back with the numbers at the edges."""
    for wide in dtypes.ALL:
        if narrow is dtypes.bool_ or wide is dtypes.bool_:
            assert holds_all_of(wide, narrow) == (narrow is dtypes.bool_)
            continue
        if narrow.is_floating_point:
            info = dtypes.finfo(narrow)
            values = np.array([info.max, info.tiny, 1 + info.eps], np.float64)
        else:
            info = dtypes.iinfo(narrow)
            values = np.array([info.min, info.max, info.max - 1], object)
        if not wide.is_floating_point and narrow.is_floating_point:
            assert not holds_all_of(wide, narrow)
            continue
        if wide.is_floating_point:
            with np.errstate(all="ignore"):
                through = values.astype(np.float64).astype(wide.numpy).astype(object)
            kept = all(
                int(v) == w if np.isfinite(v) and isinstance(w, int) else v == w
                for v, w in zip(through, values, strict=True)
            )
        else:
            kept = all(dtypes.iinfo(wide).min <= v <= dtypes.iinfo(wide).max for v in values)
        assert holds_all_of(wide, narrow) == kept, wide


# -- reductions -------------------------------------------------------------------------------

REDUCED: dict[str, tuple[Made, list[str]]] = {
    "sum of what was spread": (lambda b, x: b(sum_, b(expand, x, shape=(4, 3, 5)), dims=(2,), keepdim=False), ["view", "mul"]),
    "spread farther": (lambda b, x: b(sum_, b(expand, x, shape=(7, 4, 3, 5)), dims=(0, 3), keepdim=True), ["view", "mul"]),
    "still spread": (lambda b, x: b(sum_, b(expand, x, shape=(7, 4, 3, 5)), dims=(0,), keepdim=False), ["expand", "mul"]),
    "not only spread": (lambda b, x: b(sum_, b(expand, x, shape=(4, 3, 5)), dims=(1, 2), keepdim=False), ["expand", "sum"]),
    "mean of what was spread": (lambda b, x: b(mean, b(expand, x, shape=(4, 3, 5)), dims=(2,), keepdim=True), []),
    "largest of what was spread": (lambda b, x: b(amax, b(expand, x, shape=(6, 4, 3, 5)), dims=(3,), keepdim=True), ["view", "expand", "lay_out"]),
    "sum of one": (lambda b, x: b(sum_, x, dims=(2,), keepdim=False), ["view"]),
    "sum of a sum": (lambda b, x: b(sum_, b(sum_, x, dims=(0,), keepdim=False), dims=(0,), keepdim=False), ["sum"]),
    "sum of a sum, kept": (lambda b, x: b(sum_, b(sum_, x, dims=(0,), keepdim=True), dims=(1,), keepdim=True), ["sum"]),
    "sum of a sum, half kept": (lambda b, x: b(sum_, b(sum_, x, dims=(0,), keepdim=True), dims=(1,), keepdim=False), ["sum", "sum"]),
    "largest of the largest": (lambda b, x: b(amax, b(amax, x, dims=(1,), keepdim=False), dims=(0,), keepdim=False), ["amax"]),
    "largest of a sum": (lambda b, x: b(amax, b(sum_, x, dims=(1,), keepdim=False), dims=(0,), keepdim=False), ["sum", "amax"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REDUCED)
def test_reductions(name: str) -> None:
    make, expected = REDUCED[name]
    assert ops_left(make, 4, 3, 1) == expected


def test_dimensions_of_sums_of_sums() -> None:
    b = Builder()
    inner = b(sum_, b.input(2, 3, 4, 5), dims=(1,), keepdim=False)
    graph = simpler(b.graph(b(sum_, inner, dims=(0, 2), keepdim=False)))
    assert graph.nodes[0].attrs.dims == (0, 1, 3)  # type: ignore[union-attr]


def test_a_sum_that_others_read_stays() -> None:
    b = Builder()
    inner = b(sum_, b.input(2, 3), dims=(0,), keepdim=False)
    graph = b.graph(b(sum_, inner, dims=(0,), keepdim=False), inner)
    assert simpler(graph) is graph


def test_a_count_that_the_type_cannot_hold() -> None:
    b = Builder()
    x = b.input(1, dtype=dtypes.bfloat16)
    graph = b.graph(b(sum_, b(expand, x, shape=(300,)), dims=(0,), keepdim=False))
    assert simpler(graph) is graph


def test_exact_rules_leave_roundings_alone() -> None:
    b = Builder()
    y = b(sum_, b(expand, b.input(1), shape=(30,)), dims=(0,), keepdim=False)
    z = b(
        mul, b(sum_, b(sum_, b.input(3, 4), dims=(0,), keepdim=False), dims=(0,), keepdim=False), y
    )
    graph = b.graph(z)
    assert simplify(graph, EXACT) is graph


# -- memory -----------------------------------------------------------------------------------


def stepped(b: Builder, p: Value, g: Value) -> Value:
    lr = b.state(np.array([0.5, 0, 0, 0, 0]))
    new: Value = b.bind(sgd_update, (lr, p, g), SgdAttrs.of("none", False))
    return new


def test_a_copy_of_a_state_that_changes_later() -> None:
    b = Builder()
    w, g = b.state(np.ones(3, np.float32)), b.input(3)
    before = b(clone, w, layout="preserve")
    used_before = b(exp, before)
    new = stepped(b, w, g)
    graph = b.graph(b(add, before, used_before), updates=[(w, new)])
    assert names(simpler(graph)) == names(graph)
    b = Builder()
    w, g = b.state(np.ones(3, np.float32)), b.input(3)
    used_before = b(exp, b(clone, w, layout="preserve"))
    new = stepped(b, w, g)
    graph = b.graph(used_before, updates=[(w, new)])
    assert names(simpler(graph)) == ["exp", "sgd_update"]


def test_a_copy_that_changes() -> None:
    b = Builder()
    x, g = b.input(3), b.input(3)
    copy = b(clone, x, layout="preserve")
    graph = b.graph(stepped(b, copy, g))
    assert simpler(graph) is graph
    b = Builder()
    base = b(exp, b.input(3))
    copy = b(clone, base, layout="preserve")
    graph = b.graph(b(add, stepped(b, copy, b.input(3)), base))
    assert simpler(graph) is graph


def test_a_view_of_a_copy_keeps_it() -> None:
    b = Builder()
    w, g = b.state(np.ones((3, 2), np.float32)), b.input(3, 2)
    part = b(permute, b(clone, w, layout="preserve"), dims=(1, 0))
    new = stepped(b, w, g)
    graph = b.graph(b(exp, part), updates=[(w, new)])
    assert simpler(graph) is graph


def test_layouts_are_not_taken_from_what_changed_in_between() -> None:
    b = Builder()
    w, g = b.state(np.ones((3, 2), np.float32)), b.input(3, 2)
    turned = b(lay_out, w, strides=(1, 3))
    new = stepped(b, w, g)
    graph = b.graph(b(lay_out, turned, strides=(2, 1)), updates=[(w, new)])
    assert simpler(graph) is graph


def test_results_have_memory_of_their_own() -> None:
    b = Builder()
    x = b.input(3)
    w = b.state(np.ones(3, np.float32))
    y = b(exp, x)
    copies = [b(clone, v, layout="preserve") for v in (x, w, y, b.constant(1.0))]
    graph = b.graph(y, *copies)
    assert simpler(graph) is graph
    b = Builder()
    y = b(exp, b.input(3))
    first, second = (b(clone, y, layout="preserve") for _ in range(2))
    graph = simpler(b.graph(first, second))
    assert names(graph) == ["exp", "clone"]
    assert graph.outputs[0] is y
    b = Builder()
    x = b.input(3)
    assert simpler(b.graph(b(alias, x))).outputs == (x,)  # the same memory as before


def test_two_states_do_not_become_one() -> None:
    b = Builder()
    w, v = b.state(np.ones(3, np.float32)), b.state(np.ones(3, np.float32))
    y = b(exp, b.input(3))
    copies = [b(clone, y, layout="preserve") for _ in range(2)]
    graph = simpler(b.graph(updates=list(zip((w, v), copies, strict=True))))
    assert names(graph) == ["exp", "clone"]


def test_optimize_runs_everything() -> None:
    b = Builder()
    x = b.input(2, 3)
    one = b(exp, b.constant(0.0))
    y = b(mul, b(clone, b(exp, x), layout="preserve"), one)
    b(relu, y)
    z = b(add, y, b(exp, x))
    graph = optimize(b.graph(z), verify=True)
    assert names(graph) == ["pointwise"]
    assert str(graph.nodes[0].attrs) == "t0 = exp(x0); add(t0, t0)"


def test_optimize_names_the_pass_that_broke_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    from fovea.errors import GraphError
    from fovea.graph import passes as package

    def forgetful(graph: Graph) -> Graph:
        return graph.replace(nodes=graph.nodes[:-1])

    monkeypatch.setattr(package, "passes", lambda **_: [remove_dead_code, forgetful])
    b = Builder()
    with pytest.raises(
        GraphError, match="after forgetful: verify: .* is returned but nothing made"
    ):
        optimize(b.graph(b(exp, b.input(2))), verify=True)
