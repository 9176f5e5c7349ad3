"""The networks of the zoo beside PyTorch's eager ones, and in inference beside the engines that are
installed: ``python -m bench zoo``.

All run by turns, on one thread, compiled steps and calls beside PyTorch's in the faster of its two
layouts; a time is the shortest of a few, by processor time. Engines have processes of their own and
read PyTorch's network from an ONNX file. Images are 224×224 (Swin V2: 256×256, Inception: 299×299),
two at a time. What networks compute is compared before they are timed.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.export import OPSET
from bench.nets.models import torchvision_models
from bench.peers import Peer
from bench.tables import Report
from bench.unsupported import Unsupported
from bench.workloads import load, save_arrays

__all__ = ["NETWORKS", "time_zoo"]

NETWORKS = (
    "alexnet", "densenet121", "efficientnet_v2_s", "googlenet", "inception_v3", "maxvit_t",
    "mnasnet1_0", "mobilenet_v3_large", "regnet_x_800mf", "regnet_y_400mf",
    "resnext50_32x4d", "shufflenet_v2_x1_0", "squeezenet1_1", "swin_t", "swin_v2_t",
    "wide_resnet50_2",
)  # fmt: skip
SIZES = {"inception_v3": 299, "swin_v2_t": 256}  # 224 else
BATCH, STEPS, CALLS = 2, 4, 8
TOLERANCE = 1e-3  # of the largest result
Call = Callable[[], Any]
Seconds = Callable[[], float]


def _make(models: Any, name: str) -> Any:
    aside = name in ("googlenet", "inception_v3")
    config = {"aux_logits": False, "init_weights": True} if aside else {}
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
    size = SIZES.get(name, 224)
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


def _timed(call: Call) -> Seconds:
    """What takes the processor time of a call."""

    def run() -> float:
        start = time.process_time()
        call()
        return time.process_time() - start

    return run


def _shortest(contestants: Sequence[Seconds], repetitions: int) -> list[float]:
    rounds = [[run() for run in contestants] for _ in range(repetitions + 1)]
    return [min(times) for times in zip(*rounds[1:], strict=True)]  # the first one compiles


def _engines(model: Any, x: Any, expected: Any, peers: Sequence[Peer]) -> dict[str, Seconds]:
    """Those that can run PyTorch's network, once what they compute was compared."""
    torch = importlib.import_module("torch")
    found: dict[str, Seconds] = {}
    with tempfile.TemporaryDirectory() as folder:
        file, data, results = (
            str(Path(folder) / n) for n in ("model.onnx", "data.npz", "found.npz")
        )
        torch.onnx.export(model, (x,), dynamo=True, opset_version=OPSET, verbose=False).save(file)
        save_arrays(data, {"x": x.numpy()})
        for peer in peers:
            try:
                peer.ask("prepare", kind="file", model=file, data=data, results=results)
            except Unsupported:
                continue
            _compare(peer.name, load(results)["logits"], expected)
            found[peer.name] = partial(_ask, peer)
    return found


def _ask(peer: Peer) -> float:
    return float(peer.ask("time", budget=0.0, clock="processor")["seconds"])


def _compare(name: str, found: Any, expected: Any) -> None:
    if np.abs(found - expected).max() > TOLERANCE * np.abs(expected).max():
        raise RuntimeError(f"{name} and PyTorch disagree.")


def _race(name: str, peers: Sequence[Peer]) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of a training step and of a call, by contestant."""
    fovea = importlib.import_module("fovea")
    nets, y, labels = _contestants(name)
    calls: list[Seconds] = []
    outputs = []
    for lib, model, x in nets:
        model.eval()
        run = fovea.compile(model) if lib is fovea else model

        def call(lib: Any = lib, run: Any = run, x: Any = x) -> Any:
            with lib.no_grad():
                return run(x)

        calls.append(_timed(call))
        outputs.append(call().numpy())
    _compare(f"{name}: fovea", outputs[0], outputs[1])
    _, theirs, x = nets[1]
    engines = _engines(theirs, x, outputs[1], peers) if peers else {}
    inference = _by_name(_shortest([*calls, *engines.values()], CALLS), engines)
    for peer in peers:
        peer.stop()
    steps: list[Seconds] = []
    for lib, model, x in nets:
        ours = lib is fovea
        step = _step(lib, model.train(), fovea.compile if ours else lambda f: f)
        target = y if ours else labels
        steps.append(_timed(partial(step, x, target)))
    return _by_name(_shortest(steps, STEPS)), inference


def _by_name(
    seconds: Sequence[float], others: Sequence[str] | dict[str, Any] = ()
) -> dict[str, float]:
    """Seconds of fovea, of PyTorch in the faster layout, and of others."""
    ours, plain, last, *rest = seconds
    return {"fovea": ours, "PyTorch": min(plain, last), **dict(zip(others, rest, strict=True))}


def time_zoo(report: Report, names: Sequence[str] = NETWORKS, engines: Sequence[Peer] = ()) -> None:
    """The table of these networks; `engines` take part in inference."""
    for lib in ("fovea", "torch"):
        importlib.import_module(lib).set_num_threads(1)
    peers = [peer.on(1) for peer in engines]
    others = [peer.name for peer in peers]
    head = ("network", "step", "PyTorch", "times", "inference", "PyTorch", *others, "times")
    title = f"Networks of the zoo, {BATCH} images, one thread (milliseconds of processor time)"
    report.start("zoo", title, head)
    for name in names:
        record: dict[str, Any] = {"network": name}
        cells = [f"`{name}`"]
        for what, seconds in zip(("step", "inference"), _race(name, peers), strict=True):
            record[what] = seconds
            columns = ("fovea", "PyTorch", *(others if what == "inference" else ()))
            cells += [f"{seconds[n] * 1e3:.1f}" if n in seconds else "" for n in columns]
            cells.append(_ratio(seconds))
        report.row("zoo", record, tuple(cells))


def _ratio(seconds: dict[str, float]) -> str:
    """How many times as long as fovea the best of the others takes; in bold where it wins."""
    best = min((n for n in seconds if n != "fovea"), key=seconds.__getitem__)
    text = f"{seconds[best] / seconds['fovea']:.2f}"
    text = text if seconds[best] >= seconds["fovea"] else f"**{text}**"
    return text if len(seconds) == 2 else f"{text} ({best})"
