"""The tape against PyTorch: gradients, changes in place, views, hooks, custom functions, second
derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import GradientError, InplaceError, ShapeError

torch = pytest.importorskip("torch")


def both(program: Callable[[Any, Any, Any], Any], *arrays: np.ndarray) -> None:
    """Run ``program(ns, *leaves)`` in fovea and PyTorch (float64): the value and leaf gradients
    must agree.
    """
    results = []
    for ns in (fovea, torch):
        leaves = [ns.tensor(a.tolist(), dtype=ns.float64).requires_grad_() for a in arrays]
        loss = program(ns, *leaves)
        loss.backward()
        results.append([loss.item(), *[None if x.grad is None else x.grad.numpy() for x in leaves]])
    ours, theirs = results
    assert ours[0] == pytest.approx(theirs[0], rel=1e-12)
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        if b is None:
            assert a is None
        else:
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


RNG = np.random.default_rng(0)
A, B, V = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4)), RNG.standard_normal(4)


def inplace_on_view(ns: Any, x: Any, y: Any) -> Any:
    base = x * 2
    view = base[1]
    view.mul_(y[0])
    return (base * view).sum()


def inplace_on_base_seen_by_view(ns: Any, x: Any, y: Any) -> Any:
    base = x * 2
    row, column = base[0], base[:, 1]
    base.add_(y)
    return (row * 3).sum() + (column * column).sum()


def view_of_view(ns: Any, x: Any, y: Any) -> Any:
    base = x * 2
    part = base.t()[1:3].reshape(2, 3)
    part[:, 0] = y[0, 0] * 2
    return (base * base).sum()


def chained_inplace(ns: Any, x: Any, y: Any) -> Any:
    z = x * 1.0
    z.add_(y).mul_(2).sub_(x)
    z[1:, 2] += y[0, 0]
    return (z * z).sum()


def write_into_zeros(ns: Any, x: Any, y: Any) -> Any:
    out = ns.zeros(3, 4, dtype=ns.float64)
    out[0] = x[0]
    out[1:, ::2] = y[1:, ::2] * x[1:, ::2]
    out[ns.tensor([2, 2]), ns.tensor([1, 3])] = x[0, :2]
    return (out * out).sum()


def masked(ns: Any, x: Any, y: Any) -> Any:
    z = x.clone()
    z[z > 0] = 0.5
    z.masked_fill_(y > 1, 2.0)
    return (z * x).sum() + x[x < 0].sum()


def reuse(ns: Any, x: Any, y: Any) -> Any:
    z = x * y
    return (z * z + z.sin() - z / (1 + x * x)).mean() + (x + x).sum()


def relu_in_place(ns: Any, x: Any, y: Any) -> Any:
    z = x * y
    z.relu_()
    return (z.exp() * y).sum()


def mul_in_place_by_parameter(ns: Any, x: Any, y: Any) -> Any:
    z = x * 3
    z.mul_(y)
    z.div_(x)
    return (z * z).sum()


def detached(ns: Any, x: Any, y: Any) -> Any:
    return (x * y.detach() + (x * y).detach() * x).sum()


def split_and_join(ns: Any, x: Any, y: Any) -> Any:
    a, b = x.split([1, 3], dim=1)
    return (ns.cat([b, a, y], 1) * ns.stack([x, y]).sum(0).repeat(1, 2)).sum()


def gather_scatter(ns: Any, x: Any, y: Any) -> Any:
    index = ns.tensor([[0, 1, 2, 0], [2, 2, 1, 1]])
    picked = x.gather(0, index)
    return (y.scatter_add(0, index, picked) ** 2).sum() + x[[0, 0, 2]].prod()


def diagonal(ns: Any, x: Any, y: Any) -> Any:
    z = x * 1
    z.diagonal().mul_(y.diagonal())
    return (z @ y.t()).diagonal().sum()


PROGRAMS = [
    inplace_on_view, inplace_on_base_seen_by_view, view_of_view, chained_inplace, write_into_zeros,
    masked, reuse, relu_in_place, mul_in_place_by_parameter, detached, split_and_join, gather_scatter, diagonal,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_programs(program: Any) -> None:
    both(program, A, B)


def test_broadcast_gradients() -> None:
    both(lambda ns, x, v: (x * v + v / (x.exp() + 1)).sum(), A, V)
    both(lambda ns, x, v: (x.expand(5, 3, 4) @ v).sum(), A, V)


def test_max_ties_and_reductions() -> None:
    tied = np.array([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    both(lambda ns, x: x.amax(1).sum() + x.max() * 2 + x.max(0).values.sum(), tied)
    both(
        lambda ns, x: x.prod(1).sum() + x.var() + x.std(0).sum() + x.norm() + x.logsumexp(1).sum(),
        tied,
    )
    both(lambda ns, x: (x.cumsum(1) * x.cumprod(1)).sum(), tied)


def test_prod_with_zeros() -> None:
    both(lambda ns, x: x.prod(), np.array([0.0, 2.0, 3.0]))
    both(lambda ns, x: x.prod(), np.array([0.0, 0.0, 3.0]))


def test_second_derivative() -> None:
    for ns in (fovea, torch):
        x = ns.tensor([0.3, -0.7], dtype=ns.float64, requires_grad=True)
        (g,) = ns.autograd.grad((x.tanh() * x.exp()).sum(), x, create_graph=True)
        (h,) = ns.autograd.grad((g * g).sum(), x, create_graph=True)
        (t,) = ns.autograd.grad(h.sum(), x)
        found = t.numpy() if ns is fovea else found  # noqa: F821 - set in the first round
    np.testing.assert_allclose(found, t.numpy(), rtol=1e-10)


def test_gradient_penalty_through_backward() -> None:
    grads = []
    for ns in (fovea, torch):
        x = ns.tensor(A.tolist(), dtype=ns.float64, requires_grad=True)
        (x**3).sum().backward(create_graph=True)
        g = x.grad
        x.grad = None
        g.norm().backward()
        grads.append(x.grad.numpy())
    np.testing.assert_allclose(*grads, rtol=1e-10)


def test_gradients_accumulate_and_are_not_shared() -> None:
    a, b = fovea.ones(3, requires_grad=True), fovea.ones(3, requires_grad=True)
    (a + b).sum().backward()
    assert a.grad is not b.grad
    a.grad.add_(1)
    assert b.grad.tolist() == [1, 1, 1]
    (a * 2).sum().backward()
    assert a.grad.tolist() == [4, 4, 4]
    seed = fovea.ones(3)
    c = fovea.ones(3, requires_grad=True)
    c.backward(seed)
    seed.add_(5)
    assert c.grad.tolist() == [1, 1, 1]


def test_backward_twice_needs_retain_graph() -> None:
    x = fovea.ones(2, requires_grad=True)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 4]
    with pytest.raises(GradientError, match="retain_graph=True"):
        y.backward()


def test_stale_saved_tensor_is_an_error() -> None:
    x = fovea.ones(2, requires_grad=True)
    y = x.exp()
    y[0] = 5.0
    with pytest.raises(InplaceError, match="changed in place"):
        y.sum().backward()
    weight = fovea.ones(2, requires_grad=True)
    z = (x * weight).sum()
    with fovea.no_grad():
        weight.add_(1)
    with pytest.raises(InplaceError):
        z.backward()


def test_stale_through_another_view() -> None:
    x = fovea.ones(4, requires_grad=True)
    base = x * 1
    left = base[:3]
    base[1:].mul_(left)  # reads memory that it overwrites
    with pytest.raises(InplaceError):
        base.sum().backward()


def test_leaf_in_place_is_an_error() -> None:
    x = fovea.ones(2, requires_grad=True)
    for change in (lambda: x.add_(1), lambda: x[0].mul_(2), lambda: x.zero_()):
        with pytest.raises(InplaceError, match="leaf"):
            change()
    with fovea.no_grad():
        x.add_(1)
    assert x.tolist() == [2, 2] and x.is_leaf


def test_expanded_in_place_is_an_error() -> None:
    with pytest.raises(InplaceError, match="share memory"):
        fovea.ones(1, 3).expand(2, 3).add_(1)


def test_non_scalar_needs_a_gradient() -> None:
    x = fovea.ones(2, requires_grad=True)
    with pytest.raises(GradientError, match="scalar"):
        (x * 2).backward()
    with pytest.raises(ShapeError):
        (x * 2).backward(fovea.ones(3))
    with pytest.raises(GradientError, match="does not require"):
        fovea.ones(2).sum().backward()


def test_unused_inputs() -> None:
    x, y = (fovea.ones(2, requires_grad=True) for _ in range(2))
    with pytest.raises(GradientError, match="allow_unused"):
        fovea.autograd.grad((x * 2).sum(), [x, y])
    gx, gy = fovea.autograd.grad((x * 2).sum(), [x, y], allow_unused=True)
    assert gx.tolist() == [2, 2] and gy is None
    _, zeros = fovea.autograd.grad((x * 2).sum(), [x, y], allow_unused=True, materialize_grads=True)
    assert zeros.tolist() == [0, 0]


def test_grad_of_an_intermediate_leaves_leaves_alone() -> None:
    x = fovea.ones(2, requires_grad=True)
    y = x * 3
    z = (y * y).sum()
    (gy,) = fovea.autograd.grad(z, y, retain_graph=True)
    assert gy.tolist() == [6, 6] and x.grad is None
    z.backward(inputs=[x])
    assert x.grad.tolist() == [18, 18]


def test_hooks() -> None:
    x = fovea.ones(2, requires_grad=True)
    seen = []
    y = x * 2
    handle = y.register_hook(lambda g: seen.append(g.tolist()) or g * 10)
    x.register_hook(lambda g: g + 1)
    y.retain_grad()
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    y.sum().backward(retain_graph=True)
    assert seen == [[1, 1], [21, 21]] and y.grad.tolist() == [10, 10]
    handle.remove()
    y.sum().backward()
    assert x.grad.tolist() == [24, 24]


def test_modes() -> None:
    x = fovea.ones(2, requires_grad=True)
    with fovea.no_grad():
        assert not (x * 2).requires_grad
        with fovea.enable_grad():
            assert (x * 2).requires_grad
    with fovea.inference_mode():
        assert not (x * 2).requires_grad

    @fovea.no_grad()
    def quiet() -> bool:
        return (x * 2).requires_grad

    assert not quiet() and (x * 2).requires_grad
    fovea.set_grad_enabled(False)
    assert not (x * 2).requires_grad
    fovea.set_grad_enabled(True)


def switched(ns: Any) -> list[Any]:
    """Modes within and after what decorators switch."""
    seen: list[Any] = []

    @ns.set_grad_enabled(False)
    def quiet() -> bool:
        return bool(ns.is_grad_enabled())

    seen += [ns.is_grad_enabled(), quiet(), ns.is_grad_enabled()]

    def numbers() -> Any:
        got = []
        for _ in range(2):
            try:
                got.append((yield ns.is_grad_enabled()))
            except ValueError:
                got.append(("thrown", ns.is_grad_enabled()))
        return got

    for mode in (ns.no_grad, ns.no_grad(), ns.inference_mode(), ns.enable_grad()):
        for step in ("send", "throw", "close"):
            with ns.set_grad_enabled(mode is not ns.enable_grad):
                generator = mode(numbers)()
                seen += [next(generator), ns.is_grad_enabled()]
                try:
                    if step == "send":
                        seen += [generator.send(3), generator.send(4)]
                    elif step == "throw":
                        seen += [generator.throw(ValueError()), next(generator)]
                except StopIteration as end:
                    seen.append(end.value)
                generator.close()
                seen.append(ns.is_grad_enabled())
    return seen


def test_decorators_switch_what_they_decorate() -> None:
    assert switched(fovea) == switched(torch)


class Clip(fovea.autograd.Function):
    """Clamp whose gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, x: Any, low: float) -> Any:
        ctx.save_for_backward(x)
        ctx.low = low
        return x.clamp(low)

    @staticmethod
    def backward(ctx: Any, gy: Any) -> Any:
        (x,) = ctx.saved_tensors
        assert ctx.needs_input_grad == (True, False)
        return gy * (x * 0 + 1), None


