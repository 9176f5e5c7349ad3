"""`MuonWithAuxAdam`: each group as its own optimizer would change it, filters as matrices."""

from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn as nn
import fovea.nn.functional as F
from fovea import optim
from fovea.errors import ArgumentError
from fovea.vision.training.schedules import hidden_filters, optimizer_of


def network() -> Any:
    fovea.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=2), nn.Flatten(), nn.Linear(32, 5), nn.Linear(5, 3),
    )  # fmt: skip


def groups(net: Any, **options: Any) -> list[dict[str, Any]]:
    hidden = hidden_filters(net)
    ids = {id(p) for p in hidden}
    rest = [p for p in net.parameters() if id(p) not in ids]
    return [
        {"params": hidden, "use_muon": True, "weight_decay": 0.1, **options},
        {"params": rest, "use_muon": False},
    ]


def losses(net: Any, step: Any, schedule: Any = None) -> list[float]:
    fovea.manual_seed(1)
    found = []
    for _ in range(6):
        found.append(float(step(fovea.randn(4, 3, 8, 8), fovea.randint(0, 3, (4,)))))
        if schedule is not None:
            schedule.step()
    return found


def stepping(net: Any, *optimizers: Any) -> Any:
    def step(x: Any, y: Any) -> Any:
        net.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss

    return step


def assert_same(a: Any, b: Any, rtol: float = 0, atol: float = 0) -> None:
    for (name, x), (_, y) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        np.testing.assert_allclose(x.numpy(), y.numpy(), rtol, atol, err_msg=name)


def test_hidden_filters_are_neither_first_nor_last_nor_grouped() -> None:
    net = network()
    assert [id(p) for p in hidden_filters(net)] == [id(net[3].weight), id(net[7].weight)]
    net[3].weight.requires_grad_(False)
    assert [id(p) for p in hidden_filters(net)] == [id(net[7].weight)]


@pytest.mark.parametrize("scale", [None, "match_rms_adamw"])
def test_two_optimizers_in_one(scale: str | None) -> None:
    """Filters follow `Muon` on the same numbers as matrices, all else follows AdamW."""
    net = network()
    other = copy.deepcopy(net)
    both = optim.MuonWithAuxAdam(groups(net, adjust_lr_fn=scale))
    hidden, rest = (group["params"] for group in groups(other))
    matrices = [p.detach().reshape(len(p), -1).requires_grad_() for p in hidden]
    muon = optim.Muon(matrices, 0.02, 0.1, adjust_lr_fn=scale)
    adam = optim.AdamW(rest, 3e-4, (0.9, 0.95), 1e-10, 0.0)

    class Filters:
        def step(self) -> None:
            for p, m in zip(hidden, matrices, strict=True):
                m.grad = p.grad.reshape(m.shape)
            muon.step()
            with fovea.no_grad():
                for p, m in zip(hidden, matrices, strict=True):
                    p.copy_(m.reshape(p.shape))

    found = losses(net, stepping(net, both))
    expected = losses(other, stepping(other, Filters(), adam))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert_same(net, other, 1e-5, 1e-6)


def test_compiled_steps_follow_schedules() -> None:
    nets = [network() for _ in range(2)]
    found = []
    for net in nets:
        optimizer = optim.MuonWithAuxAdam(groups(net))
        schedule = optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.3)
        step = stepping(net, optimizer)
        if found:
            step = fovea.compile(step, strict=True)
        found.append(losses(net, step, schedule))
    assert len(step.programs) == 1
    np.testing.assert_allclose(*found, rtol=1e-4)
    assert_same(*nets, 1e-3, 1e-5)


def test_states_survive_saving() -> None:
    first = network()
    optimizer = optim.MuonWithAuxAdam(groups(first))
    losses(first, stepping(first, optimizer))
    file = io.BytesIO()
    fovea.save({"net": first.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    kept = fovea.load(file)
    second = network()
    again = optim.MuonWithAuxAdam(groups(second))
    second.load_state_dict(kept["net"])
    again.load_state_dict(kept["optimizer"])
    found = losses(first, stepping(first, optimizer)), losses(second, stepping(second, again))
    assert found[0] == found[1]
    assert_same(first, second)


def test_a_step_that_overflowed_is_left_out() -> None:
    net = network()
    optimizer = optim.MuonWithAuxAdam(groups(net))
    losses(net, stepping(net, optimizer))
    scaler, before = fovea.amp.GradScaler(), copy.deepcopy(net)
    averages = [s["momentum_buffer"].clone() for s in optimizer.state.values() if len(s) == 1]
    loss = F.cross_entropy(net(fovea.randn(4, 3, 8, 8)), fovea.tensor([0, 1, 2, 0]))
    scaler.scale(loss).backward()
    net[3].weight.grad[0, 0, 0, 0] = float("inf")
    scaler.step(optimizer)
    scaler.update()
    for p, q in zip(net.parameters(), before.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    after = [s["momentum_buffer"] for s in optimizer.state.values() if len(s) == 1]
    assert averages
    for x, y in zip(averages, after, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy())


def test_groups_say_by_what_they_learn() -> None:
    w, b = nn.Parameter(fovea.ones(2, 2)), nn.Parameter(fovea.ones(2))
    with pytest.raises(ArgumentError, match="does not say by what"):
        optim.MuonWithAuxAdam([{"params": [w]}])
    with pytest.raises(ArgumentError, match="does not say by what"):
        optim.MuonWithAuxAdam([w])
    with pytest.raises(ArgumentError, match="for matrices"):
        optim.MuonWithAuxAdam([{"params": [w, b], "use_muon": True}])


def test_recipes_learn_by_either() -> None:
    net = network()
    assert type(optimizer_of(net, "adamw", 1e-3, 0.01)) is optim.AdamW
    muon = optimizer_of(net, "muon", 1e-3, 0.01)
    held = [id(p) for group in muon.param_groups for p in group["params"]]
    assert sorted(held) == sorted(map(id, net.parameters()))
    assert [(g["use_muon"], g["weight_decay"]) for g in muon.param_groups] == [
        (True, 0.01), (False, 0.01), (False, 0.0),
    ]  # fmt: skip
    assert all(g["lr"] == 1e-3 for g in muon.param_groups)
    sgd = optimizer_of(net, "sgd", 1e-3, 0.01)
    assert type(sgd) is optim.SGD and all(g["momentum"] == 0.9 for g in sgd.param_groups)
    assert [g["weight_decay"] for g in sgd.param_groups] == [0.01, 0.0]
    with pytest.raises(ArgumentError, match="unknown optimizer"):
        optimizer_of(net, "adam", 1e-3, 0.01)
    slower = optimizer_of(net, "muon", 1e-3, 0.01, 0.5).param_groups
    rates = {id(p): group["lr"] for group in slower for p in group["params"]}
    assert rates[id(net[8].weight)] == 1e-3 > rates[id(net[7].weight)] > rates[id(net[0].weight)]
    assert {id(p) for g in slower if g["use_muon"] for p in g["params"]} == {
        id(p) for p in hidden_filters(net)
    }
    for p in net.parameters():
        p.requires_grad_(p.ndim > 1)
    assert [len(g["params"]) for g in optimizer_of(net, "adamw", 1e-3, 0.01).param_groups] == [
        sum(p.ndim > 1 for p in net.parameters())
    ]
    with pytest.raises(ArgumentError, match="nothing is left to learn"):
        optimizer_of(net.requires_grad_(False), "adamw", 1e-3, 0.01)
