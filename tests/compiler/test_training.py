"""Compiled training steps follow eager ones, bit for bit where nothing is reassociated."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn as nn
import fovea.nn.functional as F
from fovea import optim
from fovea.errors import GradientError, InplaceError

STEPS = 6


class Net(nn.Module):
    """Convolutions, batch norm, a residual sum, dropout, pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8 * 4 * 4, 5)

    def forward(self, x: Any) -> Any:
        x = F.max_pool2d(F.relu(self.norm(self.stem(x)), inplace=True), 2)
        x = F.relu(self.conv(x) + x)
        return self.head(F.dropout(x.flatten(1), 0.25, self.training))


OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.05),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "adam": lambda p: optim.Adam(p, lr=1e-2),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2),
    "rmsprop": lambda p: optim.RMSprop(p, lr=1e-3, momentum=0.9),
}


def batches() -> list[tuple[Any, Any]]:
    fovea.manual_seed(3)
    return [(fovea.randn(6, 3, 8, 8), fovea.randint(0, 5, (6,))) for _ in range(STEPS)]


def twins(optimizer: str) -> list[tuple[Any, Any]]:
    fovea.manual_seed(1)
    first = Net()
    return [(net, OPTIMIZERS[optimizer](net.parameters())) for net in (first, copy.deepcopy(first))]


def check_equal(a: nn.Module, b: nn.Module, exact: bool = False) -> None:
    for (name, x), (_, y) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        if exact:
            assert np.array_equal(x.numpy(), y.numpy()), name
        assert np.allclose(x.numpy(), y.numpy(), rtol=2e-4, atol=2e-6), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("style", ["step", "model", "backward"])
def test_styles(optimizer: str, style: str) -> None:
    losses: list[list[float]] = []
    pairs = twins(optimizer)
    for (net, update), compiled in zip(pairs, (False, True), strict=True):
        run = training_step(net, update, style, compiled)
        fovea.manual_seed(9)
        losses.append([run(x, y).item() for x, y in batches()])
    assert np.allclose(*losses, rtol=1e-4)
    check_equal(pairs[0][0], pairs[1][0])
    for p, q in zip(pairs[0][0].parameters(), pairs[1][0].parameters(), strict=True):
        assert np.allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-3, atol=1e-5)


def training_step(net: nn.Module, update: Any, style: str, compiled: bool) -> Any:
    """The same step three ways: compiled as a whole, only the model, or all but the update."""
    wrap = fovea.compile if compiled else lambda f: f
    model = wrap(net) if style == "model" else net

    def forward_backward(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    def step(x: Any, y: Any) -> Any:
        update.zero_grad()
        loss = forward_backward(x, y)
        update.step()
        return loss

    if style == "step":
        return wrap(step)
    if style == "backward":
        forward_backward = wrap(forward_backward)
    return step


def test_one_capture_serves_all_steps() -> None:
    ((net, update), _) = twins("adam")
    step = training_step(net, update, "step", True)
    for x, y in batches():
        step(x, y)
    assert len(step.programs) == 1


def test_schedules_and_options() -> None:
    """Learning rates are read in each call; options that change the update capture again."""
    pairs = twins("momentum")
    for (net, update), compiled in zip(pairs, (False, True), strict=True):
        step = training_step(net, update, "step", compiled)
        schedule = optim.lr_scheduler.ExponentialLR(update, 0.5)
        for n, (x, y) in enumerate(batches()):
            fovea.manual_seed(n)
            step(x, y)
            schedule.step()
            if n == 3:
                update.param_groups[0]["weight_decay"] = 0.1
                update.param_groups[0]["nesterov"] = False
    check_equal(pairs[0][0], pairs[1][0])


def test_train_and_eval() -> None:
    (net, update), (twin, twin_update) = twins("sgd")
    step = training_step(net, update, "step", True)
    model = fovea.compile(net)
    eager = training_step(twin, twin_update, "step", False)
    for n, (x, y) in enumerate(batches()):
        fovea.manual_seed(n)
        step(x, y)
        fovea.manual_seed(n)
        eager(x, y)
        for m in (model, twin):
            m.eval()
        with fovea.no_grad():
            assert np.allclose(model(x).numpy(), twin(x).numpy(), rtol=1e-4, atol=1e-5)
        for m in (model, twin):
            m.train()
    assert len(step.programs) == 1 and len(model.programs) == 1


def test_frozen_layers() -> None:
    pairs = twins("adam")
    for (net, update), compiled in zip(pairs, (False, True), strict=True):
        step = training_step(net, update, "step", compiled)
        for n, (x, y) in enumerate(batches()):
            fovea.manual_seed(n)
            net.stem.weight.requires_grad = n % 4 < 2
            step(x, y)
    check_equal(pairs[0][0], pairs[1][0])


def test_accumulation_and_clipping() -> None:
    pairs = twins("sgd")
    for (net, update), compiled in zip(pairs, (False, True), strict=True):
        wrap = fovea.compile if compiled else lambda f: f

        @wrap
        def step(xs: Any, ys: Any, net: Any = net, update: Any = update) -> Any:
            update.zero_grad()
            for x, y in zip(xs, ys, strict=True):
                (F.cross_entropy(net(x), y) / len(xs)).backward()
            norm = nn.utils.clip_grad_norm_(net.parameters(), 0.1)
            update.step()
            return norm

        data = batches()
        for n in range(0, STEPS, 2):
            fovea.manual_seed(n)
            step([x for x, _ in data[n : n + 2]], [y for _, y in data[n : n + 2]])
    check_equal(pairs[0][0], pairs[1][0])


def test_gradients_that_add_up_over_calls() -> None:
    (net, _), (twin, _) = twins("sgd")
    forward = fovea.compile(lambda x, y: F.cross_entropy(net(x), y).backward())
    for n, (x, y) in enumerate(batches()):
        if n == 4:
            net.zero_grad()
            twin.zero_grad()
        fovea.manual_seed(n)
        forward(x, y)
        fovea.manual_seed(n)
        F.cross_entropy(twin(x), y).backward()
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        assert np.allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-3, atol=1e-5)