def test_custom_function() -> None:
    x = fovea.tensor([-1.0, 2.0], requires_grad=True)
    y = Clip.apply(x, 0.0)
    assert y.tolist() == [0, 2]
    y.sum().backward()
    assert x.grad.tolist() == [1, 1]
    assert fovea.autograd.gradgradcheck(
        lambda t: Clip.apply(t * t, 0.0), fovea.rand(3, dtype=fovea.float64, requires_grad=True)
    )


def test_custom_function_with_a_missing_gradient() -> None:
    class Two(fovea.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, g2: Any, g3: Any) -> Any:
            return g2 * 2 + g3 * 3

    x = fovea.ones(2, requires_grad=True)
    Two.apply(x)[1].sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_gradcheck_finds_a_wrong_gradient() -> None:
    class Wrong(fovea.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, gy: Any) -> Any:
            return gy * 3

    x = fovea.rand(2, dtype=fovea.float64, requires_grad=True)
    with pytest.raises(GradientError, match="differs"):
        fovea.autograd.gradcheck(Wrong.apply, x)
    assert not fovea.autograd.gradcheck(Wrong.apply, x, raise_exception=False)


def test_requires_grad_needs_floats() -> None:
    with pytest.raises(TypeError, match="floating"):
        fovea.tensor([1, 2], requires_grad=True)


