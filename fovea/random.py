"""Generators of random numbers: a seed and how many counters have been used."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import devices
from fovea.errors import ArgumentError, DTypeError
from fovea.functions.creation import from_array

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "Generator",
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
    "use_generator",
]

# What random functions see of a generator's state inside `fovea.vmap`, once that is there.
inside_vmap: Callable[[Any], Any] | None = None

_FIRST_SEED = 67280421310721  # what PyTorch's generators start with
_WORD = 1 << 64


class Generator:
    """A source of random numbers, for the ``generator=`` of random functions.

    Numbers depend on the seed and on how many were drawn before: the same on every target, for any
    number of threads (Philox 4x32-10; see `fovea.ops.philox`).

    Args:
        device: where it is used; ``"cpu"``.

    >>> import fovea
    >>> g = Generator().manual_seed(1)
    >>> first = fovea.rand(2, generator=g)
    >>> fovea.equal(first, fovea.rand(2, generator=g.manual_seed(1)))
    True
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = devices.as_device(device)
        self._start: int | None = _FIRST_SEED
        self._state: Tensor | None = None

    @property
    def state(self) -> Tensor:
        """The (seed, offset) that random ops read and advance: int64, shape (2,)."""
        if self._state is None:
            start = _system_seed() if self._start is None else self._start
            self._state = from_array(np.array([start, 0], np.uint64).view(np.int64))
        return self._state

    def _words(self) -> np.ndarray[Any, Any]:
        return self.state._array().view(np.uint64)

    def manual_seed(self, seed: int) -> Generator:
        """Start over from ``seed``: an integer of at most 64 bits; -1 stands for 2**64 - 1.

        Raises:
            ArgumentError: more than 64 bits.
        """
        value = int(seed)
        if not -_WORD // 2 <= value < _WORD:
            raise ArgumentError(f"manual_seed: {value} does not fit 64 bits.")
        self._words()[:] = (value % _WORD, 0)
        self.state.storage.version += 1
        return self

    def seed(self) -> int:
        """Start over from a seed that the system chooses, and return it."""
        chosen = _system_seed()
        self.manual_seed(chosen)
        return chosen

    def initial_seed(self) -> int:
        """The seed that it last started from."""
        return int(self._words()[0])

    def get_state(self) -> Tensor:
        """A copy of the state: uint8, for ``set_state``."""
        return from_array(self._words().view(np.uint8))

    def set_state(self, new_state: Tensor) -> None:
        """Go on from a state that ``get_state`` returned.

        Raises:
            DTypeError, ArgumentError: something else than such a state.
        """
        if getattr(new_state, "dtype", None) is None or new_state.dtype.name != "uint8":
            raise DTypeError(
                "set_state: the state must be a uint8 tensor, as get_state returns it."
            )
        if tuple(new_state.shape) != (16,):
            raise ArgumentError(
                f"set_state: the state must hold 16 bytes, got shape {tuple(new_state.shape)}."
            )
        self._words().view(np.uint8)[:] = new_state._array()
        self.state.storage.version += 1

    def clone_state(self) -> Generator:
        """Another generator that will yield the same numbers."""
        other = Generator(self.device)
        other.set_state(self.get_state())
        return other

    def __getstate__(self) -> bytes:
        return self._words().tobytes()

    def __setstate__(self, state: bytes) -> None:
        self.__init__()  # type: ignore[misc]
        self._words()[:] = np.frombuffer(state, np.uint64)

    def __repr__(self) -> str:
        return f"Generator(seed={self.initial_seed()}, offset={int(self._words()[1])})"


def _system_seed() -> int:
    return int.from_bytes(os.urandom(8), "little")


_thread = threading.local()


class _DefaultGenerator(Generator):
    """The generator of all threads but those that ``use_generator`` gave one of their own."""

    @property
    def state(self) -> Tensor:
        own: Generator | None = getattr(_thread, "generator", None)
        return super().state if own is None else own.state


default_generator = _DefaultGenerator()
default_generator._start = None  # seeded by the system at its first use


@contextlib.contextmanager
def use_generator(generator: Generator) -> Iterator[Generator]:
    """Let ``generator`` stand in for the default one in this thread, as in a data loader's worker.

    >>> import fovea
    >>> with use_generator(Generator().manual_seed(1)):
    ...     a = fovea.rand(2)
    >>> fovea.equal(a, fovea.rand(2, generator=Generator().manual_seed(1)))
    True
    """
    before = getattr(_thread, "generator", None)
    _thread.generator = generator
    try:
        yield generator
    finally:
        _thread.generator = before


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, which random functions use unless given another one; returns it.

    Raises:
        ArgumentError: a seed of more than 64 bits.

    >>> import fovea
    >>> _ = manual_seed(0)
    >>> a = fovea.rand(3)
    >>> _ = manual_seed(0)
    >>> fovea.equal(a, fovea.rand(3))
    True
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the system, and return that seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator last started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's state, for ``set_rng_state``."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Let the default generator go on from a state that ``get_rng_state`` returned."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """Run a block whose random numbers leave the default generator as it was.

    Args:
        devices: accepted for PyTorch's sake; there is one generator.
        enabled: False runs the block without that.

    >>> import fovea
    >>> _ = manual_seed(0)
    >>> with fork_rng():
    ...     inside = fovea.rand(1)
    >>> fovea.equal(inside, fovea.rand(1))
    True
    """
    if not enabled:
        yield
        return
    before = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(before)
