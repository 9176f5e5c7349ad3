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


@pytest.mark.parametrize("name", [n for n in NAMES if table()[n].train_and_eval_differ])
def test_captured_in_training(name: str) -> None:
    """In training, too: the same draws from the same seed, the same running statistics after."""
    if f"{name}:captured" in EXCEPTIONS:
        pytest.skip(EXCEPTIONS[f"{name}:captured"])
    for sample in samples(name, torch.float32, True, False)[:3]:
        (_, module), (_, other) = (pair(name, sample, torch.float32, True) for _ in range(2))
        args, kwargs = as_ours(sample.forward_input.args), as_ours(sample.forward_input.kwargs)
        other.load_state_dict(module.state_dict())
        program = fovea.compile(other, strict=True)
        for seed in range(3):
            results = []
            for call in (module, program):
                fovea.manual_seed(seed)
                results.append(list(tensors(call(*args, **kwargs))))
            for eager, mine in zip(*results, strict=True):
                a, b = mine.detach().numpy(), eager.detach().numpy()
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        for (key, value), after in zip(
            module.state_dict().items(), other.state_dict().values(), strict=True
        ):
            np.testing.assert_allclose(after.numpy(), value.numpy(), rtol=1e-5, err_msg=key)


def test_exceptions_name_entries_of_the_table() -> None:
    assert {k.partition(":")[0] for k in EXCEPTIONS} <= set(NAMES)
    assert sorted(ABSENT) == sorted(absent())
