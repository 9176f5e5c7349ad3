"""``python -m bench``: race fovea against the peers that are installed, in one run.

Prints markdown tables. Times are medians of interleaved rounds; a ratio above 1 means that fovea is
faster.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import sys
from typing import Any

from bench.peers import PEERS, Peer, installed
from bench.programs import race_programs
from bench.shapes import CONVOLUTIONS
from bench.workloads.keras_style import STEPS

RACES = ("programs", "steps", "conv")


def race(peers: list[Peer], case: dict[str, Any], rounds: int, budget: float) -> dict[str, float]:
    """Median seconds of a case for each peer, the rounds interleaved."""
    times: dict[str, list[float]] = {p.name: [] for p in peers}
    for _ in range(rounds):
        for peer in peers:
            times[peer.name].append(peer.run({**case, "budget": budget}))
    return {name: statistics.median(t) for name, t in times.items()}


def present(*names: str) -> list[Peer]:
    """The peers of these names that are installed."""
    return [p for p in PEERS if p.name in names and installed(p.module)]


def table(head: list[str], rows: list[list[str]]) -> str:
    """A markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def programs(rounds: int) -> None:
    """The two example programs as whole processes."""
    print("\n### The two example programs, whole process (seconds)\n")
    found = race_programs(rounds)
    warm = {style: s for style, name, s in found if name == "fovea, warm cache"}
    rows = [[style, name, f"{s:.2f}", f"{s / warm[style]:.2f}"] for style, name, s in found]
    print(table(["program", "contestant", "seconds", "times fovea warm"], rows), flush=True)


def steps(rounds: int, budget: float) -> None:
    """The training step of the small CNN."""
    print("\n### Small CNN, one training step (milliseconds)\n")
    rows = []
    for names, case in (
        (("fovea", "PyTorch"), {"kind": "step"}),
        (("fovea.keras", "Keras/TensorFlow"), {"kind": "fit"}),
    ):
        peers = present(*names)
        for batch in STEPS:
            times = race(peers, {**case, "batch": batch}, rounds, budget)
            unit = STEPS[batch] if case["kind"] == "fit" else 1
            ours = times[names[0]]
            for name, t in times.items():
                ratio = "" if name == names[0] else f"{t / ours:.2f}"
                rows.append([str(batch), name, f"{t / unit * 1e3:.2f}", ratio])
        for peer in peers:
            peer.stop()
    print(table(["batch", "contestant", "ms a step", "times fovea"], rows), flush=True)


def convolutions(rounds: int, budget: float) -> None:
    """Convolutions on ResNet's shapes, float32, channels-last."""
    print("\n### Convolutions on ResNet's shapes, float32, channels-last (GFLOP/s)\n")
    peers = present("fovea", "PyTorch")
    rows, ratios = [], []
    for n, size, cin, cout, k, stride in CONVOLUTIONS:
        flops = 2 * n * math.ceil(size / stride) ** 2 * cin * cout * k * k
        row = [f"{n}×{size}² {cin}→{cout} {k}×{k}/{stride}"]
        for direction in ("forward", "data", "weight"):
            case = {"kind": "conv", "direction": direction, "n": n, "size": size, "cin": cin,
                    "cout": cout, "k": k, "stride": stride}  # fmt: skip
            times = race(peers, case, rounds, budget)
            cell = f"{flops / times['fovea'] / 1e9:.0f}"
            if "PyTorch" in times:
                ratio = times["PyTorch"] / times["fovea"]
                ratios.append((direction, ratio))
                cell += f" / {flops / times['PyTorch'] / 1e9:.0f} = {ratio:.2f}"
            row.append(cell)
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    for peer in peers:
        peer.stop()
    print(
        table(
            ["shape", "forward: fovea / PyTorch", "gradient to data", "gradient to weights"], rows
        )
    )
    if ratios:
        means = {
            d: math.exp(statistics.fmean(math.log(r) for e, r in ratios if d in (e, "all")))
            for d in ("all", "forward", "data", "weight")
        }
        text = ", ".join(f"{d} {m:.2f}" for d, m in means.items())
        print(f"\nGeometric mean of fovea's rate over PyTorch's: {text}.", flush=True)


def machine() -> str:
    """One line about the machine and the versions."""
    import importlib.metadata as metadata
    import os

    versions = []
    for package in ("fovea", "torch", "tensorflow", "tensorflow-cpu", "keras", "numpy", "llvmlite"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    from fovea.targets.cpu import isa

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = platform.python_version()
    hardware = f"{platform.machine()}, {cores} cores, {isa.host().name}"
    return f"{hardware}; Python {python}; {', '.join(versions)}."


def main() -> None:
    """Run the races that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("races", nargs="*", choices=[*RACES, []], help="default: all")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds a case")
    parser.add_argument("--budget", type=float, default=0.5, help="seconds a case and round")
    options = parser.parse_args()
    chosen = options.races or RACES
    print(machine())
    if "programs" in chosen:
        programs(options.rounds)
    if "steps" in chosen:
        steps(options.rounds, options.budget)
    if "conv" in chosen:
        convolutions(max(3, options.rounds // 2), options.budget / 2)


if __name__ == "__main__":
    main()
