"""Look-ups, single and in bags, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from tests.functions.torch_tables import converted
from tests.nn.oracle import close, compare, rng, torch

TF = torch.nn.functional
ROWS = np.array([3, 1, 1, 4, 0, 2, 2, 2, 3])
OFFSETS = np.array([0, 2, 2, 5, 9])  # an empty bag in the middle, another at the end
MODES = ["sum", "mean", "max"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding_idx", [None, 2, -5])
@pytest.mark.parametrize("last", [False, True])
def test_bags_by_offsets(mode: str, padding_idx: int | None, last: bool) -> None:
    options = {"mode": mode, "padding_idx": padding_idx, "include_last_offset": last}
    compare(
        lambda rows, starts, w: F.embedding_bag(rows, w, starts, **options),
        lambda rows, starts, w: TF.embedding_bag(rows, w, starts, **options),
        ROWS,
        OFFSETS,
        rng().standard_normal((5, 4)),
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (0, 3)])
def test_bags_of_one_size(mode: str, shape: Any) -> None:
    compare(
        lambda rows, w: F.embedding_bag(rows, w, mode=mode),
        lambda rows, w: TF.embedding_bag(rows, w, mode=mode),
        rng().integers(0, 5, shape),
        rng(1).standard_normal((5, 4)),
        grads=0 not in shape,
    )


def test_weighted_bags() -> None:
    for rows, starts in ((ROWS, OFFSETS), (ROWS.reshape(3, 3), None)):
        extra = [] if starts is None else [starts]
        compare(
            lambda r, w, s, *o: F.embedding_bag(r, w, *o, mode="sum", per_sample_weights=s),
            lambda r, w, s, *o: TF.embedding_bag(r, w, *o, mode="sum", per_sample_weights=s),
            rows,
            rng(1).standard_normal((5, 4)),
            rng(2).standard_normal(rows.shape),
            *extra,
        )


@pytest.mark.parametrize("mode", MODES)
def test_bags_of_nothing(mode: str) -> None:
    table = fovea.rand(5, 3).requires_grad_()
    y = F.embedding_bag(fovea.zeros(2, 0, dtype=fovea.int64), table, mode=mode)
    assert y.tolist() == [[0.0] * 3] * 2
    y.sum().backward()
    assert table.grad.tolist() == [[0.0] * 3] * 5


@pytest.mark.parametrize("padding_idx", [None, 2])
def test_gradients_by_frequency(padding_idx: int | None) -> None:
    compare(
        lambda r, w: F.embedding(r, w, padding_idx, scale_grad_by_freq=True),
        lambda r, w: TF.embedding(r, w, padding_idx, scale_grad_by_freq=True),
        ROWS.reshape(3, 3),
        rng().standard_normal((5, 4)),
    )


def test_gradients_of_bags_by_frequency() -> None:
    """As documented; what PyTorch computes for bags on a CPU is something else."""
    compare(
        lambda r, w: F.embedding_bag(r, w, mode="mean", scale_grad_by_freq=True),
        lambda r, w: TF.embedding(r, w, scale_grad_by_freq=True).mean(1),
        ROWS.reshape(3, 3),
        rng().standard_normal((5, 4)),
    )


def test_bags_with_a_norm() -> None:
    weight = rng().standard_normal((5, 4)).astype("float32") * 3
    ours, theirs = fovea.tensor(weight), torch.tensor(weight)
    rows = [[0, 3], [3, 1]]
    close(
        F.embedding_bag(fovea.tensor(rows), ours, max_norm=1.0),
        TF.embedding_bag(torch.tensor(rows), theirs, max_norm=1.0),
        "float32",
    )
    close(ours, theirs, "float32")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "options", [{}, {"padding_idx": 1}, {"include_last_offset": True}, {"max_norm": 0.5}]
)
def test_layers(mode: str, options: Any) -> None:
    torch.manual_seed(0)
    theirs = torch.nn.EmbeddingBag(5, 3, mode=mode, **options)
    ours = fovea.nn.EmbeddingBag(5, 3, mode=mode, **options)
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(converted(dict(theirs.state_dict())))
    y = ours(fovea.tensor(ROWS), fovea.tensor(OFFSETS))
    t = theirs(torch.tensor(ROWS), torch.tensor(OFFSETS))
    close(y, t, "float32")
    y.square().sum().backward(), t.square().sum().backward()
    close(ours.weight.grad, theirs.weight.grad, "float32")
    program = fovea.compile(ours, strict=True)
    for _ in range(2):
        if "max_norm" not in options:
            close(program(fovea.tensor(ROWS), fovea.tensor(OFFSETS)), t, "float32")


def test_from_pretrained() -> None:
    table = fovea.rand(4, 3)
    layer = fovea.nn.EmbeddingBag.from_pretrained(table, mode="sum", padding_idx=-1)
    assert not layer.weight.requires_grad and layer.padding_idx == 3
    assert layer(fovea.tensor([[0, 1, 3]])).tolist() == [(table[0] + table[1]).tolist()]
    assert fovea.nn.EmbeddingBag.from_pretrained(table, freeze=False).weight.requires_grad
    padded = fovea.nn.EmbeddingBag(4, 3, padding_idx=1)
    assert padded.weight[1].tolist() == [0.0] * 3


def test_sparse_gradients_are_dense() -> None:
    for layer in (fovea.nn.Embedding(4, 2, sparse=True), fovea.nn.EmbeddingBag(4, 2, sparse=True)):
        layer(fovea.tensor([[1, 1]])).sum().backward()
        assert layer.weight.grad.shape == (4, 2)


def test_errors() -> None:
    table, rows, starts = fovea.rand(5, 2), fovea.tensor([0, 1]), fovea.tensor([0])
    for message, call in {
        "row 5 is out of range": lambda: F.embedding_bag(fovea.tensor([[5]]), table),
        "or .all. with offsets": lambda: F.embedding_bag(rows, table),
        "bags, n., or": lambda: F.embedding_bag(rows.reshape(1, 2), table, starts),
        "offsets must be 1-D": lambda: F.embedding_bag(rows, table, starts.reshape(1, 1)),
        "mode is 'sum', 'mean' or 'max'": lambda: F.embedding_bag(rows, table, starts, mode="min"),
        "not for mode 'max'": lambda: F.embedding_bag(
            rows, table, starts, mode="max", scale_grad_by_freq=True
        ),
        "for mode 'sum'": lambda: F.embedding_bag(
            rows, table, starts, per_sample_weights=fovea.ones(2)
        ),
        "must have input's shape": lambda: F.embedding_bag(
            rows, table, starts, mode="sum", per_sample_weights=fovea.ones(3)
        ),
        "offsets rise from 0 to at most 2": lambda: F.embedding_bag(rows, table, starts + 1),
        "padding_idx 7 is outside the 5 rows": lambda: fovea.nn.EmbeddingBag(5, 2, padding_idx=7),
    }.items():
        with pytest.raises((ValueError, IndexError), match=message):
            call()


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        (((4, 5), (2, 3)), (2, 12, 9)),
        (((6, 7), 2, 2, 1, 2), (8, 12)),
        ((5, 3, 1, (1, 0), (2, 1)), (2, 18, 9)),
    ],
)
def test_fold(arguments: Any, shape: Any) -> None:
    ours, theirs = fovea.nn.Fold(*arguments), torch.nn.Fold(*arguments)
    assert repr(ours) == repr(theirs)
    compare(ours, theirs, rng().standard_normal(shape))


@pytest.mark.parametrize("arguments", [(2,), ((2, 3), 2, 1, (1, 2)), (1,)])
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (3, 6, 6)])
def test_unfold(arguments: Any, shape: Any) -> None:
    ours, theirs = fovea.nn.Unfold(*arguments), torch.nn.Unfold(*arguments)
    assert repr(ours) == repr(theirs)
    compare(ours, theirs, rng().standard_normal(shape))
