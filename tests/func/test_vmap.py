"""fovea.vmap against torch.vmap."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest

import fovea
from fovea import nn, vmap
from fovea.errors import ArgumentError, InplaceError, OutOfRangeError
from fovea.ops.op import Op, Spec
from tests.func.compare import both, torch

RNG = np.random.default_rng(0)
A, B, W = RNG.standard_normal((4, 3, 5)), RNG.standard_normal((4, 5)), RNG.standard_normal((5, 2))
K, M = RNG.integers(0, 3, (4, 2)), RNG.standard_normal((4, 2, 3, 6, 6))


def write(ns: Any, x: Any, y: Any) -> Any:
    z = x.clone()
    z[1] = y
    z[:, 2] += 1
    z.mul_(y).clamp_(min=-1)
    z.masked_fill_(z > 0.5, 0.0)
    view = z.t()
    view[0] = view[1] * 2
    return z


PROGRAMS = {
    "dot": lambda ns, a, b: ns.vmap(lambda x, y: x @ y)(a, b),
    "closure": lambda ns, a, b: ns.vmap(lambda x: x * b[0] + 1)(a),
    "in_dims": lambda ns, a, b: ns.vmap(lambda x, y: x * y, in_dims=(1, None))(a, b),
    "negative": lambda ns, a, b: ns.vmap(lambda x: x.sum(0), in_dims=-1)(a),
    "out_dims": lambda ns, a, b: ns.vmap(lambda x: x * 2, out_dims=2)(a),
    "out_dims_tuple": lambda ns, a, b: ns.vmap(lambda x: (x, x.sum(0)), out_dims=(1, -1))(a),
    "out_dims_dict": lambda ns, a, b: ns.vmap(
        lambda x: {"a": x, "b": x.sum(0)}, out_dims={"a": 1, "b": 0})(a),
    "constant": lambda ns, a, b: ns.vmap(lambda x: (x, b[0]))(a),
    "trees": lambda ns, a, b: ns.vmap(
        lambda d, e: {"s": d["x"] * d["y"][0], "t": [e]}, in_dims=({"x": 0, "y": None}, 0))(
            {"x": a, "y": (b[0],)}, b),
    "keywords": lambda ns, a, b: ns.vmap(lambda x, y: x @ y)(a, y=b[0]),
    "nested": lambda ns, a, b: ns.vmap(ns.vmap(lambda x, y: (x * y).sum(), (0, None)))(a, b),
    "nested_crossed": lambda ns, a, b: ns.vmap(
        lambda x: ns.vmap(lambda y: x @ y, in_dims=0, out_dims=1)(b))(a),
    "chunks": lambda ns, a, b: ns.vmap(lambda x, y: (x @ y, x), chunk_size=3)(a, b),
    "chunks_dims": lambda ns, a, b: ns.vmap(lambda x: x * 2, in_dims=2, out_dims=1, chunk_size=2)(a),
    "write": lambda ns, a, b: ns.vmap(lambda x, y: write(ns, x, y))(a, b),
    "new": lambda ns, a, b: ns.vmap(lambda x: x.new_zeros(2, 3).copy_(x[:2, :3]) + x.new_ones(3))(a),
    "like": lambda ns, a, b: ns.vmap(lambda x: ns.zeros_like(x).add_(x) + ns.ones_like(x))(a),
    "shape": lambda ns, a, b: ns.vmap(
        lambda x: x.reshape(-1, 3).unsqueeze(0).expand(2, 5, 3).permute(2, 0, 1).flatten(1))(a),
    "split": lambda ns, a, b: ns.vmap(lambda x: x.split([2, 3], 1) + tuple(x.unbind(0)))(a),
    "join": lambda ns, a, b: ns.vmap(
        lambda x, y: (ns.cat([x, y[None], b[:1]]), ns.stack([x, x * 2], 1)))(a, b),
    "where": lambda ns, a, b: ns.vmap(lambda x, y: ns.where(x > y, x, y))(a, b),
    "reductions": lambda ns, a, b: ns.vmap(
        lambda x: (x.sum(), x.mean(1), x.amax(-1), x.argmax(), x.std(0), x.max(1)[1], x.logsumexp(0),
                   x.norm(), x.var(), x.median(1)[0]))(a),
    "order": lambda ns, a, b: ns.vmap(
        lambda x, y: (x.sort(-1)[0], x.topk(2, 1)[0], y.cumsum(0), y.argsort(), y.flip(0)))(a, b),
    "scalars": lambda ns, a, b: ns.vmap(ns.vmap(lambda x: (x.exp(), x.sum(), x.cumsum(0))))(b),
    "einsum": lambda ns, a, b: ns.vmap(lambda x, y: ns.einsum("ij,j->i", x, y))(a, b),
    "linalg": lambda ns, a, b: ns.vmap(
        lambda x: (ns.linalg.inv(x @ x.t() + ns.eye(3, dtype=x.dtype)), ns.linalg.norm(x),
                   ns.linalg.solve(x @ x.t() + ns.eye(3, dtype=x.dtype), x)))(a),
    "softmax": lambda ns, a, b: ns.vmap(
        lambda x, y: (x.softmax(0), y.log_softmax(0), ns.nn.functional.gelu(x)))(a, b),
    "types": lambda ns, a, b: ns.vmap(lambda x: (x.float(), x > 0, (x * 10).long(), x.double()))(a),
    "detach": lambda ns, a, b: ns.func.grad(
        lambda b: ns.vmap(lambda y: (y.detach() * y).sum())(b).sum())(b),
    "grad_of_vmap": lambda ns, a, b: ns.func.grad(
        lambda b: ns.vmap(lambda x, y: (x @ y).tanh().sum())(a, b).sum())(b),
    "vmap_of_grad": lambda ns, a, b: ns.vmap(
        ns.func.grad(lambda x, y: (x @ y).tanh().sum(), argnums=(0, 1)))(a, b),
    "per_sample": lambda ns, a, b: ns.vmap(
        ns.func.grad(lambda y, x: (x @ y).tanh().sum()), in_dims=(None, 0))(b[0], a),
    "grad_vmap_grad": lambda ns, a, b: ns.func.grad(lambda y: (ns.vmap(
        ns.func.grad(lambda y, x: (x @ y).tanh().sum()), in_dims=(None, 0))(y, a) ** 2).sum())(b[0]),
    "vmap_hessian": lambda ns, a, b: ns.vmap(ns.func.hessian(lambda y: (y**3).sum() * y[0]))(b),
    "vmap_jvp": lambda ns, a, b: ns.vmap(
        lambda x, y: ns.func.jvp(lambda y: (x @ y).sin(), (y,), (y,)))(a, b),
    "vmap_vjp": lambda ns, a, b: ns.vmap(lambda x, y: ns.func.vjp(lambda y: x @ y, y)[1](y[:3])[0])(a, b),
    "vjp_vmap": lambda ns, a, b: ns.vmap(ns.func.vjp(lambda x: x.sin(), a[0])[1])(a),
    "jacrev_of_vmap": lambda ns, a, b: ns.func.jacrev(ns.vmap(lambda y: (y * y).sum()))(b),
    "unused_batch": lambda ns, a, b: ns.vmap(lambda x, y: y.sum())(a, b),
}  # fmt: skip


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_programs(name: str) -> None:
    both(PROGRAMS[name], A, B)


INDEXING = {
    "gather": lambda ns, a, i: ns.vmap(lambda x, i: x.gather(0, i[:, None].expand(2, 5)))(a, i),
    "rows": lambda ns, a, i: ns.vmap(lambda x, i: x[i])(a, i),
    "shared_index": lambda ns, a, i: ns.vmap(lambda x: x[i[0]])(a),
    "shared_values": lambda ns, a, i: ns.vmap(lambda i: a[0][i])(i),
    "columns": lambda ns, a, i: ns.vmap(lambda x, i: x[:, i])(a, i),
    "apart": lambda ns, a, i: ns.vmap(lambda x, i: x[None][i * 0, :, i])(a, i),
    "pairs": lambda ns, a, i: ns.vmap(lambda x, i: x[i, i])(a, i),
    "select": lambda ns, a, i: ns.vmap(lambda x, i: x.index_select(1, i))(a, i),
    "put": lambda ns, a, i: ns.vmap(lambda x, i: x.index_put((i,), x[0] * 0 + 9))(a, i),
    "put_columns": lambda ns, a, i: ns.vmap(
        lambda x, i: x.index_put((ns.tensor([[0], [1]]), i), x[0, 0], accumulate=True))(a, i),
    "scatter": lambda ns, a, i: ns.vmap(lambda x, i: x.scatter_add(0, i[None].expand(1, 2), x))(a, i),
    "embedding": lambda ns, a, i: ns.vmap(lambda x, i: ns.nn.functional.embedding(i, x))(a, i),
    "shared_embedding": lambda ns, a, i: ns.vmap(lambda i: ns.nn.functional.embedding(i, a[0]))(i),
    "one_hot": lambda ns, a, i: ns.vmap(lambda i: ns.nn.functional.one_hot(i, 3))(i),
    "cross_entropy": lambda ns, a, i: ns.vmap(
        lambda x, i: ns.nn.functional.cross_entropy(x[:2, :3], i))(a, i),
    "grad_of_rows": lambda ns, a, i: ns.vmap(
        ns.func.grad(lambda x, i: (x[i] ** 2).sum() + x[:, i].sin().sum()))(a, i),
}  # fmt: skip


@pytest.mark.parametrize("name", list(INDEXING))
def test_indexing(name: str) -> None:
    both(INDEXING[name], A, K)


def convolutions(ns: Any, x: Any, w: Any, bias: Any) -> Any:
    f = ns.nn.functional
    y = f.conv2d(x, w, bias, stride=2, padding=1)
    y = f.max_pool2d(y.relu(), 2, 1) + f.avg_pool2d(y, 2, 1)
    y = f.conv_transpose2d(y, w, stride=2, padding=1)
    return f.interpolate(y, scale_factor=2) if x.ndim == 4 else y


@pytest.mark.parametrize("dims", [(0, None, None), (None, 0, 0), (0, 0, None), (0, 0, 0)])
def test_convolutions(dims: tuple[Any, ...]) -> None:
    w, b = RNG.standard_normal((4, 4, 3, 3, 3)), RNG.standard_normal((4, 4))
    given = [a if d == 0 else a[0] for a, d in zip((M, w, b), dims, strict=True)]

    def program(ns: Any, *inputs: Any) -> Any:
        def loss(*inputs: Any) -> Any:
            return (convolutions(ns, *inputs) ** 2).mean()

        values = ns.vmap(lambda *i: convolutions(ns, *i), dims)(*inputs)
        return values, ns.vmap(ns.func.grad(loss, (0, 1, 2)), dims)(*inputs)

    both(program, *given, tolerance=1e-8)


@pytest.mark.parametrize("groups", [1, 3])
def test_grouped_convolutions_of_single_images(groups: int) -> None:
    w = RNG.standard_normal((4, 6, 3 // groups, 3, 3))
    both(lambda ns, x, w: ns.vmap(lambda x, w: ns.nn.functional.conv2d(x, w, groups=groups))(x, w),
         M[:, 0], w, tolerance=1e-8)  # fmt: skip


class Net(NamedTuple):
    """The same network in both."""

    ours: Any
    theirs: Any


def twins(make: Any) -> Net:
    torch.manual_seed(0)
    theirs = make(torch.nn).double()
    ours = make(fovea.nn).double()
    ours.load_state_dict({k: fovea.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    return Net(ours, theirs)


NETS: dict[str, tuple[Any, np.ndarray]] = {
    "convolutional": (lambda nn: nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16, 3)), M),
    "batch_norm": (lambda nn: nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.GELU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)), M),
    "encoder": (lambda nn: nn.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True), M[:, 0]),
    "recurrent": (lambda nn: recurrent(nn)(6, 4), M[:, 0]),
}  # fmt: skip


@functools.cache
def recurrent(lib: Any) -> Any:
    """A class of modules that go through rows."""

    class Recurrent(lib.Module):  # type: ignore[misc]
        def __init__(self, inputs: int, hidden: int) -> None:
            super().__init__()
            self.cell = lib.GRUCell(inputs, hidden)

        def forward(self, x: Any) -> Any:
            h = x[:, 0, :1] * 0 + self.cell.bias_hh[:4]
            for n in range(x.shape[1]):
                h = self.cell(x[:, n], h)
            return h

    return Recurrent


@pytest.mark.parametrize("name", list(NETS))
def test_gradients_of_each_sample(name: str) -> None:
    make, x = NETS[name]
    nets = twins(make)
    found = []
    for ns, net in ((fovea, nets.ours), (torch, nets.theirs)):
        weights = {k: v.detach() for k, v in net.named_parameters()}

        def loss(weights: Any, x: Any, ns: Any = ns, net: Any = net) -> Any:
            return (ns.func.functional_call(net, weights, (x,)) ** 2).sum()

        given = ns.tensor(x.tolist(), dtype=ns.float64)
        found.append(ns.vmap(ns.func.grad(loss), in_dims=(None, 0))(weights, given))
        for k, g in found[0].items():  # that is what it is: a gradient of each
            own = fovea.func.grad(loss)(weights, given[1]) if ns is fovea else None
            if own is not None:
                np.testing.assert_allclose(g[1].numpy(), own[k].numpy(), rtol=1e-8, atol=1e-9)
    for k in found[0]:
        np.testing.assert_allclose(found[0][k].numpy(), found[1][k].numpy(), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", list(NETS))
def test_ensembles(name: str) -> None:
    make, x = NETS[name]
    models = [twins(make) for _ in range(3)]
    for n, pair in enumerate(models):
        for p, q in zip(pair.ours.parameters(), pair.theirs.parameters(), strict=True):
            with fovea.no_grad(), torch.no_grad():
                p.mul_(1 + n / 4)
                q.mul_(1 + n / 4)
    found = []
    for ns, nets in ((fovea, [m.ours for m in models]), (torch, [m.theirs for m in models])):
        state = ns.func.stack_module_state(nets)
        given = ns.tensor(x[0].tolist(), dtype=ns.float64)

        def call(state: Any, x: Any, ns: Any = ns, net: Any = nets[0]) -> Any:
            return ns.func.functional_call(net, state, (x,))

        out = ns.vmap(call, in_dims=(0, None))(state, given)
        (g,) = ns.autograd.grad((out**2).sum(), [next(iter(state[0].values()))])
        found.append((out.detach(), g))
        own = fovea.stack([net(given) for net in nets]) if ns is fovea else None
        if own is not None:
            np.testing.assert_allclose(out.detach().numpy(), own.detach().numpy(), rtol=1e-9)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-7, atol=1e-9)


def test_running_statistics_of_an_ensemble() -> None:
    models = [fovea.nn.BatchNorm1d(5).double() for _ in range(3)]
    weights, state = fovea.func.stack_module_state(models)
    x = fovea.tensor(RNG.standard_normal((3, 8, 5)))

    def call(weights: Any, state: Any, x: Any) -> Any:
        return fovea.func.functional_call(models[0], (weights, state), (x,))

    out = vmap(call)(weights, state, x)
    for n, model in enumerate(models):
        np.testing.assert_allclose(out[n].detach().numpy(), model(x[n]).detach().numpy())
        for k, buffer in model.named_buffers():
            np.testing.assert_allclose(state[k][n].numpy(), buffer.numpy())
    with pytest.raises(InplaceError, match="that all samples share"):
        vmap(models[0])(x)


# -- draws ----------------------------------------------------------------------------------------

DRAWS = {
    "rand": lambda x: fovea.rand(5),
    "randn_like": lambda x: fovea.randn_like(x),
    "randint": lambda x: fovea.randint(0, 1000, (5,)),
    "randperm": lambda x: fovea.randperm(50),
    "dropout": lambda x: nn.functional.dropout(x, 0.5),
    "bernoulli": lambda x: fovea.bernoulli(x.sigmoid()),
    "normal": lambda x: fovea.normal(x, 1.0),
    "fill": lambda x: x.clone().uniform_(),
    "exponential": lambda x: x.new_empty(5).exponential_(),
}


@pytest.mark.parametrize("name", list(DRAWS))
def test_draws(name: str) -> None:
    x = fovea.ones(4, 50)
    draw = DRAWS[name]
    with pytest.raises(ArgumentError, match="randomness"):
        vmap(draw)(x)
    same = vmap(draw, randomness="same")(x)
    assert all(fovea.equal(same[0], row) for row in same)
    other = vmap(draw, randomness="different")(x)
    assert not any(fovea.equal(other[0], row) for row in other[1:])
    assert other.shape == same.shape and other.dtype is same.dtype


def test_draws_of_weights() -> None:
    weights = fovea.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    drawn = vmap(lambda w: fovea.multinomial(w, 2, True), randomness="different")(weights)
    assert drawn.tolist() == [[1, 1], [2, 2]]
    one = vmap(lambda x: fovea.multinomial(weights[0], 2, True), randomness="same")(weights)
    assert one.tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ArgumentError, match="weights of their own"):
        vmap(lambda w: fovea.multinomial(w, 2, True), randomness="same")(weights)


def test_draws_in_nested_vmaps() -> None:
    x = fovea.ones(3, 4)

    def draw(outer: str, inner: str) -> Any:
        return vmap(vmap(lambda x: fovea.rand(()), randomness=inner), randomness=outer)(x)

    same = draw("same", "same")
    assert (same == same[0, 0]).all()
    rows = draw("different", "same")
    assert (rows == rows[:, :1]).all() and not (rows == rows[:1]).all()
    columns = draw("same", "different")
    assert (columns == columns[:1]).all() and not (columns == columns[:, :1]).all()
    assert draw("different", "different").unique().numel() == 12


# -- other things ---------------------------------------------------------------------------------


def test_structures() -> None:
    Pair = NamedTuple("Pair", [("a", Any), ("b", Any)])  # noqa: UP014
    x = fovea.tensor(B)
    found = vmap(lambda p, d: Pair(p.b, OrderedDict(z=d["y"] * p.a)))(
        Pair(x, x * 2), OrderedDict(y=x)
    )
    assert isinstance(found, Pair) and isinstance(found.b, OrderedDict)
    assert fovea.equal(found.b["z"], x * x) and fovea.equal(found.a, x * 2)


def test_the_tape_outside() -> None:
    def program(ns: Any, a: Any, b: Any) -> Any:
        b = b.requires_grad_()
        out = ns.vmap(lambda x, y: (x @ y).sin())(a, b)
        (g,) = ns.autograd.grad((out**2).sum(), b, create_graph=True)
        return out, g, ns.autograd.grad((g**2).sum(), b)

    both(program, A, B)


def test_samples_change_in_place() -> None:
    def program(ns: Any, a: Any) -> Any:
        ns.vmap(lambda x: x[0].add_(1))(a)
        ns.vmap(lambda x: x.mul_(2), in_dims=2)(a)
        return a

    both(program, A)


def test_a_mask_as_a_key() -> None:
    def cut(x: Any) -> Any:
        x = x.clone()
        x[x > 0.5] = 0.0
        x[x[:, 0] < 0] = -1.0
        return x

    x = fovea.tensor(A)
    assert fovea.equal(vmap(cut)(x), fovea.stack([cut(row) for row in x]))


def test_no_samples() -> None:
    assert vmap(lambda x: x.exp().sum(0))(fovea.zeros(0, 3, 2)).shape == (0, 2)


def test_captured() -> None:
    net = fovea.nn.Sequential(
        fovea.nn.Conv2d(1, 2, 3), fovea.nn.ReLU(), fovea.nn.Flatten(), fovea.nn.Linear(8, 2)
    )
    weights = {k: v.detach() for k, v in net.named_parameters()}

    def loss(weights: Any, x: Any) -> Any:
        return (fovea.func.functional_call(net, weights, (x,)) ** 2).sum()

    each = vmap(fovea.func.grad(loss), in_dims=(None, 0))
    compiled = fovea.compile(each)
    for n in range(3):
        x = fovea.randn(3, 1, 1, 4, 4) + n
        ours, theirs = compiled(weights, x), each(weights, x)
        for k in ours:
            np.testing.assert_allclose(ours[k].numpy(), theirs[k].numpy(), rtol=1e-4, atol=1e-5)
    assert compiled.programs


def test_a_compiled_function_inside() -> None:
    f = fovea.compile(lambda x: (x.sin() * 2).sum())
    x = fovea.randn(4, 3)
    np.testing.assert_allclose(vmap(f)(x).numpy(), (x.sin() * 2).sum(1).numpy(), rtol=1e-6)
    y = fovea.randn(3, requires_grad=True)
    out = fovea.compile(lambda y: y.sin())(y)
    rows = fovea.eye(3)
    (found,) = fovea.autograd.grad(out, y, rows, is_grads_batched=True)
    np.testing.assert_allclose(found.numpy(), np.diag(np.cos(y.detach().numpy())), rtol=1e-6)


def test_an_op_without_a_rule() -> None:
    odd = Op("odd_for_vmap", ("x", "y"))
    try:
        odd.shape(lambda x, y: Spec(tuple(x.shape), x.dtype))
        odd.decompose(lambda x, y: x * y + 1)
        x, y = fovea.tensor(B), fovea.tensor(B[0])
        assert fovea.equal(vmap(lambda x: odd(x, y))(x), x * y + 1)
        from fovea.func.batching import call

        slow = call.RULES[odd] = call.one_by_one
        odd.plans.clear()
        with pytest.warns(UserWarning, match="odd_for_vmap runs sample by sample"):
            assert fovea.equal(vmap(lambda x: odd(x, y))(x), x * y + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # it says so once
            vmap(lambda x: odd(x, y))(x)
        del call.RULES[odd], slow
    finally:
        from fovea.ops.op import REGISTRY

        REGISTRY.pop("odd_for_vmap")


def test_errors() -> None:
    x, leaked = fovea.tensor(B), []
    cases: list[tuple[type[Exception], str, Any]] = [
        (ArgumentError, "no values of its own", lambda: vmap(lambda x: x.sum().item())(x)),
        (ArgumentError, "no values of its own", lambda: vmap(lambda x: x if x.sum() > 0 else -x)(x)),
        (ArgumentError, "no values of its own", lambda: vmap(lambda x: x.numpy())(x)),
        (ArgumentError, "no values of its own", lambda: vmap(lambda x: x.nonzero())(x)),
        (ArgumentError, "no values of its own", lambda: vmap(lambda x: x[x > 0])(x)),
        (ArgumentError, "must return tensors", lambda: vmap(lambda x: 3.0)(x)),
        (ArgumentError, "nothing|no argument", lambda: vmap(lambda x: x, in_dims=None)(x)),
        (ArgumentError, "sizes to map over differ", lambda: vmap(lambda x, y: x)(x, x[:2])),
        (ArgumentError, "does not fit", lambda: vmap(lambda x: x, in_dims=(0, 0))(x)),
        (OutOfRangeError, "no dimension 2", lambda: vmap(lambda x: x, in_dims=2)(x)),
        (OutOfRangeError, "no dimension 0", lambda: vmap(lambda x: x)(x.sum())),
        (ArgumentError, "integers or None", lambda: vmap(lambda x: x, in_dims=("a",))(x)),
        (ArgumentError, "is int", lambda: vmap(lambda x, y: x)(x, 3)),
        (ArgumentError, "out_dims", lambda: vmap(lambda x: x, out_dims=(0, 0))(x)),
        (ArgumentError, "out_dims", lambda: vmap(lambda x: x, out_dims=None)(x)),
        (OutOfRangeError, "dimension 5", lambda: vmap(lambda x: x, out_dims=5)(x)),
        (ArgumentError, "randomness", lambda: vmap(lambda x: x, randomness="some")),
        (ArgumentError, "chunk_size", lambda: vmap(lambda x: x, chunk_size=0)),
        (InplaceError, "that they share", lambda: vmap(lambda y: x[0].add_(y))(x)),
        (ArgumentError, "over", lambda: (vmap(lambda y: leaked.append(y) or y)(x), leaked[0] + 1)),
        (ArgumentError, "another way", lambda: vmap(lambda y: y.view(fovea.int64))(x)),
        (ArgumentError, "no memory", lambda: vmap(lambda y: y.as_strided((2,), (1,)))(x)),
    ]  # fmt: skip
    for kind, message, program in cases:
        with pytest.raises(kind, match=message):
            program()
    assert "Batched(level=1" in repr(leaked[0])


# -- functions of one's own -----------------------------------------------------------------------


def cubes(ns: Any, kind: str) -> Any:
    """x**3 with a gradient that tells itself apart: twice what it would be."""

    class Cube(ns.autograd.Function):  # type: ignore[misc]
        generate_vmap_rule = kind == "generated"

        @staticmethod
        def forward(x: Any, w: Any) -> Any:
            return x**3 * w

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, w = ctx.saved_tensors
            return 6 * x**2 * w * g, 2 * (x**3 * g).sum_to_size(w.shape)

    if kind == "rule":

        def rule(info: Any, in_dims: Any, x: Any, w: Any) -> Any:
            assert info.batch_size == 4
            x = x if in_dims[0] is None else x.movedim(in_dims[0], 0)
            return Cube.apply(x, w if in_dims[1] is None else w[:, None]), 0

        Cube.vmap = staticmethod(rule)
    return Cube.apply


FUNCTIONS = {
    "values": lambda ns, f, b: ns.vmap(f, in_dims=(0, None))(b, b[0, :1]),
    "gradients": lambda ns, f, b: ns.vmap(
        ns.func.grad(lambda x, w: f(x, w).sum(), argnums=(0, 1)), in_dims=(0, None))(b, b[0, :1]),
    "tape_outside": lambda ns, f, b: ns.func.grad(
        lambda b: ns.vmap(f, in_dims=(0, None))(b.sin(), b[0, :1] * 1).sum())(b),
    "both": lambda ns, f, b: ns.func.grad(lambda w: ns.vmap(
        ns.func.grad(lambda x, w: f(x, w).sum()), in_dims=(0, None))(b, w).sum())(b[0, :1]),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["generated", "rule"])
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_functions_of_ones_own(name: str, kind: str) -> None:
    both(lambda ns, b: FUNCTIONS[name](ns, cubes(ns, kind), b), B)


def test_functions_with_a_context_in_forward() -> None:
    class Twice(fovea.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * 2, x.exp()

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * 5 + h * x

    x = fovea.tensor(B)
    found = vmap(fovea.func.grad(lambda x: sum(t.sum() for t in Twice.apply(x))))(x)
    np.testing.assert_allclose(found.numpy(), 5 + B)
    outer = fovea.func.grad(lambda x: vmap(lambda x: Twice.apply(x)[0])(x).sum())(x)
    np.testing.assert_allclose(outer.numpy(), 5 + 0 * B)
