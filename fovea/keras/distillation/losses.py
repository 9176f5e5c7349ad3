"""How far a student's outputs, or features, are from its teacher's."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.keras import losses, ops
from fovea.keras.tree import assert_same_structure, flatten, map_structure

__all__ = ["DistillationLoss", "FeatureDistillation", "LogitsDistillation"]


class DistillationLoss:
    """Base of what a `Distiller` minimizes: a subclass gives ``compute_loss``."""

    keras_module = "keras.distillation"
    teacher_layer_name: str | None = None
    student_layer_name: str | None = None

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        """The loss, a 0-d tensor, of outputs or of structures of outputs."""
        raise NotImplementedError("Subclasses must implement compute_loss")

    def validate_outputs(self, teacher_outputs: Any, student_outputs: Any) -> None:
        """Raise unless the outputs go together.

        Raises:
            ArgumentError: they are not nested alike.
        """
        assert_same_structure(teacher_outputs, student_outputs)

    def validate_model_compatibility(self, teacher: Any, student: Any) -> None:
        """Raise unless the models have what is compared; they have, unless a subclass asks."""


def _losses(given: Any, what: str) -> Any:
    """Losses by their names, in the structure in which they are given.

    Raises:
        ArgumentError: an unknown name, or nothing but None.
    """
    found = map_structure(lambda loss: losses.get(loss) if isinstance(loss, str) else loss, given)
    if all(loss is None for loss in flatten(found)):
        raise ArgumentError(f"{what}: at least one loss must not be None.")
    return found


def _config_of(found: Any) -> Any:
    return map_structure(lambda loss: None if loss is None else losses.serialize(loss), found)


def _total(f: Any, found: Any, teacher: Any, student: Any) -> Any:
    """The sum of the means of ``f(loss, teacher's, student's)`` where there is a loss."""

    def one(loss: Any, a: Any, b: Any) -> Any:
        return 0.0 if loss is None else f(loss, a, b)

    values = flatten(map_structure(one, found, teacher, student))
    return ops.sum(ops.stack(values))


class FeatureDistillation(DistillationLoss):
    """A loss between what a layer of the teacher gives and what one of the student gives.

    Args:
        loss: a loss or its name; for layers of several outputs a structure of them, in which None
            leaves an output out.
        teacher_layer_name: which layer of the teacher; None: its output.
        student_layer_name: which layer of the student.

    Raises:
        ArgumentError: no loss at all.

    Source:
        Romero et al., "FitNets: Hints for Thin Deep Nets", 2014.

    >>> import numpy as np
    >>> a, b = np.ones((2, 3), "f"), np.zeros((2, 3), "f")
    >>> FeatureDistillation("mse").compute_loss(a, b)
    tensor(1.)
    """

    def __init__(
        self,
        loss: Any = "mse",
        teacher_layer_name: str | None = None,
        student_layer_name: str | None = None,
    ) -> None:
        self.loss = _losses(loss, "FeatureDistillation")
        self.teacher_layer_name = teacher_layer_name
        self.student_layer_name = student_layer_name

    def validate_model_compatibility(self, teacher: Any, student: Any) -> None:
        """Raise unless the layers are there.

        Raises:
            ArgumentError: a layer is not there, or a model has no graph to find it in.
        """
        named = {"teacher": (teacher, self.teacher_layer_name)}
        named["student"] = (student, self.student_layer_name)
        if all(name is None for _, name in named.values()):
            return
        without = [which for which, (m, _) in named.items() if getattr(m, "inputs", None) is None]
        if without:
            raise ArgumentError(
                "FeatureDistillation: layers are found by name in Functional and Sequential models "
                f"only, and {' and '.join(without)} is a subclass.",
                fix="leave teacher_layer_name and student_layer_name out, to compare outputs",
            )
        for which, (model, name) in named.items():
            if name is not None:
                try:
                    model.get_layer(name=name)
                except ArgumentError as error:
                    raise ArgumentError(f"In {which} model: {error}") from error

    def validate_outputs(self, teacher_outputs: Any, student_outputs: Any) -> None:
        super().validate_outputs(teacher_outputs, student_outputs)
        assert_same_structure(self.loss, teacher_outputs)

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        def one(loss: Any, a: Any, b: Any) -> Any:
            return ops.mean(loss(a, b))

        return _total(one, self.loss, teacher_outputs, student_outputs)

    def get_config(self) -> dict[str, Any]:
        """The arguments to make another one with."""
        return {
            "loss": _config_of(self.loss),
            "teacher_layer_name": self.teacher_layer_name,
            "student_layer_name": self.student_layer_name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FeatureDistillation:
        """One with these arguments."""
        return cls(**{**config, "loss": _read(config["loss"])})


class LogitsDistillation(DistillationLoss):
    """A loss between the logits of teacher and student, both divided by a temperature ``T``.

    The divergence of Kullback and Leibler is that of the softened probabilities,
    ``T^2 KL(softmax(t / T), softmax(s / T))``; other losses see the divided logits.

    Args:
        temperature: ``T``: the higher, the softer.
        loss: a loss or its name; for models of several outputs a structure of them, in which None
            leaves an output out.

    Raises:
        ArgumentError: no loss at all, or a temperature that is not above 0.

    Source:
        Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015.

    >>> import numpy as np
    >>> a, b = np.array([[1.0, 2.0]], "f"), np.array([[2.0, 2.0]], "f")
    >>> LogitsDistillation(temperature=2.0).compute_loss(a, b)
    tensor(0.1212)
    """

    def __init__(self, temperature: float = 3.0, loss: Any = "kl_divergence") -> None:
        self.loss = _losses(loss, "LogitsDistillation")
        if isinstance(temperature, bool) or not isinstance(temperature, int | float):
            raise ArgumentError(
                f"LogitsDistillation: temperature must be a number, got {temperature!r}."
            )
        if temperature <= 0.0:
            raise ArgumentError(
                f"LogitsDistillation: temperature must be positive, not {temperature}."
            )
        self.temperature = temperature

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        def one(loss: Any, a: Any, b: Any) -> Any:
            a, b = (
                ops.convert_to_tensor(a) / self.temperature,
                ops.convert_to_tensor(b) / self.temperature,
            )
            if loss is losses.kl_divergence or isinstance(loss, losses.KLDivergence):
                value = ops.mean(loss(ops.softmax(a, axis=-1), ops.softmax(b, axis=-1)))
                return value * self.temperature**2
            return ops.mean(loss(a, b))

        return _total(one, self.loss, teacher_outputs, student_outputs)

    def get_config(self) -> dict[str, Any]:
        """The arguments to make another one with."""
        return {"temperature": self.temperature, "loss": _config_of(self.loss)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LogitsDistillation:
        """One with these arguments."""
        return cls(**{**config, "loss": _read(config["loss"])})


def _read(described: Any) -> Any:
    """Losses from their descriptions, alone or in a list or a dictionary."""
    if isinstance(described, list | tuple):
        return [_read(one) for one in described]
    if isinstance(described, dict) and "class_name" not in described:
        return {key: _read(one) for key, one in described.items()}
    return losses.get(described)
