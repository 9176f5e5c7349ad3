"""Layers that turn signals into pictures: spectra of windows that slide over them."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions import creation
from fovea.functions.joining import cat
from fovea.keras import config, initializers
from fovea.keras.layers.arguments import choice
from fovea.keras.layers.images import same_padding
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.spec import InputSpec
from fovea.keras.layers.windows import ConvWindows

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["MelSpectrogram", "STFTSpectrogram"]

_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


class STFTSpectrogram(Layer):
    """Spectra of windows that slide over signals, by a convolution whose kernels can be trained.

    ``real + i imag = sum_t x[s + t] w[t] exp(-2 pi i f t / fft_length)`` for window s, frequency f.

    Args:
        mode: ``"log"`` of the magnitude, ``"magnitude"``, ``"psd"`` (the power, both halves of the
            spectrum added up), ``"real"``, ``"imag"``, ``"angle"``, or ``"stft"`` (real and
            imaginary parts, one after the other).
        frame_length: samples of a window.
        frame_step: samples from one window to the next; half a window unless given.
        fft_length: samples of a transform; the next power of two unless given.
        window: the name of a window, its weights, or None.
        periodic: see `keras.initializers.STFT`.
        scaling: ``"density"``, ``"spectrum"`` or None: what the window is divided by.
        padding: ``"valid"`` or ``"same"``.
        expand_dims: give pictures, with the input's channels as channels.
        data_format: ``"channels_last"`` or ``"channels_first"``.

    Shapes:
        (N, T, C) gives (N, time, C * F), or (N, time, F, C) with ``expand_dims``, where F is
        ``fft_length // 2 + 1`` (twice that for ``"stft"``). Channels first, (N, C, T) gives
        (N, C * F, time), or (N, C, time, F).
        In the layer's dtype; integers become floats.

    Parameters:
        real_kernel, imag_kernel: (frame_length, 1, fft_length // 2 + 1).

    Raises:
        ArgumentError: an argument that does not fit.

    >>> import fovea
    >>> STFTSpectrogram(frame_length=256, fft_length=512)(fovea.ones(3, 16000, 1)).shape
    fovea.Size([3, 124, 257])
    """

    real_kernel: Tensor
    imag_kernel: Tensor

    def __init__(
        self,
        mode: str = "log",
        frame_length: int = 256,
        frame_step: int | None = None,
        fft_length: int | None = None,
        window: Any = "hann",
        periodic: bool = False,
        scaling: str | None = "density",
        padding: str = "valid",
        expand_dims: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        kind = type(self).__name__
        if frame_step is not None and not 1 <= frame_step <= frame_length:
            raise ArgumentError(
                f"{kind}: frame_step is from 1 to frame_length, {frame_length}, got {frame_step}."
            )
        if fft_length is not None and fft_length < frame_length:
            raise ArgumentError(
                f"{kind}: fft_length is at least frame_length, {frame_length}, got {fft_length}."
            )
        if fft_length is not None and fft_length & (fft_length - 1):
            warnings.warn(f"{kind}: fft_length {fft_length} is no power of two.", stacklevel=2)
        super().__init__(**kwargs)
        self.mode = choice(kind, "mode", mode, _MODES)
        initializers.STFT("real", window, scaling, periodic)  # checks these
        self.frame_length, self.frame_step = frame_length, frame_step
        self._step = frame_step or frame_length // 2
        self.fft_length = fft_length
        self._fft_length = fft_length or 2 ** math.ceil(math.log2(frame_length))
        self.window, self.periodic, self.scaling = window, periodic, scaling
        self.padding = choice(kind, "padding", padding, ("valid", "same"))
        self.expand_dims = expand_dims
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=3)
        self._windows = ConvWindows((frame_length,), (self._step,), padding, (1,))

    def build(self, input_shape: Any) -> None:
        shape = (self.frame_length, 1, self._fft_length // 2 + 1)
        for side, without in (("real", "imag"), ("imag", "real")):
            if self.mode != without:
                start = initializers.STFT(side, self.window, self.scaling, self.periodic)
                kernel = self.add_weight(name=f"{side}_kernel", shape=shape, initializer=start)
                setattr(self, f"{side}_kernel", kernel)
        self.built = True

    def _spectra(self, inputs: Tensor) -> list[Tensor]:
        """What was asked for of real and imaginary parts: (N, C, F, time), by one convolution."""
        x = inputs.transpose(1, 2) if self.data_format == "channels_last" else inputs
        n, channels, steps = x.shape
        kernels = [self.real_kernel] if self.mode != "imag" else []
        kernels += [self.imag_kernel] if self.mode != "real" else []
        kernel = kernels[0] if len(kernels) == 1 else cat(kernels, 2)
        kernel = kernel.to(x.dtype).permute(2, 1, 0)
        y = self._windows.convolve(x.reshape(n * channels, 1, steps), kernel, None)
        y = y.reshape(n, channels, kernel.shape[0], y.shape[-1])
        return list(y.split(self._fft_length // 2 + 1, 2))

    def _arranged(self, y: Tensor) -> Tensor:
        """(N, C, F, time) as the output's format has it."""
        first = self.data_format == "channels_first"
        if self.expand_dims:
            return y.transpose(2, 3) if first else y.permute(0, 3, 2, 1)
        y = y.reshape(y.shape[0], y.shape[1] * y.shape[2], y.shape[3])
        return y if first else y.transpose(1, 2)

    def call(self, inputs: Tensor) -> Tensor:
        parts = self._spectra(inputs)
        if self.mode in ("real", "imag"):
            return self._arranged(parts[0])
        if self.mode == "stft":
            return self._arranged(cat(parts, 2))
        real, imag = parts
        if self.mode == "angle":
            return self._arranged(imag.atan2(real))
        power = real * real + imag * imag
        if self.mode == "psd":
            twice = [1.0, *[2.0] * (power.shape[2] - 2), 1.0][: power.shape[2]]
            return self._arranged(power * power.new_tensor(twice).reshape(-1, 1))
        least = config.epsilon()
        magnitude = self._arranged(power.clamp(least).sqrt())
        return magnitude if self.mode == "magnitude" else magnitude.clamp(least).log()

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        first = self.data_format == "channels_first"
        n, steps, channels = (input_shape[i] for i in ((0, 2, 1) if first else (0, 1, 2)))
        bins = (self._fft_length // 2 + 1) * (2 if self.mode == "stft" else 1)
        if steps is not None:
            if self.padding == "same":
                steps += sum(same_padding((steps,), (self.frame_length,), (self._step,), (1,)))
            steps = (steps - self.frame_length) // self._step + 1
        if self.expand_dims:
            return (n, channels, steps, bins) if first else (n, steps, bins, channels)
        together = None if channels is None else channels * bins
        return (n, together, steps) if first else (n, steps, together)


class MelSpectrogram(Layer):
    """Spectrograms of signals on the mel scale, in decibels: pictures of sound.

    The power (or another exponent of the magnitude) of each window's spectrum is summed by
    triangular filters that are evenly spaced in ``mel(f) = 1127 ln(1 + f / 700)``.

    Args:
        fft_length: samples of a transform.
        sequence_stride: samples from one window to the next.
        sequence_length: samples of a window; ``fft_length`` unless given.
        window: ``"hann"``, ``"hamming"``, weights, or None.
        sampling_rate: samples a second.
        num_mel_bins: filters.
        min_freq, max_freq: the filters' range in hertz; to half the sampling rate unless given.
        power_to_db: give ``10 log10(S / ref_power)``.
        top_db: how far below the largest values are cut off.
        mag_exp: the magnitude's exponent: 1, or 2 for the power.
        min_power: the least that logarithms are taken of.
        ref_power: what counts as 0 decibels.

    Shapes:
        (T,) or (N, T) gives (num_mel_bins, time) or (N, num_mel_bins, time), with
        ``time = T // sequence_stride + 1``. Integers and half floats are computed in float32.

    Raises:
        ArgumentError: windows are longer than transforms, or of an unknown name.

    Source:
        Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word
        recognition", 1980; HTK's scale.

    >>> import fovea
    >>> layer = MelSpectrogram(num_mel_bins=64, sampling_rate=8000, sequence_stride=256)
    >>> layer(fovea.rand(2, 16000)).shape
    fovea.Size([2, 64, 63])
    """

    def __init__(
        self,
        fft_length: int = 2048,
        sequence_stride: int = 512,
        sequence_length: int | None = None,
        window: Any = "hann",
        sampling_rate: int = 16000,
        num_mel_bins: int = 128,
        min_freq: float = 20.0,
        max_freq: float | None = None,
        power_to_db: bool = True,
        top_db: float = 80.0,
        mag_exp: float = 2.0,
        min_power: float = 1e-10,
        ref_power: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fft_length, self.sequence_stride = fft_length, sequence_stride
        self.sequence_length = sequence_length or fft_length
        if fft_length < self.sequence_length:
            raise ArgumentError(
                f"MelSpectrogram: sequence_length is at most fft_length, {fft_length}, got "
                f"{self.sequence_length}."
            )
        if isinstance(window, str):
            choice("MelSpectrogram", "window", window, ("hann", "hamming"))
        self.window, self.sampling_rate, self.num_mel_bins = window, sampling_rate, num_mel_bins
        self.min_freq, self.max_freq = min_freq, max_freq or int(sampling_rate / 2)
        self.power_to_db, self.top_db, self.mag_exp = power_to_db, top_db, mag_exp
        self.min_power, self.ref_power = min_power, ref_power
        self.built = True

    def call(self, inputs: Any) -> Tensor:
        from fovea.keras.ops import stft

        wanted = config.as_dtype(self.compute_dtype)
        exact = wanted if self.compute_dtype == "float64" else config.as_dtype("float32")
        x = creation.as_tensor(inputs).to(exact)
        length, stride = self.sequence_length, self.sequence_stride
        real, imag = stft(x, length, stride, self.fft_length, self.window)
        power = real * real + imag * imag  # no root where its gradient would be infinite
        spectrum = power if self.mag_exp == 2 else power ** (self.mag_exp / 2)
        y = spectrum @ self._filters(spectrum.shape[-1]).to(exact)
        if self.power_to_db:
            y = self._decibels(y)
        return y.transpose(-1, -2).to(wanted)

    def _decibels(self, y: Tensor) -> Tensor:
        reference = 10 * math.log10(max(abs(self.ref_power), self.min_power))
        y = 10 * y.clamp(self.min_power).log10() - reference
        return y.maximum(y.amax() - self.top_db)

    def _filters(self, bins: int) -> Tensor:
        return self.linear_to_mel_weight_matrix(
            self.num_mel_bins, bins, self.sampling_rate, self.min_freq, self.max_freq
        )

    def linear_to_mel_weight_matrix(
        self,
        num_mel_bins: int = 20,
        num_spectrogram_bins: int = 129,
        sampling_rate: float = 8000,
        lower_edge_hertz: float = 125.0,
        upper_edge_hertz: float = 3800.0,
        dtype: Any = "float32",
    ) -> Tensor:
        """The filters: (num_spectrogram_bins, num_mel_bins), each a triangle of height 1.

        Args:
            num_mel_bins: filters.
            num_spectrogram_bins: frequencies of the spectrum, ``fft_length // 2 + 1``; the first
                counts for nothing.
            sampling_rate: samples a second.
            lower_edge_hertz, upper_edge_hertz: where the first filter begins and the last ends.
            dtype: of the result.
        """
        frequencies = np.linspace(0, sampling_rate / 2, num_spectrogram_bins)[1:, None]
        low, high = _mel(np.array(lower_edge_hertz)), _mel(np.array(upper_edge_hertz))
        edges = np.linspace(low, high, num_mel_bins + 2)
        lower, center, upper = edges[:-2], edges[1:-1], edges[2:]
        mels = _mel(frequencies)
        rising, falling = (mels - lower) / (center - lower), (upper - mels) / (upper - center)
        weights = np.maximum(0, np.minimum(rising, falling))
        return creation.tensor(np.pad(weights, ((1, 0), (0, 0))), dtype=config.as_dtype(dtype))

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        *lead, steps = input_shape
        times = None if steps is None else steps // self.sequence_stride + 1
        return (*lead, self.num_mel_bins, times)


def _mel(hertz: Any) -> Any:
    return 1127.0 * np.log(1 + hertz / 700.0)
