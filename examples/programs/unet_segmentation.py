"""A U-Net marks blobs in noisy images; the loss is cross-entropy and Dice."""

import fovea as torch
import fovea.nn as nn
import fovea.nn.functional as F
import numpy as np
from fovea.utils.data import DataLoader, Dataset, random_split


class BlobDataset(Dataset):
    """Images with one to three ellipses, and the masks of them."""

    def __init__(self, count, size=32, seed=0):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:size, :size]
        self.images, self.masks = [], []
        for _ in range(count):
            mask = np.zeros((size, size), bool)
            for _ in range(rng.integers(1, 4)):
                cx, cy = rng.uniform(5, size - 5, 2)
                rx, ry = rng.uniform(3, 7, 2)
                mask |= ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
            image = 0.35 + 0.3 * mask + 0.1 * np.sin(x / 5 + rng.uniform(0, 6))
            image = image + rng.normal(0, 0.15, mask.shape)
            self.images.append(image.astype(np.float32))
            self.masks.append(mask)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image = torch.as_tensor(self.images[i]).unsqueeze(0)
        return {"image": image, "mask": torch.as_tensor(self.masks[i].astype(np.int64))}


class DoubleConv(nn.Module):
    """(convolution => [BN] => ReLU) * 2"""

    def __init__(self, in_channels, out_channels, mid_channels=None):
        super().__init__()
        if not mid_channels:
            mid_channels = out_channels
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, mid_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(mid_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(in_channels, out_channels))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, in_channels, out_channels, bilinear=True):
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(in_channels, out_channels, in_channels // 2)
        else:
            self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, kernel_size=2, stride=2)
            self.conv = DoubleConv(in_channels, out_channels)

    def forward(self, x1, x2):
        x1 = self.up(x1)
        diffY = x2.size()[2] - x1.size()[2]
        diffX = x2.size()[3] - x1.size()[3]
        x1 = F.pad(x1, [diffX // 2, diffX - diffX // 2, diffY // 2, diffY - diffY // 2])
        return self.conv(torch.cat([x2, x1], dim=1))


class UNet(nn.Module):
    def __init__(self, n_channels, n_classes, width=8, bilinear=False):
        super().__init__()
        self.n_classes = n_classes
        factor = 2 if bilinear else 1
        self.inc = DoubleConv(n_channels, width)
        self.down1 = Down(width, 2 * width)
        self.down2 = Down(2 * width, 4 * width // factor)
        self.up1 = Up(4 * width, 2 * width // factor, bilinear)
        self.up2 = Up(2 * width, width, bilinear)
        self.outc = nn.Conv2d(width, n_classes, kernel_size=1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x = self.up1(x3, x2)
        x = self.up2(x, x1)
        return self.outc(x)


def dice_coeff(input, target, reduce_batch_first=False, epsilon=1e-6):
    assert input.size() == target.size()
    assert input.dim() == 3 or not reduce_batch_first
    sum_dim = (-1, -2) if input.dim() == 2 or not reduce_batch_first else (-1, -2, -3)
    inter = 2 * (input * target).sum(dim=sum_dim)
    sets_sum = input.sum(dim=sum_dim) + target.sum(dim=sum_dim)
    sets_sum = torch.where(sets_sum == 0, inter, sets_sum)
    dice = (inter + epsilon) / (sets_sum + epsilon)
    return dice.mean()


def multiclass_dice_coeff(input, target):
    return dice_coeff(input.flatten(0, 1), target.flatten(0, 1), True)


@torch.inference_mode()
def evaluate(net, dataloader):
    net.eval()
    dice_score, union, inter = 0, 0, 0
    for batch in dataloader:
        image, mask_true = batch["image"], batch["mask"]
        mask_pred = net(image)
        if net.n_classes == 1:
            predicted = (F.sigmoid(mask_pred) > 0.5).float().squeeze(1)
            dice_score += dice_coeff(predicted, mask_true.float(), reduce_batch_first=False)
        else:
            true = F.one_hot(mask_true, net.n_classes).permute(0, 3, 1, 2).float()
            predicted = F.one_hot(mask_pred.argmax(dim=1), net.n_classes).permute(0, 3, 1, 2).float()
            dice_score += multiclass_dice_coeff(predicted[:, 1:], true[:, 1:])
            predicted = predicted[:, 1]
        inter += torch.logical_and(predicted.bool(), mask_true.bool()).sum()
        union += torch.logical_or(predicted.bool(), mask_true.bool()).sum()
    net.train()
    return (dice_score / max(len(dataloader), 1)).item(), (inter / union).item()


def train(n_classes, bilinear, epochs, compile):
    torch.manual_seed(0)
    dataset = BlobDataset(200)
    n_val = int(len(dataset) * 0.2)
    splits = [len(dataset) - n_val, n_val]
    train_set, val_set = random_split(dataset, splits, generator=torch.Generator().manual_seed(0))
    train_loader = DataLoader(train_set, shuffle=True, batch_size=8)
    val_loader = DataLoader(val_set, shuffle=False, drop_last=True, batch_size=8)
    model = UNet(1, n_classes, bilinear=bilinear).to(memory_format=torch.channels_last)
    if compile:
        model = torch.compile(model)
    optimizer = torch.optim.RMSprop(
        model.parameters(), lr=1e-3, weight_decay=1e-8, momentum=0.9, foreach=True
    )
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", patience=2)
    criterion = nn.CrossEntropyLoss() if n_classes > 1 else nn.BCEWithLogitsLoss()
    for epoch in range(epochs):
        model.train()
        for batch in train_loader:
            images = batch["image"].to(dtype=torch.float32, memory_format=torch.channels_last)
            true_masks = batch["mask"].to(dtype=torch.long)
            masks_pred = model(images)
            if n_classes == 1:
                loss = criterion(masks_pred.squeeze(1), true_masks.float())
                loss += 1 - dice_coeff(F.sigmoid(masks_pred.squeeze(1)), true_masks.float(), True)
            else:
                loss = criterion(masks_pred, true_masks)
                true = F.one_hot(true_masks, n_classes).permute(0, 3, 1, 2).float()
                loss += 1 - multiclass_dice_coeff(F.softmax(masks_pred, dim=1).float(), true)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        val_score, iou = evaluate(model, val_loader)
        scheduler.step(val_score)
        print(f"epoch {epoch}: loss {loss.item():.3f}, Dice {val_score:.3f}, IoU {iou:.3f}")
    return val_score, iou


def main(compile=False):
    binary, iou = train(1, bilinear=True, epochs=4, compile=compile)
    several, _ = train(2, bilinear=False, epochs=4, compile=compile)
    return {"dice": binary, "iou": iou, "dice of classes": several}


if __name__ == "__main__":
    main()
