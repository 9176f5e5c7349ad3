"""`View`: what planners know of a tensor, its shape, its strides and its element type."""

from __future__ import annotations

from typing import NamedTuple

from fovea.targets.cpu.elements import Element, element


class View(NamedTuple):
    """A strided view of memory; strides count elements, and the view's address is that of its first
    element.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str

    @property
    def element(self) -> Element:
        return element(self.dtype)

    @property
    def size(self) -> int:
        n = 1
        for s in self.shape:
            n *= s
        return n

    @staticmethod
    def dense(shape: tuple[int, ...], dtype: str) -> View:
        """A row-major view.

        >>> View.dense((2, 3), "float32").strides
        (3, 1)
        """
        strides, n = [], 1
        for s in reversed(shape):
            strides.append(n)
            n *= max(s, 1)
        return View(shape, tuple(reversed(strides)), dtype)

    def flipped(self) -> View:
        """The last two dimensions exchanged."""
        (*shape, rows, columns), (*strides, down, across) = self.shape, self.strides
        return View((*shape, columns, rows), (*strides, across, down), self.dtype)
