"""PyTorch's networks as ONNX files, for the engines: a process of its own, when one is needed.

python -m bench.export NET BATCH SIZE WEIGHTS FILE
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from bench.cases import Case
from bench.unsupported import Unsupported

__all__ = ["exported"]

OPSET = 18


def exported(case: Case, weights: str) -> str:
    """The path of the ONNX file for a case, beside its weights.

    Raises:
        Unsupported: a package that exporting needs is not installed.
    """
    missing = [m for m in ("torch", "onnx", "onnxscript") if importlib.util.find_spec(m) is None]
    if missing:
        raise Unsupported(f"exporting to ONNX needs {', '.join(missing)}")
    path = Path(weights).with_name(f"{case.net}-{case.batch}-{case.size}.onnx")
    if not path.exists():
        words = [case.net, str(case.batch), str(case.size), weights, str(path)]
        command = [sys.executable, "-m", "bench.export", *words]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Unsupported(f"export failed: {done.stderr.strip().splitlines()[-1]}")
    return str(path)


def main() -> None:
    """Export one network, in evaluation mode, for one batch size."""
    import torch

    from bench.nets import NETS
    from bench.nets.models import build
    from bench.workloads import load

    name, batch, size, weights, path = sys.argv[1:]
    net = NETS[name]
    model = build(net, int(size), "torch").eval()
    model.load_state_dict({k: torch.from_numpy(v) for k, v in load(weights).items()})
    x = torch.zeros(int(batch), net.channels, int(size), int(size))
    program = torch.onnx.export(model, (x,), dynamo=True, opset_version=OPSET)
    assert program is not None
    program.save(path)


if __name__ == "__main__":
    main()
