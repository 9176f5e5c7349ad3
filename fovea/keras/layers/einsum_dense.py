"""A dense layer along any dimensions, said as an ``einsum``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from fovea.errors import ArgumentError, ShapeError
from fovea.functions.linalg import einsum
from fovea.keras import activations, constraints, initializers, regularizers
from fovea.keras.initializers import VarianceScaling
from fovea.keras.keras_tensor import Shape
from fovea.keras.layers.core import refuse_lora
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.spec import InputSpec

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["EinsumDense"]

_FORMS = re.compile(
    r"(?P<before>\.\.\.)?(?P<x>[a-zA-Z]+)(?P<after>\.\.\.)?,(?P<w>[a-zA-Z]+)"
    r"->(?P<before_y>\.\.\.)?(?P<y>[a-zA-Z]+)(?P<after_y>\.\.\.)?"
)


class _Shapes(NamedTuple):
    """What follows from an equation, the input's shape and what is known of the output's."""

    kernel: tuple[int, ...]
    bias: tuple[int, ...] | None
    output: Shape
    summed: list[int]  # the kernel's dimensions that the sum runs over
    made: list[int]  # those that the output has


class EinsumDense(Layer):
    """``activation(einsum(equation, x, kernel) + bias)``

    Args:
        equation: ``"ab,bc->ac"``; an ellipsis at the front, or at the end, of input and output
            stands for dimensions that are kept.
        output_shape: of one sample, without what an ellipsis stands for; None where a size is the
            input's.
        activation: applied to the result; None for none.
        bias_axes: the output's dimensions, as letters, that the bias has; None for no bias.
        kernel_initializer, bias_initializer: what the weights start as.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties added to the loss.
        kernel_constraint, bias_constraint: applied after each update.

    Raises:
        ArgumentError: an equation of another form. ShapeError: an input that does not fit it.

    >>> import fovea
    >>> EinsumDense("abc,cd->abd", output_shape=(None, 6), bias_axes="d")(fovea.ones(2, 3, 4)).shape
    fovea.Size([2, 3, 6])
    """

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        gptq_unpacked_column_size: int | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_lora(self, lora_rank, quantization_config)
        self.equation, self.bias_axes = equation, bias_axes
        sizes = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.output_shape = self.partial_output_shape = sizes
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: Any) -> None:
        shapes = self._shapes(tuple(input_shape))
        initializer = self.kernel_initializer
        if isinstance(initializer, VarianceScaling) and (
            initializer.input_axes is None or initializer.output_axes is None
        ):
            given = {**initializer.get_config(), "seed": initializer.seed}
            axes = {"input_axes": shapes.summed, "output_axes": shapes.made}
            initializer = type(initializer).from_config({**given, **axes})
        self.kernel = self.add_weight(
            name="kernel",
            shape=shapes.kernel,
            initializer=initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if shapes.bias is not None:
            self.bias = self.add_weight(
                name="bias",
                shape=shapes.bias,
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(ndim=len(input_shape))
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        weights = self.used_weights
        y = einsum(self.equation, inputs, weights["kernel"])
        bias = weights.get("bias")
        return self.activation(y if bias is None else y + bias)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return self._shapes(tuple(input_shape)).output

    def get_config(self) -> dict[str, Any]:
        absent = ("lora_rank", "lora_alpha", "gptq_unpacked_column_size")
        return {k: v for k, v in super().get_config().items() if k not in absent}

    # -- the equation -------------------------------------------------------------------------

    def _shapes(self, input_shape: Shape) -> _Shapes:
        form = _FORMS.fullmatch(self.equation)
        fits = form and (form["before"], form["after"]) == (form["before_y"], form["after_y"])
        if not form or not fits or (form["before"] and form["after"]):
            raise ArgumentError(
                f"{self.name}: {self.equation!r} is no equation of the form X,W->Y, "
                "...X,W->...Y or X...,W->Y... ."
            )
        x, w, y = form["x"], form["w"], form["y"]
        kept = len(input_shape) - len(x)
        if kept < 0 or (kept and not form["before"] and not form["after"]):
            raise ShapeError(
                f"{self.name}: an input of shape {input_shape} does not fit {self.equation!r}."
            )
        output = self._output(input_shape, kept, bool(form["before"]))
        first = kept if form["before"] else 0  # where the letters' dimensions begin
        x_sizes = dict(zip(x, input_shape[first:], strict=False))
        y_sizes = dict(zip(y, output[first:], strict=False))
        self._check(x, w, y, x_sizes, y_sizes)
        sizes = [y_sizes[d] if d in y_sizes else x_sizes[d] for d in w]
        if None in sizes:
            raise ShapeError(
                f"{self.name}: the sizes of {w!r} must be known to make the kernel.",
                {"input": str(input_shape), "output": str(output)},
            )
        made = [i for i, d in enumerate(w) if d in y_sizes]
        summed = [i for i, d in enumerate(w) if d not in y_sizes]
        after = kept if form["after"] else 0
        return _Shapes(tuple(sizes), self._bias(y, y_sizes, after), output, summed, made)

    def _output(self, input_shape: Shape, kept: int, before: bool) -> Shape:
        """The whole output's shape: what the user gave, with the batch and what is kept."""
        batch, given = input_shape[0], self.partial_output_shape
        if before:
            return (batch, *input_shape[1:kept], *given)
        return (batch, *given, *input_shape[len(input_shape) - kept :])

    def _check(self, x: str, w: str, y: str, x_sizes: Any, y_sizes: Any) -> None:
        for d in x:
            if y_sizes.get(d) is not None and y_sizes[d] != x_sizes[d]:
                raise ShapeError(
                    f"{self.name}: dimension {d!r} has {x_sizes[d]} values in the input and "
                    f"{y_sizes[d]} in the output."
                )
        unknown = [d for d in y if d not in x and d not in w]
        unknown += [d for d in w if d not in x and d not in y]
        unknown += [d for d in self.bias_axes or "" if d not in y]
        if unknown:
            raise ArgumentError(
                f"{self.name}: nothing says what {unknown[0]!r} is in {self.equation!r}."
            )

    def _bias(self, y: str, sizes: Any, after: int) -> tuple[int, ...] | None:
        if self.bias_axes is None:
            return None
        first = min(y.find(d) for d in self.bias_axes)
        return (*(sizes[d] if d in self.bias_axes else 1 for d in y[first:]), *(1,) * after)
