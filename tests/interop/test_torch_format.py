"""PyTorch's file format, read and written, against PyTorch itself."""

from __future__ import annotations

import argparse
import io
import os
import random
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import dtypes
from fovea.errors import ArgumentError, FileFormatError

torch = pytest.importorskip("torch")

DTYPES = [d.name for d in dtypes.ALL]


def sample(name: str) -> fovea.Tensor:
    """A few values that every dtype has."""
    return fovea.tensor([[0, 1, 1], [1, 0, 1]]).to(name)


def bits(t: Any) -> np.ndarray:
    """The bytes of a tensor of either framework."""
    if isinstance(t, fovea.Tensor):
        return np.ascontiguousarray(t._array()).view(np.uint8)
    return t.detach().contiguous().reshape(-1).view(torch.uint8).numpy()


@pytest.mark.parametrize("name", DTYPES)
def test_torch_reads_every_dtype(name: str, tmp_path: Path) -> None:
    fovea.save({"x": sample(name)}, tmp_path / "x.pt")
    read = torch.load(tmp_path / "x.pt", weights_only=True)["x"]
    assert str(read.dtype) == f"torch.{name}"
    assert read.shape == (2, 3)
    assert read.int().tolist() == [[0, 1, 1], [1, 0, 1]]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", DTYPES)
def test_reads_every_dtype_of_torch(name: str, legacy: bool, tmp_path: Path) -> None:
    t = torch.tensor([[0, 1, 1], [1, 0, 1]]).to(getattr(torch, name))
    torch.save(t, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    read = fovea.load(tmp_path / "x.pth")
    assert read.dtype.name == name
    assert read.tolist() == t.tolist()


NESTING = {
    "numbers": [
        0,
        255,
        256,
        -1,
        2**31 - 1,
        2**31,
        -(2**31),
        -(2**31) - 1,
        2**64,
        -(2**200),
        1.5,
        -0.0,
    ],
    "special": [float("inf"), float("-inf"), None, True, False],
    "text": ["", "weight", "größe", "图像", "\n'\""],
    "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, (4, [5]))),
    "empty": [[], {}, OrderedDict()],
    3: "an integer key",
    1.5: "a float key",
    True: None,
}


def test_nestings_go_both_ways(tmp_path: Path) -> None:
    fovea.save(NESTING, tmp_path / "a.pt")
    assert torch.load(tmp_path / "a.pt", weights_only=True) == NESTING
    torch.save(NESTING, tmp_path / "b.pt")
    assert fovea.load(tmp_path / "b.pt") == NESTING
    assert fovea.load(tmp_path / "a.pt") == NESTING


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_later_pickle_protocols(protocol: int, tmp_path: Path) -> None:
    torch.save({**NESTING, "t": torch.arange(3)}, tmp_path / "a.pt", pickle_protocol=protocol)
    assert fovea.load(tmp_path / "a.pt")["t"].tolist() == [0, 1, 2]


def test_numpy_numbers_become_plain_ones() -> None:
    file = io.BytesIO()
    fovea.save([np.float32(0.5), np.int64(7), np.bool_(True)], file)
    file.seek(0)
    read = torch.load(file, weights_only=True)
    assert read == [0.5, 7, True]
    assert [type(v) for v in read] == [float, int, bool]


def test_a_module_s_state_dict_goes_both_ways(tmp_path: Path) -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(2, 2)
    )
    torch.save(model.state_dict(), tmp_path / "a.pth")
    state = fovea.load(tmp_path / "a.pth")
    assert isinstance(state, OrderedDict)
    assert list(state) == list(model.state_dict())
    assert state._metadata == model.state_dict()._metadata
    for key, value in model.state_dict().items():
        assert np.array_equal(bits(state[key]), bits(value).reshape(bits(state[key]).shape))
    fovea.save(state, tmp_path / "b.pth")
    back = torch.load(tmp_path / "b.pth", weights_only=True)
    assert back._metadata == model.state_dict()._metadata
    model.load_state_dict(back)


