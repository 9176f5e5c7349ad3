"""Images read row by row: an LSTM, a GRU with packed sequences, and cells by hand."""

import fovea as torch
import fovea.nn as nn
from fovea.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from fovea.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits

input_size = 8
hidden_size = 48
num_layers = 2
num_classes = 10


class RNN(nn.Module):
    def __init__(self, input_size, hidden_size, num_layers, num_classes):
        super(RNN, self).__init__()
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True, dropout=0.1)
        self.fc = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        h0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size).to(x.device)
        c0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size).to(x.device)
        out, _ = self.lstm(x, (h0, c0))
        return self.fc(out[:, -1, :])


class Packed(nn.Module):
    """A bidirectional GRU over as many rows as each image has."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(input_size, 32, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(128, num_classes)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out, h = self.gru(packed)
        out, back = pad_packed_sequence(out, batch_first=True, total_length=x.size(1))
        assert torch.equal(back, lengths)
        mean = out.sum(1) / lengths.unsqueeze(1)
        return self.fc(torch.cat([mean, h[0], h[1]], dim=1))


class ByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(input_size, 40)
        self.fc = nn.Linear(40, num_classes)
        for name, p in self.cell.named_parameters():
            if name.startswith("weight_hh"):
                for gate in p.data.chunk(4, 0):
                    nn.init.orthogonal_(gate)
            elif name == "bias_ih":
                p.data[40:80].fill_(1.0)

    def forward(self, x):
        state = None
        for row in x.unbind(1):
            state = self.cell(row, state)
        return self.fc(state[0])


def train(model, loader, epochs, lengths=False, compile=False):
    if compile:
        model = torch.compile(model)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    for epoch in range(epochs):
        model.train()
        for i, (images, labels, n) in enumerate(loader):
            images = images.reshape(-1, 8, input_size)
            outputs = model(images, n) if lengths else model(images)
            loss = criterion(outputs, labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        print(f"Epoch [{epoch + 1}/{epochs}], Loss: {loss.item():.4f}")
    return model.eval()


def main(epochs=4, compile=False):
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.tensor(digits.images / 16, dtype=torch.float32)
    y = torch.tensor(digits.target)
    n = torch.randint(6, 9, (len(x),))
    for i, rows in enumerate(n.tolist()):
        x[i, rows:] = 0
    loader = DataLoader(TensorDataset(x[:1400], y[:1400], n[:1400]), 64, shuffle=True)
    rnn = train(RNN(input_size, hidden_size, num_layers, num_classes), loader, epochs, compile=compile)
    packed = train(Packed(), loader, epochs, lengths=True)
    by_hand = train(ByHand(), loader, epochs, compile=compile)
    test, labels, lengths = x[1400:], y[1400:], n[1400:]
    found = {}
    with torch.no_grad():
        for name, logits in [
            ("lstm", rnn(test)), ("packed", packed(test, lengths)), ("cell", by_hand(test))
        ]:
            _, predicted = torch.max(logits.data, 1)
            found[name] = (predicted == labels).sum().item() / labels.size(0)
    print(found)
    return found


if __name__ == "__main__":
    main()
