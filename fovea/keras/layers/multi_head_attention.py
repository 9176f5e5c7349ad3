"""Attention in several heads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError, ShapeError
from fovea.functions.creation import zeros
from fovea.functions.parts import repeat_interleave
from fovea.functions.ranges import arange
from fovea.keras import constraints, initializers, masking, regularizers
from fovea.keras.keras_tensor import KerasTensor, Shape
from fovea.keras.layers.arguments import single
from fovea.keras.layers.einsum_dense import EinsumDense
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.regularization import Dropout
from fovea.keras.objects import serialize_keras_object
from fovea.nn.functional import scaled_dot_product_attention
from fovea.nn.functional.attention import attention_weights, causal_mask

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["GroupQueryAttention", "GroupedQueryAttention", "MultiHeadAttention"]

_LETTERS = "abcdefghijklmnopqrstuvw"


class _HeadedAttention(Layer):
    """What attention in heads shares: projections, masks, and the weighted means."""

    keeps_masks = True
    attention_axes: tuple[int, ...] | None = (1,)

    def _configure(
        self,
        dropout: float,
        use_bias: bool,
        sliding_window: int | None,
        flash_attention: Any,
        kernel_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        bias_regularizer: Any,
        activity_regularizer: Any,
        kernel_constraint: Any,
        bias_constraint: Any,
        use_gate: bool,
        seed: int | None,
    ) -> None:
        self.dropout, self.use_bias, self.use_gate = dropout, bool(use_bias), bool(use_gate)
        self.sliding_window = sliding_window
        if sliding_window is not None:
            self.sliding_window = single(type(self).__name__, "sliding_window", sliding_window)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.seed = seed
        self.__dict__["_of_projections"] = regularizers.get(activity_regularizer)
        self.__dict__["_drop"] = Dropout(dropout, seed=seed, dtype=self.dtype_policy)

    def _projection(self, name: str, equation: str, shape: Any, bias_axes: str) -> EinsumDense:
        """One of the products with learned matrices; its initializers are its own."""
        own: tuple[Any, Any] = (self.kernel_initializer, self.bias_initializer)
        make = [type(given).from_config(given.get_config()) for given in own]
        return EinsumDense(
            equation,
            tuple(shape),
            activation="sigmoid" if name == "gate" else None,
            bias_axes=bias_axes if self.use_bias else None,
            kernel_initializer=make[0],
            bias_initializer=make[1],
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            activity_regularizer=self.__dict__["_of_projections"],
            dtype=self.dtype_policy,
            name=name,
        )

    def _into_heads(self, name: str, shape: Shape, heads: int, size: int) -> EinsumDense:
        """(..., C) to (..., heads, size)."""
        free = _LETTERS[: len(shape) - 1]
        made = self._projection(
            name, f"{free}z,zxy->{free}xy", (*(None,) * (len(free) - 1), heads, size), "xy"
        )
        made.build(shape)
        return made

    def _out_of_heads(self, shape: Shape, heads: int, size: int, output: Any) -> EinsumDense:
        """(..., heads, size) to (..., output)."""
        free = _LETTERS[: len(shape) - 1]
        bound = _LETTERS[len(free) : len(free) + len(output)]
        made = self._projection(
            "attention_output",
            f"{free}xy,xy{bound}->{free}{bound}",
            (*(None,) * (len(free) - 1), *output),
            bound,
        )
        made.build((*shape[:-1], heads, size))
        return made

    def _same_keys(self, value_shape: Any, key_shape: Any) -> None:
        if key_shape is not None and tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ShapeError(
                f"{self.name}: value {tuple(value_shape)} and key {tuple(key_shape)} must agree in "
                "all but the last dimension."
            )

    # -- masks --------------------------------------------------------------------------------

    def _compute_attention_mask(
        self,
        query: Tensor,
        value: Tensor,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """(N, T, S) booleans: which keys a query sees; None for all."""
        parts = [None if attention_mask is None else attention_mask.bool()]
        parts.append(None if query_mask is None else query_mask.bool().unsqueeze(-1))
        for mask in (value_mask, key_mask):
            parts.append(None if mask is None else mask.bool().unsqueeze(-2))
        if use_causal_mask:
            parts.append(causal_mask(query.shape[1], value.shape[1]).unsqueeze(0))
        if self.sliding_window is not None:
            between = arange(query.shape[1]).unsqueeze(1) - arange(value.shape[1])
            parts.append((between.abs() < self.sliding_window).unsqueeze(0))
        given = [part for part in parts if part is not None]
        found = given[0] if given else None
        for part in given[1:]:
            found = found & part
        return found

    # -- the means ----------------------------------------------------------------------------

    def _compute_attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Any = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
    ) -> tuple[Tensor, Any]:
        """Means of values (N, ..., heads, size) and, if they are asked for, their weights
        (N, heads, T, S); subclasses may compute them in another way.
        """
        axes = self.attention_axes or ()
        ordered = [self._by_head(t, axes) for t in (query, key, value)]
        queries = [query.shape[a] for a in axes]
        keys = [key.shape[a] for a in axes]
        rank = ordered[0].ndim - 2 + 2 * len(axes)
        mask = _fit_mask(attention_mask, rank, queries, keys)
        scale = 1.0 / math.sqrt(query.shape[-1])
        if self.dropout or return_attention_scores:
            scores = attention_weights(ordered[0], ordered[1], mask, scale)
            output = self._drop(scores, training=training).matmul(ordered[2])
            scores = scores.reshape((*scores.shape[:-2], *queries, *keys))
        else:
            q, k, v = ordered
            far = None if mask is None else _far(mask, query.dtype)
            output, scores = scaled_dot_product_attention(q, k, v, far, scale=scale), None
        return self._from_heads(output, axes, queries), scores

    @staticmethod
    def _by_head(t: Tensor, axes: tuple[int, ...]) -> Tensor:
        """(N, ..., heads, size) with attended dimensions as one: (N, ..., heads, T, size)."""
        rank = t.ndim
        kept = [d for d in range(rank - 1) if d not in axes]
        moved = t.permute(*kept, *axes, rank - 1)
        if len(axes) == 1:
            return moved
        return moved.reshape((*moved.shape[: len(kept)], -1, moved.shape[-1]))

    @staticmethod
    def _from_heads(t: Tensor, axes: tuple[int, ...], sizes: list[int]) -> Tensor:
        """The way back of ``_by_head``."""
        t = t.reshape((*t.shape[:-2], *sizes, t.shape[-1]))
        rank = t.ndim
        order = [*(d for d in range(rank - 1) if d not in axes), *axes, rank - 1]
        return t.permute(*(order.index(d) for d in range(rank)))

    def get_config(self) -> dict[str, Any]:
        found = {**super().get_config(), "activity_regularizer": None}
        if self.__dict__["_of_projections"] is not None:
            found["activity_regularizer"] = serialize_keras_object(self.__dict__["_of_projections"])
        return {k: v for k, v in found.items() if k != "flash_attention"}

    def _symbolic(self, query: Any, shape: Any, heads: int, key: Any, scores: bool) -> Any:
        output = KerasTensor(shape, self.compute_dtype)
        if not scores:
            return output
        axes = self.attention_axes or (1,)
        kept = [d for d in range(1, len(query.shape) - 1) if d not in axes]
        sizes = [query.shape[d] for d in kept]
        attended = [*(query.shape[a] for a in axes), *(key.shape[a] for a in axes)]
        weights = (query.shape[0], *sizes, heads, *attended)
        return output, KerasTensor(weights, self.compute_dtype)


def _fit_mask(mask: Any, rank: int, queries: list[int], keys: list[int]) -> Any:
    """A mask (N, T..., S...) for scores (N, ..., heads, T, S) of which ``rank`` counts each of T
    and S; its missing dimensions are those before T.
    """
    if mask is None:
        return None
    attended = len(queries) + len(keys)
    while mask.ndim < rank:
        mask = mask.unsqueeze(-attended - 1)
    mask = mask.bool()
    if attended == 2:
        return mask
    whole = mask.expand((*mask.shape[: mask.ndim - attended], *queries, *keys))
    return whole.reshape((*whole.shape[: mask.ndim - attended], math.prod(queries), -1))


def _far(mask: Tensor, dtype: Any) -> Tensor:
    """What to add to scores: a query that sees no key gets the mean of all values, as in Keras."""
    return zeros(mask.shape, dtype=dtype).where(mask, 0.7 * dtypes.finfo(dtype).min)


class MultiHeadAttention(_HeadedAttention):
    """Attention in ``num_heads`` heads, each with projections of its own.

    ``softmax(q @ k.T / sqrt(key_dim)) @ v`` for q, k and v the projections of query, key and value;
    the heads' results are projected to the query's features.

    Args:
        num_heads: how many heads.
        key_dim: features of queries and keys in a head.
        value_dim: of values; default: ``key_dim``.
        dropout: part of the weights that training leaves out.
        use_bias: whether the projections have biases.
        output_shape: of one step's result; default: the query's features.
        attention_axes: the dimensions that are attended over; default: all but batch and features.
        sliding_window: a query sees keys that are less than so many steps away.
        flash_attention: accepted for Keras's sake.
        kernel_..., bias_..., activity_regularizer: of the projections.
        use_gate: scale the heads' results by a sigmoid of a further projection of the query.
        seed: for numbers of its own.

    A call takes query, value and key (the values unless given), ``attention_mask`` (N, T, S), masks
    of value and key, ``return_attention_scores``, and ``use_causal_mask``: step i sees 0 to i
    alone. As in Keras, a query that carries a mask hands it to the output, and all three inputs
    lose theirs.

    Shapes: (N, T, C), (N, S, C') and (N, S, C'') to (N, T, C), and scores (N, num_heads, T, S).

    Source: A. Vaswani et al., "Attention Is All You Need", 2017.

    >>> import fovea
    >>> x = fovea.ones(1, 5, 8)
    >>> MultiHeadAttention(num_heads=2, key_dim=4)(x, x).shape
    fovea.Size([1, 5, 8])
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
        sliding_window: int | None = None,
        flash_attention: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        kind = type(self).__name__
        self.num_heads = single(kind, "num_heads", num_heads)
        self.key_dim = single(kind, "key_dim", key_dim)
        self.value_dim = self.key_dim if not value_dim else single(kind, "value_dim", value_dim)
        self.output_shape = (output_shape,) if isinstance(output_shape, int) else output_shape
        self.attention_axes = attention_axes
        if attention_axes is not None:
            axes = (attention_axes,) if isinstance(attention_axes, int) else attention_axes
            self.attention_axes = tuple(axes)
        self._configure(
            dropout,
            use_bias,
            sliding_window,
            flash_attention,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            activity_regularizer,
            kernel_constraint,
            bias_constraint,
            use_gate,
            seed,
        )

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:  # type: ignore[override]
        self._same_keys(value_shape, key_shape)
        query, value = tuple(query_shape), tuple(value_shape)
        heads, key = self.num_heads, value if key_shape is None else tuple(key_shape)
        self.query_dense = self._into_heads("query", query, heads, self.key_dim)
        self.key_dense = self._into_heads("key", key, heads, self.key_dim)
        if self.use_gate:
            self._gate_dense = self._into_heads("gate", query, heads, self.value_dim)
        self.value_dense = self._into_heads("value", value, heads, self.value_dim)
        output = tuple(self.output_shape or (query[-1],))
        self.output_dense = self._out_of_heads(query, heads, self.value_dim, output)
        last = len(query) - 1
        axes = self.attention_axes or tuple(range(1, last))
        self.attention_axes = tuple(a if a >= 0 else len(query) + a for a in axes)
        self.built = True

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        key = value if key is None else key
        query_mask = masking.mask_of(query)
        for t in (query, value, key):
            if masking.mask_of(t) is not None:
                masking.attach_mask(t, None)
        mask = self._compute_attention_mask(
            query, value, query_mask, value_mask, key_mask, attention_mask, use_causal_mask
        )
        q, k, v = self.query_dense(query), self.key_dense(key), self.value_dense(value)
        output, scores = self._compute_attention(q, k, v, mask, training, return_attention_scores)
        if self.use_gate:
            output = output * self._gate_dense(query)
        output = self.output_dense(output)
        if query_mask is not None:
            masking.attach_mask(output, query_mask)
        return (output, scores) if return_attention_scores else output

    def compute_output_shape(  # type: ignore[override]
        self, query_shape: Any, value_shape: Any = None, key_shape: Any = None, **kwargs: Any
    ) -> Any:
        if value_shape is not None:
            self._same_keys(value_shape, key_shape)
        output = self.output_shape
        return (*query_shape[:-1], *output) if output else tuple(query_shape)

    def compute_output_spec(self, query: Any, value: Any, key: Any = None, **kwargs: Any) -> Any:
        shape = self.compute_output_shape(query.shape, value.shape, getattr(key, "shape", None))
        scores = bool(kwargs.get("return_attention_scores"))
        return self._symbolic(query, shape, self.num_heads, value, scores)


class GroupedQueryAttention(_HeadedAttention):
    """Attention in heads of which several share their keys and values.

    Args:
        head_dim: features in a head.
        num_query_heads: heads of the query.
        num_key_value_heads: heads of key and value; each serves several of the query's.
        dropout, use_bias, sliding_window, flash_attention, kernel_..., bias_...,
            activity_regularizer, use_gate, seed: as of ``MultiHeadAttention``.

    Calls and shapes are as of ``MultiHeadAttention``, with ``num_query_heads`` heads.

    Raises:
        ArgumentError: heads of the query that are no multiple of the others.

    Source: Ainslie et al., "GQA: Training Generalized Multi-Query Transformer Models from
    Multi-Head Checkpoints", 2023.

    >>> import fovea
    >>> x = fovea.ones(1, 5, 8)
    >>> GroupedQueryAttention(head_dim=4, num_query_heads=4, num_key_value_heads=2)(x, x).shape
    fovea.Size([1, 5, 8])
    """

    keras_name = "GroupQueryAttention"

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        kind = type(self).__name__
        self.head_dim = single(kind, "head_dim", head_dim)
        self.num_query_heads = single(kind, "num_query_heads", num_query_heads)
        self.num_key_value_heads = single(kind, "num_key_value_heads", num_key_value_heads)
        if num_query_heads % num_key_value_heads:
            raise ArgumentError(
                f"{kind}: {num_query_heads} heads of the query are no multiple of "
                f"{num_key_value_heads} heads of key and value."
            )
        self._configure(
            dropout,
            use_bias,
            sliding_window,
            flash_attention,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            activity_regularizer,
            kernel_constraint,
            bias_constraint,
            use_gate,
            seed,
        )

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:  # type: ignore[override]
        self._same_keys(value_shape, key_shape)
        query, value = tuple(query_shape), tuple(value_shape)
        key, size = value if key_shape is None else tuple(key_shape), self.head_dim
        many, few = self.num_query_heads, self.num_key_value_heads
        self._query_dense = self._into_heads("query", query, many, size)
        self._key_dense = self._into_heads("key", key, few, size)
        if self.use_gate:
            self._gate_dense = self._into_heads("gate", query, many, size)
        self._value_dense = self._into_heads("value", value, few, size)
        self._output_dense = self._out_of_heads(query, many, size, query[-1:])
        self.built = True

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        key = value if key is None else key
        mask = self._compute_attention_mask(
            query, value, query_mask, value_mask, key_mask, attention_mask, use_causal_mask
        )
        times = self.num_query_heads // self.num_key_value_heads
        q = self._query_dense(query)
        k = repeat_interleave(self._key_dense(key), times, 2)
        v = repeat_interleave(self._value_dense(value), times, 2)
        output, scores = self._compute_attention(q, k, v, mask, training, return_attention_scores)
        if self.use_gate:
            output = output * self._gate_dense(query)
        output = self._output_dense(output)
        return (output, scores) if return_attention_scores else output

    def compute_output_shape(  # type: ignore[override]
        self, query_shape: Any, value_shape: Any = None, key_shape: Any = None, **kwargs: Any
    ) -> Any:
        if value_shape is not None:
            self._same_keys(value_shape, key_shape)
        return tuple(query_shape)

    def compute_output_spec(self, query: Any, value: Any, key: Any = None, **kwargs: Any) -> Any:
        shape = self.compute_output_shape(query.shape, value.shape, getattr(key, "shape", None))
        scores = bool(kwargs.get("return_attention_scores"))
        return self._symbolic(query, shape, self.num_query_heads, value, scores)


GroupQueryAttention = GroupedQueryAttention
