"""Grad-CAM: which pixels a classifier looks at, by hooks on its last convolution."""

import fovea as torch
import fovea.nn as nn
import fovea.nn.functional as F
import fovea.optim as optim
from sklearn.datasets import load_digits


class GradCAM:
    def __init__(self, model, layer):
        self.model, self.activations, self.gradients = model, None, None
        layer.register_forward_hook(self.save_activation)
        layer.register_full_backward_hook(self.save_gradient)

    def save_activation(self, module, inputs, output):
        self.activations = output.detach()

    def save_gradient(self, module, grad_input, grad_output):
        self.gradients = grad_output[0].detach()

    def __call__(self, x, target=None):
        logits = self.model(x)
        target = logits.argmax(1) if target is None else target
        self.model.zero_grad()
        logits.gather(1, target.unsqueeze(1)).sum().backward()
        weights = self.gradients.mean(dim=(2, 3), keepdim=True)
        cam = F.relu((weights * self.activations).sum(dim=1, keepdim=True))
        cam = F.interpolate(cam, x.shape[2:], mode="bilinear", align_corners=False)
        return cam / (cam.amax(dim=(2, 3), keepdim=True) + 1e-8)


def main(epochs=6):
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(digits.target)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )
    optimizer = optim.RMSprop(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(1400).split(50):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    cam = GradCAM(model, model[2])(x[1400:])
    assert cam.shape == (397, 1, 8, 8)
    accuracy = (model(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
    print(f"accuracy {accuracy:.3f}")
    return {"accuracy": accuracy}


if __name__ == "__main__":
    main()
