"""PyTorch's own tables of cases (``op_db``), run through fovea: conversion and comparison.

A sample of the table is an input, arguments and keywords of one function. It is run by PyTorch and,
converted, by fovea, under the same name; results, and gradients of a fixed weighted sum of them,
must agree.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.testing._internal import common_utils
from torch.testing._internal.common_methods_invocations import op_db

import fovea
import fovea.nn.functional as F
from tests.functions.exceptions import LEFT_OUT

# The tables look through the whole stack for a test of PyTorch's own, twice for each list of samples.
common_utils.extract_test_fn = lambda: None

DTYPES = {
    torch.float64: fovea.float64,
    torch.float32: fovea.float32,
    torch.bfloat16: fovea.bfloat16,
    torch.float16: fovea.float16,
    torch.int64: fovea.int64,
    torch.int32: fovea.int32,
    torch.int16: fovea.int16,
    torch.int8: fovea.int8,
    torch.uint8: fovea.uint8,
    torch.bool: fovea.bool,
    torch.complex64: fovea.complex64,
    torch.complex128: fovea.complex128,
}
LAYOUTS = {
    torch.contiguous_format: fovea.contiguous_format,
    torch.channels_last: fovea.channels_last,
    torch.channels_last_3d: fovea.channels_last_3d,
    torch.preserve_format: fovea.preserve_format,
}
Tolerance = tuple[float, float] | None
# Relative and absolute: what different orders of summation may cost.
TOLERANCES = {
    torch.float64: (1e-7, 1e-8),
    torch.float32: (1e-4, 2e-5),
    torch.bfloat16: (3e-2, 3e-2),
    torch.float16: (4e-3, 4e-3),
    torch.complex64: (1e-4, 2e-5),
    torch.complex128: (1e-7, 1e-8),
}
# How many samples of an entry are looked at: some have thousands.
MOST = 100
# Samples with these keywords say nothing: random results, sparse gradients.
SILENT = ("dropout_p", "sparse", "scale_grad_by_freq")
# Only shapes and types can agree: random numbers, and memory that nobody wrote.
UNDETERMINED = frozenset(
    [
        "bernoulli",
        "cauchy",
        "empty",
        "empty_like",
        "empty_strided",
        "empty_permuted",
        "exponential",
        "geometric",
        "log_normal",
        "multinomial",
        "new_empty",
        "new_empty_strided",
        "normal",
        "rand",
        "poisson",
        "rand_like",
        "randint",
        "randint_like",
        "randn",
        "randn_like",
        "uniform",
        "nn.functional.alpha_dropout",
        "nn.functional.dropout",
        "nn.functional.dropout2d",
        "nn.functional.dropout3d",
        "nn.functional.feature_alpha_dropout",
        "nn.functional.rrelu",
        "nn.functional.fractional_max_pool2d",
        "nn.functional.fractional_max_pool3d",
        "resize_",
        "resize_as_",
    ]
)
# Which of equal elements is named depends on the algorithm: the elements must agree, not the places.
ORDERS = frozenset(
    [
        "sort",
        "argsort",
        "topk",
        "kthvalue",
        "median",
        "nanmedian",
        "mode",
        "msort",
        "cummax",
        "cummin",
        "aminmax",
    ]
)
# The table calls these with their arguments in another order than people do.
ADAPTERS: dict[str, Callable[..., Any]] = {
    "einsum": lambda operands, equation: fovea.einsum(equation, *operands),
    "where": lambda a, condition, b: fovea.where(condition, a, b),
    "nn.functional.embedding": lambda weight, rows, **kw: F.embedding(rows, weight, **kw),
    "nn.functional.embedding_bag": lambda weight, rows, **kw: F.embedding_bag(rows, weight, **kw),
    "linalg.lstsq/grad_oriented": lambda a, b, driver: fovea.linalg.lstsq(a, b, driver=driver)[:2],
    "linalg.pinv/singular": lambda a, b: fovea.linalg.pinv(a @ b.mT),
    "normal/in_place": lambda x, *args, **kw: x.clone().normal_(*args, **kw),
}


def found(root: Any, name: str) -> Any:
    """The function ``root.a.b`` for ``"a.b"``, or None."""
    for part in name.split("."):
        root = getattr(root, part, None)
    return root if callable(root) else None


def key_of(entry: Any) -> str:
    """Name and variant."""
    variant = entry.variant_test_name
    return f"{entry.name}/{variant}" if variant else str(entry.name)


@cache
def table() -> dict[str, Any]:
    """Entries of ``op_db`` that fovea offers as a function or a method, by name and variant."""
    entries = {}
    for entry in op_db:
        if found(fovea, entry.name) or hasattr(fovea.Tensor, entry.name):
            entries[key_of(entry)] = entry
    return entries


def forms(entry: Any) -> Iterator[tuple[str, Callable[..., Any], Callable[..., Any]]]:
    """The ways to call an entry that both have: label, PyTorch's, fovea's."""
    ours = ADAPTERS.get(key_of(entry)) or found(fovea, entry.name)
    if ours is not None and entry.name.endswith("_"):  # the table's function changes a copy
        change = ours
        yield "function", entry.op, lambda x, *args, **kw: change(x.clone(), *args, **kw)
    elif ours is not None:
        yield "function", entry.op, ours
    for label, theirs in (("method", entry.method_variant), ("inplace", entry.inplace_variant)):
        name = getattr(theirs, "__name__", "") or entry.name
        method = getattr(fovea.Tensor, name, None)
        if theirs is not None and method is not None:
            yield label, theirs, method


@lru_cache(maxsize=4)
def _all_samples(key: str, dtype: torch.dtype, gradient: bool) -> list[Any]:
    entry = table()[key]
    if dtype not in entry.supported_dtypes("cpu"):
        return []
    torch.manual_seed(zlib.crc32(key.encode()))
    first = islice(entry.sample_inputs("cpu", dtype, requires_grad=gradient), MOST)
    _, odd = LEFT_OUT.get(key, ("", lambda sample: False))
    return [s for s in first if not odd(s) and not any(s.kwargs.get(k) for k in SILENT)]


def samples(key: str, dtype: torch.dtype, count: int, gradient: bool = False) -> list[Any]:
    """At most ``count`` samples of an entry, evenly from its list; none if it has no ``dtype``."""
    every = _all_samples(key, dtype, gradient)
    step = max(1, -(-len(every) // count))
    return every[::step]


def converted(value: Any) -> Any:
    """A sample's arguments with fovea's tensors, dtypes and formats in place of PyTorch's."""
    if isinstance(value, torch.Tensor):
        if value.is_sparse or value.dtype not in DTYPES:
            raise UnsupportedError(f"tensors of {value.dtype}, {value.layout}")
        return _tensor(value)
    if isinstance(value, torch.dtype):
        if value not in DTYPES:
            raise UnsupportedError(f"{value}")
        return DTYPES[value]
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, torch.nn.LinearCrossEntropyOptions):
        fields = {f.name: converted(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return fovea.nn.LinearCrossEntropyOptions(**fields)
    if isinstance(value, torch.memory_format):
        return LAYOUTS[value]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(converted, value))
    if isinstance(value, list | tuple):
        return type(value)(map(converted, value))
    if isinstance(value, dict):
        return {k: converted(v) for k, v in value.items()}
    return value


class UnsupportedError(Exception):
    """A sample uses what fovea says it does not have, such as sparse layouts."""


def _tensor(t: torch.Tensor) -> Any:
    plain = t.detach().resolve_conj()
    if plain.dtype == torch.bfloat16:
        made = fovea.from_numpy(plain.float().numpy().copy()).bfloat16()
    else:
        made = fovea.from_numpy(_laid_out(plain))
    return made.requires_grad_() if t.requires_grad else made


def _laid_out(t: torch.Tensor) -> np.ndarray[Any, Any]:
    """The values in memory of their own, with the strides that they had."""
    if t.numel() == 0 or t.is_contiguous():
        return t.numpy().copy()
    extent = sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True)) + 1
    block = torch.as_strided(t, (extent,), (1,)).clone()
    return torch.as_strided(block, t.shape, t.stride(), 0).numpy()


