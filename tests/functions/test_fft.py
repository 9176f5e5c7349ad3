"""What of Fourier transforms needs no complex numbers, and the error for the rest."""

from __future__ import annotations

import pytest
import torch

import fovea


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


def test_transforms_say_what_is_missing() -> None:
    with pytest.raises(AttributeError, match=r"no complex numbers; use np\.fft\.rfft2"):
        fovea.fft.rfft2(fovea.ones(2, 2))
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = fovea.fft.other
