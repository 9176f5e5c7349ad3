"""ResNet-20 to ResNet-1202 for images of 32×32.

Source: K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image Recognition", 2015,
section 4.2. Names are those of the well-known checkpoints (``resnet20-*.th``), which load as they
are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models import hints
from fovea.vision.models.registry import variant

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "CifarBlock",
    "CifarResNet",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "resnet1202",
]


class _PadShortcut(nn.Module):
    """Every other row and column, and channels of zeros before and behind (option A)."""

    def __init__(self, margin: int) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.margin, self.margin))

    def extra_repr(self) -> str:
        return str(self.margin)


class CifarBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut: y = relu(bn(conv(relu(bn(conv(x))))) + shortcut(x)).

    Args:
        in_planes, planes: channels that come in and that go out.
        stride: of the first convolution.
        option: the shortcut where shapes differ: ``"A"`` has no parameters, every other place and
            zeros for new channels; ``"B"`` is a 1×1 convolution.

    Raises:
        ArgumentError: another option, or a shape that A cannot reach.

    >>> import fovea
    >>> CifarBlock(8, 16, 2)(fovea.zeros(1, 8, 4, 4)).shape
    fovea.Size([1, 16, 2, 2])
    """

    def __init__(self, in_planes: int, planes: int, stride: int = 1, option: str = "A") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = _shortcut(in_planes, planes, stride, option)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y)) + self.shortcut(x)
        return nn.functional.relu(y)


def _shortcut(in_planes: int, planes: int, stride: int, option: str) -> nn.Module:
    if option not in ("A", "B"):
        raise ArgumentError(f"CifarBlock: option must be 'A' or 'B', got {option!r}.")
    if stride == 1 and in_planes == planes:
        return nn.Sequential()
    if option == "B":
        conv = nn.Conv2d(in_planes, planes, 1, stride=stride, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(planes))
    margin = planes - in_planes
    if stride != 2 or margin < 0 or margin % 2:
        raise ArgumentError(
            "CifarBlock: with option 'A' the stride must be 2 and an even number of channels new, "
            f"got stride={stride}, in_planes={in_planes}, planes={planes}.",
            fix="use option='B'",
        )
    return _PadShortcut(margin // 2)


class CifarResNet(nn.Module):
    """A 3×3 convolution, three stages of residual blocks, the mean over all places, a linear layer.

    Shapes:
        in: float (N, in_channels, H, W).
        out: float (N, num_classes): logits.

    Args:
        num_blocks: of each of the three stages.
        num_classes: how many there are.
        option: the shortcuts, as ``CifarBlock``.
        in_channels: 1 for gray images, 3 for color.

    >>> import fovea
    >>> CifarResNet([1, 1, 1])(fovea.zeros(2, 3, 32, 32)).shape
    fovea.Size([2, 10])
    """

    def __init__(
        self,
        num_blocks: Sequence[int],
        num_classes: int = 10,
        option: str = "A",
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        first, second, third = num_blocks
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, first, 1, option)
        self.layer2 = _stage(16, 32, second, 2, option)
        self.layer3 = _stage(32, 64, third, 2, option)
        self.linear = nn.Linear(64, num_classes)
        self.apply(_initialize)

    def _state_hint(self, state: Mapping[str, Any]) -> str | None:
        return hints.of_cifar_resnet(self.state_dict(), state)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def _stage(in_planes: int, planes: int, count: int, stride: int, option: str) -> nn.Sequential:
    first = CifarBlock(in_planes, planes, stride, option)
    others = (CifarBlock(planes, planes, 1, option) for _ in range(count - 1))
    return nn.Sequential(first, *others)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight)


resnet20 = variant(
    "resnet20",
    CifarResNet,
    "ResNet with 20 layers (270 thousand parameters), for images of 32.",
    num_blocks=(3, 3, 3),
)
resnet32 = variant(
    "resnet32",
    CifarResNet,
    "ResNet with 32 layers (460 thousand parameters), for images of 32.",
    num_blocks=(5, 5, 5),
)
resnet44 = variant(
    "resnet44",
    CifarResNet,
    "ResNet with 44 layers (660 thousand parameters), for images of 32.",
    num_blocks=(7, 7, 7),
)
resnet56 = variant(
    "resnet56",
    CifarResNet,
    "ResNet with 56 layers (850 thousand parameters), for images of 32.",
    num_blocks=(9, 9, 9),
)
resnet110 = variant(
    "resnet110",
    CifarResNet,
    "ResNet with 110 layers (1.7 million parameters), for images of 32.",
    num_blocks=(18, 18, 18),
)
resnet1202 = variant(
    "resnet1202",
    CifarResNet,
    "ResNet with 1202 layers (19 million parameters), for images of 32.",
    num_blocks=(200, 200, 200),
)