def run(call: Callable[..., Any], sample: Any, convert: bool, inplace: bool = False) -> Any:
    """The result of a sample (converted for fovea), and all its tensor arguments."""
    arguments = (sample.input, *sample.args), dict(sample.kwargs)
    args, kwargs = converted(arguments) if convert else _copied(arguments)
    leaves = [t for t in _tensors((args, kwargs)) if t.requires_grad]
    if inplace:
        args = (args[0].clone(), *args[1:])
    result = call(*args, **kwargs)
    process = sample.output_process_fn_grad  # drops signs that are free
    return (result if process is None else process(result)), leaves


def picked(name: str, result: Any, sample: Any) -> Any:
    """A result whose places among equal elements are replaced by what stands there."""
    if name not in ORDERS or not isinstance(sample.input, torch.Tensor) or not sample.input.ndim:
        return result
    if name == "argsort":
        places = result
    elif isinstance(result, tuple) and name != "aminmax":
        places = result[1]
    else:
        return result
    ints = [a for a in (*sample.args, *sample.kwargs.values()) if type(a) is int]
    if name in ("topk", "kthvalue"):
        ints = ints[1:]
    dim = sample.kwargs.get("dim", ints[0] if ints else -1)
    source = sample.input if isinstance(places, torch.Tensor) else converted(sample.input)
    keep = places.ndim == source.ndim
    there = source.gather(dim, places if keep else places.unsqueeze(dim))
    there = there if keep else there.squeeze(dim)
    return (there,) if name == "argsort" else (result[0], there)


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        copy = value.detach().clone(memory_format=torch.preserve_format)
        return copy.requires_grad_(value.requires_grad)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_copied, value))
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)(map(_copied, value))
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    return value


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, torch.Tensor | fovea.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def compare(ours: Any, theirs: Any, tolerance: Tolerance = None, values: bool = True) -> None:
    """Both results have the same structure, shapes, dtypes and (nearly, with ``values``) values."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, fovea.Tensor), f"{type(ours).__name__} instead of a tensor"
        assert tuple(ours.shape) == tuple(theirs.shape), f"shape {ours.shape}, not {theirs.shape}"
        if theirs.dtype not in DTYPES:
            raise UnsupportedError(f"results of {theirs.dtype}")
        assert ours.dtype is DTYPES[theirs.dtype], f"{ours.dtype}, not {theirs.dtype}"
        if not values:
            return
        rtol, atol = tolerance or TOLERANCES.get(theirs.dtype, (0.0, 0.0))
        wide = theirs.detach().resolve_conj().resolve_neg()
        wide = wide.double() if wide.is_floating_point() else wide
        mine = ours.detach()
        mine = mine.double() if mine.is_floating_point() else mine
        np.testing.assert_allclose(mine.numpy(), wide.numpy(force=True), rtol, atol)
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), f"{len(ours)} results, not {len(theirs)}"
        for a, b in zip(ours, theirs, strict=True):
            compare(a, b, tolerance, values)
    elif not values:
        assert type(ours) is type(theirs)
    elif isinstance(theirs, float):
        assert ours == theirs or (ours != ours and theirs != theirs)
    elif isinstance(theirs, torch.dtype):
        assert ours is DTYPES[theirs]
    else:
        assert ours == theirs


def compare_gradients(ours: Any, theirs: Any, leaves: list[Any], reference: list[Any]) -> None:
    """The gradients of a weighted sum of all differentiable results agree."""
    a = [t for t in _tensors(ours) if t.requires_grad and t.numel()]
    b = [t for t in _tensors(theirs) if t.requires_grad and t.numel()]
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0.5, 1.5, tuple(t.shape)) for t in b]
    try:
        torch.autograd.backward(
            b, [torch.tensor(w, dtype=t.dtype) for t, w in zip(b, weights, strict=True)]
        )
    except NotImplementedError as error:
        raise UnsupportedError(str(error)) from None
    assert len(a) == len(b), f"{len(a)} results have gradients, not {len(b)}"
    pairs = zip(a, weights, strict=True)
    fovea.autograd.backward(a, [fovea.tensor(w, dtype=t.dtype) for t, w in pairs])
    for mine, other in zip(leaves, reference, strict=True):
        wanted = torch.zeros_like(other) if other.grad is None else other.grad
        got = fovea.zeros_like(mine) if mine.grad is None else mine.grad
        compare(got, wanted, (1e-6, 1e-7))
