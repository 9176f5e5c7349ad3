"""torchmetrics beside a PyTorch for which torchvision's operators were not built."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fovea


@pytest.fixture(scope="session")
def torchmetrics(torchvision: Any) -> Any:
    pytest.importorskip("torchmetrics.segmentation")
    return pytest.importorskip("torchmetrics")


def plain(value: Any) -> Any:
    """A result as NumPy arrays."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return np.asarray(value.detach().numpy() if hasattr(value, "detach") else value)


def same(ours: Any, theirs: Any, atol: float = 2e-6) -> None:
    """Values, shapes and kinds of dtype agree."""
    ours, theirs = plain(ours), plain(theirs)
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        for key in theirs:
            same(ours[key], theirs[key], atol)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b, atol)
    else:
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=atol)


def batches_agree(ours: Any, theirs: Any, batches: Any, atol: float = 2e-6) -> None:
    """Values of batches and of all, of two merged halves, of a state that was written and read."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = [ours.clone(), ours.clone()]
        for number, (preds, target) in enumerate(batches):
            got = ours(fovea.tensor(preds), fovea.tensor(target))
            same(got, theirs(torch.tensor(preds), torch.tensor(target)), atol)
            parts[number % 2].update(preds, target)
        expected = theirs.compute()
        same(ours.compute(), expected, atol)
        read = parts[0].clone()
        read.reset()
        read.load_state_dict(ours.state_dict())
        same(read.compute(), expected, atol)
        parts[0].merge_state(parts[1])
        if not getattr(ours, "samplewise", False):
            same(parts[0].compute(), expected, atol)
