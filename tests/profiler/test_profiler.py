"""``fovea.profiler``: what is recorded, summed up, shown and written."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fovea
from fovea import keras, nn, profiler, watching
from fovea.profiler import ProfilerAction, ProfilerActivity, profile, record_function, schedule
from fovea.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        self.head = nn.Linear(8, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x))


@pytest.fixture
def step() -> Iterator[Any]:
    net = Net()
    optimizer = fovea.optim.Adam(net.parameters())
    x = fovea.randn(16, 4)

    def run() -> Any:
        optimizer.zero_grad()
        with record_function("forward"):
            loss = net(x).sum()
        loss.backward()
        optimizer.step()
        return loss

    run()
    yield run
    assert watching.watcher is None


def where(prof: profile, kinds: tuple[str, ...] = ("op",)) -> set[tuple[str, str, bool]]:
    return {(e.name, e.module, e.backward) for e in prof.events() if e.kind in kinds}


def test_ops_and_their_modules(step: Any) -> None:
    with profile() as prof:
        step()
    found = where(prof)
    assert {
        ("linear", "body.0", False),
        ("relu", "body.1", False),
        ("linear", "head", False),
    } <= found
    assert ("relu_grad", "body.1", True) in found and ("matmul", "head", True) in found
    assert ("adam_update", "", False) in found
    modules = [(e.name, e.module) for e in prof.events() if e.kind == "module"]
    assert modules[:3] == [("Net", ""), ("Sequential", "body"), ("Linear", "body.0")]


def test_times_nest(step: Any) -> None:
    with profile() as prof, record_function("outer"):
        step()
        time.sleep(0.01)
    events = prof.events()
    assert [e.begin for e in events] == sorted(e.begin for e in events)
    outer = events[0]
    assert outer.name == "outer" and outer.self_ns >= 10_000_000
    for e in events:
        assert e.self_ns == e.ns - sum(c.ns for c in e.children) >= 0
        assert all(e.begin <= c.begin and c.end <= e.end for c in e.children)
    assert sum(e.self_ns for e in events) == outer.ns
    assert any(c.name == "forward" for c in outer.children)


def test_compiled_programs(step: Any) -> None:
    run = fovea.compile(step)
    with profile() as first:
        run()
    assert any(e.name == "fovea.compile" for e in first.events())
    for _ in range(2):
        run()
    with profile() as prof:
        run()
    program, *kernels = prof.events()
    assert program.kind == "program" and {e.kind for e in kernels} == {"kernel"}
    assert program.children == kernels and program.ns >= sum(e.ns for e in kernels)
    assert {"body.0", "head"} <= {e.module for e in kernels}
    linear = 16 * (4 * 8 + 8 * 2) * 2
    assert sum(e.flops for e in kernels if not e.backward) == linear
    assert sum(e.flops for e in kernels if e.backward) >= linear


def test_nothing_changes(step: Any) -> None:
    """Values and gradients are the same with a profiler on."""
    net, x = Net(), fovea.randn(3, 4)
    net(x).sum().backward()
    want = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    with profile(record_shapes=True, with_stack=True, profile_memory=True):
        net(x).sum().backward()
    assert all(fovea.equal(p.grad, w) for p, w in zip(net.parameters(), want, strict=True))


def test_averages(step: Any) -> None:
    with profile(record_shapes=True) as prof:
        step()
        step()
    rows = {row.key: row for row in prof.key_averages()}
    assert rows["linear"].count == 4 and rows["forward"].count == 2
    assert "Linear" not in rows
    assert rows["linear"].flops == 2 * 2 * 16 * (4 * 8 + 8 * 2)
    assert rows["linear"].cpu_memory_usage == 2 * 4 * 16 * (8 + 2)
    assert rows["forward"].flops == rows["linear"].flops
    assert rows["forward"].self_cpu_time_total < rows["forward"].cpu_time_total
    assert rows["linear"].cpu_time == rows["linear"].cpu_time_total / 4
    shapes = prof.key_averages(group_by_input_shape=True)
    assert [r.count for r in shapes if r.key == "linear"] == [2, 2]
    assert [(16, 4), (8, 4), (8,)] in [r.input_shapes for r in shapes]
    modules = {row.key: row.count for row in prof.key_averages(by="module")}
    assert modules["body.1"] == 2 and modules["body.1 (backward)"] == 2
    with pytest.raises(ValueError, match="by is 'name' or 'module'"):
        prof.key_averages(by="line")


def test_table(step: Any) -> None:
    with profile(with_modules=True) as prof:
        for _ in range(3):
            step()
    averages = prof.key_averages()
    times = [row.cpu_time_total for row in averages]
    assert times == sorted(times, reverse=True)
    lines = averages.table(sort_by="count", row_limit=4, header="mine").splitlines()
    assert lines[0] == "mine" and lines[2].split()[:1] == ["Name"] and len(lines) == 10
    counts = [row.count for row in sorted(averages, key=lambda r: -r.count)][:4]
    assert counts[0] == max(row.count for row in averages)
    assert any(row.key == "Linear" and row.count == 6 for row in averages)
    assert averages.table(sort_by="self_cuda_time_total") == averages.table("self_cpu_time_total")
    assert "Self CPU time total:" in str(averages)
    only = averages.table(top_level_events_only=True)
    assert "forward" in only and "relu" not in only
    with pytest.raises(ValueError, match="unknown sort_by 'speed'"):
        averages.table(sort_by="speed")
    total = averages.total_average()
    assert total is not None and total.count == sum(row.count for row in averages)
    assert profile().key_averages().total_average() is None
    assert profile().key_averages().table().endswith("Self CPU time total: 0.000us\n")


def test_schedule_and_handler(step: Any, tmp_path: Path) -> None:
    turns: list[list[str]] = []

    def ready(prof: Any) -> None:
        turns.append([e.name for e in prof.events() if e.name.startswith("ProfilerStep")])
        profiler.tensorboard_trace_handler(str(tmp_path), "me")(prof)

    plan = schedule(wait=1, warmup=1, active=2, repeat=2, skip_first=1)
    with profile(schedule=plan, on_trace_ready=ready) as prof:
        for n in range(12):
            recording = plan(n) in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
            assert (watching.watcher is not None) == recording
            step()
            prof.step()
    assert turns == [["ProfilerStep#3", "ProfilerStep#4"], ["ProfilerStep#7", "ProfilerStep#8"]]
    files = sorted(tmp_path.glob("me.*.pt.trace.json"))
    assert len(files) == 2 and json.loads(files[0].read_text())["traceEvents"]
    with pytest.raises(ValueError, match="at least 1"):
        schedule(wait=1, warmup=1, active=0)


def test_a_loop_that_ends_early(step: Any) -> None:
    seen = []
    plan = schedule(wait=0, warmup=0, active=5)
    with profile(schedule=plan, on_trace_ready=lambda p: seen.append(len(p.events()))) as prof:
        step()
        prof.step()
        step()
    assert len(seen) == 1 and seen[0] > 10


def test_chrome_trace(step: Any, tmp_path: Path) -> None:
    with profile(record_shapes=True, with_stack=True) as prof:
        step()
    prof.add_metadata("run", "seven")
    prof.export_chrome_trace(tmp_path / "trace.json")
    prof.export_chrome_trace(str(tmp_path / "trace.json.gz"))
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert trace == json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))
    assert trace["run"] == "seven"
    events = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert len(events) == len(prof.events()) and min(e["ts"] for e in events) == 0
    linear = next(e for e in events if e["name"] == "linear")
    assert linear["args"]["module"] == "body.0" and linear["cat"] == "cpu_op"
    assert linear["args"]["Input Dims"] == [[16, 4], [8, 4], [8]]
    assert "test_profiler.py" in linear["args"]["Call stack"]
    names = [e["args"]["name"] for e in trace["traceEvents"] if e["ph"] == "M"]
    assert names == ["main"]


def test_stacks(step: Any, tmp_path: Path) -> None:
    with profile(with_stack=True) as prof:
        step()
        with record_function("slow"):
            time.sleep(0.005)
    prof.export_stacks(tmp_path / "stacks.txt")
    lines = (tmp_path / "stacks.txt").read_text().splitlines()
    slow = next(line for line in lines if ";slow " in line)
    assert "test_profiler.py" in slow and int(slow.rsplit(" ", 1)[1]) >= 5000
    row = next(r for r in prof.key_averages(group_by_stack_n=1) if r.key == "slow")
    assert "test_stacks" in row.stack[0]
    with pytest.raises(ValueError, match="the metric is"):
        prof.export_stacks(tmp_path / "s.txt", "count")


def test_loaders_threads_and_keras(step: Any) -> None:
    loader = DataLoader(TensorDataset(fovea.arange(8.0)), batch_size=4)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="first")])
    with profile() as prof:
        list(loader)
        model(fovea.ones(3, 4))
        other = threading.Thread(target=lambda: fovea.ones(3) + 1)
        other.start()
        other.join()
    assert sum("DataLoader" in e.name for e in prof.events()) == 3  # the last finds the end
    assert ("linear", "dense", False) in where(prof) or ("linear", "first", False) in where(prof)
    assert len({e.thread for e in prof.events()}) == 2


def test_activities_and_errors(step: Any) -> None:
    assert profiler.supported_activities() == {ProfilerActivity.CPU}
    with pytest.warns(UserWarning, match="there is no CUDA"):
        profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
    with pytest.raises(ZeroDivisionError), profile() as prof, record_function("bad"):
        step()
        raise ZeroDivisionError
    assert watching.watcher is None and any(e.name == "bad" for e in prof.events())


def test_record_function_decorates() -> None:
    @record_function("double")
    def double(x: Any) -> Any:
        return x * 2

    assert double(4) == 8
    with profile() as prof:
        double(fovea.ones(2))
    names = [e.name for e in prof.events()]
    assert names[:2] == ["double", "mul"]
