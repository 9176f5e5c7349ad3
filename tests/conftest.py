"""Shared by all tests: one thread for the references, so that two test processes do not fight."""

from __future__ import annotations

import gc
import os
import sys
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


def pytest_collection() -> None:
    """Tens of thousands of tests come into being, and none of them goes."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What is alive now stays alive: no collection needs to look at it. With all tests and all the
    references' modules each took half a second, and Keras collects whenever it clears its session.
    """
    _without_seeds_for_absent_devices()
    gc.collect()
    gc.freeze()
    gc.enable()


def _without_seeds_for_absent_devices() -> None:
    """PyTorch keeps each seed for devices that are not there, with a formatted stack for each: that
    is milliseconds a seed, and there are many thousands.
    """

    def manual_seed_all(seed: int) -> None:
        pass

    for name in ("cuda", "xpu", "mtia"):
        module: Any = sys.modules.get(f"torch.{name}")
        if module is not None and not module.is_available():
            module.manual_seed_all = manual_seed_all
