"""Inference engines, which run a model that was exported to ONNX."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench.cases import Case
from bench.export import exported
from bench.unsupported import Unsupported
from bench.workloads import Array, Task, load

__all__ = ["Workload"]


class Workload:
    """Cases for ``onnxruntime`` or for ``openvino``."""

    def __init__(self, module: str, threads: int = 0) -> None:
        self.module, self.threads = module, threads

    def prepare(
        self, kind: str, data: str, weights: str = "", model: str = "", **case: Any
    ) -> Task:
        """The case, ready to be timed; of kind ``file``, the model in that ONNX file."""
        if kind not in ("infer", "file"):
            raise Unsupported("engines run inference alone")
        dtype = case.get("dtype", "float32")
        if kind == "infer":
            model = exported(Case(kind, **case), weights)
        x = load(data)["x"]
        start = self._onnxruntime if self.module == "onnxruntime" else self._openvino
        run = start(model, x, dtype)
        logits = run()
        return Task(run, {"logits": logits}, time.time())

    def _onnxruntime(self, model: str, x: Array, dtype: str) -> Callable[[], Any]:
        import onnxruntime

        if dtype != "float32":
            raise Unsupported(f"ONNX Runtime has no {dtype} convolutions on CPUs")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda: session.run(None, {name: x})[0]

    def _openvino(self, model: str, x: Array, dtype: str) -> Callable[[], Any]:
        import openvino

        config = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[dtype],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
        }
        try:
            compiled = openvino.Core().compile_model(model, "CPU", config)
        except RuntimeError as error:
            raise Unsupported(f"OpenVINO: {str(error).splitlines()[-1]}") from error
        kind = str(compiled.get_property("INFERENCE_PRECISION_HINT"))
        if dtype == "bfloat16" and "bfloat16" not in kind and "bf16" not in kind:
            raise Unsupported("OpenVINO computes in bfloat16 only where the processor does")
        request = compiled.create_infer_request()

        def run() -> Any:
            return request.infer({0: x}, share_inputs=True)[0]

        return run
