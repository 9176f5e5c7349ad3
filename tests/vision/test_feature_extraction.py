"""Features of inner steps against torchvision's extractors."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision import models
from fovea.vision.models.feature_extraction import create_feature_extractor, get_graph_node_names
from tests.vision.test_zoo import vgg
from tests.vision.zoo import agree, facts, pair

torch = pytest.importorskip("torch")


@pytest.fixture
def theirs(torchvision: Any) -> Iterator[Any]:
    """torchvision's functions."""
    from torchvision.models import feature_extraction

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield feature_extraction


def resnet(m: Any) -> Any:
    return m.resnet.ResNet(m.resnet.BasicBlock, [1, 2, 1, 1], num_classes=4)


def vit(m: Any) -> Any:
    return m.vision_transformer.VisionTransformer(32, 8, 2, 2, 12, 20, num_classes=4)


def swin(m: Any) -> Any:
    sizes = ([4, 4], 12, [2, 2], [2, 3], [3, 4])
    return m.swin_transformer.SwinTransformer(*sizes, stochastic_depth_prob=0.0, num_classes=4)


BUILD: dict[str, Any] = {
    "resnet": resnet,
    "vgg": vgg,
    "mobilenet": lambda m: m.mobilenetv3.mobilenet_v3_small(width_mult=0.5),
    "vit": vit,
    "swin": swin,
}
NODES: dict[str, Any] = {
    "resnet": {
        "x": "image", "relu": "relu", "layer1": "one", "layer2.0.add": "sum",
        "layer2.1.relu_1": "two", "layer3.0.downsample": "shortcut", "flatten": "features",
    },
    "vgg": ["features.0", "avgpool", "flatten", "classifier.0"],
    "mobilenet": ["features.0", "features.4.block.0", "features.4.block.2", "features.6", "avgpool"],
    "vit": [
        "conv_proj", "encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_1.ln_1",
        "encoder.layers.encoder_layer_1.add", "encoder.layers.encoder_layer_1.mlp", "encoder.ln",
    ],
    "swin": ["features.0", "features.1.0.attn", "features.1.1.add", "features.2", "features.3", "permute"],
}  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NODES)
def test_what_comes_out_is_what_torchvision_s_returns(
    name: str, training: bool, torchvision: Any, theirs: Any
) -> None:
    networks = pair(torchvision, BUILD[name])
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32))
    other, own = (
        make(net, NODES[name]).train(training)
        for make, net in zip(
            (theirs.create_feature_extractor, create_feature_extractor), networks, strict=True
        )
    )
    assert sorted(facts(own.state_dict())) == sorted(facts(other.state_dict()))
    expected, found = other(torch.tensor(x)), own(fovea.tensor(x))
    assert sorted(found) == sorted(expected)
    for key, value in expected.items():
        agree(found[key], value, key, 1e-7)
    list(expected.values())[-1].sum().backward()
    found[list(expected)[-1]].sum().backward()
    gradients = dict(own.named_parameters())
    for key, parameter in other.named_parameters():
        if parameter.grad is not None:
            agree(gradients[key].grad, parameter.grad, f"gradient of {key}", 1e-5)


# Networks whose functions are called in torchvision's order; in the others layers are the same.
SAME = ("alexnet", "densenet121", "efficientnet_b0", "mnasnet0_5", "mobilenet_v2", "squeezenet1_0")
LAYERS = ("resnet50", "vit_b_32", "convnext_tiny", "shufflenet_v2_x0_5")


@pytest.mark.parametrize("name", SAME + LAYERS)
def test_names_of_steps(name: str, torchvision: Any, theirs: Any, undrawn: None) -> None:
    model, other = models.get_model(name), torchvision.models.get_model(name)
    for own, expected in zip(
        get_graph_node_names(model, suppress_diff_warning=True),
        theirs.get_graph_node_names(other, suppress_diff_warning=True),
        strict=True,
    ):
        assert own[0] == "x" and len(set(own)) == len(own)
        if name in LAYERS:
            called = {each for each, module in model.named_modules() if each}
            expected = [each for each in expected if each in called or each == "flatten"]
            assert len(expected) > 40 and set(expected) <= set(own)
        else:
            assert own == expected


