"""Batch sizes that were never captured: programs made from captures at two others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn as nn
import fovea.nn.functional as F
from fovea import optim
from fovea.compiler import mark_dynamic
from fovea.compiler.sizes import decides_by_size


class Counted:
    """A function that counts its runs in Python."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.runs = function, 0

    def __call__(self, *args: Any) -> Any:
        self.runs += 1
        return self.function(*args)


def counted(function: Callable[..., Any], **options: Any) -> tuple[Counted, Any]:
    count = Counted(function)

    def call(*args: Any) -> Any:
        return count(*args)

    return count, fovea.compile(call, strict=True, **options)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "pointwise": lambda x: (x * 2 + 1).relu(),
    "view": lambda x: x.view(x.size(0), -1).t().contiguous(),
    "mean": lambda x: (x - x.mean()) / (x.std() + 1),
    "sum over the number": lambda x: x.sum() / x.shape[0],
    "softmax": lambda x: F.softmax(x.flatten(1), 1),
    "pooled": lambda x: F.max_pool2d(x[:, None], 2),
    "several": lambda x: {"a": x + 1, "b": [x.sum(0), 3]},
    "cat": lambda x: fovea.cat([x, fovea.zeros(x.shape[0], 2, 4)], 1),
    "random": lambda x: x + fovea.rand_like(x) * 0,
}


def assert_alike(a: Any, b: Any) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        a, b = list(a.values()), list(b.values())
    if isinstance(a, list):
        for p, q in zip(a, b, strict=True):
            assert_alike(p, q)
    elif isinstance(a, int):
        assert a == b
    else:
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_two_captures_tell_all_sizes(name: str) -> None:
    count, run = counted(FUNCTIONS[name])
    for n in (4, 7, 2, 16, 33, 7, 4, 5, 16):
        x = fovea.randn(n, 6, 4)
        assert_alike(run(x), FUNCTIONS[name](x))
    assert count.runs == 2
    run(fovea.randn(1, 6, 4))  # broadcasts: another computation
    assert count.runs == 3


@pytest.mark.parametrize("name", ["pointwise", "mean", "softmax", "pooled", "several"])
def test_gradients(name: str) -> None:
    count, run = counted(FUNCTIONS[name])
    for n in (4, 7, 2, 16):
        grads = []
        for f in (run, FUNCTIONS[name]):
            fovea.manual_seed(n)
            x = fovea.randn(n, 6, 4, requires_grad=True)
            out = f(x)
            out = out["b"][0] if isinstance(out, dict) else out
            (out * out).sum().backward()
            grads.append(x.grad)
        assert_alike(*grads)
    assert count.runs == 2


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 3 * 3, 5)

    def forward(self, x: Any) -> Any:
        x = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return self.head(F.dropout(x.reshape(x.size(0), -1), 0.0, self.training))


