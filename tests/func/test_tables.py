"""Every function of PyTorch's tables that fovea has gives under vmap what it gives for each sample.

So it is made of ops: one that went past them, to memory, would see the first sample alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import fovea
from fovea.errors import ArgumentError, InplaceError, ShapeError
from fovea.func.trees import flatten
from tests.functions.exceptions import reason
from tests.functions.torch_tables import (
    UNDETERMINED,
    UnsupportedError,
    converted,
    forms,
    samples,
    table,
)

# Why vmap refuses, and what: sizes that depend on values, draws without a word on them, statistics.
REFUSED = {
    "no values of its own": "argwhere histogram linalg.matrix_rank linalg.pinv linspace/tensor_overload "
    "logspace/tensor_overload masked_select nn.functional.embedding "
    "nn.functional.embedding_bag nonzero nonzero_static repeat_interleave take unique "
    "unique_consecutive",
    "randomness": "bernoulli multinomial nn.functional.alpha_dropout nn.functional.dropout "
    "nn.functional.dropout2d nn.functional.dropout3d "
    "nn.functional.fractional_max_pool2d nn.functional.fractional_max_pool3d "
    "nn.functional.rrelu normal normal/in_place normal/number_mean rand_like "
    "randint_like randn_like",
    "no memory of its own": "resize_ resize_as_",
}
COUNT = 2  # samples


def refused(key: str, message: str) -> bool:
    return any(why in message and key in keys.split() for why, keys in REFUSED.items())


def of_sample(t: Any, place: int, number: int) -> Any:
    """A tensor like ``t``, with other values of the same domain."""
    if t.dtype.is_floating_point:
        return t * (1 - 0.03 * number * (1 + place))
    return t.flatten().roll(number).reshape(t.shape) if t.numel() else t


def one_by_one(call: Callable[..., Any], rows: list[list[Any]], tree: Any) -> list[Any] | None:
    """The results for each sample, stacked; None if they are no tensors of one shape."""
    found = []
    for row in rows:
        args, kwargs = tree.build([x.clone() if fovea.is_tensor(x) else x for x in row])
        try:
            found.append(flatten(call(*args, **kwargs))[0])
        except (ArgumentError, ShapeError):  # no sample, for fovea
            return None
    if not all(fovea.is_tensor(t) for t in found[0]):
        return None
    columns = list(zip(*found, strict=True))
    if any(len({tuple(t.shape) for t in c}) > 1 for c in columns):
        return None
    return [fovea.stack(c) for c in columns]


def at_once(call: Callable[..., Any], rows: list[list[Any]], tree: Any, mapped: list[int]) -> Any:
    stacked = [fovea.stack([row[i] for row in rows]) for i in mapped]

    def single(*own: Any) -> Any:
        leaves = list(rows[0])
        for i, t in zip(mapped, own, strict=True):
            leaves[i] = t
        args, kwargs = tree.build(leaves)
        return tuple(flatten(call(*args, **kwargs))[0])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message=".*sample by sample")
        return fovea.vmap(single)(*stacked)


def check(key: str, call: Callable[..., Any], sample: Any) -> bool:
    """Whether a sample said something."""
    try:
        arguments = converted(((sample.input, *sample.args), dict(sample.kwargs)))
    except UnsupportedError:
        return False
    leaves, tree = flatten(arguments)
    mapped = [i for i, x in enumerate(leaves) if fovea.is_tensor(x)]
    rows = [
        [of_sample(x, i, k) if i in mapped else x for i, x in enumerate(leaves)]
        for k in range(COUNT)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = one_by_one(call, rows, tree) if mapped else None
    if expected is None:
        return False
    try:
        found = at_once(call, rows, tree, mapped)
    except (ArgumentError, InplaceError) as error:
        if refused(key, str(error)):
            return False
        raise
    if key.partition("/")[0] in UNDETERMINED:
        return False
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape and a.dtype is b.dtype
        kind = np.complex128 if a.is_complex() else np.float64
        np.testing.assert_allclose(a.numpy().astype(kind), b.numpy().astype(kind), 2e-4, 2e-5)
    return True


@pytest.mark.parametrize("key", sorted(table()))
def test_functions(key: str) -> None:
    said = 0
    for label, _, ours in forms(table()[key]):
        if label != "function" or reason(key, "values", label, f"values:{label}"):
            continue
        for sample in samples(key, torch.float32, 3, False):
            said += check(key, ours, sample)
    if not said:
        pytest.skip("no sample that vmap takes")
