"""Keras itself, on its PyTorch backend, to compare with."""

from __future__ import annotations

import os
import warnings
from typing import Any

import pytest

from fovea.keras import utils

os.environ.setdefault("KERAS_BACKEND", "torch")


@pytest.fixture(scope="session")
def keras() -> Any:
    """The keras package."""
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


@pytest.fixture(autouse=True)
def _fresh_names() -> None:
    utils.clear_session()
    utils.set_random_seed(0)