def test_an_optimizer_s_state_goes_both_ways(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], lr=0.1)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 2, 5])
    weight.sum().backward()
    optimizer.step()
    checkpoint = {
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "epoch": 3,
    }
    torch.save(checkpoint, tmp_path / "a.pt")
    read = fovea.load(tmp_path / "a.pt")
    assert read["epoch"] == 3
    assert read["schedule"]["milestones"] == Counter({2: 2, 5: 1})
    assert read["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]
    expected = optimizer.state_dict()["state"][0]["exp_avg"].tolist()
    assert read["optimizer"]["state"][0]["exp_avg"].tolist() == expected
    del read["schedule"]
    fovea.save(read, tmp_path / "b.pt")
    optimizer.load_state_dict(torch.load(tmp_path / "b.pt", weights_only=True)["optimizer"])


def test_parameters_sizes_dtypes_devices_and_bytes_are_read(tmp_path: Path) -> None:
    torch.save(
        {
            "parameter": torch.nn.Parameter(torch.ones(2)),
            "frozen": torch.nn.Parameter(torch.ones(2), requires_grad=False),
            "size": torch.Size([1, 2]),
            "dtype": torch.float16,
            "device": torch.device("cpu"),
            "bytes": b"\x00\xff",
        },
        tmp_path / "a.pt",
    )
    read = fovea.load(tmp_path / "a.pt")
    assert type(read["parameter"]) is fovea.nn.Parameter
    assert read["parameter"].requires_grad and not read["frozen"].requires_grad
    assert read["size"] == (1, 2) and isinstance(read["size"], fovea.Size)
    assert read["dtype"] is fovea.float16
    assert read["bytes"] == b"\x00\xff"


def test_parameters_sizes_and_dtypes_are_written(tmp_path: Path) -> None:
    content = {
        "parameter": fovea.nn.Parameter(fovea.ones(2)),
        "leaf": fovea.ones(2, requires_grad=True),
        "size": fovea.Size((1, 2)),
        "dtype": fovea.bfloat16,
    }
    fovea.save(content, tmp_path / "a.pt")
    read = torch.load(tmp_path / "a.pt", weights_only=True)
    assert type(read["parameter"]) is torch.nn.Parameter and read["parameter"].requires_grad
    assert read["leaf"].requires_grad
    assert read["size"] == torch.Size([1, 2])
    assert read["dtype"] is torch.bfloat16


ARRAYS = [
    np.arange(6).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(8, dtype="int16")[::3],
    np.zeros((0, 3), "float32"),
    np.array(1.5),
    np.array([True, False]),
    np.array([1 + 2j], "complex64"),
    np.arange(3, dtype=">u4"),
    np.array([np.nan, np.inf, -0.0]),
    np.frombuffer(bytes(range(256)), "uint8"),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays_go_both_ways(array: np.ndarray, tmp_path: Path) -> None:
    expected = array.astype(array.dtype.newbyteorder("="))  # NumPy, too, reads its own order
    fovea.save({"a": array}, tmp_path / "a.pt")
    torch.save({"a": array}, tmp_path / "b.pt")
    torch.save({"a": array}, tmp_path / "c.pt", pickle_protocol=4)
    for read in (
        fovea.load(tmp_path / "a.pt")["a"],
        fovea.load(tmp_path / "b.pt")["a"],
        fovea.load(tmp_path / "c.pt")["a"],
        torch.load(tmp_path / "a.pt", weights_only=False)["a"],
    ):
        assert read.dtype == expected.dtype and read.shape == expected.shape
        assert read.tobytes() == expected.tobytes()
        read[...] = 1  # an array of its own


def test_what_checkpoints_hold_beside_weights_goes_both_ways(tmp_path: Path) -> None:
    content = {
        "args": argparse.Namespace(lr=0.1, sizes=[1, 2], output=Path("runs") / "a", resume=None),
        "python": random.Random(3).getstate(),
        "numpy": np.random.RandomState(3).get_state(),
        "bytes": b"\x00\xff\n",
        "set": {1, "a", None, 2.5},
        "empty": [set(), b"", argparse.Namespace()],
    }
    fovea.save(content, tmp_path / "a.pt")
    torch.save(content, tmp_path / "b.pt")
    torch.save(content, tmp_path / "c.pt", pickle_protocol=4)
    for read in (
        fovea.load(tmp_path / "a.pt"),
        fovea.load(tmp_path / "b.pt"),
        fovea.load(tmp_path / "c.pt", weights_only=False),
        torch.load(tmp_path / "a.pt", weights_only=False),
    ):
        assert {**read, "numpy": None} == {**content, "numpy": None}
        generator = np.random.RandomState()
        generator.set_state(read["numpy"])
        assert generator.randint(1000) == np.random.RandomState(3).randint(1000)


def test_numbers_of_numpy_and_devices_are_read(tmp_path: Path) -> None:
    torch.save([np.float32(0.5), np.int64(-7), np.bool_(True)], tmp_path / "a.pt")
    read = fovea.load(tmp_path / "a.pt")
    assert read == [0.5, -7, True]
    assert [type(v) for v in read] == [np.float32, np.int64, np.bool_]
    fovea.save({"device": fovea.device("cpu"), "bytes": b"x"}, tmp_path / "b.pt")
    assert torch.load(tmp_path / "b.pt", weights_only=True)["device"] == torch.device("cpu")
    assert fovea.load(tmp_path / "b.pt")["device"] == fovea.device("cpu")


def test_shared_memory_stays_shared(tmp_path: Path) -> None:
    whole = fovea.arange(12).reshape(3, 4)
    fovea.save({"whole": whole, "t": whole.T, "row": whole[1], "again": whole}, tmp_path / "a.pt")
    for load in (fovea.load, torch.load):
        read = load(tmp_path / "a.pt")
        assert read["t"].tolist() == whole.T.tolist()
        read["whole"][1, 0] = 99
        assert read["row"].tolist() == [99, 5, 6, 7]
        assert read["t"].tolist()[0] == [0, 99, 8]
        assert read["again"].tolist()[1][0] == 99


def test_one_tensor_twice_is_written_once(tmp_path: Path) -> None:
    big = fovea.zeros(1000)
    fovea.save([big, big, big], tmp_path / "a.pt")
    assert os.path.getsize(tmp_path / "a.pt") < 6000


def test_a_part_of_a_large_tensor_is_written_without_the_rest(tmp_path: Path) -> None:
    fovea.save(fovea.zeros(100_000)[10:20:3], tmp_path / "a.pt")
    assert os.path.getsize(tmp_path / "a.pt") < 2000
    assert torch.load(tmp_path / "a.pt").shape == (4,)


def test_types_over_the_same_bytes_do_not_mix(tmp_path: Path) -> None:
    a = fovea.arange(4)
    b = fovea.Tensor._make(a.storage, fovea.Size((8,)), (1,), 0, fovea.int32)
    fovea.save([a, a[1:], b, b[2:]], tmp_path / "a.pt")
    for load in (fovea.load, torch.load):
        assert [t.tolist() for t in load(tmp_path / "a.pt")] == [
            t.tolist() for t in (a, a[1:], b, b[2:])
        ]


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1, 1), (2, 3, 4, 5)])
def test_shapes_and_layouts(shape: tuple[int, ...], tmp_path: Path) -> None:
    t = fovea.arange(int(np.prod(shape))).reshape(shape)
    turned = t.permute(tuple(reversed(range(t.ndim))))
    fovea.save([t, turned.clone(), turned.contiguous()], tmp_path / "a.pt")
    for read in (torch.load(tmp_path / "a.pt"), fovea.load(tmp_path / "a.pt")):
        assert [x.tolist() for x in read] == [t.tolist(), turned.tolist(), turned.tolist()]
    source = torch.arange(int(np.prod(shape))).reshape(shape)
    torch.save(
        [source, source.T if source.ndim == 2 else source.expand(3, *shape)], tmp_path / "b.pt"
    )
    assert next(x.tolist() for x in fovea.load(tmp_path / "b.pt")) == source.tolist()


