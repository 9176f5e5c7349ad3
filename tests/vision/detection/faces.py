"""RetinaFace and MTCNN in plain PyTorch, as well-known programs have them: networks, what is found,
what is learned. Written one box at a time where that is plainer.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional
SIDES = {8: (16, 32), 16: (64, 128), 32: (256, 512)}


def picture(height: int, width: int, seed: int = 0) -> Any:
    """Smooth colors and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 9
    waves = [np.sin(a * x + b * y + c) for a, b, c in rng.uniform(0.2, 2, (3, 3))]
    return np.clip(0.5 + 0.3 * np.stack(waves) + rng.normal(0, 0.1, (3, height, width)), 0, 1)


def unit(a: int, b: int, k: int, stride: int = 1, leak: float | None = 0.1) -> Any:
    layers = [nn.Conv2d(a, b, k, stride, k // 2, bias=False), nn.BatchNorm2d(b)]
    return nn.Sequential(*layers, *([] if leak is None else [nn.LeakyReLU(leak)]))


def deep(a: int, b: int, stride: int) -> Any:
    spread = [nn.Conv2d(a, a, 3, stride, 1, groups=a, bias=False), nn.BatchNorm2d(a)]
    mix = [nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b)]
    return nn.Sequential(*spread, nn.LeakyReLU(0.1), *mix, nn.LeakyReLU(0.1))


class MobileNet(nn.Module):  # type: ignore[name-defined, misc]
    def __init__(self) -> None:
        super().__init__()
        plan = ((8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1))
        self.stage1 = nn.Sequential(unit(3, 8, 3, 2), *(deep(*p) for p in plan))
        more = [deep(128, 128, 1) for _ in range(5)]
        self.stage2 = nn.Sequential(deep(64, 128, 2), *more)
        self.stage3 = nn.Sequential(deep(128, 256, 2), deep(256, 256, 1))
        self.avg = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(256, 1000)

    def forward(self, x: Any) -> Any:
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(self.avg(x).view(-1, 256))


class Stages(nn.ModuleDict):  # type: ignore[name-defined, misc]
    """What torchvision's ``IntermediateLayerGetter`` does."""

    def __init__(self, net: Any, wanted: tuple[str, ...]) -> None:
        parts = dict(net.named_children())
        last = list(parts).index(wanted[-1])
        super().__init__({name: parts[name] for name in list(parts)[: last + 1]})
        self.wanted = wanted

    def forward(self, x: Any) -> Any:
        maps = []
        for name, part in self.items():
            x = part(x)
            maps += [x] if name in self.wanted else []
        return maps


class Pyramid(nn.Module):  # type: ignore[name-defined, misc]
    def __init__(self, channels: tuple[int, ...], wide: int, leak: float) -> None:
        super().__init__()
        for i, n in enumerate(channels):
            setattr(self, f"output{i + 1}", unit(n, wide, 1, leak=leak))
        self.merge1, self.merge2 = unit(wide, wide, 3, leak=leak), unit(wide, wide, 3, leak=leak)

    def forward(self, maps: Any) -> Any:
        a, b, c = self.output1(maps[0]), self.output2(maps[1]), self.output3(maps[2])
        b = self.merge2(b + F.interpolate(c, size=b.shape[2:], mode="nearest"))
        return [self.merge1(a + F.interpolate(b, size=a.shape[2:], mode="nearest")), b, c]


class Context(nn.Module):  # type: ignore[name-defined, misc]
    def __init__(self, wide: int, leak: float) -> None:
        super().__init__()
        part = wide // 4
        self.conv3X3 = unit(wide, wide // 2, 3, leak=None)
        self.conv5X5_1, self.conv5X5_2 = unit(wide, part, 3, 1, leak), unit(part, part, 3, 1, None)
        self.conv7X7_2, self.conv7x7_3 = unit(part, part, 3, 1, leak), unit(part, part, 3, 1, None)

    def forward(self, x: Any) -> Any:
        five = self.conv5X5_1(x)
        seven = self.conv7x7_3(self.conv7X7_2(five))
        return F.relu(torch.cat([self.conv3X3(x), self.conv5X5_2(five), seven], dim=1))


class Head(nn.Module):  # type: ignore[name-defined, misc]
    def __init__(self, wide: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.conv1x1 = nn.Conv2d(wide, 2 * count, kernel_size=(1, 1))

    def forward(self, x: Any) -> Any:
        out = self.conv1x1(x).permute(0, 2, 3, 1).contiguous()
        return out.view(out.shape[0], -1, self.count)


class RetinaFace(nn.Module):  # type: ignore[name-defined, misc]
    """Returns differences of boxes, logits, differences of landmarks."""

    def __init__(self, resnet: Any = None, wide: int = 256) -> None:
        super().__init__()
        channels, leak, stages = (512, 1024, 2048), 0.0, ("layer2", "layer3", "layer4")
        if resnet is None:
            channels, wide, leak = (64, 128, 256), 64, 0.1
            stages = ("stage1", "stage2", "stage3")
        self.body = Stages(MobileNet() if resnet is None else resnet, stages)
        self.fpn = Pyramid(channels, wide, leak)
        self.ssh1, self.ssh2, self.ssh3 = (Context(wide, leak) for _ in range(3))
        for name, count in (("ClassHead", 2), ("BboxHead", 4), ("LandmarkHead", 10)):
            setattr(self, name, nn.ModuleList([Head(wide, count) for _ in range(3)]))

    def forward(self, x: Any) -> Any:
        looks = (self.ssh1, self.ssh2, self.ssh3)
        maps = [look(m) for look, m in zip(looks, self.fpn(self.body(x)), strict=True)]
        heads = (self.BboxHead, self.ClassHead, self.LandmarkHead)
        return [torch.cat([h(m) for h, m in zip(hs, maps, strict=True)], dim=1) for hs in heads]


def priors(height: int, width: int) -> Any:
    """Middles and sizes (P, 4) as parts of the image."""
    rows = []
    for step, sides in SIDES.items():
        grid = itertools.product(range(math.ceil(height / step)), range(math.ceil(width / step)))
        for i, j in grid:
            middle = ((j + 0.5) * step / width, (i + 0.5) * step / height)
            rows += [(*middle, side / width, side / height) for side in sides]
    return torch.tensor(rows, dtype=torch.float64)


def prepared(image: Any) -> Any:
    """An image from 0 to 1 (3, H, W), as the network takes it."""
    blue_green_red = torch.flip(image, (0,)) * 255
    return (blue_green_red - torch.tensor([104.0, 117, 123])[:, None, None])[None]


def found(net: Any, image: Any, least: float, overlap: float = 0.4) -> Any:
    """Boxes, scores and landmarks in an image; boxes may reach beyond it."""
    height, width = image.shape[1:]
    with torch.no_grad():
        codes, logits, marks = (x[0] for x in net(prepared(image)))
    where, size = priors(height, width), torch.tensor([width, height], dtype=torch.float64)
    middle = where[:, :2] + codes[:, :2] * 0.1 * where[:, 2:]
    half = where[:, 2:] * torch.exp(codes[:, 2:] * 0.2) / 2
    boxes = torch.cat([(middle - half) * size, (middle + half) * size], 1)
    points = where[:, None, :2] + marks.view(-1, 5, 2) * 0.1 * where[:, None, 2:]
    scores, kept = torch.softmax(logits, -1)[:, 1], []
    for i in scores.argsort(descending=True).tolist():
        if scores[i] > least and all(iou(boxes[i], boxes[j]) <= overlap for j in kept):
            kept.append(i)
    return boxes[kept], scores[kept], points[kept] * size


def iou(a: Any, b: Any) -> float:
    low, high = torch.maximum(a[:2], b[:2]), torch.minimum(a[2:], b[2:])
    common = (high - low).clamp(0).prod()
    return float(common / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common))


def corners(where: Any, height: int, width: int) -> Any:
    """Priors as corners, in pixels: there those that lie within a face overlap it equally."""
    size = torch.tensor([width, height], dtype=torch.float64)
    low, high = where[:, :2] - where[:, 2:] / 2, where[:, :2] + where[:, 2:] / 2
    return torch.cat([low * size, high * size], 1).round()


def stands_for(boxes: Any, where: Any) -> list[int]:
    """For each prior (corners) the face that it stands for, -1 for none."""
    faces = [-1] * len(where)
    if not len(boxes):
        return faces
    overlaps = np.array([[iou(box, prior) for prior in where] for box in boxes])
    if overlaps.max() < 0.2:
        return faces
    for p in range(len(where)):
        if overlaps[:, p].max() >= 0.35:
            faces[p] = int(overlaps[:, p].argmax())
    for g in range(len(boxes)):
        own = int(overlaps[g].argmax())
        if overlaps[g, own] >= 0.2 or faces[own] >= 0:
            faces[own] = g
    return faces


def losses(outputs: Any, size: tuple[int, int], targets: Any) -> dict[str, Any]:
    """What is learned from; targets' boxes and points in pixels of an image of (height, width)."""
    where = priors(*size)
    scale = torch.tensor([size[1], size[0]], dtype=torch.float64)
    off, wrong, apart, count, marked = [], [], [], 0, 0
    for codes, logits, marks, target in zip(*outputs, targets, strict=True):
        boxes = target["boxes"] / torch.cat([scale, scale])
        faces = stands_for(target["boxes"], corners(where, *size))
        own = [p for p, face in enumerate(faces) if face >= 0]
        losses = torch.stack(
            [-torch.log_softmax(row, 0)[int(p in own)] for p, row in enumerate(logits)]
        )
        others = sorted(set(range(len(where))) - set(own), key=lambda p: -losses[p].item())
        wrong.append(losses[own + others[: 7 * len(own)]].sum())
        for p in own:
            box, prior = boxes[faces[p]], where[p]
            shift = ((box[:2] + box[2:]) / 2 - prior[:2]) / (0.1 * prior[2:])
            growth = torch.log((box[2:] - box[:2]) / prior[2:]) / 0.2
            off.append(F.smooth_l1_loss(codes[p], torch.cat([shift, growth]), reduction="sum"))
            points = target["keypoints"][faces[p]]
            aims = (points[:, :2] / scale - prior[:2]) / (0.1 * prior[2:])
            each = F.smooth_l1_loss(marks[p].view(5, 2), aims, reduction="none").sum(1)
            apart.append(each[points[:, 2] > 0].sum())
            marked += bool((points[:, 2] > 0).any())
        count += len(own)
    return {
        "bbox_regression": 2 * torch.stack(off).sum() / count,
        "classification": torch.stack(wrong).sum() / count,
        "landmark_regression": torch.stack(apart).sum() / marked,
    }


# -- MTCNN ----------------------------------------------------------------------------------------


class PNet(nn.Module):  # type: ignore[name-defined, misc]
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, kernel_size=3), nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, kernel_size=3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, kernel_size=3), nn.PReLU(32)
        self.conv4_1, self.softmax4_1 = nn.Conv2d(32, 2, kernel_size=1), nn.Softmax(dim=1)
        self.conv4_2 = nn.Conv2d(32, 4, kernel_size=1)

    def forward(self, x: Any) -> Any:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_2(x), self.softmax4_1(self.conv4_1(x))


