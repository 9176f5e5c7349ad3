"""Large batches in small pieces: accumulated gradients, clipping, and averages of the weights."""

import copy
import math

import fovea as torch
from fovea import nn, optim
from fovea.nn.utils import clip_grad_norm_, parameters_to_vector
from fovea.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn
from fovea.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits


class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.GroupNorm(4, dim)
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)
        self.gamma = nn.Parameter(0.1 * torch.ones(dim, 1, 1))

    def forward(self, x):
        return x + self.gamma * self.conv(nn.functional.gelu(self.norm(x)))


class Net(nn.Module):
    def __init__(self, dim=24, depth=2):
        super().__init__()
        self.stem = nn.Conv2d(1, dim, 2, stride=2)
        self.bn = nn.BatchNorm2d(dim)
        self.blocks = nn.ModuleList([Block(dim) for _ in range(depth)])
        self.head = nn.Linear(dim, 10)

    def forward(self, x):
        x = self.bn(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(dim=(2, 3)))


def accumulated(model, criterion, batch, parts):
    """Gradients of a batch, piece by piece; the loss of the whole."""
    total = 0.0
    for x, y in zip(*(t.chunk(parts) for t in batch)):
        loss = criterion(model(x), y) * (len(x) / len(batch[0]))
        loss.backward()
        total += loss.detach()
    return total


@torch.no_grad()
def accuracy(model, x, y):
    model.eval()
    return (model(x).argmax(1) == y).double().mean().item()


def gap(model, criterion, batch):
    """Between the gradient in pieces and the gradient at once, without batch statistics."""
    model = copy.deepcopy(model).eval()
    found = []
    for parts in (1, 4):
        model.zero_grad()
        accumulated(model, criterion, batch, parts)
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    return (found[0] - found[1]).norm().item() / found[0].norm().item()


def main(epochs=10, parts=4):
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.from_numpy(digits.images).to(torch.float32).div_(16).unsqueeze(1)
    y = torch.from_numpy(digits.target).long()
    loader = DataLoader(TensorDataset(x[:1400], y[:1400]), 128, shuffle=True)
    model, criterion = Net(), nn.CrossEntropyLoss(label_smoothing=0.05)
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    swa = AveragedModel(model)
    optimizer = optim.SGD(model.parameters(), lr=0.2, momentum=0.9, nesterov=True)
    cosine = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    swa_start, swa_scheduler = epochs - 3, SWALR(optimizer, swa_lr=0.05, anneal_epochs=2)
    clipped = steps = 0
    for epoch in range(epochs):
        model.train()
        for batch in loader:
            optimizer.zero_grad()
            loss = accumulated(model, criterion, batch, parts)
            norm = clip_grad_norm_(model.parameters(), max_norm=1.0)
            assert not math.isnan(norm)
            clipped, steps = clipped + (norm > 1.0).item(), steps + 1
            optimizer.step()
            ema.update_parameters(model)
        if epoch >= swa_start:
            swa.update_parameters(model)
            swa_scheduler.step()
        else:
            cosine.step()
        print(f"epoch {epoch}: loss {loss:.3f}, rate {optimizer.param_groups[0]['lr']:.3f}")
    update_bn(DataLoader(TensorDataset(x[:1400], y[:1400]), 200), swa)
    distance = parameters_to_vector(model.parameters()) - parameters_to_vector(ema.module.parameters())
    print(f"{clipped} of {steps} steps clipped, {int(swa.n_averaged)} averaged, {distance.norm():.3f}")
    return {
        "plain": accuracy(model, x[1400:], y[1400:]),
        "ema": accuracy(ema, x[1400:], y[1400:]),
        "swa": accuracy(swa, x[1400:], y[1400:]),
        "gap": gap(model, criterion, (x[:128], y[:128])),
        "averaged": int(swa.n_averaged),
    }


if __name__ == "__main__":
    main()
