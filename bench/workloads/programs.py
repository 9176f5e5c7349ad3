"""The programs of ``examples/programs``, whole: data, training and evaluation."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from bench.nets.models import without_compiled_operators
from bench.programs import EXAMPLES, in_pytorch
from bench.unsupported import Unsupported
from bench.workloads import Task

__all__ = ["Workload"]


class Workload:
    """Programs as they stand, for fovea, or with the import lines of PyTorch and Keras.

    Args:
        module: ``fovea``, ``torch``, or ``keras`` (on whatever backend the environment chooses).
        compiled: let what can be compiled be compiled: Keras's ``fit`` does so unasked, programs in
            PyTorch's style where their ``main`` has a switch for it.
    """

    def __init__(self, module: str, compiled: bool = False, threads: int = 0) -> None:
        self.module, self.compiled = module, compiled
        if module == "torch":
            import torch

            torch.set_num_threads(threads or torch.get_num_threads())
            with without_compiled_operators(), contextlib.suppress(ImportError, RuntimeError):
                importlib.import_module("torchvision.transforms")  # programs find it loaded

    def prepare(self, kind: str, program: str) -> Task:
        """The program, ready to be run again and again."""
        text = (EXAMPLES / "programs" / f"{program}.py").read_text(encoding="utf-8")
        if self.module != "fovea":
            text = in_pytorch(text)
        if self.module == "keras" and "import torch" in text:
            raise Unsupported("it speaks of PyTorch, too")
        namespace: dict[str, Any] = {"__name__": program}
        exec(compile(text, f"{program}.py", "exec"), namespace)
        return Task(self._choose(namespace["main"], program.startswith("keras")))

    def _choose(self, main: Callable[..., Any], keras: bool) -> Callable[[], Any]:
        """The program's ``main``, compiled or not."""
        if self.module != "fovea":
            return main
        if self.compiled:
            if keras:
                return main
            if "compile" not in inspect.signature(main).parameters:
                raise Unsupported("it has no switch")
            return lambda: main(compile=True)
        return _eagerly(main) if keras else main


def _eagerly(main: Callable[..., Any]) -> Callable[[], Any]:
    """With compiled functions run as they are written."""
    from fovea import watching

    def run() -> Any:
        before, watching.eager = watching.eager, True
        try:
            return main()
        finally:
            watching.eager = before

    return run
