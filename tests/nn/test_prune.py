"""Pruning against PyTorch's: masks, states, several ways after one another, captured steps."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.nn.utils import prune
from tests.functions.torch_tables import converted
from tests.nn.oracle import close, rng, torch

pytest.importorskip("torch.nn.utils.prune")

SCORES = rng(3).standard_normal((6, 4, 3, 3)).astype("float32")
MASK = (rng(4).random((6, 4, 3, 3)) > 0.4).astype("float32")

Way = Callable[[Any, Any], Any]  # the library, a convolution of it
WAYS: dict[str, Way] = {
    "identity": lambda lib, m: lib.nn.utils.prune.identity(m, "weight"),
    "l1, fraction": lambda lib, m: lib.nn.utils.prune.l1_unstructured(m, "weight", 0.3),
    "l1, count": lambda lib, m: lib.nn.utils.prune.l1_unstructured(m, "weight", amount=7),
    "l1, nothing": lambda lib, m: lib.nn.utils.prune.l1_unstructured(m, "weight", amount=0),
    "l1, everything": lambda lib, m: lib.nn.utils.prune.l1_unstructured(m, "weight", amount=1.0),
    "l1, bias": lambda lib, m: lib.nn.utils.prune.l1_unstructured(m, "bias", 0.5),
    "l1, scores": lambda lib, m: lib.nn.utils.prune.l1_unstructured(
        m, "weight", 0.3, importance_scores=lib.tensor(SCORES)
    ),
    "l2, rows": lambda lib, m: lib.nn.utils.prune.ln_structured(m, "weight", 0.5, n=2, dim=0),
    "l1, last": lambda lib, m: lib.nn.utils.prune.ln_structured(m, "weight", 1, n=1, dim=-1),
    "max, columns": lambda lib, m: lib.nn.utils.prune.ln_structured(
        m, "weight", 2, n=float("inf"), dim=1, importance_scores=lib.tensor(SCORES)
    ),
    "none, rows": lambda lib, m: lib.nn.utils.prune.ln_structured(m, "weight", 0, n=2, dim=0),
    "mask": lambda lib, m: lib.nn.utils.prune.custom_from_mask(m, "weight", lib.tensor(MASK)),
}
SECOND = ["l1, fraction", "l1, scores", "l2, rows", "l1, last", "mask"]


def pair() -> tuple[Any, Any]:
    torch.manual_seed(0)
    theirs = torch.nn.Conv2d(4, 6, 3)
    ours = fovea.nn.Conv2d(4, 6, 3)
    ours.load_state_dict(converted(dict(theirs.state_dict())))
    return ours, theirs


def agree(ours: Any, theirs: Any) -> None:
    assert repr(ours) == repr(theirs)
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b)
    for key in a:
        close(a[key], b[key], "float32", key)
    close(ours.weight, theirs.weight, "float32")
    x = rng().standard_normal((2, 4, 5, 5)).astype("float32")
    y, t = ours(fovea.tensor(x)), theirs(torch.tensor(x))
    close(y, t, "float32")
    y.square().sum().backward(), t.square().sum().backward()
    gradients = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        close(p.grad, gradients[name].grad, "float32", name)


@pytest.mark.parametrize("way", WAYS)
def test_ways(way: str) -> None:
    ours, theirs = pair()
    assert WAYS[way](fovea, ours) is ours
    WAYS[way](torch, theirs)
    agree(ours, theirs)
    assert prune.is_pruned(ours) and prune.is_pruned(fovea.nn.Sequential(ours))
    name = "bias" if "bias" in way else "weight"
    original = getattr(ours, f"{name}_orig")
    assert prune.remove(ours, name) is ours
    torch.nn.utils.prune.remove(theirs, name)
    assert not prune.is_pruned(ours)
    assert getattr(ours, name) is original
    ours.zero_grad(), theirs.zero_grad()
    agree(ours, theirs)


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", SECOND)
def test_one_after_the_other(first: str, second: str) -> None:
    ours, theirs = pair()
    for way in (first, second, "l1, count"):
        WAYS[way](fovea, ours)
        WAYS[way](torch, theirs)
        agree(ours, theirs)
    state = theirs.state_dict()
    fresh = prune.identity(fovea.nn.Conv2d(4, 6, 3), "weight")
    fresh.load_state_dict(converted(dict(state)))
    close(fresh.weight, theirs.weight, "float32")


def test_random_ways() -> None:
    fovea.manual_seed(0)
    layer = fovea.nn.Linear(20, 10)
    prune.random_unstructured(layer, "weight", 0.25)
    assert layer.weight_mask.sum().item() == 150
    prune.random_unstructured(layer, "weight", 50)
    assert layer.weight_mask.sum().item() == 100
    assert set(layer.weight_mask.unique().tolist()) == {0.0, 1.0}
    prune.random_structured(layer, "weight", 0.3, 0)
    assert (layer.weight_mask.sum(1) == 0).sum().item() >= 3
    fresh = prune.random_structured(fovea.nn.Linear(20, 10), "weight", 4, -1)
    assert sorted(fresh.weight_mask.sum(0).tolist()) == [0.0] * 4 + [10.0] * 16


def test_together() -> None:
    sides = []
    for lib in (fovea, torch):
        models = [lib.nn.Linear(4, 5), lib.nn.Linear(5, 3)]
        for i, m in enumerate(models):
            array = rng(i).standard_normal(tuple(m.weight.shape)).astype("float32")
            m.load_state_dict({"weight": lib.tensor(array), "bias": lib.tensor(array[:, 0])})
        p = lib.nn.utils.prune
        pairs = [(models[0], "weight"), (models[1], "weight"), (models[1], "bias")]
        p.l1_unstructured(models[0], "weight", 2)
        p.global_unstructured(pairs, pruning_method=p.L1Unstructured, amount=0.4)
        scores = {(models[1], "weight"): lib.ones(3, 5) * 100}
        p.global_unstructured(pairs, p.L1Unstructured, importance_scores=scores, amount=4)
        sides.append([{k: v.tolist() for k, v in m.state_dict().items()} for m in models])
    assert sides[0] == sides[1]


def test_of_no_module() -> None:
    t = rng().standard_normal((4, 5)).astype("float32")
    for name, arguments in (
        ("L1Unstructured", (0.5,)),
        ("LnStructured", (2, 1, 0)),
        ("Identity", ()),
    ):
        way, other = (
            getattr(prune, name)(*arguments),
            getattr(torch.nn.utils.prune, name)(*arguments),
        )
        close(way.prune(fovea.tensor(t)), other.prune(torch.tensor(t)), "float32")
        mask = (t > 0).astype("float32")
        ours = way.prune(fovea.tensor(t), fovea.tensor(mask), fovea.tensor(-t))
        close(ours, other.prune(torch.tensor(t), torch.tensor(mask), torch.tensor(-t)), "float32")


class Corners(prune.BasePruningMethod):
    """A user's own way."""

    PRUNING_TYPE = "global"

    def __init__(self, size: int) -> None:
        self.size = size

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        mask = default_mask.clone()
        mask[: self.size, : self.size] = 0
        return mask


