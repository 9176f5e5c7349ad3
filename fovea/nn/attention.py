"""Attention layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import empty
from fovea.nn import functional as F
from fovea.nn import init
from fovea.nn.dropout import Dropout
from fovea.nn.functional.multihead import Heads
from fovea.nn.linear import Linear
from fovea.nn.module import Module
from fovea.nn.normalization import LayerNorm
from fovea.nn.parameter import Parameter
from fovea.nn.sdpa import SDPBackend, sdpa_kernel
from fovea.tensor import Tensor

__all__ = ["MultiheadAttention", "SDPBackend", "TransformerEncoderLayer", "sdpa_kernel"]


def _divisors(features: int) -> str | None:
    """Numbers of heads that would do."""
    fit = [str(n) for n in range(1, min(features, 64) + 1) if features % n == 0]
    return f"num_heads of {', '.join(fit)}" if fit else None


class NonDynamicallyQuantizableLinear(Linear):
    """A ``Linear`` by the name that PyTorch's attention gives to its last."""


class MultiheadAttention(Module):
    """Attention in several subspaces at once.

    y = concat(head_1, ..., head_H) W_out + b_out,
    head_i = softmax(Q_i K_i^T / sqrt(E / H) + mask) V_i, and Q_i, K_i, V_i linear in query, key and
    value.

    Args:
        embed_dim: features E of queries and of the output.
        num_heads: heads H; they share E among them.
        dropout: part of the weights that training leaves out.
        bias: whether the projections have one.
        add_bias_kv: whether a learned key and a learned value are added to the sequence.
        add_zero_attn: whether a key and a value of zeros are.
        kdim, vdim: features of keys and of values; None: E.
        batch_first: (N, L, E) instead of (L, N, E).
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        query (L, N, E), key (S, N, kdim), value (S, N, vdim) to (L, N, E) and the weights
        (N, L, S); N comes first with ``batch_first``, and is missing if the inputs have two
        dimensions.

    Parameters:
        in_proj_weight (3 E, E) for query, key and value in that order, or q_proj_weight (E, E),
        k_proj_weight (E, kdim) and v_proj_weight (E, vdim) if kdim or vdim is not E:
        xavier_uniform; in_proj_bias (3 E) of zeros; out_proj.weight (E, E) as a ``Linear`` has it
        and out_proj.bias (E) of zeros; bias_k and bias_v (1, 1, E): xavier_normal.

    Raises:
        ArgumentError: ``num_heads`` that does not divide ``embed_dim``.
        ShapeError: inputs or masks that do not fit.

    Source: A. Vaswani et al., "Attention Is All You Need", 2017, section 3.2.2.

    >>> import fovea
    >>> x = fovea.randn(2, 5, 8)
    >>> y, weights = MultiheadAttention(8, 2, batch_first=True)(x, x, x)
    >>> y.shape, weights.shape
    (fovea.Size([2, 5, 8]), fovea.Size([2, 5, 5]))
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ArgumentError(
                f"MultiheadAttention: num_heads={num_heads} must divide embed_dim={embed_dim}.",
                fix=_divisors(embed_dim),
            )
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.head_dim = embed_dim // num_heads
        self.batch_first, self.add_zero_attn = batch_first, add_zero_attn
        factory = {"device": device, "dtype": dtype}
        fused = self.kdim == self.vdim == embed_dim
        shapes: dict[str, tuple[int, ...] | None] = {
            "q_proj_weight": None if fused else (embed_dim, embed_dim),
            "k_proj_weight": None if fused else (embed_dim, self.kdim),
            "v_proj_weight": None if fused else (embed_dim, self.vdim),
            "in_proj_weight": (3 * embed_dim, embed_dim) if fused else None,
            "in_proj_bias": (3 * embed_dim,) if bias else None,
        }
        self._declare(shapes, factory)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, **factory)
        extra = (1, 1, embed_dim) if add_bias_kv else None
        self._declare({"bias_k": extra, "bias_v": extra}, factory)
        self._reset_parameters()

    def _declare(self, shapes: dict[str, tuple[int, ...] | None], factory: dict[str, Any]) -> None:
        for name, shape in shapes.items():
            value = None if shape is None else Parameter(empty(shape, **factory))
            self.register_parameter(name, value)

    def _reset_parameters(self) -> None:
        for weight in self._input_weights():
            init.xavier_uniform_(weight)
        if self.in_proj_bias is not None and self.out_proj.bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def _input_weights(self) -> list[Parameter]:
        weights = (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        return [w for w in weights if w is not None]

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The output, and the weights if they are asked for.

        Args:
            query, key, value: see the class.
            key_padding_mask: (N, S), or (S) without a batch: true for keys to ignore, or numbers to
                add to the products.
            need_weights: whether the weights are wanted.
            attn_mask: (L, S) or (N H, L, S): true where a query may not see a key, or numbers to
                add to the products.
            average_attn_weights: the weights' mean over heads, or (N, H, L, S).
            is_causal: says that ``attn_mask``, which must be given, is the causal one.
        """
        if is_causal and attn_mask is None:
            raise ArgumentError(
                "MultiheadAttention: is_causal describes attn_mask, which is missing."
            )
        batched = query.ndim == 3
        q, k, v = (self._batch_first(t, batched) for t in (query, key, value))
        if key_padding_mask is not None and not batched:
            key_padding_mask = key_padding_mask.unsqueeze(0)
        y, weights = self._projections().attend(q, k, v, attn_mask, key_padding_mask, need_weights)
        y = self.out_proj(y)
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            return y.squeeze(0), None if weights is None else weights.squeeze(0)
        return (y if self.batch_first else y.transpose(0, 1)), weights

    def _batch_first(self, t: Tensor, batched: bool) -> Tensor:
        if t.ndim != (3 if batched else 2):
            raise ShapeError(
                "MultiheadAttention: query, key and value must all have 3 dimensions (a batch) or "
                f"all have 2, got {describe(t)}."
            )
        if not batched:
            return t.unsqueeze(0)
        return t if self.batch_first else t.transpose(0, 1)

    def _projections(self) -> Heads:
        fused, bias = self.in_proj_weight, self.in_proj_bias
        return Heads(
            self.num_heads,
            tuple(self._input_weights() if fused is None else fused.chunk(3)),
            (None, None, None) if bias is None else bias.chunk(3),
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout if self.training else 0.0,
        )


