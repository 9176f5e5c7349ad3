"""Files of weights changed at random, in bytes and in meaning: an error of fovea's, or a result."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fovea
from fovea import keras as fk
from fovea.errors import FileFormatError, FoveaError
from fovea.interop import safetensors

h5py = pytest.importorskip("h5py")
torch = pytest.importorskip("torch")

FUZZ = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
LARGEST = 120 << 20  # HDF5 and a model's buffers have a part that does not depend on the file


def network() -> Any:
    L = fk.layers  # noqa: N806
    layers = [L.Conv2D(3, 3, activation="relu"), L.BatchNormalization(), L.Flatten()]
    model = fk.Sequential([fk.Input((6, 6, 1)), *layers, L.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A file of each kind, by its name."""
    folder = tmp_path_factory.mktemp("whole")
    state = {"w": fovea.arange(24, dtype=fovea.float32).reshape(2, 3, 4), "b": fovea.arange(5)}
    fovea.save(state, folder / "a.safetensors", metadata={"format": "pt"})
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3))
    content = {"state_dict": net.state_dict(), "best_prec1": 91.0, "args": {"lr": [0.1, None]}}
    for name, zipped in (("zip.pth", True), ("old.pth", False)):
        torch.save(content, folder / name, _use_new_zipfile_serialization=zipped)
    model = network()
    model.fit(np.zeros((2, 6, 6, 1), np.float32), np.array([0, 1]), verbose=0)
    for name in ("m.keras", "m.h5"):
        model.save(folder / name)
    for name in ("m.weights.h5", "old.hdf5"):
        model.save_weights(folder / name)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


NAMES = ("a.safetensors", "zip.pth", "old.pth", "m.keras", "m.h5", "m.weights.h5", "old.hdf5")


def readers(path: Path) -> list[Callable[[], Any]]:
    """All that may be asked of a file of this name."""
    found: list[Callable[[], Any]] = [lambda: fovea.load(path)]
    if path.suffix == ".safetensors":
        found.append(lambda: safetensors.read_metadata(path))
    if path.name in ("m.keras", "m.h5"):
        found.append(lambda: fk.models.load_model(path))
    if path.suffix in (".keras", ".h5", ".hdf5"):
        found.append(lambda: network().load_weights(path))
    return found


def survives(path: Path, content: bytes) -> int:
    """Read a file in all ways; how many of them refused it. Any other error fails the test."""
    path.write_bytes(content)
    refusals = 0
    for read in readers(path):
        tracemalloc.start()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read()
        except FoveaError:
            refusals += 1
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < LARGEST
    return refusals


NUMBERS = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)


