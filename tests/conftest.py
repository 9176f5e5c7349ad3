"""Shared by all tests: one thread for the references, so that two test processes do not fight."""

from __future__ import annotations

import os
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def torchvision() -> Any:
    """torchvision beside a PyTorch for which its compiled operators were not built."""
    from bench.nets.models import without_compiled_operators

    pytest.importorskip("torch")
    with without_compiled_operators():
        try:
            module = pytest.importorskip("torchvision")
            pytest.importorskip("torchvision.transforms")
        except RuntimeError as error:
            pytest.skip(f"torchvision does not load: {error}")
    return module
