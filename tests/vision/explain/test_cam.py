"""Class activation maps against their papers' formulas, with gradients of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras, nn
from fovea.errors import ArgumentError, ShapeError
from fovea.vision import explain, models
from tests.nn.oracle import rng, torch

Array = np.ndarray[Any, Any]


def layers(lib: Any) -> list[Any]:
    return [
        lib.Conv2d(3, 6, 3, stride=2, padding=1), lib.ReLU(), lib.Conv2d(6, 8, 3, padding=1),
        lib.AdaptiveAvgPool2d(1), lib.Flatten(), lib.Linear(8, 4),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any]:
    """The same network in both libraries."""
    torch.manual_seed(0)
    theirs, ours = torch.nn.Sequential(*layers(torch.nn)), nn.Sequential(*layers(nn))
    ours.load_state_dict({k: fovea.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


def seen_by_pytorch(theirs: Any, x: Array, classes: list[int], layer: int) -> tuple[Array, Array]:
    """Maps of a layer and gradients of the classes' scores."""
    kept: dict[str, Any] = {}

    def keep(module: Any, given: Any, out: Any) -> None:
        kept["a"] = out
        out.retain_grad()

    handle = theirs[layer].register_forward_hook(keep)
    theirs(torch.from_numpy(x))[range(len(x)), classes].sum().backward()
    handle.remove()
    return kept["a"].detach().numpy(), kept["a"].grad.numpy()


def stretched(maps: Array, size: tuple[int, int]) -> Array:
    return spread(resized(maps, size))


def resized(maps: Array, size: tuple[int, int]) -> Array:
    t = torch.from_numpy(spread(np.maximum(maps, 0)))[:, None]
    made: Array = torch.nn.functional.interpolate(t, size, mode="bilinear")[:, 0].numpy()
    return made


