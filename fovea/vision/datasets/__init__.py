"""Image datasets, with torchvision's names and arguments; ``Digits`` comes with the package,
and `Shapes` draws pictures as they are asked for.

>>> from fovea.vision.datasets import Digits
>>> image, label = Digits(train=False)[0]
>>> image.shape, label
(fovea.Size([1, 8, 8]), 5)
"""

from fovea.vision.datasets.ade20k import SceneParse150
from fovea.vision.datasets.boxes import wrap_dataset_for_transforms_v2
from fovea.vision.datasets.caltech import Caltech101, Caltech256
from fovea.vision.datasets.cifar import CIFAR10, CIFAR100
from fovea.vision.datasets.cityscapes import Cityscapes, CityscapesSegmentation
from fovea.vision.datasets.coco import CocoCaptions, CocoDetection
from fovea.vision.datasets.cvat import CVATDetection
from fovea.vision.datasets.digits import Digits
from fovea.vision.datasets.fake import FakeData
from fovea.vision.datasets.folder import IMG_EXTENSIONS, DatasetFolder, ImageFolder, default_loader
from fovea.vision.datasets.imagenet import ImageNet
from fovea.vision.datasets.labelme import LabelMeDetection
from fovea.vision.datasets.mnist import EMNIST, KMNIST, MNIST, FashionMNIST
from fovea.vision.datasets.photographs import Flowers102, Food101, OxfordIIITPet
from fovea.vision.datasets.pixels import SegmentationFolder
from fovea.vision.datasets.shapes import Shapes
from fovea.vision.datasets.shards import WebDataset
from fovea.vision.datasets.stl10 import STL10
from fovea.vision.datasets.svhn import SVHN
from fovea.vision.datasets.tables import ImageTable
from fovea.vision.datasets.vision import DatasetNotFoundError, VisionDataset
from fovea.vision.datasets.voc import VOCDetection, VOCSegmentation
from fovea.vision.datasets.yolo import YOLODetection

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "EMNIST",
    "IMG_EXTENSIONS",
    "KMNIST",
    "MNIST",
    "STL10",
    "SVHN",
    "CVATDetection",
    "Caltech101",
    "Caltech256",
    "Cityscapes",
    "CityscapesSegmentation",
    "CocoCaptions",
    "CocoDetection",
    "DatasetFolder",
    "DatasetNotFoundError",
    "Digits",
    "FakeData",
    "FashionMNIST",
    "Flowers102",
    "Food101",
    "ImageFolder",
    "ImageNet",
    "ImageTable",
    "LabelMeDetection",
    "OxfordIIITPet",
    "SceneParse150",
    "SegmentationFolder",
    "Shapes",
    "VOCDetection",
    "VOCSegmentation",
    "VisionDataset",
    "WebDataset",
    "YOLODetection",
    "default_loader",
    "wrap_dataset_for_transforms_v2",
]
