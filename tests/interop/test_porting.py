"""``fovea.port``: weights of PyTorch's and Keras's models in fovea's, with equal outputs."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk
from fovea import nn
from fovea.vision import models

os.environ.setdefault("KERAS_BACKEND", "torch")
torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
NCHW = RNG.standard_normal((2, 3, 32, 32)).astype(np.float32)
NHWC = np.ascontiguousarray(NCHW.transpose(0, 2, 3, 1))


@pytest.fixture
def keras() -> Any:
    return pytest.importorskip("keras")


def trained(model: Any) -> Any:
    """Running statistics as after some training."""
    for m in model.modules():
        if type(m).__name__.startswith("BatchNorm"):
            m.running_mean.uniform_(-0.2, 0.2)
            m.running_var.uniform_(0.5, 1.5)
    return model.eval()


def blocks(lib: Any) -> Any:
    """A network whose layers are made in another order than they are called in."""

    class Net(lib.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.fc = lib.Linear(8 * 14 * 14, 5)
            self.bn = lib.BatchNorm2d(8)
            self.c1 = lib.Conv2d(3, 8, 3, stride=2, padding=1)
            self.dw = lib.Conv2d(8, 8, 3, groups=8)
            self.pw = lib.Conv2d(8, 8, 1)

        def forward(self, x: Any) -> Any:
            x = self.pw(self.dw(self.bn(self.c1(x)).relu()))
            return self.fc(x.flatten(1))

    return Net()


def chain(k: Any) -> Any:
    """The same in Keras: channels last, and another order of pixels before the last layer."""
    L = k.layers  # noqa: N806
    return k.Sequential(
        [
            L.Input((32, 32, 3)),
            L.ZeroPadding2D(((1, 1), (1, 1))),
            L.Conv2D(8, 3, strides=2, name="first"),
            L.BatchNormalization(epsilon=1e-5),
            L.ReLU(),
            L.DepthwiseConv2D(3),
            L.Conv2D(8, 1),
            L.Flatten(),
            L.Dense(5),
        ]
    )


def agrees(report: Any, how: str) -> None:
    assert report.complete and report.agrees and not report.unexpected, str(report)
    assert {m.how for m in report.mapped} == {how}


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_networks_of_torchvision(torchvision: Any, name: str) -> None:
    theirs = trained(getattr(torchvision.models, name)(num_classes=4))
    own = getattr(models, name)(num_classes=4)
    agrees(fovea.port(theirs, own, NCHW), "name")
    state = {f"module.{k}": v for k, v in theirs.state_dict().items()}
    other = getattr(models, name)(num_classes=4)
    report = fovea.port(state, other, strict=True)
    assert report.complete and report.agrees is None and not report.reshaped
    for key, value in theirs.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[key].numpy(), value.numpy())
    assert own.training  # ports run in inference, and leave modes as they were


def test_another_head(torchvision: Any) -> None:
    theirs = torchvision.models.resnet18(num_classes=7)
    own = models.resnet18(num_classes=3)
    head = own.fc.weight.detach().clone()
    report = fovea.port(theirs, own, NCHW)
    assert report.missing == ["fc.weight", "fc.bias"] == report.unexpected
    assert report.agrees is None and fovea.equal(own.fc.weight, head)
    assert "2 missing:\n  fc.weight" in str(report)
    first = own.conv1.weight.detach().clone()
    with pytest.raises(ValueError, match="does not fit the target"):
        fovea.port(torchvision.models.resnet18(num_classes=7), own, strict=True)
    assert fovea.equal(own.conv1.weight, first)  # nothing was changed


def test_pytorch_to_keras_layers() -> None:
    """Found by the order of calls; the linear layer's inputs are put in the other order."""
    report = fovea.port(trained(blocks(torch.nn)), chain(fk), NCHW)
    agrees(report, "order")
    assert {m.target for m in report.reshaped} == {
        "first.kernel", "depthwise_conv2d.kernel", "conv2d.kernel", "dense.kernel",
    }  # fmt: skip


@pytest.mark.parametrize("theirs", [True, False])
def test_keras_to_modules(keras: Any, theirs: bool) -> None:
    front = keras if theirs else fk
    front.utils.clear_session()  # names count from the first again
    source = chain(front)
    source.set_weights(
        [w + 0.1 * np.abs(RNG.standard_normal(w.shape)) for w in source.get_weights()]
    )
    report = fovea.port(source, blocks(nn), NHWC)
    agrees(report, "order")
    assert "fc.weight [5, 1568] <- dense.kernel  (transposed)" in str(report)
    assert "outputs agree" in str(report)


def test_keras_to_keras(keras: Any) -> None:
    for k in (keras, fk):
        k.utils.clear_session()
    agrees(fovea.port(chain(keras), chain(fk), NHWC), "name")
    for _ in range(2):  # names that depend on what was made before
        source, target = chain(keras), chain(fk)
    report = fovea.port(source, target, NHWC)
    assert report.complete and report.agrees


