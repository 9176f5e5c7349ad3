"""Each network against torchvision's: structure, values and gradients from the same weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError, ShapeError
from fovea.vision import models
from tests.vision.zoo import (
    agree,
    agree_in_training_and_evaluation,
    facts,
    pair,
    several,
    structure,
)

# Parameters that torchvision's documentation states (for vit_ti_16: timm's).
PARAMETERS = {
    "alexnet": 61_100_840,
    "convnext_base": 88_591_464,
    "convnext_large": 197_767_336,
    "convnext_small": 50_223_688,
    "convnext_tiny": 28_589_128,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    "efficientnet_b5": 30_389_784,
    "efficientnet_b6": 43_040_704,
    "efficientnet_b7": 66_347_960,
    "efficientnet_v2_l": 118_515_272,
    "efficientnet_v2_m": 54_139_356,
    "efficientnet_v2_s": 21_458_488,
    "googlenet": 13_004_888,
    "inception_v3": 27_161_264,
    "maxvit_t": 30_919_624,
    "mnasnet0_5": 2_218_512,
    "mnasnet0_75": 3_170_208,
    "mnasnet1_0": 4_383_312,
    "mnasnet1_3": 6_282_256,
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v3_small": 2_542_856,
    "regnet_x_16gf": 54_278_536,
    "regnet_x_1_6gf": 9_190_136,
    "regnet_x_32gf": 107_811_560,
    "regnet_x_3_2gf": 15_296_552,
    "regnet_x_400mf": 5_495_976,
    "regnet_x_800mf": 7_259_656,
    "regnet_x_8gf": 39_572_648,
    "regnet_y_128gf": 644_812_894,
    "regnet_y_16gf": 83_590_140,
    "regnet_y_1_6gf": 11_202_430,
    "regnet_y_32gf": 145_046_770,
    "regnet_y_3_2gf": 19_436_338,
    "regnet_y_400mf": 4_344_144,
    "regnet_y_800mf": 6_432_512,
    "regnet_y_8gf": 39_381_472,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "resnext50_32x4d": 25_028_904,
    "shufflenet_v2_x0_5": 1_366_792,
    "shufflenet_v2_x1_0": 2_278_604,
    "shufflenet_v2_x1_5": 3_503_624,
    "shufflenet_v2_x2_0": 7_393_996,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "swin_b": 87_768_224,
    "swin_s": 49_606_258,
    "swin_t": 28_288_354,
    "swin_v2_b": 87_930_848,
    "swin_v2_s": 49_737_442,
    "swin_v2_t": 28_351_570,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "vit_b_16": 86_567_656,
    "vit_b_32": 88_224_232,
    "vit_h_14": 632_045_800,
    "vit_l_16": 304_326_632,
    "vit_l_32": 306_535_400,
    "vit_ti_16": 5_717_416,
    "wide_resnet101_2": 126_886_696,
    "wide_resnet50_2": 68_883_240,
}
# Networks that torchvision lacks.
OWN = {
    "lenet5", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet1202",
    "simple_cnn", "unet",
}  # fmt: skip


def reference(torchvision: Any, name: str, **config: Any) -> Any:
    """torchvision's network of that name."""
    if name in ("googlenet", "inception_v3"):  # otherwise they warn
        config["init_weights"] = True
    if name != "vit_ti_16":
        return torchvision.models.get_model(name, **config)
    image = config.pop("image_size", 224)
    transformer = torchvision.models.VisionTransformer
    return transformer(image, 16, 12, 3, 192, 768, **config)


def test_every_network_is_looked_at() -> None:
    assert set(models.list_models(models)) == set(PARAMETERS) | OWN


def test_every_network_of_torchvision_is_here(torchvision: Any) -> None:
    for ours, theirs in (
        (models, torchvision.models),
        (models.segmentation, torchvision.models.segmentation),
        (models.detection, torchvision.models.detection),
    ):
        assert set(torchvision.models.list_models(theirs)) <= set(models.list_models(ours))


