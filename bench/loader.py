"""Loaders from a folder of JPEGs to batches: ``python -m bench loader --threads 2``.

Each library has a process of its own on the same cores, with as many workers as cores, and makes
passes by turns. Where nothing is random, images are compared first: fovea's and torchvision's must
be equal; OpenCV and TensorFlow shrink by other filters, and must be near. Then a ResNet-18 trains
from fovea's loader, and its waiting is measured.
"""

from __future__ import annotations

import importlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.peers import Peer, installed
from bench.photographs import write_folder
from bench.race import Result, Timing, compete
from bench.tables import Report
from bench.workloads.loaders import folder_loader

__all__ = ["LOADERS", "Folder", "time_loaders"]

LOADERS = (
    Peer("fovea", "fovea", "loaders"),
    Peer("PyTorch", "torch", "loaders"),
    Peer("Albumentations", "albumentations", "loaders"),
    Peer("Keras/TensorFlow", "tensorflow", "loaders", {}, {"TF_CPP_MIN_LOG_LEVEL": "3"}),
)
EQUAL, NEAR = 1e-6, 0.3  # relative, by the 2-norm of normalized images
KINDS = {
    "augment": "RandomResizedCrop, flip, normalize",
    "crop": "resize, centre crop, normalize",
}


@dataclass(frozen=True)
class Folder:
    """What is loaded.

    Attributes:
        images: how many are drawn.
        size: their (height, width).
        crop: pixels a side of what comes out.
        batch: images.
        place: a folder of photographs, a folder a class, instead of drawn ones.
    """

    images: int = 500
    size: tuple[int, int] = (375, 500)
    crop: int = 224
    batch: int = 32
    place: str = ""


def time_loaders(
    report: Report,
    timing: Timing,
    threads: int,
    folder: Folder | None = None,
    peers: Sequence[Peer] = LOADERS,
    steps: int = 12,
) -> None:
    """The tables of rates and of waiting.

    Args:
        report: where they go.
        timing: rounds, and the clock.
        threads: cores, workers.
        folder: what is loaded.
        peers: who takes part, if installed.
        steps: of training while loading.
    """
    folder = folder or Folder()
    here = [peer.on(threads) for peer in peers if installed(peer.module)]
    with tempfile.TemporaryDirectory() as temporary:
        place = folder.place or f"{temporary}/images"
        if not folder.place:
            write_folder(Path(place), folder.images, folder.size)
        count = sum(path.is_file() for path in Path(place).glob("*/*"))
        head = ("transforms", "loader", "images a second", "times fovea's", "difference")
        title = f"From {count} JPEGs to batches of {folder.batch}×{folder.crop}², {threads} cores"
        report.start("loader", title, head)
        for kind in KINDS:
            request = {"folder": place, "kind": kind, "size": folder.crop, "batch": folder.batch}
            results = compete(here, request, timing, Path(temporary), {"images": NEAR})
            _show(report, kind, results, count)
        for peer in here:
            peer.stop()
        for peer in peers:
            if not installed(peer.module):
                report.say(f"{peer.name}: {peer.module} is not installed.")
        if steps:
            _train(report, place, folder, threads, steps)


def _show(report: Report, kind: str, results: Sequence[Result], count: int) -> None:
    rates = {r.contestant: count / r.seconds for r in results if r.seconds}
    ours = rates.get("fovea")
    for result in results:
        if result.contestant == "fovea" and result.difference > EQUAL:
            raise RuntimeError(f"fovea's images differ from torchvision's by {result.difference}.")
        if result.contestant not in rates:
            report.say(f"{result.contestant}, {kind}: {result.note}")
            continue
        rate = rates[result.contestant]
        record = {"kind": kind, "loader": result.contestant, "rate": rate}
        record |= {"difference": result.difference}
        ratio = f"{rate / ours:.2f}" if ours else ""
        apart = f"{result.difference:.2g}" if kind == "crop" else "random"
        report.row("loader", record, (KINDS[kind], result.contestant, f"{rate:.0f}", ratio, apart))


def _train(report: Report, place: str, folder: Folder, threads: int, steps: int) -> None:
    """A compiled ResNet-18 trains from a loader with as many workers as threads."""
    fovea = importlib.import_module("fovea")
    fovea.set_num_threads(threads)
    model = fovea.vision.models.resnet18()
    optimizer = fovea.optim.SGD(model.parameters(), lr=0.01)

    @fovea.compile  # type: ignore[untyped-decorator]
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = fovea.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    loader = folder_loader("fovea", place, "augment", folder.crop, folder.batch, threads)
    batch = next(iter(loader))
    alone = [_seconds(partial(_done, step, batch)) for _ in range(4)][1:]
    waits: list[float] = []
    busy: list[float] = []
    batches = iter(loader)
    while len(busy) < steps:
        began = time.perf_counter()
        if (batch := next(batches, None)) is None:
            break
        waits.append(time.perf_counter() - began)
        busy.append(_seconds(partial(_done, step, batch)))
    _show_waiting(report, statistics.median(alone), busy, waits[1:] or waits, folder)


def _done(step: Callable[..., Any], batch: Any) -> float:
    return float(step(*batch))


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _show_waiting(
    report: Report, alone: float, busy: Sequence[float], waits: Sequence[float], folder: Folder
) -> None:
    step, wait = statistics.median(busy), statistics.mean(waits)
    share = wait / (wait + step)
    head = ("network", "step alone, ms", "step while loading, ms", "waiting, ms", "share waiting")
    report.start("waiting", f"Training from the loader, {folder.batch} images a step", head)
    record = {"network": "resnet18", "alone": alone, "step": step, "wait": wait, "share": share}
    times = (f"{t * 1e3:.1f}" for t in (alone, step, wait))
    report.row("waiting", record, ("ResNet-18", *times, f"{share:.1%}"))
