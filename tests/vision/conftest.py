"""torchvision as a reference, where it is installed and runs."""

from __future__ import annotations

from typing import Any

import pytest

from bench.nets.models import without_compiled_operators


@pytest.fixture(scope="session")
def torchvision() -> Any:
    """torchvision beside a PyTorch for which its compiled operators were not built."""
    pytest.importorskip("torch")
    with without_compiled_operators():
        try:
            module = pytest.importorskip("torchvision")
            pytest.importorskip("torchvision.transforms")
        except RuntimeError as error:
            pytest.skip(f"torchvision does not load: {error}")
    return module
