"""Attention against PyTorch: values, gradients, masks, weights, names and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError, DTypeError, ShapeError
from fovea.nn import functional as F
from tests.nn.oracle import Array, close, compare, rng, torch

N, H, L, S, E = 2, 3, 5, 7, 12


def draw(*shape: int, seed: int = 0) -> Array:
    return rng(seed).standard_normal(shape)


def hidden(*shape: int, seed: int = 3) -> Array:
    """Booleans, never true along a whole row."""
    mask = rng(seed).random(shape) < 0.4
    mask[..., 0] = False
    return mask


MASKS: dict[str, Any] = {
    "none": None,
    "bool": ~hidden(L, S),
    "bool, by sample": ~hidden(N, 1, L, S),
    "numbers": draw(N, H, L, S, seed=4),
    "nothing to see": np.arange(S)[None, :] < np.array([3, 0, 1, 7, 2])[:, None],
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("options", [{}, {"scale": 0.3}], ids=str)
def test_scaled_dot_product_attention(mask: str, options: dict[str, Any]) -> None:
    theirs = None if MASKS[mask] is None else torch.tensor(MASKS[mask])

    def reference(q: Any, k: Any, v: Any) -> Any:
        m = theirs.to(q.dtype) if theirs is not None and theirs.is_floating_point() else theirs
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, m, **options)

    def ours(q: Any, k: Any, v: Any) -> Any:
        m = None if MASKS[mask] is None else fovea.tensor(MASKS[mask])
        return F.scaled_dot_product_attention(q, k, v, m, **options)

    compare(ours, reference, draw(N, H, L, 4), draw(N, H, S, 4, seed=1), draw(N, H, S, 6, seed=2))


def test_causal_attention() -> None:
    compare(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True),
        draw(N, H, L, 4), draw(N, H, S, 4, seed=1), draw(N, H, S, 4, seed=2),
    )  # fmt: skip


def test_heads_of_queries_share_keys_and_values() -> None:
    compare(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        draw(N, 6, L, 4), draw(N, 2, S, 4, seed=1), draw(N, 2, S, 4, seed=2),
    )  # fmt: skip


def test_a_mask_of_numbers_gets_a_gradient() -> None:
    compare(
        lambda m, q: F.scaled_dot_product_attention(q, q, q, m),
        lambda m, q: torch.nn.functional.scaled_dot_product_attention(q, q, q, m),
        draw(L, L), draw(N, L, 4, seed=1),
    )  # fmt: skip


def test_dropout_leaves_weights_out() -> None:
    fovea.manual_seed(0)
    q, v = fovea.zeros(1, 4, 2), fovea.ones(1, 400, 1)
    y = F.scaled_dot_product_attention(q, fovea.zeros(1, 400, 2), v, dropout_p=0.5)
    kept = y.numpy().ravel() * 0.5  # what is kept counts twice
    assert (np.abs(kept - 0.5) < 0.15).all()
    assert len(set(kept.tolist())) > 1


def test_errors_of_the_function() -> None:
    x = fovea.zeros(1, L, 4)
    with pytest.raises(ArgumentError, match="mask of its own"):
        F.scaled_dot_product_attention(x, x, x, fovea.zeros(L, L), is_causal=True)
    with pytest.raises(ShapeError, match="must fit"):
        F.scaled_dot_product_attention(x, fovea.zeros(1, L, 5), x)
    with pytest.raises(DTypeError, match="booleans or numbers"):
        F.scaled_dot_product_attention(x, x, x, fovea.zeros(L, L, dtype=fovea.int64))
    with pytest.raises(ShapeError, match="no multiple"):
        F.scaled_dot_product_attention(
            fovea.zeros(3, L, 4), fovea.zeros(2, L, 4), fovea.zeros(2, L, 4), enable_gqa=True
        )


LAYERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch first": {"batch_first": True},
    "no bias": {"bias": False},
    "learned key and value": {"add_bias_kv": True},
    "zeros": {"add_zero_attn": True, "add_bias_kv": True, "batch_first": True},
    "other features": {"kdim": 4, "vdim": 6},
}
CALLS: dict[str, Any] = {
    "plain": {},
    "no weights": {"need_weights": False},
    "weights of each head": {"average_attn_weights": False},
    "padding": {"key_padding_mask": hidden(N, S)},
    "mask": {"attn_mask": hidden(L, S)},
    "masks": {"attn_mask": hidden(N * H, L, S), "key_padding_mask": hidden(N, S, seed=9)},
    "numbers": {"attn_mask": draw(L, S, seed=5), "need_weights": False},
}


def pair(theirs: Any, ours: Any) -> tuple[Any, Any]:
    """Both in float64 with PyTorch's weights."""
    theirs.double()
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.5)
    state = {k: fovea.tensor(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.to(fovea.float64).load_state_dict(state)
    return theirs, ours


def check(theirs: Any, ours: Any, inputs: list[Array], arguments: dict[str, Any]) -> None:
    """Outputs, and gradients of inputs and parameters."""
    a = [torch.tensor(x).requires_grad_() for x in inputs]
    b = [fovea.tensor(x).requires_grad_() for x in inputs]
    expected = theirs(*a, **{k: as_tensor(torch, v) for k, v in arguments.items()})
    found = ours(*b, **{k: as_tensor(fovea, v) for k, v in arguments.items()})
    expected, found = (t if isinstance(t, tuple) else (t,) for t in (expected, found))
    for i, (e, f) in enumerate(zip(expected, found, strict=True)):
        assert (e is None) == (f is None)
        if e is not None:
            close(f, e, "float64", f"output {i}")
    (expected[0] * torch.tensor(draw(*expected[0].shape, seed=8))).sum().backward()
    (found[0] * fovea.tensor(draw(*expected[0].shape, seed=8))).sum().backward()
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        close(y.grad, x.grad, "float64", f"gradient of input {i}")
    parameters = dict(ours.named_parameters())
    for name, p in theirs.named_parameters():
        close(parameters[name].grad, p.grad, "float64", name)


def as_tensor(module: Any, value: Any) -> Any:
    return module.tensor(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("layer", LAYERS)
def test_multihead_attention(layer: str, call: str) -> None:
    options = LAYERS[layer]
    theirs, ours = pair(
        torch.nn.MultiheadAttention(E, H, **options), nn.MultiheadAttention(E, H, **options)
    )
    sizes = (E, options.get("kdim", E), options.get("vdim", E))
    lengths = (L, S, S)
    first = options.get("batch_first", False)
    shapes = [(N, n, f) if first else (n, N, f) for n, f in zip(lengths, sizes, strict=True)]
    check(theirs, ours, [draw(*s, seed=i) for i, s in enumerate(shapes)], CALLS[call])


@pytest.mark.parametrize("call", ["plain", "no weights", "mask"])
def test_multihead_attention_without_a_batch(call: str) -> None:
    theirs, ours = pair(torch.nn.MultiheadAttention(E, H), nn.MultiheadAttention(E, H))
    inputs = [draw(L, E), draw(S, E, seed=1), draw(S, E, seed=2)]
    check(theirs, ours, inputs, CALLS[call])
    padded = {"key_padding_mask": hidden(S)}
    check(*pair(theirs, ours), inputs, padded)


def test_first_values_of_multihead_attention() -> None:
    fovea.manual_seed(0)
    layer = nn.MultiheadAttention(64, 4, add_bias_kv=True)
    bound = (6 / (64 + 192)) ** 0.5  # xavier_uniform of (192, 64)
    weight = layer.in_proj_weight.detach().numpy()  # type: ignore[union-attr]
    assert 0.95 * bound < np.abs(weight).max() <= bound
    assert abs(weight.std() - bound / 3**0.5) < 0.02 * bound
    assert float(layer.in_proj_bias.abs().max()) == 0  # type: ignore[union-attr]
    assert float(layer.out_proj.bias.abs().max()) == 0  # type: ignore[union-attr]
    assert np.abs(layer.out_proj.weight.detach().numpy()).max() <= 1 / 8
    assert float(layer.bias_k.std()) > 0.05  # type: ignore[union-attr]


def test_errors_of_multihead_attention() -> None:
    layer = nn.MultiheadAttention(E, H)
    x = fovea.zeros(L, N, E)
    with pytest.raises(ArgumentError, match="must divide"):
        nn.MultiheadAttention(E, 5)
    with pytest.raises(ArgumentError, match="is missing"):
        layer(x, x, x, is_causal=True)
    with pytest.raises(ShapeError, match="12 features"):
        layer(fovea.zeros(L, N, 4), x, x)
    with pytest.raises(ShapeError, match=r"attn_mask must be \(5, 5\) or \(6, 5, 5\)"):
        layer(x, x, x, attn_mask=fovea.zeros(L, S))
    with pytest.raises(ShapeError, match="all have 2"):
        layer(x, x[0], x)
    with pytest.raises(DTypeError, match="booleans or numbers"):
        layer(x, x, x, fovea.zeros(N, L, dtype=fovea.int32))


@pytest.mark.parametrize("options", [{}, {"norm_first": True, "activation": "gelu"}], ids=str)
@pytest.mark.parametrize("batch_first", [False, True])
def test_transformer_encoder_layer(options: dict[str, Any], batch_first: bool) -> None:
    arguments = {"dropout": 0.0, "batch_first": batch_first, **options}
    theirs, ours = pair(
        torch.nn.TransformerEncoderLayer(E, H, 20, **arguments),
        nn.TransformerEncoderLayer(E, H, 20, **arguments),
    )
    x = draw(N, L, E) if batch_first else draw(L, N, E)
    check(theirs, ours, [x], {"src_mask": hidden(L, L), "src_key_padding_mask": hidden(N, L)})
    check(*pair(theirs.train(), ours.train()), [x], {})


def test_transformer_encoder_layer_refuses_other_activations() -> None:
    with pytest.raises(ArgumentError, match="'relu', 'gelu' or a function"):
        nn.TransformerEncoderLayer(E, H, activation="tanh")


FORWARD: list[dict[str, Any]] = [
    {},
    {"add_bias_kv": True, "add_zero_attn": True},
    {"kdim": 5, "vdim": 7, "bias": False},
]


@pytest.mark.parametrize("options", FORWARD)
@pytest.mark.parametrize("lone", [False, True])
@pytest.mark.parametrize("average", [False, True])
def test_attention_as_a_function(options: Any, lone: bool, average: bool) -> None:
    """``F.multi_head_attention_forward`` of a PyTorch layer's weights, called as PyTorch's is."""
    torch.manual_seed(0)
    layer = torch.nn.MultiheadAttention(6, 2, dtype=torch.float64, **options)
    for p in layer.parameters():
        torch.nn.init.normal_(p)
    names = (
        "in_proj_weight",
        "in_proj_bias",
        "bias_k",
        "bias_v",
        "q_proj_weight",
        "k_proj_weight",
        "v_proj_weight",
    )
    held = {n: getattr(layer, n) for n in names} | {
        "out_proj_weight": layer.out_proj.weight,
        "out_proj_bias": layer.out_proj.bias,
    }
    held = {n: None if t is None else t.detach().numpy() for n, t in held.items()}
    features = (6, options.get("kdim", 6), options.get("vdim", 6))
    arrays = [
        rng(i).standard_normal((n, *(() if lone else (2,)), f))
        for i, (n, f) in enumerate(zip((3, 4, 4), features, strict=True))
    ]
    padding = np.array([False, True, False, False]) if lone else np.eye(2, 4) > 0
    results = []
    for lib in (fovea, torch):
        inputs = [lib.tensor(a).requires_grad_() for a in arrays]
        weights = {
            n: None if a is None else lib.tensor(a).requires_grad_() for n, a in held.items()
        }
        y, w = lib.nn.functional.multi_head_attention_forward(
            *inputs,
            6,
            2,
            add_zero_attn=options.get("add_zero_attn", False),
            dropout_p=0.5,
            training=False,
            key_padding_mask=lib.tensor(padding),
            attn_mask=lib.tensor(np.triu(np.ones((3, 4)), 2) > 0),
            use_separate_proj_weight="kdim" in options,
            average_attn_weights=average,
            **weights,
        )
        ((y * y).sum() + w.square().sum()).backward()
        leaves = [*inputs, *(t for t in weights.values() if t is not None)]
        results.append([y.detach(), w.detach(), *(t.grad for t in leaves)])
    for a, b in zip(*results, strict=True):
        close(a, b, "float64")


def test_attention_as_a_function_with_static_keys() -> None:
    arrays = [
        rng(i).standard_normal(s)
        for i, s in enumerate([(3, 2, 6), (18, 6), (18,), (6, 6), (4, 5, 3), (4, 5, 3)])
    ]

    def call(lib: Any) -> Any:
        def run(x: Any, w: Any, b: Any, o: Any, k: Any, v: Any) -> Any:
            return lib.nn.functional.multi_head_attention_forward(
                x,
                x,
                x,
                6,
                2,
                w,
                b,
                None,
                None,
                False,
                0.0,
                o,
                None,
                static_k=k,
                static_v=v,
                need_weights=False,
            )[0]

        return run

    def ours(*t: Any) -> Any:
        return call(fovea)(*t)

    compare(ours, call(torch), *arrays, dtypes=("float64",), grads=False)
    x = fovea.zeros(3, 2, 6)
    with pytest.raises(ValueError, match="which 4 heads share"):
        fovea.nn.functional.multi_head_attention_forward(
            x, x, x, 6, 4, None, None, None, None, False, 0.0, fovea.zeros(6, 6), None
        )
    with pytest.raises(ValueError, match="weights of projections are missing"):
        fovea.nn.functional.multi_head_attention_forward(
            x, x, x, 6, 2, None, None, None, None, False, 0.0, fovea.zeros(6, 6), None
        )
    with pytest.raises(ValueError, match="attn_mask, which is missing"):
        fovea.nn.functional.multi_head_attention_forward(
            x,
            x,
            x,
            6,
            2,
            None,
            None,
            None,
            None,
            False,
            0.0,
            fovea.zeros(6, 6),
            None,
            is_causal=True,
        )
