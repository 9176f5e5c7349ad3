"""Settings shared by all of ``fovea.keras``: the float type, epsilon, and where channels are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from fovea import devices, dtypes
from fovea.dtypes import DType
from fovea.errors import ArgumentError

__all__ = [
    "backend",
    "device",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "dtype_policy",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_interactive_logging_enabled",
    "is_traceback_filtering_enabled",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "standardize_data_format",
    "standardize_dtype",
    "version",
]

_FORMATS = ("channels_last", "channels_first")


class _Settings:
    floatx = "float32"
    epsilon = 1e-7
    image_data_format = "channels_last"
    interactive_logging = True
    traceback_filtering = True


_settings = _Settings()


def backend() -> str:
    """The name of the engine underneath.

    >>> backend()
    'fovea'
    """
    return "fovea"


def floatx() -> str:
    """The default float type, as a string.

    >>> floatx()
    'float32'
    """
    return _settings.floatx


def set_floatx(value: str) -> None:
    """Set the default float type.

    Raises:
        ArgumentError: not ``"bfloat16"``, ``"float16"``, ``"float32"`` or ``"float64"``.
    """
    if value not in ("bfloat16", "float16", "float32", "float64"):
        raise ArgumentError(
            f"set_floatx: unknown float type {value!r}.", fix="bfloat16, float16, float32, float64"
        )
    _settings.floatx = value


def epsilon() -> float:
    """The small number that keeps logarithms and divisions finite.

    >>> epsilon()
    1e-07
    """
    return _settings.epsilon


def set_epsilon(value: float) -> None:
    """Set ``epsilon``."""
    _settings.epsilon = float(value)


def image_data_format() -> str:
    """Where images have their channels unless a layer says otherwise.

    >>> image_data_format()
    'channels_last'
    """
    return _settings.image_data_format


def set_image_data_format(data_format: str) -> None:
    """Set where images have their channels: ``"channels_last"`` or ``"channels_first"``."""
    _settings.image_data_format = standardize_data_format(data_format)


def standardize_data_format(data_format: str | None) -> str:
    """A valid data format; None is the default one.

    Raises:
        ArgumentError: an unknown format.
    """
    if data_format is None:
        return _settings.image_data_format
    chosen = str(data_format).lower()
    if chosen not in _FORMATS:
        raise ArgumentError(
            f"data_format must be 'channels_last' or 'channels_first', got {data_format!r}."
        )
    return chosen


def standardize_dtype(dtype: Any) -> str:
    """The name of a dtype; None is ``floatx()``.

    >>> import fovea
    >>> standardize_dtype(fovea.int64), standardize_dtype(None)
    ('int64', 'float32')
    """
    return as_dtype(dtype).name


def as_dtype(dtype: Any) -> DType:
    """A dtype from its name, a NumPy dtype, a policy's config, or None (``floatx()``)."""
    if dtype is None:
        return dtypes.as_dtype(_settings.floatx)
    if isinstance(
        dtype, dict
    ):  # Keras writes {"class_name": "DTypePolicy", "config": {"name": ...}}
        dtype = dtype.get("config", {}).get("name")
    return dtypes.as_dtype(dtype)


def dtype_policy() -> Any:
    """The policy of layers that are not given one; see ``keras.dtype_policies``."""
    from fovea.keras import dtype_policies

    return dtype_policies.dtype_policy()


def set_dtype_policy(policy: Any) -> None:
    """Set the policy of layers that are made from now on and not given one."""
    from fovea.keras import dtype_policies

    dtype_policies.set_dtype_policy(policy)


def enable_interactive_logging() -> None:
    """Let ``fit`` draw progress bars (the default)."""
    _settings.interactive_logging = True


def disable_interactive_logging() -> None:
    """Let ``verbose="auto"`` mean one line an epoch."""
    _settings.interactive_logging = False


def is_interactive_logging_enabled() -> bool:
    """Whether ``verbose="auto"`` means a progress bar."""
    return _settings.interactive_logging


def enable_traceback_filtering() -> None:
    """Set what `is_traceback_filtering_enabled` tells; here, tracebacks are whole in any case."""
    _settings.traceback_filtering = True


def disable_traceback_filtering() -> None:
    """Set what `is_traceback_filtering_enabled` tells; here, tracebacks are whole in any case."""
    _settings.traceback_filtering = False


def is_traceback_filtering_enabled() -> bool:
    """What was set last; True at first."""
    return _settings.traceback_filtering


@contextlib.contextmanager
def device(device_name: Any) -> Iterator[None]:
    """Make tensors within the block on a device, which eager tensors have one of: the CPU.

    Raises:
        DeviceError: another device.

    >>> with device("cpu:0"):
    ...     pass
    """
    devices.as_device(device_name)
    yield


def version() -> str:
    """The version of Keras whose names and meanings these are.

    >>> version().split(".")[0]
    '3'
    """
    return "3.15.1"
