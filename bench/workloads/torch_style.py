"""Networks and convolutions in PyTorch's style; the namespace decides whose they are."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.cases import Case
from bench.nets import NETS, Net
from bench.nets.models import build
from bench.unsupported import Unsupported
from bench.workloads import ADAM_EPSILON, ADAM_RATE, LEARNING_RATE, MOMENTUM, Array, Task, load
from bench.workloads.convolutions import convolution

__all__ = ["Workload"]


class Workload:
    """Cases for ``torch`` or for ``fovea``.

    Args:
        module: whose they are.
        compiled: through ``compile``.
        channels_last: weights and images lie so in memory (fovea's always do).
    """

    def __init__(
        self, module: str, compiled: bool = False, channels_last: bool = False, threads: int = 0
    ) -> None:
        self.module, self.torch = module, importlib.import_module(module)
        self.nn, self.optim = (importlib.import_module(f"{module}.{n}") for n in ("nn", "optim"))
        self.ours, self.compiled = module == "fovea", compiled
        self.channels_last = channels_last or self.ours
        if compiled and not hasattr(self.torch, "compile"):
            raise Unsupported(f"{module}.compile is not there")
        if threads:
            self.torch.set_num_threads(threads)

    def prepare(self, kind: str, **case: Any) -> Task:
        """The case, ready to be timed."""
        if kind == "conv":
            return Task(convolution(self.torch, self.ours, **case))
        weights, data = load(case.pop("weights")), load(case.pop("data"))
        found = Case(kind, **case)
        net = NETS[found.net]
        model = self._model(net, found.size, weights)
        x, y = self._placed(data["x"]), self.torch.from_numpy(data["y"])
        if kind == "infer":
            return self._inference(model.eval(), x, found)
        return self._training(model.train(), net, x, y, found, weights)

    def _model(self, net: Net, size: int, weights: dict[str, Array]) -> Any:
        model = build(net, size, self.module)
        if not self.ours and self.channels_last:
            model = model.to(memory_format=self.torch.channels_last)
        state = {name: self.torch.from_numpy(value) for name, value in weights.items()}
        model.load_state_dict(state)
        return model

    def _placed(self, x: Array) -> Any:
        t = self.torch.from_numpy(x)
        if self.channels_last:
            return t.contiguous(memory_format=self.torch.channels_last)
        return t

    def _precision(self, dtype: str) -> Callable[[], Any]:
        """What a forward pass runs under."""
        if dtype == "float32":
            return contextlib.nullcontext
        if not hasattr(self.torch, "autocast"):
            raise Unsupported(f"{self.module}.autocast is not there")
        return lambda: self.torch.autocast("cpu", dtype=getattr(self.torch, dtype))

    def _inference(self, model: Any, x: Any, case: Case) -> Task:
        precision, torch = self._precision(case.dtype), self.torch
        call = self._compile(model) if self.compiled else model

        def run() -> Any:
            with torch.no_grad(), precision():
                return call(x)

        run()
        done = time.time()
        return Task(run, {"logits": run().float().numpy()}, done)

    def _compile(self, function: Any) -> Any:
        """Compiled; what cannot be is an error, not run eagerly."""
        if self.ours:
            return self.torch.compile(function, strict=True)
        return self.torch.compile(function, fullgraph=True)

    def _restart(self, model: Any, optimizer: Any, weights: dict[str, Array]) -> None:
        """Back to where training began, in the same memory."""
        model.load_state_dict({n: self.torch.from_numpy(v) for n, v in weights.items()})
        with self.torch.no_grad():
            for state in optimizer.state.values():
                for value in state.values():
                    if hasattr(value, "zero_"):
                        value.zero_()

    def _training(
        self, model: Any, net: Net, x: Any, y: Any, case: Case, weights: dict[str, Array]
    ) -> Task:
        precision, criterion = self._precision(case.dtype), self.nn.CrossEntropyLoss()
        optimizer = (
            self.optim.Adam(model.parameters(), lr=ADAM_RATE, eps=ADAM_EPSILON)
            if net.adam
            else self.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
        )
        forward = self._compile(model) if self.compiled and not self.ours else model

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            with precision():
                loss = criterion(forward(x), y)
            loss.backward()
            optimizer.step()
            return loss

        if self.compiled and self.ours:
            step = self._compile(step)
        step(x, y)  # fovea records its program in the first call: the others are compared
        done = time.time()
        self._restart(model, optimizer, weights)
        parameters = dict(model.named_parameters())
        watched = {"first": parameters[net.first], "last": parameters[net.last]}
        before = {name: _copy(p) for name, p in watched.items()}
        results = {"loss": _copy(step(x, y))}
        results |= {name: _copy(p) - before[name] for name, p in watched.items()}
        results["after"] = _copy(step(x, y))
        return Task(lambda: step(x, y), results, done)


def _copy(parameter: Any) -> Array:
    return np.array(parameter.detach().float().numpy())
