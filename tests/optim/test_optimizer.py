"""What all optimizers share: groups, hooks, saved state, closures, errors."""

from __future__ import annotations

import copy
import importlib
import pickle
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import optim
from fovea.errors import ArgumentError

torch = pytest.importorskip("torch")
OPTIMIZERS = [
    "SGD",
    "Adam",
    "AdamW",
    "RMSprop",
    "Adagrad",
    "Adamax",
    "NAdam",
    "Adadelta",
    "RAdam",
    "Rprop",
]


def params(library: Any = fovea, dtype: str = "float64") -> list[Any]:
    kind = getattr(library, dtype)
    return [
        library.tensor([1.0, -2.0], dtype=kind, requires_grad=True),
        library.tensor([[0.5], [3.0]], dtype=kind, requires_grad=True),
    ]


def do_steps(optimizer: Any, count: int, library: Any = fovea) -> None:
    for n in range(count):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = library.ones_like(p.detach()) * (n + 1) + p.detach()
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_defaults_and_groups_are_pytorchs(name: str) -> None:
    ours, theirs = getattr(optim, name)(params()), getattr(torch.optim, name)(params(torch))
    assert ours.state_dict()["param_groups"] == theirs.state_dict()["param_groups"]
    assert list(ours.defaults) == list(theirs.defaults)
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_arguments_come_in_pytorchs_order(name: str) -> None:
    import inspect

    mine = inspect.signature(getattr(optim, name)).parameters
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    assert list(mine) == list(theirs)
    for key, parameter in theirs.items():
        assert mine[key].default == parameter.default, key
        assert mine[key].kind == parameter.kind, key


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_saved_state_goes_to_pytorch_and_back(name: str) -> None:
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    first = getattr(optim, name)(params(), **options)
    do_steps(first, 3)
    reference = getattr(torch.optim, name)(params(torch), **options)
    reference.load_state_dict(_converted(first.state_dict(), torch))
    with torch.no_grad():
        for p, q in zip(
            reference.param_groups[0]["params"], first.param_groups[0]["params"], strict=True
        ):
            p.copy_(torch.tensor(q.detach().numpy()))
    second = getattr(optim, name)(params(), **options)
    second.load_state_dict(_converted(reference.state_dict(), fovea))
    for p, q in zip(second.param_groups[0]["params"], first.param_groups[0]["params"], strict=True):
        p.data = q.detach().clone()
    for optimizer, library in ((first, fovea), (reference, torch), (second, fovea)):
        do_steps(optimizer, 4, library)
    for p, q, r in zip(
        *(o.param_groups[0]["params"] for o in (first, reference, second)), strict=True
    ):
        # PyTorch loads NAdam's float32 product of momenta as float64: it rounds otherwise then.
        tolerance = 1e-10 if name == "NAdam" else 1e-12
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=tolerance)
        assert fovea.equal(p.detach(), r.detach())


def _converted(state: dict[str, Any], library: Any) -> dict[str, Any]:
    """The same state dict with the tensors of another library."""

    def convert(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: convert(v) for k, v in value.items()}
        if isinstance(value, fovea.Tensor | torch.Tensor):
            return library.tensor(value.detach().numpy().copy())
        return value

    return {"state": convert(state["state"]), "param_groups": copy.deepcopy(state["param_groups"])}


def test_loading_copies_and_casts() -> None:
    source = optim.Adam(params())
    do_steps(source, 2)
    saved = source.state_dict()
    target = optim.Adam(params(dtype="float32"), lr=0.5)
    target.load_state_dict(saved)
    assert target.param_groups[0]["lr"] == 1e-3
    p = target.param_groups[0]["params"][0]
    assert target.state[p]["exp_avg"].dtype is fovea.float32
    assert target.state[p]["step"].dtype is fovea.float32
    before = saved["state"][0]["exp_avg"].tolist()
    do_steps(target, 1)
    assert saved["state"][0]["exp_avg"].tolist() == before
    assert float(saved["state"][0]["step"]) == 2


def test_old_states_with_numbers_for_steps_load() -> None:
    source = optim.Adam(params())
    do_steps(source, 2)
    saved = source.state_dict()
    saved["state"] = {k: {**v, "step": 2} for k, v in saved["state"].items()}
    target = optim.Adam(params())
    target.load_state_dict(saved)
    do_steps(target, 1)
    assert float(target.state[target.param_groups[0]["params"][1]]["step"]) == 3


