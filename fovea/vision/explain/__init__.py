"""Why a network answers as it does: which pixels speak for a class, and what its layers see.

Maps of layers (Grad-CAM and its kin), gradients of pixels, and trials with parts of the image
covered. All take modules and Keras models, and leave their modes and gradients as they were.

>>> import fovea
>>> from fovea.vision import explain, models
>>> net = models.resnet18(num_classes=10)
>>> explain.GradCAM(net, "layer4")(fovea.rand(2, 3, 64, 64), targets=3).shape
(2, 64, 64)
"""

from fovea.vision.explain.cam import (
    EigenCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    ScoreCAM,
    XGradCAM,
)
from fovea.vision.explain.features import features, filters
from fovea.vision.explain.gradients import integrated_gradients, saliency, smooth_grad
from fovea.vision.explain.occlusion import occlusion
from fovea.vision.explain.pictures import overlay, plot_features, plot_filters

__all__ = [
    "EigenCAM",
    "GradCAM",
    "GradCAMPlusPlus",
    "HiResCAM",
    "LayerCAM",
    "ScoreCAM",
    "XGradCAM",
    "features",
    "filters",
    "integrated_gradients",
    "occlusion",
    "overlay",
    "plot_features",
    "plot_filters",
    "saliency",
    "smooth_grad",
]