def test_a_way_of_ones_own_and_containers() -> None:
    layer = fovea.nn.Linear(3, 3)
    first = Corners.apply(layer, "weight", 1)
    assert isinstance(first, Corners)
    both = Corners.apply(layer, "weight", size=2)
    assert isinstance(both, prune.PruningContainer)
    assert len(both) == 2 and both[0] is first and list(both)[1].size == 2
    assert layer.weight_mask.tolist() == [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]
    other = prune.L1Unstructured(1)
    other._tensor_name = "bias"
    with pytest.raises(ValueError, match="prunes 'weight'"):
        both.add_pruning_method(other)
    with pytest.raises(TypeError, match="int is not a BasePruningMethod"):
        both.add_pruning_method(3)


def test_copies_and_pickles() -> None:
    layer = prune.l1_unstructured(fovea.nn.Linear(4, 3), "weight", 5)
    prune.ln_structured(layer, "weight", 1, 2, 0)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.weight.tolist() == layer.weight.tolist()
        prune.remove(other, "weight")
        assert prune.is_pruned(layer) and not prune.is_pruned(other)


def test_recurrent() -> None:
    torch.manual_seed(0)
    theirs = torch.nn.GRU(3, 4)
    ours = fovea.nn.GRU(3, 4)
    ours.load_state_dict(converted(dict(theirs.state_dict())))
    for lib, m in ((fovea, ours), (torch, theirs)):
        lib.nn.utils.prune.l1_unstructured(m, "weight_hh_l0", 0.5)
    x = rng().standard_normal((5, 2, 3)).astype("float32")
    close(ours(fovea.tensor(x))[0], theirs(torch.tensor(x))[0], "float32")


