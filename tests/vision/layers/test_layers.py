"""Layers of vision models against timm's: values, gradients and names of weights."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, ShapeError
from fovea.vision import layers
from tests.nn.oracle import compare, rng, torch

IMAGES = (2, 8, 7, 6)
CASES: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("LayerScale", (6, 0.5), {}, IMAGES),
    ("LayerScale2d", (8, 0.5), {}, IMAGES),
    ("LayerNorm2d", (8,), {}, IMAGES),
    ("LayerNorm2d", (8,), {"affine": False, "eps": 0.1}, IMAGES),
    ("Mlp", (6, 9, 4), {}, (3, 5, 6)),
    ("Mlp", (8,), {"use_conv": True, "bias": (True, False)}, IMAGES),
    ("ConvMlp", (8, 5, 3), {}, IMAGES),
    ("GlobalResponseNormMlp", (8, 5, 3), {"use_conv": True}, IMAGES),
    ("GlobalResponseNormMlp", (6, 5), {}, IMAGES),
    ("SEModule", (8,), {}, IMAGES),
    ("SEModule", (8,), {"rd_channels": 3, "add_maxpool": True, "bias": False}, IMAGES),
    ("SqueezeExcite", (8,), {"rd_ratio": 0.5, "gate_layer": "sigmoid"}, IMAGES),
    ("EffectiveSEModule", (8,), {"add_maxpool": True}, IMAGES),
    ("EcaModule", (8,), {}, IMAGES),
    ("EcaModule", (), {"kernel_size": 5}, IMAGES),
    ("SelectAdaptivePool2d", (), {}, IMAGES),
    ("SelectAdaptivePool2d", (), {"pool_type": "fastcatavgmax", "flatten": True}, IMAGES),
    ("SelectAdaptivePool2d", (), {"pool_type": "avgmax", "input_fmt": "NHWC"}, IMAGES),
    ("SelectAdaptivePool2d", (), {"pool_type": "max", "input_fmt": "NHWC", "flatten": True}, IMAGES),
    ("SelectAdaptivePool2d", ((3, 2),), {"pool_type": "catavgmax"}, IMAGES),
    ("SelectAdaptivePool2d", ((3, 2),), {"pool_type": "avgmax", "flatten": True}, IMAGES),
    ("SelectAdaptivePool2d", (), {"pool_type": "", "flatten": True}, IMAGES),
    ("BlurPool2d", (8,), {}, IMAGES),
    ("BlurPool2d", (), {"filt_size": 5, "stride": 1, "pad_mode": "replicate"}, IMAGES),
    ("PatchEmbed", ((6, 4), 2, 3, 5), {}, (2, 3, 6, 4)),
    ("PatchEmbed", (8, 4), {"embed_dim": 6, "dynamic_img_pad": True, "strict_img_size": False,
                            "flatten": False, "bias": False}, (2, 3, 7, 9)),
    ("Conv2dSame", (8, 4, 3), {"stride": 2}, IMAGES),
    ("Conv2dSame", (8, 4, (2, 5)), {"stride": (3, 1), "dilation": 2, "groups": 4, "bias": False}, IMAGES),
    ("ConvNormAct", (8, 5, 3), {"stride": 2, "bias": True}, IMAGES),
    ("ConvNormAct", (8, 5, 3), {"stride": 2, "padding": "same", "apply_act": False}, IMAGES),
    ("ConvNormAct", (8, 8, 5), {"padding": "valid", "groups": 2, "apply_norm": False}, IMAGES),
    ("SeparableConv2d", (8, 5), {"channel_multiplier": 2.0, "bias": True}, IMAGES),
    ("SeparableConvNormAct", (8, 5, 5), {"stride": 2, "padding": "same"}, IMAGES),
]  # fmt: skip


@pytest.fixture(scope="module")
def timm_layers() -> Any:
    from bench.nets.models import torchvision_models

    torchvision_models()  # finds out how torchvision can be imported
    return pytest.importorskip("timm.layers")


@pytest.mark.parametrize(("name", "args", "options", "shape"), CASES)
def test_against_timm(
    timm_layers: Any,
    name: str,
    args: tuple[Any, ...],
    options: dict[str, Any],
    shape: tuple[int, ...],
) -> None:
    ours, theirs = (getattr(lib, name)(*args, **options) for lib in (layers, timm_layers))
    weights = theirs.state_dict()
    for key, value in weights.items():
        if value.is_floating_point():
            drawn = torch.from_numpy(rng(len(key)).uniform(0.2, 1.0, tuple(value.shape)))
            weights[key] = drawn.to(value.dtype)
    theirs.load_state_dict(weights)
    ours.load_state_dict({k: fovea.from_numpy(v.numpy()) for k, v in weights.items()})
    x = rng().normal(size=shape)
    for dtype in ("float32", "float64"):
        ours.to(getattr(fovea, dtype)), theirs.to(getattr(torch, dtype))
        compare(lambda x: ours(x), lambda x: theirs(x), x, dtypes=(dtype,))
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(own.grad.numpy(), other.grad.numpy(), 2e-5, 2e-5)
    compiled = fovea.compile(ours, strict=True)(fovea.tensor(x))
    np.testing.assert_allclose(
        compiled.detach().numpy(), ours(fovea.tensor(x)).detach().numpy(), 1e-6, 1e-8
    )


@pytest.mark.parametrize("name", layers.__all__)
def test_arguments_are_timm_s(timm_layers: Any, name: str) -> None:
    """In the same order and with the same defaults, as far as they go."""
    own = getattr(layers, name)
    theirs = getattr(timm_layers, name, None)
    if theirs is None:
        # Two of them are in modules of timm, not among timm.layers; SPPF is of the YOLO family.
        assert name in {"AdaptiveCatAvgMaxPool2d", "GeMPool2d", "GlobalResponseNorm", "SPPF"}
        return

    def arguments(thing: Any) -> dict[str, Any]:
        call = thing.__init__ if inspect.isclass(thing) else thing
        return {p.name: p.default for p in inspect.signature(call).parameters.values()}

    expected = arguments(theirs)
    found = arguments(own)
    if name in {"to_2tuple", "to_3tuple", "trunc_normal_"}:
        return  # functions made by another one; PyTorch's own initializer
    assert [n for n in expected if n in found] == list(found)
    for key, default in found.items():
        if not inspect.isclass(expected[key]):
            assert expected[key] == default, key


def test_paths_are_dropped(timm_layers: Any) -> None:
    x = fovea.ones(4000, 2, 1)
    for scale, kept in ((True, 1 / 0.7), (False, 1.0)):
        layer = layers.DropPath(0.3, scale)
        y = layer(x).numpy()
        assert (y[:, 0] == y[:, 1]).all() and set(np.unique(y)) == {0.0, np.float32(kept)}
        assert abs((y == 0).mean() - 0.3) < 0.05
        assert layer.eval()(x) is x
    assert repr(layer) == repr(timm_layers.DropPath(0.3))
    assert not layers.drop_path(x, 1.0, True).any()


@pytest.mark.parametrize("prefix", [0, 1, 2])
@pytest.mark.parametrize(("old", "new"), [((4, 4), (7, 5)), ((4, 4), (4, 4)), ((6, 2), (3, 4))])
@pytest.mark.parametrize("options", [{}, {"interpolation": "bilinear", "antialias": False}])
def test_positions(
    timm_layers: Any, prefix: int, old: Any, new: Any, options: dict[str, Any]
) -> None:
    x = rng().normal(size=(1, prefix + old[0] * old[1], 3)).astype(np.float32)
    options = {"num_prefix_tokens": prefix, "old_size": old, **options}
    compare(
        lambda x: layers.resample_abs_pos_embed(x, new, **options),
        lambda x: timm_layers.resample_abs_pos_embed(x, list(new), **options),
        x,
        dtypes=("float32",),
    )


def test_generalized_means() -> None:
    x = rng().uniform(0.1, 1, IMAGES)
    layer = layers.GeMPool2d(flatten=True).double()
    compare(
        lambda x: layer(x),
        lambda x: (x**3).mean((2, 3)) ** (1 / 3),
        x,
        dtypes=("float64",),
    )
    assert layer.p.grad is not None and layers.GeMPool2d()(fovea.tensor(x)).shape == (2, 8, 1, 1)
    nearly_max = layers.GeMPool2d(p=200.0, flatten=True).double()(fovea.tensor(x)).detach().numpy()
    np.testing.assert_allclose(nearly_max, x.max((2, 3)), rtol=0.03)


def test_helpers(timm_layers: Any) -> None:
    for v in range(1, 70):
        for options in ({}, {"divisor": 4}, {"min_value": 16}, {"round_limit": 0.0}):
            assert layers.make_divisible(v, **options) == timm_layers.make_divisible(v, **options)
    assert layers.to_2tuple(3) == timm_layers.to_2tuple(3) == (3, 3)
    assert layers.to_3tuple([1, 2]) == timm_layers.to_3tuple([1, 2]) == (1, 2)
    assert layers.to_ntuple(4)("ab") == timm_layers.to_ntuple(4)("ab")


def test_mistakes() -> None:
    with pytest.raises(ShapeError, match="images are 8 x 4, made for 8 x 8"):
        layers.PatchEmbed(8, 4)(fovea.ones(1, 3, 8, 4))
    with pytest.raises(ShapeError, match="no whole patches"):
        layers.PatchEmbed(8, 4, strict_img_size=False)(fovea.ones(1, 3, 8, 7))
    with pytest.raises(ShapeError, match="5 positions are no grid of 2 x 2"):
        layers.resample_abs_pos_embed(fovea.ones(1, 6, 3), (3, 3))
    with pytest.raises(ArgumentError, match="pool_type is one of"):
        layers.SelectAdaptivePool2d(pool_type="mean")
    with pytest.raises(ArgumentError, match="one number a channel"):
        layers.SelectAdaptivePool2d(2)
    with pytest.raises(ArgumentError, match="padding must be 0"):
        layers.Conv2dSame(1, 1, 3, padding=1)
    with pytest.raises(ArgumentError, match="odd"):
        layers.EcaModule(kernel_size=4)
    with pytest.raises(ArgumentError, match="gate_layer is one of"):
        layers.SEModule(8, gate_layer="tanh")
    with pytest.raises(ArgumentError, match="does not blur"):
        layers.BlurPool2d(3, filt_size=1)
