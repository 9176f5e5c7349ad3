"""``fovea.draw_model``: a box a layer, arrows where numbers go."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import fovea
import fovea.nn.functional as F
from fovea import keras, nn
from fovea.errors import ArgumentError
from fovea.summaries.flow import Step
from fovea.vision import models

SVG = "{http://www.w3.org/2000/svg}"


class Block(nn.Module):
    """A layer that is called twice, an op in place, views, a sum of two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.side = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        y = self.conv(F.relu(self.conv(x)))
        y += self.side(x)
        pooled = self.drop(y.flatten(2).permute(0, 2, 1).mean(1))
        return {"logits": self.head(pooled), "maps": [y]}


def drawn(picture: Any) -> list[tuple[str, str, list[str]]]:
    """Kind, path and the paths of sources of each step."""
    return [(s.kind, s.path, sorted(source.path for source in s.sources)) for s in picture.steps]


def test_who_reads_what() -> None:
    net = Block()
    picture = fovea.draw_model(net, (1, 4, 6, 6))
    assert net.training and net.drop.training
    assert drawn(picture) == [
        ("input", "input", []),
        ("layer", "conv", ["input"]),
        ("op", "relu", ["conv"]),
        ("layer", "conv", ["relu"]),
        ("layer", "side.0", ["input"]),
        ("layer", "side.1", ["side.0"]),
        ("op", "add", ["conv", "side.1"]),
        ("op", "mean", ["add"]),
        ("layer", "drop", ["mean"]),
        ("layer", "head", ["drop"]),
        ("output", "output 0", ["head"]),
        ("output", "output 1", ["add"]),
    ]
    by_path: dict[str, Step] = {s.path: s for s in picture.steps}
    assert by_path["head"].shapes == [(1, 2)] and by_path["side.0"].frames == ("side",)
    # What is read may have another form than what was given.
    assert by_path["mean"].sources[by_path["add"]] == (1, 36, 4)


def test_attributes_and_names_below_frames() -> None:
    class Held:
        def __init__(self, image: Any) -> None:
            self.image, self.sizes = image, [(6, 6)]

    class Wrap(nn.Module):
        def forward(self, x: Any) -> Held:
            return Held(2 * x)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wrap = Wrap()
            self.a = nn.Sequential(nn.Sequential(nn.Sequential(nn.ReLU(), nn.Sigmoid())))

        def forward(self, x: Any) -> Any:
            return self.a(self.wrap(x).image)

    picture = fovea.draw_model(Net(), (1, 4, 6, 6), depth=9)
    found = [("layer", "wrap", ["input"]), ("layer", "a.0.0.0", ["wrap"])]
    assert drawn(picture)[1:3] == found
    assert ">0.0.0: ReLU</text>" in picture.svg and ">a.0</text>" in picture.svg


def test_depth_and_arguments() -> None:
    net = Block()
    paths = [s.path for s in fovea.draw_model(net, (4, 6, 6), depth=1, batch_dim=0).steps]
    assert "side" in paths and "side.0" not in paths
    whole = fovea.draw_model(net, input_data={"x": fovea.rand(1, 4, 6, 6)}, depth=0)
    assert drawn(whole)[:2] == [("input", "x", []), ("layer", "Block", ["x"])]
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x = fovea.rand(1, 3, 8)
    picture = fovea.draw_model(attention, input_data=[x, x + 1, x + 2])
    names = [f"input {n}" for n in range(3)]
    assert drawn(picture)[3] == ("layer", "MultiheadAttention", names)


def test_the_picture(tmp_path: Path) -> None:
    picture = fovea.draw_model(
        models.resnet18(num_classes=10), (1, 3, 32, 32), path=tmp_path / "net.svg"
    )
    assert (tmp_path / "net.svg").read_text(encoding="utf-8") == picture.svg
    root = ElementTree.fromstring(picture.svg)
    texts = [t.text or "" for t in root.iter(f"{SVG}text")]
    for wanted in ("conv1: Conv2d", "1 × 64 × 16 × 16", "9,408 parameters", "layer2.0", "add"):
        assert wanted in texts
    assert texts.count("add") == 8
    arrows = [p for p in root.iter(f"{SVG}path") if p.get("class") == "arrow"]
    assert len(arrows) == sum(len(s.sources) for s in picture.steps)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for box in root.iter(f"{SVG}rect"):
        if box.get("class") == "box":
            assert 0 <= float(box.get("x", 0)) <= width - float(box.get("width", 0))
            assert 0 <= float(box.get("y", 0)) <= height - float(box.get("height", 0))
    titles = "".join(t.text or "" for t in root.iter(f"{SVG}title"))
    assert "layer1.0.conv1: Conv2d" in titles and "kernel_size=(3, 3)" in titles
    assert "57 layers" in repr(picture) and picture._repr_svg_() == picture.svg


def test_where_everything_reads_everything_long_arrows_are_cut() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(2 * n, 2) for n in range(1, 9))

        def forward(self, x: Any) -> Any:
            found = [x]
            for layer in self.layers:
                found.append(layer(fovea.cat(found, 1)))
            return found[-1]

    picture = fovea.draw_model(Dense(), (1, 2))
    assert picture.svg.count('class="arrow"') < sum(len(s.sources) for s in picture.steps)
    assert ">from input, layers.0, layers.1, layers.2</text>" in picture.svg
    assert ">as input</text>" in picture.svg


def test_keras_models() -> None:
    x = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(4, 3, padding="same", name="first")(x)
    z = keras.layers.Add(name="sum")([y, keras.layers.Conv2D(4, 1, name="second")(y)])
    model = keras.Model(x, keras.layers.Flatten(name="flat")(z))
    assert drawn(fovea.draw_model(model, (1, 8, 8, 3)))[1:] == [
        ("layer", "first", ["input"]),
        ("layer", "second", ["first"]),
        ("layer", "sum", ["first", "second"]),
        ("layer", "flat", ["sum"]),
        ("output", "output", ["flat"]),
    ]


def test_what_does_not_fit(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    with pytest.raises(ArgumentError, match="needs an input"):
        fovea.draw_model(net)
    with pytest.raises(ArgumentError, match="not both"):
        fovea.draw_model(net, (1, 2), fovea.rand(1, 2))
    with pytest.raises(ArgumentError, match="mode is"):
        fovea.draw_model(net, (1, 2), mode="fast")
    with pytest.raises(ArgumentError, match=r"\.svg file"):
        fovea.draw_model(net, (1, 2), path=tmp_path / "net.png")
