"""A variational autoencoder on digits of 8 x 8 pixels."""

import fovea as torch
import fovea.nn.functional as F
from fovea import nn, optim
from fovea.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits


class VAE(nn.Module):
    def __init__(self, hidden=64, latent=8):
        super().__init__()
        self.fc1 = nn.Linear(64, hidden)
        self.mu, self.logvar = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.fc3, self.fc4 = nn.Linear(latent, hidden), nn.Linear(hidden, 64)

    def encode(self, x):
        h = F.relu(self.fc1(x))
        return self.mu(h), self.logvar(h)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        return mu + torch.randn_like(std) * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 64))
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


def loss_function(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x.view(-1, 64), reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce + kld


def main(epochs=12, compile=False):
    torch.manual_seed(1)
    images = torch.tensor(load_digits().images / 16, dtype=torch.float32)
    loader = DataLoader(TensorDataset(images), batch_size=64, shuffle=True)
    model = VAE()
    if compile:
        model = torch.compile(model)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(1, epochs + 1):
        model.train()
        total = 0.0
        for (x,) in loader:
            optimizer.zero_grad()
            loss = loss_function(*((lambda r, m, v: (r, x, m, v))(*model(x))))
            loss.backward()
            total += loss.item()
            optimizer.step()
        print(f"epoch {epoch}: loss {total / len(images):.3f}")
    model.eval()
    with torch.no_grad():
        sample = model.decode(torch.randn(16, 8))
    assert sample.shape == (16, 64)
    return {"loss": total / len(images)}


if __name__ == "__main__":
    main()
