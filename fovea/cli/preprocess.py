"""From an image file to what a network takes: kept in the checkpoint, so that using a network
treats images as training did.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from fovea.errors import FileFormatError

__all__ = ["Preprocess"]

_MAX_SIZE = 4096


@dataclass(frozen=True)
class Preprocess:
    """How images are prepared.

    Args:
        channels: 1 gray, 3 color.
        height, width: of what the network sees.
        resize: ``"squash"`` changes the proportions; ``"crop"`` keeps them and cuts the middle out.
        mean, std: one a channel, of values in [0, 1].
    """

    channels: int
    height: int
    width: int
    resize: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def transform(self) -> Any:
        """A transform from a PIL image to a normalized tensor (C, H, W)."""
        from fovea.vision import transforms as T

        size = (self.height, self.width)
        if self.resize == "squash":
            steps: list[Any] = [T.Resize(size)]
        else:
            steps = [T.Resize(math.ceil(max(size) * 1.15)), T.CenterCrop(size)]
        return T.Compose([*steps, T.ToTensor(), T.Normalize(list(self.mean), list(self.std))])

    def training_transform(self, flip: bool = True) -> Any:
        """The same with a random part of the image, and left and right exchanged at random."""
        from fovea.vision import transforms as T

        steps: list[Any] = [T.RandomResizedCrop((self.height, self.width), scale=(0.5, 1.0))]
        if flip:
            steps.append(T.RandomHorizontalFlip())
        return T.Compose([*steps, T.ToTensor(), T.Normalize(list(self.mean), list(self.std))])

    @property
    def mode(self) -> str:
        """The mode of a PIL image with these channels."""
        return "L" if self.channels == 1 else "RGB"

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for a checkpoint."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, content: Any, where: str) -> Preprocess:
        """From what ``as_dict`` gave.

        Raises:
            FileFormatError: something is missing or out of its range; ``where`` names the file.
        """
        try:
            made = cls(**{**content, "mean": tuple(content["mean"]), "std": tuple(content["std"])})
            sizes = (made.height, made.width)
            fits = (
                made.channels in (1, 3)
                and all(type(n) is int and 1 <= n <= _MAX_SIZE for n in sizes)
                and made.resize in ("squash", "crop")
                and len(made.mean) == len(made.std) == made.channels
                and all(math.isfinite(float(v)) for v in made.mean)
                and all(math.isfinite(float(v)) and float(v) > 0 for v in made.std)
            )
        except (TypeError, KeyError, ValueError) as error:
            raise FileFormatError(f"{where}: how images are prepared is not readable.") from error
        if not fits:
            raise FileFormatError(f"{where}: how images are prepared is out of range.")
        return made
