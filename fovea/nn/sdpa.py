"""Which kernel computes attention: PyTorch's choice among several, of which fovea has one."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterable, Iterator

from fovea.errors import ArgumentError

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(enum.IntEnum):
    """PyTorch's ways to compute ``scaled_dot_product_attention``."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(
    backends: SDPBackend | Iterable[SDPBackend], set_priority: bool = False
) -> Iterator[None]:
    """Accepted: attention inside is computed as it is outside, whatever is chosen.

    Args:
        backends: the ways that may be taken.
        set_priority: whether they are given in the order in which they are wanted.

    Raises:
        ArgumentError: what is chosen is no ``SDPBackend``.

    >>> import fovea
    >>> from fovea.nn.attention import SDPBackend, sdpa_kernel
    >>> x = fovea.ones(1, 2, 4)
    >>> with sdpa_kernel(SDPBackend.MATH):
    ...     y = fovea.nn.functional.scaled_dot_product_attention(x, x, x)
    >>> y.shape
    fovea.Size([1, 2, 4])
    """
    chosen = [backends] if isinstance(backends, SDPBackend) else list(backends)
    for one in chosen:
        if not isinstance(one, SDPBackend):
            raise ArgumentError(f"sdpa_kernel: expected SDPBackend, got {one!r}.")
    yield