def test_training_steps() -> None:
    fovea.manual_seed(0)
    nets = [Net()]
    nets.append(copy.deepcopy(nets[0]))
    optimizers = [optim.Adam(net.parameters(), lr=0.01) for net in nets]
    counts = [Counted(lambda: None), Counted(lambda: None)]  # a list of numbers would be guarded

    def make(which: int) -> Any:
        net, optimizer = nets[which], optimizers[which]

        def step(x: Any, y: Any) -> Any:
            counts[which]()
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y, label_smoothing=0.1)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            return loss.detach()

        return step

    eager, compiled = make(0), fovea.compile(make(1), strict=True)
    sizes = [8, 8, 8, 5, 5, 5, 3, 11, 6, 8, 16, 2, 11]
    for n in sizes:
        x, y = fovea.randn(n, 3, 6, 6), fovea.randint(0, 5, (n,))
        assert float(compiled(x, y)) == pytest.approx(float(eager(x, y)), rel=2e-4)
    # of 8: what makes the optimizer's states, what finds them, a capture; and one of 5
    assert counts[0].runs == len(sizes) and counts[1].runs <= 4
    for (k, a), b in zip(nets[0].state_dict().items(), nets[1].state_dict().values(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-2, atol=2e-4, err_msg=k)


def test_labels_are_checked_at_new_sizes() -> None:
    def loss(x: Any, y: Any) -> Any:
        return F.cross_entropy(x, y)

    run = fovea.compile(loss, strict=True)
    for n in (4, 6):
        run(fovea.randn(n, 3), fovea.randint(0, 3, (n,)))
    assert float(run(fovea.zeros(5, 3), fovea.zeros(5, dtype=fovea.int64))) == pytest.approx(
        np.log(3)
    )
    with pytest.raises(IndexError):
        run(fovea.randn(9, 3), fovea.full((9,), 3))


def decides(x: Any) -> Any:
    return x * 2 if x.shape[0] > 10 else x * 3


def test_code_that_decides_by_sizes_is_captured_again() -> None:
    count, run = counted(decides)
    for n in (4, 6, 20, 30):
        x = fovea.ones(n, 2)
        assert_alike(run(x), decides(x))
    assert count.runs == 4


def test_who_vouches_gets_programs_from_two() -> None:
    def half(x: Any) -> Any:
        assert x.shape[0] > 0
        return x / 2

    for options, marked, runs in (
        ({}, False, 4), ({"dynamic": True}, False, 2), ({}, True, 2), ({"dynamic": False}, False, 4),
    ):  # fmt: skip
        count, run = counted(half, **options)
        for n in (4, 6, 5, 9):
            x = fovea.ones(n, 2)
            if marked:
                mark_dynamic(x, 0)
            assert_alike(run(x), x / 2)
        # three captures confirm what a comparison makes doubtful
        assert count.runs == (3 if runs == 4 and options == {} and not marked else runs), options


def test_sizes_that_differ_in_two_ways_are_captured() -> None:
    count, run = counted(lambda x, y: (x.sum(0) + y.sum(0)) * 2)
    for n, m in ((3, 4), (5, 6), (3, 6), (7, 8)):
        x, y = fovea.randn(n, 2), fovea.randn(m, 2)
        assert_alike(run(x, y), (x.sum(0) + y.sum(0)) * 2)
    assert count.runs == 4


def test_a_single_sample_is_captured_by_itself() -> None:
    count, run = counted(FUNCTIONS["mean"])
    for n in (1, 4, 1, 7, 9, 2, 1):
        x = fovea.randn(n, 6, 4)
        assert_alike(run(x), FUNCTIONS["mean"](x))
    assert count.runs == 3


def test_arguments_that_are_changed_on_the_tape() -> None:
    def double(x: Any) -> Any:
        x.mul_(x.shape[0])
        return x.sin()

    count, run = counted(double)
    for n in (3, 4, 5, 9, 2):
        grads = []
        for f in (run, double):
            leaf = fovea.ones(n, 2, requires_grad=True)
            x = leaf * 2
            out = f(x)
            (out * x).sum().backward()
            grads.append([leaf.grad, x, out])
        assert_alike(*grads)
    assert count.runs == 2


def test_guards_hold_for_instantiated_programs_too() -> None:
    net = nn.Linear(2, 2)
    scale = [2.0]

    def f(x: Any) -> Any:
        return net(x) * scale[0]

    run = fovea.compile(f, strict=True)
    for n in (3, 4, 5):
        x = fovea.randn(n, 2)
        assert_alike(run(x), net(x) * scale[0])
    scale[0] = 5.0
    for n in (5, 6, 3):
        x = fovea.randn(n, 2)
        assert_alike(run(x), net(x) * 5.0)
    with fovea.no_grad():
        net.weight.mul_(2)
    for n in (5, 7):
        x = fovea.randn(n, 2)
        assert_alike(run(x), net(x) * 5.0)


# -- reading code ---------------------------------------------------------------------------------


def passes_on(x: Any) -> Any:
    n, c, h, w = x.shape
    if h % 2 or c == 3:
        x = x[:, :, 1:]
    assert w == x.shape[3] and x.shape[1:] == (c, h, w) and x.size(-1) == w
    return x.view(n, -1).sum() / len(x.shape) / n


def compares(x: Any) -> Any:
    n = x.size(0)
    half = n // 2
    return x if half > 3 else -x


def asks(x: Any) -> Any:
    if not x.numel():
        return x
    return -x


def hands_on(x: Any) -> Any:
    return helper(x.shape[0]) * x


def helper(n: int) -> int:
    return 1


def whole(x: Any) -> Any:
    return x if x.shape != (3, 4) else -x


def carries(x: Any) -> Any:
    m = 0
    while m < 3:
        m = m + x.shape[0]
    return x * m


def unpacks(x: Any) -> Any:
    (n, _), k = x.size(), 2
    return x * k if n == 2 else x


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (passes_on, False), (compares, True), (asks, True), (hands_on, True), (whole, True),
        (carries, True), (unpacks, True), (helper, False), (F.relu, False),
    ],
)  # fmt: skip
def test_decisions_are_found_in_code(function: Any, expected: bool) -> None:
    assert decides_by_size([function]) == expected


def test_decisions_are_found_by_lines() -> None:
    line = compares.__code__.co_firstlineno + 2
    assert decides_by_size([], [(__file__, line)])
    assert not decides_by_size([], [(__file__, passes_on.__code__.co_firstlineno + 1)])
    assert decides_by_size([], [("/nowhere/at/all.py", 1)])
