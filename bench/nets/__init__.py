"""The networks that race: how each contestant gets the same one, with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.nets import described

__all__ = ["NETS", "Net"]


@dataclass(frozen=True)
class Net:
    """A network.

    Attributes:
        name: as options and tables call it.
        model: its name in fovea's registry and torchvision's; "" for the benchmark's own.
        describe: the network written over the layers that a framework supplies (`described`).
        size: height and width of images in training and in inference.
        batches: images of a training step; of a call of inference.
        classes: of its output.
        channels: of its input.
        dense: whether each place of the image gets a class.
        adam: whether it trains by Adam.
        config: arguments of the model's function: nothing in the networks is random.
        first, last: parameters whose change after a step is compared.
    """

    name: str
    model: str
    describe: Callable[..., Any]
    size: tuple[int, int]
    batches: tuple[tuple[int, ...], tuple[int, ...]]
    first: str
    last: str
    classes: int = 1000
    channels: int = 3
    dense: bool = False
    adam: bool = False
    config: dict[str, Any] = field(default_factory=dict)


_ALL = (
    Net("small_cnn", "", described.small_cnn, (28, 28), ((10, 128), (1, 128)),
        "conv1.weight", "fc2.weight", classes=10, channels=1, adam=True),
    Net("resnet18", "resnet18", described.resnet18, (32, 224), ((1, 16, 64), (1, 16)),
        "conv1.weight", "fc.weight"),
    Net("resnet50", "resnet50", described.resnet50, (224, 224), ((8,), (1, 16)),
        "conv1.weight", "fc.weight"),
    Net("vgg11_bn", "vgg11_bn", described.vgg11_bn, (32, 224), ((64,), (1, 16)),
        "features.0.weight", "features.22.weight", config={"dropout": 0.0}),
    Net("mobilenet_v2", "mobilenet_v2", described.mobilenet_v2, (224, 224), ((16,), (1, 16)),
        "features.0.0.weight", "classifier.1.weight", config={"dropout": 0.0}),
    Net("efficientnet_b0", "efficientnet_b0", described.efficientnet_b0, (224, 224),
        ((16,), (1, 16)), "features.0.0.weight", "classifier.1.weight",
        config={"dropout": 0.0, "stochastic_depth_prob": 0.0}),
    Net("convnext_tiny", "convnext_tiny", described.convnext_tiny, (224, 224), ((8,), (1, 16)),
        "features.0.0.weight", "classifier.2.weight", config={"stochastic_depth_prob": 0.0}),
    Net("vit_ti_16", "vit_ti_16", described.vit_ti_16, (224, 224), ((16,), (1, 16)),
        "conv_proj.weight", "heads.head.weight"),
    Net("unet", "unet", described.unet, (128, 128), ((8,), (1, 8)),
        "stem.0.weight", "head.weight", classes=2, dense=True, config={"base_channels": 32}),
)  # fmt: skip

NETS = {net.name: net for net in _ALL}
