"""Hooks: their order, arguments and effects, as PyTorch has them."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import fovea
from tests.nn.oracle import torch

BOTH = pytest.mark.parametrize("lib", [fovea, torch], ids=["fovea", "torch"])


def doubler(lib: Any) -> Any:
    class Double(lib.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any, *, plus: float = 0.0) -> Any:
            return x * 2 + plus

    return Double()


@BOTH
def test_order_of_forward_hooks(lib: Any) -> None:
    m, calls = doubler(lib), []
    for name in ("a", "b"):
        m.register_forward_pre_hook(lambda mod, args, n=name: calls.append(f"pre {n}"))
        m.register_forward_hook(lambda mod, args, out, n=name: calls.append(f"post {n}"))
    m.register_forward_pre_hook(lambda mod, args: calls.append("pre first"), prepend=True)
    m.register_forward_hook(lambda mod, args, out: calls.append("post first"), prepend=True)
    m(lib.ones(1))
    assert calls == ["pre first", "pre a", "pre b", "post first", "post a", "post b"]


@BOTH
def test_forward_hooks_replace(lib: Any) -> None:
    m = doubler(lib)
    m.register_forward_pre_hook(lambda mod, args: args[0] + 1)
    m.register_forward_hook(lambda mod, args, out: out * 10)
    assert m(lib.ones(1)).item() == 40.0
    m.register_forward_pre_hook(lambda mod, args: (args[0] + 1,))
    assert m(lib.ones(1)).item() == 60.0


@BOTH
def test_hooks_with_kwargs(lib: Any) -> None:
    m, seen = doubler(lib), []
    m.register_forward_pre_hook(
        lambda mod, args, kwargs: (args, {"plus": kwargs["plus"] + 1}), with_kwargs=True
    )
    m.register_forward_hook(
        lambda mod, args, kwargs, out: seen.append(kwargs["plus"]), with_kwargs=True
    )
    assert m(lib.ones(1), plus=1.0).item() == 4.0
    assert seen == [2.0]


@BOTH
def test_handles_remove(lib: Any) -> None:
    m = doubler(lib)
    handle = m.register_forward_hook(lambda mod, args, out: out * 10)
    assert m(lib.ones(1)).item() == 20.0
    handle.remove()
    handle.remove()
    assert m(lib.ones(1)).item() == 2.0
    with m.register_forward_pre_hook(lambda mod, args: args[0] * 3):
        assert m(lib.ones(1)).item() == 6.0
    assert m(lib.ones(1)).item() == 2.0


@BOTH
def test_always_call(lib: Any) -> None:
    class Fails(lib.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            raise KeyError("broken")

    m, calls = Fails(), []
    m.register_forward_hook(lambda mod, args, out: calls.append("plain"))
    m.register_forward_hook(lambda mod, args, out: calls.append(out), always_call=True)
    with pytest.raises(KeyError, match="broken"):
        m(lib.ones(1))
    assert calls == [None]


@BOTH
def test_always_call_when_a_hook_fails(lib: Any) -> None:
    m, calls = doubler(lib), []

    def fail(*args: Any) -> None:
        raise KeyError("broken")

    m.register_forward_hook(fail)
    m.register_forward_hook(lambda mod, args, out: calls.append("called"), always_call=True)
    m.register_forward_hook(fail, always_call=True)
    with pytest.raises(KeyError, match="broken"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        m(lib.ones(1))
    assert calls == ["called"]


def twice_and_thrice(lib: Any) -> Any:
    class Two(lib.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any, flag: bool, y: Any) -> Any:
            return x * 2 + y, y * 3

    return Two()


@BOTH
def test_backward_hooks_see_gradients(lib: Any) -> None:
    m, calls = twice_and_thrice(lib), []
    m.register_full_backward_pre_hook(
        lambda mod, grads: calls.append(("pre", [g.item() for g in grads]))
    )
    m.register_full_backward_hook(
        lambda mod, gin, gout: calls.append(
            ([None if g is None else g.item() for g in gin], [g.item() for g in gout])
        )
    )
    x, y = lib.ones(1, requires_grad=True), lib.ones(1, requires_grad=True)
    a, b = m(x * 1, True, y * 1)
    (a * 5 + b * 7).sum().backward()
    assert calls == [("pre", [5.0, 7.0]), ([10.0, None, 26.0], [5.0, 7.0])]
    assert (x.grad.item(), y.grad.item()) == (10.0, 26.0)


@BOTH
def test_backward_hooks_replace(lib: Any) -> None:
    m = doubler(lib)
    m.register_full_backward_pre_hook(lambda mod, grads: (grads[0] * 10,))
    m.register_full_backward_hook(lambda mod, gin, gout: (gin[0] + gout[0],))
    m.register_full_backward_hook(lambda mod, gin, gout: (gin[0] * 100,))
    x = lib.ones(1, requires_grad=True)
    m(x * 1).sum().backward()
    assert x.grad.item() == (2 * 10 + 10) * 100


@BOTH
def test_backward_hooks_without_gradients_of_inputs(lib: Any) -> None:
    layer, calls = lib.nn.Linear(2, 1), []
    layer.register_full_backward_hook(lambda mod, gin, gout: calls.append((gin, gout[0].shape)))
    layer(lib.ones(3, 2)).sum().backward()
    assert calls == [((None,), (3, 1))]
    assert layer.weight.grad is not None


@BOTH
def test_backward_hooks_in_a_network(lib: Any) -> None:
    nn, calls = lib.nn, []
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=False), nn.Linear(3, 1))
    for i, layer in enumerate(model):
        layer.register_full_backward_hook(lambda mod, gin, gout, n=i: calls.append(n))
    model(lib.ones(4, 2)).sum().backward()
    assert calls == [2, 1, 0]
    with lib.no_grad():
        model(lib.ones(4, 2))
    assert calls == [2, 1, 0]


@BOTH
def test_backward_hooks_of_older_programs(lib: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a module that is one operation they are PyTorch's."""
    kind = "_global_is_full_backward_hook"  # PyTorch never forgets which kind there was
    monkeypatch.setattr(lib.nn.modules.module, kind, None, raising=False)
    model, seen = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.Tanh()), []
    own = model[1].register_backward_hook(lambda m, gin, gout: seen.append((gin[0], gout[0])))
    of_all = lib.nn.modules.module.register_module_backward_hook(
        lambda m, gin, gout: seen.append(type(m).__name__)
    )
    try:
        y = model(lib.ones(4, 2))
        y.sum().backward()
    finally:
        of_all.remove()
    (gin, gout), first = next(s for s in seen if isinstance(s, tuple)), seen[0]
    assert first in ("Tanh", "Sequential") and {"Linear", "Tanh"} <= {*map(str, seen)}
    assert bool((gout == 1).all()) and float((gin - (1 - y * y)).abs().max()) < 1e-6
    own.remove()
    seen.clear()
    model(lib.ones(4, 2)).sum().backward()
    assert seen == []


