"""A small residual network in color: augmentation, one cycle of the rate, smoothed labels."""

import time

import fovea as torch
import fovea.nn as nn
import fovea.vision.transforms as transforms
import numpy as np
from fovea.optim.lr_scheduler import OneCycleLR
from fovea.utils.data import DataLoader, Dataset

CLASSES = ("disk", "ring", "square", "cross", "stripes")


def draw(rng, kind, size=16):
    """One shape somewhere on a background with noise: height, width, color as bytes."""
    y, x = np.mgrid[:size, :size] - rng.uniform(6, 9, (2, 1, 1))
    r = rng.uniform(3.5, 5.5)
    inside = {
        "disk": x**2 + y**2 < r**2,
        "ring": (x**2 + y**2 < r**2) & (x**2 + y**2 > (r - 2) ** 2),
        "square": np.maximum(abs(x), abs(y)) < r - 1,
        "cross": (np.minimum(abs(x), abs(y)) < 1.2) & (np.maximum(abs(x), abs(y)) < r),
        "stripes": (np.sin(x * 1.8) > 0) & (abs(y) < r),
    }[kind]
    image = np.where(inside[..., None], rng.uniform(90, 255, 3), rng.uniform(0, 120, 3))
    return (image + rng.normal(0, 12, image.shape)).clip(0, 255).astype("uint8")


class Shapes(Dataset):
    def __init__(self, count, seed, transform=None):
        rng = np.random.default_rng(seed)
        self.targets = rng.integers(0, len(CLASSES), count).tolist()
        self.data = np.stack([draw(rng, CLASSES[t]) for t in self.targets])
        self.transform = transform

    def __len__(self):
        return len(self.data)

    def __getitem__(self, idx):
        image, target = self.data[idx], self.targets[idx]
        if self.transform:
            image = self.transform(image)
        return image, target


def conv3x3(in_planes, planes, stride=1):
    return nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inplanes, planes, stride=1, downsample=None):
        super(BasicBlock, self).__init__()
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, block, layers, num_classes):
        super().__init__()
        self.inplanes = 16
        self.stem = nn.Sequential(conv3x3(3, 16), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        self.layer1 = self._make_layer(block, 16, layers[0])
        self.layer2 = self._make_layer(block, 32, layers[1], stride=2)
        self.layer3 = self._make_layer(block, 64, layers[2], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(64 * block.expansion, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)
        for m in self.modules():
            if isinstance(m, BasicBlock):
                nn.init.zeros_(m.bn2.weight)

    def _make_layer(self, block, planes, blocks, stride=1):
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, planes * block.expansion, 1, stride, bias=False),
                nn.BatchNorm2d(planes * block.expansion),
            )
        layers = [block(self.inplanes, planes, stride, downsample)]
        self.inplanes = planes * block.expansion
        for _ in range(1, blocks):
            layers.append(block(self.inplanes, planes))
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.stem(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class AverageMeter:
    def __init__(self):
        self.sum = self.count = 0

    def update(self, val, n=1):
        self.sum += val * n
        self.count += n

    @property
    def avg(self):
        return self.sum / self.count


def accuracy(output, target, topk=(1,)):
    """The share of examples whose class is among the k best, for each k."""
    with torch.no_grad():
        _, pred = output.topk(max(topk), 1, True, True)
        correct = pred.t().eq(target.view(1, -1).expand_as(pred.t()))
        return [correct[:k].reshape(-1).float().sum(0).mul_(1 / len(target)) for k in topk]


def main(epochs=4, compile=False):
    torch.manual_seed(0)
    mean, std = (0.4, 0.4, 0.4), (0.25, 0.25, 0.25)
    train_transform = transforms.Compose([
        transforms.ToTensor(),
        transforms.RandomCrop(16, padding=1),
        transforms.RandomHorizontalFlip(),
        transforms.Normalize(mean, std, inplace=True),
    ])
    test_transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
    train_loader = DataLoader(Shapes(640, 0, train_transform), 32, shuffle=True, drop_last=True)
    test_loader = DataLoader(Shapes(256, 1, test_transform), 128)

    model = ResNet(BasicBlock, [1, 1, 1], len(CLASSES))
    if compile:
        model = torch.compile(model)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    scheduler = OneCycleLR(
        optimizer, max_lr=0.08, epochs=epochs, steps_per_epoch=len(train_loader), pct_start=0.3
    )
    highest = 0.0
    for epoch in range(epochs):
        model.train()
        losses, top1, start = AverageMeter(), AverageMeter(), time.time()
        for images, target in train_loader:
            output = model(images)
            loss = criterion(output, target)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            highest = max(highest, scheduler.get_last_lr()[0])
            losses.update(loss.item(), images.size(0))
            top1.update(accuracy(output, target)[0].item(), images.size(0))
        print(f"epoch {epoch}: loss {losses.avg:.3f}, top 1 {top1.avg:.3f}, {time.time() - start:.1f} s")

    model.eval()
    top1, top2 = AverageMeter(), AverageMeter()
    confusion = torch.zeros(len(CLASSES), len(CLASSES), dtype=torch.int64)
    for images, target in test_loader:
        with torch.no_grad():
            output = model(images)
        first, second = accuracy(output, target, topk=(1, 2))
        top1.update(first.item(), len(images))
        top2.update(second.item(), len(images))
        for t, p in zip(target.view(-1), output.argmax(1).view(-1)):
            confusion[t.long(), p.long()] += 1
    recall = confusion.diag() / confusion.sum(1).clamp(min=1)
    print(dict(zip(CLASSES, recall.tolist())))
    return {"top1": top1.avg, "top2": top2.avg, "highest rate": highest, "worst": recall.min().item()}


if __name__ == "__main__":
    main()
