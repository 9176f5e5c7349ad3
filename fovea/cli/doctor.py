"""``fovea doctor``: does everything work on this machine."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from fovea.cli.console import Console, add_output_options
from fovea.errors import FoveaError

__all__ = ["add_parser"]

_LEAST_DISK = 1 << 28  # bytes: room for compiled kernels


@dataclass(frozen=True)
class Check:
    """What a check found.

    Args:
        name: of the check.
        ok: whether all is well; None: something is missing that one can do without.
        text: what was found.
        fix: what to do, if something is to be done.
    """

    name: str
    ok: bool | None
    text: str
    fix: str = ""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "doctor",
        help="does everything work here",
        description="Compile and run kernels, train a step, look at caches and extras, and say "
        "what to do about what does not work. The exit code is 1 if something is broken.",
    )
    add_output_options(parser)
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    console = Console(args.json, args.quiet)
    checks = [_made(check) for check in (_kernels, _step, _threads, _cache, *_extras())]
    for check in checks:
        mark = {True: "ok     ", False: "broken ", None: "missing"}[check.ok]
        console.show(f"{mark}  {check.name:<18} {check.text}")
        if check.fix:
            console.show(f"{'':<9}{'':<18}   {check.fix}")
    broken = [check.name for check in checks if check.ok is False]
    console.show("" if not broken else f"\n{len(broken)} broken: {', '.join(broken)}")
    console.document({"command": "doctor", "ok": not broken, "checks": [asdict(c) for c in checks]})
    return 1 if broken else 0


def _made(check: Callable[[], Check]) -> Check:
    """A check; what it raises is what is broken."""
    try:
        return check()
    except Exception as error:  # whatever is wrong is to be told, not to end the command
        text = (
            error.summary if isinstance(error, FoveaError) else f"{type(error).__name__}: {error}"
        )
        name = check.__name__.strip("_")
        return Check(name, False, text, "please report this with the output of `fovea info`")


def _kernels() -> Check:
    """Products and convolutions give what NumPy gives."""
    import numpy as np

    import fovea
    from fovea.targets.cpu import isa

    began = time.perf_counter()
    a, b = (np.random.default_rng(i).normal(size=(70, 70)).astype("f4") for i in (0, 1))
    found = (fovea.tensor(a) @ fovea.tensor(b)).numpy()
    image = fovea.tensor(a.reshape(1, 1, 70, 70))
    smooth = fovea.nn.functional.conv2d(image, fovea.ones(1, 1, 3, 3))
    expected = sum(a[i : i + 68, j : j + 68] for i in range(3) for j in range(3))
    error = max(abs(found - a @ b).max(), abs(smooth.numpy()[0, 0] - expected).max())
    ok = bool(error < 1e-3)
    text = f"{isa.active().name}, largest error {error:.1e}, {time.perf_counter() - began:.2f} s"
    return Check("kernels", ok, text, "" if ok else "FOVEA_CPU_CHECK=1 names the kernel")


def _step() -> Check:
    """A compiled training step lowers the loss."""
    import fovea
    from fovea import nn, optim

    fovea.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    x, y = fovea.randn(16, 1, 8, 8), fovea.arange(16) % 2

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    program = fovea.compile(step)
    losses = [float(program(x, y)) for _ in range(10)]
    ok = losses[-1] < losses[0]
    return Check("training step", ok, f"loss {losses[0]:.3f} to {losses[-1]:.3f} in 10 steps")


def _threads() -> Check:
    from fovea import get_num_threads

    used, there = get_num_threads(), os.cpu_count() or 1
    fix = f"fovea.set_num_threads({there})" if used < there else ""
    return Check("threads", True, f"{used} of {there} processors", fix)


def _cache() -> Check:
    """Compiled kernels can be kept."""
    from fovea.targets.cpu import cache

    folder = str(cache.directory())
    os.makedirs(folder, exist_ok=True)
    probe = os.path.join(folder, f".probe-{os.getpid()}")
    with open(probe, "w", encoding="ascii") as file:
        file.write("x")
    os.remove(probe)
    free = shutil.disk_usage(folder).free
    ok = free >= _LEAST_DISK
    fix = "" if ok else "make room, or let FOVEA_CACHE_DIR name another folder"
    return Check("kernel cache", ok, f"{folder}, {free / 1e9:.1f} GB free", fix)


def _extras() -> list[Callable[[], Check]]:
    """A check for each library that one can do without."""
    from fovea.cli.info import EXTRAS, version_of

    def check(name: str) -> Callable[[], Check]:
        purpose, install = EXTRAS[name]
        version = version_of(name)
        if version is None:
            return lambda: Check(name, None, f"for {purpose}", install)
        return lambda: Check(name, True, version)

    return [check(name) for name in EXTRAS]
