"""Functions of Keras's older backend: activations, losses, convolutions, CTC, images."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.keras import activations, config
from fovea.keras import ops as keras_ops
from fovea.keras import random as keras_random

__all__ = [
    "batch_normalization", "bias_add", "binary_crossentropy", "binary_focal_crossentropy",
    "categorical_crossentropy", "categorical_focal_crossentropy", "conv1d", "conv2d",
    "conv2d_transpose", "conv3d", "ctc_batch_cost", "ctc_decode", "depthwise_conv2d", "dropout",
    "elu", "hard_sigmoid", "in_top_k", "l2_normalize", "pool2d", "pool3d", "relu",
    "resize_images", "resize_volumes", "separable_conv2d", "sigmoid", "softmax", "softplus",
    "softsign", "sparse_categorical_crossentropy", "spatial_2d_padding", "spatial_3d_padding",
    "tanh", "temporal_padding",
]  # fmt: skip

ops: Any = keras_ops  # its functions are made from tables

Sizes = tuple[int, ...]


# -- activations ----------------------------------------------------------------------------------


def relu(x: Any, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """``max(x, 0)`` and its relatives; ``alpha`` is the slope below."""
    return activations.relu(x, alpha, max_value, threshold)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below."""
    return ops.elu(x, alpha)


def softmax(x: Any, axis: int = -1) -> Any:
    """Shares that sum to 1 along an axis."""
    return ops.softmax(x, axis=axis)


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``."""
    return ops.softplus(x)


def softsign(x: Any) -> Any:
    """``x / (1 + |x|)``."""
    return ops.softsign(x)


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``."""
    return ops.sigmoid(x)


def hard_sigmoid(x: Any) -> Any:
    """``0.2 x + 0.5``, cut to [0, 1]: that of Keras 1 and 2, which ``keras.ops`` has no more.

    >>> hard_sigmoid([-9.0, 0.0, 1.0])
    tensor([0.0000, 0.5000, 0.7000])
    """
    return ops.clip(ops.convert_to_tensor(x) * 0.2 + 0.5, 0.0, 1.0)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return ops.tanh(x)


def dropout(x: Any, level: float, noise_shape: Any = None, seed: Any = None) -> Any:
    """Values without a share ``level`` of them, the others larger for it."""
    return keras_random.dropout(ops.convert_to_tensor(x), level, noise_shape, seed=seed)


def l2_normalize(x: Any, axis: Any = None) -> Any:
    """Divided by the root of the sum of squares over axes, which is taken for 1e-6 at least."""
    x = ops.convert_to_tensor(x)
    squares = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, 1e-12))


def batch_normalization(
    x: Any, mean: Any, var: Any, beta: Any, gamma: Any, axis: int = -1, epsilon: float = 1e-3
) -> Any:
    """``(x - mean) / sqrt(var + epsilon) * gamma + beta``."""
    return ops.batch_normalization(x, mean, var, axis, offset=beta, scale=gamma, epsilon=epsilon)


def bias_add(x: Any, bias: Any, data_format: str | None = None) -> Any:
    """A bias for each channel, or one for each place of a sample, added."""
    x, bias = ops.convert_to_tensor(x), ops.convert_to_tensor(bias)
    first = config.standardize_data_format(data_format) == "channels_first"
    if len(bias.shape) == 1:
        shape = (1, -1, *[1] * (len(x.shape) - 2)) if first else (-1,)
        return x + ops.reshape(bias, shape)
    if len(bias.shape) != len(x.shape) - 1:
        raise ArgumentError(
            f"bias_add: the bias has 1 or {len(x.shape) - 1} dimensions, got {tuple(bias.shape)}."
        )
    if first:
        bias = ops.moveaxis(bias, -1, 0)
    return x + ops.expand_dims(bias, 0)


# -- losses: of each element, the target first ----------------------------------------------------


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """``-t log(o) - (1 - t) log(1 - o)`` of each element."""
    return ops.binary_crossentropy(_like(target, output), output, from_logits=from_logits)


def _like(target: Any, output: Any) -> Any:
    return ops.cast(target, config.standardize_dtype(ops.convert_to_tensor(output).dtype))


def binary_focal_crossentropy(
    target: Any,
    output: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
) -> Any:
    """``binary_crossentropy`` with less weight for what is right already."""
    t = _like(target, output)
    p = ops.sigmoid(output) if from_logits else ops.convert_to_tensor(output)
    right = t * p + (1 - t) * (1 - p)
    loss = ops.power(1.0 - right, gamma) * binary_crossentropy(t, p)
    return (t * alpha + (1 - t) * (1 - alpha)) * loss if apply_class_balancing else loss


def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """``-sum(t log(o))`` along an axis."""
    t = _like(target, output)
    return ops.categorical_crossentropy(t, output, from_logits=from_logits, axis=axis)


