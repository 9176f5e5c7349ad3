"""Each network against torchvision's: structure, values and gradients from the same weights."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError, ShapeError
from fovea.vision import models

# Parameters that torchvision's documentation states (for vit_ti_16: timm's).
PARAMETERS = {
    "convnext_base": 88_591_464,
    "convnext_large": 197_767_336,
    "convnext_small": 50_223_688,
    "convnext_tiny": 28_589_128,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    "efficientnet_b5": 30_389_784,
    "efficientnet_b6": 43_040_704,
    "efficientnet_b7": 66_347_960,
    "mobilenet_v2": 3_504_872,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "vgg11_bn": 132_868_840,
    "vit_b_16": 86_567_656,
    "vit_b_32": 88_224_232,
    "vit_h_14": 632_045_800,
    "vit_l_16": 304_326_632,
    "vit_l_32": 306_535_400,
    "vit_ti_16": 5_717_416,
}


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """First values that nobody looks at are not drawn, so that memory is not even touched."""
    for name in dir(nn.init):
        if name.endswith("_") and not name.startswith("_"):
            monkeypatch.setattr(nn.init, name, lambda tensor, *_, **__: tensor)


def reference(torchvision: Any, name: str, **config: Any) -> Any:
    """torchvision's network of that name."""
    if name != "vit_ti_16":
        return torchvision.models.get_model(name, **config)
    image = config.pop("image_size", 224)
    transformer = torchvision.models.VisionTransformer
    return transformer(image, 16, 12, 3, 192, 768, **config)


def facts(state: Any) -> list[tuple[str, tuple[int, ...], str]]:
    return [(k, tuple(v.shape), str(v.dtype).rpartition(".")[2]) for k, v in state.items()]


def structure(model: Any) -> str:
    """What a model prints; PyTorch has a name of its own for the last layer of attention."""
    return repr(model).replace("NonDynamicallyQuantizableLinear", "Linear")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_as_many_as_documented(name: str, undrawn: None) -> None:
    model = models.get_model(name)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_names_and_layers_are_torchvision_s(name: str, torchvision: Any, undrawn: None) -> None:
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        theirs = reference(torchvision, name)
    ours = models.get_model(name)
    assert facts(ours.state_dict()) == facts(theirs.state_dict())
    assert structure(ours) == structure(theirs)


def bottlenecks(module: Any, **config: Any) -> Any:
    """ResNet-50 with fewer blocks."""
    return module.ResNet(module.Bottleneck, [2, 1, 1, 1], **config)


def convnext(module: Any) -> Any:
    """ConvNeXt-T with fewer blocks; blocks count for something."""
    stages = [(96, 192, 1), (192, 384, 1), (384, None, 2)]
    config = {"stochastic_depth_prob": 0.0, "layer_scale": 0.5}
    return module.ConvNeXt([module.CNBlockConfig(*s) for s in stages], **config)


# Networks without anything random in training.
BUILD: dict[str, Any] = {
    "resnet": bottlenecks,
    "convnext": convnext,
    "mobilenet_v2": lambda m: m.mobilenet_v2(dropout=0.0),
    "efficientnet_b0": lambda m: m.efficientnet_b0(dropout=0.0, stochastic_depth_prob=0.0),
    "vit_ti_16": lambda m: m.VisionTransformer(48, 16, 12, 3, 192, 768),
}


def pair(torchvision: Any, build: Any) -> tuple[Any, Any]:
    """torchvision's network and ours in float64, with the same weights, none of them trivial."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    for file in ("convnext", "efficientnet", "mobilenetv2", "resnet", "vision_transformer"):
        names |= vars(getattr(torchvision.models, file))
    theirs = build(SimpleNamespace(**names)).double()
    noise = np.random.default_rng(1)
    state = {}
    for key, value in theirs.state_dict().items():
        array = value.numpy()
        if array.dtype.kind == "f" and (array.ndim < 2 or not array.any()):
            low, high = (0.5, 1.5) if key.endswith("var") else (-0.2, 0.2)
            array += noise.uniform(low, high, array.shape)  # shares theirs' memory
        state[key] = fovea.tensor(array)
    ours = build(models).double()
    ours.load_state_dict(state)
    return theirs, ours


def agree(found: Any, expected: Any, what: str) -> None:
    a, b = found.detach().numpy(), expected.detach().numpy()
    assert a.shape == b.shape, what
    scale = max(float(np.abs(b).max()), 1e-3)  # gradients of 0 are sums that cancel
    assert float(np.abs(a - b).max()) <= 1e-8 * scale, what


@pytest.mark.parametrize("name", BUILD)
def test_a_training_step_and_evaluation_are_torchvision_s(name: str, torchvision: Any) -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = pair(torchvision, BUILD[name])
    x = np.random.default_rng(0).standard_normal((2, 3, 48, 48))
    y = np.array([0, 3])
    expected, found = theirs(torch.from_numpy(x)), ours(fovea.from_numpy(x))
    agree(found, expected, "logits in training")
    torch.nn.functional.cross_entropy(expected, torch.from_numpy(y)).backward()
    nn.functional.cross_entropy(found, fovea.from_numpy(y)).backward()
    gradients = dict(ours.named_parameters())
    for key, parameter in theirs.named_parameters():
        agree(gradients[key].grad, parameter.grad, f"gradient of {key}")
    for key, buffer in theirs.named_buffers():
        agree(ours.get_buffer(key), buffer, key)
    with torch.no_grad(), fovea.no_grad():
        expected = theirs.eval()(torch.from_numpy(x))
        agree(ours.eval()(fovea.from_numpy(x)), expected, "logits in evaluation")


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

    def build(module: Any) -> Any:
        stem = [module.ConvStemConfig(6, 3, 2), module.ConvStemConfig(8, 3, 4)]
        return module.VisionTransformer(
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


FIRST = ["convnext_tiny", "efficientnet_b0", "mobilenet_v2", "resnet50", "vit_ti_16"]


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
    with pytest.raises(ArgumentError, match="multiple of patch_size=16"):
        models.vit_ti_16(image_size=40)
    with pytest.raises(ShapeError, match="images must be 32 × 32"):
        models.VisionTransformer(32, 16, 1, 2, 8, 12)(fovea.zeros(1, 3, 48, 48))
    with pytest.raises(ArgumentError, match="use Bottleneck"):
        models.ResNet(models.BasicBlock, [1, 1, 1, 1], groups=2)
    with pytest.raises(ArgumentError, match="3 booleans"):
        models.resnet50(replace_stride_with_dilation=[True])
