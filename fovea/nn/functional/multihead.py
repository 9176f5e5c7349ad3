"""Attention in several subspaces at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fovea import dtypes
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.functions.parts import cat
from fovea.nn.functional.attention import attention_weights, scaled_dot_product_attention
from fovea.nn.functional.dropout import dropout
from fovea.nn.functional.linear import linear
from fovea.nn.functional.padding import pad

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Heads", "multi_head_attention_forward"]


@dataclass(slots=True)
class Heads:
    """The projections of queries, keys and values, and what is added to the sequences.

    Args:
        num_heads: they share the features among them.
        weights: (E, features) of queries, keys and values.
        biases: (E) of each, or None.
        bias_k, bias_v: (1, 1, E), a key and a value at the end of the sequence.
        add_zero_attn: whether a key and a value of zeros come after them.
        rate: part of the weights of attention that is left out.
    """

    num_heads: int
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor | None, ...]
    bias_k: Tensor | None
    bias_v: Tensor | None
    add_zero_attn: bool
    rate: float

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        need_weights: bool,
        static: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> tuple[Tensor, Tensor | None]:
        """(N, L, E), to be projected to the output, and the weights (N, H, L, S) if wanted.

        Args:
            query, key, value: (N, L, features).
            static: keys and values (N H, S, E / H) instead of projections.
        """
        self._check(query, key, value)
        n, length = query.shape[:2]
        q, k, v = self._projected(query, key, value)
        k, v = (
            t if given is None else given.reshape(n, self.num_heads, *given.shape[1:])
            for t, given in zip((k, v), static, strict=True)
        )
        mask = self._mask(attn_mask, key_padding_mask, (n, length, k.shape[2]), query)
        k, v, mask = self._extended(k, v, mask)
        weights = None
        if need_weights:
            weights = dropout(attention_weights(q, k, mask), self.rate)
            y = weights.matmul(v)
        else:
            y = scaled_dot_product_attention(q, k, v, mask, self.rate)
        return y.transpose(1, 2).reshape(n, length, self.weights[0].shape[0]), weights

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        tensors = {"query": query, "key": key, "value": value}
        wrong = [
            f"{name} must have {w.shape[1]} features"
            for (name, t), w in zip(tensors.items(), self.weights, strict=True)
            if t.shape[2] != w.shape[1]
        ]
        if not query.shape[0] == key.shape[0] == value.shape[0]:
            wrong.append("all must have one batch size")
        if key.shape[1] != value.shape[1]:
            wrong.append("key and value must be equally long")
        if wrong:
            raise ShapeError(
                f"MultiheadAttention: {', '.join(wrong)}.",
                {name: describe(t) for name, t in tensors.items()},
            )

    def _projected(self, *inputs: Tensor) -> list[Tensor]:
        """Queries, keys and values, (N, heads, L, E / heads).

        Three products, though the weights are fused: the gradient of one product's three parts
        would have to be put together again.
        """
        parts = zip(inputs, self.weights, self.biases, strict=True)
        return [self._split(linear(x, w, b)) for x, w, b in parts]

    def _split(self, t: Tensor) -> Tensor:
        """(N, L, E) as (N, heads, L, E / heads)."""
        n, length, features = t.shape
        heads = t.reshape(n, length, self.num_heads, features // self.num_heads)
        return heads.transpose(1, 2)

    def _mask(
        self,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        sizes: tuple[int, int, int],
        like: Tensor,
    ) -> Tensor | None:
        """What is added to the products, broadcasting to (N, H, L, S)."""
        n, queries, keys = sizes
        mask = None
        if attn_mask is not None:
            allowed = ((queries, keys), (n * self.num_heads, queries, keys))
            _require("attn_mask", attn_mask, allowed)
            mask = _added(attn_mask, like)
            if mask.ndim == 3:
                mask = mask.reshape(n, self.num_heads, queries, keys)
        if key_padding_mask is not None:
            _require("key_padding_mask", key_padding_mask, ((n, keys),))
            padding = _added(key_padding_mask, like).reshape(n, 1, 1, keys)
            mask = padding if mask is None else mask + padding
        return mask

    def _extended(
        self, k: Tensor, v: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys and values with the learned ones and the zeros added at the end."""
        n = k.shape[0]
        if self.bias_k is not None and self.bias_v is not None:
            k, v = (
                cat([t, self._split(extra).expand(n, -1, -1, -1)], 2)
                for t, extra in ((k, self.bias_k), (v, self.bias_v))
            )
        if self.add_zero_attn:
            k, v = (pad(t, (0, 0, 0, 1)) for t in (k, v))
        extra = (self.bias_k is not None) + self.add_zero_attn
        return k, v, pad(mask, (0, extra)) if mask is not None and extra else mask


