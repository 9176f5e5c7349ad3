"""The Transformer: stacks of encoder and decoder layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from fovea.errors import ShapeError, describe
from fovea.functions.creation import full
from fovea.nn import functional as F
from fovea.nn import init
from fovea.nn.attention import MultiheadAttention, TransformerEncoderLayer, named_activation
from fovea.nn.container import ModuleList
from fovea.nn.dropout import Dropout
from fovea.nn.linear import Linear
from fovea.nn.module import Module
from fovea.nn.normalization import LayerNorm
from fovea.tensor import Tensor

__all__ = ["Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder"]

Activation = str | Callable[[Tensor], Tensor]


def _copies(layer: Module, n: int) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(n)])


def _is_causal(mask: Tensor | None, given: bool | None) -> bool:
    """Whether a mask is said to be causal; it is added either way."""
    return bool(given) and mask is not None


class TransformerEncoder(Module):
    """Encoder layers, one after another.

    Args:
        encoder_layer: a layer, which is copied.
        num_layers: how many copies.
        norm: what normalizes the last one's output.
        enable_nested_tensor, mask_check: taken for compatibility.

    Shapes:
        as of the layer.

    >>> import fovea
    >>> layer = fovea.nn.TransformerEncoderLayer(8, 2, 16)
    >>> TransformerEncoder(layer, 2)(fovea.randn(5, 3, 8)).shape
    fovea.Size([5, 3, 8])
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """The last layer's output; the masks are those of ``MultiheadAttention``."""
        causal = _is_causal(mask, is_causal)
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, causal)
        return src if self.norm is None else self.norm(src)


class TransformerDecoderLayer(Module):
    """Self-attention, attention to an encoder's output, and a network of two layers.

    x = norm1(x + dropout1(self_attn(x))), x = norm2(x + dropout2(multihead_attn(x, memory))),
    y = norm3(x + dropout3(linear2(dropout(activation(linear1(x))))))

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
        targets (L, N, d_model) and memory (S, N, d_model) to (L, N, d_model); N comes first with
        ``batch_first``, and may be missing.

    Source: A. Vaswani et al., "Attention Is All You Need", 2017, section 3.1.

    >>> import fovea
    >>> TransformerDecoderLayer(8, 2, 16)(fovea.randn(4, 3, 8), fovea.randn(5, 3, 8)).shape
    fovea.Size([4, 3, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        attention = {"dropout": dropout, "bias": bias, "batch_first": batch_first, **factory}
        norm = {"eps": layer_norm_eps, "bias": bias, **factory}
        self.self_attn = MultiheadAttention(d_model, nhead, **attention)
        self.multihead_attn = MultiheadAttention(d_model, nhead, **attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **factory)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **factory)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, **norm)
        self.norm2 = LayerNorm(d_model, **norm)
        self.norm3 = LayerNorm(d_model, **norm)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = named_activation("TransformerDecoderLayer", activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The layer's output; the masks are those of ``MultiheadAttention``."""
        own = (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        other = (memory_mask, memory_key_padding_mask, memory_is_causal)
        x = tgt
        if self.norm_first:
            x = x + self._attend(self.norm1(x), *own)
            x = x + self._look(self.norm2(x), memory, *other)
            return x + self._feed(self.norm3(x))
        x = self.norm1(x + self._attend(x, *own))
        x = self.norm2(x + self._look(x, memory, *other))
        return self.norm3(x + self._feed(x))

    def _attend(self, x: Tensor, mask: Tensor | None, padding: Tensor | None, causal: bool) -> Any:
        return self.dropout1(self.self_attn(x, x, x, padding, False, mask, is_causal=causal)[0])

    def _look(
        self, x: Tensor, memory: Tensor, mask: Tensor | None, padding: Tensor | None, causal: bool
    ) -> Any:
        y = self.multihead_attn(x, memory, memory, padding, False, mask, is_causal=causal)[0]
        return self.dropout2(y)

    def _feed(self, x: Tensor) -> Any:
        return self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerDecoder(Module):
    """Decoder layers, one after another, all of which see the same memory.

    Args:
        decoder_layer: a layer, which is copied.
        num_layers: how many copies.
        norm: what normalizes the last one's output.

    Shapes:
        as of the layer.

    >>> import fovea
    >>> decoder = TransformerDecoder(TransformerDecoderLayer(8, 2, 16), 2)
    >>> decoder(fovea.randn(4, 3, 8), fovea.randn(5, 3, 8)).shape
    fovea.Size([4, 3, 8])
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The last layer's output; the masks are those of ``MultiheadAttention``."""
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        causal = _is_causal(tgt_mask, tgt_is_causal), _is_causal(memory_mask, memory_is_causal)
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks, *causal)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder, and a decoder that sees its output.

    Args:
        d_model: features.
        nhead: heads.
        num_encoder_layers: layers of the encoder.
        num_decoder_layers: layers of the decoder.
        dim_feedforward: features between the two linear layers of each.
        dropout: part of the features, and of the weights of attention, that training leaves out.
        activation: ``"relu"``, ``"gelu"`` or a function.
        custom_encoder: a module to use as the encoder.
        custom_decoder: a module to use as the decoder.
        layer_norm_eps: added to the variance in the normalizations.
        batch_first: (N, L, E) instead of (L, N, E).
        norm_first: normalize what goes into a branch instead of the sum behind it.
        bias: whether linear layers and normalizations have one.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        sources (S, N, d_model) and targets (L, N, d_model) to (L, N, d_model); N comes first with
        ``batch_first``, and may be missing.

    Source: A. Vaswani et al., "Attention Is All You Need", 2017.

    >>> import fovea
    >>> net = Transformer(8, 2, 1, 1, 16)
    >>> net(fovea.randn(5, 3, 8), fovea.randn(4, 3, 8)).shape
    fovea.Size([4, 3, 8])
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Any | None = None,
        custom_decoder: Any | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        sizes = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        rest = (batch_first, norm_first, bias)

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **factory)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*sizes, *rest, **factory), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*sizes, *rest, **factory), num_decoder_layers, norm()
        )
        for weight in self.parameters():
            if weight.ndim > 1:
                init.xavier_uniform_(weight)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The decoder's output; the masks are those of ``MultiheadAttention``."""
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ShapeError(
                f"Transformer: src and tgt must have {self.d_model} features.",
                {"src": describe(src), "tgt": describe(tgt)},
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask,
            memory_mask,
            tgt_key_padding_mask,
            memory_key_padding_mask,
            tgt_is_causal,
            memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """The causal mask: minus infinity above the diagonal, 0 elsewhere.

        >>> Transformer.generate_square_subsequent_mask(2)
        tensor([[0., -inf],
                [0., 0.]])
        """
        return full((sz, sz), float("-inf"), device=device, dtype=dtype).triu(1)
