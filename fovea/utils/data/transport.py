"""Batches between processes: pickled, with the bytes of arrays and tensors sent beside the pickle,
uncopied.

Nothing here has a name in the file system, so nothing can be left behind when a process is killed.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from fovea.functions.creation import from_numpy
from fovea.tensor import Tensor

__all__ = ["receive", "send"]

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def send(connection: Connection, value: Any) -> None:
    """Send any picklable object; raises what pickling raises, before anything is sent."""
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, buffers.append).dump(value)
    raws = [buffer.raw() for buffer in buffers]
    connection.send_bytes(pickle.dumps(([raw.nbytes for raw in raws], stream.getvalue())))
    for raw in raws:
        _write(connection, raw)


def receive(connection: Connection) -> Any:
    """Receive what ``send`` sent; ``EOFError`` or ``OSError`` if the other side is gone."""
    sizes, body = pickle.loads(connection.recv_bytes())
    return pickle.loads(body, buffers=[_read(connection, size) for size in sizes])


class _Pickler(pickle.Pickler):
    """Protocol 5, with tensors as their arrays in the order in which they lie in memory."""

    def __init__(self, stream: io.BytesIO, keep: Callable[[pickle.PickleBuffer], Any]) -> None:
        super().__init__(stream, protocol=5, buffer_callback=keep)

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor or value.requires_grad:
            return NotImplemented
        array = value.numpy()
        order = sorted(range(array.ndim), key=lambda i: (-abs(array.strides[i]), i))
        dense = np.ascontiguousarray(array.transpose(order)).reshape(-1)
        shape = tuple(array.shape[i] for i in order)
        return _rebuild, (dense.view(np.uint8), value.dtype, shape, order)


def _rebuild(raw: Bytes, dtype: Any, shape: tuple[int, ...], order: list[int]) -> Any:
    array = raw.view(dtype.numpy).reshape(shape)
    return from_numpy(array.transpose([order.index(i) for i in range(len(order))]))


def _write(connection: Connection, raw: memoryview) -> None:
    if os.name != "posix":
        connection.send_bytes(raw)
        return
    while raw:
        raw = raw[os.write(connection.fileno(), raw) :]


def _read(connection: Connection, size: int) -> Bytes:
    """Exactly ``size`` bytes, straight into a fresh array (``recv_bytes`` would copy them
    twice).
    """
    block = np.empty(size, np.uint8)
    rest = memoryview(block)  # type: ignore[arg-type]
    if os.name != "posix":
        if size:
            connection.recv_bytes_into(rest)
        return block
    while rest:
        count = os.readv(connection.fileno(), [rest])
        if count == 0:
            raise EOFError("the worker's end of the connection closed within a batch")
        rest = rest[count:]
    return block
