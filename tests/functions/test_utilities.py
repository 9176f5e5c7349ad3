"""What programs ask before they compute: devices, switches, types."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import fovea
from fovea.errors import ArgumentError, DeviceError, DTypeError


def test_programs_find_no_accelerator() -> None:
    device = fovea.device("cuda" if fovea.cuda.is_available() else "cpu")
    assert device.type == "cpu"
    assert not fovea.accelerator.is_available()
    assert fovea.accelerator.current_accelerator() is None
    assert not fovea.backends.mps.is_available()
    fovea.backends.cudnn.benchmark = True
    assert fovea.backends.cudnn.benchmark
    fovea.backends.cudnn.benchmark = False
    fovea.cuda.manual_seed_all(1)
    assert fovea.cuda.device_count() == 0
    with pytest.raises(DeviceError):
        fovea.cuda.current_device()
    with pytest.raises(DeviceError):
        fovea.set_default_device("cuda")


def test_switches_remember() -> None:
    fovea.use_deterministic_algorithms(True, warn_only=True)
    assert fovea.are_deterministic_algorithms_enabled()
    assert fovea.is_deterministic_algorithms_warn_only_enabled()
    fovea.use_deterministic_algorithms(False)
    assert not fovea.are_deterministic_algorithms_enabled()
    fovea.set_float32_matmul_precision("high")
    assert fovea.get_float32_matmul_precision() == "high"
    fovea.set_float32_matmul_precision("highest")
    with pytest.raises(ArgumentError):
        fovea.set_float32_matmul_precision("low")


@pytest.mark.parametrize(
    "a", ["bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
)
def test_types_meet_as_in_pytorch(a: str) -> None:
    for b in ("bool", "uint8", "int8", "int16", "int64", "float16", "bfloat16", "float64"):
        mine = fovea.promote_types(getattr(fovea, a), getattr(fovea, b))
        assert mine.name == str(torch.promote_types(getattr(torch, a), getattr(torch, b)))[6:]
    assert fovea.is_signed(fovea.zeros(1, dtype=getattr(fovea, a))) == torch.is_signed(
        torch.zeros(1, dtype=getattr(torch, a))
    )


def test_limits() -> None:
    for name in ("float16", "bfloat16", "float32", "float64"):
        ours, theirs = fovea.finfo(getattr(fovea, name)), torch.finfo(getattr(torch, name))
        for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal"):
            assert getattr(ours, field) == getattr(theirs, field), (name, field)
    for name in ("uint8", "int8", "int16", "int32", "int64"):
        ours, theirs = fovea.iinfo(getattr(fovea, name)), torch.iinfo(getattr(torch, name))
        assert (ours.bits, ours.min, ours.max) == (theirs.bits, theirs.min, theirs.max)


def test_facts() -> None:
    x = fovea.tensor([[1.0, -2.0], [0.0, 3.0]])
    assert x.is_cpu and not x.is_sparse and not x.is_quantized and not x.is_meta
    assert x.layout == "strided" and x.ndimension() == 2 and x.dim_order() == (0, 1)
    assert x.t().dim_order() == (1, 0)
    assert x.H.tolist() == x.mH.tolist() == x.t().tolist()
    assert x.angle().tolist() == torch.tensor(x.tolist()).angle().tolist()
    assert x.real is x and x.conj() is x
    with pytest.raises(DTypeError):
        _ = x.imag
    assert x.is_set_to(x.view(2, 2)) and not x.is_set_to(x.t())
    assert fovea.is_nonzero(x[0, 0]) and not fovea.is_nonzero(x[1, 0])
    assert [r.tolist() for r in reversed(x)] == [[0.0, 3.0], [1.0, -2.0]]
    assert x.new_empty_strided((2, 3), (1, 2)).stride() == (1, 2)


def test_elements_by_python() -> None:
    x = fovea.tensor([1.0, 2.0])
    assert x.apply_(lambda v: v * 3).tolist() == [3.0, 6.0]
    assert x.map_(fovea.tensor([1.0, 1.0]), lambda a, b: a + b).tolist() == [4.0, 7.0]
    assert copy.copy(x).tolist() == x.tolist()


def test_layouts_of_volumes() -> None:
    x = fovea.arange(2 * 3 * 2 * 4 * 5).reshape(2, 3, 2, 4, 5)
    y = x.contiguous(memory_format=fovea.channels_last_3d)
    theirs = (
        torch.arange(240).reshape(2, 3, 2, 4, 5).contiguous(memory_format=torch.channels_last_3d)
    )
    assert y.stride() == theirs.stride() and y.tolist() == x.tolist()
    assert y.is_contiguous(memory_format=fovea.channels_last_3d) and not y.is_contiguous()
    assert not y.is_contiguous(memory_format=fovea.channels_last)
    with pytest.raises(ValueError, match="channels_last_3d needs 5 dimensions"):
        fovea.ones(2, 3).contiguous(memory_format=fovea.channels_last_3d)


@pytest.mark.parametrize("lib", [fovea, torch], ids=["fovea", "torch"])
def test_inference_mode_is_known(lib: Any) -> None:
    on = lib.is_inference_mode_enabled
    assert not on()
    with lib.inference_mode():
        assert on() and not lib.is_grad_enabled()
        with lib.inference_mode(False):
            assert not on()
        assert on()
    assert not on()

    @lib.inference_mode
    def bare(x: Any) -> Any:
        return on(), x * 2

    @lib.inference_mode()
    def called(x: Any) -> Any:
        return on(), x * 2

    for function in (bare, called):
        inside, y = function(lib.ones(2, requires_grad=True))
        assert inside and not y.requires_grad and not on()


@pytest.mark.parametrize("lib", [fovea, torch], ids=["fovea", "torch"])
def test_signals_and_adjoints_as_methods(lib: Any) -> None:
    x, window = lib.arange(64.0).sin(), lib.hann_window(16)
    z = x.stft(16, window=window, return_complex=True)
    assert float((z.istft(16, window=window, length=64) - x).abs().max()) < 1e-5
    assert tuple(lib.adjoint(input=lib.ones(2, 3, 4)).shape) == (2, 4, 3)


def results(lib: Any) -> list[Any]:
    x = lib.tensor([[3.0, 1.0, 2.0]])
    return [
        x.max(1), x.min(1), x.sort(), x.topk(2), x.kthvalue(2), x.mode(), x.median(1),
        x.nanmedian(1), x.cummax(1), x.cummin(1), x.aminmax(), lib.frexp(x), lib.histogram(x, 2),
        lib.linalg.slogdet(lib.eye(2)), lib.linalg.qr(lib.eye(2)), lib.linalg.eigh(lib.eye(2)),
    ]  # fmt: skip


def test_results_print_with_their_function_s_name() -> None:
    for ours, theirs in zip(results(fovea), results(torch), strict=True):
        assert repr(ours) == repr(theirs).replace("torch.", "fovea.")
        assert [x.shape for x in ours] == [tuple(x.shape) for x in theirs]
    values, indices = fovea.tensor([3, 1]).max(0)
    assert (values.item(), indices.item()) == (3, 0)


def test_powers_keep_to_the_types_of_pytorch() -> None:
    for dtype in ("bool", "uint8", "int64", "float32"):
        for exponent in (1, 2, 1.0, 2.0, 0.5, 3, True):
            if dtype == "bool" and exponent is True:
                continue
            ours = fovea.ones(2, dtype=getattr(fovea, dtype)) ** exponent
            theirs = torch.ones(2, dtype=getattr(torch, dtype)) ** exponent
            assert str(ours.dtype)[6:] == str(theirs.dtype)[6:], (dtype, exponent)
            assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("lib", [fovea, torch])
def test_masks_are_of_truth_values(lib: Any) -> None:
    x = lib.tensor([1.0, -1.0])
    for call in (
        lambda: x.masked_fill(x, 0.0),
        lambda: x.clone().masked_fill_(x.long(), 0.0),
        lambda: lib.where(x, x, x),
    ):
        with pytest.raises(RuntimeError):
            call()
    with pytest.raises(TypeError):
        _ = lib.ones(1, 1, 1, 1)["one"]
    assert x.masked_fill(x < 0, 7.0).tolist() == [1, 7]


VIEWS = [
    ("float32", (2, 3), "int32"),
    ("float32", (2, 3), "uint8"),
    ("uint8", (2, 8), "float32"),
    ("int64", (4,), "int16"),
    ("int16", (2, 4), "int64"),
    ("float32", (2, 3), "int64"),
    ("float32", (), "uint8"),
]


@pytest.mark.parametrize(("dtype", "shape", "other"), VIEWS)
def test_the_same_bytes_as_another_type(dtype: str, shape: tuple[int, ...], other: str) -> None:
    array = np.arange(int(np.prod(shape)), dtype=dtype).reshape(shape)
    ours, theirs = fovea.from_numpy(array), torch.from_numpy(array.copy())
    try:
        expected = theirs.view(getattr(torch, other))
    except RuntimeError:
        with pytest.raises(RuntimeError):
            ours.view(getattr(fovea, other))
        return
    got = ours.view(getattr(fovea, other))
    assert got.tolist() == expected.tolist() and got.stride() == expected.stride()
    got.fill_(0)
    assert not array.any()
    if len(shape) == 2:
        part = fovea.from_numpy(np.ones((4, 8), dtype))[1:, :4]
        twin = torch.from_numpy(np.ones((4, 8), dtype))[1:, :4]
        assert (
            part.view(getattr(fovea, other)).stride() == twin.view(getattr(torch, other)).stride()
        )
        with pytest.raises(RuntimeError):
            fovea.ones(3, 2, dtype=fovea.int16).t().view(fovea.uint8)


def test_lists_of_numpys_numbers_keep_their_type() -> None:
    f64, f32 = np.float64, np.float32
    lists: list[Any] = [
        [f64(1), 2], [1.5, f64(2)], [f32(1), 2.5], [np.int64(3), 2.5], [f32(1), f32(2)],
        [[1.0, 2.0], [f64(1), 3]], [np.ones(2), np.ones(2)], [np.ones(2, f32)] * 2, [f32(1), 1],
        [np.ones(2), [1, 2]], f64(3), [f32(1), f64(2)], [np.float16(1)], [np.int32(1)],
        [np.uint8(3), 1], [True, f64(1)], (f64(1),), [np.bool_(True)], [], [[]], [1, 2], [1.0, 2],
    ]  # fmt: skip
    for data in lists:
        assert str(fovea.tensor(data).dtype)[6:] == str(torch.tensor(data).dtype)[6:], data
    for lib in (fovea, torch):
        assert lib.tensor([lib.tensor(1.0, dtype=lib.float64), 2]).dtype is lib.float64


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
def test_numpys_functions_of_a_tensor() -> None:
    for call in (
        np.sqrt, np.exp, np.abs, np.floor, np.round, lambda t: np.add(t, np.ones(3, np.float32)),
        lambda t: np.power(t, 2), np.cumsum, np.transpose, lambda t: np.expand_dims(t, 0), np.sort,
    ):  # fmt: skip
        ours, theirs = call(fovea.tensor([1.0, 4.0, 9.0])), call(torch.tensor([1.0, 4.0, 9.0]))
        assert fovea.is_tensor(ours) == torch.is_tensor(theirs)
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-6)


@pytest.mark.parametrize("lib", [fovea, torch])
def test_memory_below_tensors(lib: Any) -> None:
    x = lib.zeros(2, 3)
    memory = x[1].untyped_storage()
    assert memory.nbytes() == memory.size() == len(memory) == 24
    assert memory.data_ptr() == x.untyped_storage().data_ptr() == x.data_ptr() != x[1].data_ptr()
    assert x.clone().untyped_storage().data_ptr() != x.data_ptr()
