"""fovea.utils.checkpoint and the hooks on saved tensors that it is made of, against PyTorch's."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.autograd import Function
from fovea.autograd.graph import disable_saved_tensors_hooks, save_on_cpu, saved_tensors_hooks
from fovea.errors import ArgumentError, GradientError, InplaceError
from fovea.storage import memory_allocated
from fovea.utils.checkpoint import (
    CheckpointError,
    CheckpointPolicy,
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
    noop_context_fn,
    set_checkpoint_debug_enabled,
    set_checkpoint_early_stop,
)

torch = pytest.importorskip("torch")
import torch.utils.checkpoint as theirs  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.standard_normal((8, 16)).astype(np.float32)


def network(drop: float = 0.5) -> Any:
    fovea.manual_seed(0)
    return nn.Sequential(
        nn.Linear(16, 32), nn.ReLU(inplace=True), nn.Dropout(drop), nn.Linear(32, 32), nn.GELU(),
        nn.LayerNorm(32), nn.Dropout(drop), nn.Linear(32, 4), nn.Softmax(-1),
    )  # fmt: skip


def gradients(net: Any, run: Any, x: Any = None) -> list[Any]:
    """Of the input and all parameters, and the draw that comes next."""
    x = fovea.tensor(X) if x is None else x
    x.requires_grad_()
    for p in net.parameters():
        p.grad = None
    fovea.manual_seed(3)
    out = run(x)
    ((out - 0.1) ** 2).sum().backward()
    return [out.detach(), x.grad, *(p.grad for p in net.parameters()), fovea.rand(2)]


def agree(a: list[Any], b: list[Any]) -> None:
    for p, q in zip(a, b, strict=True):
        assert np.array_equal(p.float().numpy(), q.float().numpy())


WAYS = {
    "whole": lambda net: lambda x: checkpoint(net, x, use_reentrant=False),
    "reentrant": lambda net: lambda x: checkpoint(net, x, use_reentrant=True),
    "no_early_stop": lambda net: lambda x: checkpoint(net, x, early_stop=False),
    "segments": lambda net: lambda x: checkpoint_sequential(net, 3, x, use_reentrant=False),
    "all_segments": lambda net: lambda x: checkpoint_sequential(list(net), 9, x),
    "keywords": lambda net: lambda x: checkpoint(lambda *, x, n: net(x) * n, x=x, n=1),
    "nested": lambda net: lambda x: checkpoint(
        lambda x: checkpoint(net[4:], checkpoint(net[:4], x * 1)), x),
    "nested_deep": lambda net: lambda x: checkpoint(
        lambda x: checkpoint(
            lambda x: checkpoint(net[3:], checkpoint(net[:3], x).sin().cos()), x.exp()), x),
}  # fmt: skip


@pytest.mark.parametrize("way", list(WAYS))
def test_gradients_and_draws_are_the_same(way: str) -> None:
    net = network()
    plain = {
        "nested_deep": lambda x: net[3:](net[:3](x.exp()).sin().cos()),
        "nested": lambda x: net(x * 1),
    }.get(way, net)
    agree(gradients(net, plain), gradients(net, WAYS[way](net)))


def test_under_autocast() -> None:
    net = network(0.0)

    def casted(run: Any) -> Any:
        def inside(x: Any) -> Any:
            with fovea.autocast("cpu"):
                return run(net[0](x))  # the cast of a weight may be in the cache before

        return inside

    rest = net[3:]
    one = gradients(net, casted(lambda h: rest(rest[0](h))))
    two = gradients(net, casted(lambda h: checkpoint(lambda h: rest(rest[0](h)), h)))
    agree(one, two)
    assert not fovea.is_autocast_enabled()


def test_memory_is_saved() -> None:
    def block() -> Any:
        return nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64), nn.Tanh())

    net = nn.Sequential(*(block() for _ in range(4)))
    x = fovea.randn(256, 64, requires_grad=True)
    used, peak = {}, {}
    for name, run in {
        "plain": net, "whole": lambda x: checkpoint(net, x),
        "segments": lambda x: checkpoint_sequential(net, 4, x),
    }.items():  # fmt: skip
        before = memory_allocated()
        out = run(x)
        used[name] = (memory_allocated() - before) / (x.numel() * 4)
        highest = 0.0

        def look(g: Any, before: int = before) -> None:
            nonlocal highest
            highest = max(highest, (memory_allocated() - before) / (x.numel() * 4))

        x.register_hook(look)
        out.sum().backward()
        peak[name] = highest
        del out
    assert 11.9 < used["plain"] < 12.5  # three results a block
    assert used["whole"] < 1.2  # its result
    assert 5.9 < used["segments"] < 6.5  # the results of segments, and the last one in full
    assert peak["whole"] < used["plain"]


def test_what_backward_used_goes() -> None:
    """During backward, what was computed again is let go node by node."""
    seen: list[int] = []

    class Look(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            seen.append(memory_allocated())
            return g

    def run(x: Any) -> Any:
        for _ in range(6):
            x = Look.apply(x).tanh()
        return x

    x = fovea.randn(100_000, requires_grad=True)
    checkpoint(run, x).sum().backward()
    assert seen[-1] < seen[0] - 3 * 400_000


def test_functions_of_ones_own() -> None:
    class Cube(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x * x
            ctx.save_for_backward(x, None, y)
            return y * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, nothing, y = ctx.saved_tensors
            assert nothing is None
            return g * (y + 2 * x * x)

    x = fovea.tensor([1.0, 2.0], requires_grad=True)
    checkpoint(lambda x: Cube.apply(Cube.apply(x).sin()), x).sum().backward()
    plain = fovea.tensor([1.0, 2.0], requires_grad=True)
    Cube.apply(Cube.apply(plain).sin()).sum().backward()
    assert fovea.equal(x.grad, plain.grad)


def test_second_derivatives_and_grad() -> None:
    def f(ns: Any, x: Any, w: Any) -> Any:
        return (x.sin() * w).exp().sum()

    found = []
    for ns, own in ((fovea, checkpoint), (torch, theirs.checkpoint)):
        x = ns.tensor([0.3, 0.7], dtype=ns.float64, requires_grad=True)
        w = ns.tensor([1.5, -0.5], dtype=ns.float64, requires_grad=True)
        y = own(lambda x, ns=ns, w=w: f(ns, x * x, w), x * 2, use_reentrant=False)
        (g,) = ns.autograd.grad(y, x, create_graph=True)
        found.append([g, *ns.autograd.grad((g**2).sum(), [x, w])])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)


def test_backward_twice() -> None:
    runs = []

    def f(x: Any) -> Any:
        runs.append(1)
        return x.exp().sin()

    x = fovea.ones(3, requires_grad=True)
    y = checkpoint(f, x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert len(runs) == 2  # what was retained is not computed again
    with pytest.raises(GradientError, match="freed"):
        y.backward()


def test_runs_end_early() -> None:
    ends = []

    def f(x: Any) -> Any:
        y = x.exp()
        ends.append("middle")
        y = y + 1
        ends.append("end")
        return y

    for stop in (True, False):
        ends.clear()
        with set_checkpoint_early_stop(stop):
            y = checkpoint(f, fovea.ones(2, requires_grad=True))
        y.sum().backward()
        assert ends == ["middle", "end", *([] if stop else ["middle", "end"])]


def test_without_gradients() -> None:
    runs = []
    with fovea.no_grad():
        y = checkpoint(lambda x: (runs.append(1), x * 2)[1], fovea.ones(2, requires_grad=True))
    assert not y.requires_grad and len(runs) == 1
    assert not checkpoint(lambda x: x * 2, fovea.ones(2)).requires_grad


def test_contexts() -> None:
    entered = []

    @contextlib.contextmanager
    def noted(name: str) -> Any:
        entered.append(name)
        yield

    y = checkpoint(
        lambda x: x.exp(), fovea.ones(2, requires_grad=True),
        context_fn=lambda: (noted("first"), noted("again")),
    )  # fmt: skip
    assert entered == ["first"]
    y.sum().backward()
    assert entered == ["first", "again"]
    assert len(noop_context_fn()) == 2


def test_another_run_must_do_the_same() -> None:
    x = fovea.ones(2, 3, requires_grad=True)

    def changing(first: Any, then: Any) -> Any:
        runs = iter((first, then))
        return lambda x: next(runs)(x)

    with pytest.raises(
        CheckpointError, match=r"tensor 0 was float32 \(2, 3\), is now float32 \(2, 1\)"
    ):
        checkpoint(
            changing(lambda x: x.exp(), lambda x: x.sum(1, keepdim=True).exp()), x
        ).sum().backward()
    with pytest.raises(CheckpointError, match=r"now fewer"):
        checkpoint(changing(lambda x: x.exp().sin(), lambda x: x.exp()), x).sum().backward()
    with pytest.raises(CheckpointError, match=r"now more"), set_checkpoint_early_stop(False):
        checkpoint(changing(lambda x: x.exp(), lambda x: x.exp().exp()), x).sum().backward()
    with (
        pytest.raises(CheckpointError, match="saved 0  float32"),
        set_checkpoint_debug_enabled(True),
    ):
        checkpoint(changing(lambda x: x.exp().sin(), lambda x: x.exp()), x).sum().backward()
    checkpoint(
        changing(lambda x: x.exp(), lambda x: x.double().exp()), x, determinism_check="none"
    ).sum().backward()
    with pytest.raises(ArgumentError, match="determinism_check"):
        checkpoint(lambda x: x, x, determinism_check="strict")
    with pytest.raises(ArgumentError, match="segments"):
        checkpoint_sequential([fovea.sin], 2, x)


def test_without_care_for_draws() -> None:
    fovea.manual_seed(0)
    x = fovea.ones(64, requires_grad=True)
    masks: list[Any] = []

    def f(x: Any) -> Any:
        masks.append(nn.functional.dropout(x, 0.5))
        return masks[-1].exp()

    checkpoint(f, x, preserve_rng_state=False).sum().backward()
    assert not fovea.equal(masks[0], masks[1])
    masks.clear()
    checkpoint(f, x).sum().backward()
    assert fovea.equal(masks[0], masks[1])


@pytest.mark.parametrize("drop", [0.0, 0.5])
def test_in_a_compiled_step(drop: float) -> None:
    histories = []
    for compiled in (False, True):
        net = network(drop)
        optimizer = fovea.optim.SGD(net.parameters(), 0.1)

        def step(x: Any, net: Any = net, optimizer: Any = optimizer) -> Any:
            loss = (checkpoint(net[3:], checkpoint(net[:3], x)) ** 2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = fovea.compile(step) if compiled else step
        fovea.manual_seed(5)
        histories.append([run(fovea.tensor(X) + n).item() for n in range(5)])
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-5)


def test_compiled_steps_save_memory_too() -> None:
    def block() -> Any:
        return nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.LayerNorm(64))

    peaks, losses = [], []
    for segments in (1, 4):
        fovea.manual_seed(0)
        net = nn.Sequential(*(block() for _ in range(8)))
        optimizer = fovea.optim.SGD(net.parameters(), 0.1)

        def step(x: Any, net: Any = net, optimizer: Any = optimizer, n: int = segments) -> Any:
            loss = (checkpoint_sequential(net, n, x) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = fovea.compile(step)
        sizes = (256, 256, 128, 64, 32)  # some are never captured
        losses.append([run(fovea.ones(n, 64) * n / 256).item() for n in sizes])
        peaks.append(max(p.forward.memory.peak for p in run.programs))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)
    assert peaks[1] < 0.6 * peaks[0]  # nothing that is computed again is kept instead


def test_in_a_compiled_network() -> None:
    net = network(0.0)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Any) -> Any:
            return checkpoint(self.net, x)

    run = fovea.compile(Outer())
    expected = gradients(net, net)
    for _ in range(3):
        for a, b in zip(gradients(net, run), expected, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6)


# -- hooks ----------------------------------------------------------------------------------------


def test_hooks_pack_what_is_saved() -> None:
    def program(ns: Any) -> Any:
        packed: list[Any] = []
        hooks = ns.autograd.graph.saved_tensors_hooks(
            lambda t: packed.append(tuple(t.shape)) or t.numpy().copy()
            if not t.requires_grad else packed.append(tuple(t.shape)) or t.detach().numpy().copy(),
            lambda a: ns.tensor(a.tolist(), dtype=ns.float64) * 2,
        )  # fmt: skip
        x = ns.tensor([[0.5, 1.0]], dtype=ns.float64, requires_grad=True)
        with hooks:
            y = (x * ns.ones(2, 1, dtype=ns.float64)).exp()
        y.sum().backward()
        return x.grad, packed

    ours, theirs_ = program(fovea), program(torch)
    np.testing.assert_allclose(ours[0].numpy(), theirs_[0].numpy())
    assert set(theirs_[1]) <= set(ours[1])


def test_hooks_and_second_derivatives() -> None:
    def program(ns: Any) -> Any:
        x = ns.tensor([0.5, 1.0], dtype=ns.float64, requires_grad=True)
        with ns.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            y = (x * x).exp().sin() * x
        (g,) = ns.autograd.grad(y.sum(), x, create_graph=True)
        return ns.autograd.grad(g.sum(), x)[0].tolist()

    assert program(fovea) == pytest.approx(program(torch))


def test_hooks_and_outputs_of_functions() -> None:
    class Exp(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.saved_tensors[0]

    x = fovea.tensor([0.5], requires_grad=True)
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        y = Exp.apply(x)
    (g,) = fovea.autograd.grad(y, x, create_graph=True)
    assert fovea.autograd.grad(g, x)[0].item() == pytest.approx(np.exp(0.5))


def test_hooks_can_be_forbidden() -> None:
    with (
        disable_saved_tensors_hooks("not here"),
        pytest.raises(GradientError, match="not here"),
        save_on_cpu(),
    ):
        pass
    x = fovea.ones(2, requires_grad=True)
    with save_on_cpu():
        y = x.exp().sum()
    y.backward()
    assert fovea.tape.make_node is fovea.tape.node_of  # hooks that are gone cost nothing


def _selected(policy: Any, model: Any, compiled: bool = False, **options: Any) -> list[Any]:
    x = fovea.tensor(X, requires_grad=True)

    def run(x: Any) -> Any:
        return checkpoint(
            model,
            x,
            use_reentrant=False,
            context_fn=lambda: create_selective_checkpoint_contexts(policy, **options),
        )

    fovea.manual_seed(1)
    (fovea.compile(run) if compiled else run)(x).square().sum().backward()
    return [x.grad.numpy(), *[p.grad.numpy() for p in model.parameters()]]


def test_selected_results_are_not_computed_again() -> None:
    """The policy is asked in both runs; gradients are those of any other checkpoint."""
    asked: list[tuple[bool, str]] = []

    def policy(ctx: Any, op: Any, *args: Any) -> Any:
        asked.append((ctx.is_recompute, op.name))
        keep = op.name == "linear"
        return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE

    def plain() -> Any:
        return nn.Sequential(*[m for m in network() if not isinstance(m, nn.ReLU)])

    want = _selected([], plain())
    for found in (
        _selected(policy, plain()),
        _selected(["linear", "layer_norm"], plain()),
        _selected(policy, plain(), compiled=True),
    ):
        for a, b in zip(found, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert asked.count((False, "linear")) == asked.count((True, "linear")) == 3

    def gradient(kept: list[str], change: bool) -> Any:
        fovea.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 1))
        contexts = create_selective_checkpoint_contexts(kept)
        y = checkpoint(model, fovea.tensor(X), use_reentrant=False, context_fn=lambda: contexts)
        if change:
            model[0].weight.data.mul_(2)
        y.sum().backward()
        return model[2].weight.grad.numpy()

    np.testing.assert_array_equal(gradient(["linear"], True), gradient([], False))
    assert np.abs(gradient([], True) - gradient([], False)).max() > 0.1  # computed again


def test_selected_results_must_stay_as_they_were() -> None:
    with pytest.raises(InplaceError, match="kept result of linear"):
        _selected(["linear"], network())  # whose ReLU works in place
    _selected(["linear"], network(), allow_cache_entry_mutation=True)
    with pytest.raises(ArgumentError, match="function or a list"):
        create_selective_checkpoint_contexts(3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="returns a CheckpointPolicy"):
        _selected(lambda *args: "save", network())
    names = {p.name: p.value for p in CheckpointPolicy}
    assert names == {p.name: p.value for p in theirs.CheckpointPolicy}