@pytest.mark.parametrize("name", PARAMETERS)
def test_names_and_layers_are_torchvision_s(name: str, torchvision: Any, undrawn: None) -> None:
    ours = models.get_model(name)
    assert sum(p.numel() for p in ours.parameters()) == PARAMETERS[name]
    theirs = reference(torchvision, name)
    assert facts(ours.state_dict()) == facts(theirs.state_dict())
    assert structure(ours) == structure(theirs)


# Those that are quick to run.
QUICK = [name for name, count in PARAMETERS.items() if count < 9_000_000]


@pytest.mark.parametrize("name", QUICK)
def test_logits_in_single_precision_are_torchvision_s(name: str, torchvision: Any) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    config: dict[str, Any] = {"num_classes": 11}
    if name.startswith("vit"):
        config["image_size"] = 64
    theirs = reference(torchvision, name, **config).eval()
    ours = models.get_model(name, **config).eval()
    ours.load_state_dict({k: fovea.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32)
    with torch.no_grad(), fovea.no_grad():
        expected, found = theirs(torch.from_numpy(x)).numpy(), ours(fovea.from_numpy(x)).numpy()
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def bottlenecks(m: Any, **config: Any) -> Any:
    """ResNet-50 with fewer blocks."""
    return m.resnet.ResNet(m.resnet.Bottleneck, [2, 1, 1, 1], **config)


def convnext(m: Any) -> Any:
    """ConvNeXt-T with fewer blocks; blocks count for something."""
    stages = [(96, 192, 1), (192, 384, 1), (384, None, 2)]
    config = {"stochastic_depth_prob": 0.0, "layer_scale": 0.5}
    return m.convnext.ConvNeXt([m.convnext.CNBlockConfig(*s) for s in stages], **config)


def efficientnet_v2(m: Any) -> Any:
    """EfficientNetV2 with fewer blocks."""
    fused, other = m.efficientnet.FusedMBConvConfig, m.efficientnet.MBConvConfig
    stages = [fused(1, 3, 1, 24, 24, 2), fused(4, 3, 2, 24, 32, 2), other(4, 3, 2, 32, 40, 2)]
    return m.efficientnet.EfficientNet(stages, 0.0, 0.0, last_channel=64)


def alexnet(m: Any) -> Any:
    """AlexNet with narrow linear layers."""
    model = m.alexnet.AlexNet(7)
    return narrow(m, model, {1: (256 * 6 * 6, 32), 4: (32, 16), 6: (16, 7)})


def vgg(m: Any) -> Any:
    """VGG with few and narrow layers."""
    nn = m.vgg.nn
    features = nn.Sequential(nn.Conv2d(3, 512, 3, stride=4), nn.ReLU(inplace=True))
    model = m.vgg.VGG(features, num_classes=5, init_weights=False)
    return narrow(m, model, {0: (512 * 7 * 7, 32), 3: (32, 16), 6: (16, 5)})


def swin(m: Any) -> Any:
    """A small Swin Transformer, with windows that do not fill the image."""
    net = m.swin_transformer.SwinTransformer
    sizes = ([4, 4], 12, [2, 2, 2], [2, 3, 4], [3, 4])
    return net(*sizes, stochastic_depth_prob=0.0, num_classes=7)


def swin_v2(m: Any) -> Any:
    """A small Swin Transformer V2, with windows that do not fill the image."""
    s = m.swin_transformer
    sizes = ([4, 4], 12, [2, 2, 2], [2, 3, 4], [3, 4])
    kinds = {"block": s.SwinTransformerBlockV2, "downsample_layer": s.PatchMergingV2}
    return s.SwinTransformer(*sizes, stochastic_depth_prob=0.0, num_classes=7, **kinds)


def maxvit(m: Any) -> Any:
    """A small MaxViT."""
    return m.maxvit.MaxVit((48, 48), 8, 2, [8, 12], [2, 1], 4, 0.0, num_classes=7)


def narrow(m: Any, model: Any, linear: dict[int, tuple[int, int]]) -> Any:
    """The model with linear layers of other sizes in its classifier."""
    for place, sizes in linear.items():
        model.classifier[place] = m.vgg.nn.Linear(*sizes)
    return model


# Networks without anything random in training.
BUILD: dict[str, Any] = {
    "alexnet": alexnet,
    "resnet": bottlenecks,
    "convnext": convnext,
    "densenet": lambda m: m.densenet.DenseNet(16, (2, 3, 2), 32, num_classes=7),
    "mobilenet_v2": lambda m: m.mobilenetv2.mobilenet_v2(),
    "mobilenet_v3_large": lambda m: m.mobilenetv3.mobilenet_v3_large(),
    "mobilenet_v3_small": lambda m: m.mobilenetv3.mobilenet_v3_small(
        width_mult=0.5, reduced_tail=True, dilated=True
    ),
    "efficientnet_b0": lambda m: m.efficientnet.efficientnet_b0(stochastic_depth_prob=0.0),
    "efficientnet_v2": efficientnet_v2,
    "googlenet": lambda m: m.googlenet.GoogLeNet(9, transform_input=True, init_weights=True),
    "inception_v3": lambda m: m.inception.Inception3(
        9, aux_logits=False, transform_input=True, init_weights=True
    ),
    "maxvit": maxvit,
    "mnasnet0_5": lambda m: m.mnasnet.mnasnet0_5(),
    "regnet_x_400mf": lambda m: m.regnet.regnet_x_400mf(),
    "regnet_y_400mf": lambda m: m.regnet.regnet_y_400mf(),
    "shufflenet_v2_x0_5": lambda m: m.shufflenetv2.shufflenet_v2_x0_5(),
    "squeezenet1_0": lambda m: m.squeezenet.squeezenet1_0(),
    "squeezenet1_1": lambda m: m.squeezenet.squeezenet1_1(),
    "swin": swin,
    "swin_v2": swin_v2,
    "vgg": vgg,
    "vit_ti_16": lambda m: m.vision_transformer.VisionTransformer(48, 16, 12, 3, 192, 768),
}
SIZES = {
    "alexnet": (64, 64),
    "inception_v3": (107, 107),
    "swin": (54, 54),
    "swin_v2": (54, 54),
}  # others: (48, 48); fmt: skip
# PyTorch rounds the slope of hard sigmoid to float32.
TOLERANCES = {"mobilenet_v3_large": 1e-6, "mobilenet_v3_small": 1e-6}


@pytest.mark.parametrize("name", BUILD)
def test_a_training_step_and_evaluation_are_torchvision_s(name: str, torchvision: Any) -> None:
    theirs, ours = pair(torchvision, BUILD[name])
    size = SIZES.get(name, (48, 48))
    x = np.random.default_rng(0).standard_normal((2, 3, *size))
    tolerance = TOLERANCES.get(name, 1e-8)
    agree_in_training_and_evaluation(theirs, ours, x, np.array([0, 3]), tolerance)


def test_the_auxiliary_classifier_of_inception(torchvision: Any) -> None:
    torch = pytest.importorskip("torch")
    theirs = torchvision.models.Inception3(7, init_weights=False, dropout=0.0)
    ours = models.Inception3(7, init_weights=False, dropout=0.0)
    ours.load_state_dict({k: fovea.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 3, 299, 299)).astype(np.float32)
    with torch.no_grad(), fovea.no_grad():
        expected, found = theirs(torch.from_numpy(x)), ours(fovea.from_numpy(x))
    assert found._fields == expected._fields == ("logits", "aux_logits")
    for one, other in zip(found, expected, strict=True):
        agree(one, other, "logits", 1e-3)


def test_files_of_weights_of_networks_with_auxiliary_classifiers(tmp_path: Path) -> None:
    trained = models.googlenet(num_classes=3)
    fovea.save(trained.state_dict(), tmp_path / "weights.pth")
    plain = models.googlenet(weights=tmp_path / "weights.pth", num_classes=3)
    assert plain.transform_input
    assert plain.aux1 is None
    full = models.googlenet(
        weights=tmp_path / "weights.pth", num_classes=3, aux_logits=True, transform_input=False
    )
    x = fovea.randn(2, 3, 32, 32)
    with fovea.no_grad():
        found, expected = full.eval()(x), trained.eval()(x)
    np.testing.assert_array_equal(several(found)[0].numpy(), several(expected)[0].numpy())


def test_groups_and_dilation_of_resnet(torchvision: Any) -> None:
    torch = pytest.importorskip("torch")
    config = {
        "groups": 8, "width_per_group": 4, "replace_stride_with_dilation": [False, True, True],
    }  # fmt: skip
    theirs, ours = pair(torchvision, lambda m: bottlenecks(m, **config))
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64))
    with torch.no_grad(), fovea.no_grad():
        expected = theirs.eval()(torch.from_numpy(x))
        agree(ours.eval()(fovea.from_numpy(x)), expected, "logits")


