"""``Distiller``: a model that trains a student beside its teacher."""

from __future__ import annotations

import warnings
from typing import Any

from fovea.errors import ArgumentError
from fovea.keras import losses as keras_losses
from fovea.keras import metrics, ops
from fovea.keras.models import Model
from fovea.keras.objects import deserialize_keras_object, serialize_keras_object
from fovea.keras.tree import flatten, map_structure

__all__ = ["Distiller"]

_OUTPUT = "final_output"


class Distiller(Model):
    """Trains a student with what is true and with what its teacher says.

    The loss is ``w L(y, student) + (1 - w) sum_i w_i D_i(teacher, student)``. The teacher is
    frozen. What the distiller predicts is what the student predicts.

    Args:
        teacher: a trained model.
        student: the model to train; afterwards it is used without the distiller.
        distillation_losses: ``D_i``: one `DistillationLoss` or a list of them.
        distillation_loss_weights: ``w_i``; 1 each unless given.
        student_loss_weight: ``w``, from 0 to 1.
        name: of the distiller.

    Raises:
        ArgumentError: models whose inputs or outputs do not fit, or weights out of range.
    """

    keras_module = "keras.distillation"

    def __init__(
        self,
        teacher: Any,
        student: Any,
        distillation_losses: Any,
        distillation_loss_weights: Any = None,
        student_loss_weight: float = 0.5,
        name: str = "distiller",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        _check_models(teacher, student)
        self.teacher, self.student = teacher, student
        if not isinstance(student_loss_weight, int | float) or not 0 <= student_loss_weight <= 1:
            raise ArgumentError(
                "Distiller: student_loss_weight must be a number between 0.0 and 1.0, "
                f"got {student_loss_weight!r}."
            )
        self.student_loss_weight = student_loss_weight
        self._take_losses(distillation_losses, distillation_loss_weights)
        self._teacher_feature_extractor = self._extractor(teacher, "teacher_layer_name")
        self._student_feature_extractor = self._extractor(student, "student_layer_name")
        self.teacher.trainable = False
        self.student_loss_tracker = metrics.Mean(name="student_loss")
        self.distillation_loss_tracker = metrics.Mean(name="distillation_loss")
        self.total_loss_tracker = metrics.Mean(name="total_loss")

    def _take_losses(self, given: Any, weights: Any) -> None:
        if given is None:
            raise ArgumentError(
                "Distiller: distillation_losses cannot be None.",
                fix="one of keras.distillation, such as LogitsDistillation(), or a list of them",
            )
        if not isinstance(given, list | tuple):
            given, weights = [given], [1.0]
        if weights is None:
            weights = [1.0] * len(given)
        if len(weights) != len(given):
            raise ArgumentError(
                f"Distiller: {len(weights)} distillation_loss_weights were given for "
                f"{len(given)} distillation_losses."
            )
        for loss in given:
            loss.validate_model_compatibility(self.teacher, self.student)
        own = self.__dict__
        own["distillation_losses"], own["distillation_loss_weights"] = list(given), list(weights)

    def _extractor(self, model: Any, which: str) -> Any:
        """A model of the features that losses name, and the output; None if they name none."""
        asked = (getattr(loss, which, None) for loss in self.distillation_losses)
        names = dict.fromkeys(str(name) for name in asked if name is not None)
        if not names:
            return None
        outputs = {_OUTPUT: model.output}
        outputs |= {name: model.get_layer(name=name).output for name in names}
        return Model(model.inputs, outputs, name=f"{model.name}_multi_feature_extractor")

    def compile(  # type: ignore[override]
        self, optimizer: Any = "adam", loss: Any = None, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Say how the student is trained.

        Args:
            optimizer: its name or an optimizer.
            loss: ``L``: a loss or its name; for several outputs a structure of them.
            metrics: a list of metrics of the student's predictions.

        Raises:
            ArgumentError: no loss.
        """
        if loss is None:
            raise ArgumentError("Distiller.compile: 'loss' cannot be None.")
        if metrics is not None and not isinstance(metrics, list | tuple):
            raise ArgumentError(f"Distiller.compile: metrics must be a list, got {metrics!r}.")
        super().compile(optimizer=optimizer, loss=None, metrics=metrics, **kwargs)
        own = self.__dict__
        own["_student_loss"] = map_structure(
            lambda one: keras_losses.get(one) if isinstance(one, str) else one, loss
        )
        own["_compile_arguments"]["loss"] = loss

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as ``get_compile_config`` says; Keras's files do not tell the loss."""
        if config.get("loss") is None:
            warnings.warn(
                f"{self.name}: the file does not tell the loss, so the model is not compiled; "
                "call compile.",
                stacklevel=2,
            )
            return
        super().compile_from_config(config)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """What the student predicts."""
        more = {} if mask is None else {"mask": mask}
        return self.student(inputs, training=training, **more)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss of one batch; its parts go to ``student_loss`` and ``distillation_loss``."""
        if y_pred is None:
            y_pred = self(x, training=training)
        share = self.student_loss_weight
        hard = self._hard_loss(y, y_pred) if share > 0.0 and y is not None else 0.0
        soft = self._soft_loss(x, y_pred) if share < 1.0 else 0.0
        total = ops.convert_to_tensor(share * hard + (1.0 - share) * soft)
        self.student_loss_tracker.update_state(hard)
        self.distillation_loss_tracker.update_state(soft)
        self.total_loss_tracker.update_state(total)
        return total

    def _hard_loss(self, y: Any, y_pred: Any) -> Any:
        values = map_structure(lambda f, a, b: ops.mean(f(a, b)), self._student_loss, y, y_pred)
        parts = flatten(values)
        return ops.sum(ops.stack(parts)) if len(parts) > 1 else parts[0]

    def _soft_loss(self, x: Any, y_pred: Any) -> Any:
        teacher, student = self.teacher, self._student_feature_extractor
        if self._teacher_feature_extractor is None:
            taught = {_OUTPUT: teacher(x, training=False)}
        else:
            taught = self._teacher_feature_extractor(x, training=False)
        learned = {_OUTPUT: y_pred} if student is None else student(x, training=True)
        total: Any = 0.0
        for loss, weight in zip(
            self.distillation_losses, self.distillation_loss_weights, strict=True
        ):
            a, b = taught[_OUTPUT], y_pred
            if getattr(loss, "teacher_layer_name", None) is not None:
                a = taught[loss.teacher_layer_name]
                b = learned[loss.student_layer_name or _OUTPUT]
            loss.validate_outputs(a, b)
            value = loss.compute_loss(a, b)
            if len(getattr(value, "shape", ())) > 0:
                raise ArgumentError(
                    f"{type(loss).__name__}.compute_loss must give one number, "
                    f"got shape {tuple(value.shape)}."
                )
            total = total + weight * value
        return total

    def get_config(self) -> dict[str, Any]:
        base = {key: super(Model, self).get_config()[key] for key in ("name", "trainable", "dtype")}
        return {
            **base,
            "teacher": serialize_keras_object(self.teacher),
            "student": serialize_keras_object(self.student),
            "distillation_losses": [serialize_keras_object(f) for f in self.distillation_losses],
            "distillation_loss_weights": self.distillation_loss_weights,
            "student_loss_weight": self.student_loss_weight,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        config = dict(config)
        for key in ("teacher", "student"):
            config[key] = deserialize_keras_object(config[key], custom_objects)
        config["distillation_losses"] = [
            deserialize_keras_object(f, custom_objects) for f in config["distillation_losses"]
        ]
        return cls(**config)


def _check_models(teacher: Any, student: Any) -> None:
    """ArgumentError unless the two are models whose known inputs and outputs fit together."""
    for which, model in (("teacher", teacher), ("student", student)):
        if not isinstance(model, Model):
            raise ArgumentError(f"Distiller: the {which} must be a keras.Model, got {model!r}.")
    for what in ("inputs", "outputs"):
        ours, theirs = getattr(teacher, what, None), getattr(student, what, None)
        if ours is None or theirs is None:
            continue
        if len(ours) != len(theirs):
            raise ArgumentError(
                f"Distiller: {len(ours)} {what} of the teacher, {len(theirs)} of the student."
            )
        for a, b in zip(ours, theirs, strict=True):
            if not _fit(a.shape, b.shape) or a.dtype != b.dtype:
                raise ArgumentError(
                    f"Distiller: the {what} of teacher and student do not fit.",
                    {"teacher": f"{a.dtype} {a.shape}", "student": f"{b.dtype} {b.shape}"},
                )


def _fit(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(
        m is None or n is None or m == n for m, n in zip(a, b, strict=True)
    )
