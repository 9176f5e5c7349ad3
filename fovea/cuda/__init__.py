"""``fovea.cuda``: there is none, and programs that ask get that answer.

What asks about the device that there is not raises; what only looks after memory, streams or
seeds does nothing, as in PyTorch where it was built without CUDA.

>>> import fovea
>>> fovea.device("cuda" if fovea.cuda.is_available() else "cpu")
device(type='cpu')
"""

from __future__ import annotations

from typing import Any, NoReturn

from fovea.cuda import amp
from fovea.cuda.streams import Event, Stream, current_stream, default_stream, stream
from fovea.errors import DeviceError

__all__ = [
    "Event",
    "OutOfMemoryError",
    "Stream",
    "amp",
    "can_device_access_peer",
    "current_device",
    "current_stream",
    "default_stream",
    "device",
    "device_count",
    "empty_cache",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "init",
    "initial_seed",
    "ipc_collect",
    "is_available",
    "is_bf16_supported",
    "is_current_stream_capturing",
    "is_initialized",
    "is_tf32_supported",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "memory_summary",
    "reset_max_memory_allocated",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state",
    "set_rng_state_all",
    "stream",
    "synchronize",
    "utilization",
]


class OutOfMemoryError(RuntimeError):
    """A device's memory is full: nothing raises it here, and programs may name it."""


class device:  # noqa: N801 - PyTorch's name
    """``with device(0):`` does nothing.

    Args:
        device: the number or name of one.
    """

    def __init__(self, device: Any) -> None:
        self.idx = device

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        return None


def _missing(name: str) -> NoReturn:
    raise DeviceError(
        f"cuda.{name}: there is no CUDA device.", fix="ask fovea.cuda.is_available() first"
    )


# -- what is there --------------------------------------------------------------------------------


def is_available() -> bool:
    """False."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


def is_tf32_supported() -> bool:
    """False."""
    return False


def is_current_stream_capturing() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def get_arch_list() -> list[str]:
    """Empty."""
    return []


def init() -> None:
    """Raises DeviceError."""
    _missing("init")


def current_device() -> int:
    """Raises DeviceError."""
    _missing("current_device")


def set_device(device: Any) -> None:
    """Raises DeviceError."""
    _missing("set_device")


def get_device_name(device: Any = None) -> str:
    """Raises DeviceError."""
    _missing("get_device_name")


def get_device_properties(device: Any = None) -> Any:
    """Raises DeviceError."""
    _missing("get_device_properties")


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Raises DeviceError."""
    _missing("get_device_capability")


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Raises DeviceError."""
    _missing("can_device_access_peer")


def utilization(device: Any = None) -> int:
    """Raises DeviceError."""
    _missing("utilization")


# -- work and memory ------------------------------------------------------------------------------


def synchronize(device: Any = None) -> None:
    """Nothing to wait for."""


def empty_cache() -> None:
    """Nothing to give back."""


def ipc_collect() -> None:
    """Nothing to give back."""


def memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


def max_memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


def memory_reserved(device: Any = None) -> int:
    """0."""
    return 0


def max_memory_reserved(device: Any = None) -> int:
    """0."""
    return 0


def memory_stats(device: Any = None) -> dict[str, Any]:
    """Empty."""
    return {}


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """Says that there is no device."""
    return "there is no CUDA device"


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Raises DeviceError."""
    _missing("mem_get_info")


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing to reset."""


def reset_max_memory_allocated(device: Any = None) -> None:
    """Nothing to reset."""


# -- random numbers -------------------------------------------------------------------------------


def manual_seed(seed: int) -> None:
    """Nothing to seed: as in PyTorch, no error without a device."""


def manual_seed_all(seed: int) -> None:
    """Nothing to seed."""


def seed() -> None:
    """Nothing to seed."""


def seed_all() -> None:
    """Nothing to seed."""


def initial_seed() -> int:
    """Raises DeviceError."""
    _missing("initial_seed")


def get_rng_state(device: Any = "cuda") -> Any:
    """Raises DeviceError."""
    _missing("get_rng_state")


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Nothing to set."""


def get_rng_state_all() -> list[Any]:
    """Empty: one for each device."""
    return []


def set_rng_state_all(new_states: Any) -> None:
    """Nothing to set."""


def __getattr__(name: str) -> Any:
    """``FloatTensor`` and its kin: names of types that there are no tensors of."""
    from fovea.typed_tensors import on_cuda

    kind = on_cuda(name)
    if kind is None:
        raise AttributeError(f"module 'fovea.cuda' has no attribute {name!r}")
    return kind
