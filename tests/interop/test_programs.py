"""Programs in files: the same results from another process, and no harm from anybody's file."""

from __future__ import annotations

import copy
import io
import json
import random
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import dtypes
from fovea.errors import ArgumentError, FileFormatError, ShapeError
from fovea.graph import Graph, Source, Value
from fovea.graph.interpret import interpret
from fovea.interop.programs import Program
from fovea.ops.activation import SlopeAttrs, leaky_relu
from fovea.ops.conv import conv2d
from fovea.ops.elementwise import add, mul, relu
from fovea.ops.norm import batch_norm_train, batch_norm_update
from fovea.ops.op import Spec
from fovea.ops.optim import AdamAttrs, adam_update
from fovea.ops.random import random_uniform
from fovea.ops.reduce import mean
from fovea.ops.shape import expand, permute
from fovea.testing import on_reference
from tests.graph.builder import Builder
from tests.graph.random_graphs import Graphs, sample

CONV = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}


def network() -> Graph:
    """A small network with running statistics and noise, whose step changes a weight."""
    rng = np.random.default_rng(0)
    b = Builder()
    b.source = Source("/home/me/secret/train.py", 7, "block.conv")
    x = b.input(2, 3, 4, 4, name="x", nhwc=True)
    w = b.state(fovea.from_numpy(rng.normal(size=(5, 3, 3, 3)).astype(np.float32)), "conv.weight")
    running = [b.state(fovea.full((5,), v), n) for v, n in ((0.0, "mean"), (1.0, "var"))]
    generator = b.state(fovea.Generator().manual_seed(1).state, "generator")
    y = b(conv2d, x, w, None, **CONV)
    y, m, _, v = b(batch_norm_train, y, None, None, eps=1e-5)
    news = b(batch_norm_update, *running, m, v, momentum=0.1, correction=1.0)
    noise, advanced = b(
        random_uniform, generator, shape=(2, 5, 1, 1), dtype=dtypes.float32, low=0.0, high=1.0
    )
    y = b(relu, b(mul, y, noise))
    half = b.constant(0.5)
    turned = b(permute, b.constant(rng.normal(size=(4, 5)).astype(np.float32)), dims=(1, 0))
    z = b(
        mul,
        b(add, b(mean, y, dims=(2, 3), keepdim=False), half),
        b(mean, turned, dims=(1,), keepdim=False),
    )
    moments = [b.state(fovea.zeros(5, 3, 3, 3)) for _ in range(2)]
    step, scalars = b.state(fovea.tensor(0.0)), b.state(np.array([0.1, 0.0, 0.9, 0.999, 1e-8, 0.0]))
    g = b(mul, w, half)
    new = b.bind(adam_update, (scalars, w, g, *moments, step), AdamAttrs.of("none", False))
    olds = (w, *moments, step, *running, generator)
    return b.graph(z, noise, updates=list(zip(olds, (*new, *news, advanced), strict=True)))


def saved(graph: Graph, folder: Path, **options: Any) -> Path:
    path = folder / "program.fovea"
    fovea.save_program(graph, path, **options)
    return path


def test_there_and_back(tmp_path: Path) -> None:
    graph = network()
    program = fovea.load_program(saved(graph, tmp_path, metadata={"classes": ["cat", "dog"]}))
    assert isinstance(program, Program)
    assert str(program.graph) == str(graph).replace("/home/me/secret/", "")
    assert program.metadata == {"classes": ["cat", "dog"]}
    assert repr(program) == "<program (f32[2, 3, 4, 4]nhwc) -> (f32[2, 5], f32[2, 5, 1, 1])>"
    assert list(program.states)[:4] == ["conv.weight", "mean", "var", "generator"]
    x = fovea.randn(2, 3, 4, 4)
    states = None
    for _ in range(3):  # states live from call to call
        expected, states = interpret(graph, [x], states)
        for a, b in zip(program(x), expected, strict=True):
            assert fovea.allclose(a, b, rtol=1e-5, atol=1e-6)
        for a, b in zip(program.states.values(), states, strict=True):
            assert fovea.allclose(a, b, rtol=1e-5, atol=1e-6)
    assert graph.states[1].tensor.tolist() == [0.0] * 5


