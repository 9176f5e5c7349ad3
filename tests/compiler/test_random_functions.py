"""Random functions: eager, compiled and PyTorch's results agree, and so do all tensors changed on
the way."""

from __future__ import annotations

import itertools
import os
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import InplaceError
from tests.compiler.random_functions import ARGUMENTS, Function

torch = pytest.importorskip("torch")

# How many functions are drawn of each kind; a long run finds what the gate has no time for.
DRAWN = int(os.environ.get("FOVEA_RANDOM_FUNCTIONS", "30"))
CALLS = 3  # the first is captured, the others are run as programs


def arrays(tensors: Any) -> list[np.ndarray[Any, Any]]:
    return [np.array(t.detach().numpy()) for t in tensors]


def agree(function: Function, found: list[Any], expected: list[Any], what: str) -> None:
    for i, (a, b) in enumerate(zip(arrays(found), arrays(expected), strict=True)):
        limit = 1e-4 * max(1.0, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, 1e-4, limit, err_msg=f"{what}, tensor {i}\n{function}")


@pytest.mark.parametrize("seed", range(DRAWN))
def test_calls(seed: int) -> None:
    """With changes in place of arguments, of views and of what lives from call to call."""
    f = Function(seed)
    compiled = fovea.compile(lambda arguments, state: f(fovea, arguments, state), strict=True)
    mine, programs, theirs = f.state(fovea), f.state(fovea), f.state(torch)
    for call in range(CALLS):
        x, y = ([fovea.from_numpy(a) for a in f.arguments(call)] for _ in range(2))
        z = [torch.from_numpy(a) for a in f.arguments(call)]
        with fovea.no_grad(), torch.no_grad():
            eager, found, expected = f(fovea, x, mine), compiled(y, programs), f(torch, z, theirs)
        everything = [*expected, *z, *theirs.values()]
        agree(f, [*eager, *x, *mine.values()], everything, f"eager, call {call}")
        agree(f, [*found, *y, *programs.values()], everything, f"compiled, call {call}")
    assert compiled.programs


def stepped(f: Function, library: Any, arguments: list[Any], state: dict[str, Any]) -> list[Any]:
    """Forward, backward, and a step of gradient descent; returns the loss and the gradients."""
    loss = sum((y * y).mean() for y in f(library, arguments, state))
    loss.backward()  # type: ignore[union-attr]
    weight = state["weight"]
    grads = [t.grad for t in (*arguments, weight) if t.grad is not None]
    if weight.grad is not None:
        with library.no_grad():
            weight.sub_(weight.grad * 0.1)
        weight.grad = None
    return [loss, *grads]


@pytest.mark.parametrize("seed", range(DRAWN * 2 // 3))
def test_steps(seed: int) -> None:
    f = Function(seed, gradients=True)
    compiled = fovea.compile(lambda a, state: stepped(f, fovea, a, state), strict=True)
    mine, programs, theirs = f.state(fovea), f.state(fovea), f.state(torch)
    for state in (mine, programs, theirs):
        state["weight"].requires_grad_()
    for call in range(CALLS):
        x, y = ([fovea.from_numpy(a).requires_grad_() for a in f.arguments(call)] for _ in range(2))
        z = [torch.from_numpy(a).requires_grad_() for a in f.arguments(call)]
        eager, found = stepped(f, fovea, x, mine), compiled(y, programs)
        expected = [*stepped(f, torch, z, theirs), *theirs.values()]
        agree(f, [*eager, *mine.values()], expected, f"eager, call {call}")
        agree(f, [*found, *programs.values()], expected, f"compiled, call {call}")
    assert compiled.programs


def through(call: Any, library: Any, arrays: list[Any]) -> list[Any]:
    """Call with arguments in the middle of a tape, and go back through results and arguments."""
    leaves = [library.from_numpy(a).requires_grad_() for a in arrays]
    arguments = [leaf * 1 for leaf in leaves]
    results = call(library, arguments)
    loss = sum((y * y).mean() for y in (*results, *arguments))
    loss.backward()  # type: ignore[union-attr]
    grads = [leaf.new_zeros(leaf.shape) if leaf.grad is None else leaf.grad for leaf in leaves]
    return [loss, *results, *arguments, *grads]


@pytest.mark.parametrize("seed", range(DRAWN * 2 // 3))
def test_changes_on_the_tape(seed: int) -> None:
    """Arguments in the middle of a tape are changed; where PyTorch's backward survives it."""
    f = Function(seed, changes=ARGUMENTS, steps=8)
    program = fovea.compile(lambda arguments, state: f(fovea, arguments, state), strict=True)

    def call(library: Any, arguments: list[Any]) -> list[Any]:
        return f(library, arguments, f.state(library))

    def compiled(library: Any, arguments: list[Any]) -> Any:
        return program(arguments, f.state(library))

    for n in range(CALLS):
        try:
            expected = through(call, torch, f.arguments(n))
        except RuntimeError:
            pytest.skip("PyTorch's backward needs what was changed")
        try:
            eager = through(call, fovea, f.arguments(n))
        except InplaceError:
            pytest.skip("backward needs what was changed")
        agree(f, eager, expected, f"eager, call {n}")
        agree(f, through(compiled, fovea, f.arguments(n)), expected, f"compiled, call {n}")
    assert len(program.programs) == 1


@pytest.mark.parametrize("seed", range(DRAWN))
def test_batch_sizes(seed: int) -> None:
    """Programs for sizes that were never captured."""
    f, runs = Function(seed, batch=6), itertools.count()

    programs, theirs = f.state(fovea), f.state(torch)

    def function(arguments: list[Any]) -> Any:
        next(runs)
        return f(fovea, arguments, programs)

    compiled = fovea.compile(function, dynamic=True, strict=True)
    for call, n in enumerate((6, 7, 11, 6, 9)):
        x = [fovea.from_numpy(a) for a in f.arguments(call, n)]
        y = [torch.from_numpy(a) for a in f.arguments(call, n)]
        with fovea.no_grad(), torch.no_grad():
            try:
                expected = f(torch, y, theirs)
            except (RuntimeError, IndexError):
                pytest.skip("it takes this size alone")
            found = compiled(x)
        agree(f, [*found, *x, *programs.values()], [*expected, *y, *theirs.values()], f"batch {n}")
    refused = [family.why for family in compiled._families.values()]
    assert next(runs) == 2 or "do not grow" in refused[0]  # as every other of n elements