class Later(nn.Module):  # type: ignore[name-defined, misc]
    """RNet and ONet, by their widths, kernels and the names of their last layers."""

    def __init__(self, widths: Any, kernels: Any, pools: Any, dense: int, outputs: Any) -> None:
        super().__init__()
        before = 3
        for i, (width, kernel) in enumerate(zip(widths, kernels, strict=True), 1):
            setattr(self, f"conv{i}", nn.Conv2d(before, width, kernel_size=kernel))
            setattr(self, f"prelu{i}", nn.PReLU(width))
            if i <= len(pools):
                setattr(self, f"pool{i}", nn.MaxPool2d(pools[i - 1], 2, ceil_mode=True))
            before = width
        k = len(widths) + 1
        setattr(self, f"dense{k}", nn.Linear(9 * before, dense))
        setattr(self, f"prelu{k}", nn.PReLU(dense))
        for j, columns in enumerate(outputs, 1):
            setattr(self, f"dense{k + 1}_{j}", nn.Linear(dense, columns))
        self.count, self.outputs = len(widths), len(outputs)

    def forward(self, x: Any) -> Any:
        for i in range(1, self.count + 1):
            x = getattr(self, f"prelu{i}")(getattr(self, f"conv{i}")(x))
            x = getattr(self, f"pool{i}", nn.Identity())(x)
        k = self.count + 1
        x = x.permute(0, 3, 2, 1).contiguous().view(x.shape[0], -1)
        x = getattr(self, f"prelu{k}")(getattr(self, f"dense{k}")(x))
        first, *others = (getattr(self, f"dense{k + 1}_{j + 1}")(x) for j in range(self.outputs))
        return *others, torch.softmax(first, 1)


