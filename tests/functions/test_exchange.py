"""Memory shared with NumPy, PyTorch and JAX; pickles and copies."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import fovea
from fovea.errors import ArgumentError
from tests.functions.torch_tables import DTYPES

NAMES = [str(d)[6:] for d in DTYPES]


@pytest.mark.parametrize("name", NAMES)
def test_pytorch_reads_and_writes_our_memory(name: str) -> None:
    x = fovea.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(fovea, name))
    theirs = torch.from_dlpack(x)
    assert theirs.dtype == getattr(torch, name)
    assert theirs.tolist() == x.tolist()
    theirs[1, 2] = 0
    assert x[1, 2] == 0
    x[0, 1] = 0
    assert theirs[0, 1] == 0


@pytest.mark.parametrize("name", NAMES)
def test_we_read_and_write_pytorchs_memory(name: str) -> None:
    theirs = torch.arange(6).reshape(2, 3).to(getattr(torch, name))
    for given in (theirs, torch.utils.dlpack.to_dlpack(theirs)):
        x = fovea.from_dlpack(given)
        assert x.dtype is getattr(fovea, name)
        assert x.tolist() == theirs.tolist()
        x[1, 1] = 0
        assert theirs[1, 1] == 0
        theirs[1, 1] = 1


def test_strides_go_along() -> None:
    x = fovea.arange(24.0).reshape(2, 3, 4)[:, 1:, ::2].transpose(0, 2)
    theirs = torch.from_dlpack(x)
    assert theirs.stride() == tuple(x.stride())
    assert theirs.tolist() == x.tolist()
    image = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert fovea.from_dlpack(image).is_contiguous(memory_format=fovea.channels_last)


@pytest.mark.parametrize("shape", [(), (0, 3), (1,)])
def test_odd_shapes(shape: tuple[int, ...]) -> None:
    x = fovea.ones(*shape) if shape else fovea.tensor(1.0)
    assert tuple(torch.from_dlpack(x).shape) == shape
    assert fovea.from_dlpack(torch.ones(shape)).shape == shape


def test_numpy() -> None:
    array = np.arange(6, dtype=np.int16)
    x = fovea.from_dlpack(array)
    array[2] = 9
    assert x[2] == 9
    back = np.from_dlpack(x)
    assert back.base is not None
    x[3] = 8
    assert back[3] == 8
    with pytest.raises(ValueError, match="negative"):
        fovea.from_dlpack(array[::-1])


def test_jax() -> None:
    jax = pytest.importorskip("jax")
    x = fovea.arange(6.0).reshape(2, 3)
    theirs: Any = jax.dlpack.from_dlpack(x)
    assert theirs.tolist() == x.tolist()
    half = jax.numpy.ones((2, 2), jax.numpy.bfloat16)
    assert fovea.from_dlpack(half).dtype is fovea.bfloat16
    assert fovea.from_dlpack(half + 1).tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_memory_outlives_its_maker() -> None:
    theirs = torch.from_dlpack(fovea.arange(1000.0))
    fovea.zeros(1000).fill_(-1.0)
    assert theirs.tolist() == list(range(1000))
    x = fovea.from_dlpack(torch.arange(1000.0))
    torch.zeros(1000).fill_(-1.0)
    assert x.tolist() == list(range(1000))


def test_copies_and_refusals() -> None:
    theirs = torch.zeros(2)
    copied = fovea.from_dlpack(theirs, copy=True)
    copied[0] = 1.0
    assert theirs[0] == 0
    with pytest.raises(BufferError, match="gradient"):
        torch.from_dlpack(fovea.ones(2, requires_grad=True))
    capsule = fovea.utils.dlpack.to_dlpack(fovea.ones(2))
    fovea.utils.dlpack.from_dlpack(capsule)
    with pytest.raises(ArgumentError, match="used before"):
        fovea.utils.dlpack.from_dlpack(capsule)
    with pytest.raises(TypeError):
        fovea.from_dlpack(np.ones(2, np.uint32))


def test_buffers() -> None:
    raw = bytearray(np.arange(4, dtype=np.float32).tobytes())
    x = fovea.frombuffer(raw, dtype=fovea.float32, count=2, offset=4)
    assert x.tolist() == [1.0, 2.0]
    raw[4:8] = np.float32(7).tobytes()
    assert x.tolist() == [7.0, 2.0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickles(name: str, protocol: int) -> None:
    x = fovea.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(fovea, name)).t()
    back = pickle.loads(pickle.dumps({"x": [x]}, protocol))["x"][0]
    assert back.dtype is x.dtype
    assert back.tolist() == x.tolist()


def test_pickles_and_copies_keep_what_a_leaf_knows() -> None:
    leaf = fovea.ones(2, 3, requires_grad=True)
    (leaf * 2).sum().backward()
    for back in (copy.deepcopy(leaf), copy.copy(leaf), pickle.loads(pickle.dumps(leaf))):
        assert back.requires_grad
        assert back.tolist() == leaf.tolist()
    twice = copy.deepcopy([leaf, leaf])
    assert twice[0] is twice[1]
    assert twice[0].storage is not leaf.storage
    assert twice[0].grad is not None
    assert twice[0].grad.tolist() == leaf.grad.tolist()
    parameter = pickle.loads(pickle.dumps(fovea.nn.Parameter(fovea.ones(2))))
    assert isinstance(parameter, fovea.nn.Parameter)


def test_half_arrays_of_numpy() -> None:
    array = np.ones(3, ml_dtypes.bfloat16)
    assert fovea.from_numpy(array).dtype is fovea.bfloat16
    assert fovea.tensor(array).tolist() == [1.0, 1.0, 1.0]
