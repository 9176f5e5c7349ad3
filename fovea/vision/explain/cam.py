"""Class activation maps: which places of a layer's maps speak for a class."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import fovea.nn.functional as F
from fovea import dtypes
from fovea.autograd import enable_grad, no_grad
from fovea.errors import ArgumentError
from fovea.functions.creation import from_numpy
from fovea.nn.module import Module
from fovea.vision.explain.looking import (
    Looker,
    Targets,
    evaluating,
    is_keras,
    module_at,
    scores,
    side_sizes,
)

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "EigenCAM",
    "GradCAM",
    "GradCAMPlusPlus",
    "HiResCAM",
    "LayerCAM",
    "ScoreCAM",
    "XGradCAM",
]

Array = np.ndarray[Any, Any]
_TINY = 1e-7


class _Cam:
    """What all of them do: a forward and a backward pass, and maps of the images' size.

    Args:
        model: a network of images; a module, or a Keras model.
        target_layers: the layer whose maps are weighted, or several whose results are averaged:
            modules, paths such as ``"layer4.1"``, names of Keras layers. None: the last one that
            has places and whose gradient is not zero.
        reshape_transform: makes maps (N, channels, height, width) of a layer's result. None: maps
            as they are; sequences of patches (N, length, channels), with or without a token in
            front, and maps (N, height, width, channels) are seen by their shapes.

    Attributes:
        outputs: what the model said at the last call.
        layers: the paths of the layers of the last call.
    """

    def __init__(
        self,
        model: Module,
        target_layers: Any = None,
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        several = isinstance(target_layers, list | tuple)
        places = target_layers if several else [target_layers]
        self.model, self.reshape_transform = model, reshape_transform
        self._targets = [module_at(model, p) for p in places if p is not None]
        self._paths = {id(m): path for path, m in model.named_modules()}
        self.outputs: Tensor | None = None
        self.layers: list[str] = []

    def __call__(self, input_tensor: Tensor, targets: Targets = None) -> Array:
        """Maps of the images: float32 (N, H, W) from 0 to 1, where 1 speaks most for the class.

        Args:
            input_tensor: images as the model takes them.
            targets: a class for all, or one for each image; functions that make a number of one
                image's outputs; None: the class with the highest score.

        Raises:
            ArgumentError: a layer that was not called, or that has no places.
            ShapeError: no batch of images.
        """
        size = side_sizes(self.model, input_tensor)
        with evaluating(self.model), enable_grad():
            found = self._look(input_tensor, targets)
            self.layers = [self._paths.get(id(m), type(m).__name__) for m, _, _ in found]
            maps = [
                _stretched(np.maximum(self._map(a, g, input_tensor, targets), 0), size)
                for _, a, g in found
            ]
        return _spread(np.mean(maps, axis=0))

    def _look(self, x: Tensor, targets: Targets) -> list[tuple[Any, Array, Array]]:
        """The wanted layers, with their maps and the gradients of the targets' scores."""
        chosen = {id(m) for m in self._targets}
        looker = Looker(lambda module, out: id(module) in chosen if chosen else _has_places(out))
        x = x.detach().requires_grad_()
        with looker:
            outputs = self.model(x)
            self.outputs = outputs.detach()
            scores(outputs, targets)[0].sum().backward()
        kept = looker.outputs if chosen else _last_that_counts(looker.outputs)
        found = []
        for module, out, gradients in kept:
            grad = gradients[0] if gradients else out * 0
            found.append((module, self._as_maps(module, out), self._as_maps(module, grad)))
        missing = chosen - {id(m) for m, _, _ in found}
        if missing or not found:
            names = [self._paths.get(i, "?") for i in missing]
            raise ArgumentError(
                f"{type(self).__name__}: the model did not call {', '.join(names)}."
                if names
                else f"{type(self).__name__}: no layer of the model has places.",
                fix="target_layers=, a layer that returns maps",
            )
        return found

    def _as_maps(self, module: Any, out: Tensor) -> Array:
        """(N, channels, height, width) of a layer's result."""
        if self.reshape_transform is not None:
            return _plain(self.reshape_transform(out))
        a = _plain(out)
        if a.ndim == 4:
            last = is_keras(module) or (a.shape[1] == a.shape[2] != a.shape[3])
            return a.transpose(0, 3, 1, 2) if last else a
        grid = _grid(a.shape)
        if grid is None:
            path = self._paths.get(id(module), type(module).__name__)
            raise ArgumentError(
                f"{type(self).__name__}: what {path} returns, {tuple(a.shape)}, are no maps.",
                fix="another layer, or reshape_transform=",
            )
        side, front = grid
        return a[:, front:].reshape(len(a), side, side, -1).transpose(0, 3, 1, 2)

    def _map(self, a: Array, g: Array, x: Tensor, targets: Targets) -> Array:
        """The layer's map (N, height, width), of maps and gradients (N, channels, ...)."""
        weights = self._weights(a, g)
        made: Array = (weights[:, :, None, None] * a).sum(1)
        return made

    def _weights(self, a: Array, g: Array) -> Array:
        """What each channel weighs, (N, channels)."""
        made: Array = g.mean((2, 3))
        return made


