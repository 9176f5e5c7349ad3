"""A case, and several contestants: prepare, compare, then time in interleaved rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers import Peer
from bench.unsupported import Unsupported

__all__ = ["REFERENCES", "Result", "Timing", "compete", "difference", "limits"]

# Whose results the others are compared with: the first of these that takes part.
REFERENCES = ("PyTorch", "PyTorch channels-last", "fovea")

Results = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Timing:
    """How a case is timed.

    Attributes:
        rounds: interleaved ones.
        budget: seconds for each contestant in a round (a unit at least).
        clock: ``wall`` or ``processor``.
    """

    rounds: int = 5
    budget: float = 0.5
    clock: str = "wall"


@dataclass
class Result:
    """How a contestant did.

    Attributes:
        contestant: its name.
        seconds: the median of a unit; None if it did not run.
        megabytes: the most memory that its process has needed so far.
        difference: the largest relative one from the reference's results.
        note: why it did not run.
    """

    contestant: str
    seconds: float | None = None
    megabytes: float = 0.0
    difference: float = 0.0
    note: str = ""


def difference(found: Results, expected: Results) -> dict[str, float]:
    """The relative difference of each result, by the 2-norm."""
    if set(found) != set(expected):
        raise ValueError(f"results {sorted(found)} instead of {sorted(expected)}")
    out = {}
    for name, value in expected.items():
        if found[name].shape != value.shape:
            raise ValueError(f"{name}: shape {found[name].shape} instead of {value.shape}")
        out[name] = _norm(found[name] - value) / max(_norm(value), 1e-12)
    return out


def _norm(values: np.ndarray[Any, Any]) -> float:
    return float(np.linalg.norm(values.astype(np.float64).ravel()))


def limits(dtype: str) -> dict[str, float]:
    """How far each result may be from the reference's, which are float32's.

    Deep networks at their first values amplify rounding: in float32 the gradient to the first layer
    agrees to two or three digits, in bfloat16 hardly in sign; the loss before the step tells more.
    """
    if dtype == "float32":
        return {"logits": 1e-3, "loss": 1e-4, "after": 3e-2, "first": 5e-2, "last": 1e-2}
    return {"logits": 0.2, "loss": 5e-2, "after": 0.2, "first": 1.5, "last": 0.5}


def compete(
    peers: Sequence[Peer],
    request: dict[str, Any],
    timing: Timing,
    folder: Path | None = None,
    allowed: dict[str, float] | None = None,
) -> list[Result]:
    """Let each peer prepare a case, compare what they computed, and time those that agree.

    Args:
        peers: in the order of the reference's preference within ``REFERENCES``.
        request: the case, as workloads take it.
        timing: how often, how long.
        folder: where results are written; None where there are none to compare.
        allowed: how far each may be from the reference's.
    """
    found = [Result(peer.name) for peer in peers]
    computed: dict[str, Results] = {}
    for peer, result in zip(peers, found, strict=True):
        path = None if folder is None else folder / f"{peer.name.replace('/', ' ')}.npz"
        try:
            answer = peer.ask("prepare", results=path and str(path), **request)
            if path is not None:
                with np.load(path) as file:
                    computed[peer.name] = {name: file[name] for name in file.files}
            result.megabytes = answer["megabytes"]
        except (Unsupported, RuntimeError) as error:
            result.note = str(error) or type(error).__name__
    _compare(found, computed, allowed or {})
    times: dict[str, list[float]] = {r.contestant: [] for r in found if not r.note}
    for turn in range(timing.rounds + 1):
        for peer, result in zip(peers, found, strict=True):
            if result.note:
                continue
            try:
                budget = timing.budget if turn else 0.0
                answer = peer.ask("time", budget=budget, clock=timing.clock)
            except RuntimeError as error:
                result.note = str(error)
                continue
            result.megabytes = answer["megabytes"]
            if turn:  # the first warms up
                times[result.contestant].append(answer["seconds"])
    for result in found:
        if not result.note:
            result.seconds = statistics.median(times[result.contestant])
    return found


def _compare(found: list[Result], computed: dict[str, Results], allowed: dict[str, float]) -> None:
    """Note those whose results are not the reference's: they are not timed."""
    reference = next((name for name in REFERENCES if name in computed), None)
    if reference is None:
        return
    for result in found:
        if result.contestant not in computed:
            continue
        try:
            apart = difference(computed[result.contestant], computed[reference])
        except ValueError as error:
            result.note = f"wrong: {error}"
            continue
        result.difference = max(apart.values(), default=0.0)
        wrong = {n: d for n, d in apart.items() if not d <= allowed.get(n, 0.0)}
        if wrong:
            text = ", ".join(f"{name} by {d:.2g}" for name, d in wrong.items())
            result.note = f"wrong: differs from {reference} in {text}"
