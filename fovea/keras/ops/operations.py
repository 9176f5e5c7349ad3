"""Calls of ``keras.ops`` in files, as Keras writes them: ``{"class_name": "Sum", "config": ...}``.

Keras has a class for each function. A call's tensors stand among the arguments of its node, and all
other arguments in the config. The tables say which arguments of which function are the former.
"""

from __future__ import annotations

import inspect
from typing import Any

from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.ops.symbolic import FUNCTIONS, FunctionCall

__all__ = [
    "Operation",
    "class_name",
    "module_of_class",
    "module_of_function",
    "operation_entry",
]

# By Keras's module and by the arguments of a node: names of functions.
_CALLS: dict[str, dict[str, str]] = {
    "numpy": {
        "x": "absolute all amax amin angle any arccos arccosh arcsin arcsinh arctan arctanh argmax "
        "argmin argpartition argsort array array_split bincount bitwise_invert bitwise_not "
        "broadcast_to cbrt ceil clip conjugate copy corrcoef cos cosh count_nonzero cumprod cumsum "
        "deg2rad diag diagflat diagonal dsplit empty_like exp exp2 expand_dims expm1 fabs flip "
        "fliplr flipud floor histogram hsplit i0 imag isfinite isinf isnan isneginf isposinf "
        "isreal log log10 log1p log2 logical_not max mean median min moveaxis nan_to_num nanargmax "
        "nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanprod nanstd nansum "
        "nanvar ndim negative nonzero ones_like prod ptp rad2deg ravel real reciprocal repeat "
        "reshape roll round sign signbit sin sinc sinh size slogdet sort split sqrt square squeeze "
        "stack std sum swapaxes tan tanh tile trace transpose tril triu trunc unique vander var "
        "view vsplit zeros_like meshgrid",
        "x1 x2": "add allclose append arctan2 correlate cross divide divide_no_nan dot equal "
        "floor_divide fmax fmin fmod gcd greater greater_equal heaviside hypot inner isin kron lcm "
        "ldexp less less_equal logaddexp logaddexp2 logical_and logical_or logical_xor matmul "
        "maximum minimum mod multiply nextafter not_equal outer power subtract tensordot "
        "true_divide vdot",
        "x y": "bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor "
        "left_shift right_shift",
        "xs": "concatenate dstack hstack vstack",
        "x q": "nanpercentile nanquantile percentile quantile",
        "x indices": "take take_along_axis",
        "x constant_values": "pad",
        "start stop step": "arange",
        "x weights": "average",
        "x bins": "digitize",
        "x fill_value": "full_like",
        "x key": "get_item",
        "x1 x2 rtol atol": "isclose",
        "sorted_sequence values": "searchsorted",
        "condlist choicelist default": "select",
        "condition x1 x2": "where",
        "fill_value": "full",
        "array": "rot90",
        "y": "trapezoid",
        "indices": "unravel_index",
        "operands": "einsum",
        "a": "diff",
        "start stop": "geomspace linspace logspace",
    },
    "nn": {
        "x": "celu depth_to_space elu fold gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh "
        "leaky_relu log_sigmoid log_softmax moments normalize one_hot relu relu6 selu sigmoid silu "
        "soft_shrink softmax softplus softsign space_to_depth sparse_plus sparse_sigmoid sparsemax "
        "squareplus tanh_shrink threshold unfold",
        "inputs": "adaptive_average_pool adaptive_max_pool average_pool max_pool multi_hot",
        "inputs kernel": "conv conv_transpose depthwise_conv",
        "inputs depthwise_kernel pointwise_kernel": "separable_conv",
        "target output": "binary_crossentropy categorical_crossentropy "
        "sparse_categorical_crossentropy",
        "x mean variance offset scale": "batch_normalization",
        "x gamma beta": "layer_normalization",
        "x scale": "rms_normalization",
        "inputs sequence_lengths": "ctc_decode",
        "target output target_length output_length": "ctc_loss",
        "query key value bias mask scale": "dot_product_attention",
        "abs_ angle": "polar",
        "x1 x2": "psnr",
    },
    "math": {
        "x": "erf erfc erfinv extract_sequences fft fft2 ifft2 irfft istft logdet logsumexp rfft "
        "rsqrt stft top_k view_as_complex view_as_real",
        "x y": "cdist",
        "targets predictions": "in_top_k",
        "data segment_ids": "segment_max segment_min segment_prod segment_sum",
    },
    "linalg": {
        "x": "cholesky cholesky_inverse det eig eigh inv lu_factor matrix_rank norm pinv qr svd",
        "a b": "lstsq solve solve_triangular",
    },
    "core": {
        "x": "cast convert_to_tensor saturate_cast unstack",
        "variable": "stop_gradient",
        "f xs": "map",
        "f elems": "associative_scan",
        "f init xs": "scan",
        "index branches operands": "switch",
        "inputs start_indices": "slice",
        "inputs indices updates": "scatter_update",
        "inputs start_indices updates": "slice_update",
        "indices values": "scatter",
    },
    "image": {
        "images": "crop_images elastic_transform extract_patches gaussian_blur hsv_to_rgb "
        "pad_images resize rgb_to_grayscale rgb_to_hsv sobel_edges",
        "images transform": "affine_transform",
        "images start_points end_points": "perspective_transform",
        "images output_shape scale translation": "scale_and_translate",
        "inputs coordinates": "map_coordinates",
        "image1 image2": "ssim",
    },
    "einops": {"tensor pattern": "rearrange"},
    "activations": {"x": "mish re_lu"},
}
_IRREGULAR = {
    "allclose": "AllClose",
    "batch_normalization": "BatchNorm",
    "cdist": "CDist",
    "ctc_decode": "CTCDecode",
    "ctc_loss": "CTCLoss",
    "fft": "FFT",
    "fft2": "FFT2",
    "hsv_to_rgb": "HSVToRGB",
    "ifft2": "IFFT2",
    "irfft": "IRFFT",
    "isin": "IsIn",
    "istft": "ISTFT",
    "layer_normalization": "LayerNorm",
    "psnr": "PSNR",
    "re_lu": "ReLU",
    "rfft": "RFFT",
    "rgb_to_grayscale": "RGBToGrayscale",
    "rgb_to_hsv": "RGBToHSV",
    "rms_normalization": "RMSNorm",
    "searchsorted": "SearchSorted",
    "ssim": "SSIM",
    "stft": "STFT",
    "svd": "SVD",
}
_SAME = {"abs": "absolute", "hard_swish": "hard_silu", "swish": "silu"}


