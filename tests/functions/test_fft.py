"""Fourier transforms and their gradients, against PyTorch (which its own table tests, too)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import fovea
from fovea.errors import ArgumentError, DTypeError, ShapeError


@pytest.mark.parametrize("shape", [(5,), (4,), (3, 4), (2, 5, 6), (1, 0)])
def test_shifts(shape: tuple[int, ...]) -> None:
    theirs = torch.arange(torch.Size(shape).numel()).reshape(shape)
    ours = fovea.from_dlpack(theirs)
    for dim in (None, 0, -1, (0, len(shape) - 1) if len(shape) > 1 else (0,)):
        assert fovea.fft.fftshift(ours, dim).tolist() == torch.fft.fftshift(theirs, dim).tolist()
        assert fovea.fft.ifftshift(ours, dim).tolist() == torch.fft.ifftshift(theirs, dim).tolist()


@pytest.mark.parametrize("n", [1, 4, 7])
def test_frequencies(n: int) -> None:
    for name in ("fftfreq", "rfftfreq"):
        ours, theirs = getattr(fovea.fft, name)(n, 0.5), getattr(torch.fft, name)(n, 0.5)
        assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-6)
        assert getattr(fovea.fft, name)(n, dtype=fovea.float64).dtype is fovea.float64


@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
@pytest.mark.parametrize("name", ["rfft", "irfft", "hfft", "ihfft", "fft", "ifft"])
@pytest.mark.parametrize("n", [None, 3, 8, 9])
def test_sizes_and_norms(name: str, norm: str | None, n: int | None) -> None:
    x = np.random.default_rng(0).normal(size=(3, 7))
    ours = getattr(fovea.fft, name)(fovea.from_numpy(x), n, 1, norm)
    theirs = getattr(torch.fft, name)(torch.from_numpy(x), n, 1, norm)
    assert str(ours.dtype)[6:] == str(theirs.dtype)[6:]
    np.testing.assert_allclose(ours.numpy(), theirs.resolve_conj().numpy(), atol=1e-12)


@pytest.mark.parametrize("last", [6, 7])
def test_gradients_by_finite_differences(last: int) -> None:
    x = fovea.from_numpy(np.random.default_rng(1).normal(size=(3, last))).requires_grad_()
    mask = fovea.from_numpy(np.random.default_rng(2).normal(size=(3, last // 2 + 1)))

    def filtered(t: Any) -> Any:
        return fovea.fft.irfft2(fovea.fft.rfft2(t, norm="ortho") * mask, (3, last))

    def energy(t: Any) -> Any:
        z = fovea.fft.fft2(t)
        return (z.abs() ** 1.5).sum() + (z.real * z.imag).mean() + z.angle().sin().sum()

    assert fovea.autograd.gradcheck(filtered, (x,))
    assert fovea.autograd.gradcheck(energy, (x,))


def test_what_is_refused() -> None:
    with pytest.raises(DTypeError):
        fovea.fft.rfft(fovea.ones(4, dtype=fovea.complex64))
    with pytest.raises(DTypeError):
        fovea.fft.fft(fovea.ones(4, dtype=fovea.float16))
    with pytest.raises(ShapeError):
        fovea.fft.fft(fovea.ones(4), 0)
    with pytest.raises(ArgumentError):
        fovea.fft.fft2(fovea.ones(4, 4), norm="other")
    with pytest.raises(ArgumentError):
        fovea.fft.fftn(fovea.ones(4, 4), dim=(0, 0))
    with pytest.raises(AttributeError):
        _ = fovea.fft.other


@pytest.mark.parametrize("hop", [4, 5])
def test_short_time_spectra_and_back(hop: int) -> None:
    x = np.random.default_rng(3).normal(size=(2, 60)).astype(np.float32)
    window = np.hanning(16).astype(np.float32)
    args: dict[str, Any] = {"hop_length": hop, "return_complex": True}
    ours = fovea.stft(fovea.from_numpy(x), 16, window=fovea.from_numpy(window), **args)
    theirs = torch.stft(torch.from_numpy(x), 16, window=torch.from_numpy(window), **args)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)
    back = fovea.istft(ours, 16, hop, window=fovea.from_numpy(window), length=56)
    np.testing.assert_allclose(back.numpy(), x[:, :56], atol=1e-5)