class MTCNN(nn.Module):  # type: ignore[name-defined, misc]
    def __init__(self, thresholds: tuple[float, ...]) -> None:
        super().__init__()
        self.pnet = PNet()
        self.rnet = Later((28, 48, 64), (3, 3, 2), (3, 3), 128, (2, 4))
        self.onet = Later((32, 64, 64, 128), (3, 3, 3, 2), (3, 3, 2), 256, (2, 4, 10))
        self.thresholds = thresholds

    def forward(self, image: Any, smallest: float = 20, factor: float = 0.709) -> Any:
        """Boxes (K, 5) with scores, and points (K, 5, 2)."""
        pixels, (height, width) = image[None] * 255, image.shape[1:]
        scale, least, proposed = 12 / smallest, min(image.shape[1:]) * 12 / smallest, []
        while least >= 12:
            shift, chance = self.pnet(seen(pixels, int(height * scale + 1), int(width * scale + 1)))
            rows = []
            for y, x in (chance[0, 1] >= self.thresholds[0]).nonzero().tolist():
                at = torch.tensor([x, y], dtype=image.dtype)
                corners = [((2 * at + 1) / scale).floor(), ((2 * at + 12) / scale).floor()]
                rows.append(torch.cat([*corners, chance[0, 1, y, x, None], shift[0, :, y, x]]))
            proposed += best(rows, 0.5)
            scale, least = scale * factor, least * factor
        moved = []
        for row in best(proposed, 0.7):
            size = (row[2:4] - row[:2]).repeat(2)
            moved.append(square(torch.cat([row[:4] + row[5:] * size, row[4:5]])))
        kept = best(self.passed(self.rnet, pixels, moved, 24, self.thresholds[1]), 0.7)
        squares = [square(shifted(row)) for row in kept]
        last = self.passed(self.onet, pixels, squares, 48, self.thresholds[2])
        marked = []
        for row in last:
            size = row[2:4] - row[:2] + 1
            marked.append(
                torch.cat([shifted(row), (row[9:].view(2, 5).T * size + row[:2] - 1).flatten()])
            )
        chosen = best(marked, 0.7, smaller=True)
        rows = torch.stack(chosen) if chosen else torch.zeros(0, 15)
        return rows[:, :5], rows[:, 5:].view(-1, 5, 2)

    def passed(self, net: Any, pixels: Any, boxes: Any, side: int, least: float) -> Any:
        """Rows of box, score, shifts and marks."""
        rows = []
        for box in boxes:
            left, top, right, bottom = (int(v) for v in box[:4])
            left, top = max(left, 1), max(top, 1)
            right, bottom = min(right, pixels.shape[3]), min(bottom, pixels.shape[2])
            if right <= left - 1 or bottom <= top - 1:
                continue
            piece = pixels[:, :, top - 1 : bottom, left - 1 : right]
            shift, *marks, chance = net(seen(piece, side, side))
            if chance[0, 1] > least:
                rows.append(torch.cat([box[:4], chance[0, 1:], shift[0], *(m[0] for m in marks)]))
        return rows