def test_loading_another_shape_of_groups_is_an_error() -> None:
    one, two = optim.SGD(params()), optim.SGD([{"params": [p]} for p in params()])
    with pytest.raises(ArgumentError, match="2 parameter groups, the optimizer 1"):
        one.load_state_dict(two.state_dict())
    with pytest.raises(ArgumentError, match="1 parameters"):
        one.load_state_dict(optim.SGD(params()[:1]).state_dict())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_go_on_alone(copied: Any) -> None:
    first = optim.Adam(params())
    do_steps(first, 3)
    second = copied(first)
    before = [p.tolist() for p in first.param_groups[0]["params"]]
    do_steps(second, 2)
    assert [p.tolist() for p in first.param_groups[0]["params"]] == before
    do_steps(first, 2)
    for p, q in zip(first.param_groups[0]["params"], second.param_groups[0]["params"], strict=True):
        assert p is not q and p.tolist() == q.tolist()


def test_named_parameters_keep_their_names() -> None:
    w, b = params()
    optimizer = optim.SGD([("w", w), ("b", b)])
    assert optimizer.param_groups[0]["param_names"] == ["w", "b"]
    assert optimizer.param_groups[0]["params"][0] is w
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["w", "b"]
    other = optim.SGD([("x", w), ("y", b)])
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["param_names"] == ["w", "b"]
    with pytest.raises(ArgumentError, match="names"):
        optimizer.add_param_group({"params": [fovea.zeros(1, requires_grad=True)]})
    with pytest.raises(ArgumentError, match="names"):
        optim.SGD([("w", w), b])


def test_add_param_group() -> None:
    w, b = params()
    optimizer = optim.SGD([w], lr=0.5, momentum=0.9)
    do_steps(optimizer, 1)
    optimizer.add_param_group({"params": b, "lr": 0.25})
    assert optimizer.param_groups[1]["lr"] == 0.25
    assert optimizer.param_groups[1]["momentum"] == 0.9
    do_steps(optimizer, 1)
    assert "momentum_buffer" in optimizer.state[b]


def test_a_generator_of_parameters_is_read_once() -> None:
    optimizer = optim.SGD(p for p in params())
    assert len(optimizer.param_groups[0]["params"]) == 2


def test_zero_grad() -> None:
    w, b = params()
    optimizer = optim.SGD([w, b])
    w.grad = fovea.ones_like(w.detach())
    held = w.grad
    optimizer.zero_grad(set_to_none=False)
    assert w.grad is held and w.grad.tolist() == [0.0, 0.0] and b.grad is None
    optimizer.zero_grad()
    assert w.grad is None
    (w * w).sum().backward(create_graph=True)
    optimizer.zero_grad(set_to_none=False)
    assert not w.grad.requires_grad and w.grad.tolist() == [0.0, 0.0]


def test_closures_compute_the_loss_with_gradients() -> None:
    w = fovea.tensor([3.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    calls = []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        calls.append(float(loss))
        return loss

    with fovea.no_grad():
        loss = optimizer.step(closure)
    assert calls == [9.0] and float(loss) == 9.0
    assert w.tolist() == pytest.approx([2.4])
    assert optimizer.step() is None


def test_step_hooks_run_in_order_and_can_be_removed() -> None:
    seen: list[str] = []
    (w, b) = params()
    optimizer = optim.SGD([w, b])
    handles = [
        optim.register_optimizer_step_pre_hook(lambda o, a, k: seen.append("pre of all")),
        optimizer.register_step_pre_hook(lambda o, a, k: seen.append("pre")),
        optimizer.register_step_post_hook(lambda o, a, k: seen.append(f"post {o is optimizer}")),
        optim.register_optimizer_step_post_hook(lambda o, a, k: seen.append("post of all")),
    ]
    optimizer.step()
    assert seen == ["pre of all", "pre", "post True", "post of all"]
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert len(seen) == 4
    changed = optimizer.register_step_pre_hook(lambda o, a, k: ((o, lambda: 42), k))
    assert optimizer.step() == 42
    changed.remove()


def test_state_dict_hooks() -> None:
    optimizer = optim.SGD(params())
    seen: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("second"))
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("first"), prepend=True)
    optimizer.register_state_dict_post_hook(lambda o, s: {**s, "extra": 1})
    saved = optimizer.state_dict()
    assert saved["extra"] == 1 and seen == ["first", "second"]
    optimizer.register_load_state_dict_pre_hook(lambda o, s: {**s, "state": {}})
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    optimizer.load_state_dict(saved)
    assert seen[-1] == "loaded" and "state" in saved


