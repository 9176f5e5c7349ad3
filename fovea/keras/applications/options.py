"""What all models of ``keras.applications`` share: arguments, input, top, and published weights.

A function that makes a model packs the arguments that all have into `Options`, and asks it for the
pieces. `Published` says where weights are; no family reads, checks or fetches by itself.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urljoin

from fovea.errors import ArgumentError
from fovea.keras import config, layers
from fovea.keras.applications.imagenet_utils import obtain_input_shape, validate_activation
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.models import Functional
from fovea.keras.utils.downloads import get_file
from fovea.keras.utils.sources import get_source_inputs

__all__ = ["Options", "Published", "channel_axis", "documented", "published"]

STORE = "https://storage.googleapis.com/tensorflow/keras-applications/"
F = TypeVar("F", bound=Callable[..., Any])


class Published(NamedTuple):
    """A file of weights on the network.

    Attributes:
        address: below `STORE`, or a whole one.
        md5: its digest; None where none is published.
        name: in the cache; by default the last part of the address.
    """

    address: str
    md5: str | None = None
    name: str | None = None

    def fetch(self) -> str:
        """The path of the file in Keras's cache, downloaded unless it is there.

        Raises:
            DownloadError: it cannot be fetched, or is another.
        """
        name = self.name or os.path.basename(self.address)
        address = urljoin(STORE, self.address)
        return get_file(name, address, cache_subdir="models", file_hash=self.md5)


Files = tuple[Published, Published]


def published(stem: str, md5: str | None, md5_bare: str | None, bare: str = "_notop") -> Files:
    """The weights of a model with its top, and without.

    Args:
        stem: the address, but for ``.h5``.
        md5, md5_bare: the digests of both.
        bare: what is added to ``stem`` for the file without a top.

    >>> [file.address for file in published("a/b", None, None)]
    ['a/b.h5', 'a/b_notop.h5']
    """
    return Published(f"{stem}.h5", md5), Published(f"{stem}{bare}.h5", md5_bare)


def channel_axis() -> int:
    """The dimension of a batch of images that holds the channels: 3, or 1 if they come first.

    >>> channel_axis()
    3
    """
    return 1 if config.image_data_format() == "channels_first" else 3


ARGUMENTS = """\
Args:
    include_top: whether the layers that classify are part of the model.
    weights: ``"imagenet"``: those that Keras publishes, downloaded once; the path of a file of
        weights; None: new ones.
    input_tensor: a symbolic tensor to build upon, instead of a new ``Input``.
    input_shape: of one image, without the batch; its channels stand where
        ``keras.config.image_data_format()`` says.
    pooling: what follows the last features in a model without its top: ``"avg"`` or ``"max"``
        over all pixels; None: nothing.
    classes: how many a model with its top tells apart; with ``"imagenet"``, 1000.
    classifier_activation: of the last layer of a model with its top; None gives logits.
    name: of the model.

Raises:
    ArgumentError: an argument that is unknown, or does not fit the others.
    DownloadError: the weights cannot be fetched. FileFormatError: they cannot be read.
    ShapeError: they are those of another model.
