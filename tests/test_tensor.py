"""Tensors against PyTorch: creation, types, indexing, shapes, printing, and the way to NumPy and
back.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fovea
from fovea.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    GradientError,
    OutOfRangeError,
    ShapeError,
)

torch = pytest.importorskip("torch")

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
]


def same(ours: Any, theirs: Any) -> None:
    """Equal shape, dtype and elements."""
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    assert str(ours.tolist()) == str(theirs.tolist())


# -- creation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda ns: ns.tensor([[1, 2], [3, 4]]),
        lambda ns: ns.tensor([1.5, 2]),
        lambda ns: ns.tensor(True),
        lambda ns: ns.tensor([]),
        lambda ns: ns.tensor([[], []]),
        lambda ns: ns.tensor([1, 2], dtype=ns.bfloat16),
        lambda ns: ns.tensor(np.arange(3, dtype=np.float64)),
        lambda ns: ns.tensor(np.float32(2.5)),
        lambda ns: ns.tensor([ns.tensor(1.0), ns.tensor(2.0)]),
        lambda ns: ns.zeros(2, 0, 3),
        lambda ns: ns.ones((2, 2), dtype=ns.int32),
        lambda ns: ns.full((2,), 3.5),
        lambda ns: ns.full((2,), True),
        lambda ns: ns.arange(5),
        lambda ns: ns.arange(1, 2, 0.25),
        lambda ns: ns.arange(5, 0, -2),
        lambda ns: ns.linspace(-1, 1, 5),
        lambda ns: ns.eye(2, 3),
        lambda ns: ns.zeros_like(ns.arange(3)),
        lambda ns: ns.ones_like(ns.arange(3), dtype=ns.float16),
        lambda ns: ns.full_like(ns.ones(2), 7),
        lambda ns: ns.ones(2, dtype=ns.float64).new_zeros(3),
        lambda ns: ns.tensor(7).new_full((2,), 3),
        lambda ns: ns.tril(ns.ones(3, 3)) + ns.triu(ns.ones(3, 3), 1),
        lambda ns: ns.cat(ns.meshgrid(ns.arange(2), ns.arange(3), indexing="ij")),
    ],
)
def test_creation(make: Any) -> None:
    same(make(fovea), make(torch))


def test_bad_creation() -> None:
    with pytest.raises(ShapeError, match="differ in length"):
        fovea.tensor([[1, 2], [3]])
    with pytest.raises(TypeError):
        fovea.tensor(["a"])
    with pytest.raises(TypeError, match="not an element type"):
        fovea.zeros(2, dtype="complex32")
    with pytest.raises(DeviceError, match="cuda"):
        fovea.zeros(2, device="cuda")
    with pytest.raises(ArgumentError, match="step"):
        fovea.arange(0, 5, -1)
    with pytest.raises(ShapeError, match="negative"):
        fovea.zeros(-1)


# -- types --------------------------------------------------------------------------------------


@pytest.mark.parametrize("a", DTYPES)
@pytest.mark.parametrize("b", DTYPES)
def test_promotion(a: str, b: str) -> None:
    for shape_a, shape_b in (((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())):
        ours = fovea.ones(shape_a, dtype=a) * fovea.ones(shape_b, dtype=b)
        theirs = torch.ones(shape_a, dtype=getattr(torch, a)) * torch.ones(
            shape_b, dtype=getattr(torch, b)
        )
        assert ours.dtype.name == str(theirs.dtype)[6:], (a, b, shape_a, shape_b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scalar", [True, 2, 2.5])
def test_promotion_with_numbers(dtype: str, scalar: Any) -> None:
    ours = fovea.ones(2, dtype=dtype) + scalar
    theirs = torch.ones(2, dtype=getattr(torch, dtype)) + scalar
    same(ours, theirs)
    same(fovea.ones(2, dtype=dtype) / 2, torch.ones(2, dtype=getattr(torch, dtype)) / 2)


def test_casts() -> None:
    x = [-1.7, 0.0, 2.5, 300.0]
    for dtype in ("bool", "int32", "int64", "float16", "bfloat16", "float64"):
        same(fovea.tensor(x).to(dtype), torch.tensor(x).to(getattr(torch, dtype)))
    t = fovea.ones(2)
    assert t.to(fovea.float32) is t and t.float() is t
    assert t.to("cpu") is t and t.to(fovea.device("cpu"), fovea.float64).dtype is fovea.float64


def test_finfo() -> None:
    for name in ("float16", "bfloat16", "float32", "float64"):
        ours, theirs = fovea.finfo(getattr(fovea, name)), torch.finfo(getattr(torch, name))
        assert (ours.eps, ours.max, ours.min, ours.tiny) == (
            theirs.eps,
            theirs.max,
            theirs.min,
            theirs.tiny,
        )
    assert fovea.iinfo(fovea.int16).min == torch.iinfo(torch.int16).min


def test_in_place_keeps_its_type() -> None:
    x = fovea.ones(2)
    x += fovea.ones(2, dtype=fovea.float64)
    assert x.dtype is fovea.float32
    with pytest.raises(DTypeError):
        y = fovea.ones(2, dtype=fovea.int64)
        y += 0.5
    with pytest.raises(DTypeError):
        fovea.ones(2, dtype=fovea.int32).div_(2)


# -- indexing -----------------------------------------------------------------------------------

SHAPE = (4, 3, 5)
ITEM = st.one_of(
    st.integers(-3, 2),
    st.builds(slice, st.one_of(st.none(), st.integers(-5, 5)), st.one_of(st.none(), st.integers(-5, 5)),
              st.one_of(st.none(), st.integers(1, 3))),
    st.just(None),
    st.just(Ellipsis),
    st.lists(st.integers(-3, 2), min_size=1, max_size=3),
)  # fmt: skip


def legal(key: tuple[Any, ...]) -> bool:
    lists = [len(k) for k in key if isinstance(k, list)]
    used = sum(k is not None and k is not Ellipsis for k in key)
    return used <= 3 and key.count(Ellipsis) <= 1 and len({n for n in lists if n != 1}) <= 1


KEYS = st.lists(ITEM, min_size=1, max_size=4).map(tuple).filter(legal)


def separated(key: tuple[Any, ...]) -> bool:
    """Ints beside lists: NumPy and PyTorch place the picked dimension differently from each other."""
    return any(isinstance(k, list) for k in key) and any(isinstance(k, int) for k in key)


@settings(max_examples=300, deadline=None)
@given(KEYS)
def test_getitem(key: tuple[Any, ...]) -> None:
    array = np.arange(60).reshape(SHAPE)
    if separated(key):
        return
    same(fovea.from_numpy(array)[key], torch.from_numpy(array)[key])


@settings(max_examples=200, deadline=None)
@given(KEYS)
def test_setitem(key: tuple[Any, ...]) -> None:
    if separated(key) or any(isinstance(k, list) and len(set(np.mod(k, 3))) < len(k) for k in key):
        return
    ours, theirs = fovea.zeros(SHAPE), torch.zeros(SHAPE)
    n = theirs[key].numel()
    value = np.arange(1, n + 1, dtype=np.float32).reshape(tuple(theirs[key].shape))
    ours[key] = fovea.tensor(value)
    theirs[key] = torch.tensor(value)
    same(ours, theirs)
    ours[key] = 7
    theirs[key] = 7
    same(ours, theirs)


def test_masks() -> None:
    array = np.arange(12).reshape(3, 4)
    for make in (lambda ns, x: x[x > 5], lambda ns, x: x[ns.tensor([True, False, True])],
                 lambda ns, x: x[:, ns.tensor([True, False, True, True])],
                 lambda ns, x: ns.masked_select(x, x % 2 == 0), lambda ns, x: x[x > 100]):  # fmt: skip
        same(make(fovea, fovea.tensor(array)), make(torch, torch.tensor(array)))


def test_index_errors() -> None:
    x = fovea.zeros(3, 4)
    for key in (
        3,
        -4,
        (0, 4),
        (0, 0, 0),
        [5],
        fovea.tensor([0, 3]),
        fovea.zeros(2, dtype=fovea.bool),
    ):
        with pytest.raises(IndexError):
            x[key]
    with pytest.raises(OutOfRangeError):
        x[[3]] = 1
    with pytest.raises(TypeError):
        x["a"]
    with pytest.raises(ArgumentError, match="positive"):
        x[::-1]
    with pytest.raises(DTypeError):
        x[fovea.tensor([0.5])]
    with pytest.raises(ShapeError):
        x[0] = fovea.ones(5)


def test_views_share_memory() -> None:
    x = fovea.zeros(3, 4)
    row, turned, part = x[1], x.t(), x[:, 1:3].unsqueeze(0).squeeze()
    x[1, 2] = 5
    assert row[2] == 5 and turned[2, 1] == 5 and part[1, 1] == 5
    part.add_(1)
    assert x.sum() == 11
    assert x.view(-1).data_ptr() == x.data_ptr() and x._version == row._version


def test_view_of_any_layout() -> None:
    x = fovea.arange(24).reshape(1, 2, 3, 4).contiguous(memory_format=fovea.channels_last)
    assert x.is_contiguous(memory_format=fovea.channels_last) and not x.is_contiguous()
    spread = fovea.ones(1, 2, 1, 1).expand(1, 2, 3, 4)  # has no memory order: x decides
    assert (spread * x).is_contiguous(memory_format=fovea.channels_last)
    assert x.view(-1).tolist() == list(range(24))
    same(x.flatten(1), torch.arange(24).reshape(1, 24))


# -- shapes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [
        lambda ns, x: x.reshape(4, -1),
        lambda ns, x: x.permute(2, 0, 1).reshape(-1, 3),
        lambda ns, x: x.transpose(0, -1).flatten(1),
        lambda ns, x: x.unsqueeze(-1).expand(2, 3, 4, 2).contiguous(),
        lambda ns, x: x.movedim(0, 2).unflatten(0, (3, 1)),
        lambda ns, x: x.split(3, 2)[1],
        lambda ns, x: x.chunk(3, 1)[2],
        lambda ns, x: ns.stack(x.unbind(1), -1),
        lambda ns, x: x.repeat(2, 1, 2),
        lambda ns, x: ns.tile(x, (2, 2)),
        lambda ns, x: x.flip(0, 2),
        lambda ns, x: x.roll(1, 2) + x.roll((1, -1), (0, 1)),
        lambda ns, x: x.repeat_interleave(2, 1),
        lambda ns, x: x.diagonal(1, 1, 2),
        lambda ns, x: x.narrow(2, 1, 2).squeeze(),
        lambda ns, x: ns.cat([x, x.float()], 1),
        lambda ns, x: x.mT.argsort(-1, descending=True),
        lambda ns, x: x[0].T.cumsum(0),
        lambda ns, x: x.median(2).values,
        lambda ns, x: ns.where(x > 5, x, -1),
        lambda ns, x: x.clamp(3, 9).unique(),
        lambda ns, x: x.remainder(5) + x.div(3, rounding_mode="trunc"),
        lambda ns, x: (-x).div(3, rounding_mode="floor") + (-x).fmod(4),
        lambda ns, x: (-x) // 4 + (-x) % 7,
        lambda ns, x: x.topk(2, 1, largest=False).values,
        lambda ns, x: x.float().std(dim=(0, 2)).round(decimals=2),
    ],
)
def test_functions(f: Any) -> None:
    same(f(fovea, fovea.arange(24).reshape(2, 3, 4)), f(torch, torch.arange(24).reshape(2, 3, 4)))


def test_shape_errors() -> None:
    x = fovea.zeros(2, 3)
    for bad in (lambda: x.reshape(4), lambda: x.view(-1, -1), lambda: x.expand(3, 3), lambda: x.permute(0),
                lambda: x.split([1, 1], 1), lambda: fovea.stack([x, x[0]]), lambda: fovea.cat([x, x.t()]),
                lambda: x + fovea.zeros(4), lambda: x @ x, lambda: fovea.bmm(x, x)):  # fmt: skip
        with pytest.raises(ShapeError):
            bad()
    with pytest.raises(IndexError, match="dimension 2"):
        x.sum(2)


# -- Python and NumPy ---------------------------------------------------------------------------


def test_numpy_shares_memory_both_ways() -> None:
    array = np.zeros((2, 3), np.float32)
    t = fovea.from_numpy(array[:, ::2])
    t.add_(2)
    assert array.tolist() == [[2, 0, 2], [2, 0, 2]]
    t.numpy()[0, 0] = 9
    assert array[0, 0] == 9 and t[0, 0] == 9
    own = fovea.zeros(4)
    view = own.numpy()
    del own
    fovea.full((4,), 3.0)  # must not recycle memory that NumPy still sees
    assert view.tolist() == [0, 0, 0, 0]
    assert np.asarray(fovea.ones(2)).tolist() == [1, 1]
    assert (np.ones(2, np.float32) * fovea.ones(2)).dtype is fovea.float32


def test_numpy_edge_cases() -> None:
    with pytest.raises(ValueError, match="negative"):
        fovea.from_numpy(np.arange(3)[::-1])
    with pytest.raises(TypeError):
        fovea.from_numpy([1, 2])
    with pytest.raises(TypeError):
        fovea.from_numpy(np.array(["a"]))
    with pytest.raises(GradientError, match="detach"):
        fovea.ones(2, requires_grad=True).numpy()
    assert fovea.from_numpy(np.zeros((0, 3))).shape == (0, 3)
    assert fovea.from_numpy(np.array(2.5)).item() == 2.5
    assert fovea.zeros(2, dtype=fovea.bfloat16).numpy().dtype.name == "bfloat16"


def test_python_protocols() -> None:
    x = fovea.tensor([1, 2, 3])
    assert len(x) == 3 and [int(v) for v in x] == [1, 2, 3] and 2 in x
    assert [10, 20, 30, 40][fovea.tensor(2)] == 30
    assert f"{fovea.tensor(1.25):.1f}" == "1.2" and float(fovea.tensor(2)) == 2.0
    with pytest.raises(ValueError, match="ambiguous"):
        bool(x)
    with pytest.raises(ValueError, match="one element"):
        x.item()
    with pytest.raises(TypeError):
        iter(fovea.tensor(1))
    p = fovea.ones(2, 2, requires_grad=True)
    for clone in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert clone.requires_grad and clone.is_leaf and clone.tolist() == p.tolist()
        assert clone.data_ptr() != p.data_ptr()


PRINTED = [
    lambda ns: ns.tensor([1, -20, 300]),
    lambda ns: ns.tensor([1.0, 2.0]),
    lambda ns: ns.tensor([0.1, 22.123456, -3]),
    lambda ns: ns.tensor([1e-5, 1.0]),
    lambda ns: ns.tensor([1e10, 1.0]),
    lambda ns: ns.tensor([float("nan"), float("inf"), 1.5]),
    lambda ns: ns.tensor([True, False]),
    lambda ns: ns.tensor(3.14159),
    lambda ns: ns.tensor([]),
    lambda ns: ns.zeros(2, 0),
    lambda ns: ns.arange(24.0).reshape(2, 3, 4),
    lambda ns: ns.arange(2000),
    lambda ns: ns.arange(2000.0).reshape(40, 50),
    lambda ns: ns.arange(40.0) / 7,
    lambda ns: ns.ones(2, requires_grad=True),
]


@pytest.mark.parametrize("make", PRINTED)
def test_printing(make: Any) -> None:
    assert repr(make(fovea)) == repr(make(torch))


def test_printing_types() -> None:
    assert repr(fovea.ones(2, dtype=fovea.float64)) == "tensor([1., 1.], dtype=fovea.float64)"
    assert repr(fovea.ones(2, requires_grad=True) * 2) == "tensor([2., 2.], grad_fn=<MulBackward0>)"


def test_out() -> None:
    out = fovea.zeros(2)
    assert fovea.add(fovea.ones(2), 1, out=out) is out and out.tolist() == [2, 2]
    with pytest.raises(ValueError):
        fovea.add(fovea.ones(3), 1, out=out)


def test_einsum() -> None:
    rng = np.random.default_rng(1)
    cases = {"ij,jk->ik": [(2, 3), (3, 4)], "bij,bjk->bik": [(2, 3, 4), (2, 4, 5)], "ii->i": [(3, 3)], "ij->": [(2, 3)],
             "...ij,...j->...i": [(2, 3, 4), (2, 4)], "i,j,k->kji": [(2,), (3,), (4,)], "ij,ij->i": [(2, 3), (2, 3)],
             "ab,bc": [(2, 3), (3, 4)]}  # fmt: skip
    for equation, shapes in cases.items():
        arrays = [rng.standard_normal(s) for s in shapes]
        ours = fovea.einsum(equation, *[fovea.tensor(a) for a in arrays])
        np.testing.assert_allclose(ours.numpy(), np.einsum(equation, *arrays), rtol=1e-10)


def test_recycled_memory_is_not_shared() -> None:
    kept = [fovea.full((100,), float(i)) for i in range(50)]
    for _ in range(5):
        [fovea.full((100,), -1.0) for _ in range(50)]
    assert all((t == i).all() for i, t in enumerate(kept))


@pytest.mark.parametrize("count", [0, 3, 5000])
@pytest.mark.parametrize("value", [0, 1, True, 0.0, -0.0, 2.5, float("nan"), -7])
def test_filled_tensors_hold_what_numpy_would(value: Any, count: int) -> None:
    for dtype in (fovea.float32, fovea.float16, fovea.bfloat16, fovea.int64, fovea.bool):
        if value != value and not dtype.is_floating_point:
            continue
        found = fovea.full((count, 2), value, dtype=dtype)
        expected = np.full((count, 2), value, dtype.numpy)
        assert found.numpy().tobytes() == expected.tobytes(), (value, dtype)
    like = fovea.full_like(fovea.zeros(3, 4).t(), value, dtype=fovea.float64)
    np.testing.assert_array_equal(like.numpy(), np.full((4, 3), float(value)))


def test_sizes_below_zero_are_errors() -> None:
    for size in ((-1,), fovea.Size([2, -1])):
        with pytest.raises(ShapeError, match="cannot be negative"):
            fovea.zeros(size)
