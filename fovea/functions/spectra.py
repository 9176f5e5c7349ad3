"""Fourier transforms and short-time spectra, as ``torch.fft``, ``stft`` and ``istft`` have them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.functions.complex_numbers import view_as_real
from fovea.functions.creation import ones
from fovea.functions.pointwise import finish, to_dtype
from fovea.ops import complex_numbers as ops
from fovea.ops.rules import normalize_dim

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "fft",
    "fft2",
    "fftn",
    "hfft",
    "hfft2",
    "hfftn",
    "ifft",
    "ifft2",
    "ifftn",
    "ihfft",
    "ihfft2",
    "ihfftn",
    "irfft",
    "irfft2",
    "irfftn",
    "istft",
    "rfft",
    "rfft2",
    "rfftn",
    "stft",
]

Dims = int | Sequence[int] | None


def _scale(name: str, norm: str | None, count: int, inverse: bool) -> float:
    """What a transform over ``count`` elements is multiplied with."""
    if norm not in (None, "backward", "ortho", "forward"):
        raise ArgumentError(
            f"{name}: norm is 'forward', 'backward' or 'ortho', got {norm!r}.",
        )
    if norm == "ortho":
        return 1 / math.sqrt(count)
    divided = (norm == "forward") is not inverse
    return 1 / count if divided else 1.0


def _dims(name: str, x: Tensor, s: Any, dim: Dims) -> tuple[int, ...]:
    """The dimensions to transform, from the front, in the order given."""
    if dim is None:
        first = x.ndim - len(s) if s is not None else 0
        chosen = tuple(range(first, x.ndim))
    else:
        chosen = (dim,) if isinstance(dim, int) else tuple(dim)
    found = tuple(normalize_dim(name, d, x.ndim) for d in chosen)
    if len(set(found)) != len(found):
        raise ArgumentError(f"{name}: dimensions {tuple(chosen)} name one twice.")
    if s is not None and len(s) != len(found):
        raise ArgumentError(f"{name}: {len(s)} sizes for {len(found)} dimensions.")
    return found


def _resized(name: str, x: Tensor, dim: int, size: int) -> Tensor:
    """``x`` cut, or padded with zeros at the end, to ``size`` along ``dim``."""
    if size < 1:
        raise ShapeError(f"{name}: a transform needs at least 1 element, got {size}.")
    have = x.shape[dim]
    if size < have:
        return x.narrow(dim, 0, size)
    if size > have:
        from fovea.functions.joining import cat

        rest = [size - have if d == dim else n for d, n in enumerate(x.shape)]
        return cat((x, x.new_zeros(rest)), dim)
    return x


def _ready(name: str, x: Tensor, real: bool) -> Tensor:
    """Real (for transforms of real signals) or complex numbers."""
    if x.dtype.is_complex:
        if real:
            raise DTypeError(f"{name}: a real tensor is needed, got {describe(x)}.")
        return x
    if x.dtype in (dtypes.float16, dtypes.bfloat16):
        raise DTypeError(f"{name}: {x.dtype.name} has no transforms.", fix="x.float()")
    if not x.dtype.is_floating_point:
        x = to_dtype(x, dtypes.get_default_dtype())
    return x if real else to_dtype(x, x.dtype.to_complex())


def _complex_transform(
    name: str, x: Tensor, s: Any, dim: Dims, norm: str | None, inverse: bool
) -> Tensor:
    dims = _dims(name, x, s, dim)
    x = _ready(name, x, False)
    count = 1
    for d, n in zip(dims, s or [-1] * len(dims), strict=True):
        x = _resized(name, x, d, x.shape[d] if n in (-1, None) else n)
        count *= x.shape[d]
    attrs = ops.TransformAttrs.of(dims, inverse, _scale(name, norm, count, inverse))
    result: Tensor = ops.fft_c2c.bind((x,), attrs)
    return result


def _from_real(
    name: str, x: Tensor, s: Any, dim: Dims, norm: str | None, inverse: bool = False
) -> Tensor:
    """The half spectrum of a real signal: real along the last of ``dims``, then complex."""
    dims = _dims(name, x, s, dim)
    if not dims:
        raise ArgumentError(f"{name}: at least one dimension is needed.")
    x = _ready(name, x, True)
    count = 1
    for d, n in zip(dims, s or [-1] * len(dims), strict=True):
        x = _resized(name, x, d, x.shape[d] if n in (-1, None) else n)
        count *= x.shape[d]
    scale = _scale(name, norm, count, inverse)
    attrs = ops.TransformAttrs.of(dims[-1:], inverse, scale, x.shape[dims[-1]])
    result: Tensor = ops.fft_r2c.bind((x,), attrs)
    if len(dims) > 1:
        result = ops.fft_c2c.bind((result,), ops.TransformAttrs.of(dims[:-1], inverse, 1.0))
    return result


def _to_real(
    name: str, x: Tensor, s: Any, dim: Dims, norm: str | None, inverse: bool = True
) -> Tensor:
    """The real signal of a half spectrum."""
    dims = _dims(name, x, s, dim)
    if not dims:
        raise ArgumentError(f"{name}: at least one dimension is needed.")
    x = _ready(name, x, False)
    sizes = list(s) if s is not None else [-1] * len(dims)
    last = sizes[-1] if sizes[-1] not in (-1, None) else 2 * (x.shape[dims[-1]] - 1)
    if last < 1:
        raise ShapeError(f"{name}: a transform needs at least 1 element, got {last}.")
    count = last
    for d, n in zip(dims[:-1], sizes[:-1], strict=True):
        x = _resized(name, x, d, x.shape[d] if n in (-1, None) else n)
        count *= x.shape[d]
    x = _resized(name, x, dims[-1], last // 2 + 1)
    if len(dims) > 1:
        x = ops.fft_c2c.bind((x,), ops.TransformAttrs.of(dims[:-1], inverse, 1.0))
    scale = _scale(name, norm, count, inverse)
    result: Tensor = ops.fft_c2r.bind((x,), ops.TransformAttrs.of(dims[-1:], inverse, scale, last))
    return result


def fft(
    input: Tensor,
    n: int | None = None,
    dim: int = -1,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The discrete Fourier transform along ``dim``.

    Args:
        input: real or complex.
        n: the length to cut or pad to first.
        norm: where the division by n is: ``"backward"`` (the default: in the inverse),
            ``"forward"``, or ``"ortho"`` (by its root in both).

    >>> import fovea
    >>> fovea.fft.fft(fovea.tensor([1.0, 0.0, 0.0, 0.0]))
    tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """
    s = None if n is None else (n,)
    return finish(_complex_transform("fft", input, s, (dim,), norm, False), out)


