"""Pictures of graphs: where boxes stand, and what they say."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest

from fovea.graph import Graph, Source
from fovea.graph.drawing import to_dot, to_svg
from fovea.graph.layers import Box, _fit, place, ranked
from fovea.ops.conv import conv2d
from fovea.ops.elementwise import add, exp, mul, relu
from fovea.ops.norm import batch_norm_infer
from tests.graph.builder import Builder
from tests.graph.random_graphs import Graphs

SVG = "{http://www.w3.org/2000/svg}"
CONV = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}


# -- places -----------------------------------------------------------------------------------


def drawn(count: int, arrows: list[tuple[int, int]]) -> tuple[list[Box], list[list[Box]]]:
    boxes = [Box(40, 20) for _ in range(count)]
    ends = [(boxes[a], boxes[b]) for a, b in arrows]
    ranked(boxes, ends)
    return boxes, place(boxes, ends, (10, 15))


def test_a_chain_is_straight() -> None:
    boxes, paths = drawn(4, [(0, 1), (1, 2), (2, 3)])
    assert [b.rank for b in boxes] == [0, 1, 2, 3]
    assert {b.x for b in boxes} == {20.0}
    assert [b.y for b in boxes] == [10, 45, 80, 115]
    assert all(len(p) == 2 for p in paths)


def test_an_arrow_past_a_chain_bends_beside_it() -> None:
    boxes, paths = drawn(4, [(0, 1), (1, 2), (2, 3), (0, 3)])
    bends = paths[3][1:-1]
    assert [b.rank for b in bends] == [1, 2]
    assert bends[0].x == pytest.approx(bends[1].x)
    assert all(abs(b.x - c.x) >= 20 + 10 for b, c in zip(bends, boxes[1:3], strict=True))
    assert all(b.height == 20 for b in bends)


def test_what_comes_from_nowhere_stands_near_what_it_is_for() -> None:
    boxes, _ = drawn(6, [(0, 1), (1, 2), (2, 3), (4, 3)])
    assert boxes[4].rank == 2
    assert boxes[5].rank == 2  # beside the one before it


def test_arrows_are_untangled() -> None:
    boxes, _ = drawn(6, [(0, 5), (1, 4), (2, 3)])
    upper, lower = sorted(boxes[:3], key=lambda b: b.x), sorted(boxes[3:], key=lambda b: b.x)
    index = {b: i for i, b in enumerate(boxes)}
    assert [5 - index[b] for b in upper] == [index[b] for b in lower]


@pytest.mark.parametrize("seed", range(20))
def test_boxes_never_overlap_and_arrows_point_down(seed: int) -> None:
    chance = random.Random(seed)
    count = chance.randrange(2, 40)
    boxes = [Box(chance.uniform(10, 120), chance.uniform(10, 60)) for _ in range(count)]
    pairs = [
        (a, b) for a, b in itertools.combinations(range(count), 2) if chance.random() < 2 / count
    ]
    arrows = [(boxes[a], boxes[b]) for a, b in pairs]
    ranked(boxes, arrows)
    paths = place(boxes, arrows, (10, 15))
    for path in paths:
        assert all(b.rank == a.rank + 1 for a, b in itertools.pairwise(path))
        assert all(a.y + a.height / 2 < b.y - b.height / 2 for a, b in itertools.pairwise(path))
    everything = list(dict.fromkeys([*boxes, *(b for p in paths for b in p)]))
    for a, b in itertools.combinations(everything, 2):
        if a.rank == b.rank:
            assert abs(a.x - b.x) >= (a.width + b.width) / 2 + 10 - 1e-6
    assert min(b.x - b.width / 2 for b in everything) == pytest.approx(0)


@pytest.mark.parametrize("seed", range(10))
def test_places_are_as_near_as_the_order_allows(seed: int) -> None:
    """No small step that keeps the distances brings boxes nearer to where they want to be."""
    rng = np.random.default_rng(seed)
    row = [Box(float(w), 1) for w in rng.uniform(1, 5, 7)]
    wanted, pulls = rng.uniform(0, 20, 7), rng.uniform(0.1, 3, 7)
    _fit(row, list(wanted), list(pulls), 1.0)
    x = np.array([b.x for b in row])
    least = np.array([(a.width + b.width) / 2 + 1 for a, b in itertools.pairwise(row)])
    assert (np.diff(x) >= least - 1e-9).all()
    cost = (pulls * (x - wanted) ** 2).sum()
    for step in rng.normal(0, 0.01, (3000, 7)):
        if (np.diff(x + step) >= least).all():
            assert (pulls * (x + step - wanted) ** 2).sum() >= cost


# -- pictures ---------------------------------------------------------------------------------


def block() -> Graph:
    b = Builder()
    x = b.input(1, 3, 8, 8, name="image", nhwc=True)
    b.source = Source("a.py", 1, "stem.conv")
    w = b.state(np.zeros((3, 3, 3, 3), np.float32), "stem.conv.weight")
    y = b(conv2d, x, w, None, **CONV)
    b.source = Source("a.py", 2, "stem.norm")
    names = ("running_mean", "running_var", "weight", "bias")
    states = [b.state(np.ones(3, np.float32), f"stem.norm.{n}") for n in names]
    y = b(relu, b(batch_norm_infer, y, *states, eps=1e-5))
    b.source = Source("a.py", 3, "head", backward=True)
    for _ in range(4):
        y = b(exp, y)
    z = b(mul, b(add, y, x), b.constant(0.5))
    return b.graph(z)


def texts(svg: str) -> list[str]:
    return [t.text or "" for t in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_what_a_picture_says() -> None:
    svg = to_svg(block(), longest=20)
    said = texts(svg)
    assert said[:4] == ["products", "normalization", "elements", "stem"]
    assert Counter(said)["exp"] == 4
    for line in ("%image", "f32[1, 3, 8, 8]nhwc", "weight f32[3, 3, 3, 3]", "0.5", "result", "head backward",
                 "running_mean, running_var, weight, bias f32[3]"):  # fmt: skip
        assert line in said
    root = ElementTree.fromstring(svg)
    arrows = [p for p in root.iter(f"{SVG}path") if p.get("class") == "arrow"]
    assert len(arrows) == 11
    titles = [t.text or "" for t in root.iter(f"{SVG}title")]
    assert any(t.startswith("%0 f32[1, 3, 8, 8]nhwc = conv2d(%image") for t in titles)
    assert "stem.conv" not in said  # one box needs no frame


def test_long_arrows_are_named_instead() -> None:
    svg = to_svg(block(), longest=3)
    said = texts(svg)
    assert "as %image" in said
    assert "from %image" in said
    assert svg.count('class="arrow"') == 10


def test_names_are_escaped() -> None:
    b = Builder()
    x = b.input(2, name='<b>&"x"')
    graph = b.graph(b(relu, x))
    assert '%<b>&"x"' in texts(to_svg(graph))
    assert 'label="%<b>&\\"x\\"' in to_dot(graph)


@pytest.mark.parametrize("seed", range(5))
def test_any_graph(seed: int) -> None:
    graph = Graphs(seed, nodes=40).graph()
    root = ElementTree.fromstring(to_svg(graph))
    boxes = [r for r in root.iter(f"{SVG}rect") if r.get("class") == "box"]
    assert len(boxes) == len(graph.inputs) + len(graph.nodes) + len(graph.outputs)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for r in boxes:
        assert 0 <= float(r.get("x", -1)) <= width
        assert 0 <= float(r.get("y", -1)) <= height
    dot = to_dot(graph)
    assert len(re.findall(r"^ +n\d+ \[", dot, re.MULTILINE)) == len(boxes)
    made = {*graph.inputs, *(v for n in graph.nodes for v in n.outputs)}
    reads = [set(n.operands()) & made for n in graph.nodes] + [{v} & made for v in graph.outputs]
    assert dot.count(" -> ") == sum(map(len, reads))


def test_an_empty_graph() -> None:
    assert texts(to_svg(Builder().graph())) == []
    assert to_dot(Builder().graph()).count("\n") == 2


def test_clusters() -> None:
    dot = to_dot(block())
    assert dot.count("subgraph cluster_") == 3
    assert 'label="head backward"' in dot
    assert dot.count("{") == dot.count("}")