def test_an_optimizer_of_ones_own() -> None:
    class Plain(optim.Optimizer):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, {"lr": lr})

        def step(self, closure: Any = None) -> Any:
            with fovea.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        if p.grad is not None:
                            p.add_(p.grad, alpha=-group["lr"])

    class Twice(Plain):
        def step(self, closure: Any = None) -> Any:
            super().step()
            super().step()

    w = fovea.tensor([1.0], requires_grad=True)
    optimizer = Twice([w], lr=0.25)
    counted = []
    optimizer.register_step_post_hook(lambda o, a, k: counted.append(1))
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    w.grad = fovea.ones(1)
    optimizer.step()
    schedule.step()
    assert w.tolist() == [0.5] and counted == [1]
    assert optimizer.param_groups[0]["lr"] == 0.125
    with pytest.raises(NotImplementedError):
        optim.Optimizer([w], {}).step()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": -0.1}), ("SGD", {"momentum": -1.0}), ("SGD", {"weight_decay": -1.0}),
        ("SGD", {"nesterov": True}), ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
        ("Adam", {"lr": -1.0}), ("Adam", {"eps": -1.0}), ("Adam", {"betas": (1.0, 0.9)}),
        ("Adam", {"betas": (0.9, -0.1)}), ("Adam", {"weight_decay": -1.0}), ("AdamW", {"lr": -1.0}),
        ("Adam", {"lr": float("nan")}), ("RMSprop", {"alpha": -1.0}),
        ("RMSprop", {"momentum": -1.0}),
        ("RMSprop", {"eps": -1.0}), ("Adagrad", {"lr_decay": -1.0}),
        ("Adagrad", {"initial_accumulator_value": -1.0}), ("Adamax", {"betas": (0.9, 1.0)}),
        ("NAdam", {"momentum_decay": -1.0}),
    ],
)  # fmt: skip
def test_bad_options_raise_as_in_pytorch(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=name):
        getattr(optim, name)(params(), **options)
    with pytest.raises(ValueError):
        getattr(torch.optim, name)(params(torch), **options)


def test_bad_parameters_are_errors() -> None:
    w, b = params()
    with pytest.raises(ArgumentError, match="empty parameter list"):
        optim.SGD([])
    with pytest.raises(TypeError, match="one tensor"):
        optim.SGD(w)
    with pytest.raises(TypeError, match="got int"):
        optim.SGD([w, 3])
    with pytest.raises(TypeError, match="in order"):
        optim.SGD([{"params": {w, b}}])
    with pytest.raises(ArgumentError, match="more than one parameter group"):
        optim.SGD([{"params": [w]}, {"params": [b, w]}])
    with pytest.raises(ArgumentError, match="non-leaf"):
        optim.SGD([w * 2])
    with pytest.raises(TypeError, match="must be a dict"):
        optim.SGD([w]).add_param_group([b])
    with pytest.warns(UserWarning, match="twice"):
        optim.SGD([w, w])
    with pytest.raises(ArgumentError, match="one number"):
        optim.SGD([w], lr=fovea.ones(2))
    for flag in ("capturable", "differentiable"):
        with pytest.raises(ArgumentError, match=flag):
            optim.Adam([w], **{flag: True})
    with pytest.raises(ArgumentError, match="foreach and fused"):
        optim.Adam([w], foreach=True, fused=True)


def test_sync_writes_rates_without_a_step() -> None:
    w = fovea.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.5)
    w.grad = fovea.ones(1)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.125
    optimizer.sync()
    (update,) = optimizer._updates[0]
    assert update.scalars.tolist()[0] == 0.125
    assert w.tolist() == [0.5]


@pytest.mark.parametrize("lib", [fovea, torch])
def test_what_groups_must_give(lib: Any) -> None:
    """``required``, as optimizers of PyTorch's programs import it."""
    required = importlib.import_module(f"{lib.__name__}.optim.optimizer").required

    class Mine(lib.optim.Optimizer):  # type: ignore[misc]
        def __init__(self, params: Any, lr: Any = required) -> None:
            super().__init__(params, {"lr": lr})

    weight = lib.zeros(1, requires_grad=True)
    assert Mine([weight], lr=0.5).param_groups[0]["lr"] == 0.5
    assert Mine([{"params": [weight], "lr": 0.1}]).param_groups[0]["lr"] == 0.1
    with pytest.raises(ValueError, match="lr"):
        Mine([weight])
    assert repr(required) == "<required parameter>"
