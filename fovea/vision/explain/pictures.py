"""Explanations as pictures: heat over an image, maps and filters side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.errors import ShapeError
from fovea.functions.creation import from_numpy
from fovea.nn.module import Module
from fovea.tensorbase import is_tensor
from fovea.vision.explain.features import features, filters
from fovea.vision.explain.looking import is_keras, module_at
from fovea.vision.plots.figures import new_figure

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["overlay", "plot_features", "plot_filters"]

Array = np.ndarray[Any, Any]


def overlay(image: Tensor, heat: Any, alpha: float = 0.5, colors: str = "turbo") -> Tensor:
    """An image with a map of numbers laid over it as colors.

    Args:
        image: (3 or 1, H, W), uint8 or in [0, 1].
        heat: (H, W); its least value is the first color, its greatest the last.
        alpha: how much of the colors is seen.
        colors: the name of one of Matplotlib's color maps.

    Returns:
        uint8 (3, H, W), for ``fovea.vision.utils`` or ``to_pil_image``.

    Raises:
        ShapeError: another size.
        MissingExtraError: Matplotlib is not installed.

    >>> import fovea
    >>> overlay(fovea.zeros(3, 2, 2), fovea.eye(2), alpha=1.0, colors="gray")[0].tolist()
    [[255, 0], [0, 255]]
    """
    values = heat.detach().numpy() if is_tensor(heat) else np.asarray(heat)
    if image.ndim != 3 or tuple(image.shape[1:]) != values.shape:
        raise ShapeError(f"overlay: a map {values.shape} on an image {tuple(image.shape)}.")
    pixels = image.detach().to(dtypes.float32).numpy()
    pixels = pixels if image.dtype.is_floating_point else pixels / 255
    low, high = float(values.min()), float(values.max())
    shares = (values - low) / max(high - low, 1e-12)
    hot = _color_map(colors)(shares)[..., :3].transpose(2, 0, 1)
    mixed = np.clip((1 - alpha) * pixels + alpha * hot, 0, 1)
    return from_numpy((mixed * 255).round().astype(np.uint8))


def plot_features(model: Module, x: Tensor, at: str | Module, channels: int = 32) -> Any:
    """The maps of a layer for the first image of a batch, side by side.

    Args:
        model: a module, or a Keras model.
        x: images as it takes them.
        at: the layer: a path, a Keras layer's name, or a module.
        channels: how many maps at most.

    Returns:
        The Matplotlib figure.

    Raises:
        ShapeError: the layer returns no maps.
        MissingExtraError: Matplotlib is not installed.

    >>> import fovea
    >>> from fovea.vision import models
    >>> net = models.resnet18(num_classes=10)
    >>> len(plot_features(net, fovea.rand(1, 3, 64, 64), "layer1", channels=12).axes)
    12
    """
    out = features(model, x, at)
    if out.ndim != 4:
        raise ShapeError(f"plot_features: what {at!r} returns, {tuple(out.shape)}, are no maps.")
    maps = out[0].to(dtypes.float32).numpy()
    maps = maps.transpose(2, 0, 1) if is_keras(module_at(model, at)) else maps
    title = f"{at}: {len(maps)} maps of {maps.shape[1]} × {maps.shape[2]}"
    return _side_by_side(list(maps[:channels]), title, [str(i) for i in range(len(maps))])


def plot_filters(model: Module, at: str | Module, count: int = 64) -> Any:
    """The filters of a convolution side by side; of 3 channels in color, else the first channel.

    Args:
        model: a module, or a Keras model.
        at: the convolution: a path, a Keras layer's name, or a module.
        count: how many at most.

    Returns:
        The Matplotlib figure.

    Raises:
        ArgumentError: the layer has no filters.
        MissingExtraError: Matplotlib is not installed.

    >>> from fovea.vision import models
    >>> len(plot_filters(models.resnet18(num_classes=10), "conv1", count=16).axes)
    16
    """
    images = filters(model, at).to(dtypes.float32).numpy()
    title = f"{at}: {len(images)} filters of {images.shape[2]} × {images.shape[3]}"
    colored = images.shape[1] == 3
    shown = [f.transpose(1, 2, 0) if colored else f[0] for f in images[:count]]
    return _side_by_side(shown, title, [])


def _side_by_side(images: list[Array], title: str, names: Sequence[str]) -> Any:
    """A figure of small pictures in rows."""
    columns = min(8, max(1, len(images)))
    rows = -(-len(images) // columns)
    figure = new_figure(1.1 * columns + 0.2, 1.15 * rows + 0.5)
    for number, image in enumerate(images):
        axis = figure.add_subplot(rows, columns, number + 1)
        axis.imshow(image, cmap="viridis", interpolation="nearest")
        axis.set_axis_off()
        if names:
            axis.set_title(names[number], fontsize=6, pad=2)
    figure.suptitle(title, x=0.02, ha="left", fontsize=10)
    return figure


def _color_map(name: str) -> Any:
    new_figure(1, 1)  # tells when there is no Matplotlib
    import matplotlib

    return matplotlib.colormaps[name]