def test_tape_frees_memory() -> None:
    import gc
    import weakref

    gc.disable()
    try:
        x = fovea.ones(10, requires_grad=True)
        y = x.exp()
        ref = weakref.ref(y.grad_fn)
        loss = (y * y).sum()
        loss.backward()
        del y, loss
        assert ref() is None  # no cycles: freed without the garbage collector
    finally:
        gc.enable()


@pytest.mark.parametrize("of_view", [False, True])
def test_a_function_that_changes_its_input(of_view: bool) -> None:
    """``mark_dirty``: the input goes on as the output, the rest of its base as before."""
    found: dict[Any, Any] = {}
    for lib in (fovea, torch):

        class Tripled(lib.autograd.Function):  # type: ignore[misc]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.mark_dirty(x)
                return x.mul_(3)

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g * 3

        leaf = lib.arange(4.0).requires_grad_()
        x = leaf * 2
        part = x[1:3] if of_view else x
        out = Tripled.apply(part)
        (x * lib.arange(1.0, 5.0)).sum().backward()
        found[lib] = x.tolist(), leaf.grad.tolist(), out is part
        with pytest.raises(RuntimeError, match="leaf"):
            Tripled.apply(lib.ones(1, requires_grad=True))
    assert found[fovea] == found[torch]
    assert found[fovea][1] == [2, 12, 18, 8] if of_view else found[fovea][2]