class GradCAM(_Cam):
    """map = relu(sum_k w_k A_k), w_k the mean of the gradient of the score with respect to A_k

    Args:
        model: a network of images; a module, or a Keras model.
        target_layers: the layer whose maps A are weighted, or several whose results are averaged:
            modules, paths such as ``"layer4.1"``, names of Keras layers. None: the last one that
            has places and whose gradient is not zero.
        reshape_transform: makes maps (N, channels, height, width) of a layer's result. None: maps
            as they are; sequences of patches (N, length, channels), with or without a token in
            front, and maps (N, height, width, channels) are seen by their shapes.

    Source: Selvaraju et al., "Grad-CAM", ICCV 2017.

    >>> import fovea
    >>> from fovea.vision import models
    >>> cam = GradCAM(models.resnet18(num_classes=10))
    >>> cam(fovea.rand(1, 3, 64, 64)).shape, cam.layers
    ((1, 64, 64), ['layer4'])
    """


class GradCAMPlusPlus(_Cam):
    """As `GradCAM`, with w_k = sum(a_k relu(G_k)), a_k = G_k^2 / (2 G_k^2 + sum(A_k) G_k^3)

    Args:
        model, target_layers, reshape_transform: as of `GradCAM`.

    Source: Chattopadhay et al., "Grad-CAM++", WACV 2018, equations 10 and 19.
    """

    def _weights(self, a: Array, g: Array) -> Array:
        whole = a.sum((2, 3), keepdims=True)
        shares = g**2 / (2 * g**2 + whole * g**3 + 1e-6)
        made: Array = (np.where(g != 0, shares, 0) * np.maximum(g, 0)).sum((2, 3))
        return made


class XGradCAM(_Cam):
    """As `GradCAM`, with w_k = sum(G_k A_k) / sum(A_k)

    Args:
        model, target_layers, reshape_transform: as of `GradCAM`.

    Source: Fu et al., "Axiom-based Grad-CAM", BMVC 2020.
    """

    def _weights(self, a: Array, g: Array) -> Array:
        made: Array = (g * a).sum((2, 3)) / (a.sum((2, 3)) + _TINY)
        return made


class HiResCAM(_Cam):
    """map = relu(sum_k G_k A_k), each place with its own gradient

    Args:
        model, target_layers, reshape_transform: as of `GradCAM`.

    Source: Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations", 2020.
    """

    def _map(self, a: Array, g: Array, x: Tensor, targets: Targets) -> Array:
        made: Array = (g * a).sum(1)
        return made


class LayerCAM(_Cam):
    """map = relu(sum_k relu(G_k) A_k), which is sharp in early layers, too

    Args:
        model, target_layers, reshape_transform: as of `GradCAM`.

    Source: Jiang et al., "LayerCAM", TIP 2021.
    """

    def _map(self, a: Array, g: Array, x: Tensor, targets: Targets) -> Array:
        made: Array = (np.maximum(g, 0) * a).sum(1)
        return made