def test_averages_of_weights() -> None:
    pairs = twins("sgd")
    averages = [copy.deepcopy(net) for net, _ in pairs]
    for (net, update), average, compiled in zip(pairs, averages, (False, True), strict=True):
        inner = training_step(net, update, "step", False)

        def step(x: Any, y: Any, inner: Any = inner, net: Any = net, average: Any = average) -> Any:
            loss = inner(x, y)
            with fovea.no_grad():
                for p, q in zip(average.parameters(), net.parameters(), strict=True):
                    p.mul_(0.9).add_(q, alpha=0.1)
            return loss

        run = fovea.compile(step) if compiled else step
        for n, (x, y) in enumerate(batches()):
            fovea.manual_seed(n)
            run(x, y)
    check_equal(averages[0], averages[1])


@pytest.mark.parametrize("threads", [1, 2])
def test_same_bits_again(threads: int) -> None:
    before = fovea.get_num_threads()
    found = []
    try:
        for count in (threads, 1):
            fovea.set_num_threads(count)
            ((net, update), _) = twins("adam")
            step = training_step(net, update, "step", True)
            fovea.manual_seed(4)
            for x, y in batches():
                step(x, y)
            found.append(net)
    finally:
        fovea.set_num_threads(before)
    check_equal(*found, exact=True)


def test_backward_rules_of_compiled_calls() -> None:
    model = fovea.compile(nn.Linear(3, 2))
    x = fovea.randn(4, 3)
    for _ in range(2):
        out = model(x)
    out.sum().backward(retain_graph=True)
    out.sum().backward()
    with pytest.raises(GradientError, match="freed"):
        out.sum().backward()
    out = model(x)
    with fovea.no_grad():
        model.weight.add_(1.0)
    if model.programs[0]._read:
        with pytest.raises(InplaceError):
            out.sum().backward()


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6, nn.SiLU])
def test_forward_keeps_no_more_than_backward_needs(activation: Any) -> None:
    """Normalizations and poolings are fused across the two programs, and no bit changes."""
    fovea.manual_seed(0)
    eager = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), activation(),
        nn.Conv2d(8, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32, 4),
    )  # fmt: skip
    net = copy.deepcopy(eager)
    compiled = fovea.compile(net, strict=True)
    for _ in range(4):
        x, y = fovea.randn(5, 3, 8, 8), fovea.randint(0, 4, (5,))
        for model, call in ((eager, eager), (net, compiled)):
            model.zero_grad()
            F.cross_entropy(call(x), y).backward()
        for p, q in zip(eager.parameters(), net.parameters(), strict=True):
            assert fovea.allclose(p.grad, q.grad, rtol=1e-5, atol=1e-6)
        assert fovea.equal(eager[0].weight.grad, net[0].weight.grad)
    program = compiled.programs[-1]
    ops = [node.op.name for node in program.backward.graph.nodes]
    assert "batch_norm_grad_fused" in ops and "relu_max_pool2d_grad" in ops
    images = [v for v in program.backward.graph.inputs if v.shape == (5, 8, 6, 6)]
    assert len(images) == 2  # what the normalization was given, and what the next layer read