def test_channels_last_stays_channels_last(tmp_path: Path) -> None:
    image = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    torch.save(image, tmp_path / "a.pt")
    read = fovea.load(tmp_path / "a.pt")
    assert read.strides == image.stride()
    assert read.tolist() == image.tolist()
    fovea.save(read, tmp_path / "b.pt")
    assert torch.load(tmp_path / "b.pt").stride() == image.stride()


def test_open_files_and_equal_bytes(tmp_path: Path) -> None:
    content = {"x": fovea.arange(5)}
    one, two = io.BytesIO(), io.BytesIO()
    fovea.save(content, one)
    fovea.save(content, two)
    assert one.getvalue() == two.getvalue()
    one.seek(0)
    assert fovea.load(one)["x"].tolist() == [0, 1, 2, 3, 4]
    with open(tmp_path / "x.pt", "wb") as file:
        torch.save(torch.ones(2), file)
    with open(tmp_path / "x.pt", "rb") as file:
        assert fovea.load(file).tolist() == [1, 1]


def test_memory_mapped_by_torch(tmp_path: Path) -> None:
    fovea.save({"a": fovea.arange(5), "b": fovea.ones(7)}, tmp_path / "a.pt")
    read = torch.load(tmp_path / "a.pt", mmap=True, weights_only=True)
    assert read["b"].tolist() == [1] * 7
    assert read["a"].data_ptr() % 64 == read["b"].data_ptr() % 64 == 0