"""


def documented(function: F) -> F:
    """Add what the shared arguments mean to the documentation of a function that makes a model.

    An example stays at the end; other arguments are told in the text before.
    """
    text, mark, example = inspect.cleandoc(function.__doc__ or "").partition("\n\n>>>")
    function.__doc__ = f"{text}\n\n{ARGUMENTS.rstrip()}{mark}{example}"
    return function


@dataclass(frozen=True)
class Options:
    """The arguments that all models share, named as in Keras; see `ARGUMENTS`.

    In a function that makes a model::

        options = Options(include_top, weights, input_tensor, input_shape, pooling, classes,
                          classifier_activation, name)
        image = options.image(options.shape(default_size=224, min_size=32))
        x = ...                                             # layers, called on image
        if include_top:
            x = options.classifier(layers.GlobalAveragePooling2D(name="avg_pool")(x))
        else:
            x = options.pooled(x)
        return options.model(image, x, FILES)

    Raises:
        ArgumentError: an unknown pooling; weights that do not exist, have another number of
            classes, or are loaded under an activation other than ``"softmax"`` and None.
    """

    include_top: bool
    weights: Any
    input_tensor: Any
    input_shape: Any
    pooling: str | None
    classes: int
    classifier_activation: Any
    name: str | None

    def __post_init__(self) -> None:
        weights = self.weights
        is_path = isinstance(weights, str | os.PathLike)
        if not (weights in (None, "imagenet") or (is_path and os.path.exists(weights))):
            raise ArgumentError(
                "The `weights` argument should be either `None` (random initialization), "
                "'imagenet' (pre-training on ImageNet), or the path to the weights file to be "
                f"loaded. Received: weights={weights}"
            )
        if self.pretrained and self.include_top and self.classes != 1000:
            raise ArgumentError(
                "If using `weights='imagenet'` with `include_top=True`, `classes` should be 1000. "
                f"Received classes={self.classes}",
                fix="include_top=False, and a Dense layer of your own on top",
            )
        if self.pooling not in (None, "avg", "max"):
            raise ArgumentError(
                f"The `pooling` argument should be `None`, 'avg' or 'max', got {self.pooling!r}."
            )
        if self.include_top:
            validate_activation(self.classifier_activation, weights)

    @property
    def pretrained(self) -> bool:
        """Whether the weights are those that Keras publishes."""
        return bool(self.weights == "imagenet")

    def shape(
        self, default_size: int = 224, min_size: int = 32, require_flatten: bool | None = None
    ) -> tuple[int | None, ...]:
        """The shape of one image; arguments as of ``obtain_input_shape``.

        ``require_flatten`` is ``include_top`` unless given.
        """
        return obtain_input_shape(
            self.input_shape,
            default_size,
            min_size,
            config.image_data_format(),
            self.include_top if require_flatten is None else require_flatten,
            self.weights,
        )

    def image(self, shape: tuple[int | None, ...]) -> KerasTensor:
        """The images that layers are called on: ``input_tensor``, or a new ``Input``.

        Raises:
            ArgumentError: ``input_tensor`` is not symbolic.
        """
        if self.input_tensor is None:
            new: KerasTensor = layers.Input(shape=shape)
            return new
        if not isinstance(self.input_tensor, KerasTensor):
            raise ArgumentError(
                "`input_tensor` must be a symbolic tensor, got "
                f"{type(self.input_tensor).__name__}.",
                fix="pass Input(shape=...), or what layers called on one returned",
            )
        return self.input_tensor

    def classifier(
        self, x: KerasTensor, name: str = "predictions", initializer: Any = "glorot_uniform"
    ) -> Any:
        """Scores of the classes from features (batch, n), by a layer of this name."""
        return layers.Dense(
            self.classes,
            activation=self.classifier_activation,
            kernel_initializer=initializer,
            name=name,
        )(x)

    def pooled(self, x: KerasTensor, average: str | None = None, most: str | None = None) -> Any:
        """Features of a model without its top, pooled as asked by layers of these names."""
        if self.pooling == "avg":
            return layers.GlobalAveragePooling2D(name=average)(x)
        if self.pooling == "max":
            return layers.GlobalMaxPooling2D(name=most)(x)
        return x

    def model(
        self, image: KerasTensor, x: Any, files: Files | None = None, name: str | None = None
    ) -> Functional:
        """The model from images to ``x``, with its weights.

        Args:
            image: what `image` returned.
            x: the output.
            files: the weights for ``"imagenet"``: with the top, and without.
            name: if the caller gave none.
        """
        inputs = image if self.input_tensor is None else get_source_inputs(self.input_tensor)
        model = Functional(inputs, x, name=self.name or name)
        path = self.weights
        if self.pretrained:
            if files is None:
                raise ArgumentError(f"There are no weights of {self.name!r} for ImageNet.")
            path = files[0 if self.include_top else 1].fetch()
        if path is not None:
            model.load_weights(path)
        return model
