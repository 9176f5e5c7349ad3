"""``fovea.distributed``: a group of one process, so that programs for several run in one.

What all processes would share is what this one has: sums, means and gathered lists are its own.
More processes are refused when the group is made.
"""

from __future__ import annotations

import enum
import os
from datetime import timedelta
from typing import Any

from fovea.errors import ArgumentError

__all__ = [
    "ReduceOp",
    "all_gather",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_reduce",
    "barrier",
    "broadcast",
    "broadcast_object_list",
    "destroy_process_group",
    "gather",
    "gather_object",
    "get_backend",
    "get_rank",
    "get_world_size",
    "init_process_group",
    "is_available",
    "is_gloo_available",
    "is_initialized",
    "is_mpi_available",
    "is_nccl_available",
    "is_torchelastic_launched",
    "new_group",
    "reduce",
    "reduce_scatter",
    "scatter",
]


class ReduceOp(enum.Enum):
    """How numbers of several processes become one."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7


class Work:
    """What an operation with ``async_op=True`` returns: it is done."""

    def wait(self, timeout: Any = None) -> bool:
        """True."""
        return True

    def is_completed(self) -> bool:
        """True."""
        return True


_backend: list[str] = []  # of the group, if there is one


def is_available() -> bool:
    """True."""
    return True


def is_nccl_available() -> bool:
    """False."""
    return False


def is_gloo_available() -> bool:
    """True: a group of one needs nothing else."""
    return True


def is_mpi_available() -> bool:
    """False."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether a launcher started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_initialized() -> bool:
    """Whether there is a group."""
    return bool(_backend)


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: timedelta | None = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Make the group.

    Args:
        backend: its name, kept for ``get_backend``.
        world_size: 1; by default the environment's ``WORLD_SIZE``, or 1.
        rank: 0.
        init_method, timeout, store, group_name, pg_options, device_id: accepted.

    Raises:
        ArgumentError: more than one process, or there is a group already.

    >>> init_process_group("gloo", world_size=1, rank=0)
    >>> get_rank(), get_world_size()
    (0, 1)
    >>> destroy_process_group()
    """
    if _backend:
        raise ArgumentError("init_process_group: there is a group already.")
    size = int(os.environ.get("WORLD_SIZE", 1)) if world_size < 1 else world_size
    if size != 1:
        raise ArgumentError(
            f"init_process_group: {size} processes are wanted; there is one.",
            fix="start the program once, with WORLD_SIZE=1",
        )
    _backend.append((backend or "gloo").lower())


def destroy_process_group(group: Any = None) -> None:
    """Forget the group."""
    _backend.clear()


def new_group(ranks: Any = None, *args: Any, **kwargs: Any) -> Any:
    """A part of the group: the group."""
    _need_group("new_group")
    return None


def _need_group(name: str) -> None:
    if not _backend:
        raise ArgumentError(
            f"distributed.{name}: there is no group of processes.",
            fix="init_process_group() first, or ask is_initialized()",
        )


def get_backend(group: Any = None) -> str:
    """The group's name for how it speaks."""
    _need_group("get_backend")
    return _backend[0]


def get_rank(group: Any = None) -> int:
    """0."""
    _need_group("get_rank")
    return 0


def get_world_size(group: Any = None) -> int:
    """1."""
    _need_group("get_world_size")
    return 1


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """No one to wait for."""
    _need_group("barrier")
    return Work() if async_op else None


# -- tensors --------------------------------------------------------------------------------------


def all_reduce(
    tensor: Any, op: ReduceOp = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """The tensor stays: it is the sum, mean, product, least and most of one."""
    _need_group("all_reduce")
    return Work() if async_op else None


def reduce(
    tensor: Any,
    dst: int | None = None,
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """The tensor stays."""
    _need_group("reduce")
    return Work() if async_op else None


def broadcast(
    tensor: Any, src: int | None = None, group: Any = None, async_op: bool = False
) -> Work | None:
    """The tensor stays."""
    _need_group("broadcast")
    return Work() if async_op else None


def all_gather(
    tensor_list: list[Any], tensor: Any, group: Any = None, async_op: bool = False
) -> Work | None:
    """The tensor into the list's one."""
    _need_group("all_gather")
    _one("all_gather", tensor_list).copy_(tensor)
    return Work() if async_op else None


def all_gather_into_tensor(
    output_tensor: Any, input_tensor: Any, group: Any = None, async_op: bool = False
) -> Work | None:
    """The tensor into the other."""
    _need_group("all_gather_into_tensor")
    output_tensor.copy_(input_tensor.reshape(output_tensor.shape))
    return Work() if async_op else None


def gather(
    tensor: Any,
    gather_list: list[Any] | None = None,
    dst: int | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """The tensor into the list's one."""
    _need_group("gather")
    _one("gather", gather_list).copy_(tensor)
    return Work() if async_op else None


def scatter(
    tensor: Any,
    scatter_list: list[Any] | None = None,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """The list's one into the tensor."""
    _need_group("scatter")
    tensor.copy_(_one("scatter", scatter_list))
    return Work() if async_op else None


def reduce_scatter(
    output: Any,
    input_list: list[Any],
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """The list's one into the tensor."""
    _need_group("reduce_scatter")
    output.copy_(_one("reduce_scatter", input_list))
    return Work() if async_op else None


def _one(name: str, items: list[Any] | None) -> Any:
    if items is None or len(items) != 1:
        raise ArgumentError(
            f"distributed.{name}: a list of one is needed, for the one process, got "
            f"{None if items is None else len(items)}."
        )
    return items[0]


# -- objects --------------------------------------------------------------------------------------


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """The object into the list."""
    _need_group("all_gather_object")
    _one("all_gather_object", object_list)
    object_list[0] = obj


def gather_object(
    obj: Any, object_gather_list: list[Any] | None = None, dst: int | None = None, group: Any = None
) -> None:
    """The object into the list."""
    _need_group("gather_object")
    _one("gather_object", object_gather_list)
    assert object_gather_list is not None
    object_gather_list[0] = obj


def broadcast_object_list(
    object_list: list[Any], src: int | None = None, group: Any = None, device: Any = None
) -> None:
    """The objects stay."""
    _need_group("broadcast_object_list")
