"""Adversarial examples by the fast gradient sign, and training that resists them."""

import fovea as torch
import fovea.nn as nn
import fovea.nn.functional as F
from fovea.utils.data import DataLoader, TensorDataset, random_split
from sklearn.datasets import load_digits

epsilons = [0, 0.05, 0.1, 0.15, 0.2]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=3, padding=1),
            nn.BatchNorm2d(32),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(32, 32, kernel_size=3, stride=2, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
        )
        self.classifier = nn.Sequential(
            nn.Dropout2d(0.1), nn.Flatten(), nn.Linear(32 * 16, 64), nn.ReLU(), nn.Linear(64, 10)
        )

    def forward(self, x):
        return self.classifier(self.features(x))


def fgsm_attack(image, epsilon, data_grad):
    sign_data_grad = data_grad.sign()
    perturbed_image = image + epsilon * sign_data_grad
    return torch.clamp(perturbed_image, 0, 1)


def gradient(model, data, target):
    data = data.clone().detach().requires_grad_(True)
    loss = F.cross_entropy(model(data), target)
    model.zero_grad()
    loss.backward()
    return data.grad.data


def test(model, loader, epsilon):
    model.eval()
    correct, adv_examples = 0, []
    for data, target in loader:
        perturbed_data = fgsm_attack(data, epsilon, gradient(model, data, target))
        with torch.inference_mode():
            init_pred = model(data).max(1, keepdim=True)[1]
            final_pred = model(perturbed_data).max(1, keepdim=True)[1]
        correct += final_pred.squeeze(1).eq(target).sum().item()
        fooled = (init_pred.squeeze(1) == target) & (final_pred.squeeze(1) != target)
        if fooled.any() and len(adv_examples) < 5:
            adv_ex = perturbed_data[fooled][0].squeeze().detach().cpu().numpy()
            adv_examples.append((init_pred[fooled][0].item(), final_pred[fooled][0].item(), adv_ex))
    final_acc = correct / float(len(loader.dataset))
    print(f"Epsilon: {epsilon}\tTest Accuracy = {correct} / {len(loader.dataset)} = {final_acc}")
    return final_acc, adv_examples


def project(delta, size):
    """Onto the ball: in place, as attacks of several steps do."""
    with torch.no_grad():
        delta.clamp_(-size, size)


def pgd(model, data, target, size, steps=4):
    delta = torch.empty_like(data).uniform_(-size, size).requires_grad_()
    for _ in range(steps):
        loss = nn.CrossEntropyLoss()(model(data + delta), target)
        (grad,) = torch.autograd.grad(loss, [delta])
        delta.data.add_(size / 2 * torch.sign(grad))
        project(delta, size)
    return (data + delta).clamp(0, 1).detach()


def train(loader, adversarial=False, epochs=5):
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003, weight_decay=1e-4)
    for _ in range(epochs):
        model.train()
        for data, target in loader:
            if adversarial:
                moved = fgsm_attack(data, 0.15, gradient(model, data, target))
                data, target = torch.cat([data, moved]), target.repeat(2)
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(data), target).backward()
            optimizer.step()
    return model


def main():
    digits = load_digits()
    x = torch.as_tensor(digits.images / 16).float()[:, None]
    dataset = TensorDataset(x, torch.as_tensor(digits.target))
    generator = torch.Generator().manual_seed(7)
    train_set, test_set = random_split(dataset, [0.8, 0.2], generator=generator)
    train_loader = DataLoader(train_set, batch_size=48, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=64)
    plain = train(train_loader)
    accuracies, examples = zip(*[test(plain, test_loader, eps) for eps in epsilons])
    hardened = train(train_loader, adversarial=True)
    after, _ = test(hardened, test_loader, 0.15)
    data, target = next(iter(test_loader))
    robust = (hardened.eval()(pgd(hardened, data, target, 0.1)).argmax(-1) == target).float().mean()
    print(f"{sum(map(len, examples))} examples; after four steps {robust:.3f}")
    return {
        "clean": accuracies[0],
        "fooled": 1 - accuracies[-1],
        "hardened": after,
        "pgd": robust.item(),
    }


if __name__ == "__main__":
    main()
