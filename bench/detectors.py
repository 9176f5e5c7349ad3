"""Training steps of fovea's own detector beside PyTorch: ``python -m bench detectors``.

PyTorch runs the same source: the files of `Glance` with PyTorch's functions under the names that
they import. fovea's steps are compiled, PyTorch's eager, in both of its layouts; all are on one
thread, by turns, by processor time. Before anything is timed, losses are compared: closely in
float64, and those of the steps themselves.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.nets.models import torchvision_models
from bench.tables import Report

__all__ = ["in_pytorch", "time_detectors"]

CASES = (("glance_n", 128, 16), ("glance_n", 320, 8), ("glance_s", 320, 4))  # pixels, images
REPETITIONS = 7
OBJECTS = 20  # rooms for objects of an image
_FILES = ("glance_network", "glance_losses")
_PARTS = {
    "fovea.vision.models.detection._utils": ("joined",),
    "fovea.vision.models.initial": ("fan_out_normal",),
    "fovea.vision.ops.box_losses": ("_area", "overlap"),
}  # functions that those files import, which are made of PyTorch's functions, too


def in_pytorch() -> Any:
    """What the files of `Glance` define, made of PyTorch."""
    torchvision_models()  # finds out how torchvision can be imported
    torch, ops = importlib.import_module("torch"), importlib.import_module("torchvision.ops")
    names: dict[str, Any] = {
        "nn": torch.nn, "F": torch.nn.functional, "no_grad": torch.no_grad, "cat": torch.cat,
        "clamp": torch.clamp, "minimum": torch.minimum, "maximum": torch.maximum,
        "from_array": torch.from_numpy, "ArgumentError": ValueError, "Tensor": torch.Tensor,
        "Conv2dNormActivation": ops.Conv2dNormActivation,
        "generalized_box_iou_loss": ops.generalized_box_iou_loss,
    }  # fmt: skip
    names["Sequence"] = names["Tensor"]  # only in annotations, which nobody evaluates
    for place, functions in _PARTS.items():
        for name in functions:
            source = inspect.getsource(getattr(importlib.import_module(place), name))
            exec("from __future__ import annotations\n" + source, names)
    for file in _FILES:
        module = importlib.import_module(f"fovea.vision.models.detection.{file}")
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        tree.body = [node for node in tree.body if not _of_fovea(node)]
        exec(compile(tree, file, "exec"), names)
    return SimpleNamespace(**names)


def _of_fovea(node: ast.stmt) -> bool:
    module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
    if isinstance(node, ast.Import):
        module = node.names[0].name
    return module.partition(".")[0] == "fovea"


def _batch(size: int, count: int) -> tuple[Any, Any]:
    """Images, and two objects in each."""
    random = np.random.default_rng(0)
    images = random.random((count, 3, size, size), np.float32)
    objects = np.zeros((count, OBJECTS, 5), np.float32)
    corners = random.uniform(0, size / 2, (count, 2, 2))
    objects[:, :2, 0] = random.integers(1, 7, (count, 2))
    objects[:, :2, 1:3], objects[:, :2, 3:] = corners, corners + size / 4
    return images, objects


def _steps(name: str, size: int, count: int) -> list[Callable[[], Any]]:
    """A training step of fovea (compiled) and of PyTorch (eager, in both layouts)."""
    fovea, torch = importlib.import_module("fovea"), importlib.import_module("torch")
    models, twin = importlib.import_module("fovea.vision.models"), in_pytorch()
    ours = models.get_model(name, num_classes=7, image_size=size)
    widths = tuple(ours.widths)
    state = {k: torch.from_numpy(v.numpy().copy()) for k, v in ours.network.state_dict().items()}
    images, objects = _batch(size, count)
    optimizer = fovea.optim.AdamW(ours.parameters(), 1e-3)

    def step(images: Any, objects: Any) -> Any:
        optimizer.zero_grad()
        loss = ours.training_step((images, objects))["loss"]
        loss.backward()
        optimizer.step()
        return loss

    arguments = fovea.from_numpy(images), fovea.from_numpy(objects)
    steps: list[Callable[[], Any]] = [partial(fovea.compile(step), *arguments)]
    for layout in (torch.contiguous_format, torch.channels_last):
        network = twin.GlanceNetwork(widths, ours.depth, 6)
        network.load_state_dict(state)
        steps.append(_pytorch_step(torch, twin, network.to(memory_format=layout), images, objects))
    return steps


def _pytorch_step(torch: Any, twin: Any, network: Any, images: Any, objects: Any) -> Any:
    layout = torch.channels_last
    if next(network.parameters()).is_contiguous():
        layout = torch.contiguous_format
    x = torch.from_numpy(images).contiguous(memory_format=layout)
    targets, optimizer = torch.from_numpy(objects), torch.optim.AdamW(network.parameters(), 1e-3)

    def step() -> Any:
        optimizer.zero_grad()
        losses = twin.glance_losses(*network.predictions(x), tuple(x.shape[2:]), targets)
        loss = sum(losses.values())
        loss.backward()
        optimizer.step()
        return loss

    return step


def _check_in_float64(name: str, size: int, count: int) -> None:
    """Each loss is PyTorch's to the rounding of float64, in which no two places fit alike."""
    fovea, torch = importlib.import_module("fovea"), importlib.import_module("torch")
    models, twin = importlib.import_module("fovea.vision.models"), in_pytorch()
    losses = importlib.import_module("fovea.vision.models.detection.glance_losses")
    model = models.get_model(name, num_classes=7, image_size=size)
    ours = model.network.double()
    theirs = twin.GlanceNetwork(tuple(model.widths), model.depth, 6).double()
    theirs.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in ours.state_dict().items()})
    images, objects = (x.astype(np.float64) for x in _batch(size, count))
    found = []
    for lib, made, place, network in (
        (fovea, losses, fovea.from_numpy, ours),
        (torch, twin, torch.from_numpy, theirs),
    ):
        with lib.no_grad():
            outputs = network.predictions(place(images))
            parts = made.glance_losses(*outputs, (size, size), place(objects))
        found.append({key: float(loss) for key, loss in parts.items()})
    for key, loss in found[0].items():
        if not math.isclose(loss, found[1][key], rel_tol=1e-6):
            raise RuntimeError(f"{name}: {key} is {loss} in float64, PyTorch's {found[1][key]}.")


