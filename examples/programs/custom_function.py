"""Functions with gradients of their own: rounding that learns, a sphere, a clip with memory."""

import fovea as torch
import fovea.nn as nn
from fovea.autograd import Function, gradcheck
from sklearn.datasets import load_digits


class LearnedQuantize(Function):
    """Rounds to steps of a learned size; the gradient passes as if it did not."""

    @staticmethod
    def forward(ctx, x, step, low, high):
        scaled = x / step
        q = scaled.round().clamp(low, high)
        ctx.save_for_backward(scaled, q)
        ctx.range = low, high
        return q * step

    @staticmethod
    def backward(ctx, grad_output):
        scaled, q = ctx.saved_tensors
        low, high = ctx.range
        inside = (scaled >= low) & (scaled <= high)
        grad_x = grad_output * inside
        grad_step = (grad_output * torch.where(inside, q - scaled, q)).sum()
        return grad_x, grad_step.reshape(()), None, None


class MySwish(Function):
    @staticmethod
    def forward(ctx, i):
        result = i * i.sigmoid()
        ctx.save_for_backward(i)
        return result

    @staticmethod
    def backward(ctx, grad_output):
        (i,) = ctx.saved_tensors
        sigmoid_i = i.sigmoid()
        return grad_output * (sigmoid_i * (1 + i * (1 - sigmoid_i)))


class Polar(Function):
    """Radius and angle of points: two results, either of which may go unused."""

    @staticmethod
    def forward(x, y):
        return torch.hypot(x, y), torch.atan2(y, x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, y = inputs
        ctx.save_for_backward(x, y)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, grad_r, grad_a):
        x, y = ctx.saved_tensors
        square = x * x + y * y
        gx, gy = torch.zeros_like(x), torch.zeros_like(y)
        if grad_r is not None:
            gx, gy = gx + grad_r * x / square.sqrt(), gy + grad_r * y / square.sqrt()
        if grad_a is not None:
            gx, gy = gx - grad_a * y / square, gy + grad_a * x / square
        return gx, gy


class ScaleGradient(Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return (ctx.factor * grad if ctx.needs_input_grad[0] else None), None


class QuantLinear(nn.Linear):
    """Weights and activations of few bits."""

    def __init__(self, in_features, out_features, bits=3):
        super().__init__(in_features, out_features)
        self.high = 2 ** (bits - 1) - 1
        self.step = nn.Parameter(self.weight.detach().abs().mean() * 2 / self.high**0.5)

    def forward(self, x):
        weight = LearnedQuantize.apply(self.weight, self.step, -self.high - 1, self.high)
        return nn.functional.linear(x, weight, self.bias)

    def levels(self):
        weight = LearnedQuantize.apply(self.weight, self.step, -self.high - 1, self.high)
        return (weight / self.step).round().unique().numel()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = QuantLinear(64, 48), QuantLinear(48, 10)

    def forward(self, x):
        x = MySwish.apply(self.fc1(x))
        return self.fc2(ScaleGradient.apply(x, 0.5))


def checks():
    torch.manual_seed(1)
    x = torch.randn(4, 3, dtype=torch.double, requires_grad=True)
    y = torch.randn(4, 3, dtype=torch.double, requires_grad=True)
    right = gradcheck(MySwish.apply, (x,), eps=1e-6, atol=1e-5)
    right += gradcheck(Polar.apply, (x, y))
    right += torch.autograd.gradgradcheck(MySwish.apply, (x,))
    radius, _ = Polar.apply(x, y)
    (gx,) = torch.autograd.grad(radius.sum(), x)
    right += torch.allclose(gx, (x / radius).detach())
    scaled = ScaleGradient.apply(x, 3.0)
    scaled.sum().backward()
    right += bool((x.grad == 3).all())
    return right


def main(epochs=6):
    right = checks()
    torch.manual_seed(0)
    digits = load_digits()
    x, y = torch.tensor(digits.data / 16).float(), torch.tensor(digits.target)
    net, criterion = Net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    before = net.fc1.step.item()
    for epoch in range(epochs):
        for batch in torch.randperm(1400).split(50):
            optimizer.zero_grad()
            loss = criterion(net(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.3f}, step {net.fc1.step.item():.4f}")
    with torch.no_grad():
        accuracy = (net(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
    return {
        "right": right,
        "accuracy": accuracy,
        "levels": net.fc1.levels(),
        "moved": abs(net.fc1.step.item() - before) > 1e-4,
    }


if __name__ == "__main__":
    print(main())
