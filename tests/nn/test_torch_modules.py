"""Every module that fovea shares with PyTorch agrees with it on PyTorch's own cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")

from tests.nn.module_exceptions import ABSENT, EXCEPTIONS  # noqa: E402
from tests.nn.module_tables import (  # noqa: E402
    UNDETERMINED,
    absent,
    agree,
    as_ours,
    pair,
    samples,
    table,
    tensors,
)

NAMES = sorted(table())


def check(name: str, dtype: Any, gradient: bool, what: str) -> None:
    """All samples of an entry, in training and in evaluation if the two differ."""
    if f"{name}:{what}" in EXCEPTIONS or name in EXCEPTIONS:
        pytest.skip(EXCEPTIONS.get(f"{name}:{what}") or EXCEPTIONS[name])
    modes = (True, False) if table()[name].train_and_eval_differ else (True,)
    for training in modes:
        for sample in samples(name, dtype, training, gradient):
            try:
                agree(name, sample, dtype, training, gradient)
            except Exception as error:
                made, called = sample.constructor_input, sample.forward_input
                error.add_note(f"{sample.desc}: {made.args} {made.kwargs}, training={training}")
                error.add_note(f"called with {called.args} {called.kwargs}"[:1500])
                raise


@pytest.mark.parametrize("name", NAMES)
def test_values(name: str) -> None:
    check(name, torch.float32, False, "values")


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str) -> None:
    check(name, torch.float64, True, "gradients")


@pytest.mark.parametrize("name", NAMES)
def test_captured(name: str) -> None:
    """A compiled module gives, run after run, what it gives in eager mode."""
    if f"{name}:captured" in EXCEPTIONS or name in UNDETERMINED:
        pytest.skip(EXCEPTIONS.get(f"{name}:captured") or "random results")
    for sample in samples(name, torch.float32, False, False)[:3]:
        _, module = pair(name, sample, torch.float32, False)
        args, kwargs = as_ours(sample.forward_input.args), as_ours(sample.forward_input.kwargs)
        expected = list(tensors(module(*args, **kwargs)))
        program = fovea.compile(module, strict=True)
        for _ in range(2):
            result = list(tensors(program(*args, **kwargs)))
            for mine, eager in zip(result, expected, strict=True):
                a, b = mine.detach().numpy(), eager.detach().numpy()
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_exceptions_name_entries_of_the_table() -> None:
    assert {k.partition(":")[0] for k in EXCEPTIONS} <= set(NAMES)
    assert sorted(ABSENT) == sorted(absent())