@BOTH
def test_backward_hooks_that_return_too_little(lib: Any) -> None:
    m = twice_and_thrice(lib)
    m.register_full_backward_hook(lambda mod, gin, gout: (gin[0],))
    x = lib.ones(1, requires_grad=True)
    out = m(x * 1, True, x * 1)[0]
    with pytest.raises(RuntimeError):
        out.sum().backward()


@BOTH
def test_hooks_keep_second_derivatives(lib: Any) -> None:
    m = doubler(lib)
    m.register_full_backward_hook(lambda mod, gin, gout: None)
    x = lib.ones(1, requires_grad=True)
    (g,) = lib.autograd.grad(m(x * x * x).sum(), x, create_graph=True)
    (gg,) = lib.autograd.grad(g.sum(), x)
    assert gg.item() == 12.0


@BOTH
def test_hooks_of_all_modules(lib: Any) -> None:
    """They run before a module's own, around every module, until they are taken off."""
    hooks, calls = lib.nn.modules.module, []
    model = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.Tanh())
    model[1].register_forward_hook(lambda m, args, out: calls.append("own"))

    def named(what: str) -> Any:
        return lambda m, *rest: calls.append((what, type(m).__name__))

    def doubled(m: Any, args: Any, kwargs: Any, out: Any) -> Any:
        return out * 2 if isinstance(m, lib.nn.Tanh) else None

    handles = [
        hooks.register_module_forward_pre_hook(named("pre")),
        hooks.register_module_forward_hook(named("after")),
        hooks.register_module_forward_hook(doubled, with_kwargs=True),
        hooks.register_module_full_backward_pre_hook(named("backward pre")),
        hooks.register_module_full_backward_hook(named("backward")),
    ]
    x = lib.ones(4, 2, requires_grad=True)
    try:
        out = model(x)
        out.sum().backward()
    finally:
        for handle in handles:
            handle.remove()
    assert calls == [
        ("pre", "Sequential"), ("pre", "Linear"), ("after", "Linear"), ("pre", "Tanh"),
        ("after", "Tanh"), "own", ("after", "Sequential"),
        ("backward pre", "Sequential"), ("backward pre", "Tanh"), ("backward", "Tanh"),
        ("backward pre", "Linear"), ("backward", "Linear"), ("backward", "Sequential"),
    ]  # fmt: skip
    calls.clear()
    assert abs(model(x) * 2 - out).max().item() < 1e-6 and calls == ["own"]
    if lib is fovea:
        assert lib.nn.Identity()(x) is x and not fovea.nn.hooks.Hooks._hooked


