"""``GradScaler`` beside PyTorch's: the same scales, steps and left-out steps."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import watching
from fovea.errors import ArgumentError, GradientError

torch = pytest.importorskip("torch")

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9},
    "Adam": {"lr": 0.1},
    "AdamW": {"lr": 0.1, "weight_decay": 0.1},
    "RMSprop": {"lr": 0.1, "momentum": 0.9, "centered": True},
    "Adagrad": {"lr": 0.1},
    "Adamax": {"lr": 0.1},
    "NAdam": {"lr": 0.1},
}
BAD = {3: np.inf, 4: np.nan, 9: -np.inf}  # steps whose gradients are not finite


class Run:
    """A parameter, its optimizer and a scaler, in one of the frameworks."""

    def __init__(self, ns: Any, optimizer: str, **scaler: Any) -> None:
        self.ns = ns
        w = np.arange(6, dtype=np.float32).reshape(2, 3) / 6
        self.params = [ns.tensor(w, requires_grad=True), ns.tensor(w[0], requires_grad=True)]
        self.optimizer = getattr(ns.optim, optimizer)(self.params, **OPTIMIZERS[optimizer])
        self.scaler = ns.amp.GradScaler("cpu", **scaler)

    def backward(self, number: int) -> None:
        self.optimizer.zero_grad()
        a, b = self.params
        loss = (a.square().sum() + b.exp().sum()) * 0.5
        self.scaler.scale(loss).backward()
        if number in BAD:
            b.grad[1] = float(BAD[number])

    def step(self, number: int) -> None:
        self.backward(number)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def values(self) -> list[Any]:
        return [p.detach().numpy() for p in self.params]


def agree(ours: Run, theirs: Run) -> None:
    for a, b in zip(ours.values(), theirs.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert ours.scaler.get_scale() == theirs.scaler.get_scale()
    state = theirs.scaler.state_dict()
    assert ours.scaler.state_dict() == state


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer(optimizer: str) -> None:
    settings = {"init_scale": 256.0, "growth_interval": 3}
    ours, theirs = Run(fovea, optimizer, **settings), Run(torch, optimizer, **settings)
    for number in range(12):
        before = [v.copy() for v in ours.values()]
        ours.step(number)
        theirs.step(number)
        agree(ours, theirs)
        if number in BAD:
            for a, b in zip(before, ours.values(), strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_left_out_by_a_flag(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a captured step does: the update reads the flag, and Python does not."""
    settings = {"init_scale": 256.0, "growth_interval": 3}
    ours, theirs = Run(fovea, optimizer, **settings), Run(torch, optimizer, **settings)

    def flagged(found: Any, optimizer: Any, args: Any, kwargs: Any) -> Any:
        return optimizer.step_unless(found)

    ours.scaler._step_unless = flagged
    for number in range(12):
        if number == 7:  # a plain step in between is not left out
            for run in (ours, theirs):
                run.backward(0)
                run.scaler.unscale_(run.optimizer)
                run.optimizer.step()
                run.scaler.update()
        ours.step(number)
        theirs.step(number)
        agree(ours, theirs)
    first, expected = ours.optimizer.state_dict(), theirs.optimizer.state_dict()
    for key, state in expected["state"].items():
        for name, value in state.items():
            if value is not None:
                np.testing.assert_allclose(
                    np.asarray(first["state"][key][name].numpy()), np.asarray(value.numpy()),
                    rtol=1e-5, atol=1e-7, err_msg=name,
                )  # fmt: skip