def test_stem_of_convolutions_and_representation_of_a_transformer(torchvision: Any) -> None:
    torch = pytest.importorskip("torch")

    def build(m: Any) -> Any:
        config = m.vision_transformer.ConvStemConfig
        stem = [config(6, 3, 2), config(8, 3, 4)]
        return m.vision_transformer.VisionTransformer(
            32, 8, 2, 2, 12, 20, representation_size=5, conv_stem_configs=stem
        )

    theirs, ours = pair(torchvision, build)
    assert structure(ours) == structure(theirs)
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32))
    agree(ours(fovea.from_numpy(x)), theirs(torch.from_numpy(x)), "logits")


def test_weights_of_old_transformers_load() -> None:
    model = models.VisionTransformer(32, 16, 1, 2, 8, 12, num_classes=3)
    state = model.state_dict()
    old = {
        re.sub(r"mlp\.([03])\.", lambda m: f"mlp.linear_{1 + (m[1] == '3')}.", key): value + 1
        for key, value in state.items()
    }
    assert set(old) != set(state)
    model.load_state_dict(old)
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[key].numpy(), key)  # the same memory


FIRST = [
    "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet",
    "inception_v3", "mobilenet_v2",
    "maxvit_t", "mnasnet0_5", "mobilenet_v3_small", "regnet_y_400mf", "resnet50", "shufflenet_v2_x0_5",
    "squeezenet1_0", "swin_t", "swin_v2_t", "vit_ti_16",
]  # fmt: skip


