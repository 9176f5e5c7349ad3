"""Mistakes that people make, and what they are told: layer, line, shapes, what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from fovea import keras, nn
from fovea.errors import FoveaError

X = fovea.ones(2, 3, 8, 8)
COLUMN, ROW = fovea.rand(4, 1), fovea.rand(4)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 10)
        self.words = nn.Embedding(5, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.stem(x).mean((2, 3)))


def fitted(loss: str, y: Any, shape: tuple[int, ...] = (4, 3)) -> Any:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, name="only")])
    model.compile("sgd", loss)
    return model.fit(np.ones(shape, "f"), y, verbose=0)


MISTAKES: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "an array": (
        lambda: Net()(X.numpy()),
        ["conv2d: x must be a tensor, got numpy.ndarray", "stem.0", "fovea.as_tensor(x)"],
    ),
    "an array to a function": (lambda: F.relu(np.ones(2)), ["got numpy.ndarray", "float64 (2,)"]),
    "a list": (lambda: F.relu([1.0]), ["must be a tensor, got list", "make a tensor"]),
    "channels last": (
        lambda: Net()(X.permute(0, 2, 3, 1)),
        ["x has 8 channels, weight expects 3", "float32 (2, 8, 8, 3)", "x.permute(0, 3, 1, 2)"],
    ),
    "bytes": (lambda: Net()(X.to(fovea.uint8)), ["got uint8 (2, 3, 8, 8)", "x.float()", "stem.0"]),
    "doubles": (
        lambda: Net()(X.double()),
        ["weight  float32 (8, 3, 3, 3)", "x.to(fovea.float32)", ".to(fovea.float64)", "stem.0"],
    ),
    "a word too many": (
        lambda: Net().words(fovea.tensor([[1, 2], [0, 7]])),
        ["row 7 is out of range for 5 rows", "place  (1, 1)", "8 are needed"],
    ),
    "a label too many": (
        lambda: F.cross_entropy(Net()(X), fovea.tensor([1, 10])),
        ["label 10 at position 1 is none of 10 classes", "give the model 11 outputs"],
    ),
    "labels of floats": (
        lambda: F.cross_entropy(Net()(X), fovea.tensor([1.0, 2.0])),
        ["must be int64 class labels, got float32 (2,)", "target.long()"],
    ),
    "an index too far": (
        lambda: fovea.ones(2, 3).gather(1, fovea.tensor([[3]])),
        ["index 3 is out of range for dimension 1 of size 3", "from -3 to 2"],
    ),
    "a sequence too wide": (lambda: nn.LSTM(4, 5)(fovea.ones(2, 3, 6)), ["LSTM(input_size=6"]),
    "a query too narrow": (
        lambda: nn.MultiheadAttention(8, 2)(*[fovea.ones(2, 3, 6)] * 3),
        ["query must have 8 features", "query  float32 (3, 2, 6)"],
    ),
    "parts of other sizes": (
        lambda: fovea.cat([fovea.ones(2, 3), fovea.ones(2, 4)]),
        ["(2, 3), (2, 4) differ elsewhere than in dimension 0", "dim=1 joins them"],
    ),
    "numbers to stack": (
        lambda: fovea.stack([ROW, 2.0]),
        ["element 1 must be a tensor, got float", "fovea.as_tensor(x)"],
    ),
    "another number of elements": (
        lambda: fovea.ones(6, 4).view(4, 5),
        ["float32 (6, 4) has 24 elements, shape (4, 5) needs 20", "(4, -1) fits, with 6 for -1"],
    ),
    "no element of that number": (
        lambda: ROW[4],
        ["index 4 is out of range for dimension 0 of size 4", "from -4 to 3"],
    ),
    "many elements as one": (lambda: ROW.item(), ["got float32 (4,)", ".mean()"]),
    "another number of channels": (
        lambda: Net().stem[1](X),
        ["weight has shape (8,), x needs (3,)", "made for 3 channels"],
    ),
    "one-hot vectors of whole numbers": (
        lambda: F.cross_entropy(Net()(X), fovea.ones(2, 10).long()),
        ["target must have shape (2,), got (2, 10)", "target.argmax(1)", "target.float()"],
    ),
    "a batch of other size": (
        lambda: F.cross_entropy(Net()(X), fovea.tensor([1, 2, 3])),
        ["target must have shape (2,), got (3,)", "as many targets as"],
    ),
    "heads that do not divide": (
        lambda: nn.MultiheadAttention(10, 3),
        ["num_heads=3 must divide embed_dim=10", "1, 2, 5, 10"],
    ),
    "images without a batch": (
        lambda: F.interpolate(fovea.ones(3, 4, 4), scale_factor=2, mode="bilinear"),
        ["got 'bilinear'", "float32 (3, 4, 4)", "x.unsqueeze(0)"],
    ),
    "classes too few": (lambda: F.one_hot(fovea.tensor([0, 3]), 3), ["num_classes=4"]),
    "no parameters yet": (
        lambda: fovea.optim.SGD(keras.Sequential([keras.layers.Dense(3)]).parameters(), lr=0.1),
        ["empty parameter list", "a Keras model has none before it is built"],
    ),
    "a label too many in fit": (
        lambda: fitted("sparse_categorical_crossentropy", np.arange(4)),
        ["label 3 at position", "is none of 3 classes"],
    ),
    "labels for one-hot vectors in fit": (
        lambda: fitted("categorical_crossentropy", np.arange(4) % 3),
        ["must have the same shape", "use sparse_categorical_crossentropy"],
    ),
    "wrong features in fit": (
        lambda: fitted("mse", np.ones((4, 3)), (4, 5)),
        ["does not fit the model", "(4, 5)", "(None, 3)"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    f, parts = MISTAKES[name]
    with pytest.raises(FoveaError) as caught:
        f()
    text = str(caught.value)
    for part in parts:
        assert part in text, text
    # The line is one of this file, also where the error came from deep within a loop.
    assert re.search(r"\n  at +.*test_mistakes\.py:\d+", text), text


LOSSES: list[Callable[[Any, Any], Any]] = [
    F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.binary_cross_entropy,
    F.binary_cross_entropy_with_logits, F.kl_div, F.poisson_nll_loss, F.soft_margin_loss,
    F.hinge_embedding_loss, lambda a, b: F.gaussian_nll_loss(a, b, fovea.ones(a.shape)),
]  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("turned", [False, True])
def test_columns_and_rows_are_not_multiplied(loss: Any, turned: bool) -> None:
    a, b = (ROW, COLUMN) if turned else (COLUMN, ROW)
    with pytest.raises(ValueError, match="input and target have different shapes"):
        loss(a, b)
    assert loss(COLUMN, COLUMN).ndim == 0
