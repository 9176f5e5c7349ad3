"""``fovea.summary``: a model's modules with the shapes of their outputs, weights and work;
``fovea.draw_model``: the same as a picture; ``fovea.layer_statistics``: what flows through them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.nn.module import Module
from fovea.summaries.inputs import arguments
from fovea.summaries.picture import ModelPicture, draw_model
from fovea.summaries.rows import Row, rows_of
from fovea.summaries.statistics import LayerStatistics, layer_statistics
from fovea.summaries.table import COLUMNS, ModelSummary

__all__ = [
    "LayerStatistics", "ModelPicture", "ModelSummary", "Row", "draw_model", "layer_statistics",
    "summary",
]  # fmt: skip

_DEFAULT = ("output_size", "num_params", "mult_adds")


def summary(
    model: Module,
    input_size: Any = None,
    input_data: Any = None,
    *,
    batch_dim: int | None = None,
    col_names: Sequence[str] = _DEFAULT,
    depth: int = 3,
    dtypes: Any = None,
    mode: str = "eval",
    verbose: int | None = None,
    **kwargs: Any,
) -> ModelSummary:
    """Run a model once and tell what its modules return, hold and compute.

    Args:
        model: a module, or a Keras model.
        input_size: the shape of the input with the batch's size, or a list of shapes. Without it,
            and without ``input_data``, only weights are told.
        input_data: a tensor, or a list, tuple or dictionary of arguments, instead.
        batch_dim: where to put a batch's size of 1 into shapes that have none.
        col_names: of ``"input_size"``, ``"output_size"``, ``"num_params"``, ``"params_percent"``,
            ``"kernel_size"``, ``"groups"``, ``"mult_adds"``, ``"trainable"``.
        depth: how many levels of modules to show; those below count in the last one.
        dtypes: of the inputs made for ``input_size``: one, or a list of them.
        mode: ``"eval"``, ``"train"``, or ``"same"`` to run the model as it is. Its modes, buffers
            and random numbers are afterwards what they were.
        verbose: 0 prints nothing, 1 prints; by default it prints, but for notebooks and consoles,
            where the result shows itself.
        **kwargs: passed on to the model.

    Returns:
        The rows and totals; ``str()`` of it is the table.

    Raises:
        ArgumentError: an unknown column or mode, or both kinds of input.

    >>> import fovea
    >>> net = fovea.nn.Sequential(fovea.nn.Linear(4, 3), fovea.nn.ReLU())
    >>> found = summary(net, (2, 4), verbose=0)
    >>> found.total_params, found.total_mult_adds, [row.output_size for row in found.rows]
    (15, 24, [(2, 3), (2, 3), (2, 3)])
    """
    unknown = [c for c in col_names if c not in COLUMNS]
    if unknown:
        raise ArgumentError(f"summary: unknown column {unknown[0]!r}.", fix=f"of {list(COLUMNS)}")
    if mode not in ("eval", "train", "same"):
        raise ArgumentError(f"summary: mode is 'eval', 'train' or 'same', got {mode!r}.")
    args = arguments("summary", input_size, input_data, batch_dim, dtypes)
    found = ModelSummary(model, rows_of(model, args, kwargs, mode), args, tuple(col_names), depth)
    if verbose if verbose is not None else not _shows_itself():
        print(found)
    return found


def _shows_itself() -> bool:
    """Whether the value of an expression is shown: in a notebook or a console."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules
