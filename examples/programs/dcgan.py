"""A deep convolutional GAN on digits of 8 x 8 pixels."""

import fovea as torch
from fovea import nn, optim
from fovea.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits

NZ = 16


def weights_init(m):
    name = m.__class__.__name__
    if name.find("Conv") != -1:
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif name.find("BatchNorm") != -1:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(NZ, 32, 2, 1, 0, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(True),
            nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(True),
            nn.ConvTranspose2d(16, 1, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.main(z)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(1, 16, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(16, 32, 4, 2, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(32, 1, 2, 1, 0, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return self.main(x).view(-1)


def main(epochs=3):
    torch.manual_seed(0)
    images = torch.tensor(load_digits().images / 8 - 1, dtype=torch.float32).unsqueeze(1)
    loader = DataLoader(TensorDataset(images), batch_size=64, shuffle=True, drop_last=True)
    net_g, net_d = Generator(), Discriminator()
    net_g.apply(weights_init)
    net_d.apply(weights_init)
    criterion = nn.BCELoss()
    opt_d = optim.Adam(net_d.parameters(), lr=2e-3, betas=(0.5, 0.999))
    opt_g = optim.Adam(net_g.parameters(), lr=2e-3, betas=(0.5, 0.999))
    errors = []
    for epoch in range(epochs):
        for (real,) in loader:
            net_d.zero_grad()
            label = torch.full((real.size(0),), 1.0)
            err_real = criterion(net_d(real), label)
            err_real.backward()
            noise = torch.randn(real.size(0), NZ, 1, 1)
            fake = net_g(noise)
            label.fill_(0.0)
            err_fake = criterion(net_d(fake.detach()), label)
            err_fake.backward()
            opt_d.step()
            net_g.zero_grad()
            label.fill_(1.0)
            err_g = criterion(net_d(fake), label)
            err_g.backward()
            opt_g.step()
            errors.append((err_real + err_fake).item())
        print(f"epoch {epoch}: D {errors[-1]:.3f} G {err_g.item():.3f}")
    return {"first": errors[0], "discriminator": sum(errors[-10:]) / 10}


if __name__ == "__main__":
    main()
