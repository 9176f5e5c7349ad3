"""Throws hostile inputs at every op: wrong shapes, odd strides, any dtype, wild attributes and
indices.

An op may return or say what is wrong with the call; it may not kill the process, leave its
buffers (kernels notice under FOVEA_CPU_CHECK=1), or fail with an error about fovea's insides.
Run as a script: ``python -m tests.fuzz_ops SEED ROUNDS LOG``. LOG names the call that is under way,
so that a crash can be traced.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
import random
import resource
import sys
import traceback
from typing import Any

import numpy as np

import fovea
import fovea.ops
from fovea import dtypes
from fovea.errors import FoveaError, KernelBoundsError, LinAlgError
from fovea.ops.op import REGISTRY
from tests.ops.cases import CASES
from tests.ops.elsewhere import ELSEWHERE

MEMORY = 3 << 30
SAMPLES = {**CASES, **ELSEWHERE}
LARGE = [1, 2, 9, 16, 31, 33, 64, 70]  # around whole vectors and tiles
SIZES = [0, 1, 1, 2, 2, 3, 4, 5, 7, 8, 17, 33]
WILD = [-(2**62), -(2**31), -7, -2, -1, 0, 1, 2, 3, 5, 16, 1000, 2**31, 2**40, 2**62]
SPECIAL = [0.0, -0.0, 1.0, -1.5, np.nan, np.inf, -np.inf, 1e38, -1e-40, 3e9, 255.5]


def hostile_tensor(
    rng: random.Random, like: np.ndarray[Any, Any] | None, grown: dict[int, int]
) -> Any:
    """A tensor of random shape (often the sample's, or that with sizes grown), dtype, layout and
    values.
    """
    strange = rng.random() < 0.3 or like is None
    kind = rng.choice(dtypes.ALL) if strange else dtypes.as_dtype(like.dtype)
    if like is not None and rng.random() < 0.6:
        shape = tuple(grown.get(n, n) for n in like.shape)
    else:
        shape = tuple(rng.choice(SIZES) for _ in range(rng.randint(0, 5)))
    count = math.prod(shape)
    if kind.category == dtypes.INTEGER:
        high = rng.choice([2, 5, 5, 100])
        info = np.iinfo(kind.numpy)
        wild: list[Any] = [info.min, info.max, -1, 0]
        usual = np.random.default_rng(rng.getrandbits(32)).integers(0, high, count).tolist()
    else:
        wild = SPECIAL
        usual = np.random.default_rng(rng.getrandbits(32)).uniform(-3, 3, count).tolist()
    for _ in range(rng.choice([0, 1, count // 5])):
        if count:
            usual[rng.randrange(count)] = rng.choice(wild)
    with np.errstate(all="ignore"):
        t = fovea.from_numpy(np.array(usual).reshape(shape).astype(kind.numpy))
    return relaid(rng, t)


def growth(rng: random.Random, arrays: list[Any]) -> dict[int, int]:
    """What becomes of each size: equal sizes stay equal, so that what fitted together still does."""
    sizes = sorted({n for a in arrays if a is not None for n in a.shape if n > 1})
    if rng.random() < 0.5 or not sizes:
        return {}
    return {n: rng.choice(LARGE) for n in rng.sample(sizes, min(len(sizes), 2))}


def relaid(rng: random.Random, t: Any) -> Any:
    """The tensor, or a view of it with unusual strides."""
    turn = rng.randrange(7)
    if turn == 0 and t.ndim > 1:
        return t.permute(rng.sample(range(t.ndim), t.ndim))
    if turn == 1 and t.ndim and t.shape[-1] > 1:
        return t[..., :: rng.choice([2, 3])]
    if turn == 2 and t.ndim and 1 in t.shape:
        return t.expand([rng.choice([1, 3]) if n == 1 else n for n in t.shape])
    if turn == 3 and t.numel() > 1:
        n = t.numel()
        return t.reshape(-1).as_strided((rng.randint(1, n), rng.randint(1, 2)), (1, 0))
    if turn == 4 and t.ndim and t.shape[0] > 1:
        return t[1:]
    return t


def hostile_value(rng: random.Random, value: Any) -> Any:
    """An attribute changed a little or wildly."""
    if isinstance(value, bool):
        return rng.random() < 0.5
    if isinstance(value, int):
        return rng.choice(WILD)
    if isinstance(value, float):
        return rng.choice(SPECIAL)
    if isinstance(value, tuple):
        changed = [hostile_value(rng, v) if rng.random() < 0.4 else v for v in value]
        if rng.random() < 0.1 and not hasattr(value, "_fields"):
            changed = changed[:-1] or [rng.choice(WILD)]
        return type(value)(*changed) if hasattr(value, "_fields") else tuple(changed)
    if isinstance(value, str):
        return rng.choice(["bilinear", "nearest", "tanh", "none", "preserve", "", value])
    if isinstance(value, dtypes.DType):
        return rng.choice(dtypes.ALL)
    return value


def hostile_call(rng: random.Random, name: str) -> None:
    op = REGISTRY[name]
    arrays, attrs = rng.choice(SAMPLES[name])
    attrs = {k: dtypes.as_dtype(v) if k == "dtype" else v for k, v in attrs.items()}
    grown = growth(rng, arrays)
    inputs = [
        None if a is None and rng.random() < 0.8 else hostile_tensor(rng, a, grown) for a in arrays
    ]
    if rng.random() < 0.1:
        inputs = inputs[:-1]
    if len(inputs) > 1 and rng.random() < 0.1:
        inputs[rng.randrange(len(inputs))] = rng.choice(inputs)
    if attrs and rng.random() < 0.5:
        changed = rng.choice(list(attrs))
        attrs = {**attrs, changed: hostile_value(rng, attrs[changed])}
    floats = [t for t in inputs if t is not None and t.dtype.is_floating_point]
    if floats and rng.random() < 0.4 and not op.mutates:
        inputs = [
            t.detach().requires_grad_() if t is not None and t.dtype.is_floating_point else t
            for t in inputs
        ]
    out = op(*inputs, **attrs)
    for y in out if isinstance(out, tuple) else (out,):
        if y is not None and y.requires_grad and y.numel():
            try:
                y.backward(fovea.ones_like(y), retain_graph=True)
            except LinAlgError:
                pass  # log |det| of a singular matrix has none
            except FoveaError as error:
                if "has no gradient" not in str(error):  # as that of a whole Q of tall matrices
                    raise BackwardError(str(error)) from error


class BackwardError(Exception):
    """Backward through a call that returned."""


def complaint(error: BaseException) -> str | None:
    """What is wrong with an error; None for one that tells the caller what is wrong with the call.

    A kernel that left its buffers is no fault of the caller's, and Python's own errors speak of
    fovea's insides.
    """
    if isinstance(error, MemoryError):
        return None
    if isinstance(error, FoveaError) and not isinstance(error, KernelBoundsError):
        return None
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"


def main() -> None:
    seed, rounds, log = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for module in pkgutil.iter_modules(fovea.ops.__path__):
        importlib.import_module(f"fovea.ops.{module.name}")
    rng = random.Random(seed)
    names = sorted(SAMPLES)
    done, bad = 0, []
    with open(log, "w", encoding="utf-8") as file:
        for i in range(rounds):
            name = rng.choice(names)
            state = rng.getrandbits(32)
            file.seek(0)
            file.write(f"{f'{i} {name} {state}':60}\n")
            file.flush()
            try:
                hostile_call(random.Random(state), name)
                done += 1
            except Exception as error:
                if fault := complaint(error):
                    bad.append(f"{name} {state}: {fault}")
    print(f"{done} of {rounds} calls returned")
    if bad:
        sys.exit("\n".join(bad))


if __name__ == "__main__":
    main()
