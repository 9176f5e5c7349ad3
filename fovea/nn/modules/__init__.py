"""Layers under the names of PyTorch's files: ``fovea.nn.modules.batchnorm._BatchNorm``.

For programs that look there; the layers themselves live in the files beside this folder.
"""

from __future__ import annotations

import importlib
import sys
import types

from fovea.nn.modules import utils

# PyTorch's file: where its layers stand here; then what has another name here.
_FILES: dict[str, tuple[str, dict[str, str]]] = {
    "activation": ("activation smooth attention", {}),
    "adaptive": ("adaptive", {}),
    "batchnorm": ("batch_norm sync_batch_norm lazy_norm", {"_NormBase": "_RunningNorm"}),
    "channelshuffle": ("shaping", {}),
    "container": ("container", {}),
    "conv": (
        "conv volume lazy",
        {"_ConvNd": "_Conv", "_ConvTransposeNd": "_ConvTranspose"},
    ),
    "distance": ("shaping", {}),
    "dropout": ("dropout", {"_DropoutNd": "_Dropout"}),
    "flatten": ("shaping", {}),
    "fold": ("folding", {}),
    "instancenorm": ("batch_norm lazy_norm", {}),
    "lazy": ("lazy", {}),
    "linear": ("linear lazy", {"NonDynamicallyQuantizableLinear": "Linear"}),
    "linear_cross_entropy_options": ("functional.linear_loss", {}),
    "loss": ("loss margins linear_loss", {}),
    "module": ("module state hooks", {"_IncompatibleKeys": "IncompatibleKeys"}),
    "normalization": ("normalization", {}),
    "padding": ("padding", {"_ConstantPadNd": "_ConstantPad"}),
    "pixelshuffle": ("shaping", {}),
    "pooling": (
        "pooling volume unpooling",
        {"_MaxPoolNd": "_MaxPool", "_MaxUnpoolNd": "_MaxUnpool", "_LPPoolNd": "_LPPool"},
    ),
    "rnn": ("recurrent recurrent_cells", {}),
    "sparse": ("sparse", {}),
    "transformer": ("transformer attention", {}),
    "upsampling": ("shaping", {}),
}


def _module(name: str) -> types.ModuleType:
    """A module of PyTorch's name that holds the layers of several of ours."""
    places, other_names = _FILES[name]
    made = types.ModuleType(f"{__name__}.{name}", f"Layers of PyTorch's ``{name}``.")
    for place in places.split():
        source = vars(importlib.import_module(f"fovea.nn.{place}"))
        own = {
            k: v for k, v in source.items() if getattr(v, "__module__", "") == source["__name__"]
        }
        vars(made).update(own)
    for theirs, ours in other_names.items():
        setattr(made, theirs, getattr(made, ours))
    sys.modules[made.__name__] = made
    return made


for _name in _FILES:
    globals()[_name] = _module(_name)
    globals().update({k: v for k, v in vars(globals()[_name]).items() if not k.startswith("_")})