def test_captured() -> None:
    """A compiled step trains what is left; pruning further makes another program."""

    def train(compiled: bool) -> list[Any]:
        fovea.manual_seed(0)
        model = fovea.nn.Sequential(fovea.nn.Linear(4, 6), fovea.nn.ReLU(), fovea.nn.Linear(6, 1))
        prune.l1_unstructured(model[0], "weight", 0.5)
        optimizer = fovea.optim.Adam(model.parameters(), lr=0.1)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = model(x).square().sum()
            loss.backward()
            optimizer.step()
            return loss

        run = fovea.compile(step, strict=True) if compiled else step
        losses = []
        for i in range(6):
            if i == 3:
                prune.ln_structured(model[0], "weight", 2, 2, 0)
            losses.append(run(fovea.ones(3, 4)).item())
        return [losses, model[0].weight.tolist()]

    eager, compiled = train(False), train(True)
    np.testing.assert_allclose(compiled[0], eager[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(compiled[1], eager[1], rtol=1e-4, atol=1e-5)


def test_errors() -> None:
    layer = fovea.nn.Linear(3, 2)
    with pytest.raises(ValueError, match="Linear has no parameter 'wight'"):
        prune.identity(layer, "wight")
    with pytest.raises(ValueError, match=r"fraction in \[0, 1\], got 1.5"):
        prune.l1_unstructured(layer, "weight", 1.5)
    with pytest.raises(ValueError, match="got -1"):
        prune.l1_unstructured(layer, "weight", -1)
    with pytest.raises(TypeError, match="amount must be a number"):
        prune.l1_unstructured(layer, "weight", "half")
    with pytest.raises(ValueError, match="amount=7 is more than the 6"):
        prune.l1_unstructured(layer, "weight", 7)
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        prune.random_structured(layer, "bias", 1, 0)
    with pytest.raises(IndexError, match="dim 2 is out of range"):
        prune.random_structured(layer, "weight", 1, 2)
    with pytest.raises(ValueError, match="importance_scores must have the shape"):
        prune.l1_unstructured(layer, "weight", 1, importance_scores=fovea.ones(2))
    with pytest.raises(ValueError, match="the mask must have the shape"):
        prune.custom_from_mask(layer, "weight", fovea.ones(2))
    with pytest.raises(TypeError, match="LnStructured is structured"):
        prune.global_unstructured([(layer, "weight")], prune.LnStructured, amount=1, n=2)
    with pytest.raises(TypeError, match="pairs of a module and a name"):
        prune.global_unstructured(layer, prune.L1Unstructured, amount=1)
    with pytest.raises(ValueError, match="'weight' of Linear is not pruned"):
        prune.remove(layer, "weight")
    assert list(layer.state_dict()) == ["weight", "bias"]
    prune.identity(layer, "weight")
    with pytest.raises(TypeError, match="computed by Identity"):
        layer.weight = fovea.ones(2, 3)
