"""Names of types for annotations, as ``torch.types`` has them."""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from typing import IO

from fovea.devices import device
from fovea.dtypes import DType
from fovea.size import Size
from fovea.tensor import Tensor

__all__ = ["Device", "FileLike", "Number"]

Device = device | str | int | None
Number = builtins.int | builtins.float | builtins.bool
FileLike = str | os.PathLike[str] | IO[bytes]
_TensorOrTensors = Tensor | Sequence[Tensor]
_dtype, _device, _size = DType, device, Size | list[int] | tuple[int, ...]
_int, _float, _bool, _complex = builtins.int, builtins.float, builtins.bool, builtins.complex
