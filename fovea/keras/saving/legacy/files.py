"""Whole models and weights in ``.h5`` and ``.hdf5`` files, as Keras 1, 2 and 3 write them."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fovea.errors import ArgumentError, FileFormatError, FoveaError
from fovea.interop.hdf5 import H5File, require_h5py
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.weights import limited_weights
from fovea.keras.models.configuration import compile_config
from fovea.keras.objects import CustomObjectScope, deserialize_keras_object, serialize_keras_object
from fovea.keras.saving.legacy.configs import description_now
from fovea.keras.saving.legacy.training import compile_as, restore_optimizer
from fovea.keras.saving.legacy.weights import (
    WeightsGroup,
    load_weights,
    write_values,
    write_weights,
)
from fovea.training.checkpoint import atomic_path

__all__ = [
    "is_h5",
    "is_older_form",
    "load_h5_model",
    "load_h5_weights",
    "model_of",
    "save_h5_model",
    "save_h5_weights",
]

KERAS_VERSION = "3.0.0"  # whose form the files have that are written here


def is_h5(path: Path) -> bool:
    """Whether a path is that of an HDF5 file in Keras's older form, by its name.

    >>> is_h5(Path("a.h5")), is_h5(Path("a.hdf5")), is_h5(Path("a.weights.h5"))
    (True, True, False)
    """
    return path.suffix in (".h5", ".hdf5") and not path.name.endswith(".weights.h5")


def is_older_form(path: Path) -> bool:
    """Whether an HDF5 file has the older form inside, whatever its name says."""
    with H5File.open(path) as file:
        return WeightsGroup.is_in(file)


# -- reading ----------------------------------------------------------------------------------


def load_h5_model(path: Path, custom_objects: Any = None, compile: bool = True) -> Any:
    """The model in a file.

    Raises:
        FileFormatError: a file that is missing or damaged, or holds weights alone.
        ArgumentError: layers that need code, or classes that are not known.
        MissingExtraError: h5py is not installed.
    """
    with H5File.open(path) as file:
        config = _read_json(file, "model_config")
        if config is None:
            raise FileFormatError(
                f"{path.name} holds weights without a model.",
                fix="build the model here, then model.load_weights(path)",
            )
        held = WeightsGroup.of(file)
        with CustomObjectScope(custom_objects):
            model = _model(path, config, held)
            load_weights(held, model)
            if compile:
                _compile(model, file, held)
    return model


def _model(path: Path, config: Any, held: WeightsGroup) -> Any:
    """The model that a file describes; its weights must not be larger than those it holds."""
    limit = 2 * sum(
        held.file.bytes_of(n, held.file.group(name, held.group))
        for name in held.layers()
        for n in held.weights_of(name)
    )
    with limited_weights(limit + (1 << 20)):
        model = model_of(path, lambda: deserialize_keras_object(description_now(config, held.era)))
    if not model.built:
        raise FileFormatError(
            f"{path.name} does not say what shape its inputs have, so its weights have no place.",
            fix="build the model here, call it on data, then model.load_weights(path)",
        )
    return model


def model_of(path: Path, make: Callable[[], Any]) -> Any:
    """The model that a description in a file makes.

    Raises:
        FileFormatError: whatever a description that is no model's leads to.
    """
    try:
        model = make()
    except FoveaError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, AssertionError) as error:
        raise FileFormatError(
            f"{path.name}: its model cannot be put together ({type(error).__name__}: {error})."
        ) from error
    except (MemoryError, ArithmeticError, RecursionError) as error:
        raise FileFormatError(f"{path.name}: its model asks for too much.") from error
    if not isinstance(model, Layer):
        raise FileFormatError(f"{path.name} describes no model.")
    return model


def _read_json(file: H5File, name: str) -> Any:
    text = file.text(file.file, name)
    if text is None:
        return None
    try:
        return json.loads(text, object_hook=_plain)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{file.name}: {name} is no valid JSON ({error}).") from error


def _plain(value: dict[str, Any]) -> Any:
    """Tuples, which tf.keras marks, as lists."""
    return value["items"] if value.get("class_name") in ("__tuple__", "TensorShape") else value


def _compile(model: Any, file: H5File, held: WeightsGroup) -> None:
    training = _read_json(file, "training_config")
    if training is None:
        warnings.warn(
            f"{file.name} does not say how its model is compiled: compile it before training.",
            stacklevel=4,
        )
    elif isinstance(training, dict) and compile_as(model, training):
        restore_optimizer(model, held)


def load_h5_weights(
    model: Any, path: Path, by_name: bool = False, skip_mismatch: bool = False
) -> None:
    """Take the weights in a file into a model; layers in order, or those of the same names."""
    with H5File.open(path) as file:
        load_weights(WeightsGroup.of(file), model, by_name, skip_mismatch)


# -- writing ----------------------------------------------------------------------------------


def save_h5_model(model: Any, path: Path, include_optimizer: bool = True) -> None:
    """Write a model to a file that Keras 3 reads.

    Raises:
        ArgumentError: parts that cannot be described. MissingExtraError: h5py is not installed.
    """
    h5py = require_h5py("saving to .h5")
    described = serialize_keras_object(model)
    training = _training_config(model) if include_optimizer else None
    top = {"class_name": described["class_name"], "config": described["config"]}
    with atomic_path(path) as temporary, h5py.File(os.fspath(temporary), "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = KERAS_VERSION, "fovea"
        file.attrs["model_config"] = json.dumps(top)
        write_weights(file.create_group("model_weights"), model, KERAS_VERSION)
        if training is not None:
            file.attrs["training_config"] = json.dumps(training)
            if model.optimizer.built:
                states = file.create_group("optimizer_weights")
                write_values(states, model.optimizer.variables, f"{model.optimizer.name}/")


def _training_config(model: Any) -> dict[str, Any] | None:
    config = compile_config(model) if getattr(model, "compiled", False) else None
    if config is None:
        return None
    optimizer = config.pop("optimizer")
    described = {"class_name": optimizer["class_name"], "config": optimizer["config"]}
    return {"loss_weights": None, **config, "optimizer_config": described}


def save_h5_weights(model: Any, path: Path) -> None:
    """Write a model's weights alone.

    Raises:
        ArgumentError: the model has none yet. MissingExtraError: h5py is not installed.
    """
    h5py = require_h5py("saving to .h5")
    if not model.built:
        raise ArgumentError(f"{model.name} has no weights yet.", fix="build it, or call it on data")
    with atomic_path(path) as temporary, h5py.File(os.fspath(temporary), "w") as file:
        write_weights(file, model, KERAS_VERSION)
