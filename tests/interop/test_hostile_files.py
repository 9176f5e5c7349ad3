"""Files that are damaged, of another kind, or meant to do harm."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FileFormatError

HEAD = b"\x80\x02"


def archive(pickled: bytes, storages: dict[str, bytes] | None = None) -> bytes:
    """A zip file as torch.save makes it, around any pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as z:
        z.writestr("a/data.pkl", pickled)
        for key, data in (storages or {}).items():
            z.writestr(f"a/data/{key}", data)
        z.writestr("a/version", "3\n")
    return file.getvalue()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def persistent(kind: bytes = b"ctorch\nFloatStorage\n", key: str = "0", count: int = 4) -> bytes:
    return (
        b"("
        + text("storage")
        + kind
        + text(key)
        + text("cpu")
        + b"J"
        + struct.pack("<i", count)
        + b"tQ"
    )


def rebuilt(storage: bytes, rest: bytes) -> bytes:
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"tR"


REST = b"K\x00(K\x04t(K\x01t\x89N"


def load(data: bytes) -> Any:
    return fovea.load(io.BytesIO(data))


def test_the_helpers_make_a_file_that_loads() -> None:
    data = archive(HEAD + rebuilt(persistent(), REST) + b".", {"0": struct.pack("<4f", 1, 2, 3, 4)})
    assert load(data).tolist() == [1, 2, 3, 4]


class Harmful:
    def __init__(self, call: Callable[..., Any], *args: Any) -> None:
        self.call, self.args = call, args

    def __reduce__(self) -> Any:
        return self.call, self.args


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize(
    ("call", "args", "name"),
    [
        (os.system, ("touch HARM",), "system"),
        (eval, ("open('HARM', 'w')",), r"eval"),
        (exec, ("open('HARM', 'w')",), r"exec"),
        (getattr, ({}, "keys"), "getattr"),
        (open, ("HARM", "w"), r"open"),
        (__import__, ("os",), "__import__"),
        (type, ("A", (), {}), "type"),
        (bytearray, (10**9,), "bytearray"),
    ],
)
def test_no_code_runs(
    protocol: int,
    call: Callable[..., Any],
    args: Any,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileFormatError, match=rf"asks for .*{name}"):
        load(archive(pickle.dumps({"x": Harmful(call, *args)}, protocol)))
    assert not os.path.exists("HARM")


@pytest.mark.parametrize(
    "body",
    [
        b"cposix\nsystem\n" + text("true") + b"\x85R",
        b"(" + text("true") + b"iposix\nsystem\n",
        b"(cposix\nsystem\n" + text("true") + b"o",
        b"\x82\x01",  # EXT1
        b"\x8c\x05posix\x8c\x06system\x93" + text("true") + b"\x85R",
        b"cbuiltins\nobject\n)\x81",
        b"ccollections OrderedDict\nx\n",
        b"ctorch.nn.modules.linear\nLinear\n)R}b",
        b"ctorch.serialization\n_get_layout\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n__globals__\n",
    ],
)
def test_other_ways_to_name_things_are_refused(body: bytes) -> None:
    with pytest.raises(FileFormatError):
        load(archive(HEAD + body + b"."))


def latin1(count: int) -> bytes:
    return b"c_codecs\nencode\n" + text("0" * count) + text("latin1") + b"\x86R"


def dtype(code: str = "f8") -> bytes:
    return b"cnumpy\ndtype\n" + text(code) + b"\x89\x88\x87R"


ARRAY = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + latin1(1) + b"tR"


def state(shape: bytes = b"K\x02\x85", code: str = "f8", data: bytes = latin1(16)) -> bytes:
    return b"(K\x01" + shape + dtype(code) + b"\x89" + data + b"tb"


def test_an_array_is_read() -> None:
    assert load(archive(HEAD + ARRAY + state() + b".")).tobytes() == b"0" * 16


