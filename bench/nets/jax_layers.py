"""``Layers`` of plain ``jax.numpy``: functions of a dictionary of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["JaxLayers", "split_state"]

Array = np.ndarray[Any, Any]


def split_state(state: dict[str, Array]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters, and running statistics; kernels in the order that XLA's CPU convolutions like."""
    parameters, statistics = {}, {}
    for name, value in state.items():
        if name.endswith(("running_mean", "running_var")):
            statistics[name] = jnp.asarray(value)
        elif not name.endswith("num_batches_tracked"):
            kernel = value.ndim == 4 and name.endswith("weight")
            parameters[name] = jnp.asarray(value.transpose(2, 3, 1, 0) if kernel else value)
    return parameters, statistics


class JaxLayers:
    """Layers with these parameters; ``updated`` holds the running statistics after a call.

    Args:
        parameters, statistics: of ``split_state``.
        training: normalize with the batch's statistics.
        dtype: what convolutions and matrix products compute in.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        statistics: Mapping[str, Any],
        training: bool,
        dtype: Any = jnp.float32,
    ) -> None:
        self.parameters, self.statistics = parameters, statistics
        self.training, self.dtype = training, dtype
        self.updated: dict[str, Any] = {}

    def _cast(self, *values: Any) -> tuple[Any, ...]:
        return tuple(v.astype(self.dtype) for v in values)

    def has(self, name: str) -> bool:
        return name in self.parameters

    def kernel(self, name: str) -> int:
        return int(self.parameters[f"{name}.weight"].shape[0])

    def _biased(self, name: str, y: Any) -> Any:
        bias = self.parameters.get(f"{name}.bias")
        return y if bias is None else y + bias.astype(y.dtype)

    def conv(self, name: str, x: Any, stride: int = 1, padding: int = 0) -> Any:
        x, weight = self._cast(x, self.parameters[f"{name}.weight"])
        y = lax.conv_general_dilated(
            x,
            weight,
            (stride, stride),
            [(padding, padding)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=x.shape[3] // weight.shape[2],
        )
        return self._biased(name, y)

    def conv_transpose(self, name: str, x: Any) -> Any:
        x, weight = self._cast(x, self.parameters[f"{name}.weight"])  # (kh, kw, out, in)
        n, height, width, _ = x.shape
        kh, kw, out, _ = weight.shape
        y = jnp.einsum("nhwi,aboi->nhawbo", x, weight)
        return self._biased(name, y.reshape(n, height * kh, width * kw, out))

    def norm(self, name: str, x: Any) -> Any:
        weight, bias = (self.parameters[f"{name}.{n}"] for n in ("weight", "bias"))
        wide = x.astype(jnp.float32)
        if self.training:
            mean, var = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
            count = x.size // x.shape[3]
            for key, new in (("mean", mean), ("var", var * (count / (count - 1)))):
                full = f"{name}.running_{key}"
                self.updated[full] = 0.9 * self.statistics[full] + 0.1 * lax.stop_gradient(new)
        else:
            mean, var = (self.statistics[f"{name}.running_{n}"] for n in ("mean", "var"))
        return ((wide - mean) * (lax.rsqrt(var + 1e-5) * weight) + bias).astype(x.dtype)

    def layer_norm(self, name: str, x: Any) -> Any:
        weight, bias = (self.parameters[f"{name}.{n}"] for n in ("weight", "bias"))
        wide = x.astype(jnp.float32)
        centered = wide - wide.mean(-1, keepdims=True)
        y = centered * lax.rsqrt((centered**2).mean(-1, keepdims=True) + 1e-6)
        return (y * weight + bias).astype(x.dtype)

    def linear(self, name: str, x: Any) -> Any:
        x, weight = self._cast(x, self.parameters[f"{name}.weight"])
        return self._biased(name, x @ weight.T)

    def flat_linear(self, name: str, x: Any) -> Any:
        return self.linear(name, x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1))

    def act(self, kind: str, x: Any) -> Any:
        return {
            "relu": jax.nn.relu,
            "relu6": jax.nn.relu6,
            "silu": jax.nn.silu,
            "sigmoid": jax.nn.sigmoid,
            "gelu": partial(jax.nn.gelu, approximate=False),
        }[kind](x)

    def max_pool(self, x: Any, size: int, stride: int, padding: int = 0) -> Any:
        edges = ((0, 0), (padding, padding), (padding, padding), (0, 0))
        window, steps = (1, size, size, 1), (1, stride, stride, 1)
        return lax.reduce_window(x, -jnp.inf, lax.max, window, steps, edges)

    def mean(self, x: Any, keep: bool = False) -> Any:
        return x.mean((1, 2), keepdims=keep)

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def multiply(self, x: Any, y: Any) -> Any:
        return x * y

    def cat(self, x: Any, y: Any) -> Any:
        return jnp.concatenate([x, y], -1)

    def scale(self, name: str, x: Any) -> Any:
        return x * self.parameters[name].reshape(-1).astype(x.dtype)

    def tokens(self, token: str, positions: str, x: Any) -> Any:
        n, features = x.shape[0], x.shape[3]
        start = jnp.broadcast_to(self.parameters[token].astype(x.dtype), (n, 1, features))
        sequence = jnp.concatenate([start, x.reshape(n, -1, features)], 1)
        return sequence + self.parameters[positions].astype(x.dtype)

    def attention(self, name: str, x: Any, heads: int) -> Any:
        n, length, _ = x.shape
        weight, bias = (self.parameters[f"{name}.in_proj_{k}"] for k in ("weight", "bias"))
        x, weight = self._cast(x, weight)
        packed = (x @ weight.T + bias.astype(self.dtype)).reshape(n, length, 3, heads, -1)
        q, k, v = packed.transpose(2, 0, 3, 1, 4)
        scores = (q * (q.shape[-1] ** -0.5)) @ k.transpose(0, 1, 3, 2)
        y = jax.nn.softmax(scores, -1) @ v
        return self.linear(f"{name}.out_proj", y.transpose(0, 2, 1, 3).reshape(x.shape))

    def first(self, x: Any) -> Any:
        return x[:, 0]