@BOTH
def test_registration_hooks(lib: Any) -> None:
    hooks, seen = lib.nn.modules.module, []

    def replaced(module: Any, name: str, param: Any) -> Any:
        seen.append(name)
        return lib.nn.Parameter(param.detach() * 0 + 5) if name == "bias" else None

    handles = [
        hooks.register_module_parameter_registration_hook(replaced),
        hooks.register_module_buffer_registration_hook(lambda m, n, b: seen.append(n)),
        hooks.register_module_module_registration_hook(lambda m, n, c: seen.append(n)),
    ]
    try:
        model = lib.nn.Sequential(lib.nn.Linear(2, 1), lib.nn.BatchNorm1d(1, affine=False))
        lib.nn.Linear(2, 1, bias=False)
    finally:
        for handle in handles:
            handle.remove()
    lib.nn.Linear(2, 1)
    buffers = ["running_mean", "running_var", "num_batches_tracked"]
    assert sorted(seen) == sorted(["weight", "bias", *buffers, "0", "1", "weight"])
    assert model[0].bias.item() != 5 and abs(model[0].bias.item()) < 1  # drawn afterwards


def test_older_names_of_hooks_of_states() -> None:
    """``_register_state_dict_hook`` and its kin, which libraries of PyTorch's programs use."""
    found: dict[Any, list[Any]] = {}
    for lib in (fovea, torch):
        log: list[Any] = []
        net = lib.nn.Sequential(lib.nn.Linear(2, 1), lib.nn.Sequential(lib.nn.Linear(1, 1)))

        def drop_biases(module: Any, state: Any, prefix: str, meta: Any) -> Any:
            return {k: v for k, v in state.items() if not k.endswith("bias")}

        def rename(state: Any, prefix: str, meta: Any, strict: bool, *lists: Any) -> None:
            for key in [k for k in state if k.startswith("old.")]:
                state[key[4:]] = state.pop(key)

        def seen(module: Any, state: Any, prefix: str, *rest: Any) -> None:
            log.append((type(module).__name__, prefix, len(rest)))  # noqa: B023 - called in this turn

        handle = net._register_state_dict_hook(drop_biases)
        log.append(list(net.state_dict()))
        handle.remove()
        log.append(list(net.state_dict()))
        net._register_load_state_dict_pre_hook(rename)
        net[1]._register_load_state_dict_pre_hook(seen, with_module=True)
        state = {f"old.{k}": v for k, v in net.state_dict().items()}
        log.append(str(net.load_state_dict(state)))
        found[lib] = log
    assert found[fovea] == found[torch]


def test_states_by_place() -> None:
    net = fovea.nn.Linear(2, 1)
    into: dict[str, Any] = {"there": 1}
    assert net.state_dict(into, "p.") is into
    assert list(into) == ["there", "p.weight", "p.bias"]
