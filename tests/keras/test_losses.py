"""Losses against Keras's: values, gradients, reductions, weights, names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk

from .compare import data


def probabilities(shape: tuple[int, ...], seed: int = 0) -> Any:
    x = np.exp(data(shape, seed))
    return (x / x.sum(-1, keepdims=True)).astype(np.float32)


def one_hot(labels: Any, classes: int) -> Any:
    return np.eye(classes, dtype=np.float32)[labels]


RNG = np.random.default_rng(5)
LABELS = RNG.integers(0, 4, 6)
P, LOGITS = probabilities((6, 4)), data((6, 4), 2) * 3
REAL, OTHER = data((6, 3), 1), data((6, 3), 2)
POSITIVE = data((6, 3), 3, low=0.1)
BITS = RNG.integers(0, 2, (6, 3)).astype(np.float32)
SCORES = data((6, 3), 4, low=0.0) * 0.98 + 0.01
UNIT = REAL / np.linalg.norm(REAL, axis=-1, keepdims=True)
WORDS = np.array([[1, 2, 2, 0], [3, 0, 0, 0], [4, 3, 2, 1]])
TINY = np.array([[1.0, 1e-9, 1e-10, 0.0], [0.25, 0.25, 0.25, 0.25]], np.float32)

FUNCTIONS = [
    ("mean_squared_error", REAL, OTHER, {}),
    ("mean_absolute_error", REAL, OTHER, {}),
    ("mean_absolute_percentage_error", REAL, OTHER, {}),
    ("mean_squared_logarithmic_error", POSITIVE, POSITIVE[::-1].copy(), {}),
    ("huber", REAL * 2, OTHER, {"delta": 0.7}),
    ("log_cosh", REAL, OTHER, {}),
    ("cosine_similarity", REAL, OTHER, {}),
    ("poisson", POSITIVE, SCORES, {}),
    ("kl_divergence", probabilities((6, 3), 1), probabilities((6, 3), 2), {}),
    ("hinge", BITS, OTHER, {}),
    ("hinge", BITS * 2 - 1, OTHER, {}),
    ("squared_hinge", BITS, OTHER, {}),
    ("categorical_hinge", one_hot(LABELS, 4), LOGITS, {}),
    ("categorical_crossentropy", one_hot(LABELS, 4), P, {}),
    ("categorical_crossentropy", one_hot(LABELS, 4), P * 3, {}),
    ("categorical_crossentropy", one_hot(LABELS, 4), LOGITS, {"from_logits": True}),
    ("categorical_crossentropy", one_hot(LABELS, 4), P, {"label_smoothing": 0.1}),
    ("categorical_crossentropy", one_hot([1, 2], 4), TINY, {"label_smoothing": 0.1}),
    ("categorical_focal_crossentropy", one_hot(LABELS, 4), P, {"alpha": 0.3, "gamma": 1.5}),
    ("categorical_focal_crossentropy", one_hot(LABELS, 4), LOGITS, {"from_logits": True}),
    ("sparse_categorical_crossentropy", LABELS, P, {}),
    ("sparse_categorical_crossentropy", LABELS[:, None], P * 2, {}),
    ("sparse_categorical_crossentropy", LABELS, LOGITS, {"from_logits": True}),
    ("sparse_categorical_crossentropy", np.array([1, 2]), TINY, {}),
    ("sparse_categorical_crossentropy", LABELS.reshape(2, 3), P.reshape(2, 3, 4), {}),
    ("sparse_categorical_crossentropy", LABELS, P, {"ignore_class": 2}),
    (
        "sparse_categorical_crossentropy",
        LABELS.reshape(2, 3),
        P.reshape(2, 3, 4).transpose(0, 2, 1).copy(),
        {"axis": 1},
    ),
    ("binary_crossentropy", BITS, SCORES, {}),
    ("binary_crossentropy", BITS, OTHER, {"from_logits": True}),
    ("binary_crossentropy", BITS, SCORES, {"label_smoothing": 0.2}),
    ("binary_crossentropy", BITS, BITS, {}),
    ("binary_focal_crossentropy", BITS, SCORES, {"apply_class_balancing": True}),
    ("binary_focal_crossentropy", BITS, OTHER, {"from_logits": True, "gamma": 1.0}),
    ("dice", BITS, SCORES, {}),
    ("dice", BITS, SCORES, {"axis": -1}),
    ("tversky", BITS, SCORES, {"alpha": 0.3, "beta": 0.7}),
    ("circle", LABELS, UNIT, {}),
    ("circle", LABELS, UNIT, {"gamma": 4.0, "margin": 0.2, "remove_diagonal": False}),
    ("ctc", WORDS, data((3, 8, 5), 6), {}),
    ("categorical_generalized_cross_entropy", LABELS, P, {"q": 0.7}),
]
CLASSES = [
    ("MeanSquaredError", REAL, OTHER, {}),
    ("MeanAbsoluteError", REAL, OTHER, {}),
    ("MeanAbsolutePercentageError", REAL, OTHER, {}),
    ("MeanSquaredLogarithmicError", POSITIVE, SCORES, {}),
    ("Huber", REAL, OTHER, {"delta": 0.5}),
    ("LogCosh", REAL, OTHER, {}),
    ("CosineSimilarity", REAL, OTHER, {}),
    ("Poisson", POSITIVE, SCORES, {}),
    ("KLDivergence", P, P[::-1].copy(), {}),
    ("Hinge", BITS, OTHER, {}),
    ("SquaredHinge", BITS, OTHER, {}),
    ("CategoricalHinge", one_hot(LABELS, 4), LOGITS, {}),
    ("CategoricalCrossentropy", one_hot(LABELS, 4), P, {"label_smoothing": 0.1}),
    ("CategoricalFocalCrossentropy", one_hot(LABELS, 4), P, {}),
    ("SparseCategoricalCrossentropy", LABELS, P, {}),
    ("SparseCategoricalCrossentropy", LABELS, P, {"ignore_class": 1}),
    ("BinaryCrossentropy", BITS, SCORES, {}),
    ("BinaryFocalCrossentropy", BITS, SCORES, {}),
    ("Dice", BITS, SCORES, {}),
    ("Tversky", BITS, SCORES, {}),
    ("Circle", LABELS, UNIT, {"gamma": 8.0}),
    ("CTC", np.tile(WORDS, (2, 1)), data((6, 8, 5), 7), {}),
    ("CategoricalGeneralizedCrossEntropy", LABELS, P, {}),
]
REDUCTIONS = ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None]


def both(own: Any, theirs: Any, y_true: Any, y_pred: Any, *rest: Any) -> None:
    """Compare values and gradients."""
    import torch

    ours = fovea.tensor(y_pred, requires_grad=True)
    torchs = torch.tensor(y_pred, requires_grad=True)
    out, expected = (
        own(fovea.tensor(y_true), ours, *rest),
        theirs(torch.tensor(y_true), torchs, *rest),
    )
    np.testing.assert_allclose(
        out.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5
    )
    out.sum().backward()
    expected.sum().backward()
    scale = max(1.0, float(torchs.grad.abs().max()))
    np.testing.assert_allclose(ours.grad.numpy(), torchs.grad.numpy(), rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize(("name", "y_true", "y_pred", "options"), FUNCTIONS)
def test_functions(keras: Any, name: str, y_true: Any, y_pred: Any, options: Any) -> None:
    own, theirs = getattr(fk.losses, name), getattr(keras.losses, name)
    both(lambda t, p: own(t, p, **options), lambda t, p: theirs(t, p, **options), y_true, y_pred)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "y_true", "y_pred", "options"), CLASSES)
def test_classes(
    keras: Any, name: str, y_true: Any, y_pred: Any, options: Any, reduction: Any
) -> None:
    if name in ("Dice", "Tversky") and reduction == "mean_with_sample_weight":
        pytest.skip("one number for all samples takes no weights")
    own = getattr(fk.losses, name)(reduction=reduction, **options)
    theirs = getattr(keras.losses, name)(reduction=reduction, **options)
    assert own.name == theirs.name
    both(own, theirs, y_true, y_pred)
    if name not in ("Dice", "Tversky"):
        weights = np.arange(1, 7, dtype=np.float32)
        both(own, theirs, y_true, y_pred, weights)
        if "ignore_class" not in options and name != "Circle":  # Keras keeps the axis there
            both(own, theirs, y_true, y_pred, weights[:, None])


@pytest.mark.parametrize(("name", "y_true", "y_pred", "options"), CLASSES)
def test_configurations(keras: Any, name: str, y_true: Any, y_pred: Any, options: Any) -> None:
    own = getattr(fk.losses, name)(**options)
    config = own.get_config()
    theirs = getattr(keras.losses, name)
    assert theirs(**options).get_config().items() <= config.items()
    assert theirs(**config).name == own.name
    twin = fk.losses.deserialize(fk.losses.serialize(own))
    assert type(twin) is type(own) and twin.get_config() == config
    assert float(twin(y_true, y_pred)) == float(own(y_true, y_pred))


class TestKnownLogits:
    """What softmax leaves behind makes the loss exact; values stay Keras's."""

    def losses(self, keras: Any, logits: Any, labels: Any) -> tuple[Any, Any, Any, Any]:
        import torch

        ours = fovea.tensor(logits, requires_grad=True)
        torchs = torch.tensor(logits, requires_grad=True)
        out = fk.losses.SparseCategoricalCrossentropy()(labels, fk.activations.softmax(ours))
        expected = keras.losses.SparseCategoricalCrossentropy()(
            torch.tensor(labels), torch.softmax(torchs, -1)
        )
        out.backward()
        expected.backward()
        return out.item(), expected.item(), ours.grad.numpy(), torchs.grad.numpy()

    def test_usual(self, keras: Any) -> None:
        out, expected, grad, their_grad = self.losses(keras, data((16, 10)) * 4, np.arange(16) % 10)
        assert abs(out - expected) < 1e-5
        np.testing.assert_allclose(grad, their_grad, atol=1e-5)

    def test_certain_and_wrong(self, keras: Any) -> None:
        """Where the probability is below epsilon, Keras's loss and gradient stop."""
        logits = np.array([[40.0, 0.0], [0.0, 40.0], [1.0, 0.0]], np.float32)
        out, expected, grad, their_grad = self.losses(keras, logits, np.array([1, 1, 0]))
        assert abs(out - expected) < 1e-5
        np.testing.assert_allclose(grad, their_grad, atol=1e-5)

    def test_not_used_once_changed(self) -> None:
        logits = fovea.tensor(data((3, 4)))
        p = fk.activations.softmax(logits)
        p.mul_(0.0).add_(0.25)
        loss = fk.losses.sparse_categorical_crossentropy(np.zeros(3), p)
        np.testing.assert_allclose(loss.numpy(), np.log(4), rtol=1e-6)

    def test_other_axis_is_not_taken(self) -> None:
        p = fk.activations.softmax(fovea.tensor(data((3, 3))), axis=0)
        loss = fk.losses.sparse_categorical_crossentropy(np.zeros(3), p).numpy()
        rows = p.numpy() / p.numpy().sum(1, keepdims=True)
        np.testing.assert_allclose(loss, -np.log(rows[:, 0]), rtol=1e-5)