@st.composite
def changes(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A few changes: bytes, numbers, parts cut out, doubled or moved, and an early end."""
    share = st.floats(0, 1, exclude_max=True)
    kinds = st.sampled_from(["byte", "byte", "bit", "number", "cut", "double", "move", "end"])
    step = st.tuples(kinds, share, share, st.integers(0, 255), st.sampled_from(NUMBERS))
    steps = draw(st.lists(step, min_size=1, max_size=5))

    def apply(content: bytes) -> bytes:
        data = bytearray(content)
        for kind, where, other, byte, number in steps:
            if not data:
                break
            i, j = int(where * len(data)), int(other * len(data))
            if kind == "byte":
                data[i] = byte
            elif kind == "bit":
                data[i] ^= 1 << byte % 8
            elif kind == "number":
                width = (2, 4, 8)[byte % 3]
                data[i : i + width] = (number & ((1 << 8 * width) - 1)).to_bytes(width, "little")
            elif kind == "cut":
                del data[i : i + 1 + byte % 40]
            elif kind == "double":
                data[j:j] = data[i : i + 1 + byte]
            elif kind == "move":
                data[j : j + 1 + byte % 64] = data[i : i + 1 + byte % 64]
            else:
                del data[i:]
        return bytes(data)

    return apply


@pytest.mark.parametrize("name", NAMES)
@FUZZ
@given(change=changes())
def test_bytes(
    name: str, files: dict[str, bytes], change: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    survives(tmp_path_factory.getbasetemp() / name, change(files[name]))


@pytest.mark.parametrize(
    ("name", "member"),
    [("zip.pth", "data.pkl"), ("m.keras", "model.weights.h5"), ("m.keras", "config.json")],
)
@FUZZ
@given(change=changes())
def test_bytes_within_archives(
    name: str, member: str, files: dict[str, bytes], change: Any, tmp_path_factory: Any
) -> None:
    """Behind checksums that are right."""
    survives(tmp_path_factory.getbasetemp() / name, repacked(files[name], member, change))


def repacked(content: bytes, member: str, change: Callable[[bytes], bytes]) -> bytes:
    found = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(found, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            new.writestr(name, change(part) if name.endswith(member) else part)
    return found.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_every_end(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    whole = files[name]
    for size in range(0, len(whole), max(1, len(whole) // 25)):
        wanted = 1 if name.endswith(".safetensors") else len(readers(tmp_path / name))
        assert survives(tmp_path / name, whole[:size]) >= wanted  # a header alone has metadata


# -- descriptions ---------------------------------------------------------------------------------

VALUES = (
    None, True, 0, -1, 2**31, 2**63, 1e308, float("inf"), float("nan"), "", "x", "float32", [], {},
    [[]], [None], {"a": 1}, [10**9] * 3, "keras", "Dense", 10**12, [1], "a" * 999, "os.system",
)  # fmt: skip


def replaced(described: Any, where: float, value: Any) -> Any:
    """A description with another value (or, for Ellipsis, none) in one place."""
    described = json.loads(json.dumps(described))
    places = list(_places(described))
    owner, key = places[int(where * len(places))]
    if value is ...:
        del owner[key]
    else:
        owner[key] = json.loads(json.dumps(value))
    return described


def _places(part: Any) -> Any:
    if isinstance(part, dict | list):
        for key in list(part) if isinstance(part, dict) else range(len(part)):
            yield part, key
            yield from _places(part[key])


DESCRIBED = st.tuples(
    st.floats(0, 1, exclude_max=True), st.one_of(st.sampled_from(VALUES), st.just(...))
)


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "a.safetensors"])
@FUZZ
@given(change=DESCRIBED)
def test_descriptions(
    name: str, files: dict[str, bytes], change: Any, tmp_path_factory: Any
) -> None:
    path, content = tmp_path_factory.getbasetemp() / name, files[name]

    def changed(text: bytes | str) -> bytes:
        return json.dumps(replaced(json.loads(text), *change)).encode()

    if name == "m.keras":
        survives(path, repacked(content, "config.json", changed))
    elif name == "m.h5":
        file = io.BytesIO(content)
        with h5py.File(file, "r+") as opened:
            for key in ("model_config", "training_config"):
                opened.attrs[key] = changed(opened.attrs[key]).decode()
        survives(path, file.getvalue())
    else:
        end = 8 + int.from_bytes(content[:8], "little")
        header = changed(content[8:end])
        survives(path, len(header).to_bytes(8, "little") + header + content[end:])


# -- what it found --------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 8, (1 << 64) - 16, 1 << 40])
@pytest.mark.parametrize("number", [0, 7])
def test_heaps_that_go_round_in_a_circle(
    files: dict[str, bytes], tmp_path: Path, number: int, length: int
) -> None:
    """The library would read such a heap of texts for ever."""
    data = bytearray(files["m.h5"])
    heap = data.index(b"GCOL\x01\0\0\0")
    if number and length < 16:
        pytest.skip("a text of that length may be there")
    data[heap + 16 : heap + 32] = struct.pack("<HH4xQ", number, 0, length)
    assert survives(tmp_path / "m.h5", bytes(data)) == 3


def test_heaps_beyond_the_file(files: dict[str, bytes], tmp_path: Path) -> None:
    data = bytearray(files["m.h5"])
    heap = data.index(b"GCOL\x01\0\0\0")
    data[heap + 8 : heap + 16] = struct.pack("<Q", 1 << 40)
    assert survives(tmp_path / "m.h5", bytes(data)) == 3


def test_places_of_another_size(files: dict[str, bytes], tmp_path: Path) -> None:
    data = bytearray(files["m.h5"])
    data[14] = 4
    (tmp_path / "m.h5").write_bytes(data)
    with pytest.raises(FileFormatError, match="places and lengths of other sizes"):
        fovea.load(tmp_path / "m.h5")
