"""Keras's habits over fovea's engine: ``Sequential``, ``Model``, ``compile``, ``fit``.

Names, arguments and defaults are Keras 3's. A layer is a ``fovea.nn.Module``: either kind can hold
the other.

>>> import numpy as np
>>> from fovea.keras import layers, models
>>> model = models.Sequential([layers.Input(shape=(4,)), layers.Dense(3, activation="softmax")])
>>> model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
>>> history = model.fit(np.ones((8, 4)), np.zeros(8), epochs=2, verbose=0)
>>> sorted(history.history)
['accuracy', 'loss']
"""

from fovea.keras import (
    activations,
    applications,
    backend,
    callbacks,
    config,
    constraints,
    datasets,
    distillation,
    dtype_policies,
    initializers,
    layers,
    losses,
    metrics,
    mixed_precision,
    models,
    ops,
    optimizers,
    preprocessing,
    random,
    regularizers,
    saving,
    tree,
    utils,
)
from fovea.keras.callbacks import Callback
from fovea.keras.config import device, version
from fovea.keras.dtype_policies import DTypePolicy, FloatDTypePolicy
from fovea.keras.initializers import Initializer
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.layers import Input, InputSpec, Layer
from fovea.keras.losses import Loss
from fovea.keras.metrics import Metric
from fovea.keras.models import Functional, Model, Sequential
from fovea.keras.naming import name_scope
from fovea.keras.optimizers import Optimizer
from fovea.keras.recomputing import RematScope, remat
from fovea.keras.regularizers import Regularizer
from fovea.keras.stateless import StatelessScope
from fovea.keras.variables import Variable

__version__ = version()

__all__ = [
    "Callback",
    "DTypePolicy",
    "FloatDTypePolicy",
    "Functional",
    "Initializer",
    "Input",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Regularizer",
    "RematScope",
    "Sequential",
    "StatelessScope",
    "Variable",
    "activations",
    "applications",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "device",
    "distillation",
    "dtype_policies",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "name_scope",
    "ops",
    "optimizers",
    "preprocessing",
    "random",
    "regularizers",
    "remat",
    "saving",
    "tree",
    "utils",
    "version",
]
