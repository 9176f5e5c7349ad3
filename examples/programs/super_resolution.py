"""Super-resolution by sub-pixel convolution: digits of 4 x 4 pixels become 8 x 8 again."""

import fovea as torch
import fovea.nn as nn
import fovea.nn.functional as F
import fovea.nn.init as init
import fovea.optim as optim
from sklearn.datasets import load_digits


class Net(nn.Module):
    def __init__(self, upscale_factor):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(1, 32, (5, 5), (1, 1), (2, 2))
        self.conv2 = nn.Conv2d(32, 32, (3, 3), (1, 1), (1, 1))
        self.conv3 = nn.Conv2d(32, upscale_factor**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        init.orthogonal_(self.conv1.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv2.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv3.weight)

    def forward(self, x):
        x = self.relu(self.conv2(self.relu(self.conv1(x))))
        return self.pixel_shuffle(self.conv3(x))


def main(epochs=8, compile=False):
    torch.manual_seed(0)
    large = torch.tensor(load_digits().images / 16, dtype=torch.float32).unsqueeze(1)
    small = F.interpolate(large, scale_factor=0.5, mode="bilinear", align_corners=False)
    model, criterion = Net(2), nn.MSELoss()
    if compile:
        model = torch.compile(model)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(epochs):
        for batch in torch.randperm(1400).split(32):
            optimizer.zero_grad()
            loss = criterion(model(small[batch]), large[batch])
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        error = criterion(model(small[1400:]), large[1400:]).item()
        plain = F.interpolate(small[1400:], scale_factor=2, mode="bicubic", align_corners=False)
        bicubic = criterion(plain, large[1400:]).item()
    print(f"error {error:.4f}, bicubic {bicubic:.4f}")
    return {"error": error, "bicubic": bicubic}


if __name__ == "__main__":
    main()