def spread(maps: Array) -> Array:
    low, high = (f(maps, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    return (maps - low) / (high - low + 1e-7)


def plus_plus(a: Array, g: Array) -> Array:
    weights = np.zeros(a.shape[:2])
    for n, k in np.ndindex(*a.shape[:2]):
        for i, j in np.ndindex(*a.shape[2:]):
            d = g[n, k, i, j]
            if d > 0:
                weights[n, k] += d * d**2 / (2 * d**2 + a[n, k].sum() * d**3 + 1e-6)
    return np.einsum("nk,nkij->nij", weights, a)


FORMULAS: dict[str, Callable[[Array, Array], Array]] = {
    "GradCAM": lambda a, g: np.einsum("nk,nkij->nij", g.mean((2, 3)), a),
    "GradCAMPlusPlus": plus_plus,
    "XGradCAM": lambda a, g: np.einsum(
        "nk,nkij->nij", (a * g).sum((2, 3)) / (a.sum((2, 3)) + 1e-7), a
    ),
    "HiResCAM": lambda a, g: (a * g).sum(1),
    "LayerCAM": lambda a, g: (a * np.maximum(g, 0)).sum(1),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("layer", [1, 2])
def test_formulas(pair: Any, name: str, layer: int) -> None:
    ours, theirs = pair
    x, classes = rng().normal(size=(3, 3, 9, 11)).astype(np.float32), [0, 3, 1]
    a, g = seen_by_pytorch(theirs, x, classes, layer)
    cam = getattr(explain, name)(ours, str(layer))
    found = cam(fovea.from_numpy(x), classes)
    expected = stretched(FORMULAS[name](a, g).astype(np.float32), (9, 11))
    assert found.dtype == np.float32 and found.shape == (3, 9, 11)
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert cam.layers == [str(layer)] and cam.outputs.shape == (3, 4)


def test_eigen_cam(pair: Any) -> None:
    ours, theirs = pair
    x = rng().normal(size=(2, 3, 9, 11)).astype(np.float32)
    a, _ = seen_by_pytorch(theirs, x, [0, 0], 1)
    expected = []
    for maps in a:
        rows = maps.reshape(len(maps), -1).T
        rows = rows - rows.mean(0)
        values, vectors = np.linalg.eigh(rows.T @ rows)
        along = rows @ vectors[:, values.argmax()]
        expected.append((along * np.sign(along @ rows.mean(1))).reshape(maps.shape[1:]))
    found = explain.EigenCAM(ours, "1")(fovea.from_numpy(x))
    np.testing.assert_allclose(found, stretched(np.stack(expected), (9, 11)), atol=2e-3)


def test_score_cam(pair: Any) -> None:
    ours, theirs = pair
    x, classes = rng().normal(size=(2, 3, 9, 11)).astype(np.float32), [2, 0]
    a, _ = seen_by_pytorch(theirs, x, classes, 2)
    expected = []
    for image, maps, k in zip(x, a, classes, strict=True):
        masks = torch.nn.functional.interpolate(
            torch.from_numpy(spread(maps))[:, None], (9, 11), mode="bilinear"
        ).numpy()
        logits = theirs(torch.from_numpy(image[None] * masks))[:, k].detach()
        expected.append(np.einsum("k,kij->ij", logits.softmax(0).numpy(), maps))
    cam = explain.ScoreCAM(ours, "2", batch_size=3)
    found = cam(fovea.from_numpy(x), classes)
    np.testing.assert_allclose(found, stretched(np.stack(expected), (9, 11)), atol=2e-4)


def test_several_layers_are_averaged(pair: Any) -> None:
    ours, theirs = pair
    x = rng().normal(size=(1, 3, 9, 11)).astype(np.float32)
    found = explain.GradCAM(ours, ["1", ours[2]])(fovea.from_numpy(x), 1)
    each = [FORMULAS["GradCAM"](*seen_by_pytorch(theirs, x, [1], layer)) for layer in (1, 2)]
    expected = spread(np.mean([resized(m.astype(np.float32), (9, 11)) for m in each], 0))
    np.testing.assert_allclose(found, expected, atol=2e-4)


class TopLeft(nn.Module):
    """Looks at the brightness of the upper left corner alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)

    def forward(self, x: Any) -> Any:
        return self.conv(x)[:, :, :4, :4].mean((2, 3))


def test_it_finds_the_place_that_counts() -> None:
    net = TopLeft()
    with fovea.no_grad():
        net.conv.weight.fill_(0.1)
    x = fovea.ones(1, 3, 16, 16)
    for kind in (explain.HiResCAM, explain.LayerCAM):
        heat = kind(net)(x, 0)[0]
        assert heat[:3, :3].min() > 0.8 and heat[8:].max() < 0.01
    assert (explain.saliency(net, x, 0)[0] > 0).nonzero().max().item() == 3
    fall = explain.occlusion(net, x, 0, window=4, stride=4)[0]
    assert fall[:4, :4].min().item() == pytest.approx(0.3) and abs(fall[8:, 8:]).max() < 1e-6


def test_transformers() -> None:
    fovea.manual_seed(0)
    net, x = models.vit_ti_16(num_classes=5, image_size=64), fovea.rand(2, 3, 64, 64)
    with fovea.no_grad():
        net.heads.head.weight.normal_()
    cam = explain.GradCAM(net)
    heat = np.stack([cam(x, k) for k in range(5)])
    assert cam.layers == ["encoder.layers.encoder_layer_11.ln_1"]
    assert heat.shape == (5, 2, 64, 64) and heat.max() == pytest.approx(1, abs=1e-3)

    def as_maps(tokens: Any) -> Any:
        return tokens[:, 1:].transpose(1, 2).reshape(-1, 192, 4, 4)

    same = explain.GradCAM(net, cam.layers, as_maps)
    np.testing.assert_array_equal(heat, [same(x, k) for k in range(5)])


def test_maps_with_channels_last() -> None:
    net = models.swin_t(num_classes=5)
    cam = explain.GradCAM(net, "features.3")
    heat = cam(fovea.rand(1, 3, 64, 64), 2)
    maps = explain.features(net, fovea.rand(1, 3, 64, 64), "features.3")
    assert heat.shape == (1, 64, 64) and maps.shape == (1, 8, 8, 192)


def test_keras_models() -> None:
    model = keras.Sequential([
        keras.layers.Input((12, 10, 3)), keras.layers.Conv2D(4, 3, activation="relu", name="maps"),
        keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3),
    ])  # fmt: skip
    x = fovea.rand(2, 12, 10, 3)
    heat = explain.GradCAM(model, "maps")(x, 1)
    assert heat.shape == (2, 12, 10)
    kernel, dense = (np.asarray(model.get_weights()[i]) for i in (0, 2))
    a = explain.features(model, x, "maps").numpy()
    weights = dense[:, 1] / a[0, :, :, 0].size  # the gradient of the mean
    np.testing.assert_allclose(heat, stretched(a @ weights, (12, 10)), atol=2e-4)
    assert explain.filters(model, "maps").shape == (4, 3, 3, 3) and kernel.shape == (3, 3, 3, 4)
    assert explain.ScoreCAM(model)(x).shape == (2, 12, 10)
    assert explain.saliency(model, x).shape == (2, 12, 10)
    assert explain.occlusion(model, x, window=4).shape == (2, 12, 10)


def test_outputs_that_are_no_classes() -> None:
    net = models.unet(num_classes=3, base_channels=4, depth=2)
    x = fovea.rand(1, 3, 16, 16)
    with pytest.raises(ArgumentError, match="no scores of classes"):
        explain.GradCAM(net, "down.1")(x)
    heat = explain.GradCAM(net, "down.1")(x, lambda out: out[1].sum())
    assert heat.shape == (1, 16, 16)


def test_the_model_stays_as_it_was(pair: Any) -> None:
    ours, _ = pair
    ours.train()
    ours[0].eval()
    for p in ours.parameters():
        p.requires_grad_(False)
        p.grad = None
    heat = explain.GradCAM(ours, "2")(fovea.rand(1, 3, 8, 8))
    assert heat.max() > 0  # the gradient comes from the image's side
    assert ours.training and not ours[0].training and ours[2].training
    assert all(p.grad is None for p in ours.parameters())
    for p in ours.parameters():
        p.requires_grad_()
    explain.GradCAM(fovea.compile(ours), "2")(fovea.rand(1, 3, 8, 8))
    assert all(p.grad is None for p in ours.parameters())


def test_mistakes(pair: Any) -> None:
    ours, _ = pair
    x = fovea.rand(2, 3, 8, 8)
    with pytest.raises(ArgumentError, match="no module at 'layer4'"):
        explain.GradCAM(ours, "layer4")
    with pytest.raises(ArgumentError, match="2 samples, but 1 targets"):
        explain.GradCAM(ours, "2")(x, [1])
    with pytest.raises(ArgumentError, match="are no maps"):
        explain.GradCAM(ours, "5")(x)
    with pytest.raises(ShapeError, match="four dimensions"):
        explain.GradCAM(ours, "2")(x[0])
    with pytest.raises(ArgumentError, match="did not call other"):
        net = nn.Sequential(*ours)
        net.register_module("other", nn.Conv2d(1, 1, 1))
        net.forward = lambda x: ours(x)  # type: ignore[method-assign]
        explain.GradCAM(net, "other")(x)
    with pytest.raises(ArgumentError, match="must make a number"):
        explain.GradCAM(ours, "2")(x, lambda out: out)