def test_arguments_of_functions_by_name_and_gradients_too_many() -> None:
    for lib in (fovea, torch):

        class Scaled(lib.autograd.Function):  # type: ignore[misc]
            @staticmethod
            def forward(ctx: Any, x: Any, by: float, shape: Any = None) -> Any:
                ctx.by = by
                return (x * by).reshape(shape or x.shape)

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g.reshape(-1) * ctx.by, None, None, None, None

        x = lib.ones(4, requires_grad=True)
        Scaled.apply(x, 3.0).sum().backward()
        assert x.grad.tolist() == [3, 3, 3, 3]
        y = lib.ones(4, requires_grad=True)
        out = Scaled.apply(y, by=2.0, shape=(2, 2))
        out.sum().backward()
        assert out.shape == (2, 2) and y.grad.tolist() == [2, 2, 2, 2]


def test_names_of_what_made_a_tensor() -> None:
    for lib in (fovea, torch):
        x = lib.ones(2, requires_grad=True)
        for made, name in ((x * 2, "MulBackward0"), (x.exp(), "ExpBackward0")):
            assert made.grad_fn.name() == name and repr(made).endswith(f"grad_fn=<{name}>)")
            assert repr(made.grad_fn).startswith(f"<{name} object at 0x")
        assert Clip.apply(fovea.ones(1, requires_grad=True), 0.0).grad_fn.name() == "ClipBackward"
