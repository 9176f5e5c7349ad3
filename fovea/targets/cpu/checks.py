"""Running a kernel that was built with bounds checks (`FOVEA_CPU_CHECK=1`)."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence

from fovea.errors import KernelBoundsError
from fovea.targets.cpu import threads
from fovea.targets.cpu.compile import describe
from fovea.targets.cpu.memory import RECORD_BYTES


def run_checked(
    address: int, params: bytes, ranges: Sequence[tuple[int, int]], thread_count: int = 0
) -> None:
    """Run a checked kernel on `params`, given the byte range (first, one past last) of each buffer.

    Raises:
        KernelBoundsError: the kernel reached outside a buffer (the access itself went to a safe
            place).
    """
    record = ctypes.create_string_buffer(RECORD_BYTES)
    words = [word for pair in ranges for word in pair] + [ctypes.addressof(record)]
    threads.run(address, params + struct.pack(f"{len(words)}q", *words), thread_count)
    number, at, width = struct.unpack_from("3q", record)
    if number == 0:
        return
    name, buffers = describe(address)
    low, high = ranges[number - 1]
    raise KernelBoundsError(
        f"kernel {name}: {width} bytes at {at - low:+d} from the start of buffer "
        f"{buffers[number - 1]}, which holds {high - low}"
    )