def test_files_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(torch.arange(4), tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert fovea.load(tmp_path / "a.pt").tolist() == [0, 1, 2, 3]


def test_load_takes_torch_s_arguments(tmp_path: Path) -> None:
    torch.save(torch.ones(1), tmp_path / "a.pt")
    assert (
        fovea.load(tmp_path / "a.pt", map_location="cpu", weights_only=True, mmap=False).item() == 1
    )
    with pytest.raises(fovea.errors.DeviceError):
        fovea.load(tmp_path / "a.pt", map_location="cuda")


# -- what cannot be saved -------------------------------------------------------------------------


def circle() -> list[Any]:
    items: list[Any] = []
    items.append({"inner": items})
    return items


def deep() -> list[Any]:
    items: list[Any] = []
    for _ in range(5000):
        items = [items]
    return items


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": [1, object()]}, r"the object\['a'\]\[1\] is a builtins.object"),
        ({"a": {(1, 2)}}, r"a member of the object\['a'\] is a builtins.tuple"),
        ({"a": {1j}}, r"builtins.complex"),
        ({(1, 2): 1}, "is no string or number"),
        (circle(), "contains itself"),
        (deep(), "deeper than"),
        ({"a": np.array([None])}, "arrays of numbers alone"),
        ({"a": np.array(["text"])}, "arrays of numbers alone"),
        ({"a": np.zeros(2, [("x", "f4")])}, "arrays of numbers alone"),
        (2**3000, "bits"),
    ],
)
def test_what_cannot_be_saved_is_named(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        fovea.save(content, tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_whole_optimizer_is_refused_with_the_remedy(tmp_path: Path) -> None:
    optimizer = fovea.optim.SGD(fovea.nn.Linear(1, 1).parameters(), lr=0.1)
    with pytest.raises(ArgumentError, match=r"model\.state_dict\(\)"):
        fovea.save(optimizer, tmp_path / "a.pt")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    fovea.save({"x": 1}, path)

    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        fovea.save({"x": 2}, path)
    assert fovea.load(path) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_a_missing_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        fovea.save({}, tmp_path / "nowhere" / "a.pt")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        fovea.load(tmp_path / "nowhere" / "a.pt")
    with pytest.raises(FileFormatError, match="is a folder"):
        fovea.load(tmp_path)


def test_counters_stay_counters(tmp_path: Path) -> None:
    """The milestones of ``MultiStepLR`` are one."""
    weight = fovea.zeros(1, requires_grad=True)
    schedule = fovea.optim.lr_scheduler.MultiStepLR(fovea.optim.SGD([weight], lr=1.0), [1, 1, 3])
    fovea.save(schedule.state_dict(), tmp_path / "schedule.pt")
    for read in (fovea.load, torch.load):
        milestones = read(tmp_path / "schedule.pt")["milestones"]
        assert type(milestones) is Counter and milestones == {1: 2, 3: 1}
    again = fovea.optim.lr_scheduler.MultiStepLR(fovea.optim.SGD([weight], lr=1.0), [9])
    again.load_state_dict(fovea.load(tmp_path / "schedule.pt"))
    again.step()
    assert again.get_last_lr() == pytest.approx([0.01])
