"""What weights start as. Names and defaults are Keras's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions import creation, ranges
from fovea.functions import random as draw
from fovea.keras import config
from fovea.keras.objects import lookup, serialize_keras_object
from fovea.keras.window_shapes import get_window, require_window
from fovea.random import Generator

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "STFT",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "STFTInitializer",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "compute_fans",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "stft",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

Shape = Sequence[int]


class Initializer:
    """Base of initializers: ``initializer(shape, dtype) -> Tensor``."""

    keras_module = "keras.initializers"

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        """Values for a weight of this shape."""
        raise TypeError(f"{type(self).__name__} must define __call__.")

    def get_config(self) -> dict[str, Any]:
        """The arguments to make another one with."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """One with these arguments."""
        return cls(**config)

    def clone(self) -> Initializer:
        """Another one like it."""
        return type(self).from_config(self.get_config())


class Zeros(Initializer):
    """All zero.

    >>> Zeros()((2,))
    tensor([0., 0.])
    """

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        return creation.zeros(tuple(shape), dtype=config.as_dtype(dtype))


class Ones(Initializer):
    """All one."""

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        return creation.ones(tuple(shape), dtype=config.as_dtype(dtype))


class Constant(Initializer):
    """All ``value``."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        values = np.broadcast_to(np.asarray(self.value), tuple(shape))
        return creation.tensor(values, dtype=config.as_dtype(dtype))

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


class Identity(Initializer):
    """The identity matrix times ``gain``."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        if len(shape) != 2:
            raise ArgumentError(f"the identity initializer makes matrices, not {tuple(shape)}.")
        return ranges.eye(*shape, dtype=config.as_dtype(dtype)) * self.gain

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}


class _Seeded(Initializer):
    """With random numbers: the same ones at each call."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self._start = draw_seed() if seed is None else int(getattr(seed, "initial_seed", seed))

    def _generator(self) -> Generator:
        return Generator().manual_seed(self._start)

    def _uniform(self, shape: Shape, low: float, high: float, dtype: Any) -> Tensor:
        wanted = config.as_dtype(dtype)
        return (
            draw.rand(tuple(shape), generator=self._generator(), dtype=wanted) * (high - low) + low
        )

    def _normal(self, shape: Shape, mean: float, stddev: float, dtype: Any) -> Tensor:
        wanted = config.as_dtype(dtype)
        return draw.randn(tuple(shape), generator=self._generator(), dtype=wanted) * stddev + mean

    def _truncated(self, shape: Shape, mean: float, stddev: float, dtype: Any) -> Tensor:
        """Normal numbers; those beyond two deviations are drawn again."""
        generator = self._generator()
        values = draw.randn(tuple(shape), generator=generator).numpy()
        while (beyond := np.abs(values) > 2).any():
            values[beyond] = draw.randn(int(beyond.sum()), generator=generator).numpy()
        return creation.tensor(values, dtype=config.as_dtype(dtype)) * stddev + mean


def draw_seed() -> int:
    """A new seed, drawn from the default generator: it follows from ``manual_seed``."""
    return int(draw.randint(1, int(1e9), ()).item())