def class_name(function: str) -> str:
    """The name of Keras's class for a function of ``keras.ops``.

    >>> class_name("get_item"), class_name("abs"), class_name("fft2")
    ('GetItem', 'Absolute', 'FFT2')
    """
    function = _SAME.get(function, function)
    regular = "".join(part.capitalize() for part in function.split("_"))
    return _IRREGULAR.get(function, regular)


_BY_FUNCTION: dict[str, tuple[str, tuple[str, ...]]] = {
    name: (module, tuple(arguments.split()))
    for module, calls in _CALLS.items()
    for arguments, names in calls.items()
    for name in names.split()
}
_BY_CLASS = {(module, class_name(name)): name for name, (module, _) in _BY_FUNCTION.items()}


def module_of_function(name: str) -> str:
    """Where Keras defines a function's class: ``"keras.src.ops.numpy"`` ..."""
    return _full(_BY_FUNCTION[name][0])


def _full(module: str) -> str:
    """The whole name of a module of the table."""
    return f"keras.src.{'activations' if module == 'activations' else 'ops'}.{module}"


def module_of_class(name: str) -> str | None:
    """The module of a class of operations; None if there is none of that name.

    >>> module_of_class("Sum"), module_of_class("Dense")
    ('keras.src.ops.numpy', None)
    """
    found = next((m for m, known in _BY_CLASS if known == name and m != "activations"), None)
    return None if found is None else _full(found)


