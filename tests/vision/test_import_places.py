"""Names where torchvision's programs import them from."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, ShapeError
from fovea.vision import io, models

PLACES = [
    ("models.resnet", "ResNet18_Weights ResNet152_Weights ResNeXt50_32X4D_Weights BasicBlock"),
    ("models.vgg", "VGG16_Weights VGG11_BN_Weights"),
    ("models.alexnet", "AlexNet_Weights"),
    ("models.convnext", "ConvNeXt_Tiny_Weights"),
    ("models.densenet", "DenseNet121_Weights"),
    ("models.efficientnet", "EfficientNet_B0_Weights EfficientNet_V2_S_Weights"),
    ("models.googlenet", "GoogLeNet_Weights"),
    ("models.inception", "Inception_V3_Weights"),
    ("models.maxvit", "MaxVit_T_Weights"),
    ("models.mnasnet", "MNASNet0_5_Weights"),
    ("models.mobilenetv2", "MobileNet_V2_Weights"),
    ("models.mobilenetv3", "MobileNet_V3_Small_Weights"),
    ("models.regnet", "RegNet_Y_400MF_Weights"),
    ("models.shufflenetv2", "ShuffleNet_V2_X0_5_Weights"),
    ("models.squeezenet", "SqueezeNet1_1_Weights"),
    ("models.swin_transformer", "Swin_T_Weights"),
    ("models.vision_transformer", "ViT_B_16_Weights"),
    ("models.segmentation.deeplabv3", "DeepLabV3_ResNet50_Weights"),
    ("models.segmentation.fcn", "FCN_ResNet50_Weights"),
    ("models.segmentation.lraspp", "LRASPP_MobileNet_V3_Large_Weights"),
    ("models.detection.faster_rcnn", "FasterRCNN_ResNet50_FPN_Weights FastRCNNPredictor"),
    ("models.detection.fcos", "FCOS_ResNet50_FPN_Weights"),
    ("models.detection.keypoint_rcnn", "KeypointRCNN_ResNet50_FPN_Weights"),
    ("models.detection.mask_rcnn", "MaskRCNN_ResNet50_FPN_Weights MaskRCNNPredictor"),
    ("models.detection.retinanet", "RetinaNet_ResNet50_FPN_Weights"),
    ("models.detection.ssd", "SSD300_VGG16_Weights"),
    ("models.detection.ssdlite", "SSDLite320_MobileNet_V3_Large_Weights"),
    ("models.detection.rpn", "AnchorGenerator"),
    ("ops.feature_pyramid_network", "FeaturePyramidNetwork LastLevelMaxPool LastLevelP6P7"),
    ("ops.focal_loss", "sigmoid_focal_loss"),
    ("ops.giou_loss", "generalized_box_iou_loss"),
    ("ops.ciou_loss", "complete_box_iou_loss"),
    ("ops.diou_loss", "distance_box_iou_loss"),
    ("io", "read_file write_file decode_jpeg decode_png encode_jpeg write_jpeg"),
    ("transforms", "RandAugment TenCrop"),
    ("transforms.transforms", "Compose ToTensor Normalize RandomCrop"),
    ("transforms.autoaugment", "AutoAugment AutoAugmentPolicy RandAugment TrivialAugmentWide"),
]


@pytest.mark.parametrize(("place", "names"), PLACES)
def test_names_are_there(place: str, names: str, torchvision: Any) -> None:
    ours = importlib.import_module(f"fovea.vision.{place}")
    theirs = importlib.import_module(f"torchvision.{place}")
    for name in names.split():
        assert hasattr(ours, name) and hasattr(theirs, name), name
        if name.endswith("_Weights"):
            package = importlib.import_module(f"fovea.vision.{place.rpartition('.')[0]}")
            assert getattr(ours, name) is getattr(package, name)


def test_weights_stand_beside_their_networks() -> None:
    with pytest.raises(AttributeError, match="VGG16_Weights"):
        _ = models.resnet.VGG16_Weights


def test_files_of_images(tmp_path: Path) -> None:
    rows = np.linspace(0, 255, 16 * 12).reshape(16, 12)
    image = fovea.from_numpy(np.stack([rows, rows.max() - rows, rows * 0 + 90]).astype(np.uint8))
    for one in (image, image[:1]):
        io.write_jpeg(one, tmp_path / "a.jpg", quality=100)
        data = io.read_file(tmp_path / "a.jpg")
        assert data.dtype is fovea.uint8 and data.ndim == 1
        back = io.decode_jpeg(data)
        assert back.shape == one.shape
        assert float((back.float() - one.float()).abs().mean()) <= 3
    io.write_file(tmp_path / "b.png", io.encode_png(image))
    assert fovea.equal(io.decode_png(io.read_file(tmp_path / "b.png")), image)
    assert len(io.encode_jpeg(image, 10)) < len(io.encode_jpeg(image, 95))
    with pytest.raises(ArgumentError, match="quality"):
        io.encode_jpeg(image, 0)
    with pytest.raises(ShapeError, match="encode_jpeg"):
        io.encode_jpeg(image.float())
    with pytest.raises(ShapeError, match="write_file"):
        io.write_file(tmp_path / "c", image)


def test_what_torchvision_s_programs_ask_at_first(torchvision: Any) -> None:
    for lib in (fovea.vision, torchvision):
        assert isinstance(lib.__version__, str) and lib.get_image_backend() == "PIL"
        lib.set_image_backend("PIL")
        lib.disable_beta_transforms_warning()
        with pytest.raises(ValueError):
            lib.set_image_backend("cv")
