"""``Timer`` and its measurements."""

from __future__ import annotations

from typing import Any

import pytest

import fovea
from fovea.utils import benchmark

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("lib", [fovea, torch])
def test_times(lib: Any) -> None:
    from torch.utils import benchmark as theirs

    Timer = benchmark.Timer if lib is fovea else theirs.Timer  # noqa: N806
    timer = Timer(
        "y = x.sum()", globals={"x": lib.ones(3)}, label="sum", sub_label="three", description="a"
    )
    once = timer.timeit(7)
    assert once.number_per_run == 7 and len(once.times) == 1 and once.mean == once.median > 0
    assert once.title == "sum: three" and "7 runs" in repr(once).replace("runs ,", "runs,")
    many = timer.blocked_autorange(min_run_time=0.02)
    assert sum(many.raw_times) >= 0.01 and many.iqr >= 0
    steady = timer.adaptive_autorange(min_run_time=0.01, max_run_time=0.1)
    assert 0 < steady.median < 0.1


def test_a_table_and_threads() -> None:
    seen: list[int] = []
    before = fovea.get_num_threads()
    names = {"note": lambda: seen.append(fovea.get_num_threads())}
    timed = [
        benchmark.Timer("note()", globals=names, sub_label=f"row {i}", description=d).timeit(2)
        for i in range(2)
        for d in ("left", "right")
    ]
    assert set(seen) == {1} and fovea.get_num_threads() == before
    lines = str(benchmark.Compare(timed)).split("\n")
    assert lines[0].split() == ["left", "right"]
    assert [line.split()[:2] for line in lines[1:]] == [["row", "0"], ["row", "1"]]
    with pytest.raises(ValueError, match="at least 1"):
        benchmark.Timer("1").timeit(0)
