"""Modules on several devices, of which there is one here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from fovea.nn.module import Module

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]


class DataParallel(Module):
    """A module, as ``module`` within this one, which calls it.

    PyTorch's shares a batch among graphics cards; on a CPU the two do the same. Names in
    ``state_dict`` start with ``module.`` in both.

    Args:
        module: what is called.
        device_ids, output_device: taken as PyTorch takes them; have no effect.
        dim: the dimension of batches; kept.

    >>> import fovea
    >>> list(DataParallel(fovea.nn.Linear(2, 1)).state_dict())
    ['module.weight', 'module.bias']
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        self.module = module
        self.device_ids: list[Any] = []
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


class DistributedDataParallel(DataParallel):
    """A module, as ``module`` within this one, which calls it.

    PyTorch's takes the mean of gradients over processes; there is one here
    (``fovea.distributed``). Names in ``state_dict`` start with ``module.`` in both.

    Args:
        module: what is called.
        device_ids, output_device, dim, and all others: taken as PyTorch takes them; have no effect.

    >>> import fovea
    >>> list(DistributedDataParallel(fovea.nn.Linear(2, 1)).state_dict())
    ['module.weight', 'module.bias']
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(module, device_ids, output_device, dim)
        self.require_backward_grad_sync = True

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """A region in which gradients are summed up, as they are outside."""
        self.require_backward_grad_sync = False
        try:
            yield
        finally:
            self.require_backward_grad_sync = True


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Any = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """Call a module with an argument, or a tuple of them."""
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    return module(*arguments, **(module_kwargs or {}))
