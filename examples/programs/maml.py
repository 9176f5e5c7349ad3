"""Learning to learn (MAML): weights from which one step fits a new sine, and new digits."""

import math

import fovea as torch
import fovea.nn.functional as F
from fovea import nn
from fovea.func import grad, vmap
from sklearn.datasets import load_digits


def net(params, x):
    x = F.linear(x, params[0], params[1])
    x = F.relu(x)
    x = F.linear(x, params[2], params[3])
    x = F.relu(x)
    return F.linear(x, params[4], params[5])


def initial(sizes=(1, 40, 40, 1)):
    params = []
    for i, o in zip(sizes[:-1], sizes[1:]):
        bound = 1.0 / math.sqrt(i)
        params.append(torch.empty(o, i).uniform_(-bound, bound).requires_grad_())
        params.append(torch.zeros(o).requires_grad_())
    return params


def sample_tasks(outer_batch_size, inner_batch_size):
    As = torch.empty(outer_batch_size, 1, 1).uniform_(0.5, 2.0)
    phases = torch.empty(outer_batch_size, 1, 1).uniform_(0, math.pi)
    xs = torch.rand(2, outer_batch_size, inner_batch_size, 1) * 10 - 5
    ys = As * torch.sin(xs + phases)
    return xs[0], ys[0], xs[1], ys[1]


def sines(meta_steps=100, alpha=0.1, num_tasks=8, K=10):
    params = initial()
    opt = torch.optim.Adam(params, lr=4e-3)

    def get_loss_for_task(x1, y1, x2, y2):
        def inner_loss(params, x1, y1):
            return nn.functional.mse_loss(net(params, x1), y1)

        grads = grad(inner_loss)(tuple(params), x1, y1)
        new_params = [(params[i] - alpha * grads[i]) for i in range(len(params))]
        return nn.functional.mse_loss(net(new_params, x2), y2)

    losses = []
    for step in range(meta_steps):
        opt.zero_grad()
        inner_losses = vmap(get_loss_for_task)(*sample_tasks(num_tasks, K))
        loss2 = inner_losses.mean()
        loss2.backward()
        opt.step()
        losses.append(loss2.item())
    return sum(losses[:10]) / 10, sum(losses[-20:]) / 20


def episode(x, y, ways, shots):
    """A few classes with few examples each; others of the same to answer for."""
    classes = torch.randperm(10)[:ways].tolist()
    support, query = [], []
    for c in classes:
        members = torch.nonzero(y == c).squeeze(1)
        members = members[torch.randperm(len(members))[: shots + 10]]
        support.append(members[:shots])
        query.append(members[shots:])
    s, q = torch.cat(support), torch.cat(query)
    return x[s], torch.arange(ways).repeat_interleave(shots), x[q], torch.arange(ways).repeat_interleave(10)


class Learner(nn.Module):
    def __init__(self, ways):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16, track_running_stats=False)
        self.fc = nn.Linear(256, ways)

    def forward(self, x):
        return self.fc(F.max_pool2d(F.relu(self.norm(self.conv(x))), 2).flatten(1))


def adapt(learner, x, y, lr, steps, create_graph):
    weights = dict(learner.named_parameters())
    for _ in range(steps):
        loss = F.cross_entropy(torch.func.functional_call(learner, weights, (x,)), y)
        grads = torch.autograd.grad(loss, weights.values(), create_graph=create_graph)
        weights = {name: w - lr * g for (name, w), g in zip(weights.items(), grads)}
    return weights


def digits(meta_steps=40, ways=5, shots=2, lr=0.4):
    data = load_digits()
    x = torch.tensor(data.images / 16, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(data.target)
    learner = Learner(ways)
    optimizer = torch.optim.Adam(learner.parameters(), lr=3e-3)
    for step in range(meta_steps):
        optimizer.zero_grad()
        for _ in range(2):
            sx, sy, qx, qy = episode(x[:1400], y[:1400], ways, shots)
            weights = adapt(learner, sx, sy, lr, steps=2, create_graph=True)
            loss = F.cross_entropy(torch.func.functional_call(learner, weights, (qx,)), qy) / 2
            loss.backward()
        optimizer.step()
    right = []
    for _ in range(20):
        sx, sy, qx, qy = episode(x[1400:], y[1400:], ways, shots)
        weights = adapt(learner, sx, sy, lr, steps=4, create_graph=False)
        with torch.no_grad():
            logits = torch.func.functional_call(learner, weights, (qx,))
        right.append((logits.argmax(1) == qy).float().mean())
    return torch.stack(right).mean().item()


def main():
    torch.manual_seed(0)
    first, last = sines()
    accuracy = digits()
    print(f"sines: {first:.3f} to {last:.3f}; five new classes from two examples: {accuracy:.3f}")
    return {"first": first, "last": last, "accuracy": accuracy}


if __name__ == "__main__":
    main()
