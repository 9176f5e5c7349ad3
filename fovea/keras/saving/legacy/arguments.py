"""What layers of Keras 1 and 2 and their arguments are called now.

Plain data in, plain data out. Keras 1 wrote ``nb_filter`` and ``border_mode`` where Keras 2 writes
``filters`` and ``padding``; some arguments of both have no place in Keras 3.
"""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError

__all__ = ["class_now", "config_now", "merging_layer"]

Config = dict[str, Any]

_CLASSES = {
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "CuDNNGRU": "GRU",
    "CuDNNLSTM": "LSTM",
    "Deconvolution2D": "Conv2DTranspose",
    "Deconvolution3D": "Conv3DTranspose",
    "GRUV1": "GRU",
    "GRUV2": "GRU",
    "LSTMV1": "LSTM",
    "LSTMV2": "LSTM",
    "MultiHeadAttentionV2": "MultiHeadAttention",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
    "SyncBatchNormalization": "BatchNormalization",
    "ThresholdedReLU": "ReLU",
    "TimeDistributedDense": "Dense",
}
_EVERYWHERE = {
    "W_constraint": "kernel_constraint",
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "atrous_rate": "dilation_rate",
    "b_constraint": "bias_constraint",
    "b_regularizer": "bias_regularizer",
    "beta_init": "beta_initializer",
    "bias": "use_bias",
    "border_mode": "padding",
    "dim_ordering": "data_format",
    "dropout_U": "recurrent_dropout",
    "dropout_W": "dropout",
    "filter_length": "kernel_size",
    "gamma_init": "gamma_initializer",
    "init": "kernel_initializer",
    "inner_activation": "recurrent_activation",
    "inner_init": "recurrent_initializer",
    "nb_filter": "filters",
    "p": "rate",
    "pool_length": "pool_size",
    "sigma": "stddev",
    "stride": "strides",
    "subsample": "strides",
    "subsample_length": "strides",
}
_UNITS = {"output_dim": "units"}
_RENAMED: dict[str, dict[str, str]] = {
    "Dense": _UNITS,
    "Embedding": {
        "init": "embeddings_initializer",
        "W_regularizer": "embeddings_regularizer",
        "W_constraint": "embeddings_constraint",
    },
    "GRU": _UNITS,
    "LSTM": _UNITS,
    "LeakyReLU": {"alpha": "negative_slope"},
    "PReLU": {"init": "alpha_initializer"},
    "ReLU": {"theta": "threshold"},
    "SimpleRNN": _UNITS,
    "UpSampling1D": {"length": "size"},
}
# What has no effect on what a trained model computes, or is what Keras 3 always does.
_GONE = frozenset(
    [
        "adjustment",
        "cache_enabled",
        "consume_less",
        "forget_bias_init",
        "fused",
        "input_dtype",
        "input_length",
        "output_shape_type",
        "renorm_clipping",
        "virtual_batch_size",
        "weights",
    ]
)
_KERNELS = frozenset(["kernel_initializer", "kernel_regularizer", "kernel_constraint", "groups"])
_NO_NOISE = frozenset(["noise_shape"])
_GONE_OF: dict[str, frozenset[str]] = {
    "AdditiveAttention": frozenset(["causal"]),
    "Attention": frozenset(["causal"]),
    "BatchNormalization": frozenset(["mode", "renorm", "renorm_momentum", "synchronized"]),
    "Conv2DTranspose": frozenset(["output_shape"]),
    "Conv3DTranspose": frozenset(["output_shape"]),
    "DepthwiseConv1D": _KERNELS | {"filters"},
    "DepthwiseConv2D": _KERNELS | {"filters"},
    "Embedding": frozenset(["dropout", "activity_regularizer"]),
    "MultiHeadAttention": frozenset(["query_shape", "key_shape", "value_shape"]),
    "SeparableConv1D": _KERNELS,
    "SeparableConv2D": _KERNELS,
    "SpatialDropout1D": _NO_NOISE,
    "SpatialDropout2D": _NO_NOISE,
    "SpatialDropout3D": _NO_NOISE,
}
_ORDERINGS = {"tf": "channels_last", "th": "channels_first", "default": None}


def class_now(name: str) -> str:
    """What a class of layers is called now.

    >>> class_now("Convolution2D"), class_now("Dense")
    ('Conv2D', 'Dense')
    """
    return _CLASSES.get(name, name)