class TestErrors:
    def test_unknown_name(self) -> None:
        with pytest.raises(ValueError, match="did you mean 'mean_squared_error'"):
            fk.losses.get("mean_sqared_error")

    def test_shapes_do_not_broadcast(self) -> None:
        with pytest.raises(ValueError, match="must have the same shape"):
            fk.losses.mean_squared_error(np.zeros((4, 3)), np.zeros((4, 1)))

    def test_integer_labels_for_one_hot(self) -> None:
        with pytest.raises(ValueError, match="sparse_categorical_crossentropy"):
            fk.losses.categorical_crossentropy(np.zeros(4), np.zeros((4, 3)))

    def test_one_hot_for_integer_labels(self) -> None:
        with pytest.raises(ValueError, match="for one-hot targets use categorical_crossentropy"):
            fk.losses.sparse_categorical_crossentropy(np.zeros((4, 3)), np.zeros((4, 3)))

    @pytest.mark.parametrize("label", [-1, 3, 100])
    def test_label_out_of_range(self, label: int) -> None:
        with pytest.raises(IndexError, match="label"):
            fk.losses.sparse_categorical_crossentropy([label], [[0.2, 0.3, 0.5]])

    def test_weights_that_do_not_fit(self) -> None:
        with pytest.raises(ValueError, match="sample_weight"):
            fk.losses.MeanSquaredError()(np.zeros((4, 2)), np.zeros((4, 2)), np.ones(3))

    def test_unknown_reduction(self) -> None:
        with pytest.raises(ValueError, match="unknown reduction"):
            fk.losses.MeanSquaredError(reduction="average")


