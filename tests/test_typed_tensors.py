"""PyTorch's older names of types, on both sides."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import DeviceError

torch = pytest.importorskip("torch")
NAMES = ["Bool", "Byte", "Char", "Short", "Int", "Long", "Half", "BFloat16", "Float", "Double"]

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "sequence": lambda lib, kind: kind([1, 0, 1]),
    "nested": lambda lib, kind: kind([[1, 0], [0, 1]]),
    "array": lambda lib, kind: kind(np.arange(3)),
    "nothing": lambda lib, kind: kind(),
    "no elements": lambda lib, kind: kind([]),
    "sizes as a tuple of numbers": lambda lib, kind: kind((1, 1)),
    "zeros": lambda lib, kind: kind(2, 3).zero_(),
    "a size": lambda lib, kind: kind(lib.Size([2, 1])).fill_(1),
    "of a tensor": lambda lib, kind: lib.tensor([1, 0]).type(kind),
    "by its name": lambda lib, kind: lib.tensor([1, 0]).type(f"torch.{kind.__name__}"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", NAMES)
def test_they_make_tensors(name: str, call: str) -> None:
    ours = CALLS[call](fovea, getattr(fovea, f"{name}Tensor"))
    theirs = CALLS[call](torch, getattr(torch, f"{name}Tensor"))
    assert ours.tolist() == theirs.tolist() and ours.shape == tuple(theirs.shape)
    assert ours.type() == theirs.type() == f"torch.{name}Tensor"


@pytest.mark.parametrize("name", NAMES)
def test_they_know_their_tensors(name: str) -> None:
    ours, theirs = getattr(fovea, f"{name}Tensor"), getattr(torch, f"{name}Tensor")
    for other in NAMES:
        kinds = getattr(fovea, f"{other}Tensor"), getattr(torch, f"{other}Tensor")
        assert isinstance(kinds[0](1), ours) == isinstance(kinds[1](1), theirs) == (other == name)
    assert not isinstance([1], ours) and not isinstance(
        ours(1), getattr(fovea.cuda, f"{name}Tensor")
    )
    assert ours.dtype is ours(1).dtype and ours.is_cuda is theirs.is_cuda is False
    assert repr(ours) == repr(theirs).replace("torch", "fovea")
    assert pickle.loads(pickle.dumps(ours)) is ours is copy.deepcopy(ours)


@pytest.mark.parametrize(
    "call",
    [
        lambda lib: lib.FloatTensor(3.0),
        lambda lib: lib.FloatTensor(lib.tensor([1])),
        lambda lib: lib.cuda.FloatTensor(2),
        lambda lib: lib.ones(1).type("torch.FloatsTensor"),
        lambda lib: lib.ones(1).type(lib.cuda.FloatTensor),
    ],
)
def test_mistakes(call: Callable[[Any], Any]) -> None:
    with pytest.raises((TypeError, RuntimeError, ValueError)):
        call(torch)
    with pytest.raises((TypeError, RuntimeError, ValueError)):
        call(fovea)


def test_types_on_cuda_exist_and_make_nothing() -> None:
    kind = fovea.cuda.FloatTensor if fovea.cuda.is_available() else fovea.FloatTensor
    assert kind is fovea.FloatTensor and fovea.cuda.LongTensor.is_cuda
    with pytest.raises(DeviceError, match=r"torch.cuda.is_available\(\) else torch.LongTensor"):
        fovea.cuda.LongTensor([1])
    with pytest.raises(AttributeError):
        _ = fovea.cuda.SomeTensor


def test_a_tensor_of_the_type_keeps_its_memory() -> None:
    x = fovea.ones(2)
    fovea.FloatTensor(x)[0] = 5
    assert x.tolist() == [5, 1]


def test_default_type() -> None:
    for lib in (fovea, torch):
        try:
            lib.set_default_tensor_type("torch.DoubleTensor")
            assert lib.ones(1).dtype is lib.float64 and lib.Tensor([1]).dtype is lib.float64
        finally:
            lib.set_default_tensor_type(lib.FloatTensor)
        assert lib.ones(1).dtype is lib.float32
    with pytest.raises(DeviceError):
        fovea.set_default_tensor_type(fovea.cuda.FloatTensor)


def test_complex_types_have_names() -> None:
    for lib in (fovea, torch):
        assert lib.ones(1, dtype=lib.complex64).type() == "torch.ComplexFloatTensor"
        assert lib.ones(1, dtype=lib.complex128).type() == "torch.ComplexDoubleTensor"
