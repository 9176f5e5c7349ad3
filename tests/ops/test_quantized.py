"""Layers of bytes: exact against integers, and like PyTorch's quantized ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, DTypeError, ShapeError
from fovea.functions import quantized as Q

torch = pytest.importorskip("torch")


def data(*shape: int, seed: int = 0, signed: bool = False) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    return (
        rng.integers(-128, 128, shape, np.int8) if signed else rng.integers(0, 256, shape, np.uint8)
    )


# channels, outputs, size, kernel, stride, padding (top, bottom, left, right), dilation, groups
CASES = [
    (4, 1, (5, 5), (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1),
    (8, 20, (9, 7), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
    (16, 70, (8, 11), (3, 3), (2, 2), (1, 0, 2, 1), (1, 1), 1),
    (64, 33, (6, 6), (3, 3), (1, 1), (2, 2, 2, 2), (2, 2), 1),
    (3, 9, (10, 10), (7, 7), (2, 2), (3, 3, 3, 3), (1, 1), 1),
    (3, 9, (4, 4), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
    (24, 12, (5, 6), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 3),
    (10, 10, (5, 6), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 10),
    (130, 5, (3, 3), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
    (512, 64, (4, 4), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("zero", [0, 128, 255])
@pytest.mark.parametrize("checked", ["", "1"])
def test_convolution(case: Any, zero: int, checked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_CHECK", checked)
    channels, outputs, size, kernel, stride, padding, dilation, groups = case
    x, w = data(2, channels, *size), data(outputs, channels // groups, *kernel, seed=1, signed=True)
    rng = np.random.default_rng(2)
    scale, bias = (rng.uniform(0.001, 0.1, outputs).astype("f4") for _ in range(2))
    top, bottom, left, right = padding
    real = torch.nn.functional.pad(torch.tensor(x.astype("f8") - zero), (left, right, top, bottom))
    sums = torch.nn.functional.conv2d(
        real, torch.tensor(w.astype("f8")), None, stride, 0, dilation, groups
    ).numpy()
    expected = sums * scale.reshape(1, -1, 1, 1).astype("f8") + bias.reshape(1, -1, 1, 1)
    for given in (fovea.tensor(x), fovea.tensor(x).contiguous(memory_format=fovea.channels_last)):
        y = Q.qlinear_conv2d(
            given,
            fovea.tensor(w),
            fovea.tensor(scale),
            fovea.tensor(bias),
            zero,
            stride,
            padding,
            dilation,
            groups,
        )
        # sums are exact; with a zero point they come as the difference of two float32
        most = np.abs(sums).max() + zero * np.abs(w.astype("f8")).sum((1, 2, 3)).max()
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6, atol=2e-7 * most * scale.max())


@pytest.mark.parametrize("unit", ["generic", "avx2", "avx512"])
def test_every_vector_unit(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = data(3, 8, 6, 5), data(20, 8, 3, 3, seed=1, signed=True)
    one = (fovea.ones(20), fovea.zeros(20))
    expected = Q.qlinear_conv2d(fovea.tensor(x), fovea.tensor(w), *one)
    monkeypatch.setenv("FOVEA_CPU_ISA", unit)
    x2 = fovea.tensor(x[:2])  # another shape: planned anew
    np.testing.assert_array_equal(
        Q.qlinear_conv2d(x2, fovea.tensor(w), *one).numpy(), expected[:2].numpy()
    )


@pytest.mark.parametrize("shape", [(5, 8), (2, 3, 70), (1, 4), (0, 4), (40, 1024)], ids=str)
def test_dense(shape: tuple[int, ...]) -> None:
    x, w = data(*shape), data(18, shape[-1], seed=1, signed=True)
    scale, bias = fovea.rand(18) * 0.01, fovea.randn(18)
    y = Q.qlinear(fovea.tensor(x), fovea.tensor(w), scale, bias, 7)
    expected = (x.astype("f8") - 7) @ w.T.astype("f8") * scale.numpy() + bias.numpy()
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5, atol=1e-3)


def test_quantizing_follows_pytorch() -> None:
    x = np.concatenate([np.linspace(-3, 3, 101) + 0.013, [1e9, -1e9]]).astype("f4")
    for zero, dtype, theirs in ((11, fovea.uint8, torch.quint8), (-3, fovea.int8, torch.qint8)):
        q = Q.quantize_linear(fovea.tensor(x), 0.5, zero, dtype)
        expected = torch.quantize_per_tensor(torch.tensor(x), 0.5, zero, theirs)
        np.testing.assert_array_equal(q.numpy(), expected.int_repr().numpy())
        np.testing.assert_array_equal(
            Q.dequantize_linear(q, 0.5, zero).numpy(), expected.dequantize().numpy()
        )
    ties = Q.quantize_linear(fovea.tensor([0.25, 0.75, -0.25]), 0.5, 11)
    assert ties.tolist() == [
        11,
        13,
        11,
    ]  # ONNX rounds before it adds; PyTorch adds before it rounds
    w = np.random.default_rng(0).normal(size=(3, 4, 2, 2)).astype("f4")
    scales = fovea.tensor([0.1, 0.01, 1.0])
    q = Q.quantize_linear(fovea.tensor(w), scales, 0, fovea.int8, axis=0)
    expected = torch.quantize_per_channel(
        torch.tensor(w), torch.tensor(scales.numpy()), torch.zeros(3), 0, torch.qint8
    )
    np.testing.assert_array_equal(q.numpy(), expected.int_repr().numpy())


def test_a_quantized_layer_in_a_program() -> None:
    x, w = fovea.tensor(data(2, 8, 6, 6)), fovea.tensor(data(16, 8, 3, 3, seed=1, signed=True))
    scale, bias = fovea.rand(16) * 0.01, fovea.randn(16)

    def layer(x: Any) -> Any:
        y = Q.qlinear_conv2d(x, w, scale, bias, 128, padding=(1, 1, 1, 1)).relu()
        return Q.quantize_linear(y, 0.05, 3)

    run = fovea.compile(layer, strict=True)
    for _ in range(3):
        np.testing.assert_array_equal(run(x).numpy(), layer(x).numpy())


def test_same_bits_for_any_number_of_threads() -> None:
    x, w = fovea.tensor(data(8, 32, 14, 14)), fovea.tensor(data(64, 32, 3, 3, seed=1, signed=True))
    before, results = fovea.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            fovea.set_num_threads(threads)
            results.append(Q.qlinear_conv2d(x, w, fovea.ones(64), zero_point=5).numpy())
    finally:
        fovea.set_num_threads(before)
    assert all(np.array_equal(r, results[0]) for r in results)


def test_refusals() -> None:
    x, w = fovea.tensor(data(1, 4, 3, 3)), fovea.tensor(data(2, 4, 1, 1, signed=True))
    with pytest.raises(DTypeError, match="uint8"):
        Q.qlinear_conv2d(x.float(), w, fovea.ones(2))
    with pytest.raises(ArgumentError, match="zero_point"):
        Q.qlinear_conv2d(x, w, fovea.ones(2), zero_point=300)
    with pytest.raises(ShapeError, match="output channel"):
        Q.qlinear_conv2d(x, w, fovea.ones(3))
    with pytest.raises(DTypeError, match="dtype"):
        Q.quantize_linear(fovea.ones(2), 0.1, 0, fovea.int32)
