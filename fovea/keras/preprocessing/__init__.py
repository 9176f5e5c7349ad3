"""Keras's older address of helpers that stand in ``keras.utils``."""

from fovea.keras.preprocessing import image, sequence
from fovea.keras.utils.folders import image_dataset_from_directory, timeseries_dataset_from_array

__all__ = ["image", "image_dataset_from_directory", "sequence", "timeseries_dataset_from_array"]
