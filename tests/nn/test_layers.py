"""Every layer against PyTorch's: print, state, first values, output and gradients."""

from __future__ import annotations

import inspect
import re
import warnings
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn as nn
from tests.nn.module_tables import table
from tests.nn.oracle import Array, close, compare_gradients, flat, rng, torch

IMAGE, SEQUENCE, ROWS = (2, 4, 6, 7), (2, 4, 9), (3, 4)

# name: [(arguments, options, input shape)]
LAYERS: dict[str, list[tuple[tuple[Any, ...], dict[str, Any], tuple[int, ...]]]] = {
    "Identity": [((), {}, ROWS)],
    "Linear": [((4, 5), {}, ROWS), ((4, 5), {"bias": False}, (2, 3, 4))],
    "Conv1d": [
        ((4, 6, 3), {"padding": 1, "stride": 2}, SEQUENCE),
        ((4, 6, 2), {"padding": "same", "padding_mode": "reflect"}, SEQUENCE),
    ],
    "Conv2d": [
        ((4, 6, 3), {}, IMAGE),
        ((4, 6, (3, 2)), {"stride": 2, "padding": (1, 0), "dilation": 2, "groups": 2}, IMAGE),
        ((4, 6, 3), {"padding": "same", "bias": False}, IMAGE),
        ((4, 6, (2, 3)), {"padding": "same", "padding_mode": "circular"}, IMAGE),
        ((4, 6, 3), {"padding": (2, 1), "padding_mode": "replicate"}, IMAGE),
        ((4, 4, 3), {"padding": "valid", "groups": 4}, IMAGE),
    ],
    "ConvTranspose1d": [((4, 6, 3), {"stride": 2, "output_padding": 1}, SEQUENCE)],
    "ConvTranspose2d": [
        ((4, 6, 3), {}, IMAGE),
        ((4, 6, 2), {"stride": 2, "groups": 2, "bias": False}, IMAGE),
        ((4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1, "dilation": 2}, IMAGE),
    ],
    "MaxPool1d": [((2,), {}, SEQUENCE), ((3, 2, 1), {"ceil_mode": True}, SEQUENCE)],
    "MaxPool2d": [
        ((2,), {}, IMAGE),
        ((3, 2, 1), {}, IMAGE),
        (((3, 2),), {"stride": (2, 1), "return_indices": True, "ceil_mode": True}, IMAGE),
    ],
    "AvgPool1d": [((2,), {}, SEQUENCE), ((3, 2, 1), {"count_include_pad": False}, SEQUENCE)],
    "AvgPool2d": [((2,), {}, IMAGE), ((3, 2, 1), {"divisor_override": 4}, IMAGE)],
    "AdaptiveAvgPool1d": [((4,), {}, SEQUENCE)],
    "AdaptiveAvgPool2d": [((1,), {}, IMAGE), (((3, 4),), {}, IMAGE), (((None, 2),), {}, IMAGE)],
    "AdaptiveMaxPool1d": [((4,), {}, SEQUENCE)],
    "AdaptiveMaxPool2d": [((1,), {}, IMAGE), (((3, 4),), {"return_indices": True}, IMAGE)],
    "BatchNorm1d": [((4,), {}, ROWS), ((4,), {"eps": 1e-3, "momentum": None}, SEQUENCE)],
    "BatchNorm2d": [
        ((4,), {}, IMAGE),
        ((4,), {"affine": False}, IMAGE),
        ((4,), {"bias": False, "momentum": 0.3}, IMAGE),
        ((4,), {"track_running_stats": False}, IMAGE),
    ],
    "BatchNorm3d": [((4,), {}, (2, 4, 2, 3, 2))],
    "InstanceNorm1d": [((4,), {}, SEQUENCE)],
    "InstanceNorm2d": [
        ((4,), {}, IMAGE),
        ((4,), {"affine": True, "track_running_stats": True}, IMAGE),
        ((4,), {}, IMAGE[1:]),
    ],
    "InstanceNorm3d": [((4,), {"affine": True}, (2, 4, 2, 3, 2))],
    "LayerNorm": [
        ((4,), {}, ROWS),
        (((6, 7),), {"bias": False}, IMAGE),
        ((7,), {"eps": 0.1}, IMAGE),
    ],
    "GroupNorm": [
        ((2, 4), {}, IMAGE),
        ((4, 4), {"affine": False}, IMAGE),
        ((1, 4), {"bias": False}, ROWS),
    ],
    "CrossMapLRN2d": [((9,), {}, IMAGE), ((8, 0.3, 0.6, 2.0), {}, IMAGE)],
    "LocalResponseNorm": [((2,), {}, IMAGE), ((3, 0.1, 0.6, 2.0), {}, IMAGE)],
    "Dropout": [((0.0,), {}, ROWS)],
    "Dropout1d": [((0.0,), {}, SEQUENCE)],
    "Dropout2d": [((0.0,), {}, IMAGE)],
    "Dropout3d": [((0.0,), {}, (2, 4, 2, 3, 2))],
    "AlphaDropout": [((0.0,), {}, ROWS)],
    "FeatureAlphaDropout": [((0.0,), {}, IMAGE)],
    "ReLU": [((), {}, ROWS), ((True,), {}, ROWS)],
    "ReLU6": [((), {}, ROWS), ((True,), {}, ROWS)],
    "LeakyReLU": [((), {}, ROWS), ((0.2, True), {}, ROWS)],
    "RReLU": [((0.3, 0.3), {}, ROWS)],
    "PReLU": [((), {}, ROWS), ((4,), {"init": 0.1}, IMAGE)],
    "ELU": [((), {}, ROWS), ((0.5, True), {}, ROWS)],
    "CELU": [((), {}, ROWS)],
    "SELU": [((), {}, ROWS), ((True,), {}, ROWS)],
    "GELU": [((), {}, ROWS), (("tanh",), {}, ROWS)],
    "SiLU": [((), {}, ROWS), ((True,), {}, ROWS)],
    "Mish": [((), {}, ROWS)],
    "Hardsigmoid": [((), {}, ROWS)],
    "Hardswish": [((), {}, ROWS)],
    "Hardtanh": [((), {}, ROWS), ((-0.5, 0.7), {"inplace": True}, ROWS)],
    "Hardshrink": [((), {}, ROWS)],
    "Softshrink": [((0.3,), {}, ROWS)],
    "Threshold": [((0.1, 2.0), {}, ROWS)],
    "Softplus": [((), {}, ROWS), ((2.0, 1.0), {}, ROWS)],
    "Sigmoid": [((), {}, ROWS)],
    "Tanh": [((), {}, ROWS)],
    "LogSigmoid": [((), {}, ROWS)],
    "Softsign": [((), {}, ROWS)],
    "Tanhshrink": [((), {}, ROWS)],
    "GLU": [((), {}, ROWS), ((1,), {}, IMAGE)],
    "Softmax": [((1,), {}, ROWS)],
    "LogSoftmax": [((), {"dim": 1}, IMAGE)],
    "Softmin": [((1,), {}, ROWS)],
    "Softmax2d": [((), {}, IMAGE)],
    "Flatten": [((), {}, IMAGE), ((2, 3), {}, IMAGE)],
    "Unflatten": [((1, (2, 2)), {}, IMAGE)],
    "Upsample": [
        ((), {"scale_factor": 2}, IMAGE),
        (((5, 9),), {"mode": "bilinear", "align_corners": True}, IMAGE),
        ((), {"scale_factor": (2, 1.5), "mode": "bicubic"}, IMAGE),
    ],
    "UpsamplingNearest2d": [((), {"scale_factor": 2}, IMAGE)],
    "UpsamplingBilinear2d": [(((9, 8),), {}, IMAGE)],
    "PixelShuffle": [((2,), {}, IMAGE)],
    "PixelUnshuffle": [((2,), {}, (2, 3, 6, 4))],
    "ChannelShuffle": [((2,), {}, IMAGE)],
    "ZeroPad1d": [((2,), {}, SEQUENCE)],
    "ZeroPad2d": [(((1, 0, 2, -1),), {}, IMAGE)],
    "ConstantPad1d": [((2, 1.5), {}, SEQUENCE)],
    "ConstantPad2d": [((1, 1.5), {}, IMAGE)],
    "ReflectionPad1d": [((2,), {}, SEQUENCE)],
    "ReflectionPad2d": [(((1, 0, 2, 3),), {}, IMAGE)],
    "ReplicationPad1d": [(((2, 1),), {}, SEQUENCE)],
    "ReplicationPad2d": [((1,), {}, IMAGE)],
    "CircularPad1d": [((2,), {}, SEQUENCE)],
    "CircularPad2d": [((2,), {}, IMAGE)],
}
NO_GRADIENT = {"ChannelShuffle"}  # PyTorch's has none
CASES = [(name, *case) for name, cases in LAYERS.items() for case in cases]
OTHER = {
    "Bilinear", "Embedding", "CosineSimilarity", "PairwiseDistance",
    "MultiheadAttention", "TransformerEncoderLayer",  # tests/nn/test_attention.py
    "EmbeddingBag", "Fold", "Unfold",  # tests/nn/test_embedding.py
    "AdaptiveLogSoftmaxWithLoss", "SyncBatchNorm",  # tests/nn/test_more_layers.py
    "LinearCrossEntropyLoss",
}  # fmt: skip
LOSSES = {n for n in dir(nn) if n.endswith("Loss") and n != "AdaptiveLogSoftmaxWithLoss"}
TESTED_ELSEWHERE = {"NLLLoss2d", "RNNBase", "RNNCellBase", "TransformerDecoder"} | {
    f"MaxUnpool{n}d" for n in (1, 2, 3)
}
CONTAINERS = {
    "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "Module",
    "DataParallel", "LinearCrossEntropyOptions",
}  # fmt: skip
ALL = sorted(
    n for n in dir(nn) if inspect.isclass(getattr(nn, n)) and n not in ("Parameter", "Buffer")
)


