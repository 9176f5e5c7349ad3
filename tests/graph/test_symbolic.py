"""Templates for any batch size say what captures at that size say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn as nn
import fovea.nn.functional as F
from fovea.errors import GraphError
from fovea.graph import Graph
from fovea.graph.formulas import NoFormulaError, fit
from fovea.graph.interpret import interpret
from fovea.graph.symbolic import batch_sizes, derive, separated
from fovea.graph.verify import verify
from fovea.ops.elementwise import relu
from tests.graph.builder import Builder


def captured(function: Callable[..., Any], *arguments: Any) -> Graph:
    """The graph of a call; called often enough to have made what lives from call to call."""
    compiled = fovea.compile(function, strict=True)
    for _ in range(3):
        compiled(*arguments)
    graph: Graph = compiled.programs[0].graph
    return graph


def plain(graph: Graph) -> str:
    """A graph as text, with all elements of its constants."""
    graph = separated(graph)
    arrays = [c.array.tobytes() for c in graph.constants]
    return f"{graph}\n{arrays}"


def check(
    function: Callable[..., Any],
    arguments: Callable[[int], Any],
    sizes: Any = (4, 6),
    other: int = 5,
) -> None:
    """The template of some sizes is right about them and about another one."""
    captures = [(n, captured(function, *arguments(n))) for n in sizes]
    template = derive(captures)
    for n, graph in [*captures, (other, captured(function, *arguments(other)))]:
        made, values = template.instantiate(n)
        verify(made)
        assert plain(made) == plain(graph)
        assert list(values.values()) == list(made.values())
    assert batch_sizes([g for _, g in captures]) == list(sizes)


# -- captures ---------------------------------------------------------------------------------


def test_a_training_step() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.1),
        nn.Conv2d(4, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5),
    )  # fmt: skip
    optimizer = fovea.optim.Adam(model.parameters(), lr=0.01)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    check(step, lambda n: (fovea.randn(n, 3, 8, 8), fovea.randint(0, 5, (n,))))


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "elements": lambda x: (x * 2 + 1).relu(),
    "mean": lambda x: x.mean(),
    "mean over the batch": lambda x: x.mean(0),
    "unbiased variance": lambda x: x.var(0),
    "flat": lambda x: x.reshape(-1) * 2,
    "turned": lambda x: (x.transpose(0, 1) + 1).reshape(-1),
    "all but the first": lambda x: x[1:] - x[:-1],
    "backwards": lambda x: x.flip(0),
    "twice": lambda x: fovea.cat([x, -x, x]),
    "similarities": lambda x: x @ x.T,
    "softmax over the batch": lambda x: x.softmax(0),
    "picked": lambda x: x[fovea.arange(x.shape[0]), 0],
    "zeros": lambda x: fovea.cat([x, fovea.zeros(x.shape[0], 2)], 1),
    "sum over the number": lambda x: x.sum() / x.shape[0],
    "times the number": lambda x: x * x.shape[0],
    "noise": lambda x: x + fovea.rand_like(x),
    "in place": lambda x: x.clone().mul_(2).add_(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    check(FUNCTIONS[name], lambda n: (fovea.randn(n, 3),))


def test_what_was_instantiated_runs() -> None:
    def f(x: Any) -> Any:
        return (x - x.mean(0)) / x.std(0)

    template = derive([(n, captured(f, fovea.randn(n, 3))) for n in (4, 7)])
    for n in (2, 11, 64):
        x = fovea.randn(n, 3)
        (out,), _ = interpret(template.instantiate(n)[0], [x])
        np.testing.assert_allclose(out.numpy(), f(x).numpy(), rtol=1e-5, atol=1e-6)


# -- what has no template ---------------------------------------------------------------------


def refused(function: Callable[[Any], Any], sizes: Any = (4, 6)) -> str:
    with pytest.raises(GraphError) as caught:
        derive([(n, captured(function, fovea.randn(n, 3))) for n in sizes])
    return str(caught.value)


def test_other_nodes() -> None:
    assert "other inputs, states, constants or nodes" in refused(
        lambda x: x.exp() if len(x) > 4 else x.log()
    )
    assert "reads other values" in refused(lambda x: (x, y := x * 2)[len(x) > 4] - y)
    assert "other outputs" in refused(lambda x: (x * 2, x * 3)[:: 1 if len(x) > 4 else -1])


def test_numbers_that_follow_no_formula() -> None:
    assert "follow no formula" in refused(lambda x: x * (0.3 if len(x) > 4 else 0.7))
    assert "do not grow with" in refused(lambda x: x[: len(x) ** 2 // 20] * 1, (5, 7, 9))


def test_a_square_is_found_out() -> None:
    def f(x: Any) -> Any:
        return (x @ x.T).reshape(-1) * 2

    assert "the shape of" in refused(f, (4, 6, 9))
    template = derive([(n, captured(f, fovea.randn(n, 3))) for n in (4, 6)])  # two cannot tell
    with pytest.raises(
        GraphError, match=r"\(4, 6\) do not tell what 7 needs: verify: view refuses"
    ):
        template.instantiate(7)


def test_a_third_size_decides() -> None:
    def halves(x: Any) -> Any:
        return x[1 : len(x) // 2 * 2] * 2

    template = derive([(n, captured(halves, fovea.randn(n, 3))) for n in (4, 6)])
    assert template.instantiate(5)[0].outputs[0].shape == (4, 3)  # a wrong guess
    assert "do not grow with" in refused(halves, (4, 6, 7))


def test_sizes() -> None:
    x = captured(lambda x: x * 2, fovea.randn(4, 3))
    for sizes in ((4,), (4, 4), (1, 4), ()):
        with pytest.raises(GraphError, match="not two or more different batch sizes"):
            derive([(n, x) for n in sizes])
    template = derive([(n, captured(lambda x: x * 2, fovea.randn(n, 3))) for n in (4, 5)])
    with pytest.raises(GraphError, match="a batch of 1 is computed in another way"):
        template.instantiate(1)
    shorter = derive([(n, captured(lambda x: x[3:] * 2, fovea.randn(n, 3))) for n in (5, 6)])
    with pytest.raises(GraphError, match=r"shape \(-1, 3\)"):
        shorter.instantiate(2)


def test_where_the_batch_stands() -> None:
    def of(*shapes: tuple[int, ...]) -> Graph:
        b = Builder()
        inputs = [b.input(*s) for s in shapes]
        return b.graph(b(relu, inputs[0]))

    assert batch_sizes([of((4, 3), (4,)), of((8, 3), (8,))]) == [4, 8]
    assert batch_sizes([of((4, 3)), of((4, 3))]) is None
    assert batch_sizes([of((4, 3), (5,)), of((8, 3), (9,))]) is None
    assert batch_sizes([of((4, 3)), of((8, 3, 1))]) is None


# -- formulas ---------------------------------------------------------------------------------


def f32(x: float) -> float:
    return float(np.float32(x))


REALS: dict[str, Callable[[int], float]] = {
    "1 / n": lambda n: 1 / n,
    "1 / (49 n)": lambda n: 1.0 / (49 * n),
    "2 / n": lambda n: 2.0 / n,
    "-3 / n": lambda n: -3.0 / n,
    "0.1 / n": lambda n: 0.1 / n,
    "n": lambda n: float(n),
    "n / 3": lambda n: n / 3,
    "49 n / (49 n - 1)": lambda n: 49 * n / (49 * n - 1),
    "n / (n - 1)": lambda n: n / (n - 1),
    "1 / (n - 1)": lambda n: 1 / (n - 1),
    "constant": lambda n: 0.1,
}


@pytest.mark.parametrize("rounded", [lambda x: x, f32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", REALS)
def test_reals(name: str, rounded: Callable[[float], float]) -> None:
    f = REALS[name]
    for sizes in ((2, 3), (4, 64), (64, 37), (100, 7, 12)):
        formula = fit(sizes, [rounded(f(n)) for n in sizes], rounded)
        for n in (2, 5, 16, 33, 1000):
            assert rounded(formula(n)) == pytest.approx(rounded(f(n)), rel=2e-7)
            if name != "0.1 / n":
                assert rounded(formula(n)) == rounded(f(n))


def test_nested_values() -> None:
    from fovea.ops.random import UniformAttrs

    attrs = [UniformAttrs.of((n, 3 * n - 1), fovea.float32, -1.0 / n, 1.0) for n in (4, 6, 9)]
    assert fit((4, 6, 9), attrs)(5) is UniformAttrs.of((5, 14), fovea.float32, -0.2, 1.0)


@pytest.mark.parametrize(
    "values",
    [(1, 2.0), (1, True), ("a", "b"), ((1,), (1, 2)), (0.3, 0.7), (None, 1), (1, 4, 2), (1, 2, 4)],
)
def test_no_formula(values: Any) -> None:
    with pytest.raises(NoFormulaError):
        fit((2, 4, 6)[: len(values)] if values != (1, 2) else (2, 5), values)