class RandomNormal(_Seeded):
    """Normal numbers."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean, self.stddev = mean, stddev

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        return self._normal(shape, self.mean, self.stddev, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev, "seed": self.seed}


class TruncatedNormal(RandomNormal):
    """Normal numbers within two deviations of the mean."""

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        return self._truncated(shape, self.mean, self.stddev, dtype)


class RandomUniform(_Seeded):
    """Numbers evenly spread between ``minval`` and ``maxval``."""

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        self.minval, self.maxval = minval, maxval

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        return self._uniform(shape, self.minval, self.maxval, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"minval": self.minval, "maxval": self.maxval, "seed": self.seed}


def compute_fans(
    shape: Shape,
    input_axes: int | Sequence[int] | None = None,
    output_axes: int | Sequence[int] | None = None,
) -> tuple[int, int]:
    """How many inputs and outputs a weight connects; kernels are (rows, columns, in, out).

    >>> compute_fans((3, 3, 1, 32))
    (9, 288)
    """
    shape = tuple(shape)
    if input_axes is not None or output_axes is not None:
        rank = len(shape)
        ins = _axes(input_axes, rank) if input_axes is not None else set()
        outs = _axes(output_axes, rank) if output_axes is not None else set()
        ins = ins or set(range(rank)) - outs
        outs = outs or set(range(rank)) - ins
        field = math.prod(shape[a] for a in set(range(rank)) - ins - outs)
        return (
            field * math.prod(shape[a] for a in ins),
            field * math.prod(shape[a] for a in outs),
        )
    if not shape:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


def _axes(axes: int | Sequence[int], rank: int) -> set[int]:
    return {a % rank for a in ([axes] if isinstance(axes, int) else axes)}


class VarianceScaling(_Seeded):
    """Numbers whose variance is ``scale`` over the weight's fan (He et al. 2015, Glorot 2010).

    Args:
        scale: a positive factor.
        mode: ``"fan_in"``, ``"fan_out"`` or ``"fan_avg"``.
        distribution: ``"truncated_normal"``, ``"untruncated_normal"`` or ``"uniform"``.
        seed: the same seed, the same numbers.
        input_axes, output_axes: which dimensions count as inputs and outputs.

    Raises:
        ArgumentError: an argument out of its range.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: Any = None,
        output_axes: Any = None,
    ) -> None:
        super().__init__(seed)
        distribution = "truncated_normal" if distribution == "normal" else distribution
        if scale <= 0:
            raise ArgumentError(f"VarianceScaling: scale must be positive, got {scale}.")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ArgumentError(f"VarianceScaling: unknown mode {mode!r}.")
        if distribution not in ("truncated_normal", "untruncated_normal", "uniform"):
            raise ArgumentError(f"VarianceScaling: unknown distribution {distribution!r}.")
        self.scale, self.mode, self.distribution = scale, mode, distribution
        self.input_axes, self.output_axes = input_axes, output_axes

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return self._uniform(shape, -limit, limit, dtype)
        if self.distribution == "untruncated_normal":
            return self._normal(shape, 0.0, math.sqrt(variance), dtype)
        # Cutting off at two deviations leaves this much of the deviation.
        return self._truncated(shape, 0.0, math.sqrt(variance) / 0.87962566103423978, dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "seed": self.seed,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _Fixed(VarianceScaling):
    """A ``VarianceScaling`` with a name of its own."""

    settings: tuple[float, str, str]

    def __init__(
        self, seed: int | None = None, input_axes: Any = None, output_axes: Any = None
    ) -> None:
        super().__init__(*self.settings, seed, input_axes, output_axes)

    def get_config(self) -> dict[str, Any]:
        axes = {"input_axes": self.input_axes, "output_axes": self.output_axes}
        return {"seed": self.seed, **axes}


class GlorotUniform(_Fixed):
    """Uniform within sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""

    settings = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Fixed):
    """Truncated normal with variance 2 / (fan_in + fan_out)."""

    settings = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Fixed):
    """Uniform within sqrt(6 / fan_in) (He et al. 2015)."""

    settings = (2.0, "fan_in", "uniform")


class HeNormal(_Fixed):
    """Truncated normal with variance 2 / fan_in."""

    settings = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Fixed):
    """Uniform within sqrt(3 / fan_in) (LeCun et al. 1998)."""

    settings = (1.0, "fan_in", "uniform")


class LecunNormal(_Fixed):
    """Truncated normal with variance 1 / fan_in."""

    settings = (1.0, "fan_in", "truncated_normal")


class Orthogonal(_Seeded):
    """A matrix with orthogonal rows or columns, times ``gain`` (Saxe et al. 2014).

    Weights of more dimensions are matrices of (all but the last, the last).
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        if len(shape) < 2:
            raise ArgumentError(f"the orthogonal initializer makes matrices, not {tuple(shape)}.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        q, r = np.linalg.qr(draw.randn(tall, generator=self._generator()).numpy())
        q = q * np.sign(np.diag(r))
        q = (q.T if rows < columns else q).reshape(tuple(shape))
        return creation.tensor(self.gain * q, dtype=config.as_dtype(dtype))

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain, "seed": self.seed}


class STFT(Initializer):
    """Kernels of a convolution that computes spectra of windows: one side of them.

    ``w[t] cos(2 pi f t / F)``, or ``-w[t] sin(2 pi f t / F)``, over the window's norm.

    Args:
        side: ``"real"`` or ``"imag"``.
        window: a name (`fovea.keras.window_shapes`), weights, or None.
        scaling: divide by the window's norm: ``"density"`` (L2), ``"spectrum"`` (L1) or None.
        periodic: a window for spectra; without, a symmetric one.

    Shapes:
        (samples of a window, 1, F // 2 + 1). Angles are computed in float64.

    Raises:
        ArgumentError: an argument that is none of these, or weights of another length.

    >>> STFT("real", None)((2, 1, 3)).flatten()
    tensor([ 1.,  1.,  1.,  1.,  0., -1.])
    """

    def __init__(
        self,
        side: str = "real",
        window: Any = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ) -> None:
        if side not in ("real", "imag"):
            raise ArgumentError(f"STFT: side is 'real' or 'imag', got {side!r}.")
        if isinstance(window, str):
            require_window(window)
        if scaling not in (None, "density", "spectrum"):
            raise ArgumentError(f"STFT: scaling is 'density', 'spectrum' or None, got {scaling!r}.")
        self.side, self.window, self.scaling, self.periodic = side, window, scaling, periodic

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        length, _, bins = shape
        angles = np.outer(np.arange(length), np.arange(bins)) * (np.pi / max(bins - 1, 1))
        kernel = np.cos(angles) if self.side == "real" else -np.sin(angles)
        kernel = np.round(kernel, 15)  # zeros of multiples of pi
        if self.window is not None:
            named = isinstance(self.window, str)
            window = (
                get_window(self.window, length, self.periodic) if named else np.array(self.window)
            )
            if window.shape != (length,):
                raise ArgumentError(
                    f"STFT: the window must have {length} weights, got {window.shape}."
                )
            if self.scaling is not None:
                order = 2 if self.scaling == "density" else 1
                window = window / np.linalg.norm(window, order)
            kernel *= window[:, None]
        return creation.tensor(kernel[:, None], dtype=config.as_dtype(dtype))

    def get_config(self) -> dict[str, Any]:
        kept = {"side": self.side, "window": self.window}
        return {**kept, "periodic": self.periodic, "scaling": self.scaling}


IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal
STFTInitializer, stft = STFT, STFT
constant, zeros, ones, identity = Constant, Zeros, Ones, Identity
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal = HeUniform, HeNormal
lecun_uniform, lecun_normal = LecunUniform, LecunNormal
random_uniform, random_normal, truncated_normal = RandomUniform, RandomNormal, TruncatedNormal
orthogonal, variance_scaling = Orthogonal, VarianceScaling

_KNOWN: dict[str, Any] = {
    name: value
    for name, value in list(globals().items())
    if isinstance(value, type) and issubclass(value, Initializer) and not name.startswith("_")
}
_KNOWN |= {"normal": RandomNormal, "uniform": RandomUniform, "one": Ones, "zero": Zeros}


def get(identifier: Any) -> Callable[..., Any] | None:
    """The initializer that a name, class, description or function means; None gives None.

    >>> get("he_normal").get_config()["seed"] is None
    True
    """
    found = lookup("initializer", identifier, _KNOWN)
    if found is identifier and isinstance(found, Initializer):
        return found.clone()  # one instance shared by two layers would give both the same numbers
    return found


def serialize(initializer: Any) -> Any:
    """Plain data that describes an initializer."""
    return serialize_keras_object(initializer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The initializer that plain data describes."""
    return get(config)
