"""Kernels divided by their largest singular value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.keras import initializers
from fovea.keras.layers.arguments import single
from fovea.keras.layers.spec import InputSpec
from fovea.keras.layers.wrappers import Wrapper
from fovea.keras.variables import assign

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["SpectralNormalization"]


class SpectralNormalization(Wrapper):
    """A layer whose kernel is divided by its largest singular value before each training step.

    The value is found by power iterations on the kernel as a matrix (..., out), which go on from
    step to step.

    Args:
        layer: one with a ``kernel`` or ``embeddings``.
        power_iterations: how many a step.

    Weights: the layer's, and vector_u (1, out), which is not learned.

    Raises:
        ArgumentError: a layer without such a weight.

    Source: Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018.

    >>> import fovea
    >>> from fovea.keras.layers import Conv2D
    >>> SpectralNormalization(Conv2D(4, 3))(fovea.ones(1, 8, 8, 3)).shape
    fovea.Size([1, 6, 6, 4])
    """

    def __init__(self, layer: Any, power_iterations: int = 1, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.power_iterations = single(
            "SpectralNormalization", "power_iterations", power_iterations
        )

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        weights = self.layer._parameters
        kernel = weights.get("kernel", weights.get("embeddings"))
        if kernel is None:
            raise ArgumentError(
                f"{self.name}: {type(self.layer).__name__} has neither a kernel nor embeddings."
            )
        self.kernel = kernel
        self.vector_u = self.add_weight(
            name="vector_u",
            shape=(1, kernel.shape[-1]),
            initializer=initializers.TruncatedNormal(stddev=0.02),
            trainable=False,
        )
        if "embeddings" not in weights:
            self.input_spec = InputSpec(min_ndim=1, axes={-1: input_shape[-1]})

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if training:
            self._normalize()
        y: Tensor = self.layer(inputs)
        return y.to(inputs.dtype) if inputs.dtype.is_floating_point else y

    def _normalize(self) -> None:
        """Divide the kernel, unless it is zero."""
        kernel, first = self._parameters["kernel"], self._buffers["vector_u"]
        assert kernel is not None and first is not None
        with no_grad():
            matrix, u = kernel.detach().reshape((-1, kernel.shape[-1])), first
            for _ in range(self.power_iterations):
                v = _unit(u @ matrix.t())
                u = _unit(v @ matrix)
            sigma = (v @ matrix @ u.t()).reshape(())
            zero = (kernel == 0).all()
            divided = kernel.where(zero, kernel / sigma)
            u = first.where(zero, u)
        assign(kernel, divided)
        assign(first, u)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)


def _unit(x: Tensor) -> Tensor:
    return x * x.square().sum().rsqrt().clamp(max=1e7)
