"""The networks as fovea's and PyTorch's models. torchvision has those that this file does not."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.nets import Net
from bench.unsupported import Unsupported

__all__ = ["SMALL", "build", "takes_small_images", "without_compiled_operators"]

SMALL = 64  # up to this size, networks that can take small images in finer steps


def takes_small_images(net: Net, size: int) -> bool:
    """Whether the network has another stem, or another head, for images of this size."""
    return size <= SMALL and net.model.startswith(("resnet", "vgg"))


def build(net: Net, size: int, module: str) -> Any:
    """The network of ``module`` (``fovea`` or ``torch``) for images of this size."""
    if not net.model:
        return small_cnn(importlib.import_module(module), importlib.import_module(f"{module}.nn"))
    config = {"num_classes": net.classes, **net.config}
    if net.name.startswith("vit"):
        config["image_size"] = size
    small = takes_small_images(net, size)
    if module == "fovea":
        from fovea.vision import models

        stem: dict[str, Any] = {"small_input": True} if small else {}
        return models.get_model(net.model, **config, **stem)
    if net.model == "unet":
        return unet(importlib.import_module("torch"), **config)
    return _torchvision(net, config, small)


def _torchvision(net: Net, config: dict[str, Any], small: bool) -> Any:
    models, torch = torchvision_models(), importlib.import_module("torch")
    if net.model == "vit_ti_16":
        return models.VisionTransformer(config.pop("image_size"), 16, 12, 3, 192, 768, **config)
    model = models.get_model(net.model, **config)
    if small and net.model.startswith("resnet"):
        model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = torch.nn.Identity()
    elif small:
        model.avgpool = torch.nn.AdaptiveAvgPool2d(1)
        head = torch.nn.Linear(512, config["num_classes"])
        model.classifier = torch.nn.Sequential(torch.nn.Dropout(config["dropout"]), head)
    return model


def torchvision_models() -> Any:
    """``torchvision.models``, beside a PyTorch for which its compiled operators were not built too.

    Raises:
        Unsupported: torchvision is not installed.
    """
    with without_compiled_operators():
        try:
            return importlib.import_module("torchvision.models")
        except ImportError as error:
            raise Unsupported("torchvision is not installed") from error


@contextmanager
def without_compiled_operators() -> Iterator[None]:
    """A block in which torchvision can be imported although PyTorch lacks its compiled operators:
    its Python code only wants to describe them.
    """
    library: Any = importlib.import_module("torch.library")
    register = library.register_fake

    def quiet(name: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(name, str) and name.startswith("torchvision::"):
            return lambda function: function
        return register(name, *args, **kwargs)

    library.register_fake = quiet
    try:
        yield
    finally:
        library.register_fake = register


def small_cnn(torch: Any, nn: Any) -> Any:
    """The network of examples/torch_style.py."""

    class SmallCNN(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 32, 3)
            self.pool = nn.MaxPool2d(2, 2)
            self.fc1 = nn.Linear(32 * 13 * 13, 64)
            self.fc2 = nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            x = self.pool(torch.relu(self.conv1(x)))
            x = torch.relu(self.fc1(x.flatten(1)))
            return self.fc2(x)

    return SmallCNN()


def unet(torch: Any, num_classes: int, base_channels: int) -> Any:
    """fovea's U-Net, written in PyTorch."""
    nn = torch.nn

    def double_conv(inputs: int, outputs: int) -> Any:
        layers: list[Any] = []
        for channels in (inputs, outputs):
            layers.append(nn.Conv2d(channels, outputs, 3, padding=1, bias=False))
            layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    class UNet(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            n = [base_channels << i for i in range(5)]
            self.stem = double_conv(3, n[0])
            self.pool = nn.MaxPool2d(2)
            self.down = nn.ModuleList(double_conv(n[i], n[i + 1]) for i in range(4))
            self.up = nn.ModuleList(
                nn.ConvTranspose2d(n[i + 1], n[i], 2, stride=2) for i in (3, 2, 1, 0)
            )
            self.merge = nn.ModuleList(double_conv(2 * n[i], n[i]) for i in (3, 2, 1, 0))
            self.head = nn.Conv2d(n[0], num_classes, 1)

        def forward(self, x: Any) -> Any:
            x, seen = self.stem(x), []
            for block in self.down:
                seen.append(x)
                x = block(self.pool(x))
            for up, block in zip(self.up, self.merge, strict=True):
                x = block(torch.cat([seen.pop(), up(x)], 1))
            return self.head(x)

    return UNet()