def _require(name: str, mask: Tensor, shapes: tuple[tuple[int, ...], ...]) -> None:
    if tuple(mask.shape) not in shapes:
        wanted = " or ".join(str(s) for s in shapes)
        raise ShapeError(f"MultiheadAttention: {name} must be {wanted}, got {describe(mask)}.")


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """A mask as numbers to add: -inf where a boolean one is true."""
    if mask.dtype.is_floating_point:
        return mask.to(like.dtype)
    if mask.dtype is not dtypes.bool_:
        raise DTypeError(
            f"MultiheadAttention: masks hold booleans or numbers to add, got {describe(mask)}.",
            fix="mask.bool()",
        )
    return like.new_zeros(mask.shape).masked_fill(mask, -math.inf)


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What ``nn.MultiheadAttention`` computes, of given weights.

    Args:
        query, key, value: (L, N, features) or (L, features): sequences first.
        embed_dim_to_check: E, the features of queries.
        num_heads, add_zero_attn, key_padding_mask, need_weights, attn_mask, average_attn_weights,
            is_causal: as of the layer.
        in_proj_weight: (3 E, E), or with ``use_separate_proj_weight`` ``q_proj_weight`` (E, E),
            ``k_proj_weight`` and ``v_proj_weight`` (E, features).
        in_proj_bias: (3 E) or None.
        bias_k, bias_v: (1, 1, E) or (E), or None.
        dropout_p, training: which part of the weights training leaves out.
        out_proj_weight, out_proj_bias: (E, E) and (E), of the output.
        static_k, static_v: (N H, S, E / H) instead of projections of key and value.

    Returns: (L, N, E) or (L, E), and the weights (N, L, S), without N if the query has none; None
        if they are not asked for.

    Raises:
        ShapeError: inputs or masks that do not fit. ArgumentError: heads that do not divide E.
    """
    if query.shape[-1] != embed_dim_to_check or embed_dim_to_check % num_heads:
        raise ArgumentError(
            f"multi_head_attention_forward: {describe(query)} must have {embed_dim_to_check} "
            f"features, which {num_heads} heads share."
        )
    if is_causal and attn_mask is None:
        raise ArgumentError(
            "multi_head_attention_forward: is_causal describes attn_mask, which is missing."
        )
    weights: tuple[Tensor | None, ...] = (q_proj_weight, k_proj_weight, v_proj_weight)
    if not use_separate_proj_weight and in_proj_weight is not None:
        weights = in_proj_weight.chunk(3)
    if any(w is None for w in weights):
        raise ArgumentError("multi_head_attention_forward: weights of projections are missing.")
    heads = Heads(
        num_heads,
        tuple(w for w in weights if w is not None),
        (None, None, None) if in_proj_bias is None else in_proj_bias.chunk(3),
        None if bias_k is None else bias_k.reshape(1, 1, -1),
        None if bias_v is None else bias_v.reshape(1, 1, -1),
        add_zero_attn,
        dropout_p if training else 0.0,
    )
    lone = query.ndim == 2
    first = [t.unsqueeze(0) if lone else t.transpose(0, 1) for t in (query, key, value)]
    if lone and key_padding_mask is not None:
        key_padding_mask = key_padding_mask.unsqueeze(0)
    query, key, value = first
    y, found = heads.attend(
        query, key, value, attn_mask, key_padding_mask, need_weights, (static_k, static_v)
    )
    y = linear(y, out_proj_weight, out_proj_bias)
    if found is not None and average_attn_weights:
        found = found.mean(1)
    if lone:
        return y.squeeze(0), None if found is None else found.squeeze(0)
    return y.transpose(0, 1), found
