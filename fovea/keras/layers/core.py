"""Dense and the small general layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError, OutOfRangeError
from fovea.keras import activations, config, constraints, initializers, regularizers
from fovea.keras.keras_tensor import KerasTensor, Node, is_shape, need_size
from fovea.keras.layers.arguments import single
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.spec import InputSpec
from fovea.keras.masking import attach_mask
from fovea.keras.objects import deserialize_keras_object
from fovea.keras.variables import store_as
from fovea.ops.linalg import linear
from fovea.ops.shape import PermuteAttrs, permute
from fovea.watching import look

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "Dense",
    "Embedding",
    "Identity",
    "Input",
    "InputLayer",
    "Lambda",
    "Masking",
    "ReversibleEmbedding",
]

_TRANSPOSED = PermuteAttrs.of((1, 0))


class InputLayer(Layer):
    """Where a model's data comes in. ``Input`` makes one and returns its symbolic output.

    Args:
        shape: of one sample, without the batch's size.
        batch_size: the batch's size, if it is fixed.
        dtype: what data is cast to.
        batch_shape: the shape with the batch's size in front.
        name: made up unless given.
    """

    takes_integers = True

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        batch_shape = kwargs.pop("batch_input_shape", batch_shape)
        super().__init__(name=name, dtype=config.standardize_dtype(dtype), **kwargs)
        if sparse or ragged or input_tensor is not None or optional:
            raise ArgumentError("Input: sparse, ragged, tensor and optional are not available.")
        if (shape is None) == (batch_shape is None):
            raise ArgumentError("Input: give either shape or batch_shape.")
        if batch_shape is None:
            sample = (shape,) if isinstance(shape, int) else tuple(shape)
            batch_shape = (batch_size, *sample)
        if not is_shape(batch_shape):
            raise ArgumentError(f"Input: {batch_shape!r} is no shape.")
        self.batch_shape = tuple(batch_shape)
        Node(self, (), {}, KerasTensor(self.batch_shape, self.dtype, name=self.name))
        self.built = True

    def call(self) -> None:
        """Nothing is computed here."""

    def get_config(self) -> dict[str, Any]:
        return {"batch_shape": self.batch_shape, "dtype": self.dtype, "name": self.name}


def Input(  # noqa: N802 - Keras's name
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
) -> Any:
    """A symbolic tensor to start a functional model with; arguments as of ``InputLayer``.

    >>> Input(shape=(28, 28, 1)).shape
    (None, 28, 28, 1)
    """
    made = InputLayer(
        shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name=name
    )
    return made.output


class Dense(Layer):
    """``activation(x @ kernel + bias)`` along the last dimension.

    Args:
        units: features that come out.
        activation: applied to the result; None for none.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: what the weights start as.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties added to the loss.
        kernel_constraint, bias_constraint: applied after each update.

    Shapes: (..., in) to (..., units). Weights: kernel (in, units), bias (units,).

    Raises:
        ArgumentError: an unknown or wrong argument. ShapeError: another number of features.

    >>> import fovea
    >>> Dense(2, kernel_initializer="ones")(fovea.ones(1, 3)).detach()
    tensor([[3., 3.]])
    """

    keeps_masks = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        refuse_lora(self, lora_rank, quantization_config)
        self.units = single("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape: Any) -> None:
        features = need_size(input_shape, -1, self)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features, self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        store_as(self.kernel, (1, 0))
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: features})
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        weights = self.used_weights
        kernel = permute.bind((weights["kernel"],), _TRANSPOSED)
        y = linear.bind((inputs, kernel, weights.get("bias")))
        return y if self.activation is activations.linear else self.activation(y)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return (*input_shape[:-1], self.units)


def refuse_lora(layer: Layer, lora_rank: Any, quantization_config: Any) -> None:
    """ArgumentError for what Keras's language layers take and these do not."""
    if lora_rank is not None or quantization_config is not None:
        raise ArgumentError(
            f"{type(layer).__name__}: lora_rank and quantization_config are not available."
        )