def test_on_the_reference_target(tmp_path: Path) -> None:
    path = saved(network(), tmp_path)
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 4)).astype(np.float32)
    compiled, program = fovea.load_program(path), fovea.load_program(path)
    expected = [compiled(x) for _ in range(2)]
    with on_reference():
        for outputs in expected:
            for a, b in zip(program(x), outputs, strict=True):
                assert fovea.allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs(seed: int, tmp_path: Path) -> None:
    graph = Graphs(seed).graph()
    loaded = fovea.load_program(saved(graph, tmp_path)).graph
    assert str(loaded) == str(graph)
    with on_reference():
        inputs = sample(graph, seed)
        found, expected = interpret(loaded, inputs), interpret(graph, inputs)
        for a, b in zip((*found[0], *found[1]), (*expected[0], *expected[1]), strict=True):
            assert a.strides == b.strides
            np.testing.assert_array_equal(a._array(), b._array())


def test_layouts_and_types_of_states(tmp_path: Path) -> None:
    b = Builder()
    tensors = [
        fovea.randn(2, 3, 4, 5).permute(0, 3, 1, 2),
        fovea.arange(24).reshape(4, 6)[1:3, ::2],
        fovea.ones(3).expand(2, 3),
        fovea.randn(3).bfloat16(),
        fovea.tensor([True, False]),
        fovea.zeros(0, 3),
        fovea.tensor(1.5, dtype=fovea.float16),
    ]
    values = [b.state(t) for t in tensors]
    spread = b(expand, values[-1], shape=(2,))
    program = fovea.load_program(saved(b.graph(*values, spread), tmp_path))
    for state, t in zip(program.graph.states, tensors, strict=True):
        assert state.tensor.strides == t.strides
        assert state.tensor.dtype is t.dtype
        assert fovea.equal(state.tensor, t)
    assert sum(s.tensor.storage.nbytes for s in program.graph.states) < 700


def test_another_process_needs_no_model_code(tmp_path: Path) -> None:
    path = saved(network(), tmp_path)
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, numpy as np, fovea\n"
        f"out, noise = fovea.load_program({str(path)!r})(np.load({str(tmp_path / 'x.npy')!r}))\n"
        f"np.save({str(tmp_path / 'out.npy')!r}, out.numpy())\n"
        "assert 'fovea.nn' not in sys.modules and 'tests' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    out, _ = fovea.load_program(path)(x)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), out.numpy())


def test_equal_programs_give_equal_files(tmp_path: Path) -> None:
    graph = network()
    first = saved(graph, tmp_path).read_bytes()
    assert saved(graph, tmp_path).read_bytes() == first
    assert b"secret" not in first


def test_inputs_that_do_not_fit(tmp_path: Path) -> None:
    program = fovea.load_program(saved(network(), tmp_path))
    with pytest.raises(ArgumentError, match=r"<program .*> takes 1 inputs, got 0"):
        program()
    with pytest.raises(
        ShapeError, match=r"input 0[^$]*x f32\[2, 3, 4, 4\]nhwc[^$]*float32 \(1, 3, 4, 4\)"
    ):
        program(fovea.ones(1, 3, 4, 4))
    with pytest.raises(ShapeError, match="float64"):
        program(np.ones((2, 3, 4, 4)))


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    b = Builder()
    x = b.input(2)
    y = b.bind(leaky_relu, (x,), SlopeAttrs.of(1j))
    for graph, metadata in (
        (b.graph(y), None),
        (network(), {"a": object()}),
        (network(), {"a": float("nan")}),
    ):
        with pytest.raises(
            ArgumentError, match=r"save_program: .*(complex|object|JSON|json|compliant)"
        ):
            saved(graph, tmp_path, metadata=metadata)
    assert not list(tmp_path.iterdir())


