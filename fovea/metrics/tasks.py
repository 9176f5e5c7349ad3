"""A metric's three classes as one, chosen by ``task``, and metrics as functions."""

from __future__ import annotations

import inspect
from typing import Any

from fovea.errors import ArgumentError

__all__ = ["as_function", "for_task"]

_COUNTS = {"multiclass": "num_classes", "multilabel": "num_labels"}


def _parameters(classes: dict[str, type], order: str, defaults: dict[str, Any]) -> list[Any]:
    """The arguments named in ``order``, each with the default that a class has for it."""
    known: dict[str, Any] = {}
    for made in classes.values():
        for name, parameter in inspect.signature(made).parameters.items():
            known.setdefault(name, parameter.default)
    known.update(defaults)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [inspect.Parameter(name, kind, default=known[name]) for name in order.split()]


def _accepted(made: type, given: dict[str, Any]) -> dict[str, Any]:
    names = inspect.signature(made).parameters
    return {name: value for name, value in given.items() if name in names}


def for_task(name: str, line: str, classes: dict[str, type], order: str, **defaults: Any) -> Any:
    """A class whose call makes one of several, by its first argument ``task``.

    Args:
        name: of the class.
        line: what the metric is.
        classes: by task.
        order: the arguments after ``task``.
        defaults: where they differ from those of the classes.
    """
    counts = dict.fromkeys(_COUNTS.values())
    parameters = _parameters(classes, order, {**counts, **defaults})
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    extra = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)
    signature = inspect.Signature([inspect.Parameter("task", positional), *parameters, extra])

    def __new__(cls: type, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        task, more = given.pop("task"), given.pop("kwargs")
        if task not in classes:
            raise ArgumentError(f"{name}: task is one of {tuple(classes)}, got {task!r}.")
        needed = _COUNTS.get(task)
        if needed and not isinstance(given[needed], int):
            raise ArgumentError(f"{name}: task={task!r} needs {needed}, got {given[needed]!r}.")
        if given.get("top_k") is None:
            given.pop("top_k", None)
        return classes[task](**_accepted(classes[task], given), **more)

    lines = [f"    - ``{task!r}``: :class:`{made.__name__}`" for task, made in classes.items()]
    text = "\n".join([line, "", "Args:", "    task: which class is made:", "", *lines])
    names = ", ".join(f"``{p.name}``" for p in parameters)
    text += f"\n\nThe other arguments ({names}) are those of that class.\n"
    body = {"__new__": __new__, "__doc__": text, "__signature__": signature}
    return type(name, (), {**body, "__module__": classes["multiclass"].__module__})


def as_function(made: Any, name: str, order: str, **defaults: Any) -> Any:
    """A metric as a function ``name(preds, target, ...)`` of all data at once.

    Args:
        made: the metric's class.
        name: of the function.
        order: the arguments after ``preds`` and ``target``.
        defaults: of arguments that the class does not name itself.
    """
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    first = [inspect.Parameter(n, positional) for n in ("preds", "target")]
    signature = inspect.Signature([*first, *_parameters({"": made}, order, defaults)])

    def function(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        given = dict(bound.arguments)
        preds, target = given.pop("preds"), given.pop("target")
        metric = made(**given)
        metric.update(preds, target)
        return metric.compute()

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The value of :class:`{made.__name__}` for predictions and targets."
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__module__ = "fovea.metrics.functional"
    return function
