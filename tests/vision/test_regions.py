"""Regions of maps, deformable convolution and block dropout: against torchvision's Python, or
against the definitions written out.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, ShapeError
from fovea.vision import ops
from fovea.vision.ops.fpn import LastLevelMaxPool, LastLevelP6P7

torch = pytest.importorskip("torch")
Array = np.ndarray[Any, Any]


def inside(count: int, images: int, height: int, width: int, seed: int = 0) -> Array:
    """Regions that do not leave the map."""
    rng = np.random.default_rng(seed)
    x, y = np.sort(rng.uniform(0, width, (count, 2))), np.sort(rng.uniform(0, height, (count, 2)))
    return np.stack([rng.integers(0, images, count), x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1)


def regions(count: int, images: int, height: int, width: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-3, width, count), rng.uniform(-3, height, count)
    w, h = rng.uniform(0.2, width, count), rng.uniform(0.2, height, count)
    return np.stack([rng.integers(0, images, count), x, y, x + w, y + h], 1)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [-1, 1, 2])
@pytest.mark.parametrize("cells", [1, (3, 2), (7, 7)])
def test_align(aligned: bool, ratio: int, cells: Any, torchvision: Any) -> None:
    from torchvision.ops.roi_align import _roi_align

    x, rois = np.random.default_rng(1).normal(size=(2, 3, 9, 11)), inside(6, 2, 18, 20)
    ours, theirs = fovea.tensor(x).requires_grad_(), torch.tensor(x).requires_grad_()
    ph, pw = (cells, cells) if isinstance(cells, int) else cells
    a = ops.roi_align(ours, fovea.tensor(rois), cells, 0.5, ratio, aligned)
    b = _roi_align(theirs, torch.tensor(rois), 0.5, ph, pw, ratio, aligned)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-10)
    weights = np.random.default_rng(2).normal(size=tuple(b.shape))
    (a * fovea.tensor(weights)).sum().backward()
    (b * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-10)


def between(plane: Array, y: float, x: float) -> float:
    """A value between pixels; edges reach half a pixel further, a sample beyond a pixel is 0."""
    h, w = plane.shape
    if y < -1 or y > h or x < -1 or x > w:
        return 0.0
    y, x = min(max(y, 0), h - 1), min(max(x, 0), w - 1)
    total = 0.0
    for yy in range(h):
        for xx in range(w):
            total += max(0, 1 - abs(y - yy)) * max(0, 1 - abs(x - xx)) * plane[yy, xx]
    return float(total)


@pytest.mark.parametrize("aligned", [True, False])
def test_align_beyond_the_map(aligned: bool) -> None:
    x, rois = np.random.default_rng(1).normal(size=(2, 2, 5, 6)), regions(8, 2, 5, 6)
    found = ops.roi_align(fovea.tensor(x), fovea.tensor(rois), (2, 3), 1.0, 2, aligned).numpy()
    for k, (image, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (v - 0.5 * aligned for v in corners)
        least = 0.0 if aligned else 1.0
        height, width = max(y2 - y1, least) / 2, max(x2 - x1, least) / 3
        for i, j in np.ndindex(2, 3):
            samples = [
                [
                    between(plane, y1 + height * (i + a), x1 + width * (j + b))
                    for a in (0.25, 0.75)
                    for b in (0.25, 0.75)
                ]
                for plane in x[int(image)]
            ]
            np.testing.assert_allclose(found[k, :, i, j], np.mean(samples, 1), atol=1e-10)


def test_align_many_regions_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x, rois = fovea.rand(2, 4, 10, 10), fovea.tensor(regions(40, 2, 10, 10)).float()
    whole = ops.roi_align(x, rois, 3, 1.0, 2)
    monkeypatch.setattr("fovea.vision.ops.regions._CHUNK", 2000)
    np.testing.assert_allclose(ops.roi_align(x, rois, 3, 1.0, 2).numpy(), whole.numpy(), atol=1e-6)


def test_lists_and_empty_lists() -> None:
    x = fovea.rand(2, 3, 8, 8)
    boxes = [fovea.tensor([[0.0, 0, 4, 4], [1, 1, 7, 7]]), fovea.zeros(0, 4)]
    rows = fovea.tensor([[0.0, 0, 0, 4, 4], [0, 1, 1, 7, 7]])
    for function in (ops.roi_align, ops.roi_pool):
        np.testing.assert_allclose(function(x, boxes, 2).numpy(), function(x, rows, 2).numpy())
        assert function(x, fovea.zeros(0, 5), (2, 3)).shape == (0, 3, 2, 3)
    with pytest.raises(ShapeError):
        ops.roi_align(x, fovea.zeros(2, 4), 2)
    with pytest.raises(ArgumentError):
        ops.roi_align(x, fovea.tensor([[5.0, 0, 0, 1, 1]]), 2)
    with pytest.raises(ShapeError):
        ops.ps_roi_align(x, rows, 2)


def test_half_types_stay() -> None:
    x, rois = fovea.rand(1, 4, 6, 6).half(), fovea.tensor([[0.0, 0, 0, 5, 5]])
    assert ops.roi_align(x, rois, 2).dtype is fovea.float16
    assert ops.roi_pool(x, rois, 2).dtype is fovea.float16
    assert ops.ps_roi_pool(x, rois, 2).dtype is fovea.float16


def cell(i: int, size: float) -> slice:
    return slice(math.floor(i * size), math.ceil((i + 1) * size))


def pooled(x: Array, rois: Array, cells: tuple[int, int], scale: float, position: bool) -> Array:
    """Fast R-CNN's and R-FCN's pooling as their papers define it."""
    ph, pw = cells
    channels = x.shape[1] // (ph * pw) if position else x.shape[1]
    out = np.zeros((len(rois), channels, ph, pw))
    for k, roi in enumerate(rois):
        x1, y1, x2, y2 = (math.floor(v * scale + 0.5) for v in roi[1:])
        more = 0 if position else 1
        height, width = max(y2 - y1 + more, 1), max(x2 - x1 + more, 1)
        for i in range(ph):
            for j in range(pw):
                rows, columns = cell(i, height / ph), cell(j, width / pw)
                part = x[
                    int(roi[0]),
                    :,
                    max(rows.start + y1, 0) : max(rows.stop + y1, 0),
                    max(columns.start + x1, 0) : max(columns.stop + x1, 0),
                ]
                if not part.size:
                    continue
                if position:
                    own = part[i * pw + j :: ph * pw]
                    out[k, :, i, j] = own.mean((1, 2))
                else:
                    out[k, :, i, j] = part.max((1, 2))
    return out


@pytest.mark.parametrize("cells", [(1, 1), (3, 2), (2, 3)])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_pool(cells: tuple[int, int], scale: float) -> None:
    x = np.random.default_rng(0).normal(size=(2, 12, 8, 9))
    rois = np.round(regions(8, 2, 8 / scale, 9 / scale), 1) + 0.01
    rois[:, 0] = np.round(rois[:, 0])
    t = fovea.tensor(x).requires_grad_()
    a = ops.roi_pool(t, fovea.tensor(rois), cells, scale)
    np.testing.assert_allclose(a.detach().numpy(), pooled(x, rois, cells, scale, False))
    a.sum().backward()
    assert t.grad is not None and float(t.grad.sum()) == pytest.approx(float((a != 0).sum()))
    b = ops.ps_roi_pool(t, fovea.tensor(rois), cells, scale)
    expected = pooled(x, rois, cells, scale, True)
    np.testing.assert_allclose(b.detach().numpy(), expected, atol=1e-12)


def test_gradients_by_finite_differences() -> None:
    x = fovea.tensor(np.random.default_rng(3).normal(size=(1, 4, 5, 6))).requires_grad_()
    rois = fovea.tensor([[0.0, 0.3, 0.6, 4.2, 4.4], [0, 2.2, 1.3, 5.1, 3.2]], dtype=fovea.float64)
    for function in (ops.roi_pool, ops.ps_roi_pool):
        assert fovea.autograd.gradcheck(lambda t, f=function: f(t, rois, 2, 1.0), (x,))
    assert fovea.autograd.gradcheck(lambda t: ops.roi_align(t, rois, 2, 1.0, 2, True), (x,))
    assert fovea.autograd.gradcheck(lambda t: ops.ps_roi_align(t, rois, 2, 1.0, 2), (x,))


def test_position_sensitive_align(torchvision: Any) -> None:
    """Each cell is that of `roi_align` on its own channels, half a pixel to the left and above."""
    from torchvision.ops.roi_align import _roi_align

    x, rois = np.random.default_rng(4).normal(size=(2, 12, 7, 7)), inside(5, 2, 14, 14, 1)
    found = ops.ps_roi_align(fovea.tensor(x), fovea.tensor(rois), (2, 3), 0.5, 2).numpy()
    whole = _roi_align(torch.tensor(x), torch.tensor(rois), 0.5, 2, 3, 2, True).numpy()
    for i in range(2):
        for j in range(3):
            np.testing.assert_allclose(
                found[:, :, i, j], whole[:, i * 3 + j :: 6, i, j], atol=1e-10
            )


def test_modules_print_like_torchvision_s(torchvision: Any) -> None:
    for name, args in (
        ("RoIAlign", (7, 0.25, 2)),
        ("RoIPool", ((3, 2), 0.5)),
        ("PSRoIAlign", (7, 0.25, 2)),
        ("PSRoIPool", (7, 0.25)),
        ("DropBlock2d", (0.2, 3)),
        ("DropBlock3d", (0.2, 3)),
        ("DeformConv2d", (4, 6, 3)),
        ("MultiScaleRoIAlign", (["0"], 7, 2)),
    ):
        assert repr(getattr(ops, name)(*args)) == repr(getattr(torchvision.ops, name)(*args))
    x, rois = fovea.rand(1, 4, 8, 8), fovea.tensor([[0.0, 0, 0, 6, 6]])
    assert ops.RoIAlign(2, 1.0, 2)(x, rois).shape == (1, 4, 2, 2)
    assert ops.RoIPool(2, 1.0)(x, rois).shape == (1, 4, 2, 2)
    assert ops.PSRoIAlign(2, 1.0, 2)(x, rois).shape == (1, 1, 2, 2)
    assert ops.PSRoIPool(2, 1.0)(x, rois).shape == (1, 1, 2, 2)


def deformed(
    x: Array, offset: Array, mask: Array, w: Array, stride: Any, pad: Any, dil: Any
) -> Array:
    """Deformable convolution as its paper defines it."""
    n, c, h, width = x.shape
    o, each, kh, kw = w.shape
    groups = offset.shape[1] // (2 * kh * kw)
    oh, ow = offset.shape[2:]
    out = np.zeros((n, o, oh, ow))

    def pixel(b: int, ch: int, y: float, xx: float) -> float:
        total = 0.0
        for yy in (math.floor(y), math.floor(y) + 1):
            for xi in (math.floor(xx), math.floor(xx) + 1):
                if 0 <= yy < h and 0 <= xi < width:
                    total += (1 - abs(y - yy)) * (1 - abs(xx - xi)) * x[b, ch, yy, xi]
        return total

    for b, f, i, j in np.ndindex(n, o, oh, ow):
        first = f // (o // (c // each)) * each
        for ch, ki, kj in np.ndindex(each, kh, kw):
            tap = (first + ch) // (c // groups) * kh * kw + ki * kw + kj
            y = i * stride[0] - pad[0] + ki * dil[0] + offset[b, 2 * tap, i, j]
            xx = j * stride[1] - pad[1] + kj * dil[1] + offset[b, 2 * tap + 1, i, j]
            out[b, f, i, j] += w[f, ch, ki, kj] * mask[b, tap, i, j] * pixel(b, first + ch, y, xx)
    return out


@pytest.mark.parametrize(
    ("groups", "offsets", "stride", "padding", "dilation"),
    [
        (1, 1, (1, 1), (0, 0), (1, 1)),
        (2, 1, (2, 1), (1, 0), (1, 2)),
        (1, 2, (1, 2), (0, 1), (2, 1)),
    ],
)
def test_deformable_convolution(
    groups: int, offsets: int, stride: Any, padding: Any, dilation: Any
) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 4, 6, 7)), rng.normal(size=(4, 4 // groups, 2, 3))
    oh = (6 + 2 * padding[0] - dilation[0] - 1) // stride[0] + 1
    ow = (7 + 2 * padding[1] - 2 * dilation[1] - 1) // stride[1] + 1
    offset = rng.normal(size=(2, offsets * 12, oh, ow)) * 1.5
    mask, bias = rng.uniform(size=(2, offsets * 6, oh, ow)), rng.normal(size=4)
    tensors = [fovea.tensor(a).requires_grad_() for a in (x, offset, w, bias, mask)]

    def call(x: Any, offset: Any, w: Any, bias: Any, mask: Any) -> Any:
        return ops.deform_conv2d(x, offset, w, bias, stride, padding, dilation, mask)

    expected = deformed(x, offset, mask, w, stride, padding, dilation) + bias[:, None, None]
    np.testing.assert_allclose(call(*tensors).detach().numpy(), expected, atol=1e-12)
    assert fovea.autograd.gradcheck(call, tuple(tensors), eps=1e-7, atol=1e-4)


def test_deformable_convolution_without_offsets_is_a_convolution() -> None:
    fovea.manual_seed(0)
    layer = ops.DeformConv2d(4, 6, 3, padding=1, groups=2)
    x = fovea.rand(2, 4, 5, 5)
    plain = fovea.nn.functional.conv2d(x, layer.weight, layer.bias, padding=1, groups=2)
    found = layer(x, fovea.zeros(2, 18, 5, 5))
    np.testing.assert_allclose(found.detach().numpy(), plain.detach().numpy(), atol=1e-5)
    program = fovea.compile(layer)
    np.testing.assert_allclose(
        program(x, fovea.ones(2, 18, 5, 5) * 0.3).detach().numpy(),
        layer(x, fovea.ones(2, 18, 5, 5) * 0.3).detach().numpy(),
        atol=1e-5,
    )
    with pytest.raises(ShapeError):
        layer(x, fovea.zeros(2, 18, 4, 5))
    with pytest.raises(ArgumentError):
        ops.DeformConv2d(4, 6, 3, groups=4)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("block", [1, 2, 3])
def test_block_dropout(dims: int, block: int) -> None:
    fovea.manual_seed(0)
    x = fovea.ones(20, 8, *(12,) * dims)
    drop = (ops.drop_block2d, ops.drop_block3d)[dims - 2]
    y = drop(x, 0.2, block)
    gone = float((y == 0).float().mean())
    assert 0.1 < gone < 0.3
    assert float(y.mean()) == pytest.approx(1, abs=0.01)
    assert drop(x, 0.2, block, training=False) is x
    module = (ops.DropBlock2d, ops.DropBlock3d)[dims - 2](0.2, block)
    assert module.eval()(x) is x
    with pytest.raises(ArgumentError):
        drop(x, 1.2, block)
    with pytest.raises(ShapeError):
        drop(x[0], 0.2, block)
    again = fovea.ones(2, 2, *(12,) * dims)
    assert drop(again, 0.9, block, inplace=True) is again and float(again.min()) == 0


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("extra", ["none", "pool", "p6p7", "p6p7 of the backbone"])
def test_pyramid(extra: str, norm: bool, torchvision: Any) -> None:
    from torchvision.ops import feature_pyramid_network as theirs

    def build(lib: Any, module: Any, norm_layer: Any) -> Any:
        blocks = {
            "none": lambda: None,
            "pool": module.LastLevelMaxPool,
            "p6p7": lambda: module.LastLevelP6P7(6, 6),
            "p6p7 of the backbone": lambda: module.LastLevelP6P7(8, 6),
        }[extra]()
        return lib.FeaturePyramidNetwork([4, 5, 8], 6, blocks, norm_layer)

    class Mine:
        LastLevelMaxPool, LastLevelP6P7 = LastLevelMaxPool, LastLevelP6P7

    reference = build(torchvision.ops, theirs, torch.nn.BatchNorm2d if norm else None).double()
    mine = build(ops, Mine, fovea.nn.BatchNorm2d if norm else None).double()
    state = {k: fovea.tensor(v.numpy()) for k, v in reference.state_dict().items()}
    assert list(mine.state_dict()) == list(state)
    mine.load_state_dict(state)
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(2, c, n, n + 1)) for c, n in ((4, 12), (5, 6), (8, 3))]
    names = ("a", "b", "c")
    expected = reference(OrderedDict(zip(names, map(torch.tensor, maps), strict=True)))
    found = mine(OrderedDict(zip(names, map(fovea.tensor, maps), strict=True)))
    assert list(found) == list(expected)
    for a, b in zip(found.values(), expected.values(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-10)


def test_regions_of_a_pyramid(torchvision: Any) -> None:
    """Each box is aligned on the map that its size asks for."""
    rng = np.random.default_rng(0)
    maps = {str(i): rng.normal(size=(2, 3, 64 >> i, 64 >> i)) for i in range(4)}
    maps["other"] = rng.normal(size=(2, 3, 4, 4))
    sides = np.array([10.0, 60, 120, 200, 250])
    boxes = [np.stack([sides * 0, sides * 0, sides, sides], 1), np.array([[5.0, 6, 70, 80]])]
    pooler = ops.MultiScaleRoIAlign(["0", "1", "2", "3"], 5, 2)
    found = pooler(
        {k: fovea.tensor(v) for k, v in maps.items()},
        [fovea.tensor(b) for b in boxes],
        [(256, 256), (250, 240)],
    ).numpy()
    theirs = torchvision.ops.MultiScaleRoIAlign(["0", "1", "2", "3"], 5, 2)
    from torchvision.ops import poolers
    from torchvision.ops.roi_align import _roi_align

    original = poolers.roi_align
    poolers.roi_align = lambda x, rois, output_size, spatial_scale, sampling_ratio: _roi_align(
        x, rois, spatial_scale, *output_size, sampling_ratio, False
    )
    try:
        expected = theirs(
            OrderedDict((k, torch.tensor(v)) for k, v in maps.items()),
            [torch.tensor(b) for b in boxes],
            [(256, 256), (250, 240)],
        )
    finally:
        poolers.roi_align = original
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)
    with pytest.raises(ArgumentError):
        ops.MultiScaleRoIAlign(["9"], 5, 2)({"0": fovea.rand(1, 1, 2, 2)}, [], [(2, 2)])


def test_every_name_of_torchvision_is_there(torchvision: Any) -> None:
    assert set(torchvision.ops.__all__) <= set(ops.__all__)
