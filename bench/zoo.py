"""The networks of the zoo beside PyTorch's eager ones: ``python -m bench zoo``.

Both run in this process, by turns, on one thread, compiled steps and calls beside PyTorch's in the
faster of its two layouts; a time is the shortest of a few, by processor time. Images are 224×224
(Swin V2: 256×256), two at a time. What networks compute is compared before they are timed.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from bench.nets.models import torchvision_models
from bench.tables import Report

__all__ = ["NETWORKS", "time_zoo"]

NETWORKS = (
    "alexnet", "densenet121", "efficientnet_v2_s", "googlenet", "maxvit_t", "mnasnet1_0",
    "mobilenet_v3_large", "regnet_x_800mf", "regnet_y_400mf", "resnext50_32x4d",
    "shufflenet_v2_x1_0", "squeezenet1_1", "swin_t", "swin_v2_t", "wide_resnet50_2",
)  # fmt: skip
BATCH, REPETITIONS = 2, 4
Call = Callable[[], Any]


def _make(models: Any, name: str) -> Any:
    config = {"aux_logits": False, "init_weights": True} if name == "googlenet" else {}
    return models.get_model(name, **config)


def _step(lib: Any, model: Any, wrap: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    optimizer = lib.optim.SGD(model.parameters(), lr=1e-4)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = lib.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return wrap(step)


def _contestants(name: str) -> tuple[list[tuple[Any, Any, Any]], Any, Any]:
    """fovea's network with its library and images, PyTorch's in both layouts; labels of both."""
    fovea, torch = importlib.import_module("fovea"), importlib.import_module("torch")
    theirs = _make(torchvision_models(), name)
    ours = _make(importlib.import_module("fovea.vision.models"), name)
    ours.load_state_dict({k: fovea.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    random = np.random.default_rng(0)
    size = 256 if name.startswith("swin_v2") else 224
    x = random.standard_normal((BATCH, 3, size, size)).astype(np.float32)
    y = random.integers(0, 1000, BATCH)
    last = _make(torchvision_models(), name)
    last.load_state_dict(theirs.state_dict())
    last = last.to(memory_format=torch.channels_last)
    image = torch.from_numpy(x)
    nets = [
        (fovea, ours, fovea.from_numpy(x)),
        (torch, theirs, image),
        (torch, last, image.contiguous(memory_format=torch.channels_last)),
    ]
    return nets, fovea.from_numpy(y), torch.from_numpy(y)


def _shortest(calls: Sequence[Call]) -> list[float]:
    best = [float("inf")] * len(calls)
    for round in range(REPETITIONS + 1):  # the first one compiles
        for i, call in enumerate(calls):
            start = time.process_time()
            call()
            if round:
                best[i] = min(best[i], time.process_time() - start)
    return best


def _race(name: str) -> tuple[list[float], list[float]]:
    """Seconds of a training step and of a call: fovea, PyTorch in both layouts."""
    fovea = importlib.import_module("fovea")
    nets, y, labels = _contestants(name)
    calls: list[Call] = []
    outputs = []
    for lib, model, x in nets:
        model.eval()
        run = fovea.compile(model) if lib is fovea else model

        def call(lib: Any = lib, run: Any = run, x: Any = x) -> Any:
            with lib.no_grad():
                return run(x)

        calls.append(call)
        outputs.append(call().numpy())
    scale = np.abs(outputs[1]).max()
    if np.abs(outputs[0] - outputs[1]).max() > 1e-3 * scale:
        raise RuntimeError(f"{name}: fovea and PyTorch disagree.")
    inference = _shortest(calls)
    steps: list[Call] = []
    for lib, model, x in nets:
        ours = lib is fovea
        step = _step(lib, model.train(), fovea.compile if ours else lambda f: f)
        target = y if ours else labels
        steps.append(partial(step, x, target))
    return _shortest(steps), inference


def time_zoo(report: Report, names: Sequence[str] = NETWORKS) -> None:
    """The table of these networks."""
    for lib in ("fovea", "torch"):
        importlib.import_module(lib).set_num_threads(1)
    head = ("network", "step", "PyTorch", "times", "inference", "PyTorch", "times")
    title = f"Networks of the zoo, {BATCH} images, one thread (milliseconds of processor time)"
    report.start("zoo", title, head)
    for name in names:
        step, call = _race(name)
        record: dict[str, Any] = {"network": name}
        cells = [f"`{name}`"]
        for what, (ours, *theirs) in (("step", step), ("inference", call)):
            record |= {what: ours, f"{what} of PyTorch": min(theirs)}
            ratio = min(theirs) / ours
            cells += [f"{ours * 1e3:.1f}", f"{min(theirs) * 1e3:.1f}", f"{ratio:.2f}"]
        report.row("zoo", record, tuple(cells))