def seen(pixels: Any, height: int, width: int) -> Any:
    return (F.interpolate(pixels, size=(height, width), mode="area") - 127.5) * 0.0078125


def square(row: Any) -> Any:
    size = row[2:4] - row[:2]
    low = row[:2] + size * 0.5 - size.max() * 0.5
    return torch.cat([low, low + size.max(), row[4:]])


def shifted(row: Any) -> Any:
    size = (row[2:4] - row[:2] + 1).repeat(2)
    return torch.cat([row[:4] + row[5:9] * size, row[4:5]])


def best(rows: Any, overlap: float, smaller: bool = False) -> Any:
    """Rows that none of a higher score covers; ``smaller``: covers the smaller one of the two."""
    kept: list[Any] = []
    for row in sorted(rows, key=lambda row: -float(row[4])):
        if all(covered(row, other, smaller) <= overlap for other in kept):
            kept.append(row)
    return kept


def covered(a: Any, b: Any, smaller: bool) -> float:
    if not smaller:
        return iou(a[:4], b[:4])
    sizes = [(row[2:4] - row[:2] + 1).prod() for row in (a, b)]
    low, high = torch.maximum(a[:2], b[:2]), torch.minimum(a[2:4], b[2:4])
    return float((high - low + 1).clamp(0).prod() / min(sizes))


def trained(net: Any, seed: int = 0, scale: float = 1.0) -> Any:
    """In float64, with weights and statistics that keep values apart from 0 and of one size."""
    rng = np.random.default_rng(seed)
    for name, value in net.double().state_dict().items():
        array = value.numpy()  # shares the network's memory
        if array.dtype.kind != "f":
            continue
        if name.endswith("running_var"):
            array[...] = rng.uniform(0.5, 1.5, array.shape)
        elif array.ndim < 2:
            middle = 0.2 if "prelu" in name and "weight" in name else float("weight" in name)
            array[...] = rng.uniform(-0.2, 0.2, array.shape) + middle
        else:
            array[...] = rng.normal(0, scale, array.shape) / np.sqrt(np.prod(array.shape[1:]))
    return net.eval()