def test_a_watched_step_does_not_ask_the_flag() -> None:
    run = Run(fovea, "SGD")
    run.step(0)  # makes what later steps use
    run.backward(3)
    seen: list[str] = []

    class Watching:
        inside = False

        def __getattr__(self, name: str) -> Any:
            def note(*args: Any, **kwargs: Any) -> Any:
                if not self.inside:
                    seen.append(name)
                outer, self.inside = self.inside, True
                try:
                    if name == "run":
                        return args[3](args[1])
                    if name == "run_into":
                        return args[3](args[1], args[4])
                    return args[4]() if name == "update" else None
                finally:
                    self.inside = outer

            return note

    before = [v.copy() for v in run.values()]
    watching.watcher = Watching()
    try:
        run.scaler.step(run.optimizer)
    finally:
        watching.watcher = None
    assert "update" in seen
    assert "read" not in seen
    for a, b in zip(before, run.values(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("ns", [fovea, torch], ids=["fovea", "torch"])
def test_order_of_calls(ns: Any) -> None:
    """PyTorch's own refusals, in both."""
    run = Run(ns, "SGD")
    with pytest.raises((RuntimeError, AssertionError)):
        run.scaler.step(run.optimizer)  # no gradients
    run = Run(ns, "SGD")
    with pytest.raises((RuntimeError, AssertionError)):
        run.scaler.update()
    run.backward(0)
    run.scaler.unscale_(run.optimizer)
    with pytest.raises(RuntimeError):
        run.scaler.unscale_(run.optimizer)
    run.scaler.step(run.optimizer)
    with pytest.raises(RuntimeError):
        run.scaler.unscale_(run.optimizer)
    with pytest.raises(RuntimeError):
        run.scaler.step(run.optimizer)
    with pytest.raises(RuntimeError):
        run.scaler.step(run.optimizer, closure=lambda: None)
    run.scaler.update()
    run.backward(1)
    run.scaler.step(run.optimizer)


def test_clipping_between() -> None:
    ours, theirs = Run(fovea, "SGD", init_scale=1024.0), Run(torch, "SGD", init_scale=1024.0)
    for run in (ours, theirs):
        run.backward(0)
        run.scaler.unscale_(run.optimizer)
        run.ns.nn.utils.clip_grad_norm_(run.params, 0.1)
        run.scaler.step(run.optimizer)
        run.scaler.update()
    agree(ours, theirs)


def test_update_to_a_given_scale() -> None:
    run = Run(fovea, "SGD")
    run.scaler.update(8.0)
    assert run.scaler.get_scale() == 8.0
    run.scaler.update(fovea.tensor([4.0]))
    assert run.scaler.get_scale() == 4.0
    with pytest.raises(ArgumentError):
        run.scaler.update(fovea.tensor([4.0, 5.0]))


def test_two_optimizers_share_a_scaler() -> None:
    scaler = fovea.amp.GradScaler(init_scale=4.0)
    a, b = (fovea.ones(2, requires_grad=True) for _ in range(2))
    first, second = fovea.optim.SGD([a], lr=1.0), fovea.optim.SGD([b], lr=1.0)
    scaler.scale((a + b * float("inf")).sum()).backward()
    scaler.step(first)
    scaler.step(second)
    scaler.update()
    assert scaler.get_scale() == 2.0  # one overflow lowers it for both
    np.testing.assert_array_equal(a.detach().numpy(), [0, 0])
    np.testing.assert_array_equal(b.detach().numpy(), [1, 1])


def test_the_scale_stays_finite() -> None:
    run = Run(fovea, "SGD", init_scale=3e38, growth_interval=1)
    run.optimizer.zero_grad()
    (run.params[0].sum() + run.params[1].sum()).backward()
    run.scaler.step(run.optimizer)
    run.scaler.update()
    assert run.scaler.get_scale() == pytest.approx(3e38)


def test_disabled() -> None:
    run = Run(fovea, "SGD", enabled=False)
    run.backward(0)
    run.scaler.unscale_(run.optimizer)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    plain = Run(torch, "SGD", enabled=False)
    plain.step(0)
    for a, b in zip(run.values(), plain.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert run.scaler.get_scale() == 1.0
    assert run.scaler.state_dict() == {}
    with pytest.warns(UserWarning, match="no device"):
        assert not fovea.amp.GradScaler("cuda").is_enabled()


def test_saving_and_loading() -> None:
    run = Run(fovea, "SGD", init_scale=64.0, growth_interval=5)
    run.step(0)
    run.step(3)
    run.step(1)
    state = run.scaler.state_dict()
    other = fovea.amp.GradScaler()
    other.load_state_dict(state)
    assert other.state_dict() == state
    theirs = torch.amp.GradScaler("cpu")
    theirs.load_state_dict(state)
    assert theirs.state_dict() == state
    with pytest.raises(ArgumentError):
        other.load_state_dict({})
    assert pickle.loads(pickle.dumps(other)).state_dict() == state
    run.backward(0)
    run.scaler.unscale_(run.optimizer)
    with pytest.raises(GradientError):
        pickle.dumps(run.scaler)


def test_float16_gradients_are_refused() -> None:
    w = fovea.ones(2, dtype=fovea.float16, requires_grad=True)
    optimizer, scaler = fovea.optim.SGD([w], lr=1.0), fovea.amp.GradScaler()
    scaler.scale(w.sum()).backward()
    with pytest.raises(ValueError, match="float16"):
        scaler.unscale_(optimizer)


def test_scale_of_many() -> None:
    scaler = fovea.amp.GradScaler(init_scale=2.0)
    one = fovea.ones((), dtype=fovea.float16)
    a, (b, c) = scaler.scale([one, (one, fovea.ones(2))])
    assert (a.item(), b.item()) == (2.0, 2.0)
    assert (a.dtype, c.dtype) == (fovea.float16, fovea.float32)
    with pytest.raises(TypeError):
        scaler.scale(3)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_nonfinite(dtype: str) -> None:
    from fovea.ops.nonfinite import nonfinite

    rng = np.random.default_rng(0)
    shapes = [(3, 5), (1,), (40000,), (70, 1000), (0,)]
    arrays = [rng.standard_normal(s).astype(np.float32) for s in shapes]

    def flag() -> float:
        tensors = [fovea.tensor(a).to(getattr(fovea, dtype)) for a in arrays]
        return float(nonfinite.bind(tuple(tensors)).item())

    arrays[0][0, 0] = -0.0
    assert flag() == 0
    arrays[3][1, 1] = 6e4
    assert flag() == 0
    for which, at in ((0, (2, 4)), (1, (0,)), (2, (39999,)), (3, (0, 0)), (3, (69, 999))):
        held = arrays[which][at]
        for bad in (np.inf, -np.inf, np.nan):
            arrays[which][at] = bad
            assert flag() == 1, (which, at, bad)
        arrays[which][at] = held
    assert flag() == 0


def test_float16_training() -> None:
    """Gradients that float16 would lose arrive with a scaler, as in PyTorch."""

    def run(ns: Any, scaled: bool) -> Any:
        w = ns.tensor(np.full((4, 4), 1e-4, np.float32), requires_grad=True)
        x = ns.tensor(np.full((4, 4), 1e-4, np.float32))
        optimizer = ns.optim.SGD([w], lr=1e8)
        scaler = ns.amp.GradScaler("cpu", enabled=scaled)
        with ns.autocast("cpu", dtype=ns.float16):
            loss = (x @ w).sum().float() * 1e-5
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return w.detach().numpy()

    np.testing.assert_allclose(run(fovea, True), run(torch, True), rtol=1e-3)
    np.testing.assert_allclose(run(fovea, False), run(torch, False), rtol=1e-3)
    assert np.abs(run(fovea, True) - run(fovea, False)).max() > 1e-2