class TransformerEncoderLayer(Module):
    """Self-attention and a network of two layers, each with a shortcut and a normalization.

    x = norm1(x + dropout1(self_attn(x))),
    y = norm2(x + dropout2(linear2(dropout(activation(linear1(x))))))

    Args:
        d_model: features.
        nhead: heads.
        dim_feedforward: features between the two layers.
        dropout: part of the features, and of the weights of attention, that training leaves out.
        activation: ``"relu"``, ``"gelu"`` or a function.
        layer_norm_eps: added to the variance in the normalizations.
        batch_first: (N, L, E) instead of (L, N, E).
        norm_first: normalize what goes into a branch instead of the sum behind it.
        bias: whether linear layers and normalizations have one.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        (L, N, d_model) to the same; (N, L, d_model) with ``batch_first``; (L, d_model) too.

    Raises:
        ArgumentError: an activation of another name.

    Source: A. Vaswani et al., "Attention Is All You Need", 2017, section 3.1; R. Xiong et al., "On
    Layer Normalization in the Transformer Architecture", 2020 (``norm_first``).

    >>> import fovea
    >>> TransformerEncoderLayer(8, 2, 16)(fovea.randn(5, 3, 8)).shape
    fovea.Size([5, 3, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **factory
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **factory)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **factory)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **factory)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **factory)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = named_activation("TransformerEncoderLayer", activation)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """The layer's output; the masks are those of ``MultiheadAttention``."""
        masks = (src_mask, src_key_padding_mask, is_causal)
        if self.norm_first:
            x = src + self._attend(self.norm1(src), *masks)
            return x + self._feed(self.norm2(x))
        x = self.norm1(src + self._attend(src, *masks))
        return self.norm2(x + self._feed(x))

    def _attend(
        self, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool
    ) -> Tensor:
        y, _ = self.self_attn(x, x, x, padding, False, mask, is_causal=is_causal)
        return self.dropout1(y)

    def _feed(self, x: Tensor) -> Tensor:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


def named_activation(
    layer: str, activation: str | Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """The function that a layer's ``activation`` means."""
    if not isinstance(activation, str):
        return activation
    named: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}
    if activation not in named:
        raise ArgumentError(
            f"{layer}: activation must be 'relu', 'gelu' or a function, got {activation!r}."
        )
    return named[activation]
