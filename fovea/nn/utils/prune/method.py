"""What a way of pruning is, and several of them one after the other."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from fovea.autograd import no_grad
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import ones_like
from fovea.nn.computed import Computed, compute, computed, restore

if TYPE_CHECKING:
    from fovea.nn.module import Module
    from fovea.tensor import Tensor

__all__ = ["BasePruningMethod", "PruningContainer"]


class BasePruningMethod(Computed):
    """A way of pruning a tensor; subclasses say which elements stay.

    A subclass defines ``compute_mask`` and names its kind: ``PRUNING_TYPE`` is ``"unstructured"``
    (it chooses among single elements), ``"structured"`` (among the slices of its ``dim``) or
    ``"global"`` (it sees the whole tensor, also what is pruned).

    >>> import fovea
    >>> class Odd(BasePruningMethod):
    ...     PRUNING_TYPE = "unstructured"
    ...     def compute_mask(self, t, default_mask):
    ...         mask = default_mask.clone()
    ...         mask.view(-1)[1::2] = 0
    ...         return mask
    >>> layer = fovea.nn.Linear(4, 1)
    >>> method = Odd.apply(layer, "weight")
    >>> layer.weight_mask
    tensor([[1., 0., 1., 0.]])
    """

    PRUNING_TYPE: str = "unstructured"
    _tensor_name: str

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Zeros and ones of t's shape: ``default_mask`` with more zeros.

        Args:
            t: the importance of each element; the tensor itself unless other scores are given.
            default_mask: what stays so far.
        """

    def value(self, module: Module) -> Tensor:
        """The pruned tensor."""
        return self.apply_mask(module)

    def apply_mask(self, module: Module) -> Tensor:
        """The module's original tensor times its mask."""
        original = getattr(module, f"{self._tensor_name}_orig")
        mask = getattr(module, f"{self._tensor_name}_mask")
        return original * mask.to(original.dtype)

    @classmethod
    def apply(
        cls,
        module: Module,
        name: str,
        *args: Any,
        importance_scores: Tensor | None = None,
        **kwargs: Any,
    ) -> BasePruningMethod:
        """Prune a parameter of a module in this way; one that is pruned is pruned further.

        Args:
            name: of the parameter.
            args, kwargs: for the constructor.
            importance_scores: what decides instead of the tensor, of its shape.

        Returns:
            How the tensor is pruned now: this way, or a ``PruningContainer`` of all.
        """
        method: BasePruningMethod = cls(*args, **kwargs)
        method._tensor_name = name
        before = computed(module).get(name)
        if isinstance(before, BasePruningMethod):
            both = before if isinstance(before, PruningContainer) else PruningContainer(before)
            added = PruningContainer(*both, method)
            mask = getattr(module, f"{name}_mask").detach().clone()
            mask = added.compute_mask(added.scores(module, importance_scores), mask)
            module.register_buffer(f"{name}_mask", mask)
            compute(module, name, added)
            return added
        original = module._parameters.get(name)
        if original is None:
            raise ArgumentError(f"prune: {type(module).__name__} has no parameter {name!r}.")
        scores = method.scores(module, importance_scores)
        mask = method.compute_mask(scores, ones_like(original.detach()))
        delattr(module, name)
        module.register_parameter(f"{name}_orig", original)
        module.register_buffer(f"{name}_mask", mask)
        compute(module, name, method)
        return method

    def scores(self, module: Module, given: Tensor | None) -> Tensor:
        """What decides over a module's tensor: what is given, or its elements themselves."""
        t = getattr(module, self._tensor_name)
        if given is None:
            return t.detach()
        if given.shape != t.shape:
            raise ShapeError(
                "prune: importance_scores must have the shape of what is pruned.",
                {"importance_scores": describe(given), self._tensor_name: describe(t)},
            )
        return given.detach()

    def prune(
        self,
        t: Tensor,
        default_mask: Tensor | None = None,
        importance_scores: Tensor | None = None,
    ) -> Tensor:
        """A tensor pruned in this way, of no module.

        Args:
            default_mask: what stays before; everything unless given.
            importance_scores: what decides instead of ``t``.
        """
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise ShapeError(
                "prune: importance_scores must have the shape of what is pruned.",
                {"importance_scores": describe(scores), "t": describe(t)},
            )
        mask = ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=mask).to(t.dtype)

    def remove(self, module: Module) -> None:
        """Make the pruned tensor the module's parameter again; what was pruned stays zero."""
        name = self._tensor_name
        original = module._parameters[f"{name}_orig"]
        assert original is not None
        with no_grad():
            original.copy_(self.apply_mask(module))
        restore(module, name)
        delattr(module, f"{name}_orig")
        delattr(module, f"{name}_mask")
        module.register_parameter(name, original)


class PruningContainer(BasePruningMethod):
    """Ways of pruning one tensor, in the order in which they were applied.

    Args:
        args: the ways; or one iterable of them.
    """

    def __init__(self, *args: Any) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        first = args[0] if len(args) == 1 else None
        methods = args
        if isinstance(first, Iterable) and not isinstance(first, BasePruningMethod):
            methods = tuple(first)
        for i, method in enumerate(methods):
            if not i:
                self._tensor_name = getattr(method, "_tensor_name", "")
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Add a way at the end.

        Raises:
            TypeError: no way of pruning. ValueError: one for another tensor.
        """
        if method is None:
            return
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method).__name__} is not a BasePruningMethod.")
        if self._tensor_name != method._tensor_name:
            raise ArgumentError(
                f"this PruningContainer prunes {self._tensor_name!r}, the method "
                f"{method._tensor_name!r}."
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, index: Any) -> Any:
        return self._pruning_methods[index]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """``default_mask`` with what the last way prunes of the rest."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(t.dtype)
        rest = _rest(method, mask)
        if rest is None:
            return method.compute_mask(t, default_mask=mask).to(t.dtype)
        mask = mask.clone()
        mask[rest] = method.compute_mask(t[rest], default_mask=mask[rest]).to(t.dtype)
        return mask


def _rest(method: Any, mask: Tensor) -> Any:
    """The index of what a way of pruning chooses among; None for everything."""
    if method.PRUNING_TYPE == "global":
        return None
    if method.PRUNING_TYPE == "unstructured":
        return mask == 1
    if method.PRUNING_TYPE != "structured":
        raise ArgumentError(f"prune: PRUNING_TYPE {method.PRUNING_TYPE!r} is unknown.")
    dim = method.dim % mask.ndim
    others = [d for d in range(mask.ndim) if d != dim]
    return (*(slice(None),) * dim, mask.sum(others) != 0)