@pytest.mark.parametrize("name", FIRST)
def test_first_values_are_drawn_as_torchvision_draws_them(name: str, torchvision: Any) -> None:
    fovea.manual_seed(0)
    theirs = reference(torchvision, name).state_dict()
    for key, ours in models.get_model(name).state_dict().items():
        expected, found = theirs[key].double().numpy(), ours.numpy().astype(np.float64)
        if ours.numel() >= 2000 or expected.std() == 0:
            assert abs(found.std() - expected.std()) <= 0.1 * expected.std(), key
            assert abs(found.mean() - expected.mean()) <= 0.1 * expected.std() + 1e-12, key


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="rows of expansion"):
        models.MobileNetV2(inverted_residual_setting=[[1, 2, 3]])
    with pytest.raises(ArgumentError, match="stride must be 1 or 2"):
        models.InvertedResidual(8, 8, 3, 1)
    with pytest.raises(ArgumentError, match="no stage"):
        models.EfficientNet([], dropout=0.0)
    with pytest.raises(ArgumentError, match="no stage"):
        models.ConvNeXt([])
    with pytest.raises(ArgumentError, match="no block"):
        models.MobileNetV3([], 8)
    with pytest.raises(ArgumentError, match="blocks must be 3, got 2"):
        models.GoogLeNet(blocks=[nn.Conv2d, nn.Conv2d])
    with pytest.raises(ArgumentError, match="for color images"):
        models.GoogLeNet(transform_input=True, in_channels=1)
    with pytest.raises(ArgumentError, match="inception_blocks must be 7, got 1"):
        models.Inception3(inception_blocks=[nn.Conv2d])
    with pytest.raises(ArgumentError, match="for color images"):
        models.Inception3(transform_input=True, in_channels=1)
    with pytest.raises(ArgumentError, match="alpha must be above 0"):
        models.MNASNet(0.0)
    with pytest.raises(ArgumentError, match="3 numbers and stages_out_channels 5"):
        models.ShuffleNetV2([1], [2])
    with pytest.raises(ArgumentError, match="oup even"):
        models.shufflenetv2.InvertedResidual(8, 9, 2)
    with pytest.raises(ArgumentError, match="w_0 a positive multiple of 8"):
        models.regnet.BlockParams.from_init_params(4, 12, 8.0, 2.0, 8)
    with pytest.raises(ArgumentError, match="shrink to 50 × 50, which windows of 7"):
        models.maxvit_t(input_size=(200, 200))
    with pytest.raises(ArgumentError, match="must be square"):
        models.maxvit_t(input_size=(224, 256))
    with pytest.raises(ShapeError, match="images must be 32 × 32"):
        models.MaxVit((32, 32), 4, 4, [4], [1], 4, 0.0)(fovea.zeros(1, 3, 32, 48))
    with pytest.raises(ArgumentError, match="head_dim must divide the channels, got 3 and 4"):
        models.MaxVit((32, 32), 4, 4, [4], [1], 3, 0.0)
    with pytest.raises(ArgumentError, match="2 depths and 1 num_heads"):
        models.SwinTransformer([4, 4], 8, [1, 1], [2], [2, 2])
    with pytest.raises(ArgumentError, match="num_heads divide dim"):
        models.ShiftedWindowAttention(8, [2, 2], [0, 0], 3)
    with pytest.raises(ArgumentError, match="version must be '1_0' or '1_1', got '2_0'"):
        models.SqueezeNet("2_0")
    with pytest.raises(ArgumentError, match="multiple of patch_size=16"):
        models.vit_ti_16(image_size=40)
    with pytest.raises(ShapeError, match="images must be 32 × 32"):
        models.VisionTransformer(32, 16, 1, 2, 8, 12)(fovea.zeros(1, 3, 48, 48))
    with pytest.raises(ArgumentError, match="use Bottleneck"):
        models.ResNet(models.BasicBlock, [1, 1, 1, 1], groups=2)
    with pytest.raises(ArgumentError, match="3 booleans"):
        models.resnet50(replace_stride_with_dilation=[True])


def test_weights_of_torchvision_s_densenets_load() -> None:
    """Its files have a dot in the names of dense layers, norm.1 for norm1."""
    model = models.DenseNet(4, (2, 1), 8, num_classes=3)
    state = model.state_dict()
    old = {re.sub(r"(norm|conv)([12])\.", r"\1.\2.", key): v + 1 for key, v in state.items()}
    assert "features.denseblock1.denselayer2.norm.1.weight" in old
    expected = {key: v.numpy() + 1 for key, v in state.items()}
    model.load_state_dict(old)
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), expected[key], key)


def test_dense_layers_that_compute_again_give_the_same_gradients() -> None:
    fovea.manual_seed(0)
    plain = models.DenseNet(4, (3, 2), 8, num_classes=3)
    again = models.DenseNet(4, (3, 2), 8, num_classes=3, memory_efficient=True)
    again.load_state_dict(plain.state_dict())
    x = fovea.randn(2, 3, 32, 32)
    for model in (plain, again):
        model(x).square().sum().backward()
    for (key, a), (_, b) in zip(plain.named_parameters(), again.named_parameters(), strict=True):
        np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy(), key)  # type: ignore[union-attr]
