"""Saving and loading models, and names for objects of one's own in files."""

from fovea.keras.objects import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from fovea.keras.saving.archive import (
    check_model_path,
    check_weights_path,
    load_model,
    load_weights,
    save_model,
    save_weights,
)

__all__ = [
    "CustomObjectScope",
    "check_model_path",
    "check_weights_path",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]
