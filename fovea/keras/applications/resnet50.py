"""ResNet50 where older programs look for it; see `resnet`."""

from fovea.keras.applications.resnet import ResNet50, decode_predictions, preprocess_input

__all__ = ["ResNet50", "decode_predictions", "preprocess_input"]