def test_every_layer_is_tested() -> None:
    compared = {name.removeprefix("nn.") for name in table()}
    compared |= TESTED_ELSEWHERE | {n for n in ALL if n.startswith(("Lazy", "Uninitialized"))}
    assert set(ALL) - compared == (set(LAYERS) | OTHER | LOSSES | CONTAINERS) - compared


def pair(name: str, args: tuple[Any, ...], options: dict[str, Any], dtype: str) -> tuple[Any, Any]:
    """The layer in both frameworks, with the same random parameters."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **options).to(getattr(torch, dtype))
    for p in theirs.parameters():
        torch.nn.init.normal_(p)
    ours = getattr(nn, name)(*args, **options).to(getattr(fovea, dtype))
    state = {k: fovea.tensor(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    ours.load_state_dict(state)
    return ours, theirs


def run(ours: Any, theirs: Any, x: Array, dtype: str, name: str) -> None:
    a, b = fovea.tensor(x.astype(dtype)), torch.tensor(x.astype(dtype))
    inputs: tuple[list[Any], list[Any]] = ([], [])
    if name not in NO_GRADIENT:
        inputs = ([a.requires_grad_()], [b.requires_grad_()])
    # In-place layers may not write into leaves.
    out, expected = flat(ours(a * 1)), flat(theirs(b * 1))
    for y, t in zip(out, expected, strict=True):
        close(y, t, dtype)
    if name not in NO_GRADIENT:
        both = [*inputs[0], *ours.parameters()], [*inputs[1], *theirs.parameters()]
        compare_gradients(*both, out, expected, dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "args", "options", "shape"), CASES)
def test_output_gradients_and_buffers(
    name: str, args: Any, options: dict[str, Any], shape: Any, dtype: str
) -> None:
    if name == "Hardsigmoid" or name == "CELU":
        dtype = "float32"  # PyTorch's constants are
    ours, theirs = pair(name, args, options, dtype)
    x = rng().standard_normal(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of padding='same'
        run(ours, theirs, x, dtype, name)
        run(ours.eval(), theirs.eval(), x * 2, dtype, name)
    after = theirs.state_dict()
    for key, value in ours.state_dict().items():
        close(value, after[key], dtype, key)


@pytest.mark.parametrize(("name", "args", "options", "shape"), CASES)
def test_print_and_state(name: str, args: Any, options: dict[str, Any], shape: Any) -> None:
    ours = getattr(nn, name)(*args, **options)
    theirs = getattr(torch.nn, name)(*args, **options)
    assert repr(ours) == repr(theirs)
    mine, expected = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(expected)
    for key, value in mine.items():
        assert tuple(value.shape) == tuple(expected[key].shape)
        assert value.dtype.name == str(expected[key].dtype).removeprefix("torch.")
    assert dict(mine._metadata) == dict(expected._metadata)


@pytest.mark.parametrize("name", [n for n in ALL if n not in CONTAINERS])
def test_docstring_names_every_argument(name: str) -> None:
    layer = getattr(nn, name)
    doc = inspect.getdoc(layer) or ""
    assert ">>>" in doc
    assert "Shapes:" in doc
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", doc, re.DOTALL | re.MULTILINE)
    named = re.findall(r"^    (\w[\w, ]*):", section.group(1), re.MULTILINE) if section else []
    documented = [n.strip() for part in named for n in part.split(",")]
    assert documented == list(inspect.signature(layer).parameters)


# -- first values ------------------------------------------------------------------------------

BIG: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Linear", (300, 200), {}),
    ("Conv1d", (60, 80, 5), {}),
    ("Conv2d", (40, 60, 5), {}),
    ("Conv2d", (64, 256, 3), {"groups": 64}),
    ("ConvTranspose2d", (40, 60, 5), {}),
    ("ConvTranspose1d", (60, 90, 5), {"groups": 3}),
    ("BatchNorm2d", (50,), {}),
    ("LayerNorm", (50,), {}),
    ("GroupNorm", (5, 50), {}),
    ("InstanceNorm2d", (50,), {"affine": True}),
    ("PReLU", (50,), {}),
    ("Embedding", (200, 100), {"padding_idx": 3}),
    ("Bilinear", (40, 30, 20), {}),
]


@pytest.mark.parametrize(("name", "args", "options"), BIG)
def test_first_values_have_pytorchs_distribution(name: str, args: Any, options: Any) -> None:
    fovea.manual_seed(0)
    torch.manual_seed(0)
    ours = getattr(nn, name)(*args, **options).state_dict()
    theirs = getattr(torch.nn, name)(*args, **options).state_dict()
    for key, t in theirs.items():
        a, b = ours[key].double().numpy(), t.double().numpy()
        if a.size > 3 and b.std() > 0:
            assert a.std() == pytest.approx(b.std(), rel=3 / np.sqrt(a.size) + 0.002), key
            assert abs(a.mean() - b.mean()) < 6 * b.std() / np.sqrt(a.size) + 1e-9, key
            if name not in ("Embedding",):  # uniform: the bounds are the same
                assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=40 / a.size), key
        else:
            np.testing.assert_array_equal(a, b, err_msg=key)
    if name == "Embedding":
        assert ours["weight"][3].abs().sum().item() == 0.0


# -- layers with other inputs ------------------------------------------------------------------


def test_transposed_convolution_to_a_given_size() -> None:
    ours, theirs = pair("ConvTranspose2d", (4, 3, 3), {"stride": 2, "padding": 1}, "float64")
    x = rng().standard_normal((1, 4, 5, 6))
    for size in ((9, 12), (1, 3, 10, 11)):
        y = ours(fovea.tensor(x), output_size=size)
        close(y, theirs(torch.tensor(x), output_size=size), "float64")
    with pytest.raises(ValueError, match=r"between \(9, 11\) and \(10, 12\), got \(9, 20\)"):
        ours(fovea.tensor(x), output_size=(9, 20))


def test_two_inputs() -> None:
    r = rng()
    a, b = r.standard_normal((5, 4)), r.standard_normal((5, 4))
    for name, args in (
        ("CosineSimilarity", ()),
        ("PairwiseDistance", (1.0,)),
        ("Bilinear", (4, 4, 3)),
    ):
        ours, theirs = pair(name, args, {}, "float64")
        close(
            ours(fovea.tensor(a), fovea.tensor(b)),
            theirs(torch.tensor(a), torch.tensor(b)),
            "float64",
        )
        assert repr(ours) == repr(theirs)


def test_embedding() -> None:
    options: Any = {"padding_idx": -1}
    ours, theirs = pair("Embedding", (6, 3), options, "float64")
    rows = np.array([[0, 5, 2], [2, 2, 5]])
    y, t = ours(fovea.tensor(rows)), theirs(torch.tensor(rows))
    close(y, t, "float64")
    compare_gradients(list(ours.parameters()), list(theirs.parameters()), [y], [t], "float64")
    assert repr(ours) == repr(theirs) == "Embedding(6, 3, padding_idx=5)"
    table = fovea.rand(4, 2)
    frozen = nn.Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad
    assert fovea.equal(frozen(fovea.tensor([1])), table[1:2])


LOSS_CASES: list[tuple[str, dict[str, Any], str]] = [
    ("CrossEntropyLoss", {}, "labels"),
    ("CrossEntropyLoss", {"weight": True, "label_smoothing": 0.1, "ignore_index": 1}, "labels"),
    ("NLLLoss", {"weight": True}, "labels"),
    ("MSELoss", {}, "same"),
    ("L1Loss", {"reduction": "sum"}, "same"),
    ("SmoothL1Loss", {"beta": 0.5}, "same"),
    ("HuberLoss", {"delta": 0.5}, "same"),
    ("BCELoss", {}, "probability"),
    ("BCEWithLogitsLoss", {"pos_weight": True}, "same"),
    ("KLDivLoss", {"reduction": "batchmean"}, "probability"),
    ("SoftMarginLoss", {}, "sign"),
    ("HingeEmbeddingLoss", {"margin": 0.3}, "sign"),
    ("CosineEmbeddingLoss", {"margin": 0.2}, "pairs"),
    ("MarginRankingLoss", {"margin": 0.2}, "three"),
    ("TripletMarginLoss", {"p": 1.0, "swap": True}, "three"),
]


@pytest.mark.parametrize(("name", "options", "kind"), LOSS_CASES)
def test_losses(name: str, options: dict[str, Any], kind: str) -> None:
    r = rng()
    x, y, z = (r.standard_normal((5, 4)) for _ in range(3))
    arrays = {
        "labels": [x, np.array([0, 3, 1, 1, 2])],
        "same": [x, y],
        "probability": [r.uniform(0.1, 0.9, (5, 4)), r.uniform(0.1, 0.9, (5, 4))],
        "sign": [x, np.sign(y)],
        "pairs": [x, y, np.array([1, -1, 1, 1, -1])],
        "three": [x, y, np.sign(z)] if name == "MarginRankingLoss" else [x, y, z],
    }[kind]
    vector = r.uniform(0.5, 2, 4)

    def made(lib: Any) -> Any:
        given = {k: lib.tensor(vector) if "weight" in k else v for k, v in options.items()}
        return getattr(lib.nn, name)(**given)

    ours, theirs = made(fovea), made(torch)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours) == repr(theirs)
    x1, x2 = fovea.tensor(arrays[0]).requires_grad_(), torch.tensor(arrays[0]).requires_grad_()
    out = ours(x1, *(fovea.tensor(a) for a in arrays[1:]))
    expected = theirs(x2, *(torch.tensor(a) for a in arrays[1:]))
    close(out, expected, "float64")
    compare_gradients([x1], [x2], [out], [expected], "float64")


def test_every_loss_is_tested() -> None:
    compared = {name.removeprefix("nn.") for name in table()} | {"TripletMarginWithDistanceLoss"}
    assert LOSSES - {name for name, _, _ in LOSS_CASES} <= compared


# -- dtypes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("name", "args", "options", "shape"), CASES)
def test_half_precision(
    name: str, args: Any, options: dict[str, Any], shape: Any, dtype: str
) -> None:
    """Output and gradient have the type, and are near those in float32."""
    kind = getattr(fovea, dtype)
    fovea.manual_seed(1)
    layer = getattr(nn, name)(*args, **options).to(kind)
    full = getattr(nn, name)(*args, **options)
    full.load_state_dict(layer.state_dict())
    x = fovea.tensor(rng().standard_normal(shape).astype("float32")).to(kind)
    low, high = x.detach().requires_grad_(), x.float().requires_grad_()
    out, expected = flat(layer(low * 1))[0], flat(full(high * 1))[0]
    assert out.dtype is kind
    near = 0.1 if dtype == "bfloat16" else 0.02
    size = max(1.0, expected.detach().abs().max().item())
    assert (out.detach().float() - expected.detach()).abs().max().item() < near * size
    out.sum().backward()
    expected.sum().backward()
    assert low.grad.dtype is kind
    size = max(1.0, high.grad.abs().max().item())
    assert (low.grad.float() - high.grad).abs().max().item() < 2 * near * size


@pytest.mark.parametrize("name", ["Conv1d", "Conv2d", "Conv3d"])
@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_convolutions_with_another_weight(name: str, mode: str) -> None:
    """``_conv_forward``, which subclasses of PyTorch's convolutions call."""
    sides = int(name[4])
    x = rng().standard_normal((2, 3, *[6] * sides)).astype("f4")
    w = rng(1).standard_normal((4, 3, *[3] * sides)).astype("f4")
    found = []
    for lib in (fovea, torch):
        layer = getattr(lib.nn, name)(3, 4, 3, padding=1, padding_mode=mode)
        y = layer._conv_forward(lib.from_numpy(x), lib.from_numpy(w), None)
        found.append(y.detach().numpy())
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-4)
