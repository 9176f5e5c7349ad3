"""Transfer: a network learned on five digits serves for the other five, frozen or fine-tuned."""

import copy
from tempfile import TemporaryDirectory

import fovea as torch
import fovea.nn as nn
import fovea.optim as optim
from fovea.optim import lr_scheduler
from fovea.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.features = nn.Sequential()
        channels = 1
        for i, width in enumerate((24, 48)):
            self.features.add_module(f"conv{i}", nn.Conv2d(channels, width, 3, padding=1, bias=False))
            self.features.add_module(f"norm{i}", nn.BatchNorm2d(width))
            self.features.add_module(f"relu{i}", nn.ReLU())
            self.features.add_module(f"pool{i}", nn.MaxPool2d(2))
            channels = width
        self.fc = nn.Linear(48 * 4, num_classes)

    def forward(self, x):
        return self.fc(self.features(x).flatten(1))


def train_model(model, dataloaders, criterion, optimizer, scheduler, num_epochs):
    best_model_wts = copy.deepcopy(model.state_dict())
    best_acc = 0.0
    for epoch in range(num_epochs):
        for phase in ["train", "val"]:
            if phase == "train":
                model.train()
            else:
                model.eval()
            running_loss, running_corrects = 0.0, 0
            for inputs, labels in dataloaders[phase]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    _, preds = torch.max(outputs, 1)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running_loss += loss.item() * inputs.size(0)
                running_corrects += torch.sum(preds == labels.data)
            if phase == "train":
                scheduler.step()
            size = len(dataloaders[phase].dataset)
            epoch_loss, epoch_acc = running_loss / size, running_corrects.double() / size
            if phase == "val" and epoch_acc > best_acc:
                best_acc = epoch_acc
                best_model_wts = copy.deepcopy(model.state_dict())
        print(f"{epoch}/{num_epochs - 1} Loss: {epoch_loss:.4f} Acc: {epoch_acc:.4f}")
    model.load_state_dict(best_model_wts)
    return model, float(best_acc)


def loaders(x, y, train, batch_size=32):
    return {
        "train": DataLoader(TensorDataset(x[:train], y[:train]), batch_size, shuffle=True),
        "val": DataLoader(TensorDataset(x[train:], y[train:]), 200),
    }


def pretrain(path, x, y):
    model = Net(5)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    scheduler = lr_scheduler.ExponentialLR(optimizer, gamma=0.8)
    model, acc = train_model(
        model, loaders(x, y, 700), nn.CrossEntropyLoss(), optimizer, scheduler, num_epochs=4
    )
    torch.save(model.state_dict(), path)
    return acc


def new_model(path):
    """The old features under a new head: what the file has beside them is left out."""
    model = Net(3)  # of the wrong size at first, as the hub's are
    state = {k: v for k, v in torch.load(path).items() if not k.startswith("fc.")}
    result = model.load_state_dict(state, strict=False)
    assert result.missing_keys == ["fc.weight", "fc.bias"] and not result.unexpected_keys
    num_ftrs = model.fc.in_features
    model.fc = nn.Linear(num_ftrs, 5)
    return model


def wrong_head_is_refused(path):
    try:
        Net(7).load_state_dict(torch.load(path))
    except RuntimeError as error:
        return "fc.weight" in str(error)
    return False


def main():
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16.0
    y = torch.tensor(digits.target, dtype=torch.long)
    old, new = y < 5, y >= 5
    with TemporaryDirectory() as folder:
        path = f"{folder}/pretrained.pth"
        pretrained = pretrain(path, x[old], y[old])
        refused = wrong_head_is_refused(path)
        data = loaders(x[new], y[new] - 5, 100, 10)

        scratch = Net(5)
        optimizer = optim.SGD(scratch.parameters(), lr=0.01, momentum=0.9)
        step = lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.3)
        _, scratch_acc = train_model(scratch, data, nn.CrossEntropyLoss(), optimizer, step, 4)

        tuned = new_model(path)
        optimizer = optim.SGD(
            [
                {"params": tuned.features.parameters(), "lr": 0.005},
                {"params": tuned.fc.parameters()},
            ],
            lr=0.02,
            momentum=0.9,
        )
        step = lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.3)
        _, tuned_acc = train_model(tuned, data, nn.CrossEntropyLoss(), optimizer, step, 4)

        fixed = new_model(path)
        for param in fixed.features.parameters():
            param.requires_grad = False
        before = fixed.features.conv0.weight.clone()
        optimizer = optim.SGD(
            filter(lambda p: p.requires_grad, fixed.parameters()), lr=0.02, momentum=0.9
        )
        step = lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.3)
        _, fixed_acc = train_model(fixed, data, nn.CrossEntropyLoss(), optimizer, step, 4)
        moved = (fixed.features.conv0.weight - before).abs().max().item()
        assert fixed.features.conv0.weight.grad is None
    trained = sum(p.numel() for p in fixed.parameters() if p.requires_grad)
    print(f"scratch {scratch_acc:.3f}, fine-tuned {tuned_acc:.3f}, features {fixed_acc:.3f}")
    return {
        "pretrained": pretrained,
        "scratch": scratch_acc,
        "fine-tuned": tuned_acc,
        "features": fixed_acc,
        "moved": moved,
        "trained": trained,
        "refused": refused,
    }


if __name__ == "__main__":
    main()
