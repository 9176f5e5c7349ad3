"""``fovea.summary``: rows, totals and the table."""

from __future__ import annotations

from typing import Any

import pytest

import fovea
from fovea import keras, nn
from fovea.summaries import ModelSummary


@pytest.mark.parametrize(
    ("name", "giga", "params"),
    [
        ("resnet18", 1.814, 11_689_512),
        ("resnet50", 4.089, 25_557_032),
        ("mobilenet_v2", 0.301, 3_504_872),
        ("efficientnet_b0", 0.386, 5_288_548),
        ("vit_b_16", 17.564, 86_567_656),
    ],
)
def test_known_networks(name: str, giga: float, params: int) -> None:
    """The numbers that torchvision states; ViT's with the products within attention."""
    model = getattr(fovea.vision.models, name)()
    found = fovea.summary(model, (1, 3, 224, 224), verbose=0)
    assert found.total_params == params
    assert found.total_mult_adds / 1e9 == pytest.approx(giga, abs=1e-3)
    twice = fovea.summary(model, (2, 3, 224, 224), verbose=0)
    assert twice.total_mult_adds == 2 * found.total_mult_adds


class Net(nn.Module):
    """Lists, a shared layer, one that is not called, a product of its own, several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4, bias=False)])
        self.idle, self.drop, self.norm = nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(4)

    def forward(self, x: Any, scale: float = 1.0) -> Any:
        for layer in self.layers:
            x = self.drop(layer(x))
        x = self.norm(x)
        return self.layers[0](x) * scale, {"product": x @ x.T}


def rows(found: ModelSummary) -> list[tuple[Any, ...]]:
    return [(r.depth, r.path, r.output_size, r.mult_adds, r.repeated) for r in found.rows]


def test_rows() -> None:
    found = fovea.summary(Net(), (2, 4), verbose=0)
    assert rows(found) == [
        (0, "", [(2, 4), {"product": (2, 2)}], 112, False),
        (1, "layers.0", (2, 4), 32, False),
        (1, "drop", (2, 4), 0, False),
        (1, "layers.1", (2, 4), 32, False),
        (1, "drop", (2, 4), 0, True),
        (1, "norm", (2, 4), 0, False),
        (1, "layers.0", (2, 4), 32, True),
        (1, "idle", None, 0, False),
    ]
    assert found.rows[0].own_mult_adds == 16  # the product that no layer computes
    assert (found.total_params, found.trainable_params) == (20 + 16 + 12 + 8, 56)
    assert found.total_input == 2 * 4 * 4 and found.total_output_bytes == 6 * 2 * 4 * 4
    assert found.total_param_bytes == 56 * 4 + 2 * 4 * 4 + 8


def test_table() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Sequential(nn.ReLU(), nn.Flatten()), nn.Linear(32, 5)
    )
    model[0].weight.requires_grad = False
    model[2].requires_grad_(False)
    columns = ("input_size", "output_size", "num_params", "params_percent", "kernel_size", "groups")
    found = fovea.summary(
        model, (1, 3, 4, 4), col_names=(*columns, "mult_adds", "trainable"), depth=1, verbose=0
    )
    text = str(found).splitlines()
    assert text[1].split("  ")[0] == "Layer (name: type)"
    cells = [[c for c in line.split("  ") if c.strip()] for line in text[4:7]]
    assert [[c.strip() for c in row] for row in cells] == [
        ["├─ 0: Conv2d", "[1, 3, 4, 4]", "[1, 8, 2, 2]", "224", "57.58%", "[3, 3]", "1", "864", "partly"],
        ["├─ 1: Sequential", "[1, 8, 2, 2]", "[1, 32]", *["--"] * 6],
        ["└─ 2: Linear", "[1, 32]", "[1, 5]", "165", "42.42%", "--", "--", "160", "no"],
    ]  # fmt: skip
    assert "Total params: 389" in str(found) and "Non-trainable params: 381" in str(found)
    assert "Total mult-adds: 1.02 k" in str(found) and repr(found) == str(found)
    page = found._repr_html_()
    assert page.count("<tr>") == 5 and "Total params: <b>389</b>" in page
    deep = fovea.summary(model, (1, 3, 4, 4), verbose=0)
    assert "│  └─ 1: Flatten" in str(deep)


def test_the_model_is_left_as_it_was() -> None:
    net = Net()
    net.norm.eval()
    for mode in ("eval", "train", "same"):
        state = fovea.get_rng_state()
        before = [b.clone() for b in net.buffers()]
        fovea.summary(net, (8, 4), mode=mode, verbose=0)
        assert net.training and not net.norm.training and net.drop.training
        assert all(fovea.equal(a, b) for a, b in zip(before, net.buffers(), strict=True))
        assert fovea.equal(state, fovea.get_rng_state())
    with pytest.raises(ValueError, match="linear"):
        fovea.summary(net, (8, 3), verbose=0)
    assert net.training and not net.norm.training
    assert fovea.watching.watcher is None


def test_inputs() -> None:
    both = nn.Bilinear(3, 4, 5)
    found = fovea.summary(both, [(2, 3), (2, 4)], verbose=0)
    assert found.rows[0].input_size == [(2, 3), (2, 4)] and found.rows[0].output_size == (2, 5)
    data = {"input1": fovea.ones(2, 3), "input2": fovea.ones(2, 4)}
    assert fovea.summary(both, input_data=data, verbose=0).rows[0].output_size == (2, 5)
    assert fovea.summary(Net(), input_data=fovea.ones(2, 4), scale=2.0, verbose=0).rows
    words = fovea.summary(nn.Embedding(7, 3), (5,), batch_dim=0, dtypes=fovea.int64, verbose=0)
    assert words.rows[0].output_size == (1, 5, 3)
    without = fovea.summary(Net(), verbose=0)
    assert [r.path for r in without.rows] == ["", "layers.0", "layers.1", "idle", "drop", "norm"]
    assert without.total_params == 56 and without.total_mult_adds == 0


def test_keras_models() -> None:
    i = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(i)
    x = keras.layers.Flatten(name="flat")(keras.ops.relu(x))
    model = keras.Model(i, nn.Linear(144, 2)(x))
    found = fovea.summary(model, (2, 8, 8, 3), verbose=0)
    conv = 2 * 6 * 6 * 4 * 27
    assert [(r.path, r.output_size, r.mult_adds) for r in found.rows if r.depth == 1] == [
        ("conv", (2, 6, 6, 4), conv),
        ("relu", (2, 6, 6, 4), 0),
        ("flat", (2, 144), 0),
        ("linear", (2, 2), 576),
    ]
    assert found.rows[-1].path == "linear.module" and found.total_params == model.count_params()


def test_errors(capsys: Any) -> None:
    with pytest.raises(ValueError, match="unknown column 'size'"):
        fovea.summary(Net(), (2, 4), col_names=("size",))
    with pytest.raises(ValueError, match="not both"):
        fovea.summary(Net(), (2, 4), fovea.ones(2, 4))
    with pytest.raises(ValueError, match="mode is"):
        fovea.summary(Net(), (2, 4), mode="test")
    with pytest.raises(ValueError, match="1 inputs, but 2 dtypes"):
        fovea.summary(Net(), (2, 4), dtypes=[fovea.float32, fovea.float32])
    fovea.summary(Net(), (2, 4))
    assert "Total mult-adds: 112" in capsys.readouterr().out