def test_modules_of_other_names() -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8))
            self.body = nn.ModuleList([nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 1)])
            self.head = nn.Linear(8 * 14 * 14, 5)

        def forward(self, x: Any) -> Any:
            x = self.stem(x).relu()
            for layer in self.body:
                x = layer(x)
            return self.head(x.flatten(1))

    agrees(fovea.port(trained(blocks(torch.nn)), Other(), NCHW), "order")


def test_functional_models_and_other_layers(keras: Any) -> None:
    def make(k: Any) -> Any:
        L, i = k.layers, k.Input((16, 16, 3))  # noqa: N806
        inner = k.Sequential([L.SeparableConv2D(6, 3), L.LayerNormalization()])
        x = L.Conv2DTranspose(4, 2, strides=2)(inner(i))
        return k.Model(i, L.Dense(3)(L.GlobalAveragePooling2D()(x)))

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.deep, self.point = nn.Conv2d(3, 3, 3, groups=3, bias=False), nn.Conv2d(3, 6, 1)
            self.norm, self.up = nn.LayerNorm(6, eps=1e-3), nn.ConvTranspose2d(6, 4, 2, stride=2)
            self.head = nn.Linear(4, 3)

        def forward(self, x: Any) -> Any:
            x = self.norm(self.point(self.deep(x)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            return self.head(self.up(x).mean((2, 3)))

    x = RNG.standard_normal((2, 16, 16, 3)).astype(np.float32)
    agrees(fovea.port(make(keras), Own(), x), "order")
    agrees(fovea.port(make(keras), make(fk), x), "order")


def test_words_sequences_and_several_inputs() -> None:
    def make(lib: Any) -> Any:
        class Net(lib.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.words, self.rnn = lib.Embedding(9, 4), lib.LSTM(4, 5, batch_first=True)
                self.out = lib.Linear(5 + 2, 3)

            def forward(self, words: Any, more: Any) -> Any:
                y = self.rnn(self.words(words))[0][:, -1]
                cat = torch.cat if lib is torch.nn else fovea.cat
                return {"scores": self.out(cat([y, more], 1)), "last": y}

        return Net()

    example = (RNG.integers(0, 9, (2, 6)), RNG.standard_normal((2, 2)).astype(np.float32))
    agrees(fovea.port(make(torch.nn), make(nn), example), "name")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_dtypes(dtype: str) -> None:
    source = torch.nn.Linear(3, 2).to(getattr(torch, dtype))
    target = nn.Linear(3, 2)
    fovea.port(source.state_dict(), target, strict=True)
    want = source.weight.detach().float().numpy()
    np.testing.assert_array_equal(target.weight.detach().numpy(), want)
    own = nn.Linear(3, 2).to(getattr(fovea, dtype))
    fovea.port(source, own, strict=True)
    np.testing.assert_array_equal(own.weight.detach().float().numpy(), want)


def test_shapes_that_differ_by_ones() -> None:
    source = {"proj.weight": np.ones((4, 3), "f4"), "proj.bias": np.arange(4, dtype="f4")}
    target = nn.Sequential(nn.Conv2d(3, 4, 1))
    report = fovea.port(source, target)
    assert [(m.target, m.change) for m in report.mapped] == [
        ("0.weight", "reshaped"), ("0.bias", ""),
    ]  # fmt: skip


def test_renamed() -> None:
    source = {"left.weight": np.zeros((2, 2), "f4"), "right.weight": np.ones((2, 2), "f4")}

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.b, self.a = (nn.Linear(2, 2, bias=False) for _ in range(2))

    target = Two()
    names = {"left.weight": "a.weight", "right.weight": "b.weight"}
    report = fovea.port(source, target, rename=lambda name: names[name])
    assert {m.how for m in report.mapped} == {"name"} and float(target.b.weight.sum()) == 4


def test_targets_without_weights_yet() -> None:
    source = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
    x = RNG.standard_normal((5, 4)).astype(np.float32)
    agrees(fovea.port(source, fk.Sequential([fk.layers.Dense(3), fk.layers.Dense(2)]), x), "order")
    lazy = nn.Sequential(nn.LazyLinear(3), nn.LazyLinear(2))
    agrees(fovea.port(source, lazy, x), "name")


def test_outputs_that_differ_are_told() -> None:
    source = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    target = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    x = RNG.standard_normal((5, 4)).astype(np.float32)
    report = fovea.port(source, target, x)
    assert report.complete and report.agrees is False and "outputs DIFFER" in str(report)
    with pytest.raises(ValueError, match="outputs DIFFER"):
        fovea.port(source, target, x, strict=True)


def test_errors() -> None:
    with pytest.raises(ValueError, match="neither a model nor a state"):
        fovea.port(3, nn.Linear(1, 1))
    with pytest.raises(ValueError, match="a module of fovea's"):
        fovea.port({}, torch.nn.Linear(1, 1))
