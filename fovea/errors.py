"""Errors that say what happened, where in the user's program and model, and what would fit."""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = [
    "ArgumentError",
    "CaptureError",
    "DTypeError",
    "DeviceError",
    "FileFormatError",
    "FoveaError",
    "GradientError",
    "GraphError",
    "InplaceError",
    "KernelBoundsError",
    "LabelError",
    "LinAlgError",
    "LoweringError",
    "MissingExtraError",
    "MissingFileError",
    "OutOfRangeError",
    "ShapeError",
    "describe",
    "is_users",
    "user_line",
]

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


_STANDARD = os.path.dirname(os.path.abspath(os.__file__)) + os.sep


def is_users(file: str) -> bool:
    """Whether a line of this file is one that a person can change: neither fovea's nor Python's.

    >>> is_users(__file__), is_users(os.__file__), is_users("train.py")
    (False, False, True)
    """
    if file.startswith((_PACKAGE, "<frozen")):
        return False
    return not file.startswith(_STANDARD) or "site-packages" in file


def user_line() -> str | None:
    """``file:line`` of the innermost frame outside the package: the line a person can change."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if is_users(name):
            return f"{os.path.basename(name)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return None


class FoveaError(Exception):
    """Base of fovea's errors.

    Args:
        summary: one sentence, ``"conv2d: x has 3 channels, weight expects 4."``.
        details: rows printed under it, name to text.
        fix: what to do about it.
    """

    def __init__(
        self, summary: str, details: dict[str, str] | None = None, fix: str | None = None
    ) -> None:
        super().__init__(summary)
        self.summary = summary
        self.details = details or {}
        self.fix = fix
        self.line = user_line()
        self.module_path: list[str] = []

    def enter(self, name: str) -> None:
        """Note that the error passed through the module called ``name`` (innermost first)."""
        self.module_path.insert(0, name)

    def __str__(self) -> str:
        rows = dict(self.details)
        place = ".".join(p for p in self.module_path if p)
        where = f"({self.line})" if place and self.line else self.line
        at = " ".join(p for p in (place, where) if p)
        if at:
            rows["at"] = at
        if self.fix:
            rows["fix"] = self.fix
        width = max((len(name) for name in rows), default=0)
        return "\n".join([self.summary, *(f"  {n:<{width}}  {t}" for n, t in rows.items())])

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.summary, self.details, self.fix))


class ShapeError(FoveaError, ValueError, RuntimeError):
    """Shapes that do not fit together."""


class DTypeError(FoveaError, TypeError, RuntimeError):
    """An element type that an operation does not take."""


class DeviceError(FoveaError, RuntimeError):
    """A device that is not there, or tensors on different devices."""


class ArgumentError(FoveaError, ValueError, TypeError, RuntimeError):
    """An argument that is unknown or out of its range."""


class OutOfRangeError(FoveaError, IndexError, RuntimeError):
    """An index or a dimension outside its range."""


class LabelError(FoveaError, IndexError, ValueError):
    """A class label outside ``[0, classes)``."""


class GradientError(FoveaError, RuntimeError):
    """A gradient that cannot be computed."""


class GraphError(FoveaError, RuntimeError):
    """A captured graph that breaks the rules of graphs, or what it is run on does not fit it."""


class InplaceError(GradientError):
    """A tensor that backward needs was changed in place, or may not be."""


class FileFormatError(FoveaError, ValueError, OSError):
    """A file that is missing, cut short, or not what its name says."""


class MissingFileError(FileFormatError, FileNotFoundError):
    """A file that is not there."""


class MissingExtraError(FoveaError, ImportError):
    """A feature whose optional library is not installed."""


class CaptureError(FoveaError, RuntimeError):
    """A call that `fovea.compile` cannot turn into a program (raised only under ``strict``)."""


class LinAlgError(FoveaError, RuntimeError):
    """A matrix is singular, or not positive definite, or an iteration did not converge."""


class LoweringError(FoveaError, RuntimeError):
    """An op that a target cannot run."""


class KernelBoundsError(FoveaError, RuntimeError):
    """A compiled kernel reached outside a buffer (raised only under ``FOVEA_CPU_CHECK=1``)."""


def describe(t: Any) -> str:
    """How a tensor looks in an error: ``float32 (8, 3, 224, 224)``.

    >>> import fovea
    >>> describe(fovea.zeros(2, 3))
    'float32 (2, 3)'
    """
    if t is None:
        return "None"
    dtype, shape = getattr(t, "dtype", None), getattr(t, "shape", None)
    if dtype is None or shape is None:
        return repr(t)
    return f"{getattr(dtype, 'name', dtype)} {tuple(shape)}"