def categorical_focal_crossentropy(
    target: Any,
    output: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    axis: int = -1,
) -> Any:
    """``categorical_crossentropy`` with less weight for what is right already."""
    t = _like(target, output)
    p = ops.softmax(output, axis=axis) if from_logits else ops.convert_to_tensor(output)
    p = p / ops.sum(p, axis=axis, keepdims=True)
    p = ops.clip(p, config.epsilon(), 1.0 - config.epsilon())
    loss = -t * ops.log(p) * ops.power(1.0 - p, gamma) * ops.convert_to_tensor(alpha)
    return ops.sum(loss, axis=axis)


def sparse_categorical_crossentropy(
    target: Any,
    output: Any,
    from_logits: bool = False,
    axis: int = -1,
    ignore_class: int | None = None,
) -> Any:
    """The same for classes by their numbers; 0 where the class is ``ignore_class``."""
    target = ops.cast(target, "int64")
    if len(target.shape) == len(ops.convert_to_tensor(output).shape) and target.shape[axis] == 1:
        target = ops.squeeze(target, axis)
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(target, output, from_logits, axis)
    kept = ops.not_equal(target, ignore_class)
    safe = ops.where(kept, target, ops.zeros_like(target))
    loss = ops.sparse_categorical_crossentropy(safe, output, from_logits, axis)
    return ops.where(kept, loss, ops.zeros_like(loss))


def in_top_k(predictions: Any, targets: Any, k: int) -> Any:
    """Whether the class is among the k likeliest."""
    return ops.in_top_k(targets, predictions, k)


def ctc_batch_cost(y_true: Any, y_pred: Any, input_length: Any, label_length: Any) -> Any:
    """The loss of connectionist temporal classification; the last class is the blank.

    Args:
        y_true: (N, L): classes.
        y_pred: (N, T, C): probabilities, as softmax gives them.
        input_length, label_length: (N, 1): how many steps and how many labels count.

    Returns:
        (N, 1).
    """
    y_pred = ops.convert_to_tensor(y_pred)
    loss = ops.ctc_loss(
        ops.cast(y_true, "int32"),
        ops.log(y_pred + config.epsilon()),
        ops.cast(ops.squeeze(label_length, -1), "int32"),
        ops.cast(ops.squeeze(input_length, -1), "int32"),
        mask_index=int(y_pred.shape[-1]) - 1,
    )
    return ops.expand_dims(loss, 1)