# -- files that are damaged or meant to do harm ---------------------------------------------------


def content(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    with zipfile.ZipFile(path) as z:
        entries = {n: z.read(n) for n in z.namelist()}
    return json.loads(entries.pop("program/graph.json")), entries


def written(
    path: Path, text: Any, entries: dict[str, bytes], kind: int = zipfile.ZIP_STORED
) -> None:
    with zipfile.ZipFile(path, "w", kind) as z:
        z.writestr("program/graph.json", text if isinstance(text, bytes) else json.dumps(text))
        for name, data in entries.items():
            z.writestr(name, data)


def refusal(path: Path) -> str:
    with pytest.raises(FileFormatError) as caught:
        fovea.load_program(path)
    return str(caught.value)


def test_the_helpers_make_a_file_that_loads(tmp_path: Path) -> None:
    path = saved(network(), tmp_path)
    written(path, *content(path))
    assert len(fovea.load_program(path)(fovea.ones(2, 3, 4, 4))) == 2


def at(plain: Any, *path: Any) -> Any:
    for key in path[:-1]:
        plain = plain[key]
    return plain, path[-1]


CHANGES: dict[str, tuple[tuple[Any, ...], Any]] = {
    "another format": (("format",), "keras"),
    "no format": (("format",), None),
    "a later version": (("version",), 2),
    "metadata": (("metadata",), []),
    "no graph": (("graph",), None),
    "a list for a graph": (("graph",), []),
    "values are no list": (("graph", "values"), {}),
    "a value of three": (("graph", "values", 0), ["float32", [2], None]),
    "negative size": (("graph", "values", 0, 1, 0), -2),
    "huge size": (("graph", "values", 0, 1, 0), 1 << 62),
    "size of text": (("graph", "values", 0, 1, 0), "2"),
    "size of truth": (("graph", "values", 0, 1, 0), True),
    "fractional size": (("graph", "values", 0, 1, 0), 2.0),
    "65 dimensions": (("graph", "values", 0, 1), [1] * 65),
    "unknown dtype": (("graph", "values", 0, 0), "complex32"),
    "dtype of a number": (("graph", "values", 0, 0), 3),
    "too few strides": (("graph", "values", 0, 2), [1]),
    "strides of text": (("graph", "values", 0, 2), ["1", "1", "1", "1"]),
    "name of a number": (("graph", "values", 0, 3), 3),
    "input that is not there": (("graph", "inputs", 0), 10**6),
    "input of text": (("graph", "inputs", 0), "0"),
    "negative input": (("graph", "inputs", 0), -1),
    "state without a name": (("graph", "states", 0), [1]),
    "state with a name of a number": (("graph", "states", 0, 1), 4),
    "state of a larger value": (("graph", "states", 0, 0), 0),
    "constant of another size": (("graph", "constants", 0), 0),
    "unknown op": (("graph", "nodes", 0, "op"), "posix.system"),
    "op of a list": (("graph", "nodes", 0, "op"), ["relu"]),
    "another op": (("graph", "nodes", 0, "op"), "relu"),
    "node of text": (("graph", "nodes", 0), "relu"),
    "no inputs": (("graph", "nodes", 0, "inputs"), None),
    "fewer inputs": (("graph", "nodes", 0, "inputs"), [0]),
    "inputs that do not fit": (("graph", "nodes", 0, "inputs"), [1, 0, None]),
    "an input that comes later": (("graph", "nodes", 0, "inputs"), [30, 1, None]),
    "another output": (("graph", "nodes", 0, "outputs"), [0]),
    "no attributes": (("graph", "nodes", 0, "attrs"), None),
    "attributes of text": (("graph", "nodes", 0, "attrs"), "stride"),
    "an unknown attribute": (("graph", "nodes", 0, "attrs", "__class__"), 1),
    "an attribute of another type": (("graph", "nodes", 0, "attrs", "groups"), "1"),
    "an attribute out of range": (("graph", "nodes", 0, "attrs", "groups"), 0),
    "padding beyond reason": (("graph", "nodes", 0, "attrs", "padding"), [1 << 40] * 4),
    "stride zero": (("graph", "nodes", 0, "attrs", "stride"), [0, 0]),
    "places of text": (("graph", "nodes", 2, "mutated"), ["0"]),
    "places beyond": (("graph", "nodes", 2, "mutated"), [0, 99]),
    "no places": (("graph", "nodes", 2, "mutated"), []),
    "source of numbers": (("graph", "nodes", 0, "source"), [1, 2, 3, 4]),
    "output that is not there": (("graph", "outputs", 0), 10**9),
    "update of three": (("graph", "updates", 0), [1, 2, 3]),
    "update of an input": (("graph", "updates", 0, 0), 0),
    "update of another shape": (("graph", "updates", 0, 1), 0),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_wrong_contents_are_clear_errors(name: str, tmp_path: Path) -> None:
    path = saved(network(), tmp_path)
    plain, entries = content(path)
    where, value = CHANGES[name]
    parent, key = at(plain, *where)
    parent[key] = value
    written(path, plain, entries)
    message = refusal(path)
    assert "program.fovea cannot be read as a program: " in message
    assert len(message) < 1000


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"null", b"[" * 100_000, b'{"format": ' * 20_000, b"\xff\xfe", b"9" * 10_000, b'{"format": NaN}',
    ],
)  # fmt: skip
def test_no_json(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "program.fovea"
    written(path, text, {})
    assert "graph.json" in refusal(path)


def test_nested_attributes_without_end(tmp_path: Path) -> None:
    b = Builder()
    path = saved(b.graph(b(relu, b.input(2))), tmp_path)
    plain, entries = content(path)
    step: Any = None
    for _ in range(150):
        fields = {"operands": 1, "constants": [], "steps": [step] if step else [], "outputs": [0]}
        step = {
            "op": "add",
            "attrs": {"of": "pointwise", "fields": fields},
            "operands": [0],
            "dtype": "float32",
        }
    plain["graph"]["nodes"][0].update(op="pointwise", attrs=step["attrs"]["fields"])
    written(path, plain, entries)
    refusal(path)


def test_missing_and_wrong_entries(tmp_path: Path) -> None:
    path = saved(network(), tmp_path)
    plain, entries = content(path)
    for change, message in (
        ({"program/data/0": None}, "'data/0' is missing"),
        ({"program/data/0": b"1234"}, "has 4 bytes where 540 are expected"),
        ({"program/data/0": bytes(541)}, "has 541 bytes where 540 are expected"),
        ({"other/data/0": bytes(540)}, "two entries named 'data/0'"),
    ):
        left = {n: d for n, d in {**entries, **change}.items() if d is not None}
        written(path, plain, left)
        assert message in refusal(path)
    written(path, plain, entries, zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(path)


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "program.fovea"
    assert "there is no file" in refusal(path)
    assert "is a folder" in refusal(tmp_path)
    for data in (b"", b"hello", b"PK\x03\x04" + bytes(100)):
        path.write_bytes(data)
        assert "zip directory is damaged" in refusal(path)
    fovea.save({"w": fovea.ones(2)}, path)
    assert "'graph.json' is missing" in refusal(path)


def test_every_truncation_is_an_error(tmp_path: Path) -> None:
    path = saved(network(), tmp_path)
    data = path.read_bytes()
    for length in {*range(0, len(data), 97), len(data) - 1}:
        path.write_bytes(data[:length])
        refusal(path)


def outcome(action: Callable[[], Any]) -> bool:
    """Whether it was refused; anything else than a clear refusal is raised."""
    try:
        action()
    except FileFormatError:
        return True
    return False


def test_damaged_bytes_never_crash(tmp_path: Path) -> None:
    path = saved(network(), tmp_path)
    data, chance, refusals = path.read_bytes(), random.Random(0), 0
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(chance.choice([1, 2, 8])):
            damaged[chance.randrange(len(data))] = chance.choice([0, 1, 255, chance.randrange(256)])
        path.write_bytes(damaged)
        refusals += outcome(lambda: fovea.load_program(path))
    assert refusals > 200  # all but damage in the padding: checksums cover the rest


def shaken(chance: random.Random, plain: Any) -> None:
    """Change one thing somewhere in nested data."""
    while True:
        keys = list(plain) if isinstance(plain, dict) else list(range(len(plain)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(plain[key], dict | list) and chance.random() < 0.85:
            plain = plain[key]
            continue
        wild = [
            None,
            True,
            -1,
            0,
            1,
            2,
            3,
            5,
            1 << 31,
            1 << 62,
            -(1 << 62),
            0.5,
            "",
            "relu",
            "float64",
            [],
            {},
            [0],
            [1, 1],
        ]
        if chance.random() < 0.15:
            del plain[key]
        elif isinstance(plain, list) and chance.random() < 0.3:
            plain.insert(key, copy.deepcopy(chance.choice(plain)))
        else:
            plain[key] = chance.choice(wild)
        return


def test_shaken_contents_never_crash(tmp_path: Path) -> None:
    """Whatever graph comes out of wrong data, it is refused, or runs, or fails with an error."""
    path = saved(network(), tmp_path)
    plain, entries = content(path)
    chance, refusals = random.Random(1), 0
    for _ in range(400):
        changed = copy.deepcopy(plain)
        for _ in range(chance.choice([1, 1, 2, 4])):
            shaken(chance, changed["graph"])
        written(path, changed, entries)
        refusals += outcome(lambda: fovea.load_program(path))
    assert 200 < refusals < 400


def peak_memory(action: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_claims_of_size_take_no_memory(tmp_path: Path) -> None:
    b = Builder()
    w = b.state(fovea.ones(4), "w")
    path = saved(b.graph(b(relu, w)), tmp_path)
    plain, entries = content(path)
    for value in plain["graph"]["values"]:
        value[1], value[2] = [1 << 40], None
    written(path, plain, entries)
    assert peak_memory(lambda: refusal(path)) < 1e6


def test_overlapping_entries_are_refused(tmp_path: Path) -> None:
    """A thousand directory entries for the same megabyte."""
    b = Builder()
    states = [b.state(fovea.ones(1 << 18)) for _ in range(100)]
    plain: dict[str, Any] = {"format": "fovea program", "version": 1, "metadata": {}}
    from fovea.graph.serialize import graph_to_plain

    plain["graph"] = graph_to_plain(b.graph(*states))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as z:
        z.writestr("program/graph.json", json.dumps(plain))
        z.writestr("program/data/0", bytes(1 << 20))
        first = z.infolist()[-1]
        for i in range(1, 100):
            info = zipfile.ZipInfo(f"program/data/{i}")
            info.header_offset, info.CRC = first.header_offset, first.CRC
            info.file_size = info.compress_size = first.file_size
            z.filelist.append(info)
            z.NameToInfo[info.filename] = info
    path = tmp_path / "program.fovea"
    path.write_bytes(file.getvalue())
    assert peak_memory(lambda: refusal(path)) < 12e6


def test_a_value_that_only_claims_to_be_large_can_be_loaded(tmp_path: Path) -> None:
    b = Builder()
    x = Value(Spec((1 << 40,), dtypes.float32))
    b.inputs.append(x)
    path = saved(b.graph(b(relu, x)), tmp_path)
    assert peak_memory(lambda: fovea.load_program(path)) < 1e6
