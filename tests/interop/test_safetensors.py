"""The safetensors format: round trips, strict checks, and the reference library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import dtypes
from fovea.errors import ArgumentError, FileFormatError
from fovea.interop.safetensors import read_metadata


def tensors() -> dict[str, fovea.Tensor]:
    made = {d.name: fovea.tensor([[0, 1], [1, 1]]).to(d.name) for d in dtypes.ALL}
    made["scalar"] = fovea.tensor(2.5)
    made["empty"] = fovea.zeros(0, 3)
    made["turned"] = fovea.arange(6).reshape(2, 3).T
    made["größe"] = fovea.ones(3)
    return made


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    fovea.save(tensors(), path)
    read = fovea.load(path)
    assert set(read) == set(tensors())
    for name, t in tensors().items():
        assert read[name].dtype is t.dtype
        assert read[name].shape == t.shape
        assert read[name].tolist() == t.tolist()


def test_metadata(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    fovea.save({"x": fovea.ones(1)}, path, metadata={"format": "pt", "note": "ü"})
    assert read_metadata(path) == {"format": "pt", "note": "ü"}
    assert list(fovea.load(path)) == ["x"]


def test_the_reference_library_reads_and_writes_the_same(tmp_path: Path) -> None:
    reference = pytest.importorskip("safetensors.numpy")
    plain = {k: t for k, t in tensors().items() if k != "bfloat16"}
    fovea.save(plain, tmp_path / "a.safetensors", metadata={"format": "np"})
    read = reference.load_file(tmp_path / "a.safetensors")
    assert set(read) == set(plain)
    for name, t in plain.items():
        assert np.array_equal(read[name], t.numpy())
        assert read[name].dtype == t.numpy().dtype
    reference.save_file(
        {k: np.array(v, order="C") for k, v in read.items()}, tmp_path / "b.safetensors"
    )
    back = fovea.load(tmp_path / "b.safetensors")
    assert {k: t.tolist() for k, t in back.items()} == {k: t.tolist() for k, t in plain.items()}


def test_bfloat16_as_torch_has_it(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("safetensors.torch")
    values = torch.randn(5).to(torch.bfloat16)
    reference.save_file({"x": values}, tmp_path / "a.safetensors")
    read = fovea.load(tmp_path / "a.safetensors")["x"]
    assert read.dtype is fovea.bfloat16
    assert read.tolist() == values.tolist()
    fovea.save({"x": read}, tmp_path / "b.safetensors")
    assert torch.equal(reference.load_file(tmp_path / "b.safetensors")["x"], values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([fovea.ones(1)], "holds a dict of tensors, got list"),
        ({"a": 1}, "'a' is a int"),
        ({1: fovea.ones(1)}, "cannot be a tensor's name"),
        ({"__metadata__": fovea.ones(1)}, "cannot be a tensor's name"),
    ],
)
def test_what_cannot_be_saved_is_named(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        fovea.save(content, tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_metadata_must_be_text_and_for_safetensors(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="strings by name"):
        fovea.save({}, tmp_path / "a.safetensors", metadata={"a": 1})  # type: ignore[dict-item]
    with pytest.raises(ArgumentError, match="belongs to"):
        fovea.save({}, tmp_path / "a.pt", metadata={"a": "1"})


def written(tmp_path: Path, header: Any, data: bytes = b"") -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)
    return path


def entry(dtype: Any = "F32", shape: Any = (1,), begin: Any = 0, end: Any = 4) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def test_the_helpers_make_a_file_that_loads(tmp_path: Path) -> None:
    assert fovea.load(written(tmp_path, {"x": entry()}, bytes(4)))["x"].tolist() == [0]
    assert fovea.load(written(tmp_path, {})) == {}


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        (b"", b"", "header"),
        (b"[]", b"", "no JSON object"),
        (b"1", b"", "no JSON object"),
        (b" {}", b"", "no JSON object"),
        (b"{", b"", "not what it should be"),
        (b"\xff\xfe", b"", "not what it should be"),
        (b"[" * 100_000, b"", "not what it should be"),
        (b'{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":1}', b"", "same name twice"),
        ({"x": 1}, b"", "should have the fields"),
        ({"x": {**entry(), "more": 1}}, bytes(4), "should have the fields"),
        ({"x": entry(dtype="F8_E4M3", end=1)}, bytes(1), "which fovea does not have"),
        ({"x": entry(dtype=[1])}, bytes(4), "which fovea does not have"),
        ({"x": entry(shape=[-1], end=0)}, b"", "no list of sizes"),
        ({"x": entry(shape=[1.0])}, bytes(4), "no list of sizes"),
        ({"x": entry(shape=[True])}, bytes(4), "no list of sizes"),
        ({"x": entry(shape=[1] * 65)}, bytes(4), "no list of sizes"),
        ({"x": {**entry(), "data_offsets": [0]}}, bytes(4), "no range"),
        ({"x": entry(begin=4, end=0)}, bytes(4), "no range"),
        ({"x": entry(shape=[2])}, bytes(4), "need 8"),
        ({"x": entry(shape=[2**62, 0], end=0)}, b"", "need 0"),
        ({"x": entry(), "y": entry()}, bytes(4), "overlap or leave a gap"),
        ({"x": entry(begin=4, end=8)}, bytes(8), "overlap or leave a gap"),
        ({"x": entry()}, bytes(3), "cut short or damaged"),
        ({"x": entry()}, bytes(5), "cut short or damaged"),
        ({"x": entry(shape=[2**40], end=2**42)}, bytes(4), "cut short or damaged"),
        ({"__metadata__": {"a": 1}}, b"", "strings by name"),
        ({"__metadata__": 3}, b"", "strings by name"),
    ],
)
def test_wrong_files_are_clear_errors(
    header: Any, data: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(FileFormatError, match=message):
        fovea.load(written(tmp_path, header, data))


def test_a_header_longer_than_the_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(FileFormatError, match="cut short"):
        fovea.load(path)
    path.write_bytes(b"abc")
    with pytest.raises(FileFormatError, match="cut short"):
        fovea.load(path)
    with pytest.raises(FileFormatError, match="there is no file"):
        fovea.load(tmp_path / "y.safetensors")
    with pytest.raises(FileFormatError, match="is a folder"):
        (tmp_path / "z.safetensors").mkdir()
        fovea.load(tmp_path / "z.safetensors")
