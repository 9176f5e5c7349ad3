"""Complex numbers beyond what PyTorch's tables of cases ask: Python, types, programs, files."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import fovea
from fovea.errors import DTypeError

Z = [1 + 2j, -0.5 - 1j, 3j, 0j]


def test_python_numbers() -> None:
    z = fovea.tensor(Z)
    assert z.dtype is fovea.complex64 and z.is_complex() and not z.is_floating_point()
    assert z.tolist() == Z and complex(z[0]) == 1 + 2j
    assert (fovea.ones(2) * 1j).tolist() == [1j, 1j]
    assert (1j / z[:1]).dtype is fovea.complex64
    assert fovea.tensor(Z, dtype=complex).dtype is fovea.complex64
    assert fovea.tensor(np.array(Z)).dtype is fovea.complex128


@pytest.mark.parametrize("printed", [Z, [0.5 + 1j], [1e-9 + 1j], [[1j, float("nan")]], 2j])
def test_printing_is_pytorch_s(printed: object) -> None:
    assert repr(fovea.tensor(printed)) == repr(torch.tensor(printed))


@pytest.mark.parametrize("other", ["bool", "int64", "float16", "float32", "float64", "complex128"])
def test_types_meet_as_in_pytorch(other: str) -> None:
    a, b = fovea.complex64, getattr(fovea, other)
    theirs = torch.promote_types(torch.complex64, getattr(torch, other))
    assert fovea.promote_types(a, b).name == str(theirs)[6:]
    assert fovea.can_cast(a, b) == torch.can_cast(torch.complex64, getattr(torch, other))
    # Half a vector meets complex scalars as complex32 in PyTorch, which fovea does not have.
    for shapes in (((2,), ()), ((2,), (2,)), *([((), (2,))] if other != "float16" else [])):
        mine = fovea.ones(shapes[0], dtype=a) + fovea.ones(shapes[1], dtype=b)
        expected = torch.ones(shapes[0], dtype=torch.complex64) + torch.ones(
            shapes[1], dtype=getattr(torch, other)
        )
        assert mine.dtype.name == str(expected.dtype)[6:]


def test_imaginary_parts_are_not_lost_in_silence() -> None:
    z = fovea.tensor(Z)
    with pytest.warns(UserWarning, match="imaginary parts are dropped"):
        assert z.float().tolist() == [1.0, -0.5, 0.0, 0.0]
    with pytest.raises(DTypeError):
        fovea.ones(4).add_(z)
    with pytest.raises(DTypeError):
        _ = fovea.ones(2).imag
    with pytest.raises(DTypeError):
        _ = z < z
    with pytest.raises(DTypeError):
        z.sort()
    with pytest.raises(DTypeError):
        fovea.nn.functional.relu(z)


def test_changes_in_place() -> None:
    z = fovea.zeros(3, dtype=fovea.complex64)
    z[1] = 2 - 1j
    z += 1
    z[:1].mul_(1j)
    assert z.tolist() == [1j, 3 - 1j, 1 + 0j]


def test_gradients_of_mixed_functions() -> None:
    x = np.random.default_rng(0).normal(size=(4, 4))
    mine, other = fovea.from_numpy(x.copy()).requires_grad_(), torch.from_numpy(x).requires_grad_()

    def loss(lib: object, t: object) -> object:
        z = lib.polar(t.abs() + 0.1, t * 2)  # type: ignore[attr-defined]
        w = (z @ z.mH + z * (1 - 2j)).exp() / (z.conj() + 3)
        return (w.abs() + w.angle() + w.real * w.imag).sum() + lib.view_as_real(z).prod()  # type: ignore[attr-defined]

    ours, theirs = loss(fovea, mine), loss(torch, other)
    assert float(ours) == pytest.approx(float(theirs))  # type: ignore[arg-type]
    ours.backward()  # type: ignore[attr-defined]
    theirs.backward()  # type: ignore[attr-defined]
    np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), 1e-9)  # type: ignore[union-attr]


def test_second_derivatives() -> None:
    x = fovea.from_numpy(np.random.default_rng(1).normal(size=(5,))).requires_grad_()
    assert fovea.autograd.gradgradcheck(lambda t: fovea.fft.rfft(t * t).abs(), (x,))


def test_captured_like_eager() -> None:
    """A program computes what is complex in NumPy, between its own kernels."""

    def sharpened(image: fovea.Tensor) -> fovea.Tensor:
        spectrum = fovea.fft.rfft2(image * 2 + 1)
        gain = (spectrum.abs() + 1).log()
        return fovea.fft.irfft2(spectrum * gain, image.shape[-2:]).relu() + spectrum.angle().sum()

    program = fovea.compile(sharpened, strict=True)
    rng = np.random.default_rng(2)
    for _ in range(3):
        image = fovea.from_numpy(rng.normal(size=(2, 6, 5)).astype(np.float32))
        np.testing.assert_allclose(program(image).numpy(), sharpened(image).numpy(), 1e-4, 1e-4)


def test_training_steps_through_a_spectrum() -> None:
    image = fovea.from_numpy(np.random.default_rng(3).normal(size=(4, 8, 8)).astype(np.float32))
    losses = []
    for compiled in (False, True):
        fovea.manual_seed(0)
        layer = fovea.nn.Linear(8, 8)
        optimizer = fovea.optim.SGD(layer.parameters(), 0.01)

        def step(layer=layer, optimizer=optimizer):  # type: ignore[no-untyped-def]
            optimizer.zero_grad()
            gap = fovea.fft.fft2(layer(image)) - fovea.fft.fft2(image)
            loss = (gap.real.square() + gap.imag.square()).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = fovea.compile(step) if compiled else step
        losses.append([float(run()) for _ in range(4)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0][-1] < losses[0][0]


def test_files_and_copies(tmp_path: Path) -> None:
    z = fovea.tensor(Z)
    fovea.save({"z": z, "w": z.to(fovea.complex128)}, tmp_path / "z.pt")
    theirs = torch.load(tmp_path / "z.pt", weights_only=True)
    assert theirs["z"].tolist() == Z and theirs["w"].dtype == torch.complex128
    torch.save({"z": theirs["z"]}, tmp_path / "t.pt")
    assert fovea.load(tmp_path / "t.pt")["z"].tolist() == Z
    fovea.save({"z": z}, tmp_path / "z.safetensors")
    assert fovea.load(tmp_path / "z.safetensors")["z"].tolist() == Z
    assert copy.deepcopy(z).tolist() == Z and pickle.loads(pickle.dumps(z)).tolist() == Z
    assert torch.from_dlpack(z).tolist() == Z and fovea.from_dlpack(torch.tensor(Z)).tolist() == Z


def test_random_numbers() -> None:
    fovea.manual_seed(0)
    z = fovea.randn(20000, dtype=fovea.complex64)
    assert abs(float(z.abs().square().mean()) - 1) < 0.05 and abs(complex(z.mean())) < 0.05
    u = fovea.rand(1000, dtype=fovea.complex128)
    assert bool((u.real >= 0).all()) and bool((u.imag < 1).all())
