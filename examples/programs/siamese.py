"""Embeddings by triplets: digits of one class lie together."""

import fovea as torch
import fovea.nn as nn
import fovea.optim as optim
import numpy as np
from sklearn.datasets import load_digits


class Embedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.convnet = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.PReLU(), nn.MaxPool2d(2, stride=2),
            nn.Conv2d(16, 32, 3, padding=1), nn.PReLU(), nn.MaxPool2d(2, stride=2),
        )
        self.fc = nn.Sequential(nn.Linear(32 * 2 * 2, 64), nn.PReLU(), nn.Linear(64, 8))

    def forward(self, x):
        output = self.convnet(x)
        output = output.view(output.size()[0], -1)
        return nn.functional.normalize(self.fc(output), dim=1)


def triplets(rng, labels, count):
    anchors = rng.integers(0, len(labels), count)
    positives = [rng.choice(np.flatnonzero(labels == labels[a])) for a in anchors]
    negatives = [rng.choice(np.flatnonzero(labels != labels[a])) for a in anchors]
    return anchors, np.array(positives), np.array(negatives)


def main(steps=120):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    digits = load_digits()
    x = torch.from_numpy((digits.images / 16).astype("float32")).unsqueeze(1)
    labels = digits.target
    model = Embedding()
    criterion = nn.TripletMarginLoss(margin=0.5)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    for step in range(steps):
        a, p, n = (x[torch.from_numpy(i)] for i in triplets(rng, labels[:1400], 64))
        optimizer.zero_grad()
        loss = criterion(model(a), model(p), model(n))
        loss.backward()
        optimizer.step()
        if step % 40 == 0:
            print(f"step {step}: loss {loss.item():.4f}")
    model.eval()
    with torch.no_grad():
        known, unknown = model(x[:1400]), model(x[1400:])
    nearest = torch.cdist(unknown, known).argmin(dim=1)
    found = labels[:1400][nearest.numpy()]
    return {"accuracy": float((found == labels[1400:]).mean())}


if __name__ == "__main__":
    print(main())