class Twice(nn.Module):
    """Calls a layer and a block twice, and functions in between."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        self.drop = nn.Dropout(0.5)
        self.late = nn.Linear(4, 2)
        self.scale = nn.Parameter(fovea.ones(4) * 2)

    def forward(self, x: Any) -> Any:
        x = self.block(x)
        x = fovea.cat([x[:, :2] * self.scale[:2], x[:, 2:]], 1)
        x = self.block(x + 1)
        if self.training:
            x = self.drop(x)
        return self.late(x)


def test_steps_that_are_taken_twice_and_functions() -> None:
    model = Twice().eval()
    with pytest.warns(UserWarning, match="not those in evaluation"):
        training, evaluation = get_graph_node_names(model)
    assert evaluation == [
        "x", "block.0", "block.1", "getitem", "getitem_1", "mul", "getitem_2", "cat", "add",
        "block.0_1", "block.1_1", "late",
    ]  # fmt: skip
    assert training == [*evaluation[:-1], "drop", "late"] and not model.training
    names = ["block.1", "mul", "add", "block"]
    own = create_feature_extractor(model, names, suppress_diff_warning=True)
    x = fovea.rand(3, 4)
    found = own(x)
    assert list(found) == names  # in their order
    first = model.block(x)
    assert fovea.equal(found["block.1"], first)
    assert fovea.equal(found["mul"], first[:, :2] * 2)
    assert fovea.equal(found["block"], model.block(found["add"]))
    assert [key for key, _ in own.named_parameters()] == ["scale", "block.0.weight", "block.0.bias"]
    assert "late" not in dict(own.named_modules())


def test_steps_of_training_and_of_evaluation() -> None:
    model = Twice()
    own = create_feature_extractor(
        model,
        train_return_nodes={"drop": "y"},
        eval_return_nodes={"block.1_1": "y"},
        suppress_diff_warning=True,
    )
    x = fovea.rand(50, 4)
    assert (own(x)["y"] == 0).any() and not (own.eval()(x)["y"] == 0).any()
    assert not model.training and own.train().training and model.drop.training


def test_a_compiled_extractor_trains_alike() -> None:
    fovea.manual_seed(0)
    model = models.ResNet(models.BasicBlock, [1, 1, 1, 1])
    both = []
    for change in (lambda net: net, fovea.compile):
        own = change(create_feature_extractor(copy.deepcopy(model), ["layer1", "layer2.0.add"]))
        optimizer = fovea.optim.SGD(own.parameters(), lr=0.1)
        x = fovea.ones(2, 3, 32, 32).cumsum(3) / 32
        for _ in range(3):
            found = own(x)
            optimizer.zero_grad()
            sum(each.square().mean() for each in found.values()).backward()
            optimizer.step()
        both.append((found, own.state_dict()))
    assert own.programs
    for a, b in zip(*both, strict=True):
        assert list(a) == list(b)
        for key in a:
            assert fovea.allclose(a[key].float(), b[key].float(), atol=1e-4), key


def test_extractors_are_modules() -> None:
    model = models.get_model("resnet18", small_input=True, num_classes=5)
    own = create_feature_extractor(model, {"layer2.0": "y"})
    x = fovea.rand(1, 3, 16, 16)
    again = copy.deepcopy(own).eval()
    assert not again.training and own.training
    for key, value in own.eval()(x).items():
        assert fovea.equal(again(x)[key], value)
    own.load_state_dict({key: value * 0 for key, value in own.state_dict().items()})
    assert float(model.conv1.weight.abs().sum()) == 0  # shared with the network
    assert not fovea.equal(own(x)["y"], again(x)["y"])
    own.conv1 = nn.Conv2d(1, 64, 3, padding=1)
    assert own.double()(x[:, :1].double())["y"].dtype is fovea.float64
    assert "layer2.1" not in dict(own.named_modules()) and "layer1.1" in dict(own.named_modules())


def test_the_network_itself_is_left_as_it_is() -> None:
    model = models.get_model("mobilenet_v3_small", num_classes=3).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.features.eval()
    fovea.manual_seed(3)
    create_feature_extractor(model, ["features.3"])
    assert float(fovea.rand(1)) == float(fovea.manual_seed(3) and fovea.rand(1))
    assert model.training and not model.features.training
    for key, value in model.state_dict().items():
        assert fovea.equal(value, before[key]), key


class Flagged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = models.get_model("simple_cnn", in_channels=1)

    def forward(self, x: Any, double: bool) -> Any:
        return self.inner(x * 2 if double else x)


def test_further_arguments_and_own_layers() -> None:
    model = Flagged()
    steps = {"leaf_modules": [type(model.inner)]}
    args = {"double": True, "x": fovea.zeros(1, 1, 40, 40)}
    assert get_graph_node_names(model, steps, concrete_args=args)[1] == ["x", "mul", "inner"]
    own = create_feature_extractor(model, ["mul"], concrete_args=args)
    x = fovea.rand(1, 1, 40, 40)
    assert fovea.equal(own(x)["mul"], x * 2)


def test_mistakes_are_told() -> None:
    model = models.get_model("resnet18", num_classes=5)
    with pytest.raises(ArgumentError, match="there is no step 'layer5' in training"):
        create_feature_extractor(model, ["layer5"])
    with pytest.raises(ArgumentError, match="give return_nodes"):
        create_feature_extractor(model)
    with pytest.raises(ArgumentError, match="go together"):
        create_feature_extractor(model, train_return_nodes=["fc"])
    with pytest.raises(ArgumentError, match="does not take"):
        get_graph_node_names(models.VisionTransformer(32, 8, 1, 2, 12, 20), concrete_args={"x": fovea.zeros(1, 3, 30, 30)})  # fmt: skip
