"""Why two runs differ: what they began with, and the first step where they part."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, FileFormatError
from fovea.interop import load
from fovea.tensorbase import is_tensor

__all__ = ["RunDifference", "compare_runs"]

Step = tuple[int, int]


@dataclass
class RunDifference:
    """How two runs differ. As a text it is the answer, with the likely cause first.

    Attributes:
        answer: in a sentence, why they differ, or that they do not.
        settings: what they began with that differs: a name and the two values.
        data: the first (epoch, step) whose batches differ, or None.
        losses: the first (epoch, step) whose logged numbers differ, or None.
        weights: names of tensors that differ, with the largest difference (of checkpoints).
    """

    answer: str = ""
    settings: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    data: Step | None = None
    losses: Step | None = None
    weights: dict[str, float] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether what was compared is the same, but for machines and versions."""
        ours = ("versions.", "machine.", "config.")
        rest = [s for s in self.settings if not s.startswith(ours)]
        return not (rest or self.data or self.losses or self.weights)

    def __str__(self) -> str:
        lines = [self.answer]
        for name, (a, b) in self.settings.items():
            lines.append(f"  {name}: {_short(a)} | {_short(b)}")
        for name, place in (("batches", self.data), ("numbers", self.losses)):
            if place is not None:
                lines.append(f"  {name} first differ at epoch {place[0] + 1}, step {place[1]}")
        for name, most in list(self.weights.items())[:8]:
            lines.append(f"  {name}: differs by up to {most:.3g}")
        if len(self.weights) > 8:
            lines.append(f"  and {len(self.weights) - 8} more tensors")
        return "\n".join(lines)