def ifft(
    input: Tensor,
    n: int | None = None,
    dim: int = -1,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The inverse of ``fft``."""
    s = None if n is None else (n,)
    return finish(_complex_transform("ifft", input, s, (dim,), norm, True), out)


def rfft(
    input: Tensor,
    n: int | None = None,
    dim: int = -1,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The first half of ``fft`` of a real signal: the rest are its conjugates.

    >>> import fovea
    >>> fovea.fft.rfft(fovea.ones(4))
    tensor([4.+0.j, 0.+0.j, 0.+0.j])
    """
    return finish(_from_real("rfft", input, None if n is None else (n,), (dim,), norm), out)


def irfft(
    input: Tensor,
    n: int | None = None,
    dim: int = -1,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The inverse of ``rfft``; ``n`` is the length of the signal (default: an even one)."""
    return finish(_to_real("irfft", input, None if n is None else (n,), (dim,), norm), out)


def hfft(
    input: Tensor,
    n: int | None = None,
    dim: int = -1,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The (real) transform of a signal given by its half, the rest being conjugates."""
    return finish(_to_real("hfft", input, None if n is None else (n,), (dim,), norm, False), out)


def ihfft(
    input: Tensor,
    n: int | None = None,
    dim: int = -1,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The inverse of ``hfft``."""
    return finish(_from_real("ihfft", input, None if n is None else (n,), (dim,), norm, True), out)


def fftn(
    input: Tensor, s: Any = None, dim: Dims = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """``fft`` over several dimensions (default: all, or the last ``len(s)``)."""
    return finish(_complex_transform("fftn", input, s, dim, norm, False), out)


def ifftn(
    input: Tensor, s: Any = None, dim: Dims = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse of ``fftn``."""
    return finish(_complex_transform("ifftn", input, s, dim, norm, True), out)


def rfftn(
    input: Tensor, s: Any = None, dim: Dims = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """``fftn`` of a real signal, half of the last dimension."""
    return finish(_from_real("rfftn", input, s, dim, norm), out)


def irfftn(
    input: Tensor, s: Any = None, dim: Dims = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse of ``rfftn``."""
    return finish(_to_real("irfftn", input, s, dim, norm), out)


def hfftn(
    input: Tensor, s: Any = None, dim: Dims = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """``hfft`` over several dimensions, the half being of the last."""
    return finish(_to_real("hfftn", input, s, dim, norm, False), out)


def ihfftn(
    input: Tensor, s: Any = None, dim: Dims = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse of ``hfftn``."""
    return finish(_from_real("ihfftn", input, s, dim, norm, True), out)


def _of_images(transform: Any, name: str) -> Any:
    def call(
        input: Tensor,
        s: Any = None,
        dim: Dims = (-2, -1),
        norm: str | None = None,
        *,
        out: Tensor | None = None,
    ) -> Tensor:
        result: Tensor = transform(input, s, dim, norm, out=out)
        return result

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``{transform.__name__}`` over the last two dimensions."
    return call


fft2, ifft2 = _of_images(fftn, "fft2"), _of_images(ifftn, "ifft2")
rfft2, irfft2 = _of_images(rfftn, "rfft2"), _of_images(irfftn, "irfft2")
hfft2, ihfft2 = _of_images(hfftn, "hfft2"), _of_images(ihfftn, "ihfft2")


def _window(name: str, window: Tensor | None, length: int, n_fft: int, like: Tensor) -> Tensor:
    """The window in the middle of ``n_fft`` numbers."""
    if not 0 < length <= n_fft:
        raise ArgumentError(f"{name}: win_length must lie between 1 and n_fft, got {length}.")
    if window is None:
        window = ones(length, dtype=like.dtype.to_real())
    if tuple(window.shape) != (length,):
        raise ShapeError(f"{name}: the window must have shape ({length},), got {describe(window)}.")
    from fovea.nn.functional import pad

    left = (n_fft - length) // 2
    return pad(window, (left, n_fft - length - left))


def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """Spectra of windows that slide over a signal.

    Args:
        input: (T,) or (N, T).
        n_fft: samples of a window; ``hop_length`` (a quarter of it) samples apart.
        window: (win_length,) weights, padded to n_fft; default ones.
        center: pad the signal so that window t is centered at t * hop_length.
        onesided: only the first half of the frequencies (default: for real signals).
        return_complex: False gives parts in a last dimension of 2; it must be given for a real
            signal, as in PyTorch.

    Returns:
        (N, frequencies, windows), complex.
    """
    if return_complex is None and not input.dtype.is_complex:
        raise ArgumentError("stft: return_complex is needed.", fix="pass return_complex=True")
    hop = n_fft // 4 if hop_length is None else hop_length
    if hop < 1:
        raise ArgumentError(f"stft: hop_length must be at least 1, got {hop}.")
    weights = _window("stft", window, n_fft if win_length is None else win_length, n_fft, input)
    batched = input.ndim == 2
    if input.ndim not in (1, 2):
        raise ShapeError(f"stft: the signal must be (T,) or (N, T), got {describe(input)}.")
    x = input if batched else input.unsqueeze(0)
    if center:
        from fovea.nn.functional import pad

        x = pad(x.unsqueeze(1), (n_fft // 2, n_fft // 2), mode=pad_mode).squeeze(1)
    if not 0 < n_fft <= x.shape[-1]:
        raise ShapeError(f"stft: n_fft must lie between 1 and {x.shape[-1]}, got {n_fft}.")
    frames = x.unfold(-1, n_fft, hop) * weights
    whole = input.dtype.is_complex if onesided is None else not onesided
    norm = "ortho" if normalized else None
    spectra = fft(frames, norm=norm) if whole else rfft(frames, norm=norm)
    spectra = spectra.transpose(1, 2)
    spectra = spectra if batched else spectra.squeeze(0)
    return view_as_real(spectra) if return_complex is False else spectra


def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The signal whose ``stft`` is nearest: windows added where they lie, over the windows' squares
    (Griffin and Lim, 1984).

    Raises:
        ArgumentError: the windows leave a sample at weight zero.
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    weights = _window("istft", window, n_fft if win_length is None else win_length, n_fft, input)
    batched = input.ndim == 3
    spectra = (input if batched else input.unsqueeze(0)).transpose(1, 2)
    half = spectra.shape[-1] != n_fft if onesided is None else onesided
    norm = "ortho" if normalized else None
    if half and return_complex:
        raise ArgumentError("istft: half of the frequencies give a real signal.")
    # A real signal needs only the first half, even where all is given.
    frames = ifft(spectra, norm=norm) if return_complex else irfft(spectra, n_fft, norm=norm)
    count = frames.shape[1]
    total = _overlapped(frames * weights, hop)
    weight = _overlapped((weights * weights).expand(1, count, n_fft), hop)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total.shape[-1] - start
    total, weight = total[:, start:end], weight[:, start:end]
    if bool((weight.abs() < 1e-11).any()):
        raise ArgumentError("istft: the windows leave a sample at weight zero.")
    signal = total / weight
    if length is not None and signal.shape[-1] < length:
        signal = _resized("istft", signal, 1, length)
    return signal if batched else signal.squeeze(0)


def _overlapped(frames: Tensor, hop: int) -> Tensor:
    """(N, windows, n_fft) added up where the windows lie: (N, T)."""
    n, count, size = frames.shape
    places = [t * hop + k for t in range(count) for k in range(size)]
    from fovea.functions.creation import tensor

    total = frames.new_zeros((n, (count - 1) * hop + size))
    return total.index_add(1, tensor(places, dtype=dtypes.int64), frames.reshape(n, -1))
