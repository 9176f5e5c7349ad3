"""Recurrent networks over packed sequences, and the packing itself, against PyTorch's."""

from __future__ import annotations

from typing import Any

import pytest

import fovea
import fovea.nn as nn
from fovea.errors import ArgumentError, ShapeError
from fovea.nn.utils import rnn
from tests.nn.oracle import close, compare_gradients, rng, torch

theirs_rnn = torch.nn.utils.rnn
LENGTHS = [3, 5, 1, 5]
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "RNN": ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    "GRU": ("GRU", {"bidirectional": True}),
    "LSTM": ("LSTM", {"bidirectional": True, "num_layers": 2, "proj_size": 2}),
    "LSTM batch first": ("LSTM", {"batch_first": True, "bias": False}),
}


def networks(name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(3, 4, **options).double()
    ours = getattr(nn, name)(3, 4, **options).double()
    ours.load_state_dict({k: fovea.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    assert repr(ours) == repr(theirs)
    return ours, theirs


@pytest.mark.parametrize("name", VARIANTS)
def test_packed_like_pytorch(name: str) -> None:
    ours, theirs = networks(*VARIANTS[name])
    x = rng(1).standard_normal((5, 4, 3))
    a, b = fovea.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    p = rnn.pack_padded_sequence(a, LENGTHS, enforce_sorted=False)
    q = theirs_rnn.pack_padded_sequence(b, LENGTHS, enforce_sorted=False)
    (y, s), (z, t) = ours(p), theirs(q)
    mine, other = rnn.pad_packed_sequence(y)[0], theirs_rnn.pad_packed_sequence(z)[0]
    outs = [mine, *(s if isinstance(s, tuple) else (s,))]
    expected = [other, *(t if isinstance(t, tuple) else (t,))]
    for one, two in zip(outs, expected, strict=True):
        close(one, two, "float64")
    ours_leaves = [a, *(p for _, p in sorted(ours.named_parameters()))]
    theirs_leaves = [b, *(p for _, p in sorted(theirs.named_parameters()))]
    compare_gradients(ours_leaves, theirs_leaves, outs, expected, "float64")


def test_packed_data_and_sizes() -> None:
    x = rng(2).standard_normal((5, 4, 2))
    p = rnn.pack_padded_sequence(fovea.tensor(x), LENGTHS, enforce_sorted=False)
    q = theirs_rnn.pack_padded_sequence(torch.tensor(x), LENGTHS, enforce_sorted=False)
    assert p.batch_sizes.tolist() == q.batch_sizes.tolist()
    padded, lengths = rnn.pad_packed_sequence(
        p, batch_first=True, padding_value=7.0, total_length=6
    )
    wanted, sizes = theirs_rnn.pad_packed_sequence(
        q, batch_first=True, padding_value=7.0, total_length=6
    )
    close(padded, wanted, "float64")
    assert lengths.tolist() == sizes.tolist() == LENGTHS


def test_sequences_are_padded_packed_and_unpacked() -> None:
    arrays = [rng(n).standard_normal((n, 2)) for n in (4, 2, 3)]
    ours, theirs = [fovea.tensor(a) for a in arrays], [torch.tensor(a) for a in arrays]
    for options in ({}, {"batch_first": True}, {"padding_value": 2.0, "padding_side": "left"}):
        close(
            rnn.pad_sequence(ours, **options), theirs_rnn.pad_sequence(theirs, **options), "float64"
        )
    back = rnn.unpack_sequence(rnn.pack_sequence(ours, enforce_sorted=False))
    for a, b in zip(back, ours, strict=True):
        assert fovea.equal(a, b)


def test_errors_say_what_does_not_fit() -> None:
    x = fovea.zeros(5, 4, 3)
    with pytest.raises(ArgumentError, match="longest sequence must come first"):
        rnn.pack_padded_sequence(x, LENGTHS)
    with pytest.raises(ShapeError, match="3 features"):
        nn.GRU(3, 4)(fovea.zeros(5, 4, 2))
    with pytest.raises(ShapeError, match="a state must be"):
        nn.GRU(3, 4)(x, fovea.zeros(1, 3, 4))
    with pytest.raises(ArgumentError, match="proj_size"):
        nn.RNNBase("GRU", 3, 4, proj_size=2)
    with pytest.warns(UserWarning, match="one layer"):
        nn.LSTM(3, 4, dropout=0.5)


def test_an_lstm_learns_in_a_captured_step() -> None:
    fovea.manual_seed(0)
    net, out = nn.LSTM(2, 8, batch_first=True), nn.Linear(8, 1)
    optimizer = fovea.optim.Adam([*net.parameters(), *out.parameters()], lr=0.05)
    x = fovea.tensor(rng(3).standard_normal((16, 4, 2)), dtype=fovea.float32)
    target = x.sum((1, 2)).unsqueeze(1)

    @fovea.compile(strict=True)
    def step(x: fovea.Tensor, target: fovea.Tensor) -> fovea.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(out(net(x)[0][:, -1]), target)
        loss.backward()
        optimizer.step()
        return loss.detach()

    losses = [step(x, target).item() for _ in range(60)]
    assert losses[-1] < 0.2 * losses[0]
