"""``fovea.port``: the weights of a PyTorch or Keras model in a model of fovea's."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.functions import creation
from fovea.interop.porting.groups import Group, groups_of, is_keras_like
from fovea.interop.porting.matching import matched
from fovea.interop.porting.report import Mapped, PortReport
from fovea.interop.porting.running import call_order, outputs_of
from fovea.nn.module import Module

__all__ = ["Mapped", "PortReport", "port"]


def port(
    source: Any,
    target: Module,
    example_input: Any = None,
    *,
    rename: Callable[[str], str] | None = None,
    strict: bool = False,
) -> PortReport:
    """Copy weights from a model of another framework (or of this one).

    Layers are paired by name where names agree, else by order and shape. Layouts follow: a Keras
    kernel becomes a convolution's or a linear layer's weight and the other way, also behind a
    ``Flatten``, which orders pixels differently in the two.

    Args:
        source: a model of PyTorch, Keras or fovea, or a state: names to tensors or arrays.
        target: a module or a Keras model of fovea's.
        example_input: an array (or a tuple of them) as the source takes it. With it the outputs of
            both are compared, and ways to pair the layers are tried until they agree; images are
            turned (NCHW, NHWC) as the target takes them. It also makes the weights of a target
            that has none yet.
        rename: from a name in the source to one in the target.
        strict: raise if a weight of the target is left as it was, or the outputs differ.

    Returns:
        What was mapped how, what is missing, and how far the outputs are apart.

    Raises:
        ArgumentError: with ``strict``: something is missing, or the outputs differ. The target is
            then as it was.

    >>> import fovea
    >>> one, two = (fovea.nn.Sequential(fovea.nn.Linear(3, 2)) for _ in range(2))
    >>> report = port(one, two, fovea.ones(4, 3))
    >>> report.complete, report.agrees, fovea.equal(one[0].weight, two[0].weight)
    (True, True, True)
    """
    if not isinstance(target, Module):
        raise ArgumentError(
            f"port: the target is a module of fovea's, not {type(target).__name__}."
        )
    if example_input is not None:
        _build(target, source, example_input)
    before = {k: v.detach().clone() for k, v in target.state_dict().items()}
    wanted = None
    if example_input is not None and callable(source):
        wanted = outputs_of(source, source, example_input)
    best: PortReport | None = None
    for way in _ways(source, target, example_input):
        target.load_state_dict(before)
        report = _one_way(source, target, rename, *way)
        if wanted is not None:
            report.compare(wanted, outputs_of(target, source, example_input))
        if best is None or report.better_than(best):
            best, kept = report, {k: v.detach().clone() for k, v in target.state_dict().items()}
        if best.complete and best.agrees is not False:
            break
    assert best is not None
    failed = strict and (not best.complete or best.agrees is False)
    target.load_state_dict(before if failed else kept)
    if failed:
        raise ArgumentError(f"port: the source does not fit the target.\n{best}")
    return best


def _build(target: Any, source: Any, example: Any) -> None:
    """Run the target once, if it makes its weights when it first sees data."""
    lazy = any(getattr(m, "built", True) is False for m in target.modules())
    if lazy or any(type(p).__name__.startswith("Uninitialized") for p in target.parameters()):
        outputs_of(target, source, example)


def _ways(source: Any, target: Any, example: Any) -> list[tuple[Any, Any, bool]]:
    """Orders of layers in source and target, and whether ``Flatten`` is minded; best ones first."""
    orders: list[tuple[Any, Any]] = [(None, None)]
    if example is not None:
        called = call_order(source, source, example), call_order(target, source, example)
        orders += [called] if any(c is not None for c in called) else []
    minded = [True]
    if is_keras_like(source) != is_keras_like(target) and example is not None:
        minded.append(False)
    return [(*order, flat) for order, flat in product(orders, minded)]


def _one_way(
    source: Any, target: Any, rename: Any, source_order: Any, target_order: Any, flatten: bool
) -> PortReport:
    theirs = _sorted(groups_of(source), source_order)
    ours = _sorted(groups_of(target), target_order)
    if rename is not None:
        for group in theirs:
            group.rename(rename)
    report = PortReport()
    pairs = matched(theirs, ours)
    used: set[int] = set()
    for ours_group, found in pairs:
        if found is None:
            report.missing += [s.name for s in ours_group.slots.values() if not s.optional]
            continue
        theirs_group, how = found
        used.add(id(theirs_group))
        for key, slot in ours_group.slots.items():
            given = theirs_group.slots.get(key)
            if given is None:
                report.missing += [] if slot.optional else [slot.name]
                continue
            value, change = given.fitted(slot, theirs_group, ours_group, flatten)
            with no_grad():
                slot.tensor.copy_(creation.tensor(np.array(value, order="C")).to(slot.tensor.dtype))
            report.mapped.append(Mapped(given.name, slot.name, tuple(slot.shape), how, change))
        extra = [s for key, s in theirs_group.slots.items() if key not in ours_group.slots]
        report.unexpected += [s.name for s in extra if not s.optional]
    for group in theirs:
        if id(group) not in used:
            report.unexpected += [s.name for s in group.slots.values() if not s.optional]
    return report


def _sorted(groups: list[Group], order: Any) -> list[Group]:
    """Groups in the order in which their modules are called."""
    if order is None:
        return groups
    places = {path: n for n, path in enumerate(order)}
    return sorted(groups, key=lambda g: places.get(g.path, len(places)))
