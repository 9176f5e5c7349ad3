"""Reading rows of digits: convolutions, a recurrent network and CTC."""

import fovea as torch
import fovea.nn as nn
import fovea.optim as optim
import numpy as np
from sklearn.datasets import load_digits

LENGTH = 2


class CRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d((2, 2)),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d((4, 1)),
        )
        self.rnn = nn.LSTM(64, 32, bidirectional=True, batch_first=True)
        self.head = nn.Linear(64, 11)

    def forward(self, x):
        x = self.conv(x).squeeze(2).permute(0, 2, 1)
        x, _ = self.rnn(x)
        return self.head(x).log_softmax(2).permute(1, 0, 2)


def rows(rng, images, labels, count):
    picks = rng.integers(0, len(labels), (count, LENGTH))
    x = np.concatenate(list(images[picks].transpose(1, 0, 2, 3)), axis=2)
    return torch.from_numpy(x).unsqueeze(1), torch.from_numpy(labels[picks] + 1)


def decode(log_probs):
    best = log_probs.argmax(2).permute(1, 0).tolist()
    return [[c for c, before in zip(row, [0, *row]) if c and c != before] for row in best]


def main(steps=450, compile=False):
    torch.manual_seed(0)
    rng, digits = np.random.default_rng(0), load_digits()
    images, labels = (digits.images / 16).astype("float32"), digits.target
    model, criterion = CRNN(), nn.CTCLoss(blank=0, zero_infinity=True)
    if compile:
        model = torch.compile(model)
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for step in range(steps):
        x, y = rows(rng, images[:1400], labels[:1400], 32)
        out = model(x)
        lengths = torch.full((32,), out.size(0), dtype=torch.long)
        targets = torch.full((32,), LENGTH, dtype=torch.long)
        loss = criterion(out, y, lengths, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.3f}")
    model.eval()
    with torch.no_grad():
        x, y = rows(rng, images[1400:], labels[1400:], 200)
        found = decode(model(x))
    right = sum(a == b for a, b in zip(found, y.tolist())) / 200
    print(f"rows read without a mistake: {right:.2f}")
    return {"loss": loss.item(), "right": right}


if __name__ == "__main__":
    main()
