"""Training that stops in the middle and goes on, bit for bit as if it had never stopped."""

import os
import random
import tempfile

import fovea as torch
import fovea.nn as nn
import numpy as np
from fovea.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from fovea.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits


def build():
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.SiLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(256, 10),
    )
    decay = [p for n, p in model.named_parameters() if p.ndim > 1]
    rest = [p for n, p in model.named_parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}],
        lr=4e-3,
        amsgrad=True,
    )
    warmup = LinearLR(optimizer, start_factor=0.1, total_iters=2)
    cosine = CosineAnnealingLR(optimizer, T_max=4, eta_min=1e-4)
    return model, optimizer, SequentialLR(optimizer, [warmup, cosine], milestones=[2])


def seed_everything(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def train_epoch(model, optimizer, loader):
    model.train()
    total = 0.0
    for x, y in loader:
        x = x + 0.05 * torch.randn_like(x)
        if random.random() < 0.5:
            x = torch.roll(x, shifts=int(np.random.randint(-1, 2)), dims=-1)
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * x.size(0)
    return total / len(loader.dataset)


def save_checkpoint(path, epoch, model, optimizer, scheduler, best):
    torch.save(
        {
            "epoch": epoch,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "rng": {
                "python": random.getstate(),
                "numpy": np.random.get_state(),
                "torch": torch.get_rng_state(),
            },
            "best": best,
        },
        path,
    )


def load_checkpoint(path, model, optimizer, scheduler):
    checkpoint = torch.load(path, map_location="cpu", weights_only=False)
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    scheduler.load_state_dict(checkpoint["scheduler"])
    random.setstate(checkpoint["rng"]["python"])
    np.random.set_state(checkpoint["rng"]["numpy"])
    torch.set_rng_state(checkpoint["rng"]["torch"])
    return checkpoint["epoch"] + 1, checkpoint["best"]


def fit(loader, epochs, path, resume=False, stop_after=None):
    model, optimizer, scheduler = build()
    start, best = 0, float("inf")
    if resume:
        start, best = load_checkpoint(path, model, optimizer, scheduler)
        print(f"going on with epoch {start}, best {best:.4f}")
    for epoch in range(start, epochs):
        loss = train_epoch(model, optimizer, loader)
        scheduler.step()
        best = min(best, loss)
        print(f"epoch {epoch}: loss {loss:.4f}, rate {scheduler.get_last_lr()[0]:.5f}")
        save_checkpoint(path, epoch, model, optimizer, scheduler, best)
        if stop_after is not None and epoch + 1 == stop_after:
            break
    return model, optimizer, loss


def difference(a, b):
    """How many entries of two state dictionaries differ in any bit."""
    assert a.keys() == b.keys()
    return sum(not torch.equal(a[key], b[key]) for key in a)


def main(epochs=6):
    digits = load_digits()
    x = torch.tensor(digits.images[:1000] / 16.0, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(digits.target[:1000])
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "checkpoint.pt")
        seed_everything(3)
        through, optimizer, loss = fit(loader, epochs, path)
        seed_everything(3)
        fit(loader, epochs, path, stop_after=3)
        seed_everything(99)
        resumed, again, loss_again = fit(loader, epochs, path, resume=True)
    moments, others = optimizer.state_dict()["state"], again.state_dict()["state"]
    differing = difference(through.state_dict(), resumed.state_dict())
    differing += sum(difference(moments[i], others[i]) for i in moments)
    print(f"{differing} tensors differ; losses {loss:.6f} and {loss_again:.6f}")
    return {"loss": loss, "differing": differing, "loss difference": abs(loss - loss_again)}


if __name__ == "__main__":
    main()
