"""The hot operations on Pillow's RGB images, by fovea's own kernels in Pillow's own memory.

Pillow lends its pixels by Arrow's C interface, four bytes each. What it does not lend (old
versions, pictures above 16 MB) is None here, and Pillow does the work.
"""

from __future__ import annotations

import ctypes
import functools
import math
import struct
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fovea.targets.cpu import threads
from fovea.targets.cpu.builder import checking
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.picture_kernels import LANES, LINE_ALIGN, floats_kernel, shrink_kernel

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["crop_and_resize", "to_floats"]

PIXEL = 4  # bytes
Array = np.ndarray[Any, Any]
Box = tuple[int, int, int, int]  # top, left, height, width
Range = tuple[int, int]

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_mine = threading.local()


class _ArrowArray(ctypes.Structure):
    """The beginning of Arrow's struct of this name."""


_ArrowArray._fields_ = [
    ("counts", ctypes.c_int64 * 5),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
]


def _lent(image: PILImage) -> tuple[Any, int] | None:
    """What keeps an RGB image's pixels in place, and their address."""
    if image.mode != "RGB" or not hasattr(image, "__arrow_c_array__"):
        return None
    image.load()
    try:
        keep = image.__arrow_c_array__()
    except (ValueError, MemoryError):
        return None
    address = _pointer(keep[1], b"arrow_array")
    pixels = _ArrowArray.from_address(address).children[0].contents.buffers[1]
    return keep, int(pixels)


def _run(address: int, buffers: list[Range], sizes: list[int], scalars: list[float]) -> None:
    """Call a kernel on buffers that begin and end at these addresses."""
    words = struct.pack(f"{len(buffers)}q", *(first for first, _ in buffers))
    words += struct.pack(f"{len(sizes)}q{len(scalars)}d", *sizes, *scalars)
    if checking():
        from fovea.targets.cpu.checks import run_checked

        run_checked(address, words, buffers, 1)
    else:
        threads.run(address, words, 1)


def _scratch(nbytes: int) -> Range:
    """This thread's memory, until it asks for more."""
    held: Array | None = getattr(_mine, "scratch", None)
    if held is None or held.nbytes < nbytes:
        held = _mine.scratch = np.empty(nbytes * 5 // 4, np.uint8)
    return held.ctypes.data, held.ctypes.data + held.nbytes


def _rounded(nbytes: int) -> int:
    return -(-nbytes // LINE_ALIGN) * LINE_ALIGN


@functools.cache
def _knows_two_orders() -> bool:
    """Whether this Pillow mixes rows first where that is less work (older ones never do)."""
    values = np.random.default_rng(0).integers(0, 256, (64, 8, 3), np.uint8)
    image, bilinear = Image.fromarray(values), Image.Resampling.BILINEAR
    found = image.resize((16, 8), bilinear).tobytes()
    return found == image.resize((8, 8), bilinear).resize((16, 8), bilinear).tobytes()


def _rows_first(height: int, width: int, size: tuple[int, int]) -> bool:
    """Whether Pillow would mix rows before columns."""
    fewer_rows, fewer_columns = height - size[0], width - size[1]
    return fewer_rows > max(0, 2 * fewer_columns) and _knows_two_orders()


def _within(box: Box, height: int, width: int) -> bool:
    """Whether a box is not empty and lies inside."""
    top, left, rows, columns = box
    return 0 <= top < top + rows <= height and 0 <= left < left + columns <= width


def crop_and_resize(
    image: PILImage, box: Box, size: tuple[int, int], window: Box | None = None
) -> PILImage | None:
    """A box that lies within an RGB image, resized to (height, width) with Pillow's bilinear
    filter, and of this only a window: to the bit what ``crop``, ``resize`` and ``crop`` give.
    """
    top, left, height, width = box
    window = window or (0, 0, *size)
    if not (_within(box, image.height, image.width) and _within(window, *size)):
        return None
    rows, columns = window[2:]
    source = _lent(image)
    new = Image.new("RGB", (columns, rows), None)
    target = _lent(new) if source is not None else None
    if source is None or target is None:
        return None
    scales = [width / size[1], height / size[0]]
    most = math.ceil(max(1.0, *scales)) * 2 + 1
    rows_first = _rows_first(height, width, size)
    line = _rounded((width if rows_first else columns) * PIXEL)
    lines, count = rows if rows_first else height, rows + columns
    parts = [_rounded(n) for n in (lines * line, count * 16, count * most * 4, most * 8)]
    start, _ = _scratch(sum(parts) + LINE_ALIGN)
    buffers = [
        (source[1], source[1] + image.width * image.height * PIXEL),
        (target[1], target[1] + rows * columns * PIXEL),
    ]
    for nbytes in parts:
        buffers.append((start, start + nbytes))
        start += nbytes
    first = buffers[0][0] + (top * image.width + left) * PIXEL
    buffers[0] = (first, buffers[0][1])
    sizes = [image.width * PIXEL, height, width, rows, columns, line, most, *window[:2]]
    kernel = load_cached(f"picture/shrink/{rows_first}", lambda: shrink_kernel(rows_first))
    _run(kernel, buffers, sizes, scales)
    return new


def to_floats(
    image: PILImage, mean: Sequence[float] | None = None, std: Sequence[float] = ()
) -> Array | None:
    """An RGB image as float32 (height, width, 3) in [0, 1]; with a mean, normalized."""
    source = _lent(image)
    if source is None:
        return None
    pixels = image.height * image.width
    found = np.empty((image.height, image.width, 3), np.float32)
    tables = [] if mean is None else [_table(tuple(mean)), _table(tuple(std))]
    buffers = [(source[1], source[1] + pixels * PIXEL)]
    for array in (found, *tables):
        first = array.ctypes.data
        buffers.append((first, first + array.nbytes))
    normalized = mean is not None
    kernel = load_cached(f"picture/floats/{normalized}", lambda: floats_kernel(normalized))
    _run(kernel, buffers, [pixels], [])
    return found


@functools.lru_cache(maxsize=64)
def _table(values: tuple[float, ...]) -> Array:
    """Three channels' values (or one for all), again and again."""
    return np.tile(np.broadcast_to(np.array(values, np.float32), 3), LANES)