# -- writing ----------------------------------------------------------------------------------


def operation_entry(
    layer: Any,
) -> tuple[dict[str, Any], tuple[Any, ...], dict[str, Any]] | None:
    """A call as Keras describes it: class and config, and the arguments of its node.

    None if Keras has no such operation: the call is then described as fovea's own.
    """
    name = _SAME.get(layer.function, layer.function)
    if name not in _BY_FUNCTION:
        return None
    module, places = _BY_FUNCTION[name]
    node = layer._inbound_nodes[0]
    bound = inspect.signature(FUNCTIONS[layer.function]).bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    given = dict(bound.arguments)
    args: list[Any] = []
    further: dict[str, Any] = {}
    for parameter in bound.signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            args.extend(given.pop(parameter.name))
        elif parameter.kind is parameter.VAR_KEYWORD:
            further = given.pop(parameter.name, {})
        elif parameter.name in places:
            args.append(given.pop(parameter.name))
    if any(isinstance(v, KerasTensor) for v in given.values()):
        return None
    if module != "einops" and name != "einsum":
        given, further = {**given, **further}, {}
    described = {
        "module": _full(module),
        "class_name": class_name(name),
        "config": {"name": layer.name, **given},
        "registered_name": class_name(name),
    }
    return described, tuple(args), further if module == "einops" else {}


# -- reading ----------------------------------------------------------------------------------


class Operation:
    """An operation that a file describes; calling it on symbolic tensors joins their graph.

    Args:
        function: the function of ``keras.ops``.
        config: its arguments that are no tensors, and its name.
    """

    def __init__(self, function: str, config: dict[str, Any]) -> None:
        self.function, self.config = function, dict(config)
        self.name = str(self.config.pop("name", function))
        self._inbound_nodes: list[Any] = []

    @classmethod
    def read(cls, entry: dict[str, Any]) -> Operation | None:
        """The operation that an entry of a file describes; None if it describes a layer.

        >>> found = Operation.read({"module": "keras.src.ops.numpy", "class_name": "Sum",
        ...                         "config": {"name": "sum", "axis": 1, "keepdims": False}})
        >>> found.function
        'sum'
        """
        module = str(entry.get("module"))
        if not module.startswith(("keras.src.ops.", "keras.ops.", "keras.src.activations.")):
            return None
        function = _BY_CLASS.get((module.rsplit(".", 1)[-1], str(entry["class_name"])))
        if function is None or function not in FUNCTIONS:
            return None
        return cls(function, entry["config"])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        count = len(self._inbound_nodes)  # here each call is a layer, with a name of its own
        name = f"{self.name}_call_{count}" if count else self.name
        call = FunctionCall(self.function, name=name)
        placed, named = self._arguments(args)
        outputs = call(*placed, **{**named, **kwargs})
        self._inbound_nodes.append(call._inbound_nodes[-1])
        return outputs

    def _arguments(self, args: tuple[Any, ...]) -> tuple[list[Any], dict[str, Any]]:
        """The function's arguments: a node's and what stands before them by place, others named."""
        places = _BY_FUNCTION[self.function][1]
        placed: list[Any] = []
        named: dict[str, Any] = {}
        left = list(args)
        parameters = inspect.signature(FUNCTIONS[self.function]).parameters
        for parameter in parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                placed.extend(left)
                left = []
            elif parameter.kind is parameter.VAR_KEYWORD:
                named.update((k, v) for k, v in self.config.items() if k not in parameters)
            elif left:
                own = parameter.name in places
                held = self.config.get(parameter.name, parameter.default)
                placed.append(left.pop(0) if own else held)
            elif parameter.name in self.config:
                named[parameter.name] = self.config[parameter.name]
        return placed, named
