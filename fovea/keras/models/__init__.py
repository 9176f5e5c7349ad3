"""Models: ``Sequential``, ``Model``, and making them from files and from each other."""

from __future__ import annotations

from typing import Any

from fovea.keras.models.model import Functional, Model
from fovea.keras.models.sequential import Sequential

__all__ = [
    "Functional",
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_json",
    "save_model",
]


def load_model(
    filepath: Any, custom_objects: Any = None, compile: bool = True, safe_mode: bool = True
) -> Any:
    """Read a model from a ``.keras`` file; see `fovea.keras.saving`."""
    from fovea.keras.saving import load_model as load

    return load(filepath, custom_objects=custom_objects, compile=compile, safe_mode=safe_mode)


def save_model(
    model: Any, filepath: Any, overwrite: bool = True, zipped: Any = None, **kwargs: Any
) -> None:
    """Write a model to a ``.keras`` file; see `fovea.keras.saving`."""
    from fovea.keras.saving import save_model as save

    save(model, filepath, overwrite=overwrite, zipped=zipped, **kwargs)


def clone_model(
    model: Any,
    input_tensors: Any = None,
    clone_function: Any = None,
    call_function: Any = None,
    recursive: bool = False,
    **kwargs: Any,
) -> Any:
    """A model of new layers, like another one, with new weights; see `models.cloning`."""
    from fovea.keras.models.cloning import clone_model as clone

    return clone(model, input_tensors, clone_function, call_function, recursive, **kwargs)


def model_from_json(json_string: str, custom_objects: Any = None) -> Any:
    """The model that ``model.to_json()`` described."""
    import json

    from fovea.keras.objects import deserialize_keras_object

    return deserialize_keras_object(json.loads(json_string), custom_objects)
