"""Hooks of several gradients, places on the tape, and when hooks of leaves run: PyTorch's."""

from __future__ import annotations

from typing import Any

import pytest

import fovea
from fovea.errors import ArgumentError, GradientError
from tests.nn.oracle import torch

BOTH = pytest.mark.parametrize("lib", [fovea, torch], ids=["fovea", "torch"])


@BOTH
def test_hooks_of_leaves_see_all_of_the_gradient(lib: Any) -> None:
    """Once in a pass, with the sum of what comes from everywhere."""
    x, calls = lib.ones(1, requires_grad=True), []
    x.register_hook(lambda g: calls.append(g.item()))
    x.register_hook(lambda g: g * 10)
    x.register_post_accumulate_grad_hook(lambda t: calls.append(t.grad.item()))
    y = x * 2
    (y * x + x * 3).sum().backward(retain_graph=True)
    assert calls == [7.0, 70.0]
    lib.autograd.grad(y, x)
    assert calls == [7.0, 70.0, 2.0]
    x.backward()
    assert calls[3:] == [1.0, 80.0]


@BOTH
def test_hooks_of_leaves_where_a_part_has_no_gradient(lib: Any) -> None:
    class Half(lib.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            return a * 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return None

    x, calls = lib.ones(1, requires_grad=True), []
    x.register_hook(lambda g: calls.append(g.item()))
    (Half.apply(x) + x * 3 + x * 4).sum().backward()
    assert calls == [7.0]


@BOTH
@pytest.mark.parametrize("mode", ["all", "any"])
def test_hooks_of_several_gradients(lib: Any, mode: str) -> None:
    graph, calls = lib.autograd.graph, []
    a, b, c = (lib.full((2,), float(n), requires_grad=True) for n in (1, 2, 3))
    d = a * b

    def note(grads: Any) -> None:
        known = grads if isinstance(grads, list | tuple) else [grads]
        calls.append([None if g is None else g.tolist() for g in known])

    handle = graph.register_multi_grad_hook([a, d, c], note, mode=mode)
    (d * b + b).sum().backward(retain_graph=True)
    (a * 2 + c).sum().backward()
    handle.remove()
    (a * 2 + c).sum().backward()
    if mode == "all":
        assert calls == [[[4.0, 4.0], [2.0, 2.0], None], [[2.0, 2.0], None, [1.0, 1.0]]]
    else:
        assert len(calls) == 2 and calls[0] == [[2.0, 2.0]]


@BOTH
def test_edges_stand_for_tensors(lib: Any) -> None:
    graph, grad = lib.autograd.graph, lib.autograd.grad
    a, b = (lib.full((2,), float(n), requires_grad=True) for n in (2, 3))
    y = a * b
    edge, leaf = graph.get_gradient_edge(y), graph.get_gradient_edge(a)
    loss = (y * y).sum()
    at_y, at_a = grad(loss, [edge, leaf], retain_graph=True)
    assert (at_y.tolist(), at_a.tolist(), edge.output_nr) == ([12.0, 12.0], [36.0, 36.0], 0)
    del y
    (found,) = grad(edge, b, lib.full((2,), 5.0), retain_graph=True)
    assert found.tolist() == [10.0, 10.0]
    if lib is fovea:
        found = grad(a.sum(), [edge, leaf], allow_unused=True, materialize_grads=True)
        assert [g.tolist() for g in found] == [[0.0, 0.0], [1.0, 1.0]]
    loss.backward(inputs=[leaf])
    assert a.grad.tolist() == [36.0, 36.0] and b.grad is None


def test_refusals() -> None:
    graph, x = fovea.autograd.graph, fovea.ones(2)
    with pytest.raises(GradientError, match="does not require"):
        graph.get_gradient_edge(x)
    with pytest.raises(ArgumentError, match="'all' or 'any'"):
        graph.register_multi_grad_hook([], print, mode="some")
    edge = graph.get_gradient_edge(x.requires_grad_() * 2)
    with pytest.raises(GradientError, match="only for a scalar"):
        fovea.autograd.grad(edge, x)
