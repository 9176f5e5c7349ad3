"""Eager and compiled training side by side, on a small scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench import parity
from bench.tables import Report


def test_trajectories() -> None:
    eager, compiled, again = (parity.trajectory("small_cnn", c, 6) for c in (False, True, True))
    assert compiled == again
    np.testing.assert_allclose(eager["losses"], compiled["losses"], rtol=1e-5)
    assert parity.trajectory("small_cnn", False, 2, 0.1)["losses"] != eager["losses"][:2]


def test_a_process_of_its_own() -> None:
    found = parity._in_process("small_cnn", True, 1, 2)
    assert found == parity._in_process("small_cnn", True, 2, 2) and len(found["losses"]) == 2
    with pytest.raises(RuntimeError, match="nothing: KeyError"):
        parity._in_process("nothing", False, 1, 1)


@pytest.mark.parametrize(
    ("compiled", "threads", "change", "good"),
    [
        (True, 2, {}, True),
        (True, 2, {"losses": [2.0, 1.1]}, False),
        (True, 1, {"digest": "other"}, False),
        (False, 1, {"digest": "other"}, False),
    ],
)
def test_what_is_held_against_what(
    monkeypatch: pytest.MonkeyPatch, compiled: bool, threads: int, change: Any, good: bool
) -> None:
    def run(name: str, c: bool, t: int, steps: int, off: float = 0.0) -> Any:
        found = {"losses": [2.0, 1.0 + off], "digest": str(c)}
        return {**found, **change} if (c, t) == (compiled, threads) and not off else found

    monkeypatch.setattr(parity, "_in_process", run)
    assert parity.compare(Report(), ["small_cnn"], 2) == good
