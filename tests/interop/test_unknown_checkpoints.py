"""Checkpoints of kinds that nobody told us of, made by PyTorch and read as a user would."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import enum
import io
import pathlib
import pickle
import random
import struct
import tarfile
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FileFormatError
from fovea.interop.checkpoints import find_state_dict

torch = pytest.importorskip("torch")


def network(lib: Any) -> Any:
    nn = lib.nn
    body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))


def trained() -> Any:
    torch.manual_seed(0)
    net = network(torch)
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        net(torch.randn(8, 3, 8, 8)).square().sum().backward()
        optimizer.step()
    return net.eval(), optimizer


NET, OPTIMIZER = trained()
STATE = NET.state_dict()
IMAGES = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


def behind(*prefixes: str) -> dict[str, Any]:
    return {p + name: value for p in prefixes for name, value in STATE.items()}


def cast(kind: Any) -> dict[str, Any]:
    return {n: v.to(kind) if v.is_floating_point() else v for n, v in STATE.items()}


def answers_as(content: Any, tolerance: float = 1e-5) -> None:
    """A new network with the weights found in what was loaded answers as PyTorch's."""
    own = network(fovea)
    own.load_state_dict(find_state_dict(content, own.state_dict()))
    with fovea.no_grad():
        found = own.eval()(fovea.from_numpy(IMAGES)).numpy()
    wanted = NET(torch.from_numpy(IMAGES)).detach().numpy()
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def through_file(content: Any, **how: Any) -> Any:
    file = io.BytesIO()
    torch.save(content, file, **how)
    file.seek(0)
    return fovea.load(file)


class Level(enum.Enum):
    LOW = 1


class Flags(enum.IntFlag):
    A = 1


@dataclass
class Settings:
    rate: float = 0.1
    level: Level = Level.LOW


Pair = collections.namedtuple("Pair", "a b")


class Ordered(collections.OrderedDict):  # type: ignore[type-arg]
    pass


class Sized(dict):  # type: ignore[type-arg]
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.size = 3


STEPS = OPTIMIZER.state_dict()
CONTENTS: dict[str, Any] = {
    "an unknown key": {"best_weights": STATE, "epoch": 3, "optimizer": STEPS},
    "two keys deep": {"checkpoint": {"best": {"state_dict": STATE}}, "optimizer": STEPS},
    "one of two networks": {"netD": {"0.w": torch.ones(2)}, "netG": STATE, "optimizerG": STEPS},
    "numbers of a run are tensors": {"epoch": torch.tensor(3), "loss": torch.ones(()), "w": STATE},
    "numpy arrays": {n: v.numpy() for n, v in STATE.items()},
    "numpy arrays below": {
        "model": {n: v.numpy() for n, v in STATE.items()},
        "__author__": "someone",
        "matching_heuristics": True,
    },
    "lightning": {
        "state_dict": {**behind("model."), "criterion.weight": torch.ones(5)},
        "hyper_parameters": {"act": torch.nn.ReLU(), "lr": 0.1},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best": torch.tensor(0.5)}},
        "optimizer_states": [STEPS],
    },
    "a part of a larger network": {"state_dict": behind("backbone."), "meta": {"CLASSES": ("a",)}},
    "student and teacher": {"model": behind("student.backbone.")},
    "two encoders": behind("module.encoder_q."),
    "parallel and compiled": {"model": behind("module._orig_mod.")},
    "counters of operations": {
        **STATE,
        "total_ops": torch.zeros(1),
        "0.total_params": torch.ones(1),
    },
    "a subclass of OrderedDict": Ordered(STATE),
    "a subclass of dict": {"model": Sized(STATE)},
    "a defaultdict": {"model": collections.defaultdict(list, STATE)},
    "the optimizer itself": {"model": STATE, "optimizer": OPTIMIZER, "loss": torch.nn.MSELoss()},
    "values of Python": {
        "state_dict": STATE,
        "when": datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC),
        "took": datetime.timedelta(seconds=3),
        "sum": decimal.Decimal("1.5"),
        "id": uuid.uuid4(),
        "last": collections.deque([1, 2, 3], maxlen=2),
        "some": [frozenset([1]), range(3), slice(1, None), bytearray(b"x"), 1 + 2j],
        "kinds": [Settings(), Level.LOW, Flags.A, Pair(1, 2)],
        "args": argparse.Namespace(device=torch.device("cuda:1"), path=pathlib.PurePosixPath("/x")),
        "random": [random.getstate(), np.random.get_state(), torch.get_rng_state()],
    },
    "values of NumPy": {
        "state_dict": STATE,
        "names": np.array(["cat", "dog"]),
        "objects": np.array([1, "two", None], object),
        "scores": np.arange(6.0).reshape(2, 3).T,
        "best": np.float64(0.5),
        "labels": {np.int64(3): "cat"},
        "name": np.str_("a"),
    },
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", CONTENTS)
def test_the_weights_are_found(kind: str, zipped: bool, protocol: int) -> None:
    how = {"_use_new_zipfile_serialization": zipped, "pickle_protocol": protocol}
    answers_as(through_file(CONTENTS[kind], **how))