def config_now(was: str, given: Config) -> Config:
    """The arguments of a layer of class ``was`` as Keras 3 names them.

    Raises:
        ArgumentError: the layer computes what no layer of Keras 3 does.

    >>> config_now("Convolution2D", {"nb_filter": 8, "nb_row": 3, "nb_col": 5,
    ...                              "border_mode": "same", "dim_ordering": "tf"})
    {'kernel_size': [3, 5], 'filters': 8, 'padding': 'same', 'data_format': 'channels_last'}
    """
    name = class_now(was)
    _refuse(name, given)
    names = {**_EVERYWHERE, **_RENAMED.get(name, {})}
    gone = _GONE | _GONE_OF.get(name, frozenset())
    config = _sizes(given)
    if name.startswith("SeparableConv") and "init" in config:
        init = config.pop("init")
        config |= {"depthwise_initializer": init, "pointwise_initializer": init}
    config = {names.get(k, k): v for k, v in config.items()}
    config = {k: v for k, v in config.items() if k not in gone}
    if config.get("data_format") in _ORDERINGS:
        config["data_format"] = _ORDERINGS[config["data_format"]]
    if name == "BatchNormalization":
        config["axis"] = _one_axis(config.get("axis", -1))
    if name == "GRU":
        config.setdefault("reset_after", was == "CuDNNGRU")
    if was.startswith("CuDNN"):
        config.setdefault("recurrent_activation", "sigmoid")
    return _with_input(name, config)


def _refuse(name: str, given: Config) -> None:
    label = f"the layer {given.get('name')!r} ({name})"
    if name == "BatchNormalization" and given.get("mode", 0) not in (0, None):
        raise ArgumentError(f"{label} has mode={given['mode']}, which no layer does any more.")
    if name == "BatchNormalization" and given.get("renorm"):
        raise ArgumentError(f"{label} has renorm=True, which is not available.")
    if given.get("causal"):
        raise ArgumentError(
            f"{label} has causal=True, which is an argument of calls now.",
            fix="build the model here with use_causal_mask=True in the call, and use load_weights",
        )
    if given.get("time_major"):
        raise ArgumentError(
            f"{label} has time_major=True; here the first dimension is the batch.",
            fix="make the model with time_major=False and load its weights",
        )


def _sizes(given: Config) -> Config:
    """With sizes of kernels as one argument."""
    config = {k: v for k, v in given.items() if k != "time_major"}
    for parts in (("nb_row", "nb_col"), ("kernel_dim1", "kernel_dim2", "kernel_dim3")):
        if all(p in config for p in parts):
            config = {"kernel_size": [config.pop(p) for p in parts], **config}
    return config


def _one_axis(axis: Any) -> Any:
    """tf.keras kept the axis of a batch normalization in a list."""
    return axis[0] if isinstance(axis, list) and len(axis) == 1 else axis


def _with_input(name: str, config: Config) -> Config:
    """With the input's shape under the one name that all layers take."""
    if name == "InputLayer":
        shape = config.pop("batch_input_shape", config.get("batch_shape"))
        kept = {k: config[k] for k in ("name", "dtype") if config.get(k) is not None}
        return {**kept, "batch_shape": shape}
    if name != "Embedding":  # Keras 1 noted it in every layer; the first has batch_input_shape
        config.pop("input_dim", None)
    return config


def merging_layer(config: Config) -> dict[str, Any]:
    """The layer that a ``Merge`` of Keras 1 is now.

    Raises:
        ArgumentError: a way of merging that is code, or unknown.

    >>> merging_layer({"name": "m", "mode": "sum"})["class_name"]
    'Add'
    """
    mode = config.get("mode")
    plain = {
        "sum": ("Add", {}),
        "mul": ("Multiply", {}),
        "ave": ("Average", {}),
        "max": ("Maximum", {}),
        "concat": ("Concatenate", {"axis": config.get("concat_axis", -1)}),
        "dot": ("Dot", {"axes": config.get("dot_axes", -1)}),
        "cos": ("Dot", {"axes": config.get("dot_axes", -1), "normalize": True}),
    }
    if config.get("mode_type", "raw") != "raw" or not isinstance(mode, str) or mode not in plain:
        raise ArgumentError(
            f"the layer {config.get('name')!r} merges by code in the file; fovea runs none.",
            fix="build the model here and use load_weights",
        )
    name, further = plain[mode]
    return {"class_name": name, "config": {"name": config.get("name"), **further}}
