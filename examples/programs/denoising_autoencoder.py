"""A denoising autoencoder: convolutions down, transposed convolutions up, and its code drawn."""

import fovea as torch
from fovea import nn
from fovea.nn import functional as F
from fovea.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier


class Encoder(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.ReLU(True),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.InstanceNorm2d(32, affine=True),
            nn.ReLU(True),
        )
        self.flatten = nn.Flatten(start_dim=1)
        self.lin = nn.Sequential(nn.Linear(2 * 2 * 32, 64), nn.ReLU(True), nn.Linear(64, latent_dim))

    def forward(self, x):
        return self.lin(self.flatten(self.conv(x)))


class Decoder(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.lin = nn.Sequential(nn.Linear(latent_dim, 64), nn.ReLU(True), nn.Linear(64, 2 * 2 * 32))
        self.unflatten = nn.Unflatten(dim=1, unflattened_size=(32, 2, 2))
        self.conv = nn.Sequential(
            nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(True),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Conv2d(16, 1, 3, padding=1, padding_mode="reflect"),
        )

    def forward(self, x):
        x = self.unflatten(self.lin(x))
        return torch.sigmoid(self.conv(x))


def add_noise(inputs, noise_factor=0.3, drop=0.1):
    noisy = inputs + torch.randn_like(inputs) * noise_factor
    noisy = torch.where(torch.rand_like(inputs) < drop, torch.zeros_like(noisy), noisy)
    return torch.clip(noisy, 0.0, 1.0)


def train_epoch(encoder, decoder, loader, loss_fn, optimizer):
    encoder.train()
    decoder.train()
    train_loss = []
    for image_batch, _ in loader:
        image_noisy = add_noise(image_batch)
        decoded_data = decoder(encoder(image_noisy))
        loss = loss_fn(decoded_data, image_batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        train_loss.append(loss.detach().cpu().numpy())
    return sum(train_loss) / len(train_loss)


@torch.no_grad()
def test_epoch(encoder, decoder, loader, loss_fn):
    encoder.eval()
    decoder.eval()
    out, label, noisy = [], [], []
    for image_batch, _ in loader:
        image_noisy = add_noise(image_batch)
        out.append(decoder(encoder(image_noisy)).cpu())
        label.append(image_batch.cpu())
        noisy.append(image_noisy)
    out, label, noisy = torch.cat(out), torch.cat(label), torch.cat(noisy)
    return loss_fn(out, label).data.item(), loss_fn(noisy, label).data.item()


def psnr(mse):
    return -10 * torch.log10(torch.tensor(mse))


def main(num_epochs=15, latent_dim=12, compile=False):
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.from_numpy(digits.images.astype("float32") / 16).unsqueeze(1)
    y = torch.from_numpy(digits.target)
    train_loader = DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=64, shuffle=True)
    test_loader = DataLoader(TensorDataset(x[1400:], y[1400:]), batch_size=128)
    encoder, decoder = Encoder(latent_dim), Decoder(latent_dim)
    if compile:
        encoder, decoder = torch.compile(encoder), torch.compile(decoder)
    params_to_optimize = [{"params": encoder.parameters()}, {"params": decoder.parameters()}]
    optimizer = torch.optim.Adam(params_to_optimize, lr=3e-3, weight_decay=1e-5)
    loss_fn = nn.MSELoss()
    diz_loss = {"train_loss": [], "val_loss": []}
    for epoch in range(num_epochs):
        train_loss = train_epoch(encoder, decoder, train_loader, loss_fn, optimizer)
        val_loss, noise = test_epoch(encoder, decoder, test_loader, loss_fn)
        print(f"EPOCH {epoch + 1}/{num_epochs} train {train_loss:.4f} val {val_loss:.4f}")
        diz_loss["train_loss"].append(float(train_loss))
        diz_loss["val_loss"].append(val_loss)
    with torch.inference_mode():
        codes = encoder(x).numpy()
    neighbors = KNeighborsClassifier(5).fit(codes[:1400], y[:1400].numpy())
    accuracy = neighbors.score(codes[1400:], y[1400:].numpy())
    huber = F.huber_loss(decoder(encoder(x[1400:])), x[1400:], delta=0.5).item()
    print(f"PSNR {psnr(val_loss):.2f} dB from {psnr(noise):.2f} dB; neighbors {accuracy:.3f}")
    return {"error": val_loss, "noise": noise, "accuracy": accuracy, "huber": huber}


if __name__ == "__main__":
    main()