def test_values_come_back() -> None:
    for protocol in (2, 5):
        found = through_file(CONTENTS["values of Python"], pickle_protocol=protocol)
        assert found["when"] == datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC)
        assert found["took"].seconds == 3
        assert list(found["last"]) == [2, 3] and found["last"].maxlen == 2
        assert found["some"] == [frozenset([1]), range(3), slice(1, None), bytearray(b"x"), 1 + 2j]
        found = through_file(CONTENTS["values of NumPy"], pickle_protocol=protocol)
        assert found["names"].tolist() == ["cat", "dog"]
        assert found["objects"].tolist() == [1, "two", None]
        assert found["scores"].tolist() == [[0, 3], [1, 4], [2, 5]]
        assert found["labels"] == {3: "cat"} and found["name"] == "a"


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("float16", 1e-2), ("bfloat16", 5e-2), ("float64", 1e-5)]
)
def test_other_precisions(kind: str, tolerance: float) -> None:
    answers_as(through_file({"model": cast(getattr(torch, kind))}), tolerance)


def test_tensors_in_any_form() -> None:
    whole = torch.cat([v.reshape(-1).float() for v in STATE.values()])
    parts, at = {}, 0
    for name, value in STATE.items():
        part = whole[at : at + value.numel()].view(value.shape)
        parts[name] = part if value.is_floating_point() else value
        at += value.numel()
    last = {
        n: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v
        for n, v in STATE.items()
    }
    own = {**dict(NET.named_parameters()), **dict(NET.named_buffers())}
    own["3.bias"] = torch.nn.Parameter(own["3.bias"].detach().clone())
    own["3.bias"].is_special = True  # attributes of a parameter are saved with it
    for state in (parts, last, own):
        answers_as(through_file(state))


def test_pickles_without_a_format() -> None:
    arrays = {n: v.numpy() for n, v in STATE.items()}
    for content in (STATE, {"model": arrays}):
        for protocol in (2, 4, 5):
            answers_as(fovea.load(io.BytesIO(pickle.dumps(content, protocol))))
    old = pickle.dumps({"model": {"w": np.arange(3.0)}}, 2)  # as Python 2 wrote it
    found = fovea.load(io.BytesIO(old.replace(b"numpy._core", b"numpy.core")))
    assert found["model"]["w"].tolist() == [0, 1, 2]


