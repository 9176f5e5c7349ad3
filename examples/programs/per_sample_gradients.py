"""Gradients of every example by function transforms: noisy (private) training, influence, ensembles."""

import copy

import fovea as torch
import fovea.nn as nn
import fovea.nn.functional as F
from fovea.func import functional_call, grad, grad_and_value, hessian, jacrev, jvp, stack_module_state, vmap
from sklearn.datasets import load_digits


class SimpleCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3, 1)
        self.conv2 = nn.Conv2d(12, 16, 3, 1)
        self.fc1 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        return self.fc1(torch.flatten(x, 1))


def compute_loss(model, params, buffers, sample, target):
    batch = sample.unsqueeze(0)
    targets = target.unsqueeze(0)
    predictions = functional_call(model, (params, buffers), (batch,))
    return F.cross_entropy(predictions, targets)


def compute_sample_grads(model, data, targets):
    """One by one, for comparison."""
    sample_grads = []
    for x, y in zip(data, targets):
        loss = F.cross_entropy(model(x.unsqueeze(0)), y.unsqueeze(0))
        sample_grads.append(torch.autograd.grad(loss, list(model.parameters())))
    return [torch.stack(shards) for shards in zip(*sample_grads)]


def private_training(model, x, y, steps=60, bound=2.0, noise=0.2, lr=0.25):
    """Each example's gradient is clipped before they are summed and noise is added."""
    params = {k: v.detach() for k, v in model.named_parameters()}
    buffers = {k: v.detach() for k, v in model.named_buffers()}
    ft_compute_grad = grad_and_value(lambda p, sample, target: compute_loss(model, p, buffers, sample, target))
    per_sample = vmap(ft_compute_grad, in_dims=(None, 0, 0))
    for step in range(steps):
        pick = torch.randint(0, len(x), (64,))
        grads, losses = per_sample(params, x[pick], y[pick])
        square = sum(g.flatten(1).square().sum(1) for g in grads.values())
        scale = (bound / (square.sqrt() + 1e-6)).clamp(max=1.0)
        for name, g in grads.items():
            clipped = (g * scale.view(-1, *[1] * (g.dim() - 1))).sum(0)
            noisy = clipped + noise * bound * torch.randn_like(clipped)
            params[name] = params[name] - lr * noisy / len(pick)
    print(f"private: loss {losses.mean():.3f}, {(scale < 1).float().mean():.2f} clipped")
    model.load_state_dict(params)
    return model


def ensemble(x, y, count=4):
    """Several networks of the same kind, evaluated at once."""
    models = [nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, 10)) for _ in range(count)]
    params, buffers = stack_module_state(models)
    base = copy.deepcopy(models[0])

    def loss_of(p, b, x, y):
        return F.cross_entropy(functional_call(base, (p, b), (x,)), y)

    step = vmap(grad(loss_of), in_dims=(0, 0, None, None), randomness="different")
    for _ in range(40):
        pick = torch.randperm(len(x))[:100]
        grads = step(params, buffers, x[pick], y[pick])
        params = {k: (v - 0.5 * grads[k]).detach() for k, v in params.items()}
    logits = vmap(lambda p, b, x: functional_call(base, (p, b), (x,)), in_dims=(0, 0, None))(
        params, buffers, x)
    single = (logits.argmax(-1) == y).float().mean(-1)
    together = (logits.softmax(-1).mean(0).argmax(-1) == y).float().mean()
    return single.mean().item(), together.item()


def main():
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(digits.target)
    model = SimpleCNN()
    params = {k: v.detach() for k, v in model.named_parameters()}
    ft_compute_grad = grad(lambda p, s, t: compute_loss(model, p, {}, s, t))
    ft_per_sample = vmap(ft_compute_grad, in_dims=(None, 0, 0))(params, x[:16], y[:16])
    one_by_one = compute_sample_grads(model, x[:16], y[:16])
    gap = max((a - b).abs().max().item() for a, b in zip(one_by_one, ft_per_sample.values()))

    model = private_training(model, x[:1400], y[:1400])
    with torch.no_grad():
        accuracy = (model(x[1400:]).argmax(1) == y[1400:]).float().mean().item()

    # Curvature of a classifier that is linear, and a Jacobian on the way.
    weight = torch.zeros(10, 64)
    softmax_loss = lambda w: F.cross_entropy(x[:8].flatten(1) @ w.t(), y[:8])
    curvature = hessian(softmax_loss)(weight).reshape(640, 640)
    jacobian = jacrev(lambda v: torch.softmax(v, 0))(torch.zeros(10))
    _, slope = jvp(torch.sin, (torch.tensor(0.5),), (torch.tensor(2.0),))
    single, together = ensemble(x, y)
    print(f"gap {gap:.1e}, accuracy {accuracy:.3f}; one network {single:.3f}, four {together:.3f}")
    return {
        "gap": gap > 1e-5,
        "accuracy": accuracy,
        "single": single,
        "together": together,
        "trace": curvature.trace().item(),
        "symmetric": (curvature - curvature.t()).abs().max().item() < 1e-6,
        "jacobian": jacobian.diagonal().sum().item(),
        "slope": slope.item(),
    }


if __name__ == "__main__":
    main()
