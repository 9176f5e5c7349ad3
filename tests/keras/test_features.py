"""Layers that make numbers of words and categories, against Keras on TensorFlow."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, FileFormatError, ShapeError
from fovea.keras import Input, Sequential, layers, models, utils
from tests.keras.feature_cases import FILE, TEXTS, cases, plain

EXPECTED = json.loads(FILE.read_text(encoding="utf-8"))
CASES = cases(layers)


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-6)
    return found == expected and type(found) is type(expected)


def test_all_cases_have_values() -> None:
    assert CASES.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", CASES)
def test_values_are_keras_s(name: str) -> None:
    found = plain(CASES[name]())
    assert same(found, EXPECTED[name]), (found, EXPECTED[name])


@pytest.mark.parametrize("mode", ["multi_hot", "one_hot", "count"])
@pytest.mark.parametrize("shape", [(), (4,), (4, 1), (2, 2)])
def test_category_encoding(mode: str, shape: Any) -> None:
    keras = pytest.importorskip("keras")
    x = np.array([3, 0, 3, 1])[: math.prod(shape)].reshape(shape)
    ours, theirs = (room.CategoryEncoding(5, output_mode=mode) for room in (layers, keras.layers))
    expected = np.asarray(theirs(x))
    found = ours(x)
    assert found.shape == expected.shape == ours.compute_output_shape(shape)
    np.testing.assert_array_equal(found.numpy(), expected)
    assert ours(fovea.tensor(x)).tolist() == found.tolist()


def test_weighted_counts_and_what_encodings_refuse() -> None:
    layer = layers.CategoryEncoding(4, output_mode="count")
    weights = np.array([[0.1, 0.2], [0.1, 0.1], [0.2, 0.3], [0.4, 0.2]])
    found = layer(np.array([[0, 1], [0, 0], [1, 2], [3, 1]]), count_weights=weights)
    expected = [[0.1, 0.2, 0, 0], [0.2, 0, 0, 0], [0, 0.2, 0.3, 0], [0, 0.2, 0, 0.4]]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
    # In more dimensions the last one is a sample's.
    rows = layers.CategoryEncoding(3)(np.array([[[1, 2]], [[0, 0]]]))
    assert rows.tolist() == [[[0, 1, 1]], [[1, 0, 0]]]
    for wrong in (
        lambda: layers.CategoryEncoding(),
        lambda: layers.CategoryEncoding(3, output_mode="int"),
        lambda: layers.CategoryEncoding(3, sparse=True),
        lambda: layers.CategoryEncoding(3)(np.array([3])),
        lambda: layers.CategoryEncoding(3)(np.array([1]), count_weights=np.ones(1)),
    ):
        with pytest.raises(ArgumentError):
            wrong()


def test_values_of_any_kind() -> None:
    layer = layers.StringLookup(vocabulary=["ä", "b"])
    for given in (
        ["ä", "b", "q"],
        np.array(["ä", "b", "q"]),
        np.array(["ä", "b", "q"], object),
        np.char.encode(np.array(["ä", "b", "q"]), "utf-8"),
        np.array(["ä".encode(), b"b", b"q"], object),
    ):
        assert layer(given).tolist() == [1, 2, 0]
    assert layer("b").tolist() == 2 and layer("b").shape == ()
    assert layer(np.array([], str)).shape == (0,)
    inverse = layers.StringLookup(vocabulary=["ä", "b"], invert=True)
    assert inverse(fovea.tensor([[2, 0], [1, 7]])).tolist() == [["b", "[UNK]"], ["ä", "[UNK]"]]
    numbers = layers.IntegerLookup(vocabulary=[5, -2], mask_token=0)
    for x in (fovea.tensor([5, 0, -2, 9]), np.array([5, 0, -2, 9]), [5, 0, -2, 9]):
        assert numbers(x).tolist() == [2, 0, 3, 1]
    with pytest.raises(ArgumentError, match="9"):
        layers.IntegerLookup(vocabulary=[5], num_oov_indices=0)(fovea.tensor([5, 9]))


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("mask", [None, 0])
@pytest.mark.parametrize("places", [1, 3])
def test_tensors_of_integers_are_looked_up_by_ops(mode: str, mask: Any, places: int) -> None:
    layer = layers.IntegerLookup(
        vocabulary=[8, 3, 5, -7], output_mode=mode, mask_token=mask, num_oov_indices=places
    )
    x = np.array([[3, 0, -7], [6, 5, 5], [8, 2**40, -1]])
    assert layer(fovea.tensor(x)).tolist() == layer(x).tolist()


def test_vocabularies(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("cat\ndog\n\n", encoding="utf-8")
    layer = layers.StringLookup(vocabulary=str(path), mask_token="")
    assert layer.get_vocabulary() == ["", "[UNK]", "cat", "dog"]
    assert layer.get_vocabulary(include_special_tokens=False) == ["cat", "dog"]
    assert layer.vocabulary_size() == 4
    for wrong in (
        lambda: layers.StringLookup(vocabulary=["a", "a"]),
        lambda: layers.StringLookup(vocabulary=[]),
        lambda: layers.StringLookup(vocabulary=["a", "", "b"], mask_token=""),
        lambda: layers.StringLookup(vocabulary=["a", "b"], max_tokens=2),
        lambda: layers.StringLookup(vocabulary=["a"], output_mode="tf_idf"),
        lambda: layers.StringLookup(vocabulary=["a"], idf_weights=[1.0]),
        lambda: layers.StringLookup(invert=True, output_mode="count"),
        lambda: layers.StringLookup(pad_to_max_tokens=True),
        lambda: layers.StringLookup(max_tokens=1),
        lambda: layers.StringLookup(output_mode="other"),
        lambda: layers.IntegerLookup(vocabulary=[1], salt=3),
        lambda: layers.Hashing(0),
        lambda: layers.Hashing(3, salt="x"),
        lambda: layers.HashedCrossing(3)(np.array(["a"])),
        lambda: layers.HashedCrossing(3)((np.array([0.5]), np.array([1]))),
        lambda: layers.Discretization(),
        lambda: layers.Discretization([1.0], num_bins=2),
        lambda: layers.Discretization(num_bins=2)(np.ones(2)),
        lambda: layers.Discretization([1.0]).adapt(np.ones(2)),
        lambda: layers.TextVectorization(standardize="upper"),
        lambda: layers.TextVectorization(output_mode="count", output_sequence_length=3),
        lambda: layer.adapt(["a"]),
        lambda: layers.StringLookup(output_mode="count")(["a"]),
        lambda: layers.StringLookup.from_config({"vocabulary": str(path)}),
    ):
        with pytest.raises(ArgumentError):
            wrong()
    with pytest.raises(FileFormatError, match="no vocabulary"):
        layers.StringLookup(vocabulary=str(tmp_path / "missing.txt"))
    with pytest.raises(ShapeError):
        layers.HashedCrossing(3)((np.array([1, 2]), np.array([1])))
    with pytest.raises(ShapeError):
        layers.TextVectorization()(np.array([["a", "b"]]))


def test_functions_of_text() -> None:
    layer = layers.TextVectorization(
        standardize=lambda texts: np.char.replace(texts, "<br>", " "),
        split=lambda texts: [str(text).split("-") for text in texts],
    )
    layer.adapt(["a-b<br>c", "a-d"])
    assert layer.get_vocabulary() == ["", "[UNK]", "a", "d", "b c"]
    assert layer(["a-b c-d", "d"]).tolist() == [[2, 4, 3], [3, 0, 0]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.StringLookup(output_mode="tf_idf"),
        lambda: layers.StringLookup(mask_token="", max_tokens=4),
        lambda: layers.TextVectorization(ngrams=(1, 2), output_sequence_length=4),
        lambda: layers.TextVectorization(output_mode="tf_idf"),
    ],
)
def test_learned_vocabularies_are_part_of_the_configuration(make: Any) -> None:
    layer = make()
    layer.adapt(TEXTS)
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert again.get_vocabulary() == layer.get_vocabulary()
    given = np.array([["fox"], ["unknown"], ["É A b, a_b"]])
    assert again(given).tolist() == layer(given).tolist()
    copy = utils.deserialize_keras_object(utils.serialize_keras_object(layer))
    assert copy(given).tolist() == layer(given).tolist()


def test_in_models(tmp_path: Path) -> None:
    """Integers are looked up and encoded within a network, compiled and not, and in files."""
    lookup = layers.IntegerLookup(output_mode="multi_hot", max_tokens=6)
    lookup.adapt(np.array([[3, 3, 5], [7, 5, 3]]))
    model = Sequential([Input((3,), dtype="int64"), lookup, layers.Dense(2)])
    assert model.output_shape == (None, 2)
    model.compile("sgd", "mse")
    x = np.array([[3, 5, 9], [7, 7, 7], [1, 2, 3], [5, 5, 3]])
    history = model.fit(x, np.ones((4, 2), np.float32), epochs=3, batch_size=2, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    expected = model.predict(x, verbose=0)
    kernel, bias = model.layers[-1].get_weights()
    rows = lookup(x).numpy().astype(np.float32)
    np.testing.assert_allclose(expected, rows @ kernel + bias, rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "model.keras")
    again = models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)
    ranges = Sequential([Input((3,)), layers.Discretization([0.0, 1.0], output_mode="count")])
    found = ranges.predict(np.array([[-1.0, 0.5, 0.0], [2.0, 3.0, 4.0]]), verbose=0)
    assert found.tolist() == [[1, 2, 0], [0, 0, 3]]


def test_boundaries_are_kept(tmp_path: Path) -> None:
    layer = layers.Discretization(num_bins=3)
    layer.adapt(np.arange(30.0))
    again = layers.Discretization.from_config(layer.get_config())
    assert again.bin_boundaries == layer.bin_boundaries and again.num_bins == 3
    x = np.array([[-1.0, 12.0, 99.0, np.nan]])
    assert again(x).tolist() == layer(x).tolist() == [[0, 1, 2, 2]]
    layer.adapt(np.array([5.0, 6.0, 7.0]))  # anew
    assert layer.bin_boundaries != again.bin_boundaries
