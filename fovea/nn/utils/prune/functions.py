"""Pruning parameters of modules, and making it final."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from fovea.errors import ArgumentError
from fovea.functions.creation import ones_like
from fovea.nn.computed import computed
from fovea.nn.module import Module
from fovea.nn.utils.convert_parameters import parameters_to_vector
from fovea.nn.utils.prune.method import BasePruningMethod, PruningContainer
from fovea.nn.utils.prune.ways import (
    CustomFromMask,
    Identity,
    L1Unstructured,
    LnStructured,
    RandomStructured,
    RandomUnstructured,
)

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]

M = TypeVar("M", bound=Module)


def identity(module: M, name: str) -> M:
    """Give a parameter a mask of ones: pruned in form only."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: M, name: str, amount: float) -> M:
    """Prune elements of a parameter at random.

    Args:
        amount: how many, or (a float) which fraction, of what is left.
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: M, name: str, amount: float, importance_scores: Tensor | None = None
) -> M:
    """Prune the elements of a parameter with the smallest absolute values.

    Args:
        amount: how many, or (a float) which fraction, of what is left.
        importance_scores: what decides instead of the elements, of their shape.

    >>> import fovea
    >>> layer = fovea.nn.Linear(4, 1)
    >>> with fovea.no_grad():
    ...     _ = layer.weight.copy_(fovea.tensor([[1.0, -3.0, 2.0, -4.0]]))
    >>> l1_unstructured(layer, "weight", amount=0.5).weight
    tensor([[ 0., -3.,  0., -4.]], grad_fn=<MulBackward0>)
    >>> list(layer.state_dict())
    ['bias', 'weight_orig', 'weight_mask']
    """
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: M, name: str, amount: float, dim: int) -> M:
    """Prune slices of a parameter at random.

    Args:
        amount: how many, or (a float) which fraction, of what is left.
        dim: the dimension whose slices are pruned.
    """
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: M,
    name: str,
    amount: float,
    n: Any,
    dim: int,
    importance_scores: Tensor | None = None,
) -> M:
    """Prune the slices of a parameter with the smallest norms.

    Args:
        amount: how many, or (a float) which fraction, of what is left.
        n: which norm; see ``fovea.norm``.
        dim: the dimension whose slices are pruned.
        importance_scores: whose norms decide instead, of the parameter's shape.
    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def global_unstructured(
    parameters: Any,
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune several parameters as if they were one: ``amount`` counts all their elements.

    Args:
        parameters: pairs of a module and a parameter's name.
        pruning_method: a way that chooses among elements, such as ``L1Unstructured``.
        importance_scores: what decides instead of a parameter, by the same pairs.
        kwargs: for the way's constructor.

    Raises:
        TypeError: no pairs, or a way that chooses among slices.

    >>> import fovea
    >>> one, two = fovea.nn.Linear(2, 2), fovea.nn.Linear(2, 2)
    >>> global_unstructured([(one, "weight"), (two, "weight")], L1Unstructured, amount=3)
    >>> int(one.weight_mask.sum() + two.weight_mask.sum())
    5
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured: parameters must be pairs of a module and a name.")
    given = {} if importance_scores is None else importance_scores
    if not isinstance(given, dict):
        raise TypeError("global_unstructured: importance_scores must be a dictionary.")
    pairs = [(module, name) for module, name in parameters]
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            "global_unstructured: only ways that choose among single elements prune several "
            f"parameters at once; {pruning_method.__name__} is {method.PRUNING_TYPE}."
        )
    tensors = [getattr(module, name).detach() for module, name in pairs]
    scores = [given.get(pair, t) for pair, t in zip(pairs, tensors, strict=True)]
    masks = [getattr(module, f"{name}_mask", None) for module, name in pairs]
    method._tensor_name = "all"
    before = [ones_like(t) if m is None else m for t, m in zip(tensors, masks, strict=True)]
    mask = PruningContainer(method).compute_mask(
        parameters_to_vector(scores), parameters_to_vector(before)
    )
    parts = mask.split([t.numel() for t in tensors])
    for (module, name), t, part in zip(pairs, tensors, parts, strict=True):
        custom_from_mask(module, name, part.reshape(t.shape))


def custom_from_mask(module: M, name: str, mask: Tensor) -> M:
    """Prune a parameter where a mask of its shape is zero."""
    CustomFromMask.apply(module, name, mask)
    return module


def remove(module: M, name: str) -> M:
    """Make pruning final: a parameter again, with zeros where it is pruned.

    Raises:
        ValueError: it is not pruned.
    """
    method = computed(module).get(name)
    if not isinstance(method, BasePruningMethod):
        raise ArgumentError(f"prune.remove: {name!r} of {type(module).__name__} is not pruned.")
    method.remove(module)
    return module


def is_pruned(module: Module) -> bool:
    """Whether a parameter of the module, or of one within, is pruned."""
    return any(
        isinstance(how, BasePruningMethod)
        for inner in module.modules()
        for how in computed(inner).values()
    )
