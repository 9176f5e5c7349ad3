"""torchvision as a reference, where it is installed and runs."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def torchvision() -> Any:
    """torchvision beside a PyTorch for which its compiled operators were not built."""
    torch = pytest.importorskip("torch")
    # Its Python code only needs one compiled operator to be known by name.
    register = torch.library.register_fake

    def quiet(name: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(name, str) and name.startswith("torchvision::"):
            return lambda function: function
        return register(name, *args, **kwargs)

    torch.library.register_fake = quiet
    try:
        module = pytest.importorskip("torchvision")
        pytest.importorskip("torchvision.transforms")
    except RuntimeError as error:
        pytest.skip(f"torchvision does not load: {error}")
    finally:
        torch.library.register_fake = register
    return module
