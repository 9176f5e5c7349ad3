"""``keras.ops.nn``: convolutions, further pools and activations, attention, CTC."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import fovea
import fovea.nn.functional as F
from fovea.errors import ArgumentError, ShapeError
from fovea.keras import activations, config
from fovea.keras.ops.elementwise import common, floating, numeric, tensor, wide
from fovea.keras.ops.symbolic import symbolic

__all__ = [
    "adaptive_average_pool", "adaptive_max_pool", "ctc_decode",
    "ctc_loss", "depth_to_space", "dot_product_attention", "fold", "hard_shrink",
    "hard_tanh", "psnr", "rms_normalization", "soft_shrink", "space_to_depth",
    "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh_shrink", "threshold",
    "unfold",
]  # fmt: skip


# -- activations ---------------------------------------------------------------------------------


@symbolic
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """0 from ``-threshold`` to ``threshold``, x elsewhere."""
    return activations.hard_shrink(floating(x), threshold)


@symbolic
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x moved towards 0 by ``threshold``."""
    return activations.soft_shrink(floating(x), threshold)


@symbolic
def hard_tanh(x: Any) -> Any:
    """x cut to [-1, 1]."""
    return fovea.clamp(numeric(x), -1, 1)


@symbolic
def tanh_shrink(x: Any) -> Any:
    """``x - tanh(x)``."""
    return activations.tanh_shrink(floating(x))


@symbolic
def sparse_plus(x: Any) -> Any:
    """0 below -1, x above 1, ``(x + 1)**2 / 4`` between."""
    return activations.sparse_plus(floating(x))


@symbolic
def sparse_sigmoid(x: Any) -> Any:
    """0 below -1, 1 above 1, ``(x + 1) / 2`` between."""
    return activations.sparse_sigmoid(floating(x))


@symbolic
def sparsemax(x: Any, axis: int = -1) -> Any:
    """The nearest probabilities, many of which are 0."""
    return activations.sparsemax(floating(x), axis)


@symbolic
def squareplus(x: Any, b: float = 4) -> Any:
    """``(x + sqrt(x**2 + b)) / 2``."""
    return activations.squareplus(floating(x), b)


@symbolic
def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """x where it is above a threshold, else ``default_value``."""
    return activations.threshold(floating(x), threshold, default_value)


# -- pools and blocks ----------------------------------------------------------------------------


def _adaptive(f: tuple[Any, ...], inputs: Any, size: Any, data_format: Any) -> Any:
    x = floating(inputs)
    rank = x.ndim - 2
    last = config.standardize_data_format(data_format) == "channels_last"
    x = fovea.movedim(x, -1, 1) if last else x
    y = f[rank - 1](x, (size,) * rank if isinstance(size, int) else tuple(size))
    return fovea.movedim(y, 1, -1) if last else y


@symbolic
def adaptive_average_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Any:
    """Means of as many windows as are asked for."""
    pools = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
    return _adaptive(pools, inputs, output_size, data_format)


@symbolic
def adaptive_max_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Any:
    """The largest of as many windows as are asked for."""
    pools = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)
    return _adaptive(pools, inputs, output_size, data_format)


