"""Where and what: boxes by smooth L1 and by generalized overlap, beside the class."""

import fovea as torch
import fovea.nn as nn
import fovea.nn.functional as F
import numpy as np
from fovea.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits


def scenes(count, size=24, seed=0):
    """A digit, enlarged, somewhere in a noisy picture: images, classes, boxes in 0 to 1."""
    digits, rng = load_digits(), np.random.default_rng(seed)
    images = rng.uniform(0, 0.3, (count, 1, size, size)).astype("float32")
    labels, boxes = np.zeros(count, "int64"), np.zeros((count, 4), "float32")
    for i in range(count):
        pick = rng.integers(len(digits.target))
        scale = rng.integers(1, 3)
        digit = np.kron(digits.images[pick] / 16, np.ones((scale, scale)))
        side = 8 * scale
        top, left = rng.integers(0, size - side + 1, 2)
        patch = images[i, 0, top : top + side, left : left + side]
        np.maximum(patch, digit, out=patch)
        labels[i] = digits.target[pick]
        boxes[i] = np.array([left, top, left + side, top + side]) / size
    return torch.from_numpy(images), torch.from_numpy(labels), torch.from_numpy(boxes)


def box_iou(a, b, eps=1e-7):
    """Overlap of boxes by pairs, and the area of the smallest box around both."""
    lt = torch.max(a[..., :2], b[..., :2])
    rb = torch.min(a[..., 2:], b[..., 2:])
    wh = (rb - lt).clamp(min=0)
    inter = wh[..., 0] * wh[..., 1]
    area = lambda box: (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])
    union = area(a) + area(b) - inter
    around = torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], -1)
    return inter / (union + eps), union, area(around)


def giou_loss(pred, target):
    iou, union, around = box_iou(pred, target)
    return (1 - (iou - (around - union) / (around + 1e-7))).mean()


class ConvBNReLU(nn.Sequential):
    def __init__(self, cin, cout, stride=1, groups=1):
        super().__init__(
            nn.Conv2d(cin, cout, 3, stride, 1, groups=groups, bias=False),
            nn.BatchNorm2d(cout),
            nn.ReLU6(inplace=True),
        )


class Locator(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.backbone = nn.Sequential(
            ConvBNReLU(3, 24, stride=2), ConvBNReLU(24, 48, stride=2), ConvBNReLU(48, 48),
            ConvBNReLU(48, 64, stride=2),
        )
        self.shared = nn.Sequential(nn.Flatten(), nn.Linear(64 * 9, 64), nn.ReLU())
        self.heads = nn.ModuleDict({"label": nn.Linear(64, num_classes), "box": nn.Linear(64, 4)})
        grid = torch.stack(torch.meshgrid(
            torch.linspace(-1, 1, 24), torch.linspace(-1, 1, 24), indexing="ij"))
        self.register_buffer("grid", grid, persistent=False)

    def forward(self, x):
        places = self.grid.expand(x.size(0), -1, -1, -1)
        x = self.shared(self.backbone(torch.cat([x, places], dim=1)))
        center, size = self.heads["box"](x).sigmoid().split(2, dim=-1)
        corners = torch.cat([center - size / 2, center + size / 2], dim=-1)
        return {"label": self.heads["label"](x), "box": corners}


def main(epochs=8, compile=False):
    torch.manual_seed(0)
    images, labels, boxes = scenes(800)
    loader = DataLoader(TensorDataset(images, labels, boxes), batch_size=40, shuffle=True)
    model = Locator()
    if compile:
        model = torch.compile(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=epochs * len(loader))
    for epoch in range(epochs):
        model.train()
        totals = torch.zeros(3)
        for image, label, box in loader:
            out = model(image)
            losses = torch.stack([
                F.cross_entropy(out["label"], label),
                5 * F.smooth_l1_loss(out["box"], box, beta=0.1),
                giou_loss(out["box"], box),
            ])
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            scheduler.step()
            totals += losses.detach()
        print(f"epoch {epoch}:", " ".join(f"{t:.3f}" for t in (totals / len(loader)).tolist()))
    model.eval()
    images, labels, boxes = scenes(200, seed=1)
    with torch.no_grad():
        out = model(images)
        iou, _, _ = box_iou(out["box"], boxes)
        errors = ((out["box"] - boxes).abs() * 24).mean(0)
        every, _, _ = box_iou(out["box"][:, None], boxes[None])
        own_is_best = (every.argmax(1) == torch.arange(200)).float().mean()
    accuracy = (out["label"].argmax(1) == labels).float().mean().item()
    hit = (iou > 0.5).float().mean().item()
    print(f"IoU {iou.mean():.3f}, accuracy {accuracy:.3f}, pixels off {errors.tolist()}")
    return {"iou": iou.mean().item(), "hit": hit, "accuracy": accuracy, "best": own_is_best.item()}


if __name__ == "__main__":
    main()
