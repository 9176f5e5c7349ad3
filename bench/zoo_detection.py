"""Detectors of the zoo beside torchvision's: the second table of ``python -m bench zoo``.

Inference of one image of 320×320 (SSD: 300×300), from the image to its boxes, with the same random
weights, which find some hundred boxes; one thread, by turns, processor time. What is found is
compared first. torchvision's compiled operators are not built for PyTorch's CPU wheels: the time
of what stands for its suppression of boxes and its alignment of regions is not counted. fovea's own
is.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.nets.detection import StandIns, lively
from bench.tables import Report

__all__ = ["DETECTORS", "time_detection"]

DETECTORS = (
    "ssdlite320_mobilenet_v3_large", "ssd300_vgg16", "retinanet_resnet50_fpn", "fcos_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn",
)  # fmt: skip
SIZE, ROUNDS = 320, 4
Call = Callable[[], Any]


def _config(name: str) -> dict[str, Any]:
    return {} if name.startswith("ssd") else {"min_size": SIZE, "max_size": SIZE}


def _compiled(model: Any) -> Any:
    """The same detector with its network of fixed shapes compiled; what depends on values runs
    eagerly, as it would anyway.
    """
    compiled = importlib.import_module("fovea").compile
    model.backbone = compiled(model.backbone)
    if hasattr(model, "rpn"):
        model.rpn.head = compiled(model.rpn.head)
        model.roi_heads.box_head = compiled(model.roi_heads.box_head)
    else:
        model.head = compiled(model.head)
    return model


def _contestants(name: str, stand_ins: StandIns) -> dict[str, Call]:
    """Calls of fovea's detector, eager and compiled, and of PyTorch's in both layouts."""
    fovea, torch = importlib.import_module("fovea"), importlib.import_module("torch")
    ours = importlib.import_module("fovea.vision.models")
    image = np.random.default_rng(0).random((3, SIZE, SIZE), np.float32)
    torch.manual_seed(0)
    maker = getattr(stand_ins.install(), name)
    theirs = maker(weights=None, weights_backbone=None, **_config(name))
    lively(theirs, name, [torch.from_numpy(image)])
    state = {k: fovea.tensor(v.numpy()) for k, v in theirs.state_dict().items()}
    calls: dict[str, Call] = {}
    for kind in ("eager", "compiled"):
        model = ours.get_model(name, **_config(name))
        model.load_state_dict(state)
        model = _compiled(model.eval()) if kind == "compiled" else model.eval()
        calls[kind] = _call(fovea, model, fovea.from_numpy(image))
    last = maker(weights=None, weights_backbone=None, **_config(name))
    last.load_state_dict(theirs.state_dict())
    last = last.eval().to(memory_format=torch.channels_last)
    calls["PyTorch"] = _call(torch, theirs, torch.from_numpy(image))
    calls["PyTorch channels-last"] = _call(torch, last, torch.from_numpy(image))
    return calls


def _call(lib: Any, model: Any, image: Any) -> Call:
    def call() -> Any:
        with lib.no_grad():
            return model([image])[0]

    return call


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """The share of boxes that both found: the same class, nearly the same place and score."""
    mine, others = ({k: v.numpy() for k, v in found.items()} for found in (one, other))
    count = max(len(mine["scores"]), len(others["scores"]))
    if not count:
        return 0.0
    near = np.abs(mine["boxes"][:, None] - others["boxes"]).max(2) < 0.5
    near &= mine["labels"][:, None] == others["labels"]
    near &= np.abs(mine["scores"][:, None] - others["scores"]) < 2e-3
    return float(min(near.any(1).sum(), near.any(0).sum())) / count


def _race(name: str) -> tuple[dict[str, float], int]:
    """Seconds of each contestant, and how many boxes there are."""
    stand_ins = StandIns()
    calls = _contestants(name, stand_ins)
    found = {kind: call() for kind, call in calls.items()}
    wanted = found["PyTorch"]
    for kind, result in found.items():
        share = _alike(result, wanted)
        if share < 0.95:
            raise RuntimeError(f"{name}: {kind} and PyTorch agree on {share:.0%} of boxes.")
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for kind, call in calls.items():
            stand_ins.seconds = 0.0
            start = time.process_time()
            call()
            best[kind] = min(best[kind], time.process_time() - start - stand_ins.seconds)
    return best, len(wanted["scores"])


def time_detection(report: Report, names: Sequence[str] = DETECTORS) -> None:
    """The table of these detectors."""
    for lib in ("fovea", "torch"):
        importlib.import_module(lib).set_num_threads(1)
    head = ("detector", "boxes", "fovea", "with parts compiled", "PyTorch", "times")
    title = "Detectors of the zoo, an image, one thread (milliseconds of processor time)"
    report.start("zoo of detectors", title, head)
    for name in names:
        seconds, boxes = _race(name)
        theirs = min(seconds["PyTorch"], seconds["PyTorch channels-last"])
        record = {"detector": name, "boxes": boxes, **seconds}
        times = f"{theirs / min(seconds['eager'], seconds['compiled']):.2f}"
        shown = [f"{s * 1e3:.1f}" for s in (seconds["eager"], seconds["compiled"], theirs)]
        report.row("zoo of detectors", record, (f"`{name}`", str(boxes), *shown, times))
