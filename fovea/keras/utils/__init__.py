"""Keras's helpers: labels, pictures, datasets from folders, downloads, drawings, registries."""

from __future__ import annotations

from fovea.keras.config import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
    standardize_dtype,
)
from fovea.keras.keras_tensor import is_keras_tensor
from fovea.keras.models.data import PyDataset, unpack_x_y_sample_weight
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
from fovea.keras.utils import bounding_boxes
from fovea.keras.utils.downloads import get_file
from fovea.keras.utils.folders import (
    image_dataset_from_directory,
    split_dataset,
    timeseries_dataset_from_array,
)
from fovea.keras.utils.images import array_to_img, img_to_array, load_img, save_img
from fovea.keras.utils.labels import (
    normalize,
    pack_x_y_sample_weight,
    pad_sequences,
    to_categorical,
)
from fovea.keras.utils.pipeline import Dataset
from fovea.keras.utils.plotting import model_to_dot, plot_model
from fovea.keras.utils.session import clear_session, set_random_seed
from fovea.keras.utils.sources import get_source_inputs
from fovea.training.progress import Progbar

Sequence = PyDataset

__all__ = [
    "CustomObjectScope",
    "Dataset",
    "Progbar",
    "PyDataset",
    "Sequence",
    "array_to_img",
    "bounding_boxes",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "get_custom_objects",
    "get_file",
    "get_registered_name",
    "get_registered_object",
    "get_source_inputs",
    "image_dataset_from_directory",
    "img_to_array",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
    "load_img",
    "model_to_dot",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "save_img",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "standardize_dtype",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
