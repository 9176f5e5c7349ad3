"""PyTorch's own table of modules (``module_db``), run through fovea: made, given weights, called.

A sample of the table says how to construct a module and what to call it with. Both sides are
constructed from it, fovea's takes over PyTorch's ``state_dict``, and outputs, gradients of a fixed
weighted sum of them and the state after the call must agree.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch.testing._internal.common_modules import ModuleInfo, module_db

import fovea
from tests.functions.torch_tables import DTYPES, compare, compare_gradients, converted

# Random results: only shapes and types can agree.
UNDETERMINED = frozenset(["nn.FractionalMaxPool2d", "nn.FractionalMaxPool3d"])


@cache
def table() -> dict[str, ModuleInfo]:
    """Entries of ``module_db`` that fovea has, by name."""
    return {info.name: info for info in module_db if counterpart(info.name) is not None}


def absent() -> list[str]:
    """Entries of ``module_db`` that fovea lacks."""
    return [info.name for info in module_db if counterpart(info.name) is None]


def counterpart(name: str) -> Any:
    """fovea's module of this name (``nn.Linear``), or None."""
    return getattr(fovea.nn, name.removeprefix("nn."), None)


def samples(name: str, dtype: torch.dtype, training: bool, gradient: bool) -> list[Any]:
    """All samples of an entry."""
    info = table()[name]
    torch.manual_seed(zlib.crc32(name.encode()))
    made = info.module_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=gradient, training=training
    )
    return [s for s in made if s.forward_input is not None]


def as_ours(value: Any) -> Any:
    """Arguments with fovea's tensors and functions in place of PyTorch's."""
    if callable(value) and not isinstance(value, type | torch.Tensor | torch.dtype):
        return _counterpart_of_function(value)
    if isinstance(value, torch.nn.Module):
        return rebuilt(value)
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)(map(as_ours, value))
    if isinstance(value, dict):
        return {k: as_ours(v) for k, v in value.items()}
    return converted(value)


def _counterpart_of_function(function: Callable[..., Any]) -> Callable[..., Any]:
    if isinstance(function, torch.nn.Module):
        return rebuilt(function)
    name = getattr(function, "__name__", "")
    return getattr(fovea.nn.functional, name, None) or function


def rebuilt(module: torch.nn.Module) -> Any:
    """fovea's form of a module that is an argument of another: one of its own class and sizes."""
    if isinstance(module, torch.nn.TransformerEncoderLayer):
        return fovea.nn.TransformerEncoderLayer(
            module.self_attn.embed_dim,
            module.self_attn.num_heads,
            module.linear1.out_features,
            module.dropout.p,
            _counterpart_of_function(module.activation),
            bias=module.linear1.bias is not None,
            batch_first=module.self_attn.batch_first,
            norm_first=module.norm_first,
        )
    return getattr(fovea.nn, type(module).__name__)()


def pair(name: str, sample: Any, dtype: torch.dtype, training: bool) -> tuple[Any, Any]:
    """The module of a sample on both sides, with the same weights."""
    args, kwargs = sample.constructor_input.args, sample.constructor_input.kwargs
    theirs = table()[name].module_cls(*args, **kwargs).to(dtype).train(training)
    ours = counterpart(name)(*as_ours(args), **as_ours(kwargs)).to(DTYPES[dtype]).train(training)
    assert repr(ours) == repr(theirs)
    copy_state(theirs, ours)
    return theirs, ours


def copy_state(theirs: Any, ours: Any) -> None:
    """Load PyTorch's weights into fovea's module, strictly; lazy ones have none yet."""
    state = theirs.state_dict()
    if not any(isinstance(v, torch.nn.parameter.UninitializedTensorMixin) for v in state.values()):
        ours.load_state_dict({k: converted(v) for k, v in state.items()})


def _cloned(value: Any) -> Any:
    """Leaves of their own, so that modules can change their inputs in place."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)(map(_cloned, value))
    if isinstance(value, dict):
        return {k: _cloned(v) for k, v in value.items()}
    return value


def _views(value: Any) -> Any:
    """Results of an operation on the leaves: what may be written in place."""
    if isinstance(value, torch.Tensor | fovea.Tensor):
        return value * 1 if value.requires_grad else value
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)(map(_views, value))
    if isinstance(value, dict):
        return {k: _views(v) for k, v in value.items()}
    return value


def tensors(value: Any) -> Iterator[Any]:
    """All tensors within, in order."""
    if isinstance(value, torch.Tensor | fovea.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))


def call(
    module: Any, args: Any, kwargs: Any, run: Callable[..., Any] | None = None
) -> tuple[Any, list[Any]]:
    """A module's result, and the leaves that gradients are for: inputs, then parameters."""
    leaves = [t for t in tensors((args, kwargs)) if t.requires_grad]
    result = (run or module)(*_views(args), **_views(kwargs))
    parameters = dict(module.named_parameters())
    return result, leaves + [parameters[k] for k in sorted(parameters)]


def agree(name: str, sample: Any, dtype: torch.dtype, training: bool, gradient: bool) -> None:
    """Both sides of a sample agree."""
    theirs, ours = pair(name, sample, dtype, training)
    args, kwargs = _cloned(sample.forward_input.args), _cloned(sample.forward_input.kwargs)
    own_args, own_kwargs = as_ours(args), as_ours(kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        expected, reference = call(theirs, args, kwargs)
        if name.startswith("nn.Lazy"):
            ours(*own_args, **own_kwargs)
            ours.load_state_dict({k: converted(v) for k, v in theirs.state_dict().items()})
        result, leaves = call(ours, own_args, own_kwargs)
        compare(result, expected, None, name not in UNDETERMINED)
        if gradient and name not in UNDETERMINED:
            compare_gradients(result, expected, leaves, reference)
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict()), "names of the state"
    for key, value in theirs.state_dict().items():
        compare(state[key], value)
