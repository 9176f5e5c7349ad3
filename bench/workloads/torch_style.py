"""Training steps and convolutions in PyTorch's style; the namespace decides whose they are."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

__all__ = ["Workload"]


def small_cnn(torch: Any, nn: Any) -> Any:
    """The network of examples/torch_style.py."""

    class SmallCNN(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 32, 3)
            self.pool = nn.MaxPool2d(2, 2)
            self.fc1 = nn.Linear(32 * 13 * 13, 64)
            self.fc2 = nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            x = self.pool(torch.relu(self.conv1(x)))
            x = torch.relu(self.fc1(x.view(-1, 32 * 13 * 13)))
            return self.fc2(x)

    return SmallCNN()


class Workload:
    """Cases for ``torch`` or for ``fovea``."""

    def __init__(self, module: str) -> None:
        self.torch = importlib.import_module(module)
        self.nn = importlib.import_module(f"{module}.nn")
        self.optim = importlib.import_module(f"{module}.optim")
        self.ours = module == "fovea"

    def prepare(self, kind: str, **case: Any) -> Callable[[], Any]:
        """A call that runs one unit of the case."""
        return getattr(self, kind)(**case)  # type: ignore[no-any-return]

    def step(self, batch: int) -> Callable[[], Any]:
        """One training step of the small CNN."""
        torch, nn = self.torch, self.nn
        model, criterion = small_cnn(torch, nn), nn.CrossEntropyLoss()
        optimizer = self.optim.Adam(model.parameters())
        x, y = torch.randn(batch, 1, 28, 28), torch.randint(0, 10, (batch,))

        def run() -> None:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()

        return run

    def conv(
        self, direction: str, n: int, size: int, cin: int, cout: int, k: int, stride: int
    ) -> Callable[[], Any]:
        """A channels-last convolution: ``forward``, or its gradient to ``data`` or ``weight``."""
        torch, pad = self.torch, k // 2
        x, w = torch.randn(n, cin, size, size), torch.randn(cout, cin, k, k)
        x, w = (t.contiguous(memory_format=torch.channels_last) for t in (x, w))
        y = torch.nn.functional.conv2d(x, w, None, stride, pad)
        gy = torch.ones_like(y).contiguous(memory_format=torch.channels_last)
        if direction == "forward":
            return self._quietly(lambda: torch.nn.functional.conv2d(x, w, None, stride, pad))
        if self.ours:
            return self._quietly(self._our_gradient(direction, x, w, gy, stride, pad))
        mask = (direction == "data", direction == "weight", False)
        args = ([0], [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1, mask)
        return self._quietly(lambda: torch.ops.aten.convolution_backward(gy, x, w, *args))

    def _our_gradient(
        self, direction: str, x: Any, w: Any, gy: Any, stride: int, pad: int
    ) -> Callable[[], Any]:
        from fovea.ops import conv

        common = {
            "stride": (stride, stride), "padding": (pad,) * 4, "dilation": (1, 1), "groups": 1,
        }  # fmt: skip
        if direction == "data":
            size = tuple(x.shape[2:])
            return lambda: conv.conv2d_input_grad(gy, w, **common, input_size=size)
        kernel = tuple(w.shape[2:])
        return lambda: conv.conv2d_weight_grad(gy, x, **common, kernel=kernel)

    def _quietly(self, run: Callable[[], Any]) -> Callable[[], Any]:
        def quiet() -> None:
            with self.torch.no_grad():
                run()

        return quiet
