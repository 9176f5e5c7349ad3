"""How much memory is held: freed blocks wait, but make way for others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import fovea
from fovea import optim, storage
from fovea.storage import empty_cache, memory_allocated, memory_reserved, set_cache_limit

MB = 1 << 20


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    empty_cache()
    monkeypatch.setattr(storage, "_most_reserved", memory_reserved())
    yield
    empty_cache()


def block(megabytes: float) -> Any:
    return fovea.zeros(int(megabytes * MB) // 4)


def test_freed_blocks_are_taken_again() -> None:
    x = block(8)
    address = x.storage.address
    del x
    assert block(8).storage.address == address


def test_other_sizes_make_way_instead_of_growing() -> None:
    start = memory_reserved()
    x = block(16)
    del x
    assert memory_reserved() - start >= 16 * MB
    for size in (3, 5, 9, 12):  # each fits where the first was
        y = block(size)
        assert memory_reserved() - start <= 17 * MB
        del y


def test_what_lives_is_never_given_back() -> None:
    held = [block(4), block(6)]
    for t in held:
        t.fill_(1.0)
    before = memory_allocated()
    more = block(32)
    assert memory_allocated() >= before + 32 * MB and all((t == 1).all() for t in held)
    del more


def test_the_limit_bounds_what_waits() -> None:
    try:
        set_cache_limit(4 * MB)
        before = memory_reserved()
        several = [block(2) for _ in range(4)]
        del several
        assert memory_reserved() - before <= 5 * MB
    finally:
        set_cache_limit(4096 * MB)


def test_a_program_takes_the_memory_of_the_call_that_was_captured() -> None:
    net = fovea.nn.Sequential(*[fovea.nn.Conv2d(8, 8, 3, padding=1) for _ in range(6)])
    optimizer = optim.SGD(net.parameters(), lr=1e-3)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (net(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    run = fovea.compile(step, strict=True)
    x = fovea.randn(16, 8, 64, 64)  # 2 MB each time
    start = memory_reserved()
    for _ in range(4):
        run(x)
    # the arena is no block of the shelves, and nothing of the eager call waits beside it
    assert memory_reserved() - start < 4 * MB
    assert run.programs[0].forward.memory.peak > 8 * MB


@pytest.mark.skipif(storage._trim is None, reason="glibc's memory only")
def test_free_memory_between_blocks_in_use_goes_back_to_the_system() -> None:
    """In a process of its own: whether such memory is there depends on all that came before."""
    script = """
import numpy as np
from fovea.storage import empty_cache

def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096

freed = np.empty(24 << 20, np.uint8)  # from now on glibc keeps blocks of up to that size
del freed
blocks = [np.ones(1 << 20, np.uint8) for _ in range(200)]
del blocks[::2]
before = resident()
empty_cache()
print(before - resident())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout) > 80 * MB
