"""What errors say, word for word: the summary, the tensors, the layer, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import fovea
import fovea.nn as nn
import fovea.nn.functional as F

ones = fovea.ones

CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "conv2d channels": (
        lambda: nn.Sequential(nn.Conv2d(4, 64, 7))(ones(8, 3, 32, 32)),
        """
        conv2d: x has 3 channels, weight expects 4.
          x       float32 (8, 3, 32, 32)  N C H W
          weight  float32 (64, 4, 7, 7)  O I H W
          at      0 (LINE)
          fix     Conv2d(in_channels=3, ...) or feed 4 channels
        """,
    ),
    "conv2d small image": (
        lambda: F.conv2d(ones(1, 3, 4, 4), ones(2, 3, 5, 3), padding=0, dilation=(1, 2)),
        """
        conv2d: a kernel of 5 x 5 does not fit an image of 4 x 4 (with its padding).
          image    4 x 4
          kernel   (5, 3), dilation (1, 2)
          padding  (0, 0, 0, 0)
          at       LINE
          fix      feed a larger image, pad more, or use a smaller kernel
        """,
    ),
    "conv2d rank": (
        lambda: F.conv2d(ones(3, 4), ones(2, 3, 1, 1)),
        """
        conv2d: x must be an image batch (N, C, H, W), got float32 (3, 4).
          at  LINE
        """,
    ),
    "conv2d dtype": (
        lambda: F.conv2d(ones(1, 3, 4, 4), ones(2, 3, 1, 1, dtype=fovea.float64)),
        """
        conv2d: inputs have dtypes float32, float64; they must be equal.
          x       float32 (1, 3, 4, 4)
          weight  float64 (2, 3, 1, 1)
          at      LINE
          fix     x.to(fovea.float64), or the module's .to(fovea.float32)
        """,
    ),
    "conv2d integers": (
        lambda: F.conv2d(fovea.ones(1, 3, 4, 4, dtype=fovea.int64), ones(2, 3, 1, 1)),
        """
        conv2d: x must be floating point, got int64 (1, 3, 4, 4).
          at   LINE
          fix  x.float()
        """,
    ),
    "conv2d stride": (
        lambda: F.conv2d(ones(1, 3, 4, 4), ones(2, 3, 1, 1), stride=0),
        """
        conv2d: stride must be positive integers, got (0, 0).
          at  LINE
        """,
    ),
    "conv2d argument": (
        lambda: F.conv2d(ones(1, 3, 4, 4), ones(2, 3, 1, 1), stride=(1, 2, 3)),
        """
        conv2d: stride must be an integer or 2 of them, got (1, 2, 3).
          at  LINE
        """,
    ),
    "conv2d groups": (
        lambda: nn.Conv2d(3, 4, 1, groups=2),
        """
        Conv2d: groups=2 must divide in_channels=3 and out_channels=4.
          at   LINE
          fix  groups=1 divides both
        """,
    ),
    "conv2d same": (
        lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"),
        """
        Conv2d: padding='same' needs stride 1, got (2, 2).
          at   LINE
          fix  give the padding as a number
        """,
    ),
    "conv2d mode": (
        lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"),
        """
        Conv2d: padding_mode must be one of zeros, reflect, replicate, circular, got 'mirror'.
          at  LINE
        """,
    ),
    "conv_transpose2d": (
        lambda: nn.ConvTranspose2d(4, 2, 3)(ones(1, 3, 5, 5)),
        """
        conv_transpose2d: input has 3 channels, weight expects 4.
          input   float32 (1, 3, 5, 5)
          weight  float32 (4, 2, 3, 3)
          at      LINE
          fix     ConvTranspose2d(in_channels=3, ...)
        """,
    ),
    "linear": (
        lambda: nn.Linear(5, 2)(ones(3, 4)),
        """
        linear: x has 4 features, weight expects 5.
          x       float32 (3, 4)
          weight  float32 (2, 5)  (out, in)
          at      LINE
          fix     Linear(in_features=4, ...) or reshape x
        """,
    ),
    "pool": (
        lambda: nn.MaxPool2d(8)(ones(1, 1, 4, 4)),
        """
        max_pool2d: a window of 8 x 8 does not fit an image of 4 x 4 (with its padding).
          image    4 x 4
          kernel   (8, 8), dilation (1, 1)
          padding  (0, 0, 0, 0)
          at       LINE
          fix      feed a larger image or use a smaller kernel
        """,
    ),
    "pool padding": (
        lambda: nn.AvgPool2d(2, padding=2)(ones(1, 1, 4, 4)),
        """
        avg_pool2d: padding must be at most half of the kernel's reach (2, 2), got (2, 2).
          at  LINE
        """,
    ),
    "batch norm channels": (
        lambda: nn.BatchNorm2d(4)(ones(2, 3, 4, 4)),
        """
        batch_norm: weight has shape (4,), x needs (3,): one number a channel.
          x       float32 (2, 3, 4, 4)
          weight  float32 (4,)
          at      LINE
          fix     a layer that is made for 3 channels
        """,
    ),
    "batch norm rank": (
        lambda: nn.BatchNorm2d(4)(ones(2, 4, 4)),
        """
        BatchNorm2d: expected 4D input, got float32 (2, 4, 4).
          at  LINE
        """,
    ),
    "batch norm of one": (
        lambda: nn.BatchNorm1d(4)(ones(1, 4)),
        """
        batch_norm: training needs more than 1 value a channel, got input of shape (1, 4).
          at   LINE
          fix  feed a larger batch (drop_last=True drops a last batch of 1), or call .eval()
        """,
    ),
    "layer norm": (
        lambda: nn.LayerNorm(5)(ones(2, 4)),
        """
        layer_norm: input must end in dimensions (5,), got (2, 4).
          input  float32 (2, 4)
          at     LINE
          fix    LayerNorm([4])
        """,
    ),
    "group norm": (
        lambda: F.group_norm(ones(2, 4, 3), 3),
        """
        group_norm: num_groups=3 does not divide 4 channels.
          at  LINE
        """,
    ),
    "softmax": (
        lambda: F.softmax(ones(2, 3), dim=2),
        """
        softmax: dimension 2 is out of range for a tensor of 2 dimensions (expected -2 to 1).
          at  LINE
        """,
    ),
    "loss shapes": (
        lambda: nn.MSELoss()(ones(4, 1), ones(4)),
        """
        mse_loss: input and target have different shapes.
          input   float32 (4, 1)
          target  float32 (4,)
          at      LINE
          fix     target lacks a dimension: target.reshape(input.shape) gives it the same
        """,
    ),
    "label": (
        lambda: nn.CrossEntropyLoss()(ones(3, 10), fovea.tensor([1, 10, 2])),
        """
        cross_entropy: label 10 at position 1 is none of 10 classes.
          labels   int64 (3,)
          classes  10: 0 to 9
          at       LINE
          fix      give the model 11 outputs
        """,
    ),
    "negative label": (
        lambda: nn.CrossEntropyLoss()(ones(3, 10), fovea.tensor([1, -1, 2])),
        """
        cross_entropy: label -1 at position 1 is none of 10 classes.
          labels   int64 (3,)
          classes  10: 0 to 9
          at       LINE
          fix      labels count from 0; pass ignore_index=-1 to skip such rows
        """,
    ),
    "target shape": (
        lambda: nn.CrossEntropyLoss()(ones(3, 10), fovea.zeros(3, 1, dtype=fovea.int64)),
        """
        cross_entropy: for input (3, 10) target must have shape (3,), got (3, 1).
          input   float32 (3, 10)
          target  int64 (3, 1)
          at      LINE
          fix     target.reshape((3,))
        """,
    ),
    "dropout": (
        lambda: nn.Dropout(1.5),
        """
        Dropout: the probability must lie in [0, 1], got 1.5.
          at  LINE
        """,
    ),
    "gelu": (
        lambda: F.gelu(ones(2), "erf"),
        """
        gelu: approximate must be 'none' or 'tanh', got 'erf'.
          at  LINE
        """,
    ),
    "embedding": (
        lambda: nn.Embedding(4, 2)(fovea.tensor([4])),
        """
        embedding: row 4 is out of range for 4 rows.
          place  (0,)
          rows   4: 0 to 3
          at     LINE
          fix    4 rows are too few: 5 are needed
        """,
    ),
    "pixel shuffle": (
        lambda: nn.PixelShuffle(2)(ones(1, 6, 2, 2)),
        """
        pixel_shuffle: the channels of (..., C, H, W) must be a multiple of 4.
          input  float32 (1, 6, 2, 2)
          at     LINE
        """,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_text(name: str) -> None:
    call, expected = CASES[name]
    with pytest.raises(fovea.errors.FoveaError) as info:
        call()
    text = re.sub(r"test_errors\.py:\d+", "LINE", str(info.value))
    lines = [line[8:] for line in expected.strip("\n").split("\n")]
    assert text == "\n".join(lines).rstrip()
