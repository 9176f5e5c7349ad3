"""Times of programs, and interrupts while they run."""

from __future__ import annotations

import _thread
import json
import threading
import time
from pathlib import Path

import pytest

import fovea
from fovea.graph import Graph, Source
from fovea.graph.counting import bytes_of, flops_of
from fovea.ops import conv, shape, special
from fovea.ops import elementwise as e
from fovea.ops.linalg import linear, matmul
from fovea.targets.cpu.executable import Executable
from tests.graph.builder import Builder

SAME = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}


def network() -> tuple[Graph, list[fovea.Tensor]]:
    b = Builder()
    x, w = b.input(2, 8, 6, 6, nhwc=True), b.input(4, 8, 3, 3, nhwc=True)
    b.source = Source("train.py", 41, "stem.conv")
    y = b(e.relu, b(conv.conv2d, x, w, None, **SAME))
    b.source = Source("train.py", 42, "head")
    flat = b(shape.view, b(shape.clone, y, layout="contiguous"), shape=(2, 144))
    z = b(special.asinh, b(matmul, flat, b(shape.permute, flat, dims=(1, 0))))
    images = fovea.randn(2, 8, 6, 6).to(memory_format=fovea.channels_last)
    return b.graph(b(e.neg, z)), [
        images,
        fovea.randn(4, 8, 3, 3).to(memory_format=fovea.channels_last),
    ]


def test_a_profile_has_a_time_for_each_call(tmp_path: Path) -> None:
    graph, inputs = network()
    profile = Executable(graph).profile(inputs, runs=3)
    ops = [t.op for t in profile.timings]
    assert [o for n, o in enumerate(ops) if o not in ops[:n]] == [
        "conv2d", "relu", "clone", "matmul", "asinh", "neg",
    ]  # fmt: skip
    assert all(t.seconds > 0 for t in profile.timings)
    begins = [t.begin for t in profile.timings]
    assert begins == sorted(begins) and begins[0] == 0
    assert [t.kernel for t in profile.timings if t.op == "asinh"] == ["python"]
    assert "stem.conv train.py:41" in profile.table()
    rows = {row["name"]: row for row in profile.rows()}
    assert rows["conv2d"]["gflops"] > 0 and rows["relu"]["gflops"] == 0 < rows["relu"]["gbytes"]
    assert sum(row["seconds"] for row in profile.rows("op")) == pytest.approx(profile.seconds)
    assert {row["name"] for row in profile.rows("module")} == {"stem.conv", "head"}
    assert "5 more" in profile.table("op", limit=1)
    with pytest.raises(ValueError, match="by: one of node"):
        profile.rows("color")
    profile.save(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert [event["name"] for event in events] == ops
    assert events[0]["cat"] == "stem.conv" and events[0]["args"]["where"] == "stem.conv train.py:41"


def test_operations_and_bytes_of_a_node() -> None:
    b = Builder()
    x, w = b.input(2, 8, 6, 6), b.input(4, 8, 3, 3)
    y = b(conv.conv2d, x, w, None, **SAME)
    b(conv.conv2d_input_grad, y, w, **SAME, input_size=(6, 6))
    b(conv.conv2d_weight_grad, y, x, **SAME, kernel=(3, 3))
    b(linear, b.input(5, 7), b.input(3, 7), None)
    b(e.add, x, x)
    counts = [flops_of(node) for node in b.nodes]
    one = 2 * 2 * 4 * 36 * 8 * 9
    assert counts == [one, one, one, 2 * 5 * 3 * 7, 0]
    assert bytes_of(b.nodes[-1]) == 2 * x.nbytes


def test_an_interrupt_comes_through_between_kernels() -> None:
    b = Builder()
    x = b.input(384, 384)
    y = x
    for _ in range(400):
        y = b(matmul, y, x)
    program = Executable(b.graph(y))
    tensor = fovea.zeros(384, 384)
    began = time.monotonic()
    program.run([tensor])
    whole = time.monotonic() - began
    timer = threading.Timer(whole / 10, _thread.interrupt_main)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        program.run([tensor])
    assert time.monotonic() - began < 0.7 * whole + 0.2
    timer.join()
    assert program.run([tensor])[0].tolist() == tensor.tolist()
