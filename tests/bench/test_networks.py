"""The benchmark's networks are the same ones for every contestant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from bench import weights
from bench.cases import Case, chosen
from bench.flops import operations, per_image
from bench.nets import NETS
from bench.nets.models import build, torchvision_models
from bench.unsupported import Unsupported

# Images as small as each network takes them, and those of torchvision's tables.
SIZES = {"small_cnn": 28, "unet": 32}


def outputs(name: str, size: int) -> tuple[dict[str, Any], Any, Any]:
    """The state, images, and what fovea's network makes of them."""
    net = NETS[name]
    state = weights.state(net, size)
    x = weights.inputs(net, Case("infer", name, 2, size))["x"]
    model = build(net, size, "fovea").eval()
    model.load_state_dict({k: fovea.from_numpy(v) for k, v in state.items()})
    with fovea.no_grad():
        return state, x, model(fovea.from_numpy(x)).numpy()


def agree(found: Any, expected: Any) -> None:
    assert found.shape == expected.shape
    distance = np.linalg.norm((found - expected).ravel())
    assert distance <= 1e-4 * np.linalg.norm(expected.ravel())


@pytest.mark.parametrize("name", [n for n in NETS if n not in ("resnet50", "vgg11_bn")])
def test_the_description_over_keras_is_fovea_s_network(name: str) -> None:
    keras = pytest.importorskip("keras")
    from bench.nets.keras_layers import keras_model

    size = SIZES.get(name, 32)
    state, x, expected = outputs(name, size)
    model, layers = keras_model(keras, NETS[name], state, size)
    found = keras.ops.convert_to_numpy(model(x.transpose(0, 2, 3, 1), training=False))
    agree(found.transpose(0, 3, 1, 2) if NETS[name].dense else found, expected)
    for parameter in (NETS[name].first, NETS[name].last):
        np.testing.assert_array_equal(layers.kernel_of(parameter), state[parameter])


@pytest.mark.parametrize("name", ["small_cnn", "resnet18", "vgg11_bn", "vit_ti_16", "unet"])
def test_pytorch_s_network_is_fovea_s(name: str) -> None:
    torch = pytest.importorskip("torch")
    if NETS[name].model not in ("", "unet"):
        try:
            torchvision_models()
        except Unsupported as reason:
            pytest.skip(str(reason))
    size = SIZES.get(name, 32)
    state, x, expected = outputs(name, size)
    model = build(NETS[name], size, "torch").eval()
    model.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    with torch.no_grad():
        agree(model(torch.from_numpy(x)).numpy(), expected)


def test_the_description_over_jax_is_fovea_s_network() -> None:
    pytest.importorskip("jax")
    from bench.nets.jax_layers import JaxLayers, split_state

    for name in ("small_cnn", "resnet18"):
        size = SIZES.get(name, 32)
        state, x, expected = outputs(name, size)
        layers = JaxLayers(*split_state(state), training=False)
        agree(np.asarray(NETS[name].describe(layers, x.transpose(0, 2, 3, 1))), expected)


@pytest.mark.parametrize(
    ("name", "billions"),  # of multiply-adds, as torchvision's documentation states them
    [("resnet18", 1.814), ("mobilenet_v2", 0.301), ("efficientnet_b0", 0.386),
     ("resnet50", 4.089), ("convnext_tiny", 4.456)],
)  # fmt: skip
def test_operations(name: str, billions: float) -> None:
    forward, first = per_image(name, 224)
    assert forward / 2e9 == pytest.approx(billions, abs=6e-4)
    assert operations(Case("infer", name, 3, 224)) == 3 * forward
    assert operations(Case("train", name, 2, 224)) == 2 * (3 * forward - first)


def test_operations_of_attention() -> None:
    forward, first = per_image("vit_ti_16", 32)
    length, width = 5, 192
    block = length * width * (4 * width + 2 * length + 8 * width)
    assert first == 2 * 4 * width * 3 * 16 * 16
    assert forward == first + 2 * (12 * block + width * 1000)


def test_chosen_cases() -> None:
    assert list(chosen("infer", ["resnet18"])) == [
        Case("infer", "resnet18", 1, 224), Case("infer", "resnet18", 16, 224),
    ]  # fmt: skip
    cases = list(chosen("train", ["unet"], [1, 2], [64], ["float32", "bfloat16"], [1, 2]))
    assert len(cases) == 8 and len(set(cases)) == 8
    assert str(cases[0]) == "unet 1×64² float32, 1 thread"
    assert {case.net for case in chosen("train")} == set(NETS)


def test_weights_are_drawn_alike_each_time() -> None:
    one, two = (weights.state(NETS["unet"], 32) for _ in range(2))
    assert all((one[name] == two[name]).all() for name in one)
    assert one["stem.1.running_var"].min() > 0
    assert all(value.std() > 0 for value in one.values() if value.dtype == np.float32)
