"""Containers behave as PyTorch's do."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

import fovea
import fovea.nn as nn
from tests.nn.oracle import torch

BOTH = pytest.mark.parametrize("lib", [fovea, torch], ids=["fovea", "torch"])


def layers(lib: Any) -> list[Any]:
    return [lib.nn.Linear(2, 3), lib.nn.ReLU(), lib.nn.Linear(3, 1)]


@BOTH
def test_sequential_is_a_list(lib: Any) -> None:
    nn = lib.nn
    m = nn.Sequential(*layers(lib))
    assert len(m) == 3
    assert isinstance(m[1], nn.ReLU)
    assert m[-1].out_features == 1
    assert [type(x).__name__ for x in m] == ["Linear", "ReLU", "Linear"]
    assert isinstance(m[1:], nn.Sequential)
    assert list(dict(m[1:].named_children())) == ["1", "2"]
    m[1] = nn.Tanh()
    assert isinstance(m[1], nn.Tanh)
    m.append(nn.Sigmoid())
    m.insert(0, nn.Identity())
    assert [type(x).__name__ for x in m] == ["Identity", "Linear", "Tanh", "Linear", "Sigmoid"]
    assert list(dict(m.named_children())) == ["0", "1", "2", "3", "4"]
    assert isinstance(m.pop(0), nn.Identity)
    del m[-1]
    m.extend([nn.ReLU(), nn.ReLU()])
    del m[3:]
    assert m(lib.ones(4, 2)).shape == (4, 1)
    both = m + nn.Sequential(nn.ReLU())
    assert len(both) == 4
    m += nn.Sequential(nn.ReLU())
    assert len(m) == 4
    assert len(m * 2) == len(2 * m) == 8
    with pytest.raises(IndexError):
        m[9]
    with pytest.raises(TypeError):
        m.append(3)
    with pytest.raises(TypeError):
        nn.Sequential(3)


@BOTH
def test_sequential_with_names(lib: Any) -> None:
    nn = lib.nn
    m = nn.Sequential(OrderedDict(a=nn.Linear(2, 3), b=nn.ReLU()))
    assert list(m.state_dict()) == ["a.weight", "a.bias"]
    assert m.b is m[1]
    assert list(dict(m[:1].named_children())) == ["a"]


def test_sequential_of_a_list() -> None:
    assert repr(nn.Sequential(layers(fovea))) == repr(nn.Sequential(*layers(fovea)))


@BOTH
def test_module_list(lib: Any) -> None:
    nn = lib.nn
    m = nn.ModuleList(layers(lib))
    m.append(nn.Tanh())
    m.extend([nn.ReLU()])
    m.insert(1, nn.Identity())
    assert [type(x).__name__ for x in m] == [
        "Linear", "Identity", "ReLU", "Linear", "Tanh", "ReLU",
    ]  # fmt: skip
    assert len(m) == 6
    assert isinstance(m[-1], nn.ReLU)
    assert isinstance(m[1:3], nn.ModuleList)
    m[1] = nn.Sigmoid()
    del m[0]
    assert isinstance(m[0], nn.Sigmoid)
    assert list(dict(m.named_children())) == [str(i) for i in range(5)]
    assert isinstance(m.pop(-1), nn.ReLU)
    m += [nn.ReLU()]
    assert len(m + nn.ModuleList([nn.ReLU()])) == 6
    with pytest.raises(IndexError):
        m[7]
    with pytest.raises(NotImplementedError):
        m(1)


def test_module_list_prints_runs() -> None:
    def build(nn: Any) -> Any:
        return nn.ModuleList(
            [nn.ReLU(), nn.ReLU(), nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.ReLU())]
            + [nn.Sequential(nn.ReLU()) for _ in range(3)]
        )

    assert repr(build(nn)) == repr(build(torch.nn))
    assert repr(nn.ModuleList()) == repr(torch.nn.ModuleList())


@BOTH
def test_module_dict(lib: Any) -> None:
    nn = lib.nn
    m = nn.ModuleDict({"a": nn.Linear(1, 2)})
    m["b"] = nn.ReLU()
    m.update([("c", nn.Tanh())])
    m.update(nn.ModuleDict({"d": nn.Tanh()}))
    assert list(m) == list(m.keys()) == ["a", "b", "c", "d"]
    assert "b" in m
    assert len(m) == 4
    assert [k for k, _ in m.items()] == list(m)
    assert isinstance(m.pop("b"), nn.ReLU)
    del m["c"]
    assert list(m.state_dict()) == ["a.weight", "a.bias"]
    assert len(list(m.values())) == 2
    m.clear()
    assert len(m) == 0


@BOTH
def test_parameter_list(lib: Any) -> None:
    nn = lib.nn
    m = nn.ParameterList([lib.ones(2), nn.Parameter(lib.ones(3))])
    m.append(lib.ones(4))
    m.extend([lib.ones(1)])
    assert len(m) == 4
    assert [p.numel() for p in m] == [2, 3, 4, 1]
    assert list(m.state_dict()) == ["0", "1", "2", "3"]
    assert all(isinstance(p, nn.Parameter) for p in m)
    m[0] = nn.Parameter(lib.ones(5))
    assert m[0].numel() == 5
    assert m[-1].numel() == 1
    assert len(m[1:]) == 3
    assert len(list(m.parameters())) == 4


@BOTH
def test_parameter_dict(lib: Any) -> None:
    nn = lib.nn
    m = nn.ParameterDict({"a": lib.ones(2)})
    m["b"] = nn.Parameter(lib.ones(3))
    m.update({"c": lib.ones(1)})
    assert list(m) == ["a", "b", "c"]
    assert list(m.state_dict()) == ["a", "b", "c"]
    assert isinstance(m["a"], nn.Parameter)
    assert m.get("z") is None
    assert m.pop("b").numel() == 3
    assert "b" not in m
    assert len(m) == 2
    m.clear()
    assert list(m.parameters()) == []


def test_prints_of_parameters() -> None:
    def build(lib: Any) -> str:
        text = repr(lib.nn.ParameterList([lib.ones(2, 3), lib.ones(1)]))
        return text.replace("torch", "fovea")

    assert build(fovea) == build(torch)
    shown = repr(nn.ParameterDict({"a": fovea.ones(2, 3)}))
    assert shown == "ParameterDict(  (a): Parameter containing: [fovea.float32 of size 2x3])"
