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


# -- layers as ops of all steps -------------------------------------------------------------------

MODES: dict[str, tuple[str, dict[str, Any]]] = {
    "LSTM": ("LSTM", {}),
    "GRU": ("GRU", {}),
    "tanh": ("RNN", {}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
}


def pair(name: str, sizes: tuple[int, int], options: dict[str, Any], dtype: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*sizes, **options).to(getattr(torch, dtype))
    ours = getattr(nn, name)(*sizes, **options).to(getattr(fovea, dtype))
    state = {k: fovea.tensor(v.double().numpy()) for k, v in theirs.state_dict().items()}
    ours.load_state_dict(state)
    return ours, theirs


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("shape", "hidden", "options", "dtype"),
    [
        ((3, 1, 2), 1, {"bias": False}, "float64"),
        ((6, 7, 3), 17, {"bidirectional": True, "num_layers": 2}, "float64"),
        ((4, 25, 3), 32, {}, "float32"),  # several tiles and pieces, whole vectors
        ((2, 70, 3), 48, {"bidirectional": True}, "float32"),
        ((3, 0, 2), 5, {}, "float32"),
    ],
)
def test_sizes_like_pytorch(
    mode: str, shape: tuple[int, ...], hidden: int, options: dict[str, Any], dtype: str
) -> None:
    """Values and gradients, with states given and asked for."""
    name, more = MODES[mode]
    ours, theirs = pair(name, (shape[-1], hidden), {**options, **more}, dtype)
    directions = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    arrays = [rng(1).standard_normal(shape)]
    sizes = (directions, shape[1], hidden)
    arrays += [rng(n).standard_normal(sizes) for n in (2, 3)[: 1 + (name == "LSTM")]]
    leaves = [fovea.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
    other = [torch.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
    outs, expected = ([], [])
    for found, net, (x, *states) in ((outs, ours, leaves), (expected, theirs, other)):
        y, final = net(x, tuple(states) if name == "LSTM" else states[0])
        found += [y, *(final if isinstance(final, tuple) else (final,))]
    for a, b in zip(outs, expected, strict=True):
        close(a, b, dtype)
    leaves += [p for _, p in sorted(ours.named_parameters())]
    other += [p for _, p in sorted(theirs.named_parameters())]
    compare_gradients(leaves, other, outs, expected, dtype)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near(mode: str, dtype: str) -> None:
    name, options = MODES[mode]
    half, _ = pair(name, (3, 17), options, dtype)
    wide = getattr(nn, name)(3, 17, **options)
    wide.load_state_dict({k: v.float() for k, v in half.state_dict().items()})
    x = fovea.tensor(rng(4).standard_normal((5, 4, 3)).astype("f4")).to(getattr(fovea, dtype))
    a, b = x.clone().requires_grad_(), x.float().requires_grad_()
    y, z = half(a)[0], wide(b)[0]
    assert y.dtype is x.dtype
    y.float().sum().backward()
    z.sum().backward()
    off = 0.03 if dtype == "bfloat16" else 0.004
    pairs = [(y, z), (a.grad, b.grad), (half.weight_hh_l0.grad, wide.weight_hh_l0.grad)]
    for one, two in pairs:
        assert (one.float() - two).abs().max() <= off * (1 + two.abs().max())


@pytest.mark.parametrize("mode", MODES)
def test_first_and_second_derivatives(mode: str) -> None:
    name, options = MODES[mode]
    fovea.manual_seed(0)
    net = getattr(nn, name)(2, 3, bidirectional=True, **options).double()
    names = [key for key, _ in net.named_parameters()]
    x = fovea.randn(3, 2, 2, dtype=fovea.float64)
    h = fovea.randn(2, 2, 3, dtype=fovea.float64)
    leaves = [t.detach().requires_grad_() for t in (x, h, *net.parameters())]

    def call(x: fovea.Tensor, h: fovea.Tensor, *weights: fovea.Tensor) -> tuple[Any, ...]:
        states = (h, h * 0.5) if name == "LSTM" else h
        given = dict(zip(names, weights, strict=True))
        y, final = fovea.func.functional_call(net, given, (x, states))
        return (y, *(final if isinstance(final, tuple) else (final,)))

    assert fovea.autograd.gradcheck(call, leaves)
    assert fovea.autograd.gradgradcheck(call, leaves)


def test_the_cell_alone_has_gradients() -> None:
    ours, theirs = pair("LSTM", (2, 3), {}, "float64")
    x = rng(5).standard_normal((4, 2, 2))
    a, b = fovea.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    c, d = ours(a)[1][1], theirs(b)[1][1]
    compare_gradients([a], [b], [c], [d], "float64")


def test_samples_of_a_map_are_more_sequences() -> None:
    net = nn.GRU(2, 3).double()
    x = fovea.tensor(rng(6).standard_normal((5, 4, 2, 2)))
    found = fovea.func.vmap(lambda t: net(t)[0])(x)
    for one, two in zip(found, x, strict=True):
        assert fovea.allclose(one, net(two)[0])


@pytest.mark.parametrize("mode", MODES)
def test_autocast_like_pytorch(mode: str) -> None:
    name, options = MODES[mode]
    ours, theirs = pair(name, (3, 4), options, "float32")
    x = rng(7).standard_normal((5, 2, 3)).astype("f4")
    with fovea.autocast("cpu"), torch.autocast("cpu"):
        y, z = ours(fovea.tensor(x))[0], theirs(torch.tensor(x))[0]
    assert y.dtype.name == str(z.dtype).removeprefix("torch.")
    assert (y.float() - fovea.tensor(z.detach().float().numpy())).abs().max() < 0.02


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_results_may_be_changed_in_place(mode: str, bidirectional: bool) -> None:
    name, options = MODES[mode]
    net = getattr(nn, name)(3, 4, bidirectional=bidirectional, **options)
    x = fovea.tensor(rng(9).standard_normal((5, 2, 3)).astype("f4"))
    gradients = []
    for in_place in (False, True):
        net.zero_grad()
        y, _ = net(x)
        y = y.mul_(2.0) if in_place else y * 2.0
        y.square().sum().backward()
        gradients.append([p.grad for p in net.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert fovea.equal(one, other)


def test_a_layer_is_an_op_in_a_program() -> None:
    """However long the sequences are: what is captured, optimized and compiled stays small."""
    net = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    counts = []
    for length in (5, 50):
        step = fovea.compile(lambda x: net(x)[0], strict=True)
        x = fovea.tensor(rng(8).standard_normal((length, 2, 3)).astype("f4"))
        assert fovea.allclose(step(x), net(x)[0])
        nodes = step.programs[-1].graph.nodes
        assert [node.op.name for node in nodes].count("lstm") == 4
        counts.append(len(nodes))
    assert counts[0] == counts[1]
