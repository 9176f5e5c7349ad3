"""A spatial transformer: the network turns and moves its input before it looks at it."""

import fovea as torch
import fovea.nn as nn
import fovea.nn.functional as F
import fovea.optim as optim
from sklearn.datasets import load_digits


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3), nn.Conv2d(16, 32, 3)
        self.conv2_drop = nn.Dropout2d(0.1)
        self.fc1, self.fc2 = nn.Linear(32 * 2 * 2, 50), nn.Linear(50, 10)
        self.localization = nn.Sequential(
            nn.Conv2d(1, 8, kernel_size=3), nn.MaxPool2d(2, stride=2), nn.ReLU(True)
        )
        self.fc_loc = nn.Sequential(nn.Linear(8 * 3 * 3, 16), nn.ReLU(True), nn.Linear(16, 3 * 2))
        self.fc_loc[2].weight.data.zero_()
        self.fc_loc[2].bias.data.copy_(torch.tensor([1, 0, 0, 0, 1, 0], dtype=torch.float))

    def stn(self, x):
        xs = self.localization(x)
        theta = self.fc_loc(xs.view(-1, 8 * 3 * 3)).view(-1, 2, 3)
        grid = F.affine_grid(theta, x.size(), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)

    def forward(self, x):
        x = self.stn(x)
        x = F.relu(self.conv1(x))
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        x = F.relu(self.fc1(x.view(-1, 32 * 2 * 2)))
        return F.log_softmax(self.fc2(x), dim=1)


def main(epochs=6, compile=False):
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None]
    y = torch.tensor(digits.target, dtype=torch.long)
    model = Net()
    if compile:
        model = torch.compile(model)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(1400).split(50):
            optimizer.zero_grad()
            loss = F.nll_loss(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            pred = model(x[1400:]).max(1, keepdim=True)[1]
            correct = pred.eq(y[1400:].view_as(pred)).sum().item()
        print(f"epoch {epoch}: loss {loss.item():.4f}, accuracy {correct / 397:.3f}")
    return {"accuracy": correct / 397}


if __name__ == "__main__":
    main()