@symbolic
def depth_to_space(x: Any, block_size: int, data_format: str | None = "channels_last") -> Any:
    """Channels as blocks of pixels: (N, H, W, C) to (N, H b, W b, C / b^2)."""
    x, b = tensor(x), block_size
    if config.standardize_data_format(data_format) == "channels_first":
        n, c, h, w = x.shape
        y = x.reshape(n, b, b, c // b**2, h, w)
        return fovea.permute(y, (0, 3, 4, 1, 5, 2)).reshape(n, c // b**2, h * b, w * b)
    n, h, w, c = x.shape
    y = x.reshape(n, h, w, b, b, c // b**2)
    return fovea.permute(y, (0, 1, 3, 2, 4, 5)).reshape(n, h * b, w * b, c // b**2)


@symbolic
def space_to_depth(x: Any, block_size: int, data_format: str | None = "channels_last") -> Any:
    """Blocks of pixels as channels: the inverse of ``depth_to_space``."""
    x, b = tensor(x), block_size
    if config.standardize_data_format(data_format) == "channels_first":
        n, c, h, w = x.shape
        y = x.reshape(n, c, h // b, b, w // b, b)
        return fovea.permute(y, (0, 3, 5, 1, 2, 4)).reshape(n, c * b**2, h // b, w // b)
    n, h, w, c = x.shape
    y = x.reshape(n, h // b, b, w // b, b, c)
    return fovea.permute(y, (0, 1, 3, 2, 4, 5)).reshape(n, h // b, w // b, c * b**2)


@symbolic
def unfold(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Windows of images (N, C, H, W) as columns, as PyTorch's."""
    return F.unfold(tensor(x), kernel_size, dilation, padding, stride)


@symbolic
def fold(
    x: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    """Columns summed where their windows lie, as PyTorch's."""
    return F.fold(tensor(x), output_size, kernel_size, dilation, padding, stride)


# -- normalization and attention -----------------------------------------------------------------


@symbolic
def rms_normalization(
    x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None
) -> Any:
    """x over the root of its mean square, times ``scale``."""
    x = floating(x)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    eps = config.epsilon() if epsilon is None else epsilon
    precise = wide(x)
    y = precise * (precise.square().mean(axes, keepdim=True) + eps).rsqrt()
    if scale is not None:
        s = floating(scale)
        kept = [a % x.ndim for a in axes]
        shape = [x.shape[d] if d in kept else 1 for d in range(x.ndim)]
        y = y * (s.reshape(shape) if s.ndim == len(kept) else s)
    return y.to(x.dtype)


@symbolic
def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Any:
    """Attention of (N, T, heads, d) to (N, S, key heads, d): (N, T, heads, d).

    Args:
        bias: added to the scores (N, heads, T, S).
        mask: where False, nothing is seen.
        scale: of the scores; 1 over the root of d unless given.
        is_causal: nothing behind is seen.
        attn_logits_soft_cap: scores are bent to lie within this.
    """
    q, k, v = floating(query), floating(key), floating(value)
    if q.ndim != 4 or k.ndim != 4 or q.shape[2] % k.shape[2]:
        raise ShapeError(
            f"dot_product_attention: (N, T, heads, d) are needed, got {tuple(q.shape)} and "
            f"{tuple(k.shape)}."
        )
    repeats = q.shape[2] // k.shape[2]
    if repeats > 1:
        k, v = (fovea.repeat_interleave(t, repeats, 2) for t in (k, v))
    q, k, v = (fovea.transpose(t, 1, 2) for t in (q, k, v))
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    scores = (q @ fovea.transpose(k, -1, -2)) * factor
    if attn_logits_soft_cap is not None:
        scores = fovea.tanh(scores / attn_logits_soft_cap) * attn_logits_soft_cap
    if bias is not None:
        scores = scores + floating(bias)
    lowest = fovea.finfo(scores.dtype).min * 0.7
    if mask is not None:
        scores = fovea.where(tensor(mask).to(fovea.bool), scores, lowest)
    if is_causal:
        t, s = scores.shape[-2:]
        seen = fovea.tril(fovea.ones(t, s, dtype=fovea.bool))
        scores = fovea.where(seen, scores, lowest)
    out = F.softmax(scores, -1) @ v
    return fovea.transpose(out, 1, 2)


@symbolic
def psnr(x1: Any, x2: Any, max_val: float) -> Any:
    """The ratio of the largest value to the error, in decibels."""
    a, b = common(floating(x1), floating(x2))
    return 20 * math.log10(max_val) - 10 * fovea.log10((a - b).square().mean())


# -- sequences of labels -------------------------------------------------------------------------


@symbolic
def ctc_loss(
    target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0
) -> Any:
    """The CTC loss (N,) of logits (N, T, classes) for labels (N, L)."""
    logits = wide(output)
    log_probs = fovea.transpose(F.log_softmax(logits, -1), 0, 1)
    labels, counts, steps = (
        tensor(v).to(fovea.int64) for v in (target, target_length, output_length)
    )
    return F.ctc_loss(log_probs, labels, steps, counts, blank=mask_index, reduction="none")


@symbolic
def ctc_decode(
    inputs: Any,
    sequence_lengths: Any,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> Any:
    """The likeliest labels of logits (N, T, classes).

    Args:
        sequence_lengths: (N,) steps of each sequence.
        strategy: ``"greedy"`` or ``"beam_search"``.
        beam_width, top_paths: of the search: beginnings that are kept, and results.
        merge_repeated: equal labels without a blank between them count once.

    Returns:
        Labels, int32 (paths, N, most labels), filled up with -1; and scores (N, paths).
    """
    logits = wide(inputs)
    lengths = tensor(sequence_lengths).to(fovea.int64)
    if strategy == "greedy":
        return _greedy(logits, lengths, merge_repeated, mask_index)
    if strategy != "beam_search":
        raise ArgumentError(f"ctc_decode: strategy is 'greedy' or 'beam_search', got {strategy!r}.")
    return _searched(logits, lengths, beam_width, top_paths, mask_index)


def _greedy(logits: Any, lengths: Any, merge: bool, blank: int) -> Any:
    steps = logits.shape[1]
    best, labels = logits.max(-1)
    inside = fovea.arange(steps) < lengths.unsqueeze(1)
    labels = fovea.where(inside, labels, blank)
    kept = labels != blank
    if merge:
        before = fovea.cat([labels[:, :1] * 0 - 1, labels[:, :-1]], 1)
        kept = kept & (labels != before)
    place = fovea.cumsum(kept.to(fovea.int64), 1) - 1
    place = fovea.where(kept, place, steps)
    found = fovea.full((logits.shape[0], steps + 1), -1, dtype=fovea.int64)
    found = found.scatter(1, place, fovea.where(kept, labels, -1))[:, :steps]
    score = -fovea.where(inside, best, 0.0).sum(1, keepdim=True)
    return found.to(fovea.int32).unsqueeze(0), score


def _searched(logits: Any, lengths: Any, width: int, paths: int, blank: int) -> Any:
    """Prefix beam search (Hannun, 2014), in NumPy."""
    log_probs = F.log_softmax(logits, -1).detach().numpy().astype(np.float64)
    n, steps, _ = log_probs.shape
    found = np.full((paths, n, steps), -1, np.int32)
    scores = np.full((n, paths), -np.inf, np.float64)
    for i in range(n):
        beams = _beams(log_probs[i, : int(lengths[i])], width, blank)
        for rank, (prefix, score) in enumerate(beams[:paths]):
            found[rank, i, : len(prefix)] = prefix
            scores[i, rank] = score
    return fovea.tensor(found), fovea.tensor(scores, dtype=logits.dtype)


def _beams(log_probs: Any, width: int, blank: int) -> list[tuple[tuple[int, ...], float]]:
    """The likeliest label sequences, with the logarithms of their probabilities."""
    none = -np.inf
    beams: dict[tuple[int, ...], tuple[float, float]] = {
        (): (0.0, none)
    }  # by whether the last step was a blank
    for row in log_probs:
        grown: dict[tuple[int, ...], list[float]] = {}

        def add(prefix: tuple[int, ...], which: int, score: float, grown: Any = grown) -> None:
            both = grown.setdefault(prefix, [none, none])
            both[which] = float(np.logaddexp(both[which], score))

        for prefix, (after_blank, after_label) in beams.items():
            either = float(np.logaddexp(after_blank, after_label))
            add(prefix, 0, either + row[blank])
            for label in range(len(row)):
                if label == blank:
                    continue
                longer = (*prefix, label)
                if prefix and prefix[-1] == label:
                    add(prefix, 1, after_label + row[label])
                    add(longer, 1, after_blank + row[label])
                else:
                    add(longer, 1, either + row[label])
        ranked = sorted(grown.items(), key=lambda item: -np.logaddexp(item[1][0], item[1][1]))
        beams = {prefix: (a, b) for prefix, (a, b) in ranked[:width]}
    return [(prefix, float(np.logaddexp(a, b))) for prefix, (a, b) in beams.items()]
