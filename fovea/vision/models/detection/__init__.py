"""Networks that find objects in images: torchvision's, with its names and parameters, and fovea's
own `Glance` (``glance_n``, ``glance_s``, ``glance_m``), the one to begin with: small, without
anchors, quick to train on a processor. `RetinaFace` and `MTCNN` find faces.

In training they take images (C, H, W), values from 0 to 1, of any sizes, and for each a dictionary
of ``boxes`` (K, 4) and ``labels`` (K,), and return a dictionary of losses. In evaluation they take
images and return for each a dictionary of ``boxes``, ``labels`` and ``scores``. Some also learn and
find ``masks`` or ``keypoints``.
"""

from fovea.vision.models.detection.faster_rcnn import (
    FasterRCNN,
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_mobilenet_v3_large_fpn,
    fasterrcnn_resnet50_fpn,
    fasterrcnn_resnet50_fpn_v2,
)
from fovea.vision.models.detection.fcos import FCOS, fcos_resnet50_fpn
from fovea.vision.models.detection.glance import Glance, glance_m, glance_n, glance_s
from fovea.vision.models.detection.keypoint_rcnn import KeypointRCNN, keypointrcnn_resnet50_fpn
from fovea.vision.models.detection.mask_rcnn import (
    MaskRCNN,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from fovea.vision.models.detection.mtcnn import MTCNN, mtcnn
from fovea.vision.models.detection.retinaface import (
    RetinaFace,
    retinaface_mobilenet025,
    retinaface_resnet50,
)
from fovea.vision.models.detection.retinanet import (
    RetinaNet,
    retinanet_resnet50_fpn,
    retinanet_resnet50_fpn_v2,
)
from fovea.vision.models.detection.ssd import SSD, ssd300_vgg16
from fovea.vision.models.detection.ssdlite import ssdlite320_mobilenet_v3_large
from fovea.vision.models.enumerations import WeightsEnum, attribute_of, names_of

__all__ = [
    "FCOS",
    "MTCNN",
    "SSD",
    "FasterRCNN",
    "Glance",
    "KeypointRCNN",
    "MaskRCNN",
    "RetinaFace",
    "RetinaNet",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
    "glance_m",
    "glance_n",
    "glance_s",
    "keypointrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "mtcnn",
    "retinaface_mobilenet025",
    "retinaface_resnet50",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "ssd300_vgg16",
    "ssdlite320_mobilenet_v3_large",
]
__all__ += names_of(__name__)


def __getattr__(name: str) -> type[WeightsEnum]:
    """An enumeration of published weights."""
    return attribute_of(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