class EigenCAM(_Cam):
    """map = the maps along their first principal direction, whatever the class

    The direction is turned so that it goes with the maps' mean.

    Args:
        model, target_layers, reshape_transform: as of `GradCAM`.

    Source: Muhammad and Yeasin, "Eigen-CAM", IJCNN 2020.
    """

    def _map(self, a: Array, g: Array, x: Tensor, targets: Targets) -> Array:
        made = []
        for maps in a:
            rows = maps.reshape(len(maps), -1).T
            rows = rows - rows.mean(0)
            along = rows @ np.linalg.svd(rows, full_matrices=False)[2][0]
            sign = np.sign(along @ rows.mean(1)) or 1.0
            made.append((sign * along).reshape(maps.shape[1:]))
        return np.stack(made)


class ScoreCAM(_Cam):
    """map = relu(sum_k w_k A_k), w the softmax of the scores of the image seen through each map

    A map is stretched to the image's size and to [0, 1], and multiplies it. No gradients, but as
    many forward passes as there are channels.

    Args:
        model, target_layers, reshape_transform: as of `GradCAM`.
        batch_size: how many at a time.

    Source: Wang et al., "Score-CAM", CVPR workshops 2020.
    """

    def __init__(
        self,
        model: Module,
        target_layers: Any = None,
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        batch_size: int = 16,
    ) -> None:
        super().__init__(model, target_layers, reshape_transform)
        self.batch_size = batch_size

    def _map(self, a: Array, g: Array, x: Tensor, targets: Targets) -> Array:
        assert self.outputs is not None
        _, each = scores(self.outputs, targets)
        weights = np.stack([
            self._of_image(maps, image, target)
            for maps, image, target in zip(a, x, each, strict=True)
        ])  # fmt: skip
        made: Array = (weights[:, :, None, None] * a).sum(1)
        return made

    def _of_image(self, maps: Array, image: Tensor, target: Any) -> Array:
        masks = _stretched(maps, side_sizes(self.model, image.unsqueeze(0)))
        place = -1 if is_keras(self.model) else 1
        found = []
        with no_grad():
            for start in range(0, len(masks), self.batch_size):
                part = from_numpy(masks[start : start + self.batch_size]).to(image.dtype)
                seen = self.model(image.unsqueeze(0) * part.unsqueeze(place))
                found.append(_plain(scores(seen, [target] * len(seen))[0]))
        logits = np.concatenate(found)
        shares = np.exp(logits - logits.max())
        made: Array = shares / shares.sum()
        return made


def _plain(t: Tensor) -> Array:
    made: Array = t.detach().to(dtypes.float32).numpy()
    return made


def _grid(shape: Sequence[int]) -> tuple[int, int] | None:
    """The side of a square of patches (N, length, channels), and how many tokens stand before."""
    if len(shape) != 3:
        return None
    for front in (0, 1, 2):
        side = math.isqrt(max(shape[1] - front, 0))
        if side > 1 and side * side == shape[1] - front:
            return side, front
    return None


def _has_places(out: Tensor) -> bool:
    if out.ndim == 4:
        return min(sorted(out.shape[1:])[:2]) > 1 and out.shape[2] > 1
    return _grid(out.shape) is not None


def _last_that_counts(outputs: list[Any]) -> list[Any]:
    """The last result to which a gradient came at its places, not at a token in front alone."""
    for module, out, gradients in reversed(outputs):
        if not gradients:
            continue
        grid = _grid(out.shape)
        front = 0 if grid is None else grid[1]
        if gradients[0][:, front:].any():
            return [(module, out, gradients)]
    return outputs[-1:]


def _stretched(maps: Array, size: tuple[int, int]) -> Array:
    """Maps (N, height, width) from 0 to 1, of another size."""
    t = from_numpy(np.ascontiguousarray(_spread(maps)))
    made: Array = F.interpolate(t.unsqueeze(1), size, mode="bilinear").squeeze(1).numpy()
    return made


def _spread(maps: Array) -> Array:
    """Each map from its least to its greatest value becomes one from 0 to 1."""
    low = maps.min((1, 2), keepdims=True)
    rest = maps - low
    made: Array = (rest / (_TINY + rest.max((1, 2), keepdims=True))).astype(np.float32)
    return made