def compare_runs(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> RunDifference:
    """Say why two runs differ, from their logs (`JSONLogger`) or their checkpoints.

    Args:
        a, b: two logs, or two files of ``Trainer.save`` or ``fit(checkpoint=)``.

    Raises:
        ArgumentError: a log and a checkpoint.
        FileFormatError: a file that is neither.

    >>> import fovea, tempfile, pathlib
    >>> from fovea import nn, training
    >>> folder = tempfile.TemporaryDirectory()
    >>> def run(name, lr):
    ...     fovea.manual_seed(0)
    ...     model = nn.Linear(2, 1)
    ...     optimizer = fovea.optim.SGD(model.parameters(), lr=lr)
    ...     log = training.JSONLogger(pathlib.Path(folder.name) / name)
    ...     trainer = fovea.Trainer(model, nn.MSELoss(), optimizer, callbacks=log)
    ...     _ = trainer.fit((fovea.ones(8, 2), fovea.ones(8, 1)), batch_size=4, verbose=0)
    ...     return log.filename
    >>> print(compare_runs(run("a", 0.1), run("b", 0.2)))
    The runs part at epoch 1, step 1 on the same data: they began with other settings.
      optimizer.groups.0.lr: 0.1 | 0.2
      numbers first differ at epoch 1, step 1
    >>> folder.cleanup()
    """
    logs = [_is_log(path) for path in (a, b)]
    if logs[0] != logs[1]:
        raise ArgumentError("compare_runs: one file is a log, the other is not.")
    if all(logs):
        return _compare_logs(_read_log(a), _read_log(b))
    return _compare_states(load(a), load(b))


# -- logs ---------------------------------------------------------------------------------------


def _is_log(path: str | os.PathLike[str]) -> bool:
    with open(path, "rb") as file:
        return file.read(1) == b"{"


def _read_log(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of a log; a last one that was cut off is left out."""
    lines = Path(path).read_text("utf-8", errors="replace").splitlines()
    found: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines):
                break
            entry = None
        if not isinstance(entry, dict) or "event" not in entry:
            raise FileFormatError(f"{path}: line {number} is not of a run's log.")
        found.append(entry)
    return found


def _compare_logs(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> RunDifference:
    begins = [next((e for e in log if e["event"] == "begin"), {}) for log in (a, b)]
    found = RunDifference(settings=_differences(*begins))
    steps = [_entries(log, "step") for log in (a, b)]
    epochs = [_entries(log, "epoch") for log in (a, b)]
    shared = sorted(steps[0].keys() & steps[1].keys())
    found.data = next((p for p in shared if _differ(steps, p, "batch")), None)
    found.losses = next((p for p in shared if _differ(steps, p, "logs")), None)
    if found.losses is None:
        shared = sorted(epochs[0].keys() & epochs[1].keys())
        found.losses = next((p for p in shared if _differ(epochs, p, "logs")), None)
    found.answer = _why(found, [len(s) for s in steps] or [0, 0])
    return found


def _entries(log: list[dict[str, Any]], event: str) -> dict[Step, dict[str, Any]]:
    """Entries of a kind by (epoch, step); the newest of those that were done twice."""
    return {(int(e.get("epoch", 0)), int(e.get("step", -1))): e for e in log if e["event"] == event}


def _differ(both: list[dict[Step, dict[str, Any]]], place: Step, name: str) -> bool:
    a, b = (entries[place].get(name) for entries in both)
    if isinstance(a, dict) and isinstance(b, dict):
        return any(a[k] != b[k] for k in a.keys() & b.keys())
    return a is not None and b is not None and bool(a != b)


def _why(found: RunDifference, lengths: list[int]) -> str:
    """The likely cause, in a sentence."""
    settings = found.settings
    own = [s for s in settings if s.split(".")[0] in ("optimizer", "trainer", "config")]
    around = [s for s in settings if s.split(".")[0] in ("versions", "machine")]
    if found.losses is None and found.data is None:
        if lengths[0] != lengths[1]:
            return f"The runs are the same as far as both go ({lengths[0]} and {lengths[1]} steps)."
        return "The runs are the same." if not settings else "The runs' numbers are the same."
    epoch, step = min(p for p in (found.data, found.losses) if p is not None)
    place = f"The runs part at epoch {epoch + 1}" + (f", step {step}" if step >= 0 else "")
    if "seed" in settings or ("random" in settings and "model.weights" in settings):
        return f"{place}: their random numbers began differently; seed both with manual_seed."
    if any(s.startswith("model.") for s in settings):
        return f"{place}: their models were different before the first step."
    if found.data is not None and (found.losses is None or found.data <= found.losses):
        why = "random numbers had another state" if "random" in settings else "other data, or order"
        return f"{place}: their batches differ from there on ({why})."
    if own:
        return f"{place} on the same data: they began with other settings."
    if "random" in settings:
        return f"{place} on the same data: random numbers (dropout ...) had another state."
    if around:
        return f"{place} with the same settings and data: versions or machines differ."
    return f"{place} with the same settings and data: something in the step is not deterministic."


# -- checkpoints --------------------------------------------------------------------------------


def _compare_states(a: Any, b: Any) -> RunDifference:
    for state in (a, b):
        if not isinstance(state, dict):
            raise FileFormatError("compare_runs: a file holds no state of a run.")
    found = RunDifference()
    differ = _differences(_without(a), _without(b))
    found.weights = {
        name: _distance(x, y) for name, (x, y) in differ.items() if is_tensor(x) and is_tensor(y)
    }
    found.settings = {k: v for k, v in differ.items() if k not in found.weights}
    histories = [s.get("history") or {} for s in (a, b)]
    shared = histories[0].keys() & histories[1].keys()
    parted = [
        epoch
        for name in shared
        for epoch, (x, y) in enumerate(zip(histories[0][name], histories[1][name], strict=False))
        if x != y and not (x != x and y != y)
    ]
    found.losses = (min(parted), -1) if parted else None
    if found.losses is not None:
        found.answer = f"The runs part within epoch {found.losses[0] + 1}."
    elif "epoch" in found.settings:
        found.answer = "The runs agree as far as both go; one has gone further."
    elif found.weights or found.settings:
        found.answer = "The losses of whole epochs agree, the states do not."
    else:
        found.answer = "The runs are the same."
    if any(".lr" in s or "param_groups" in s for s in found.settings):
        found.answer += " Their optimizers have other options."
    return found


def _without(state: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in state.items() if k not in ("history", "callbacks")}


def _distance(x: Any, y: Any) -> float:
    if tuple(x.shape) != tuple(y.shape):
        return float("inf")
    a, b = (t.detach().double().numpy() for t in (x, y))
    return float(np.abs(a - b).max(initial=0.0))


# -- structures ---------------------------------------------------------------------------------


def _differences(a: Any, b: Any) -> dict[str, tuple[Any, Any]]:
    """What differs in two structures, by its path."""
    first, second = dict(_leaves(a)), dict(_leaves(b))
    names = [*first, *(n for n in second if n not in first)]
    pairs = {n: (first.get(n), second.get(n)) for n in names}
    return {n: pair for n, pair in pairs.items() if not _equal(*pair)}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list | tuple) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in items:
            yield from _leaves(part, f"{path}.{key}" if path else str(key))
    elif path != "event":
        yield path, value


def _equal(x: Any, y: Any) -> bool:
    if is_tensor(x) and is_tensor(y):
        if tuple(x.shape) != tuple(y.shape) or x.dtype is not y.dtype:
            return False
        a, b = x.detach().numpy(), y.detach().numpy()
        return a.tobytes() == b.tobytes()
    return type(x) is type(y) and bool(x == y or (x != x and y != y))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
