"""`keras.backend` against Keras's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from fovea.keras import backend, utils

keras = pytest.importorskip("keras")

TYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32"]
TYPES += ["float64", bool, int, float]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    for b in (backend, keras.backend):
        b.set_floatx("float32")
        b.set_epsilon(1e-7)
        b.set_image_data_format("channels_last")


def test_every_name_of_keras_is_there() -> None:
    assert {n for n in dir(keras.backend) if not n.startswith("_")} <= set(dir(backend))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_result_types(count: int) -> None:
    for types in itertools.product(TYPES, repeat=count):
        # With PyTorch underneath Keras has no types of 64 bits; fovea computes in them.
        found = backend.result_type(*types)
        assert ("64" not in found) or any(t in ("int64", "float64") for t in types)
        assert found.replace("64", "32") == keras.backend.result_type(*types), types


@pytest.mark.parametrize("name", [*TYPES[:-3], None])
def test_kinds(name: str | None) -> None:
    for ask in ("is_float_dtype", "is_int_dtype", "standardize_dtype"):
        assert getattr(backend, ask)(name) == getattr(keras.backend, ask)(name)


def test_settings_are_those_of_keras_config() -> None:
    from fovea.keras import config

    backend.set_floatx("float16")
    backend.set_epsilon(1e-4)
    backend.set_image_data_format("channels_first")
    assert (config.floatx(), config.epsilon()) == ("float16", 1e-4)
    assert config.image_data_format() == "channels_first"
    assert backend.backend() == "fovea"


def test_names_are_counted() -> None:
    utils.clear_session()
    assert [backend.get_uid("a"), backend.get_uid("a"), backend.get_uid("b")] == [1, 2, 1]
    backend.clear_session()
    assert backend.get_uid("a") == 1
