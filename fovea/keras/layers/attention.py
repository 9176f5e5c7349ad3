"""Attention without heads: what of the values is near the queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.layers.arguments import choice
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.regularization import Dropout
from fovea.nn.functional import softmax
from fovea.nn.functional.attention import causal_mask

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["AdditiveAttention", "Attention"]


class Attention(Layer):
    """``softmax(scores) @ value``, with a score for each query and key

    The scores are ``scale * query @ key.T`` (``"dot"``), or ``weight * sum(tanh(scale * (query +
    key)))`` (``"concat"``).

    Args:
        use_scale: whether the scale is learned, else it is 1.
        score_mode: ``"dot"`` or ``"concat"``.
        dropout: part of the weights that training leaves out.
        seed: for numbers of its own.

    A call takes [query, value] or [query, value, key] (the values are the keys unless given),
    masks of query and value in a list, ``return_attention_scores``, and ``use_causal_mask``: query
    i sees values 0 to i alone.

    Shapes: (N, Tq, C), (N, Tv, C') and (N, Tv, C) to (N, Tq, C'), and scores (N, Tq, Tv).

    >>> import fovea
    >>> Attention()([fovea.ones(1, 2, 3), fovea.ones(1, 4, 3)]).shape
    fovea.Size([1, 2, 3])
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.use_scale, self.dropout, self.seed = bool(use_scale), dropout, seed
        self.score_mode = choice("Attention", "score_mode", score_mode, ("dot", "concat"))
        self.__dict__["_drop"] = Dropout(dropout, seed=seed, dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        self._check(input_shape)
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(
                name="concat_score_weight", shape=(), initializer="ones"
            )
        self.built = True

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        query, value, key, query_mask, value_mask = self._parts(inputs, mask)
        scores = self._scores(query, key)
        seen = None if value_mask is None else value_mask.bool().unsqueeze(-2)
        if use_causal_mask:
            causal = causal_mask(scores.shape[-2], scores.shape[-1])
            seen = causal if seen is None else seen & causal
        if seen is not None:
            far = 65504.0 if scores.dtype is dtypes.float16 else 1e9
            scores = scores.where(seen, scores - far)
        weights = softmax(scores, -1)
        output = self._drop(weights, training=training).matmul(value)
        if query_mask is not None:
            output = output * query_mask.unsqueeze(-1).to(output.dtype)
        return (output, weights) if return_attention_scores else output

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        scale = self.used_weights.get("scale")
        if self.score_mode == "dot":
            scores = query.matmul(key.transpose(-2, -1))
            return scores if scale is None else scores * scale
        sums = query.unsqueeze(-2) + key.unsqueeze(-3)
        sums = sums if scale is None else sums * scale
        weight: Tensor = self.used_weights["concat_score_weight"]
        return weight * sums.tanh().sum(-1)

    def _check(self, inputs: Any, mask: Any = None) -> None:
        kind = type(self).__name__
        if not isinstance(inputs, list | tuple) or len(inputs) not in (2, 3):
            raise ArgumentError(f"{kind}: a list [query, value] or [query, value, key] is needed.")
        if mask is not None and (not isinstance(mask, list | tuple) or len(mask) not in (2, 3)):
            raise ArgumentError(f"{kind}: masks come in a list [query_mask, value_mask].")

    def _parts(self, inputs: Any, mask: Any) -> tuple[Any, ...]:
        """Query, value, key, and the masks of query and value."""
        self._check(inputs, mask)
        key = inputs[2] if len(inputs) > 2 else inputs[1]
        return (*inputs[:2], key, *(mask[:2] if mask is not None else (None, None)))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None if previous_mask is None else previous_mask[0]

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        self._check(input_shape)
        return (*input_shape[0][:-1], input_shape[1][-1])

    def compute_output_spec(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        shapes = [t.shape for t in inputs]
        output = KerasTensor(self.compute_output_shape(shapes), self.compute_dtype)
        if not kwargs.get("return_attention_scores"):
            return output
        return output, KerasTensor((*shapes[0][:-1], shapes[-1][-2]), self.compute_dtype)


class AdditiveAttention(Attention):
    """``softmax(sum(scale * tanh(query + key))) @ value``

    Args:
        use_scale: whether the scale, a number a feature, is learned, else it is 1.
        dropout: part of the weights that training leaves out.

    Calls and shapes are as of ``Attention``.

    Source: Bahdanau et al., "Neural Machine Translation by Jointly Learning to Align and
    Translate", 2015.
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        self._check(input_shape)
        if self.use_scale:
            size = input_shape[0][-1]
            self.scale = self.add_weight(name="scale", shape=(size,), initializer="glorot_uniform")
        self.built = True

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        near = (query.unsqueeze(-2) + key.unsqueeze(-3)).tanh()
        scale = self.used_weights.get("scale")
        return (near if scale is None else near * scale).sum(-1)

    def get_config(self) -> dict[str, Any]:
        return {k: v for k, v in super().get_config().items() if k != "score_mode"}
