"""Networks in plain ``jax.numpy``, a jitted function each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.cases import Case
from bench.nets import NETS, Net
from bench.nets.jax_layers import JaxLayers, split_state
from bench.workloads import ADAM_EPSILON, ADAM_RATE, LEARNING_RATE, MOMENTUM, Array, Task, load

__all__ = ["Workload"]


class Workload:
    """Cases for JAX."""

    def __init__(self, module: str, threads: int = 0) -> None:
        jax.config.update("jax_platforms", "cpu")

    def prepare(self, kind: str, **case: Any) -> Task:
        """The case, ready to be timed."""
        state, data = load(case.pop("weights")), load(case.pop("data"))
        found = Case(kind, **case)
        net, dtype = NETS[found.net], jnp.dtype(found.dtype)
        parameters, statistics = split_state(state)
        x, y = jnp.asarray(data["x"].transpose(0, 2, 3, 1)), jnp.asarray(data["y"], jnp.int32)

        def forward(p: Any, s: Any, x: Any, training: bool) -> tuple[Any, Any]:
            layers = JaxLayers(p, s, training, dtype)
            return net.describe(layers, x).astype(jnp.float32), layers.updated

        if kind == "infer":
            infer = jax.jit(lambda p, s, x: forward(p, s, x, False)[0])
            logits, done = np.asarray(infer(parameters, statistics, x)), time.time()
            logits = logits.transpose(0, 3, 1, 2) if net.dense else logits
            run = lambda: infer(parameters, statistics, x).block_until_ready()  # noqa: E731
            return Task(run, {"logits": logits}, done)
        return _training(forward, net, parameters, statistics, x, y)


def _training(
    forward: Callable[..., Any], net: Net, parameters: Any, statistics: Any, x: Any, y: Any
) -> Task:
    def loss_of(p: Any, s: Any, x: Any, y: Any) -> tuple[Any, Any]:
        logits, updated = forward(p, s, x, True)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), y[..., None], -1)
        return -chosen.mean(), updated

    start, update = (_adam_start, _adam) if net.adam else (_sgd_start, _sgd)

    def step(p: Any, moments: Any, s: Any, x: Any, y: Any) -> Any:
        (loss, updated), gradients = jax.value_and_grad(loss_of, has_aux=True)(p, s, x, y)
        p, moments = update(p, moments, gradients)
        return p, moments, updated, loss

    compiled = jax.jit(step, donate_argnums=(0, 1, 2))
    names = {"first": net.first, "last": net.last}
    before = {key: _in_torch_order(parameters[name]) for key, name in names.items()}
    state = (parameters, start(parameters), statistics)
    *state, loss = compiled(*state, x, y)
    results, done = {"loss": np.asarray(loss)}, time.time()
    results |= {key: _in_torch_order(state[0][n]) - before[key] for key, n in names.items()}

    def run() -> Any:
        nonlocal state
        *state, loss = compiled(*state, x, y)
        return loss.block_until_ready()

    results["after"] = np.asarray(run())
    return Task(run, results, done)


def _sgd_start(p: Any) -> Any:
    return jax.tree.map(jnp.zeros_like, p)


def _sgd(p: Any, velocity: Any, gradients: Any) -> tuple[Any, Any]:
    velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, gradients)
    return jax.tree.map(lambda w, v: w - LEARNING_RATE * v, p, velocity), velocity


def _adam_start(p: Any) -> Any:
    return jnp.zeros(()), _sgd_start(p), _sgd_start(p)


def _adam(p: Any, moments: Any, gradients: Any) -> tuple[Any, Any]:
    count, first, second = moments
    count = count + 1
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
    rate, spread = ADAM_RATE / (1 - 0.9**count), (1 - 0.999**count) ** -0.5

    def moved(w: Any, m: Any, v: Any) -> Any:
        return w - rate * m / (jnp.sqrt(v) * spread + ADAM_EPSILON)

    return jax.tree.map(moved, p, first, second), (count, first, second)


def _in_torch_order(value: Any) -> Array:
    array = np.array(value)
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
