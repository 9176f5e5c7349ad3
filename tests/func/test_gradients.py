"""fovea.func's derivatives against torch.func's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, DTypeError, GradientError, ShapeError
from tests.func.compare import both, torch

RNG = np.random.default_rng(0)
A, B, S = RNG.standard_normal((2, 3)), RNG.standard_normal(3), np.array(0.7)


def energy(a: Any, b: Any) -> Any:
    return ((a @ b).sin() ** 2).sum() * b.prod()


def tree_of(d: Any, pair: Any) -> Any:
    return (d["w"] @ pair[0]).exp().sum() + (pair[1] ** 2).sum() * d["more"][0].sum()


NESTED = {"w": A, "more": [B]}, (B, B * 2)

PROGRAMS = {
    "grad": lambda ns, a, b: ns.func.grad(energy)(a, b),
    "argnums": lambda ns, a, b: ns.func.grad(energy, argnums=(1, 0))(a, b),
    "last": lambda ns, a, b: ns.func.grad(energy, argnums=-1)(a, b),
    "value": lambda ns, a, b: ns.func.grad_and_value(energy, argnums=(0,))(a, b),
    "keywords": lambda ns, a, b: ns.func.grad(energy)(a, b=b),
    "aux": lambda ns, a, b: ns.func.grad(lambda a: (energy(a, b), {"z": a * 2}), has_aux=True)(a),
    "value_aux": lambda ns, a, b: ns.func.grad_and_value(
        lambda a: (energy(a, b), a * 2), has_aux=True)(a),
    "unused": lambda ns, a, b: ns.func.grad(lambda a, b: (a * a).sum(), argnums=(0, 1))(a, b),
    "constant": lambda ns, a, b: ns.func.grad(lambda a: b.sum())(a),
    "twice": lambda ns, a, b: ns.func.grad(lambda b: ns.func.grad(energy)(a, b).sum())(b),
    "confusion": lambda ns, a, b: ns.func.grad(
        lambda x: x * ns.func.grad(lambda y: x * y)(b[0]))(b[1]),
    "confusion_2": lambda ns, a, b: ns.func.grad(
        lambda x: (x * ns.func.grad(lambda y: (x.detach() + x * y) ** 2)(x)))(b[1]),
    "third": lambda ns, a, b: ns.func.grad(ns.func.grad(ns.func.grad(lambda x: x**5)))(b[0]),
    "no_grad_inside": lambda ns, a, b: ns.func.grad(lambda b: (b * frozen(ns, b)).sum())(b),
    "vjp": lambda ns, a, b: pulled(ns, lambda a, b: (a @ b, {"s": a * 2}), (a, b),
                                   (a[:, 0], {"s": a})),
    "vjp_aux": lambda ns, a, b: (lambda out: (out[0], out[1](b), out[2]))(
        ns.func.vjp(lambda b: (b.exp(), b * 3), b, has_aux=True)),
    "vjp_unused": lambda ns, a, b: pulled(ns, lambda a, b: b * b, (a, b), b),
    "jvp": lambda ns, a, b: ns.func.jvp(lambda a, b: (a @ b, [a.sin()]), (a, b), (a * 2, b + 1)),
    "jvp_aux": lambda ns, a, b: ns.func.jvp(lambda b: (b.exp(), b * 3), (b,), (b,), has_aux=True),
    "jvp_constant": lambda ns, a, b: ns.func.jvp(lambda b: (a * 1, b), (b,), (b,)),
    "jvp_integers": lambda ns, a, b: ns.func.jvp(lambda b: (b > 0, b.long()), (b,), (b,)),
    "jvp_jvp": lambda ns, a, b: ns.func.jvp(
        lambda x: ns.func.jvp(lambda y: (y**3).sum(), (x,), (b,))[1], (b,), (b * 2,)),
    "hvp": lambda ns, a, b: ns.func.jvp(ns.func.grad(lambda b: energy(a, b)), (b,), (b,)),
    "grad_jvp": lambda ns, a, b: ns.func.grad(
        lambda x: ns.func.jvp(lambda y: (y**3).sum(), (x,), (b,))[1])(b),
    "linearize": lambda ns, a, b: linear(ns, lambda a, b: (a @ b, a.cos()), (a, b)),
    "jacrev": lambda ns, a, b: ns.func.jacrev(energy, argnums=(0, 1))(a, b),
    "jacrev_tree": lambda ns, a, b: ns.func.jacrev(
        lambda d: {"o": d["a"] @ d["b"], "p": d["b"].sum()})({"a": a, "b": b}),
    "jacrev_chunks": lambda ns, a, b: ns.func.jacrev(lambda a: a.sin() @ b, chunk_size=1)(a),
    "jacrev_aux": lambda ns, a, b: ns.func.jacrev(lambda a: (a @ b, a * 2), has_aux=True)(a),
    "jacrev_unused": lambda ns, a, b: ns.func.jacrev(lambda a, b: (b, a), argnums=(0, 1))(a, b),
    "jacfwd": lambda ns, a, b: ns.func.jacfwd(lambda a, b: (a @ b, a.sin()), argnums=(0, 1))(a, b),
    "jacfwd_wide": lambda ns, a, b: ns.func.jacfwd(lambda a: a.flatten()[:2].sin())(a),
    "jacfwd_tall": lambda ns, a, b: ns.func.jacfwd(lambda b: b[:, None] * a.t())(b),
    "jacfwd_aux": lambda ns, a, b: ns.func.jacfwd(lambda a: (a @ b, a * 2), has_aux=True)(a),
    "jacfwd_tree": lambda ns, a, b: ns.func.jacfwd(lambda d: d["a"] * d["b"])({"a": a, "b": b}),
    "jacfwd_unused": lambda ns, a, b: ns.func.jacfwd(lambda a, b: (b, a), argnums=(0, 1))(a, b),
    "hessian": lambda ns, a, b: ns.func.hessian(energy, argnums=(0, 1))(a, b),
    "hessian_one": lambda ns, a, b: ns.func.hessian(lambda b: (b.sin() ** 2).sum())(b),
    "jacrev_jacrev": lambda ns, a, b: ns.func.jacrev(ns.func.jacrev(lambda b: (b**3).sum()))(b),
    "zero_dim": lambda ns, a, b: (ns.func.jacrev(ns.sin)(b[0]), ns.func.jacfwd(ns.sin)(b[0])),
}  # fmt: skip


def frozen(ns: Any, b: Any) -> Any:
    with ns.no_grad():
        return b * b


def pulled(ns: Any, func: Any, primals: Any, cotangents: Any) -> Any:
    out, pull = ns.func.vjp(func, *primals)
    return out, pull(cotangents), pull(cotangents)


def linear(ns: Any, func: Any, primals: Any) -> Any:
    out, push = ns.func.linearize(func, *primals)
    return out, push(*primals), push(*(p * 2 for p in primals))


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_programs(name: str) -> None:
    both(PROGRAMS[name], A, B)


COMPLEX = {
    "grad": lambda ns, z: ns.func.grad(lambda z: (z * z.conj()).real.sum() + z.imag.sum())(z),
    "vjp": lambda ns, z: ns.func.vjp(lambda z: z * z + z.conj(), z)[1](z),
    "jvp": lambda ns, z: ns.func.jvp(lambda z: (z * z + z.conj(), z.abs()), (z,), (z * 2j,)),
    "grad_grad": lambda ns, z: ns.func.grad(
        lambda z: ns.func.grad(lambda z: (z**3).real.sum())(z).imag.sum())(z),
    "vmap": lambda ns, z: ns.vmap(ns.func.grad(lambda z: (z * z.conj()).real.sum()))(z),
}  # fmt: skip


@pytest.mark.parametrize("name", list(COMPLEX))
def test_complex_numbers(name: str) -> None:
    both(COMPLEX[name], A + 1j * A[::-1])


def test_trees() -> None:
    both(lambda ns, d, pair: ns.func.grad(tree_of, argnums=(0, 1))(d, pair), *NESTED)


def test_the_outer_tape_goes_on() -> None:
    def program(ns: Any, a: Any, b: Any) -> Any:
        a, b = a.requires_grad_(), b.requires_grad_()
        value, pull = ns.func.vjp(lambda a: a @ b, a)
        found = [
            *ns.func.grad_and_value(lambda a: energy(a, b))(a),
            value, *pull(a[:, 0]),
            *ns.func.jvp(lambda a: (a * b).sin(), (a,), (a * 2,)),
            ns.func.jacrev(lambda a: (a**2) @ b)(a), ns.func.jacfwd(lambda a: (a**2) @ b)(a),
        ]  # fmt: skip
        total = sum((t**2).sum() for t in found)
        return found, ns.autograd.grad(total, (a, b))

    both(program, A, B)


def test_a_tensor_of_the_caller_keeps_its_gradient() -> None:
    def program(ns: Any, a: Any, b: Any) -> Any:
        b = b.requires_grad_()
        g = ns.func.grad(energy)(a, b)  # b is not differentiated by, but requires a gradient
        return g, ns.autograd.grad((g**2).sum(), b)

    both(program, A, B)


def test_no_grad_outside() -> None:
    def program(ns: Any, a: Any, b: Any) -> Any:
        b = b.requires_grad_()
        with ns.no_grad():
            return ns.func.grad_and_value(energy, argnums=1)(a, b)

    both(program, A, B)


def test_results_are_not_on_the_tape() -> None:
    a, b = fovea.tensor(A), fovea.tensor(B)
    g, v = fovea.func.grad_and_value(energy)(a, b)
    assert not g.requires_grad and not v.requires_grad
    assert not a.requires_grad and a.grad is None


def test_many_ops_forward() -> None:
    def f(ns: Any, x: Any) -> Any:
        y = ns.nn.functional.softmax(x, 1) + ns.nn.functional.layer_norm(x, (x.shape[1],))
        y = ns.cat([y, x.relu(), ns.nn.functional.gelu(x)], 1).cumsum(1)
        y = ns.nn.functional.conv2d(y.reshape(1, 1, *y.shape), ns.ones(2, 1, 2, 2, dtype=x.dtype))
        y = ns.nn.functional.max_pool2d(y, (1, 2)).amax(3) + ns.nn.functional.avg_pool2d(
            y, (1, 3)
        ).sum(3)
        return y.sort(1)[0].logsumexp(2) + x[ns.tensor([0, 1]), ns.tensor([1, 1])].prod()

    both(lambda ns, x: ns.func.jvp(lambda x: f(ns, x), (x,), (x.cos(),)), A)
    both(lambda ns, x: ns.func.jacfwd(lambda x: f(ns, x))(x), A)


def test_errors() -> None:
    a, b = fovea.tensor(A), fovea.tensor(B)
    grad, vjp, jvp = fovea.func.grad, fovea.func.vjp, fovea.func.jvp
    cases: list[tuple[type[Exception], str, Any]] = [
        (ShapeError, "0-d tensor", lambda: grad(lambda a: a)(a)),
        (GradientError, "must return a tensor", lambda: grad(lambda a: 3.0)(a)),
        (DTypeError, "must return a float", lambda: grad(lambda a: a.sum().long())(a)),
        (ArgumentError, "has_aux", lambda: grad(lambda a: a.sum(), has_aux=True)(a)),
        (ArgumentError, "argnum 5", lambda: grad(energy, argnums=5)(a, b)),
        (ArgumentError, "unique", lambda: grad(energy, argnums=(0, -2))(a, b)),
        (ArgumentError, "empty", lambda: grad(energy, argnums=())(a, b)),
        (ArgumentError, "integers", lambda: grad(energy, argnums="x")(a, b)),  # type: ignore[arg-type]
        (DTypeError, "floating-point", lambda: grad(lambda a: a.sum())(fovea.arange(3))),
        (ArgumentError, "must be tensors, got float", lambda: grad(lambda a: a)(3.0)),
        (ArgumentError, "outputs must be tensors", lambda: vjp(lambda a: 3.0, a)),
        (ArgumentError, "cotangents", lambda: vjp(lambda a: (a, a), a)[1](a)),
        (ShapeError, "gradient", lambda: vjp(lambda a: a * 1, a)[1](b)),
        (ArgumentError, "tuple of arguments", lambda: jvp(lambda a: a, a, a)),
        (ArgumentError, "tangents", lambda: jvp(lambda a: a, (a,), (a, a))),
        (ShapeError, "tangent's shape", lambda: jvp(lambda a: a, (a,), (b,))),
        (GradientError, "independent", lambda: jvp(lambda a: a.detach(), (a,), (a,), strict=True)),
        (
            DTypeError,
            "must be real",
            lambda: fovea.func.jacfwd(lambda a: a)(a.to(fovea.complex128)),
        ),
        (DTypeError, "must return a float", lambda: grad(lambda a: (a * 1j).sum())(a)),
        (DTypeError, "must return floats", lambda: fovea.func.jacrev(lambda a: a > 0)(a)),
        (ArgumentError, "chunk_size", lambda: fovea.func.jacrev(energy, chunk_size=0)),
    ]
    for kind, message, program in cases:
        with pytest.raises(kind, match=message):
            program()


# -- modules --------------------------------------------------------------------------------------


def network(ns: Any) -> Any:
    nn = ns.nn
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).double()
    for n, p in enumerate(net.parameters()):
        with ns.no_grad():
            line = ns.linspace(-1, 1, p.numel(), dtype=ns.float64)
            p.copy_(line.reshape(p.shape) * (1 + n))
    return net


def test_functional_call() -> None:
    def program(ns: Any, x: Any) -> Any:
        net = network(ns)
        weights = {k: v.detach() * 0.5 for k, v in net.named_parameters()}
        state = {k: v.clone() for k, v in net.named_buffers()}

        def loss(weights: Any, state: Any) -> Any:
            return (ns.func.functional_call(net, (weights, state), (x,)) ** 2).sum()

        g = ns.func.grad(loss)(weights, state)
        assert all(p.grad is None for p in net.parameters())
        own = ns.func.functional_call(net, {}, x)  # with what the module has
        return g, list(state.values()), [b * 1 for b in net.buffers()], own.detach()

    both(program, RNG.standard_normal((5, 3)))


class Tied(fovea.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = fovea.nn.Linear(2, 2, bias=False)
        self.b = self.a

    def forward(self, x: Any) -> Any:
        return self.b(self.a(x))


class TiedWeights(Tied):
    def __init__(self) -> None:
        super().__init__()
        self.b = fovea.nn.Linear(2, 2, bias=False)
        self.b.weight = self.a.weight


def test_tied_weights() -> None:
    call, x = fovea.func.functional_call, fovea.ones(2)
    net, eye = TiedWeights(), fovea.eye(2)
    assert call(net, {"a.weight": eye * 2}, x).tolist() == [4, 4]
    assert call(net, {"a.weight": eye, "b.weight": eye * 3}, x, tie_weights=False).tolist() == [
        3,
        3,
    ]
    with pytest.raises(ArgumentError, match="one tensor"):
        call(net, {"a.weight": eye, "b.weight": eye * 3}, x)
    assert call(net, {"a.weight": eye}, x, strict=True).tolist() == [1, 1]
    assert net.a.weight is net.b.weight
    assert call(Tied(), {"b.weight": eye * 2}, x).tolist() == [4, 4]


def test_errors_of_functional_call() -> None:
    call, x, net = fovea.func.functional_call, fovea.ones(2), fovea.nn.Linear(2, 2)
    own = net.weight
    with pytest.raises(ArgumentError, match=r"missing +bias\n *unknown +z"):
        call(net, {"weight": fovea.eye(2), "z": x}, x, strict=True)
    with pytest.raises(ArgumentError, match="several dictionaries"):
        call(net, [{"weight": x}, {"weight": x}], x)
    with pytest.raises(ArgumentError, match="dictionary"):
        call(net, 3, x)
    with pytest.raises(ShapeError):
        call(net, {"weight": fovea.eye(3)}, x)
    assert net.weight is own


def test_stack_module_state() -> None:
    models = [network(fovea) for _ in range(3)]
    weights, state = fovea.func.stack_module_state(models)
    assert weights["0.weight"].shape == (3, 4, 3) and weights["0.weight"].is_leaf
    assert weights["0.weight"].requires_grad and not state["1.running_mean"].requires_grad
    assert state["1.num_batches_tracked"].shape == (3,)
    for models, message in (
        ([], "at least one"),
        ([fovea.nn.ReLU(), fovea.nn.Tanh()], "same class"),
        ([fovea.nn.ReLU(), fovea.nn.ReLU().eval()], "same mode"),
    ):
        with pytest.raises(ArgumentError, match=message):
            fovea.func.stack_module_state(models)


def test_captured() -> None:
    net = network(fovea)
    weights = {k: v.detach() for k, v in net.named_parameters()}

    def step(weights: Any, x: Any) -> Any:
        def loss(weights: Any) -> Any:
            return (fovea.func.functional_call(net, weights, (x,)) ** 2).sum()

        gradients, value = fovea.func.grad_and_value(loss)(weights)
        return {k: w - 0.1 * gradients[k] for k, w in weights.items()}, value

    net.eval()
    compiled = fovea.compile(step)
    x = fovea.tensor(RNG.standard_normal((5, 3)))
    for _ in range(3):
        ours, value = compiled(weights, x)
        theirs, expected = step(weights, x)
        np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=1e-12)
        for k in ours:
            np.testing.assert_allclose(ours[k].numpy(), theirs[k].numpy(), rtol=1e-12)
        weights = theirs


def test_replace_batch_norm() -> None:
    net = fovea.func.replace_all_batch_norm_modules_(network(fovea))
    assert not list(net.buffers())
    x = fovea.tensor(RNG.standard_normal((5, 3)))
    assert fovea.equal(net(x), net.eval()(x))


assert torch  # the programs above run in it, too


def test_value_and_grad() -> None:
    x = fovea.tensor([1.0, 2.0])
    value, gradient = fovea.func.value_and_grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(
        x, x * 3
    )
    assert value.item() == 15 and [g.tolist() for g in gradient] == [[3.0, 6.0], [1.0, 2.0]]
    with_aux = fovea.func.value_and_grad(lambda a: (a.sum(), a * 2), has_aux=True)
    (value, aux), gradient = with_aux(x)
    assert (value.item(), aux.tolist(), gradient.tolist()) == (3.0, [2.0, 4.0], [1.0, 1.0])
    rows = fovea.func.vmap(fovea.func.value_and_grad(lambda a: a**2))(x)
    assert [r.tolist() for r in rows] == [[1.0, 4.0], [2.0, 4.0]]
