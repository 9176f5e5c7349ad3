"""Compiled functions give what eager ones give, and notice what changed."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn as nn
import fovea.nn.functional as F
from fovea.errors import CaptureError, InplaceError, LabelError

torch = pytest.importorskip("torch")

SCALE = 2.0


def same(a: Any, b: Any) -> None:
    assert np.array_equal(a.detach().numpy(), b.detach().numpy())


def test_functions_of_tensors() -> None:
    @fovea.compile
    def f(x: Any, y: Any, flip: bool = False) -> Any:
        z = (x @ y).relu() * 0.5
        return {"z": z, "rest": [z.sum(), (y, 3, "name")], "flip": -z if flip else z}

    for _ in range(3):
        x, y = fovea.randn(4, 3), fovea.randn(3, 5)
        for flip in (False, True):
            found, expected = f(x, y, flip=flip), f.function(x, y, flip=flip)
            same(found["z"], expected["z"])
            same(found["rest"][0], expected["rest"][0])
            assert found["rest"][1][0] is y and found["rest"][1][1:] == (3, "name")
            same(found["flip"], expected["flip"])
    assert len(f.programs) == 2


def test_new_shapes_and_dtypes_are_captured_anew() -> None:
    @fovea.compile
    def f(x: Any) -> Any:
        return x * 2 + 1

    for shape in ((2,), (3,), (2, 2), (2,), ()):
        for dtype in (fovea.float32, fovea.float64, fovea.int64):
            x = fovea.ones(*shape, dtype=dtype)
            assert f(x).dtype is dtype
            same(f(x), x * 2 + 1)
    assert len(f.programs) == 4 * 3
    x = fovea.arange(12.0).reshape(3, 4)
    same(f(x.T), x.T * 2 + 1)
    same(f(x[:, ::2]), x[:, ::2] * 2 + 1)


def test_arguments_that_share_memory() -> None:
    f = fovea.compile(lambda x, y: x * 2 + y)
    x = fovea.arange(6.0)
    for pair in ((x, x), (x, -x), (x[:3], x[3:]), (x[:3], x[:3]), (x, x)):
        same(f(*pair), pair[0] * 2 + pair[1])

    @fovea.compile
    def change(x: Any, y: Any) -> Any:
        x.add_(1)
        return x + y

    for _ in range(3):
        a, b = fovea.zeros(2), fovea.zeros(2)
        same(change(a, b), fovea.ones(2))
        same(change(a, a), fovea.full((2,), 4.0))


def test_closures_and_globals_are_guarded() -> None:
    global SCALE
    offset = 1.0
    options = {"square": False, "weights": [1.0, 2.0]}
    table = fovea.ones(2)

    @fovea.compile
    def f(x: Any) -> Any:
        y = x * SCALE + offset + table + options["weights"][0]  # type: ignore[index]
        return y * y if options["square"] else y

    x = fovea.tensor([1.0, 2.0])
    before = SCALE
    try:
        for _ in range(2):
            same(f(x), f.function(x))
        SCALE = 3.0
        same(f(x), f.function(x))
        offset = -1.0
        same(f(x), f.function(x))
        options["square"] = True
        same(f(x), f.function(x))
        options["weights"][0] = 5.0  # type: ignore[index]
        same(f(x), f.function(x))
        table.add_(1)  # the program reads it: no new capture
        count = len(f.programs)
        same(f(x), f.function(x))
        assert len(f.programs) == count
        table = fovea.zeros(2)
        same(f(x), f.function(x))
    finally:
        SCALE = before


def test_helpers_are_guarded_too() -> None:
    factor = 2.0

    def helper(x: Any) -> Any:
        return x * factor

    f = fovea.compile(lambda x: helper(x) + 1)
    x = fovea.ones(3)
    same(f(x), x * 2 + 1)
    same(f(x), x * 2 + 1)
    factor = 4.0
    same(f(x), x * 4 + 1)


def test_changes_in_place() -> None:
    state = fovea.zeros(3, 4)

    def f(x: Any, y: Any) -> Any:
        x += y
        x[0] *= 3
        state[1:, ::2] += x[1:, ::2]
        state.mul_(0.5)
        z = x.clone()
        z.view(12)[3:5] = 7.0
        z.t()[0].zero_()
        return z, x[1:], x

    compiled = fovea.compile(f)
    for n in range(4):
        before = state.clone()
        x, y = fovea.full((3, 4), float(n)), fovea.randn(3, 4)
        twin = x.clone()
        expected, after = f(twin, y), state.clone()
        state.copy_(before)
        found = compiled(x, y)
        same(state, after)
        for a, b in zip(found, expected, strict=True):
            same(a, b)
        same(x, twin)
        assert found[2] is x
    assert len(compiled.programs) == 1


def test_random_numbers_go_on() -> None:
    f = fovea.compile(lambda x: F.dropout(x, 0.5) + fovea.rand(4))
    x = fovea.ones(4)
    for function in (f, f.function):
        fovea.manual_seed(5)
        found = [function(x).numpy().copy() for _ in range(4)]
        if function is f:
            first = found
    assert np.array_equal(first, found)
    assert len({tuple(a) for a in found}) == 4


def test_values_that_decide_run_eagerly() -> None:
    @fovea.compile
    def f(x: Any) -> Any:
        return x + 1 if x.sum() > 0 else x - 1

    with pytest.warns(UserWarning, match=r"runs eagerly.*test_functions\.py:\d+"):
        same(f(fovea.ones(2)), fovea.full((2,), 2.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(f(-fovea.ones(2)), fovea.full((2,), -2.0))
    strict = fovea.compile(f.function, strict=True)
    with pytest.raises(CaptureError, match="values"):
        strict(fovea.ones(2))
    with pytest.raises(CaptureError):
        fovea.compile(f.function, fullgraph=True)(fovea.ones(2))


@pytest.mark.parametrize(
    "look", [lambda x: x.item(), lambda x: x.tolist(), lambda x: x.numpy(), repr, bool, int]
)
def test_every_look_is_noticed(look: Any) -> None:
    def f(x: Any) -> Any:
        look(x.sum())
        return x * 2

    with pytest.raises(CaptureError):
        fovea.compile(f, strict=True)(fovea.ones(2))


def test_ordered_dictionaries_go_in_and_come_out() -> None:
    def f(held: OrderedDict[str, fovea.Tensor]) -> OrderedDict[str, fovea.Tensor]:
        return OrderedDict((name, t * 2) for name, t in reversed(held.items()))

    program = fovea.compile(f, strict=True)
    for value in (1.0, 3.0):
        found = program(OrderedDict(a=fovea.full((2,), value), b=fovea.zeros(1)))
        assert type(found) is OrderedDict and list(found) == ["b", "a"]
        assert found["a"].tolist() == [2 * value] * 2


def test_what_is_left_behind() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        y = x * 2
        kept.append(y)
        return y + 1

    compiled = fovea.compile(f)
    with pytest.warns(UserWarning, match="leaves a tensor behind"):
        for n in range(4):
            compiled(fovea.full((2,), float(n)))
    assert [k[0].item() for k in kept] == [0.0, 2.0, 4.0, 6.0]


def test_labels_are_checked_in_each_call() -> None:
    @fovea.compile
    def f(x: Any, y: Any) -> Any:
        return F.cross_entropy(x, y.long())

    x = fovea.randn(4, 3)
    for _ in range(2):
        same(f(x, fovea.tensor([0, 1, 2, 0])), F.cross_entropy(x, fovea.tensor([0, 1, 2, 0])))
    with pytest.raises(LabelError, match="label 7"):
        f(x, fovea.tensor([0, 1, 7, 0]))
    ignored = fovea.tensor([0, -100, 2, 0])
    same(f(x, ignored), F.cross_entropy(x, ignored))
    same(f(x, fovea.tensor([0, 1, 2, 0])), F.cross_entropy(x, fovea.tensor([0, 1, 2, 0])))


@pytest.mark.parametrize("offset", [0, 2])
def test_places_that_are_constant_need_no_check(offset: int) -> None:
    """As transformers embed positions."""
    table = fovea.randn(8, 3, requires_grad=True)

    def f(x: Any) -> Any:
        positions = fovea.arange(x.shape[1]).unsqueeze(0)
        return x + F.embedding(positions + offset if offset else positions, table)

    compiled = fovea.compile(f, strict=True)
    for rows in (2, 2, 5, 3):
        x = fovea.randn(rows, 4, 3)
        same(compiled(x), f(x))
    compiled(fovea.zeros(2, 4, 3)).sum().backward()
    assert table.grad.sum(1).tolist() == [
        6.0 if offset <= i < offset + 4 else 0.0 for i in range(8)
    ]
    wrong = fovea.compile(lambda x: x + F.embedding(fovea.arange(4) + 5, table))
    for _ in range(2):
        with pytest.raises(Exception, match="8"):
            wrong(fovea.zeros(4, 3))


def test_gradients_flow_through_from_outside() -> None:
    weight = fovea.randn(3, 3, requires_grad=True)
    v = fovea.randn(3, 3, requires_grad=True)
    f = fovea.compile(lambda h: ((h @ v).relu(), h * 2))
    for _ in range(3):
        for function in (f, f.function):
            weight.grad = v.grad = None
            p, q = function(weight * 2)
            ((p * p).sum() + q.sum()).backward()
            if function is f:
                found = weight.grad.clone(), v.grad.clone()
        same(found[0], weight.grad)
        same(found[1], v.grad)
    assert len(f.programs) == 1


def test_second_derivatives_inside() -> None:
    def f(x: Any) -> Any:
        y = (x**3).sum()
        (g,) = fovea.autograd.grad(y, x, create_graph=True)
        (h,) = fovea.autograd.grad((g * g).sum(), x)
        return h

    compiled = fovea.compile(f)
    for _ in range(3):
        x = fovea.randn(4, requires_grad=True)
        assert np.allclose(compiled(x).numpy(), 36 * x.detach().numpy() ** 3, rtol=1e-5)
    assert len(compiled.programs) == 1


def test_decorated_methods() -> None:
    class Counter:
        def __init__(self, by: float) -> None:
            self.by = by
            self.total = fovea.zeros(2)

        @fovea.compile
        def add(self, x: Any) -> Any:
            self.total.add_(x * self.by)
            return self.total.sum()

    a, b = Counter(1.0), Counter(10.0)
    for _ in range(3):
        a.add(fovea.ones(2))
        b.add(fovea.ones(2))
    assert a.total.tolist() == [3.0, 3.0] and b.total.tolist() == [30.0, 30.0]
    a.by = 2.0
    assert a.add(fovea.ones(2)).item() == 10.0


def test_arrays_as_arguments_run_eagerly() -> None:
    f = fovea.compile(lambda a: fovea.tensor(a) * 2)
    with pytest.warns(UserWarning, match="runs eagerly"):
        assert f(np.ones(2, np.float32)).tolist() == [2.0, 2.0]
    assert f(np.full(2, 3, np.float32)).tolist() == [6.0, 6.0]


def test_arrays_from_outside_run_eagerly() -> None:
    array = np.ones(2, np.float32)
    f = fovea.compile(lambda x: x + fovea.tensor(array))
    with pytest.warns(UserWarning, match="runs eagerly"):
        f(fovea.ones(2))
    array += 1
    assert f(fovea.ones(2)).tolist() == [3.0, 3.0]


def test_disable_and_options() -> None:
    def f(x: Any) -> Any:
        return x + 1

    assert fovea.compile(f, disable=True) is f
    g = fovea.compile(mode="max-autotune", dynamic=False, backend="inductor")(f)
    same(g(fovea.ones(2)), fovea.full((2,), 2.0))
    assert g.__name__ == "f"


def test_modules_keep_their_face() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    compiled = fovea.compile(net)
    assert isinstance(compiled, nn.Module)
    assert list(compiled.state_dict()) == list(net.state_dict())
    assert compiled[0] is net[0] and len(compiled) == 3
    assert next(compiled.parameters()) is net[0].weight
    compiled.eval()
    assert not net[0].training
    x = fovea.randn(5, 3)
    for _ in range(2):
        same(compiled(x), net(x))
    compiled.load_state_dict({k: v * 2 for k, v in net.state_dict().items()})
    same(compiled(x), net(x))
    net[0].weight.data = fovea.ones(4, 3)
    same(compiled(x), net(x))


def test_results_in_an_arguments_memory_stay_there() -> None:
    def change(x: Any) -> Any:
        x.mul_(2)
        return x.view(-1), x[0], x.t(), x + 1

    run = fovea.compile(change, strict=True)
    for _ in range(3):
        x = fovea.arange(6.0).reshape(2, 3)
        flat, row, turned, apart = run(x)
        x.add_(10)
        assert (
            flat.tolist() == [10.0, 12.0, 14.0, 16.0, 18.0, 20.0]
            and row.tolist() == flat[:3].tolist()
        )
        assert turned[2].tolist() == [14.0, 20.0] and apart.tolist()[0] == [1.0, 3.0, 5.0]


def test_results_that_look_at_part_of_an_argument() -> None:
    run = fovea.compile(lambda x: (x[:, 1:], x.sum()), strict=True)
    for _ in range(2):
        whole = fovea.arange(24.0).reshape(4, 6)
        part, total = run(whole[1:3, 2:5])
        assert part.storage is whole.storage and part.tolist() == [[9.0, 10.0], [15.0, 16.0]]
        assert float(total) == whole[1:3, 2:5].sum().item()


def half_and_more(x: Any, w: Any) -> Any:
    x.mul_(w)
    x[0].add_(x[1])
    return (x * x).sum()


def returns_the_argument(x: Any, w: Any) -> Any:
    x.add_(w)
    return x


def returns_views(x: Any, w: Any) -> Any:
    row = x[1]
    x.mul_(w)
    return row, x.t(), x.view(-1)[2:]


def only_looks(x: Any, w: Any) -> Any:
    return x.t(), x, w * 2


@pytest.mark.parametrize("through_view", [False, True])
@pytest.mark.parametrize("f", [half_and_more, returns_the_argument, returns_views, only_looks])
def test_changed_arguments_on_the_tape(f: Any, through_view: bool) -> None:
    """An argument in the middle of a tape is changed; it goes on from there."""

    def run(call: Any, library: Any, seed: int) -> list[Any]:
        values = np.random.default_rng(seed).normal(size=(4, 3))
        leaf, w = (library.from_numpy(v).requires_grad_() for v in (values[:3].copy(), values[3]))
        base = leaf * 3
        x = base[:2] if through_view else base
        found = call(x, w)
        results = list(found) if isinstance(found, tuple) else [found]
        loss = (x * x.sin()).sum() + base.sum() + sum((t * t).sum() for t in results)
        loss.backward()
        return [loss, leaf.grad, w.grad, x, base, *results]

    compiled = fovea.compile(f, strict=True)
    for seed in range(3):
        found = run(compiled, fovea, seed)
        for expected in (run(f, fovea, seed), run(f, torch, seed)):
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)
        eager = run(f, fovea, seed)
        places = [[t.storage is every[3].storage for t in every[5:]] for every in (found, eager)]
        assert places[0] == places[1]
    assert len(compiled.programs) == 1


def test_changed_arguments_that_come_onto_the_tape() -> None:
    w = fovea.tensor([2.0, 3.0], requires_grad=True)

    def f(x: Any, y: Any) -> Any:
        x.mul_(w)
        return y * 2

    compiled = fovea.compile(f, strict=True)
    for _ in range(3):
        w.grad = None
        x, y = fovea.ones(2), fovea.ones(2, requires_grad=True)
        out = compiled(x, y * 1)
        assert x.requires_grad and not x.is_leaf
        (x * x + out).sum().backward()
        assert w.grad.tolist() == [4.0, 6.0] and y.grad.tolist() == [2.0, 2.0]
    with pytest.raises(InplaceError):
        compiled(fovea.ones(2, requires_grad=True), y)


def test_a_tensor_that_is_turned_in_place() -> None:
    w = fovea.tensor([[1.0, 2.0], [3.0, 4.0]])
    f = fovea.compile(lambda x: x @ w)
    x = fovea.tensor([[1.0, 10.0]])
    for _ in range(2):
        assert f(x).tolist() == [[31.0, 42.0]]
    w.t_()
    for _ in range(2):
        assert f(x).tolist() == [[21.0, 43.0]]


def test_numbers_that_are_equal_or_not() -> None:
    """Another object of the same value is no change; one of another type or value is."""
    factor: Any = 1000.0

    def scale(x: Any) -> Any:
        return x * factor

    f, x = fovea.compile(scale), fovea.ones(2)
    for value in (1000.0, float("1000"), 2.0, 2):
        factor = value
        assert f(x).tolist() == [float(value)] * 2
    assert len(f.programs) == 3
    factor = float("nan")
    for _ in range(2):
        assert fovea.isnan(f(x)).all()
    assert len(f.programs) == 4


def test_a_list_that_changes_in_place() -> None:
    factors = [2.0]
    f, x = fovea.compile(lambda x: x * factors[0]), fovea.ones(2)
    for value in (2.0, 2.0, 3.0, 3.0):
        factors[0] = value
        assert f(x).tolist() == [value] * 2
    assert len(f.programs) == 2


def test_a_variable_that_is_deleted() -> None:
    factor = 2.0

    def scale(x: Any) -> Any:
        return x * factor  # noqa: F821

    f, x = fovea.compile(scale), fovea.ones(2)
    assert f(x).tolist() == f(x).tolist() == [2.0, 2.0]
    del factor
    with pytest.raises(NameError):
        f(x)
