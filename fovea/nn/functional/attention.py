"""Attention: weighted means of values, the weights from products of queries and keys."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fovea import dtypes
from fovea.casting import LOWER, autocasts
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.functions.parts import repeat_interleave
from fovea.functions.ranges import arange
from fovea.nn.functional.activation import softmax
from fovea.nn.functional.dropout import dropout

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["attention_weights", "scaled_dot_product_attention"]


@autocasts(LOWER)
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key.T * scale + mask) @ value``.

    Args:
        query: (..., L, E).
        key: (..., S, E).
        value: (..., S, V).
        attn_mask: broadcasts to (..., L, S): booleans, true where a key takes part, or numbers
            that are added to the products. A query none of whose keys takes part gets zeros.
        dropout_p: part of the weights that is left out; give 0 in evaluation.
        is_causal: query i sees keys 0 to i alone; not together with ``attn_mask``.
        scale: factor of the products; None: 1 / sqrt(E).
        enable_gqa: keys and values have fewer heads (third-last dimension) than queries, and each
            serves several in a row.

    Shapes:
        out: (..., L, V).

    Raises:
        ArgumentError: ``is_causal`` with a mask. ShapeError: shapes that do not fit.
        DTypeError: a mask of integers.

    Source: A. Vaswani et al., "Attention Is All You Need", 2017, section 3.2.1.

    >>> import fovea
    >>> q, v = fovea.zeros(1, 1, 2), fovea.tensor([[[1.0], [3.0]]])
    >>> scaled_dot_product_attention(q, fovea.zeros(1, 2, 2), v)
    tensor([[[2.]]])
    """
    _check(query, key, value)
    if is_causal and attn_mask is not None:
        raise ArgumentError(
            "scaled_dot_product_attention: is_causal is a mask of its own, attn_mask is another.",
            fix="give one of them",
        )
    if enable_gqa:
        key, value = (_shared_heads(query, t) for t in (key, value))
    if is_causal:
        attn_mask = causal_mask(query.shape[-2], key.shape[-2])
    weights = attention_weights(query, key, attn_mask, scale)
    return dropout(weights, dropout_p).matmul(value)


def _check(query: Tensor, key: Tensor, value: Tensor) -> None:
    fits = (
        min(query.ndim, key.ndim, value.ndim) >= 2
        and query.shape[-1] == key.shape[-1]
        and key.shape[-2] == value.shape[-2]
    )
    if not fits:
        raise ShapeError(
            "scaled_dot_product_attention: query (..., L, E), key (..., S, E) and value "
            "(..., S, V) must fit.",
            {"query": describe(query), "key": describe(key), "value": describe(value)},
        )


def _shared_heads(query: Tensor, t: Tensor) -> Tensor:
    """Each head of ``t`` as often as it takes to have one for each head of the queries."""
    heads, own = query.shape[-3], t.shape[-3]
    if heads % own:
        raise ShapeError(
            f"scaled_dot_product_attention: {heads} heads of queries are no multiple of {own}."
        )
    return t if heads == own else repeat_interleave(t, heads // own, t.ndim - 3)


def causal_mask(queries: int, keys: int) -> Tensor:
    """(queries, keys) booleans: true on the diagonal and below."""
    return arange(queries).unsqueeze(1) >= arange(keys)


def attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """``softmax(query @ key.T * scale + mask)``, (..., L, S); arguments as
    ``scaled_dot_product_attention``.
    """
    if scale is None:
        scale = 1.0 / math.sqrt(query.shape[-1])
    scores = (query * scale).matmul(key.transpose(-2, -1))
    if mask is None:
        return softmax(scores, -1)
    if mask.dtype is dtypes.bool_:
        hidden = ~mask
    elif mask.dtype.is_floating_point:
        hidden = mask == -math.inf
    else:
        raise DTypeError(
            "scaled_dot_product_attention: a mask holds booleans or numbers to add, got "
            f"{describe(mask)}.",
            fix="attn_mask.bool()",
        )
    blind = hidden.all(-1, keepdim=True)  # softmax and its gradient would be NaN there
    if mask.dtype is dtypes.bool_:
        scores = scores.masked_fill(hidden & ~blind, -math.inf)
    else:
        scores = scores + mask.masked_fill(blind, 0.0).to(scores.dtype)
    return softmax(scores, -1).masked_fill(blind, 0.0)
