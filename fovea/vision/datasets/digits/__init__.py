"""The UCI handwritten digits: real scans that come with the package, so that a first model needs no
download.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.vision.datasets.vision import Transform, VisionDataset, to_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Digits"]

TEST_EVERY = 5


class Digits(VisionDataset):
    """1,797 scans of handwritten digits, 8×8 pixels, by 13 people; 1,442 to train on and 355 to
    test on.

    A sample is a float32 tensor (1, 8, 8) with values in [0, 1] and a class number; neither
    network, files nor Pillow are needed. The split is fixed and stratified: of each class, in the
    original order, every fifth sample is for the test. The same people wrote both parts, so the
    test accuracy says little about the handwriting of others.

    Args:
        train: the training part or the test part.
        transform: a function of the image tensor.
        target_transform: a function of the class number.

    Attributes:
        data: uint8 (samples, 8, 8), the original values 0 to 16.
        targets: int64 (samples,).
        classes: the classes' names, ``"0"`` to ``"9"``.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", 1998, UCI
    Machine Learning Repository, https://doi.org/10.24432/C50P49 (CC BY 4.0).

    >>> digits = Digits()
    >>> len(digits), digits.data.shape
    (1442, fovea.Size([1442, 8, 8]))
    """

    def __init__(
        self,
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        super().__init__(None, transform=transform, target_transform=target_transform)
        self.train = train
        self.classes = [str(digit) for digit in range(10)]
        images, labels = _read()
        chosen = np.flatnonzero(_is_test(labels) != train)
        self.data = to_tensor(images[chosen])
        self.targets = to_tensor(labels[chosen].astype(np.int64))

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class names to class numbers."""
        return {name: i for i, name in enumerate(self.classes)}

    def images(self) -> Tensor:
        """All images as one float32 tensor (samples, 1, 8, 8) with values in [0, 1]."""
        return to_tensor(_scaled(self.data.numpy()))

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = _scaled(self.data.numpy()[index])
        return self.transformed(to_tensor(image), int(self.targets.numpy()[index]))

    def __getbatch__(self, indices: Sequence[int]) -> list[Any] | None:
        if self.transforms is not None:
            return None
        chosen = np.asarray(indices, np.int64)
        images = _scaled(self.data.numpy()[chosen])
        return [to_tensor(images), to_tensor(self.targets.numpy()[chosen])]

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


def _read() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    with (files("fovea.vision.datasets.digits") / "digits.npz").open("rb") as file:
        content = np.load(file, allow_pickle=False)
        return content["images"], content["labels"]


def _is_test(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which samples the test gets: of each class every fifth, in the original order."""
    test = np.zeros(len(labels), np.bool_)
    for digit in range(10):
        test[np.flatnonzero(labels == digit)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    return test


def _scaled(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Values 0 to 16 as [0, 1], with a dimension for the one channel before height and width."""
    scaled: np.ndarray[Any, np.dtype[np.float32]] = values.astype(np.float32) / np.float32(16)
    return scaled[..., None, :, :]
