"""Devices. Eager tensors live on the CPU; accelerators are reached through compiled programs."""

from __future__ import annotations

from typing import Any

from fovea.errors import DeviceError

__all__ = ["CPU", "as_device", "device"]


class device:  # noqa: N801 - PyTorch's name
    """A place where tensors live.

    Args:
        type: ``"cpu"``, with an optional ``":0"``.

    Raises:
        DeviceError: a device that fovea does not have.

    >>> device("cpu")
    device(type='cpu')
    >>> import fovea
    >>> with device("cpu"):
    ...     fovea.zeros(2)
    tensor([0., 0.])
    """

    __slots__ = ("index", "type")
    type: str
    index: int | None

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        if isinstance(type, device):
            index = type.index
            type = type.type
        kind, _, number = str(type).partition(":")
        if kind != "cpu" or number not in ("", "0"):
            raise DeviceError(
                f"device {type!r} is not available: eager tensors live on 'cpu'.",
                fix="device='cpu'",
            )
        self.type = kind
        self.index = 0 if number else index

    def __enter__(self) -> device:
        """New tensors are made on this device within the block, as everywhere."""
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __repr__(self) -> str:
        return f"device(type={self.type!r})"

    def __str__(self) -> str:
        return self.type

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return other == self.type
        return isinstance(other, device) and other.type == self.type

    def __hash__(self) -> int:
        return hash(self.type)


CPU = device("cpu")


def as_device(value: Any) -> device:
    """``None``, a name or a device as a device."""
    return CPU if value is None or value is CPU else device(value)
