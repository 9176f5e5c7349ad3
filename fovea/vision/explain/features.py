"""What comes out of a layer, and what its filters look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.nn.module import Module
from fovea.vision.explain.looking import Looker, evaluating, is_keras, module_at

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["features", "filters"]


@overload
def features(model: Module, x: Any, at: str | Module) -> Tensor: ...
@overload
def features(model: Module, x: Any, at: Sequence[str]) -> dict[str, Tensor]: ...
def features(model: Module, x: Any, at: Any) -> Any:
    """What comes out of a layer, or of several, in evaluation mode.

    Args:
        model: a module, or a Keras model.
        x: what it takes.
        at: a path such as ``"layer3.1"``, a Keras layer's name, a module; or a list of them.

    Returns:
        the layer's result at its last call, without gradients; of a list a dictionary.

    Raises:
        ArgumentError: there is no such layer, or it was not called or returns no tensor.

    >>> import fovea
    >>> from fovea.vision import models
    >>> net = models.resnet18(num_classes=10)
    >>> features(net, fovea.rand(1, 3, 64, 64), at="layer3.1").shape
    fovea.Size([1, 256, 4, 4])
    """
    several = isinstance(at, list | tuple)
    places = list(at) if several else [at]
    modules = [module_at(model, place) for place in places]
    wanted = {id(m) for m in modules}
    looker = Looker(lambda module, out: id(module) in wanted)
    with evaluating(model), no_grad(), looker:
        model(x)
    found = {id(module): out for module, out, _ in looker.outputs}
    for place, module in zip(places, modules, strict=True):
        if id(module) not in found:
            raise ArgumentError(f"{place!r} was not called, or returned no tensor.")
    each = {str(p): found[id(m)] for p, m in zip(places, modules, strict=True)}
    return each if several else found[id(modules[0])]


def filters(model: Module, at: str | Module) -> Tensor:
    """The filters of a convolution as images.

    Args:
        model: a module, or a Keras model.
        at: the convolution: a path, a Keras layer's name, or a module.

    Returns:
        (filters, channels, height, width), from 0 (the least weight of a filter) to 1; of 3
        channels they are colors.

    Raises:
        ArgumentError: the layer has no weights of four dimensions.

    >>> from fovea.vision import models
    >>> filters(models.resnet18(num_classes=10), at="conv1").shape
    fovea.Size([64, 3, 7, 7])
    """
    module: Any = module_at(model, at)
    weights = getattr(module, "kernel", None) if is_keras(module) else None
    keras = weights is not None
    weights = weights if keras else getattr(module, "weight", None)
    weights = getattr(weights, "value", weights) if keras else weights
    if weights is None or weights.ndim != 4:
        raise ArgumentError(f"{type(module).__name__} at {at!r} has no filters of images.")
    plain = weights.detach().permute(3, 2, 0, 1) if keras else weights.detach()
    low, high = plain.amin((1, 2, 3), keepdim=True), plain.amax((1, 2, 3), keepdim=True)
    return (plain - low) / (high - low).clamp(min=1e-12)
