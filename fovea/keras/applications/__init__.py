"""Well-known image models with Keras's layers, names and published weights.

>>> from fovea.keras import applications
>>> model = applications.VGG16(
...     weights=None, include_top=False, pooling="avg", input_shape=(32, 32, 3)
... )
>>> model.output_shape
(None, 512)
"""

from fovea.keras.applications import imagenet_utils, vgg16, vgg19
from fovea.keras.applications.vgg16 import VGG16
from fovea.keras.applications.vgg19 import VGG19

__all__ = ["VGG16", "VGG19", "imagenet_utils", "vgg16", "vgg19"]