class Embedding(Layer):
    """Rows of a table, picked by integers.

    Args:
        input_dim: rows.
        output_dim: features.
        embeddings_initializer: what the table starts as.
        embeddings_regularizer, embeddings_constraint: as of other weights.
        mask_zero: let the rows' mask skip zeros, which stand for padding.
        weights: the table itself.

    Shapes: integers (...) to (..., output_dim).
    """

    takes_integers = True
    casts_weights = False  # rows are, once they are picked

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        length = kwargs.pop("input_length", None)
        if length is not None:
            kwargs["input_shape"] = (length,)
        super().__init__(**kwargs)
        refuse_lora(self, lora_rank, quantization_config)
        self.input_dim = single("Embedding", "input_dim", input_dim)
        self.output_dim = single("Embedding", "output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = bool(mask_zero)
        self.supports_masking = self.mask_zero
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, list) else [weights])

    def build(self, input_shape: Any = None) -> None:
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        rows = inputs if inputs.dtype is dtypes.int64 else inputs.to(dtypes.int64)
        look(rows, self._check_rows)
        return self.embeddings[rows].to(self._dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return inputs != 0 if self.mask_zero else None

    def _check_rows(self, values: Any) -> None:
        if values.size and (values.min() < 0 or values.max() >= self.input_dim):
            wrong = values[(values < 0) | (values >= self.input_dim)].flat[0]
            raise OutOfRangeError(
                f"Embedding: {int(wrong)} is out of range for {self.input_dim} rows."
            )

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return (*input_shape, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        return {k: v for k, v in super().get_config().items() if k != "weights"}


class ReversibleEmbedding(Embedding):
    """``Embedding`` that also goes back: from features to scores of all rows.

    Args:
        input_dim: rows.
        output_dim: features.
        tie_weights: use the table for the way back, else another one is learned.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint, mask_zero: as of
            ``Embedding``.
        reverse_dtype: what the way back computes in.
        logit_soft_cap: a limit that scores come near to: ``cap * tanh(scores / cap)``.

    Shapes: integers (...) to (..., output_dim); called with ``reverse=True``, (..., output_dim) to
    (..., input_dim).

    Source: Press and Wolf, "Using the Output Embedding to Improve Language Models", 2016.

    >>> import fovea
    >>> table = ReversibleEmbedding(10, 4)
    >>> table(table(fovea.tensor([[1, 2, 3]])), reverse=True).shape
    fovea.Size([1, 3, 10])
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: Any = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero,
            **kwargs,
        )
        self.tie_weights, self.reverse_dtype = bool(tie_weights), reverse_dtype
        self.logit_soft_cap = logit_soft_cap

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                name="reverse_embeddings",
                shape=(self.output_dim, self.input_dim),
                initializer=self.embeddings_initializer,
            )

    def call(self, inputs: Tensor, reverse: bool = False) -> Tensor:
        if not reverse:
            rows = super().call(inputs)
            mask = super().compute_mask(inputs)
            if mask is not None:
                attach_mask(rows, mask)
            return rows
        kernel = self.embeddings.t() if self.tie_weights else self.reverse_embeddings
        dtype = self._dtype
        if self.reverse_dtype is not None:
            dtype = config.as_dtype(self.reverse_dtype)
        scores = inputs.to(dtype).matmul(kernel.to(dtype))
        cap = self.logit_soft_cap
        return scores if cap is None else (scores / cap).tanh() * cap

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None  # ``call`` attaches what there is

    def compute_output_shape(self, input_shape: Any, reverse: bool = False, **kwargs: Any) -> Any:
        if reverse:
            return (*input_shape[:-1], self.input_dim)
        return (*input_shape, self.output_dim)

    def compute_output_spec(self, inputs: Any, reverse: bool = False, **kwargs: Any) -> Any:
        shape = self.compute_output_shape(inputs.shape, reverse)
        return KerasTensor(shape, self.compute_dtype)


class Lambda(Layer):
    """Any function of tensors.

    Args:
        function: ``f(x, **arguments)``; one that takes ``training`` is given it.
        output_shape: of one sample, or a function of the input's shape; found out unless given.
        mask: the output's mask, or a function of the input and its mask; none unless given.
        arguments: keyword arguments for the function.

    >>> import fovea
    >>> Lambda(lambda x: x * 2)(fovea.ones(2))
    tensor([2., 2.])
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.function, self.arguments = function, arguments or {}
        self.output_shape = output_shape
        self.mask = mask
        self.supports_masking = mask is not None
        self._passed = [n for n in ("mask", "training") if n in _parameters(function)]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        found = {k: deserialize_keras_object(v) for k, v in config.items() if k in _FUNCTIONS}
        return cls(**{**config, **found})

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        given = {"mask": mask, "training": training}
        return self.function(inputs, **{n: given[n] for n in self._passed}, **self.arguments)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return self.mask(inputs, previous_mask) if callable(self.mask) else self.mask

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        if self.output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self.output_shape):
            return self.output_shape(input_shape)
        batch = input_shape[0] if is_shape(input_shape) else None
        return (batch, *self.output_shape)


_FUNCTIONS = ("function", "output_shape", "mask")  # what a Lambda may be given functions for


def _parameters(function: Any) -> Any:
    import inspect

    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


class Identity(Layer):
    """The input itself."""

    takes_integers = True
    keeps_masks = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.built = True

    def call(self, inputs: Any) -> Any:
        return inputs

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return input_shape

    def output_dtype(self, x: Any) -> str:
        return str(x.dtype) if isinstance(x, KerasTensor) else self.compute_dtype


class Masking(Layer):
    """Steps of a sequence that hold nothing but one value are skipped by the layers that follow.

    Args:
        mask_value: the value.

    Shapes: (N, L, ..., C) to the same, with zeros at such steps, and a mask (N, L, ...).

    >>> import fovea
    >>> from fovea.keras.masking import mask_of
    >>> mask_of(Masking()(fovea.tensor([[[1.0, 2.0], [0.0, 0.0]]])))
    tensor([[ True, False]])
    """

    def __init__(self, mask_value: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = (
            deserialize_keras_object(mask_value) if isinstance(mask_value, dict) else mask_value
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        kept = (inputs != self.mask_value).any(-1, keepdim=True)
        outputs = inputs.where(kept, inputs * 0)
        attach_mask(outputs, kept.squeeze(-1))
        return outputs

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        from fovea.keras import ops

        return ops.any(inputs != self.mask_value, axis=-1)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return input_shape


def as_floatx(x: Any) -> Any:
    """An array in the default float type."""
    return np.asarray(x, dtype=config.as_dtype(None).numpy)
