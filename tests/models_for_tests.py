"""Networks written against a module namespace, so that they build with fovea and with PyTorch."""

from __future__ import annotations

from typing import Any


def lenet(nn: Any, classes: int = 10) -> Any:
    """LeNet-5 for 1 x 28 x 28 images (LeCun et al., 1998), with max pooling and ReLU."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )


def vgg(nn: Any, widths: tuple[Any, ...] = (8, "pool", 16, 16, "pool"), classes: int = 10) -> Any:
    """A small VGG with batch normalization for 3 x 32 x 32 images (Simonyan, Zisserman, 2014)."""
    layers: list[Any] = []
    channels = 3
    for width in widths:
        if width == "pool":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers += [
            nn.Conv2d(channels, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        channels = width

    class VGG(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(*layers)
            self.avgpool = nn.AdaptiveAvgPool2d((3, 3))
            self.classifier = nn.Sequential(
                nn.Linear(channels * 9, 32),
                nn.ReLU(True),
                nn.Dropout(0.0),
                nn.Linear(32, classes),
            )

        def forward(self, x: Any) -> Any:
            x = self.avgpool(self.features(x))
            return self.classifier(x.flatten(1))

    return VGG()


def resnet18(nn: Any, width: int = 64, classes: int = 10) -> Any:
    """ResNet-18 with a 3 x 3 stem for 3 x 32 x 32 images (He et al., 2015); torchvision's names."""

    class BasicBlock(nn.Module):  # type: ignore[misc]
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.relu = nn.ReLU(inplace=True)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.downsample = None
            if stride != 1 or inputs != outputs:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )

        def forward(self, x: Any) -> Any:
            shortcut = x if self.downsample is None else self.downsample(x)
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            y += shortcut
            return self.relu(y)

    class ResNet(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.relu = nn.ReLU(inplace=True)
            channels = width
            for i, stride in enumerate((1, 2, 2, 2)):
                outputs = width << i
                blocks = [BasicBlock(channels, outputs, stride), BasicBlock(outputs, outputs, 1)]
                setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
                channels = outputs
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.fc = nn.Linear(channels, classes)

        def forward(self, x: Any) -> Any:
            x = self.relu(self.bn1(self.conv1(x)))
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(self.avgpool(x).flatten(1))

    return ResNet()