STRUCTURES = {
    "empty": b"",
    "no stop": HEAD + b"N",
    "nothing on the stack": HEAD + b".",
    "two objects": HEAD + b"NN.",
    "only a mark": HEAD + b"(.",
    "unknown opcode": HEAD + b"\xfa.",
    "pop from nothing": HEAD + b"\x85.",
    "mark popped": HEAD + b"(\x85.",
    "append to None": HEAD + b"NNa.",
    "items for a list": HEAD + b"](NNu.",
    "odd items": HEAD + b"}(Nu.",
    "unknown memo": HEAD + b"h\x05.",
    "huge memo index": HEAD + b"Nr\xff\xff\xff\xffj\xff\xff\xff\x7f.",
    "string longer than the file": HEAD + b"X\xff\xff\xff\x7fabc.",
    "string of 2**62 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"abc.",
    "bytes of 2**62": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.",
    "integer of 2**31-1 bytes": HEAD + b"\x8b\xff\xff\xff\x7f\x01.",
    "negative length": HEAD + b"\x8b\xff\xff\xff\xff\x01.",
    "no utf-8": HEAD + b"X\x02\x00\x00\x00\xff\xfe.",
    "calling a string": HEAD + text("a") + b")R.",
    "calling a list's type": HEAD + b"ctorch\nFloatStorage\n)R.",
    "arguments that are no tuple": HEAD + b"ccollections\nOrderedDict\n]R.",
    "dict from a number": HEAD + b"ccollections\nOrderedDict\nK\x01\x85R.",
    "key is a list": HEAD + b"}]Ns.",
    "key is a tuple of lists": HEAD + b"}]\x85Ns.",
    "state for a string": HEAD + text("a") + b"}b.",
    "state is no dict": HEAD + b"ccollections\nOrderedDict\n)RK\x01b.",
    "persistent nonsense": HEAD + b"NQ.",
    "persistent short": HEAD + text("storage") + b"\x85Q.",
    "persistent module": HEAD + b"(" + text("module") + b"NNNtQ.",
    "text persistent id": HEAD + b"Pabc\n.",
    "storage of another kind": HEAD + persistent(kind=text("x")) + b".",
    "storage key missing": HEAD + persistent(key="7") + b".",
    "storage key climbs": HEAD + persistent(key="../data.pkl") + b".",
    "negative count": HEAD + persistent(count=-1) + b".",
    "count too large": HEAD + persistent(count=5) + b".",
    "quantized": HEAD + persistent(kind=b"ctorch\nQInt8Storage\n", count=2) + b".",
    "two sizes": HEAD + persistent() + b"0" + persistent(count=3) + b".",
    "tensor without arguments": HEAD + b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "tensor of None": HEAD + rebuilt(b"N", REST) + b".",
    "tensor too long": HEAD + rebuilt(persistent(), b"K\x00(K\x05t(K\x01t\x89N") + b".",
    "offset too far": HEAD + rebuilt(persistent(), b"K\x01(K\x04t(K\x01t\x89N") + b".",
    "offset far on empty": HEAD + rebuilt(persistent(), b"K\x05(K\x00t(K\x01t\x89N") + b".",
    "negative offset": HEAD + rebuilt(persistent(), b"J\xff\xff\xff\xff(K\x04t(K\x01t\x89N") + b".",
    "negative stride": HEAD + rebuilt(persistent(), b"K\x03(K\x04t(J\xff\xff\xff\xfft\x89N") + b".",
    "stride too large": HEAD + rebuilt(persistent(), b"K\x00(K\x04t(K\x02t\x89N") + b".",
    "strides missing": HEAD + rebuilt(persistent(), b"K\x00(K\x04t)\x89N") + b".",
    "shape of text": HEAD + rebuilt(persistent(), b"K\x00(" + text("4") + b"t(K\x01t\x89N") + b".",
    "shape of truth": HEAD + rebuilt(persistent(), b"K\x00(\x88t(K\x01t\x89N") + b".",
    "65 dimensions": HEAD + rebuilt(persistent(), b"K\x00(" + b"K\x01" * 65 + b"t(" + b"K\x01" * 65 + b"t\x89N") + b".",
    "absurd expansion": HEAD
    + rebuilt(persistent(), b"K\x00(" + b"J\xff\xff\xff\x7f" * 4 + b"t(" + b"K\x00" * 4 + b"t\x89N") + b".",
    "parameter of None": HEAD + b"ctorch._utils\n_rebuild_parameter\nN\x89N\x87R.",
    "counter of lists": HEAD + b"ccollections\nCounter\n](]]e\x85R.",
    "size of text": HEAD + b"ctorch\nSize\n(" + text("a") + b"t\x85R.",
    "array of another kind": HEAD + ARRAY.replace(b"cnumpy\nndarray\n", b"N") + b".",
    "array of objects": HEAD + ARRAY + state(code="O8") + b".",
    "array of records": HEAD + ARRAY + state(code="V8") + b".",
    "array of endless text": HEAD + ARRAY + state(code="S2147483647") + b".",
    "array without bytes": HEAD + ARRAY + state(data=b"N") + b".",
    "array with too few bytes": HEAD + ARRAY + state(data=latin1(15)) + b".",
    "array of shape None": HEAD + ARRAY + state(shape=b"N") + b".",
    "array of negative size": HEAD + ARRAY + state(shape=b"J\xfe\xff\xff\xffJ\xff\xff\xff\xff\x86") + b".",
    "array of truth": HEAD + ARRAY + state(shape=b"\x88\x85") + b".",
    "array without end": HEAD + ARRAY + state(shape=b"J\xff\xff\xff\x7f" * 3 + b"\x87") + b".",
    "array with another state": HEAD + ARRAY + b"}b.",
    "numbers that claim a size": HEAD + dtype() + b"(K\x03" + text("<") + b"NNNK\x10K\x04K\x00tb.",
    "numbers in no order": HEAD + dtype() + b"(K\x03N" + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb.",
    "scalar too short": HEAD + b"cnumpy._core.multiarray\nscalar\n" + dtype() + latin1(4) + b"\x86R.",
    "path of numbers": HEAD + b"cpathlib\nPosixPath\nK\x01\x85R.",
    "set of lists": HEAD + b"cbuiltins\nset\n(]](e\x85R.",
    "attribute without a name": HEAD + b"cargparse\nNamespace\n)\x81}K\x01Nsb.",
    "attributes for a set": HEAD + b"cbuiltins\nset\n)R}b.",
    "bytes in rot13": HEAD + b"c_codecs\nencode\n" + text("a") + text("rot13") + b"\x86R.",
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
def test_wrong_structures_are_clear_errors(name: str) -> None:
    with pytest.raises(FileFormatError):
        load(archive(STRUCTURES[name], {"0": bytes(16)}))


def peak_memory(action: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refused(data: bytes) -> None:
    with pytest.raises(FileFormatError):
        load(data)


def test_copying_the_same_list_again_and_again_is_refused() -> None:
    pairs = b"](" + b"(K\x01K\x02t" * 1000 + b"eq\x00"
    copies = b"(" + b"ccollections\nOrderedDict\nh\x00\x85R" * 3000 + b"t"
    data = archive(HEAD + pairs + b"0" + copies + b".")
    assert peak_memory(lambda: refused(data)) < 20e6
    pairs = b"](" + b"(K\x01K\x02t" * 1000 + b"eq\x00"
    data = archive(HEAD + b"(" + pairs + copies + b"t.")
    assert peak_memory(lambda: refused(data)) < 20e6


def test_doubling_structures_stay_small() -> None:
    """A list of twice the last list, forty times over, must not be walked."""
    body = b"]q\x00" + b"".join(
        b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(40)
    )
    data = archive(HEAD + b"(" + body + b"t.")
    assert peak_memory(lambda: load(data)) < 1e6


def test_overlapping_entries_are_refused() -> None:
    """A zip bomb: a thousand directory entries for the same megabyte."""
    file = io.BytesIO()
    body = b"(" + b"".join(persistent(key=str(i), count=262144) for i in range(100)) + b"t."
    with zipfile.ZipFile(file, "w") as z:
        z.writestr("a/data.pkl", HEAD + body)
        z.writestr("a/data/0", bytes(1 << 20))
        first = z.infolist()[-1]
        for i in range(1, 100):
            info = zipfile.ZipInfo(f"a/data/{i}")
            info.header_offset, info.CRC = first.header_offset, first.CRC
            info.file_size = info.compress_size = first.file_size
            z.filelist.append(info)
            z.NameToInfo[info.filename] = info
    assert peak_memory(lambda: refused(file.getvalue())) < 12e6


def test_compressed_entries_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a/data.pkl", HEAD + b"N.")
    with pytest.raises(FileFormatError, match="compressed"):
        load(file.getvalue())


def test_claims_of_size_are_held_against_the_file() -> None:
    data = archive(HEAD + persistent(count=2**31 - 1) + b".", {"0": bytes(16)})
    directory = data.rindex(b"a/data/0") - 46
    lie = data[: directory + 20] + struct.pack(
        "<II", 2**33 - 4 & 0xFFFFFFFF, 2**33 - 4 & 0xFFFFFFFF
    )
    lie += data[directory + 28 :]
    assert peak_memory(lambda: refused(lie)) < 1e6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello", "is not a file of weights"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
        ((20).to_bytes(8, "little") + b'{"a": 1}' + bytes(20), "safetensors"),
        (b"PK\x03\x04" + bytes(100), "zip directory is damaged"),
        (b"\x1f\x8b\x08" + bytes(50), "compressed by gzip"),
        (b"\x93NUMPY\x01\x00", "numpy.load reads it"),
        (b"\x1c\0\0\0TFL3" + bytes(50), "a TensorFlow Lite model"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
    ],
)
def test_other_files_are_recognized(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=rf"file\.pt.*{message}"):
        fovea.load(path)


def test_archives_of_other_kinds_are_recognized(tmp_path: Path) -> None:
    keras, other = tmp_path / "m.keras", tmp_path / "o.pt"
    for path, names in ((keras, ["config.json", "metadata.json"]), (other, ["x/readme"])):
        with zipfile.ZipFile(path, "w") as z:
            for name in names:
                z.writestr(name, "{}")
    for path, message in ((keras, "Keras"), (other, r"data\.pkl")):
        with pytest.raises(FileFormatError, match=message):
            fovea.load(path)


CONTENT = {
    "weight": fovea.arange(24, dtype=fovea.float32).reshape(2, 3, 4),
    "nested": [{"bias": fovea.ones(5)}, (1, 2.5, "text", None)],
    "step": 7,
    "others": [np.arange(9.0), {1, "a"}, argparse.Namespace(lr=0.1), Path("a"), b"bytes"],
}


def valid_files(tmp_path: Path) -> dict[str, bytes]:
    torch = pytest.importorskip("torch")
    fovea.save(CONTENT, tmp_path / "a.pt")
    flat = {"a": CONTENT["weight"], "b": fovea.arange(5)}
    fovea.save(flat, tmp_path / "a.safetensors")  # type: ignore[arg-type]
    theirs = {"w": torch.arange(24.0).reshape(2, 3, 4), "n": [torch.ones(5), (1, 2.5, "t", None)]}
    torch.save(theirs, tmp_path / "t.pt")
    torch.save(theirs, tmp_path / "l.pt", _use_new_zipfile_serialization=False)
    return {p.name: p.read_bytes() for p in tmp_path.iterdir()}


@pytest.mark.parametrize("name", ["a.pt", "t.pt", "l.pt", "a.safetensors"])
def test_every_truncation_is_an_error(name: str, tmp_path: Path) -> None:
    data = valid_files(tmp_path)[name]
    path = tmp_path / f"cut-{name}"
    for length in {*range(0, len(data), 7), len(data) - 1}:
        path.write_bytes(data[:length])
        with pytest.raises(FileFormatError):
            fovea.load(path)


@pytest.mark.parametrize("name", ["a.pt", "t.pt", "l.pt", "a.safetensors"])
def test_damaged_bytes_never_crash(name: str, tmp_path: Path) -> None:
    data = valid_files(tmp_path)[name]
    path = tmp_path / f"bad-{name}"
    chance = random.Random(0)
    refusals = 0
    for _ in range(600):
        damaged = bytearray(data)
        for _ in range(chance.choice([1, 1, 2, 8])):
            damaged[chance.randrange(len(data))] = chance.choice([0, 1, 255, chance.randrange(256)])
        path.write_bytes(damaged)
        try:
            fovea.load(path)
        except FileFormatError:
            refusals += 1
    assert refusals > 100


def test_damage_inside_the_numbers_is_noticed(tmp_path: Path) -> None:
    fovea.save({"x": fovea.ones(100)}, tmp_path / "a.pt")
    data = bytearray((tmp_path / "a.pt").read_bytes())
    data[data.index(struct.pack("<f", 1.0) * 100) + 40] ^= 1
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(FileFormatError, match="checksum"):
        fovea.load(tmp_path / "a.pt")


def test_random_pickles_never_crash() -> None:
    """Random programs for the stack machine, made of instructions that it knows."""
    pieces = [
        b"N", b"\x88", b"\x89", b"]", b"}", b")", b"(", b"t", b"\x85", b"\x86", b"\x87", b"l", b"d",
        b"a", b"e", b"s", b"u", b"R", b"b", b"Q", b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"\x94",
        b"K\x01", b"K\x00", b"J\xff\xff\xff\xff", b"\x8a\x02\x01\x02", text("0"), text("storage"),
        text("cpu"), b"ccollections\nOrderedDict\n", b"ccollections\nCounter\n", b"c_codecs\nencode\n",
        b"ctorch\nSize\n", b"ctorch\nFloatStorage\n", b"ctorch\nfloat32\n", b"ctorch\ndevice\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_tensor_v3\n", persistent(), REST,
        rebuilt(persistent(), REST), ARRAY, state(), dtype(), latin1(3), b"cargparse\nNamespace\n",
        b"cbuiltins\nset\n", b"cpathlib\nPosixPath\n", b"\x8f", b"\x90",
    ]  # fmt: skip
    chance = random.Random(1)
    read = 0
    for _ in range(5000):
        body = b"".join(chance.choices(pieces, k=chance.randrange(1, 14)))
        try:
            load(archive(HEAD + body + b".", {"0": bytes(16)}))
            read += 1
        except FileFormatError:
            pass
    assert read > 50
