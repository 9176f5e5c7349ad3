"""Calls of functions in ``.h5`` files: TensorFlow's of Keras 2, and ``keras.ops`` of Keras 3."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError, FileFormatError
from fovea.keras.ops.operations import class_name, module_of_class, module_of_function

__all__ = ["modern_operation", "tensorflow_operation"]

Config = dict[str, Any]

# By the names of their arguments: TensorFlow's functions, with the name in keras.ops where it is
# another one. Arguments are "theirs=ours".
_FUNCTIONS: dict[str, str] = {
    "x": "math.abs=absolute math.ceil math.cos math.erf math.exp math.floor math.log math.log1p "
    "math.negative math.rsqrt math.sigmoid=sigmoid math.sign math.sin math.sqrt math.square "
    "math.tan math.tanh nn.sigmoid nn.tanh nn.relu6 abs=absolute exp sqrt square tanh sigmoid "
    "math.round",
    "features=x": "nn.elu nn.relu nn.selu nn.silu nn.softplus nn.softsign nn.swish=silu",
    "features=x alpha=negative_slope": "nn.leaky_relu",
    "features=x approximate": "nn.gelu",
    "logits=x axis": "nn.softmax nn.log_softmax",
    "x y=": "math.add math.divide math.floordiv=floor_divide math.maximum math.minimum "
    "math.multiply math.pow=power math.subtract math.truediv=true_divide add subtract multiply "
    "divide maximum minimum pow=power math.equal math.greater math.greater_equal math.less "
    "math.less_equal __operators__.add __operators__.sub=subtract "
    "__operators__.mul=multiply __operators__.truediv=true_divide __operators__.pow=power",
    "input_tensor=x axis keepdims": "math.reduce_max=max math.reduce_mean=mean math.reduce_min=min "
    "math.reduce_prod=prod math.reduce_std=std math.reduce_sum=sum math.reduce_variance=var "
    "reduce_max=max reduce_mean=mean reduce_min=min reduce_sum=sum",
    "input=x axis": "expand_dims squeeze math.argmax=argmax math.argmin=argmin",
    "x axis epsilon": "math.l2_normalize=normalize nn.l2_normalize=normalize",
    "t=x clip_value_min=x_min clip_value_max=x_max": "clip_by_value=clip",
    "x dtype": "cast",
    "tensor=x shape=newshape": "reshape",
    "a=x perm=axes": "transpose",
    "input=x multiples=repeats": "tile",
    "values=xs axis": "concat=concatenate",
    "values=x axis": "stack",
    "a=x1 b=": "linalg.matmul matmul",
    "input=variable": "stop_gradient",
    "images size method=interpolation": "image.resize compat.v1.image.resize",
    "input=x block_size": "nn.depth_to_space nn.space_to_depth",
}
_TABLE = {
    name.partition("=")[0]: (name.partition("=")[2] or name.split(".")[-1], arguments)
    for arguments, names in _FUNCTIONS.items()
    for name in names.split()
}
_DEFAULTS: dict[str, Config] = {
    "nn.leaky_relu": {"negative_slope": 0.2},
    "nn.gelu": {"approximate": False},
}
_SLICING = "__operators__.getitem"


def modern_operation(entry: Config) -> Config | None:
    """A call of ``keras.ops`` that Keras 3 wrote without its module; None if it is none.

    Layers go by the same names; they always say whether they are trainable.
    """
    config, name = entry.get("config"), str(entry.get("class_name"))
    nodes = entry.get("inbound_nodes") or ()
    if entry.get("module") is not None or not isinstance(config, dict) or "trainable" in config:
        return None
    module = module_of_class(name)
    if module is None or not any(isinstance(node, dict) for node in nodes):
        return None
    return {"module": module, "class_name": name, "config": config, "registered_name": name}


def tensorflow_operation(entry: Config, calls: list[Any]) -> tuple[Config, list[Any]] | None:
    """A function of TensorFlow's as one of ``keras.ops``, and its calls; None for a layer.

    Raises:
        ArgumentError: a function that is not known.
    """
    kind, config = entry.get("class_name"), entry.get("config")
    if kind == "TensorFlowOpLayer":
        raise _unknown(entry, "an operation of TensorFlow's graph")
    if kind not in ("TFOpLambda", "SlicingOpLambda") or not isinstance(config, dict):
        return None
    function = str(config.get("function"))
    if function == _SLICING:
        return _operation("get_item", entry), [_slicing(call, entry) for call in calls]
    plain = function.removeprefix("compat.v1.")
    if function not in _TABLE and plain not in _TABLE:
        raise _unknown(entry, f"TensorFlow's function {function!r}")
    key = function if function in _TABLE else plain
    name, arguments = _TABLE[key]
    names = dict(pair.partition("=")[::2] for pair in arguments.split())
    return _operation(name, entry), [_renamed(c, names, _DEFAULTS.get(key, {})) for c in calls]


def _operation(function: str, entry: Config) -> Config:
    name = class_name(function)
    module = module_of_function(function)
    config = {"name": entry["config"].get("name", function)}
    return {"module": module, "class_name": name, "config": config, "registered_name": name}


def _renamed(call: Config, names: dict[str, str], defaults: Config) -> Config:
    """A call with the arguments' names here; those without one go by place."""
    args, kwargs = list(call["args"]), dict(defaults)
    by_place = (next(iter(names)), *(k for k, v in names.items() if k in ("y", "b") and not v))
    for key, value in call["kwargs"].items():
        if key == "keep_dims":
            key = "keepdims"
        if key not in names:
            if value is None or value is False:
                continue
            raise ArgumentError(f"a call of TensorFlow's has the argument {key!r}: not known here.")
        if key in by_place:
            args.append(value)
        elif value is not None or key == "axis":
            kwargs[names[key] or key] = value
    return {"args": args, "kwargs": kwargs}


def _slicing(call: Config, entry: Config) -> Config:
    """Indexing: ``slice_spec`` holds slices, numbers and ellipses."""
    spec = call["kwargs"].get("slice_spec")
    if not isinstance(spec, list):
        raise FileFormatError(f"the file indexes in {entry.get('name')!r} without saying by what.")
    return {"args": [call["args"][0], [_index(s) for s in spec]], "kwargs": {}}


def _index(value: Any) -> Any:
    if isinstance(value, dict) and set(value) <= {"start", "stop", "step"}:
        parts = {k: value.get(k) for k in ("start", "stop", "step")}
        return {"class_name": "__slice__", "config": parts}
    if isinstance(value, dict) and value.get("class_name") == "__ellipsis__":
        return {"class_name": "__ellipsis__", "config": {}}
    return value


def _unknown(entry: Config, what: str) -> ArgumentError:
    return ArgumentError(
        f"the layer {entry.get('name')!r} is {what}, which is not known here.",
        fix="build the model here, with keras.ops in its place, and use load_weights",
    )
