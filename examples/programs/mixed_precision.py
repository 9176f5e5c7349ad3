"""Mixed precision: autocast in bfloat16, a scaler of gradients, and master weights of float32."""

import fovea as torch
import fovea.nn as nn
import fovea.nn.functional as F
from fovea.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits


class SqueezeExcite(nn.Module):
    def __init__(self, dim, ratio=4):
        super().__init__()
        self.fc1 = nn.Conv2d(dim, dim // ratio, 1)
        self.fc2 = nn.Conv2d(dim // ratio, dim, 1)

    def forward(self, x):
        scale = F.adaptive_avg_pool2d(x, 1)
        scale = F.hardsigmoid(self.fc2(F.relu(self.fc1(scale))))
        return x * scale


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(32)
        self.se = SqueezeExcite(32)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1, stride=2)
        self.norm2 = nn.BatchNorm2d(64)
        self.fc = nn.Linear(64 * 16, 10)
        self.seen = set()

    def forward(self, x):
        x = self.se(F.relu(self.norm1(self.conv1(x))))
        x = F.relu(self.norm2(self.conv2(x)))
        self.seen.add(x.dtype)
        return self.fc(x.flatten(1))


def train(loader, use_amp, epochs=4):
    torch.manual_seed(0)
    net = Net()
    opt = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", enabled=use_amp, init_scale=2.0**12, growth_interval=50)
    skipped = 0
    for epoch in range(epochs):
        for input, target in loader:
            with torch.autocast(device_type="cpu", dtype=torch.bfloat16, enabled=use_amp):
                output = net(input)
                assert output.dtype is (torch.bfloat16 if use_amp else torch.float32)
                loss = F.cross_entropy(output, target)
                assert loss.dtype is torch.float32
            scaler.scale(loss).backward()
            scaler.unscale_(opt)
            norm = torch.nn.utils.clip_grad_norm_(net.parameters(), max_norm=2.0)
            before = scaler.get_scale()
            scaler.step(opt)
            scaler.update()
            skipped += scaler.get_scale() < before
            opt.zero_grad()
        print(f"epoch {epoch}: loss {loss.item():.3f}, norm {norm:.3f}, scale {scaler.get_scale():.0f}")
    assert all(p.dtype is torch.float32 for p in net.parameters())
    return net, scaler, skipped


def an_overflow_is_skipped(net):
    """Infinite gradients: no step, and half the scale."""
    opt = torch.optim.Adam(net.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    before = net.fc.weight.detach().clone()
    loss = net.fc(torch.ones(1, 64 * 16)).sum() * float("inf")
    scaler.scale(loss).backward()
    scaler.step(opt)
    scaler.update()
    same = torch.equal(before, net.fc.weight)
    net.zero_grad()
    return same and scaler.get_scale() == 512.0


@torch.no_grad()
def evaluate(net, x, y, use_amp):
    net.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=use_amp):
        logits = net(x)
        with torch.autocast("cpu", enabled=False):
            probabilities = logits.float().softmax(-1)
    return (probabilities.argmax(1) == y).float().mean().item(), probabilities


def main():
    digits = load_digits()
    x = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(digits.target)
    loader = DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=64, shuffle=True)
    plain, _, _ = train(loader, use_amp=False)
    mixed, scaler, skipped = train(loader, use_amp=True)
    full_acc, _ = evaluate(plain, x[1400:], y[1400:], False)
    mixed_acc, low = evaluate(mixed, x[1400:], y[1400:], True)
    _, high = evaluate(mixed, x[1400:], y[1400:], False)
    half = Net()
    half.load_state_dict(mixed.state_dict())
    half = half.to(torch.bfloat16).eval()
    with torch.no_grad():
        half_acc = (half(x[1400:].bfloat16()).argmax(1) == y[1400:]).float().mean().item()
    state = scaler.state_dict()
    overflow = an_overflow_is_skipped(mixed)
    print(f"{full_acc:.3f} in float32, {mixed_acc:.3f} mixed, {half_acc:.3f} in bfloat16 alone")
    return {
        "float32": full_acc,
        "mixed": mixed_acc,
        "bfloat16": half_acc,
        "gap": (low - high).abs().max().item(),
        "scale": state["scale"],
        "tracker": state["_growth_tracker"],
        "skipped": skipped,
        "overflow": overflow,
        "types": len(mixed.seen),
    }


if __name__ == "__main__":
    main()