def test_aliases(keras: Any) -> None:
    for name in ("mse", "mae", "mape", "msle", "bce", "kld", "MSE", "KLD"):
        assert fk.losses.get(name).__name__ == keras.losses.get(name).__name__
    assert fk.losses.get(None) is None


def test_empty_batch() -> None:
    loss = fk.losses.mean_squared_error(np.zeros((0, 3)), np.zeros((0, 3)))
    assert loss.shape == (0,)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_weights_of_one_loss_for_all(keras: Any, reduction: str) -> None:
    """A loss that is one number already, such as Dice's, and functions that take the mean."""
    y, p = np.eye(4, dtype="f")[[0, 2, 1]], np.random.default_rng(0).random((3, 4)).astype("f")
    for weight in (np.array([1.0, 0.5, 0.0], "f"), np.array([[2.0], [0.0], [1.0]], "f"), 3.0):
        found, want = (
            k.losses.Dice(reduction=reduction)(y, p, sample_weight=weight) for k in (fk, keras)
        )
        assert float(found) == pytest.approx(float(want), rel=1e-5)
    model = fk.Sequential([fk.Input((4,)), fk.layers.Dense(4, activation="softmax")])
    model.compile("sgd", lambda t, q: fk.ops.mean(fk.ops.square(t - q)))
    history = model.fit(p, y, class_weight={0: 1.0, 1: 2.0, 2: 0.5}, verbose=0)
    assert np.isfinite(history.history["loss"][0])
