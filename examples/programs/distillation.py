"""Knowledge distillation: a small network learns from a large one's soft answers."""

import fovea as torch
import fovea.nn as nn
import fovea.nn.functional as F
import fovea.optim as optim
from fovea.utils.data import DataLoader, TensorDataset, random_split
from sklearn.datasets import load_digits


def network(width):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10),
    )


def distillation_loss(student, teacher, labels, temperature=4.0, alpha=0.7):
    soft = nn.KLDivLoss(reduction="batchmean")(
        F.log_softmax(student / temperature, dim=1), F.softmax(teacher / temperature, dim=1)
    )
    return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(student, labels)


def train(model, loader, epochs, loss_of):
    optimizer = optim.AdamW(model.parameters(), lr=5e-3)
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, epochs * len(loader))
    model.train()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(model(x), x, y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            scheduler.step()


@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    right = sum((model(x).argmax(1) == y).sum().item() for x, y in loader)
    return right / len(loader.dataset)


def main(epochs=5):
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)
    data = TensorDataset(images, torch.tensor(digits.target))
    training, test = random_split(data, [1400, 397], generator=torch.Generator().manual_seed(1))
    loader = DataLoader(training, batch_size=64, shuffle=True)
    test_loader = DataLoader(test, batch_size=256)
    teacher, student = network(32), network(8)
    train(teacher, loader, epochs, lambda out, x, y: F.cross_entropy(out, y))
    teacher.eval()

    def loss_of(out, x, y):
        with torch.no_grad():
            soft = teacher(x)
        return distillation_loss(out, soft, y)

    train(student, loader, 3 * epochs, loss_of)
    found = {"teacher": accuracy(teacher, test_loader), "student": accuracy(student, test_loader)}
    print(found)
    return found


if __name__ == "__main__":
    main()
