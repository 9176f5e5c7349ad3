"""What the tests of networks share: ours and torchvision's with the same weights, compared."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.vision import models

FILES = (
    "_utils", "alexnet", "convnext", "densenet", "efficientnet", "googlenet", "inception",
    "maxvit", "mnasnet", "mobilenetv2", "mobilenetv3", "regnet", "resnet", "segmentation", "shufflenetv2",
    "squeezenet", "swin_transformer", "vgg", "vision_transformer",
)  # fmt: skip


def facts(state: Any) -> list[tuple[str, tuple[int, ...], str]]:
    return [(k, tuple(v.shape), str(v.dtype).rpartition(".")[2]) for k, v in state.items()]


def structure(model: Any) -> str:
    """What a model prints; PyTorch has a name of its own for the last layer of attention."""
    return repr(model).replace("NonDynamicallyQuantizableLinear", "Linear")


def files(package: str) -> Any:
    """The files of networks of a package."""
    modules = {file: importlib.import_module(f"{package}.{file}") for file in FILES}
    return SimpleNamespace(**modules)


def pair(torchvision: Any, build: Any) -> tuple[Any, Any]:
    """torchvision's network and ours in float64, with the same weights, none of them trivial."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = build(files(torchvision.models.__name__)).double()
    noise = np.random.default_rng(1)
    state = {}
    for key, value in theirs.state_dict().items():
        array = value.numpy()
        if array.dtype.kind == "f" and (array.ndim < 2 or not array.any()):
            low, high = (0.5, 1.5) if key.endswith("var") else (-0.2, 0.2)
            array += noise.uniform(low, high, array.shape)  # shares theirs' memory
        state[key] = fovea.tensor(array)
    ours = build(files(models.__name__)).double()
    ours.load_state_dict(state)
    for model in (theirs, ours):
        for module in model.modules():
            if type(module).__name__ == "Dropout":
                module.p = 0.0
    return theirs, ours


def several(outputs: Any) -> list[Any]:
    """What a network returns, as a list: some have auxiliary classifiers."""
    if isinstance(outputs, dict):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def agree(found: Any, expected: Any, what: str, tolerance: float = 1e-8) -> None:
    a, b = found.detach().numpy(), expected.detach().numpy()
    assert a.shape == b.shape, what
    scale = max(float(np.abs(b).max()), 1e-3)  # gradients of 0 are sums that cancel
    assert float(np.abs(a - b).max()) <= tolerance * scale, what


def agree_in_training_and_evaluation(
    theirs: Any, ours: Any, x: Any, y: Any, tolerance: float = 1e-8
) -> None:
    """Logits, gradients and running statistics of one training step, then logits in evaluation."""
    torch = pytest.importorskip("torch")
    expected, found = several(theirs(torch.from_numpy(x))), several(ours(fovea.from_numpy(x)))
    for one, other in zip(found, expected, strict=True):
        agree(one, other, "logits in training")
    losses = [torch.nn.functional.cross_entropy(logits, torch.from_numpy(y)) for logits in expected]
    sum(losses).backward()
    ours_losses = [nn.functional.cross_entropy(logits, fovea.from_numpy(y)) for logits in found]
    fovea.stack(ours_losses).sum().backward()
    gradients = dict(ours.named_parameters())
    for key, parameter in theirs.named_parameters():
        agree(gradients[key].grad, parameter.grad, f"gradient of {key}", tolerance)
    for key, buffer in theirs.named_buffers():
        agree(ours.get_buffer(key), buffer, key)
    with torch.no_grad(), fovea.no_grad():
        expected = several(theirs.eval()(torch.from_numpy(x)))
        found = several(ours.eval()(fovea.from_numpy(x)))
        for one, other in zip(found, expected, strict=True):
            agree(one, other, "logits in evaluation")