def _race(name: str, size: int, count: int) -> list[float]:
    """Median seconds of processor time, by turns."""
    _check_in_float64(name, size, count)
    steps = _steps(name, size, count)
    losses = [float(step().item()) for step in steps]
    # In float32 rounding may choose another one of the places that fit an object about as well.
    if max(losses) - min(losses) > 1e-2 * min(losses):
        raise RuntimeError(f"{name}: losses differ: {losses}.")
    times: list[list[float]] = [[] for _ in steps]
    for round in range(REPETITIONS + 1):  # the first one compiles
        for step, held in zip(steps, times, strict=True):
            start = time.process_time()
            step()
            if round:
                held.append(time.process_time() - start)
    return [statistics.median(held) for held in times]


def time_detectors(report: Report, cases: Any = CASES) -> None:
    """The table of these steps."""
    for lib in ("fovea", "torch"):
        importlib.import_module(lib).set_num_threads(1)
    head = ("detector", "pixels", "images", "fovea", "PyTorch", "its channels-last", "times")
    title = "Training steps of detectors, one thread (milliseconds of processor time)"
    report.start("detectors", title, head)
    for name, size, count in cases:
        ours, *theirs = _race(name, size, count)
        record = {
            "detector": name, "size": size, "images": count, "fovea": ours, "PyTorch": theirs,
        }  # fmt: skip
        cells = [f"`{name}`", str(size), str(count)]
        cells += [f"{t * 1e3:.0f}" for t in (ours, *theirs)] + [f"{min(theirs) / ours:.2f}"]
        report.row("detectors", record, tuple(cells))