def ctc_decode(
    y_pred: Any, input_length: Any, greedy: bool = True, beam_width: int = 100, top_paths: int = 1
) -> tuple[list[Any], Any]:
    """The likeliest labels; the last class is the blank.

    Args:
        y_pred: (N, T, C): probabilities, as softmax gives them.
        input_length: (N,): how many steps count.
        greedy: the likeliest class of each step; else the likeliest of ``beam_width`` paths.
        top_paths: how many of them.

    Returns:
        A list of (N, T), with -1 after the labels; and scores.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    found, score = ops.ctc_decode(
        ops.log(y_pred + config.epsilon()),
        ops.cast(input_length, "int32"),
        strategy="greedy" if greedy else "beam_search",
        beam_width=beam_width,
        top_paths=1 if greedy else top_paths,
        mask_index=int(y_pred.shape[-1]) - 1,
    )
    return list(ops.unstack(found)), score


# -- convolutions and pools -----------------------------------------------------------------------


def conv1d(
    x: Any, kernel: Any, strides: int = 1, padding: str = "valid", data_format: str | None = None,
    dilation_rate: int = 1,
) -> Any:  # fmt: skip
    """A convolution of sequences; ``"causal"`` padding looks back only."""
    if padding == "causal":
        left = dilation_rate * (int(kernel.shape[0]) - 1)
        first = config.standardize_data_format(data_format) == "channels_first"
        x = ops.pad(x, [[0, 0], [0, 0], [left, 0]] if first else [[0, 0], [left, 0], [0, 0]])
        padding = "valid"
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv2d(
    x: Any, kernel: Any, strides: Sizes = (1, 1), padding: str = "valid",
    data_format: str | None = None, dilation_rate: Sizes = (1, 1),
) -> Any:  # fmt: skip
    """A convolution of images with a kernel (height, width, in, out)."""
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv3d(
    x: Any, kernel: Any, strides: Sizes = (1, 1, 1), padding: str = "valid",
    data_format: str | None = None, dilation_rate: Sizes = (1, 1, 1),
) -> Any:  # fmt: skip
    """A convolution of volumes."""
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv2d_transpose(
    x: Any, kernel: Any, output_shape: Any, strides: Sizes = (1, 1), padding: str = "valid",
    data_format: str | None = None, dilation_rate: Sizes = (1, 1),
) -> Any:  # fmt: skip
    """A transposed convolution of images with a kernel (height, width, out, in).

    Raises:
        ArgumentError: no convolution of ``output_shape`` gives these images.
    """
    first = config.standardize_data_format(data_format) == "channels_first"
    places = (2, 3) if first else (1, 2)
    wanted = [output_shape[place] for place in places]
    found = ops.conv_transpose(x, kernel, strides, padding, None, data_format, dilation_rate)
    usual = [int(found.shape[place]) for place in places]
    if all(w is None or int(w) == u for w, u in zip(wanted, usual, strict=True)):
        return found
    more = []
    for n, place in enumerate(places):
        spread = (int(kernel.shape[n]) - 1) * dilation_rate[n] + 1
        edge = spread - 2 * (spread // 2) if padding == "same" else spread
        more.append(int(wanted[n]) - (int(x.shape[place]) - 1) * strides[n] - edge)
        if not 0 <= more[-1] < strides[n]:
            raise ArgumentError(
                f"conv2d_transpose: images of {tuple(x.shape)} cannot become {tuple(output_shape)} "
                f"with strides {strides} and {padding!r} padding.",
                fix=f"sides of {usual}",
            )
    return ops.conv_transpose(x, kernel, strides, padding, tuple(more), data_format, dilation_rate)


def depthwise_conv2d(
    x: Any, depthwise_kernel: Any, strides: Sizes = (1, 1), padding: str = "valid",
    data_format: str | None = None, dilation_rate: Sizes = (1, 1),
) -> Any:  # fmt: skip
    """A convolution of each channel by itself."""
    return ops.depthwise_conv(x, depthwise_kernel, strides, padding, data_format, dilation_rate)


def separable_conv2d(
    x: Any, depthwise_kernel: Any, pointwise_kernel: Any, strides: Sizes = (1, 1),
    padding: str = "valid", data_format: str | None = None, dilation_rate: Sizes = (1, 1),
) -> Any:  # fmt: skip
    """``depthwise_conv2d``, then one of 1 x 1."""
    return ops.separable_conv(
        x, depthwise_kernel, pointwise_kernel, strides, padding, data_format, dilation_rate
    )


def _pool(x: Any, size: Any, strides: Any, padding: str, data_format: Any, mode: str) -> Any:
    pools = {"max": ops.max_pool, "avg": ops.average_pool}
    if mode not in pools:
        raise ArgumentError(f"pool_mode is 'max' or 'avg', got {mode!r}.")
    return pools[mode](x, tuple(size), tuple(strides), padding, data_format)


def pool2d(
    x: Any, pool_size: Sizes, strides: Sizes = (1, 1), padding: str = "valid",
    data_format: str | None = None, pool_mode: str = "max",
) -> Any:  # fmt: skip
    """The largest value, or the mean (``"avg"``), of windows of images."""
    return _pool(x, pool_size, strides, padding, data_format, pool_mode)


def pool3d(
    x: Any, pool_size: Sizes, strides: Sizes = (1, 1, 1), padding: str = "valid",
    data_format: str | None = None, pool_mode: str = "max",
) -> Any:  # fmt: skip
    """The same of volumes."""
    return _pool(x, pool_size, strides, padding, data_format, pool_mode)


# -- images ---------------------------------------------------------------------------------------


def _padded(x: Any, padding: Any, data_format: str | None) -> Any:
    first = config.standardize_data_format(data_format) == "channels_first"
    sides = [list(pair) for pair in padding]
    return ops.pad(x, [[0, 0], [0, 0], *sides] if first else [[0, 0], *sides, [0, 0]])


def temporal_padding(x: Any, padding: Sizes = (1, 1)) -> Any:
    """Zeros before and after sequences."""
    return _padded(x, [padding], "channels_last")


def spatial_2d_padding(
    x: Any, padding: Any = ((1, 1), (1, 1)), data_format: str | None = None
) -> Any:
    """Zeros around images."""
    return _padded(x, padding, data_format)


def spatial_3d_padding(
    x: Any, padding: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None
) -> Any:
    """Zeros around volumes."""
    return _padded(x, padding, data_format)


def resize_images(
    x: Any, height_factor: int, width_factor: int, data_format: str, interpolation: str = "nearest"
) -> Any:
    """Images larger by whole factors.

    >>> resize_images(ops.ones((1, 2, 3, 1)), 2, 2, "channels_last").shape
    fovea.Size([1, 4, 6, 1])
    """
    x = ops.convert_to_tensor(x)
    rows, columns = (2, 3) if data_format == "channels_first" else (1, 2)
    size = (int(x.shape[rows]) * height_factor, int(x.shape[columns]) * width_factor)
    return ops.image.resize(x, size, interpolation, data_format=data_format)


def resize_volumes(
    x: Any, depth_factor: int, height_factor: int, width_factor: int, data_format: str
) -> Any:
    """Volumes larger by whole factors: each voxel several times.

    Raises:
        ArgumentError: an unknown ``data_format``.
    """
    first = 2 if config.standardize_data_format(data_format) == "channels_first" else 1
    for place, factor in enumerate((depth_factor, height_factor, width_factor)):
        x = ops.repeat(x, factor, axis=first + place)
    return x
