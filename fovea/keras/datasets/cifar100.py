"""Small photographs: 50,000 + 10,000 color images of 32×32 in 100 classes of 20 kinds."""

from __future__ import annotations

from typing import ClassVar

from fovea.errors import ArgumentError
from fovea.keras.datasets.cifar10 import arrays
from fovea.keras.datasets.mnist import Arrays
from fovea.keras.utils.downloads import get_file
from fovea.vision.datasets.cifar import CIFAR100

__all__ = ["load_data"]

SHA256 = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"


class _Kinds(CIFAR100):
    """With the 20 kinds as classes."""

    meta: ClassVar[tuple[str, str, str]] = ("meta", "coarse_label_names", "coarse_label_names.txt")
    label_key: ClassVar[str] = "coarse_labels"
    class_count: ClassVar[int] = 20


def load_data(label_mode: str = "fine") -> tuple[Arrays, Arrays]:
    """CIFAR-100 as uint8; shapes as `cifar10.load_data`.

    Args:
        label_mode: ``"fine"`` for 100 classes, ``"coarse"`` for 20.

    Raises:
        DownloadError: the archive is not there and cannot be fetched.
        FileFormatError: it holds something else.
    """
    if label_mode not in ("fine", "coarse"):
        raise ArgumentError(f"label_mode is 'fine' or 'coarse', got {label_mode!r}.")
    kind = CIFAR100 if label_mode == "fine" else _Kinds
    name = "cifar-100-python-target"
    folder = get_file(name, origin=CIFAR100.url, extract=True, file_hash=SHA256)
    return arrays(kind(folder, train=True)), arrays(kind(folder, train=False))