def big_endian(content: Any) -> bytes:
    """What torch.save would have written on such a machine."""
    file, result = io.BytesIO(), io.BytesIO()
    torch.save(content, file)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(result, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith("/byteorder"):
                data = b"big"
            elif "/data/" in info.filename:
                unit = 8 if len(data) == 8 else 4  # the counter of batches is the only int64
                data = np.frombuffer(data, f"u{unit}").byteswap().tobytes()
            new.writestr(info.filename, data)
    return result.getvalue()


def test_big_endian_files() -> None:
    data = big_endian({"state_dict": STATE})
    same = torch.load(io.BytesIO(data))["state_dict"]["3.weight"]
    assert torch.equal(same, STATE["3.weight"])
    answers_as(fovea.load(io.BytesIO(data)))


def first_format(state: dict[str, Any]) -> bytes:
    """The tar archive that PyTorch wrote before version 0.1.10."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, item: Any) -> Any:
            return numbers[id(item)] if torch.is_tensor(item) else None

    numbers = {id(value): 100 + i for i, value in enumerate(state.values())}
    kinds = {torch.float32: ("Float", 4), torch.int64: ("Long", 8)}
    storages, tensors = io.BytesIO(), io.BytesIO()
    for file in (storages, tensors):
        pickle.dump(len(state), file, 2)
    for i, value in enumerate(state.values()):
        kind, _ = kinds[value.dtype]
        pickle.dump((i, "cpu", getattr(torch, kind + "Storage")), storages, 2)
        storages.write(struct.pack("<q", value.numel()) + value.numpy().tobytes())
        pickle.dump((100 + i, i, getattr(torch, kind + "Tensor")), tensors, 2)
        tensors.write(struct.pack("<ii", value.ndim, 0))
        tensors.write(struct.pack(f"<{2 * value.ndim + 1}q", *value.shape, *value.stride(), 0))
    pickle.dump([], storages, 2)
    pickled = io.BytesIO()
    Pickler(pickled, 2).dump(collections.OrderedDict(state))
    result = io.BytesIO()
    with tarfile.open(fileobj=result, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for name, file in (("pickle", pickled), ("tensors", tensors), ("storages", storages)):
            info = tarfile.TarInfo(name)
            info.size = len(file.getvalue())
            archive.addfile(info, io.BytesIO(file.getvalue()))
    return result.getvalue()


def test_the_first_format(tmp_path: Path) -> None:
    data = first_format(STATE)
    (tmp_path / "a.pth").write_bytes(data)
    same = torch.load(tmp_path / "a.pth", weights_only=False)
    assert torch.equal(same["3.weight"], STATE["3.weight"])
    answers_as(fovea.load(tmp_path / "a.pth"))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        last = max(member.offset_data + member.size for member in archive)
    for end in range(600, last, 997):
        with pytest.raises(FileFormatError):
            fovea.load(io.BytesIO(data[:end]))
    rng = random.Random(0)
    for _ in range(200):
        broken = bytearray(data)
        for _ in range(rng.randrange(1, 6)):
            broken[rng.randrange(512, len(data))] = rng.randrange(256)
        try:
            fovea.load(io.BytesIO(bytes(broken)))
        except FileFormatError:
            continue


def test_parts_of_storages_as_pytorch_0_3_wrote_them() -> None:
    text = io.BytesIO()
    torch.save({"w": torch.arange(6.0)[2:5]}, text, _use_new_zipfile_serialization=False)
    data = text.getvalue()
    # ("storage", kind, key, "cpu", 6, None), and the tensor's own offset of 2, become a part of
    # the storage that begins at 2, and an offset of 0.
    plain, part = b"K\x06Nt", b"K\x06(X\x01\x00\x00\x00vK\x02K\x03tt"
    assert data.count(plain) == 1
    head, tail = data.split(plain)
    changed = head + part + tail.replace(b"QK\x02", b"QK\x00", 1)
    assert fovea.load(io.BytesIO(changed))["w"].tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"w": torch.eye(2).to_sparse()}, "sparse"),
        ({"w": torch.ones(2, device="meta")}, "without values"),
        ([torch.ones(2)], "1 tensors without names"),
        ({"a": {"w": torch.ones(2)}, "b": {"w": torch.ones(2)}}, r"\['a'\], \['b'\]"),
    ],
)
def test_what_cannot_be_taken_says_why(content: Any, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        find_state_dict(through_file(content))


def test_names_in_files_are_not_looked_up() -> None:
    class Bad:
        def __init__(self, call: Callable[..., Any], *args: Any) -> None:
            self.what = (call, args)

        def __reduce__(self) -> Any:
            return self.what

    for bad in (Bad(getattr, "", "join"), Bad(bytearray, 10**9), Bad(range, "a"), Bad(slice, [1])):
        with pytest.raises(FileFormatError):
            fovea.load(io.BytesIO(pickle.dumps({"x": bad}, 4)))
