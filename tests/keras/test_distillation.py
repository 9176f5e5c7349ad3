"""``keras.distillation``: losses, training and files as Keras's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea import keras as fk
from fovea.errors import ArgumentError

from .compare import copy_weights, data

X = data((16, 6))
Y = np.random.default_rng(1).integers(0, 3, 16)


def network(k: Any, width: int, name: str) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            k.Input((6,)),
            layers.Dense(width, activation="relu", name=f"{name}_hidden"),
            layers.Dense(8, name=f"{name}_features"),
            layers.Dense(3, name=f"{name}_logits"),
        ],
        name=name,
    )


def soft(k: Any) -> Any:
    return k.distillation.LogitsDistillation(2.0, loss=k.losses.KLDivergence())


def features(k: Any) -> Any:
    return k.distillation.FeatureDistillation("mae", "teacher_features", "student_features")


def outputs(k: Any) -> Any:
    return k.distillation.FeatureDistillation(k.losses.CosineSimilarity())


CASES: dict[str, dict[str, Any]] = {
    "soft": {"losses": soft},
    "weights": {"losses": lambda k: [soft(k), features(k)], "weights": [1.0, 0.3]},
    "features": {"losses": lambda k: [features(k), outputs(k)], "share": 0.2},
    "soft only": {"losses": lambda k: [soft(k)], "share": 0.0},
    "hard only": {"losses": soft, "share": 1},
    "by name": {
        "losses": lambda k: k.distillation.LogitsDistillation(loss="mean_squared_error"),
        "share": 0.5,
    },
}


def distiller(k: Any, case: dict[str, Any]) -> Any:
    model = k.distillation.Distiller(
        teacher=network(k, 12, "teacher"),
        student=network(k, 5, "student"),
        distillation_losses=case["losses"](k),
        distillation_loss_weights=case.get("weights"),
        student_loss_weight=case.get("share", 0.5),
    )
    hard = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(k.optimizers.SGD(0.1), loss=hard, metrics=["accuracy"])
    return model


@pytest.mark.parametrize("name", CASES)
def test_training(keras: Any, name: str) -> None:
    ours, theirs = distiller(fk, CASES[name]), distiller(keras, CASES[name])
    for part in ("teacher", "student"):
        copy_weights(getattr(theirs, part), getattr(ours, part))
    before = ours.teacher.get_weights()
    options: dict[str, Any] = {"epochs": 3, "batch_size": 8, "shuffle": False, "verbose": 0}
    found, want = (m.fit(X, Y, **options, validation_data=(X, Y)).history for m in (ours, theirs))
    assert list(found) == list(want)
    for key, values in want.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-3, atol=1e-5, err_msg=key)
    np.testing.assert_allclose(
        ours.evaluate(X, Y, verbose=0), theirs.evaluate(X, Y, verbose=0), rtol=1e-3, atol=1e-5
    )
    np.testing.assert_allclose(
        ours.predict(X, verbose=0), theirs.predict(X, verbose=0), rtol=1e-3, atol=1e-4
    )
    for a, b in zip(before, ours.teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(ours.trainable_weights) == len(theirs.trainable_weights) == 6


@pytest.mark.parametrize("name", ["soft", "weights"])
def test_files_go_both_ways(keras: Any, name: str, tmp_path: Path) -> None:
    ours, theirs = distiller(fk, CASES[name]), distiller(keras, CASES[name])
    for model, path in ((ours, "ours"), (theirs, "theirs")):
        model.fit(X, Y, verbose=0)
        model.save(tmp_path / f"{path}.keras")
    with pytest.warns(UserWarning, match="does not tell the loss"):
        read = fk.models.load_model(tmp_path / "theirs.keras")
    np.testing.assert_allclose(
        read.predict(X, verbose=0), theirs.predict(X, verbose=0), rtol=1e-4, atol=1e-5
    )
    assert not read.compiled
    there = keras.models.load_model(tmp_path / "ours.keras", compile=False)
    again = fk.models.load_model(tmp_path / "ours.keras")
    want = ours.predict(X, verbose=0)
    np.testing.assert_allclose(there.predict(X, verbose=0), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(again.predict(X, verbose=0), want, rtol=1e-5)
    np.testing.assert_allclose(
        again.evaluate(X, Y, verbose=0), ours.evaluate(X, Y, verbose=0), rtol=1e-5
    )


def test_structures(keras: Any) -> None:
    """Models of several outputs, some of which are left out."""
    a = {"p": data((4, 3)), "q": [data((4, 2), 1), data((4, 2), 2)]}
    b = {"p": data((4, 3), 3), "q": [data((4, 2), 4), data((4, 2), 5)]}
    for cls in ("LogitsDistillation", "FeatureDistillation"):
        loss: Any = {"p": "mse", "q": ["mae", None]}
        ours = getattr(fk.distillation, cls)(loss=loss)
        theirs = getattr(keras.distillation, cls)(loss=loss)
        tensors = [keras.tree.map_structure(keras.ops.convert_to_tensor, s) for s in (a, b)]
        want = float(theirs.compute_loss(*tensors))
        assert float(ours.compute_loss(a, b)) == pytest.approx(want, rel=1e-5)
        twin = type(ours).from_config(ours.get_config())
        assert float(twin.compute_loss(a, b)) == pytest.approx(want, rel=1e-5)
        with pytest.raises(ValueError, match="nested alike"):
            ours.validate_outputs(a, {"p": b["p"]})


def test_divergence_by_name_is_of_probabilities() -> None:
    a, b = data((4, 3)), data((4, 3), 1)
    named = fk.distillation.LogitsDistillation()
    made = fk.distillation.LogitsDistillation(loss=fk.losses.KLDivergence())
    assert float(named.compute_loss(a, b)) == pytest.approx(float(made.compute_loss(a, b)))
    assert float(named.compute_loss(a, a)) == pytest.approx(0.0, abs=1e-6)


class OneOutput(fk.Model):
    def call(self, x: Any) -> Any:
        return x


def test_what_is_refused() -> None:
    d = fk.distillation
    teacher, student = network(fk, 12, "teacher"), network(fk, 5, "student")
    wide = fk.Sequential([fk.Input((6,)), fk.layers.Dense(4)])
    for message, make in {
        "keras.Model": lambda: d.Distiller(teacher, 3, d.LogitsDistillation()),
        "outputs of teacher and student": lambda: d.Distiller(teacher, wide, soft(fk)),
        "cannot be None": lambda: d.Distiller(teacher, student, None),
        "between 0.0 and 1.0": lambda: d.Distiller(
            teacher, student, soft(fk), student_loss_weight=2.0
        ),
        "2 distillation_loss_weights": lambda: d.Distiller(
            teacher, student, [soft(fk)], distillation_loss_weights=[1.0, 2.0]
        ),
        "In teacher model": lambda: d.Distiller(
            teacher, student, d.FeatureDistillation("mse", "nothing", "student_logits")
        ),
        "teacher is a subclass": lambda: d.Distiller(OneOutput(), student, features(fk)),
        "must be positive": lambda: d.LogitsDistillation(temperature=0.0),
        "must be a number": lambda: d.LogitsDistillation(temperature="3"),
        "at least one loss": lambda: d.FeatureDistillation(loss=[None, None]),
    }.items():
        with pytest.raises(ArgumentError, match=message):
            make()
    model = d.Distiller(teacher, student, soft(fk))
    with pytest.raises(ArgumentError, match="'loss' cannot be None"):
        model.compile("adam")


def test_a_loss_of_ones_own() -> None:
    class Twice(fk.distillation.DistillationLoss):
        def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
            return fk.ops.mean((teacher_outputs - student_outputs) ** 2) * 2.0

    class Many(Twice):
        def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
            return teacher_outputs - student_outputs

    model = distiller(fk, {"losses": lambda k: [Twice()], "share": 0.0})
    a, b = model.teacher.predict(X, verbose=0), model.student.predict(X, verbose=0)
    found = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(float(2 * ((a - b) ** 2).mean()), rel=1e-4)
    with pytest.raises(ArgumentError, match="one number"):
        distiller(fk, {"losses": lambda k: [Many()]}).evaluate(X, Y, verbose=0)
