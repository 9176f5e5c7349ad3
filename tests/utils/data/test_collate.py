"""Collation, compared with PyTorch's on every kind of sample."""

from __future__ import annotations

from collections import OrderedDict, UserDict, namedtuple
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import fovea
from fovea.errors import ShapeError
from fovea.utils.data import collate, default_collate, default_convert

Point = namedtuple("Point", ["x", "y"])

SAMPLES: dict[str, list[Any]] = {
    "ints": [1, 2, 3],
    "floats": [0.5, 1.5],
    "bools": [True, False],
    "strings": ["a", "b"],
    "bytes": [b"a", b"b"],
    "numpy arrays": [np.arange(6, dtype=np.int32).reshape(2, 3)] * 2,
    "numpy 0-d": [np.float32(1), np.float32(2)],
    "numpy bools": [np.bool_(True), np.bool_(False)],
    "tuples": [(1, 2.0), (3, 4.0)],
    "lists": [[1, 2.0], [3, 4.0]],
    "dicts": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
    "ordered dicts": [OrderedDict(a=1), OrderedDict(a=2)],
    "named tuples": [Point(1, 2.0), Point(3, 4.0)],
    "nested": [({"a": [np.ones(2)]}, 1), ({"a": [np.zeros(2)]}, 2)],
    "empty arrays": [np.zeros((0, 3), np.float32)] * 2,
}


def same(ours: Any, theirs: Any) -> None:
    """Equal structure, types and values."""
    if isinstance(ours, fovea.Tensor):
        assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
        return
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert list(ours) == list(theirs)
        for key in ours:
            same(ours[key], theirs[key])
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
    else:
        assert ours == theirs


@pytest.mark.parametrize("kind", SAMPLES)
def test_like_pytorch(kind: str) -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    same(default_collate(SAMPLES[kind]), torch_data.default_collate(SAMPLES[kind]))


@pytest.mark.parametrize("kind", SAMPLES)
def test_convert_like_pytorch(kind: str) -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    if kind in ("numpy 0-d", "numpy bools"):
        pytest.skip("PyTorch converts NumPy scalars, too; see test_convert_scalars")
    same(default_convert(SAMPLES[kind]), torch_data.default_convert(SAMPLES[kind]))


def test_convert_scalars() -> None:
    assert default_convert(np.float32(2)).item() == 2
    assert default_convert(np.str_("a")) == "a"


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (3, 4, 5)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "uint8", "int64", "bool"])
def test_tensors_are_stacked(shape: tuple[int, ...], dtype: str) -> None:
    tensors = [fovea.ones(shape, dtype=dtype) * i for i in range(3)]
    batch = default_collate([t.to(dtype) for t in tensors])
    assert batch.shape == (3, *shape) and batch.dtype.name == dtype
    expected = np.stack([t.to(dtype).numpy() for t in tensors])
    np.testing.assert_array_equal(batch.numpy(), expected)


def test_channels_last_images_stay_so() -> None:
    rng = np.random.default_rng(0)
    images = [fovea.from_numpy(rng.random((4, 5, 3)).astype(np.float32)) for _ in range(2)]
    batch = default_collate([image.permute(2, 0, 1) for image in images])
    assert batch.shape == (2, 3, 4, 5) and batch.stride() == (60, 1, 15, 3)
    np.testing.assert_array_equal(batch[1].numpy(), images[1].numpy().transpose(2, 0, 1))


def test_odd_strides() -> None:
    base = fovea.arange(24).reshape(4, 6)
    batch = default_collate([base[::2, ::3], base[1::2, 1::3]])
    expected = np.stack([base.numpy()[::2, ::3], base.numpy()[1::2, 1::3]])
    np.testing.assert_array_equal(batch.numpy(), expected)


def test_bfloat16_arrays() -> None:
    batch = default_collate([np.ones(2, ml_dtypes.bfloat16)] * 2)
    assert batch.dtype is fovea.bfloat16 and batch.shape == (2, 2)


def test_gradients_flow_through_the_stack() -> None:
    x = fovea.ones(2, requires_grad=True)
    default_collate([x, x * 2]).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [3.0, 3.0]


def test_mixed_types_promote() -> None:
    batch = default_collate([fovea.ones(2), fovea.ones(2, dtype=fovea.float64)])
    assert batch.dtype is fovea.float64


def test_mappings_of_other_types() -> None:
    joined = default_collate([UserDict(a=1), UserDict(a=2)])
    assert isinstance(joined, UserDict) and joined["a"].tolist() == [1, 2]


def test_own_types() -> None:
    def join(batch: list[complex], *, collate_fn_map: Any = None) -> complex:
        return sum(batch)

    assert collate([(1j, 1), (2j, 2)], collate_fn_map={complex: join})[0] == 3j


def test_shape_errors_name_the_sample() -> None:
    with pytest.raises(ShapeError) as caught:
        default_collate([fovea.zeros(3, 2), fovea.zeros(3, 2), fovea.zeros(3, 4)])
    text = str(caught.value)
    assert "sample 2" in text and "(3, 4)" in text and "Resize" in text
    with pytest.raises(ShapeError, match="equal size"):
        default_collate([[1, 2], [1]])


def test_what_cannot_be_joined() -> None:
    with pytest.raises(TypeError, match="set"):
        default_collate([{1}, {2}])
    with pytest.raises(TypeError, match="NoneType"):
        default_collate([None, None])
    with pytest.raises(TypeError, match="dtype"):
        default_collate([np.array(["a"]), np.array(["b"])])
    with pytest.raises(TypeError, match="dtype"):
        default_collate([np.array([None]), np.array([None])])


def test_pil_images_point_to_totensor() -> None:
    pil = pytest.importorskip("PIL.Image")
    with pytest.raises(TypeError, match="ToTensor"):
        default_collate([pil.new("L", (2, 2))] * 2)
