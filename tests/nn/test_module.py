"""Module: registries, walking, state, conversion, printing and copying, against PyTorch's."""

from __future__ import annotations

import copy
import pickle
import sys
from collections import OrderedDict
from typing import Any

import pytest

import fovea
import fovea.nn as nn
from fovea import watching
from fovea.errors import FoveaError, ShapeError
from fovea.nn.state import StateDictError
from tests.nn.oracle import torch

BOTH = pytest.mark.parametrize("lib", [fovea, torch], ids=["fovea", "torch"])


def build(lib: Any) -> Any:
    """A module with shared parameters, buffers of both kinds, lists, and an absent child."""
    nn = lib.nn

    class Inner(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(lib.ones(2))
            self.register_buffer("seen", lib.zeros(1))
            self.register_buffer("scratch", lib.zeros(3), persistent=False)
            self.register_buffer("nothing", None)
            self.register_parameter("no_bias", None)

        def forward(self, x: Any) -> Any:
            return x * self.scale

    class Outer(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(2, 2)
            self.inner = Inner()
            self.tied = nn.Linear(2, 2)
            self.tied.weight = self.first.weight
            self.blocks = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.ReLU()])
            self.heads = nn.ModuleDict({"a": nn.Linear(2, 1), "b": nn.Identity()})
            self.twice = self.inner
            self.absent = None
            self.count = 3
            self.table = nn.Buffer(lib.ones(2), persistent=False)

        def forward(self, x: Any) -> Any:
            x = self.inner(self.tied(self.first(x)))
            for block in self.blocks:
                x = block(x)
            return self.heads["a"](x)

    return Outer()


def names(items: Any) -> list[str]:
    return [name for name, _ in items]


def test_walking_is_pytorchs() -> None:
    ours, theirs = build(fovea), build(torch)
    for walk in (
        lambda m: names(m.named_parameters()),
        lambda m: names(m.named_parameters(prefix="p", remove_duplicate=False)),
        lambda m: names(m.named_parameters(recurse=False)),
        lambda m: names(m.inner.named_parameters(recurse=False)),
        lambda m: names(m.named_buffers()),
        lambda m: names(m.named_buffers(remove_duplicate=False)),
        lambda m: names(m.named_modules()),
        lambda m: names(m.named_modules(remove_duplicate=False)),
        lambda m: names(m.named_children()),
        lambda m: len(list(m.children())),
        lambda m: len(list(m.modules())),
        lambda m: len(list(m.parameters())),
        lambda m: len(list(m.buffers())),
        lambda m: list(m.state_dict()),
        lambda m: list(m.state_dict(prefix="net.")),
        repr,
    ):
        assert walk(ours) == walk(theirs)


def test_attributes() -> None:
    m = build(fovea)
    assert isinstance(m.first.weight, nn.Parameter)
    assert m.absent is None
    assert m.inner.nothing is None
    assert {"first", "inner", "table"} <= set(dir(m))
    m.first.bias = None
    assert names(m.first.named_parameters()) == ["weight"]
    m.inner.seen = fovea.ones(1)
    assert m.inner.state_dict()["seen"].item() == 1.0
    m.count = nn.Linear(1, 1)  # a plain attribute becomes a module
    assert "count" in names(m.named_children())
    del m.count
    assert not hasattr(m, "count")
    del m.table
    assert "table" not in names(m.named_buffers())


@BOTH
def test_wrong_assignments(lib: Any) -> None:
    m = build(lib)
    with pytest.raises(TypeError, match="cannot assign"):
        m.first.weight = lib.ones(2)
    with pytest.raises(TypeError, match="cannot assign"):
        m.inner.seen = 3
    with pytest.raises(TypeError, match="cannot assign"):
        m.first = 3
    with pytest.raises(KeyError):
        m.register_buffer("a.b", lib.ones(1))
    with pytest.raises(KeyError):
        m.register_parameter("", None)
    with pytest.raises(KeyError):
        m.register_buffer("count", lib.ones(1))
    with pytest.raises(TypeError):
        m.register_buffer("new", 3)
    with pytest.raises(TypeError):
        m.add_module("new", 3)
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        m.missing  # noqa: B018
    leaf = lib.ones(2, requires_grad=True)
    with pytest.raises(ValueError):
        product = lib.nn.Parameter(lib.ones(2))
        m.register_parameter("product", _not_leaf(lib, product, leaf))


def _not_leaf(lib: Any, parameter: Any, leaf: Any) -> Any:
    """A Parameter that was computed: an in-place product of another tensor."""
    parameter.requires_grad_(False)
    parameter *= leaf
    return parameter


@BOTH
def test_before_init(lib: Any) -> None:
    class Forgetful(lib.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.layer = lib.nn.Linear(1, 1)

    with pytest.raises(AttributeError, match="before"):
        Forgetful()


def test_a_module_without_init_says_so() -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.size = 3

        def forward(self, x: Any) -> Any:
            return self.layer(x)

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\) has not been called"):
        Forgetful()(fovea.ones(1))


def test_forward_is_needed() -> None:
    with pytest.raises(NotImplementedError, match="Module defines no forward"):
        nn.Module()(1)


def test_get_by_name() -> None:
    m = build(fovea)
    assert m.get_submodule("") is m
    assert m.get_submodule("blocks.0") is m.blocks[0]
    assert m.get_parameter("heads.a.weight") is m.heads["a"].weight
    assert m.get_buffer("inner.seen") is m.inner.seen
    for get, name in (
        (m.get_submodule, "blocks.7"),
        (m.get_parameter, "first.gain"),
        (m.get_buffer, "first.weight"),
    ):
        with pytest.raises(AttributeError):
            get(name)
    m.set_submodule("blocks.0", nn.Tanh())
    assert repr(m.blocks[0]) == "Tanh()"


def test_train_eval_apply_and_zero_grad() -> None:
    m = build(fovea)
    assert m.eval() is m
    assert not any(module.training for module in m.modules())
    assert all(module.training for module in m.train().modules())
    with pytest.raises(ValueError):
        m.train(1)
    seen: list[str] = []
    assert m.apply(lambda module: seen.append(type(module).__name__)) is m
    expected: list[str] = []
    build(torch).apply(lambda module: expected.append(type(module).__name__))
    assert seen == expected
    m(fovea.ones(1, 2)).sum().backward()
    assert m.first.weight.grad is not None
    m.zero_grad(set_to_none=False)
    assert m.first.weight.grad.abs().sum().item() == 0.0
    m.zero_grad()
    assert all(p.grad is None for p in m.parameters())
    assert not any(p.requires_grad for p in m.requires_grad_(False).parameters())


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "float32"])
def test_conversion(dtype: str) -> None:
    kind = getattr(fovea, dtype)
    m = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    weight = m[0].weight
    weight.grad = fovea.ones(*weight.shape)
    assert m.to(kind) is m
    assert m[0].weight is weight  # optimizers hold on to it
    assert weight.dtype is kind
    assert weight.requires_grad
    assert weight.grad.dtype is kind
    assert m[1].running_mean.dtype is kind
    assert m[1].num_batches_tracked.dtype is fovea.int64
    short = {"float64": "double", "float16": "half", "float32": "float"}.get(dtype, dtype)
    assert getattr(nn.Linear(1, 1), short)().weight.dtype is kind


def test_other_conversions() -> None:
    m = nn.Linear(1, 1)
    assert m.to("cpu") is m.cpu() is m.to(fovea.device("cpu"), fovea.float64)
    assert m.weight.dtype is fovea.float64
    assert m.to(fovea.ones(1)).weight.dtype is fovea.float32
    assert m.to(memory_format=fovea.channels_last) is m
    assert m.type(fovea.float64).weight.dtype is fovea.float64
    with pytest.raises(TypeError, match="floating point"):
        m.to(fovea.int32)
    with pytest.raises(FoveaError):
        m.cuda()


# -- state -------------------------------------------------------------------------------------


def test_state_shares_memory_and_keep_vars() -> None:
    m = build(fovea)
    state = m.state_dict()
    assert isinstance(state, OrderedDict)
    assert not state["first.weight"].requires_grad
    with fovea.no_grad():
        m.first.weight.fill_(7.0)
    assert state["first.weight"].tolist() == [[7.0, 7.0], [7.0, 7.0]]
    assert m.state_dict(keep_vars=True)["first.weight"] is m.first.weight


def test_load_copies_and_casts() -> None:
    a, b = build(fovea), build(fovea)
    weight = b.first.weight
    state = {k: v.double() for k, v in a.state_dict().items()}
    assert b.load_state_dict(state) == ([], [])
    assert b.first.weight is weight
    assert weight.dtype is fovea.float32
    assert fovea.equal(weight, a.first.weight)
    assert weight.data_ptr() != a.first.weight.data_ptr()


def test_load_assigns() -> None:
    a, b = build(fovea), build(fovea)
    state = {k: v.double() for k, v in a.state_dict().items()}
    b.first.bias.requires_grad_(False)
    b.load_state_dict(state, assign=True)
    assert b.first.weight.dtype is fovea.float64
    assert isinstance(b.first.weight, nn.Parameter)
    assert b.first.weight.requires_grad
    assert not b.first.bias.requires_grad
    assert b.first.weight.data_ptr() == state["first.weight"].data_ptr()
    assert b.inner.seen.dtype is fovea.float64


def test_misfits_are_reported_together() -> None:
    m = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = m.state_dict()
    del state["0.bias"], state["1.running_var"]
    state["0.weight"] = fovea.ones(3, 4)
    state["2.weight"] = fovea.ones(1)
    state["0.gain"] = fovea.ones(1)
    with pytest.raises(StateDictError) as info:
        m.load_state_dict(state)
    text = "\n".join(line for line in str(info.value).split("\n") if not line.startswith("  at "))
    assert text == SNAPSHOT
    assert isinstance(info.value, RuntimeError)
    with pytest.raises(StateDictError, match="1 mismatched"):
        m.load_state_dict(state, strict=False)
    del state["0.weight"]
    result = m.load_state_dict(state, strict=False)
    assert result.missing_keys == ["0.weight", "0.bias", "1.running_var"]
    assert sorted(result.unexpected_keys) == ["0.gain", "2.weight"]


SNAPSHOT = """\
load_state_dict: the state does not fit Sequential: 2 missing, 2 unexpected, 1 mismatched.
  missing     0.bias
              1.running_var
  unexpected  2.weight
              0.gain
  mismatched  0.weight: the state has float32 (3, 4), the module float32 (3, 2)
  similar     0.bias is missing, 0.gain is there
  fits        all else: 4 of the module's 7 entries
  fix         leave the mismatched names out and pass strict=False to load what fits"""


def test_missing_and_unexpected_keys_are_pytorchs() -> None:
    ours, theirs = build(fovea), build(torch)
    for m, lib in ((ours, fovea), (theirs, torch)):
        state = m.state_dict()
        del state["heads.a.weight"], state["inner.seen"]
        state["heads.c.weight"] = lib.ones(1)
        state["blocks.0.weight.deeper"] = lib.ones(1)
        state["inner.no_bias"] = lib.ones(1)
        m.result = m.load_state_dict(state, strict=False)
    assert ours.result.missing_keys == theirs.result.missing_keys
    assert sorted(ours.result.unexpected_keys) == sorted(theirs.result.unexpected_keys)


def test_load_wants_tensors_in_a_dictionary() -> None:
    m = nn.Linear(1, 1)
    with pytest.raises(TypeError, match="takes a dictionary, got list"):
        m.load_state_dict([])  # type: ignore[arg-type]
    with pytest.raises(StateDictError, match="the state has float"):
        m.load_state_dict({"weight": 1.0, "bias": fovea.ones(1)})


def test_old_batch_norm_states() -> None:
    m = nn.Sequential(nn.BatchNorm2d(2))
    state = dict(m.state_dict())  # without versions
    del state["0.num_batches_tracked"]
    assert str(m.load_state_dict(state)) == "<All keys matched successfully>"


def test_extra_state() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.n = 0

        def get_extra_state(self) -> Any:
            return {"n": self.n}

        def set_extra_state(self, state: Any) -> None:
            self.n = state["n"]

    a, b = nn.Sequential(Counter()), nn.Sequential(Counter())
    a[0].n = 5
    state = a.state_dict()
    assert list(state) == ["0._extra_state"]
    b.load_state_dict(state)
    assert b[0].n == 5
    with pytest.raises(StateDictError, match="1 missing"):
        b.load_state_dict({})


def test_state_hooks() -> None:
    m, calls = nn.Sequential(nn.Linear(1, 1)), []
    layer = m[0]
    layer.register_state_dict_pre_hook(lambda *a: calls.append(("pre", a[1])))
    layer.register_state_dict_post_hook(lambda *a: calls.append(("post", a[2])))

    def rename(module: Any, state: Any, prefix: str, *rest: Any) -> None:
        calls.append(("load", prefix))
        state[prefix + "weight"] = state.pop(prefix + "kernel")

    layer.register_load_state_dict_pre_hook(rename)
    m.register_load_state_dict_post_hook(lambda module, keys: keys.missing_keys.clear())
    state = m.state_dict()
    state["0.kernel"] = state.pop("0.weight")
    del state["0.bias"]
    m.load_state_dict(state)
    assert calls == [("pre", "0."), ("post", "0."), ("load", "0.")]


# -- copies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["copy", "pickle"])
def test_copies_are_separate(how: str) -> None:
    m = nn.Sequential(
        OrderedDict(conv=nn.Conv2d(1, 2, 3, padding=1), norm=nn.BatchNorm2d(2), act=nn.ReLU())
    )
    m.register_module("tied", nn.Conv2d(1, 2, 3))
    m.tied.weight = m.conv.weight
    twin = copy.deepcopy(m) if how == "copy" else pickle.loads(pickle.dumps(m))
    assert repr(twin) == repr(m)
    for (name, a), (other, b) in zip(
        m.state_dict().items(), twin.state_dict().items(), strict=True
    ):
        assert name == other
        assert fovea.equal(a, b)
        assert a.data_ptr() != b.data_ptr()
    if how == "copy":
        assert twin.tied.weight is twin.conv.weight
    assert isinstance(twin.conv.weight, nn.Parameter)
    assert twin.conv.weight.requires_grad
    twin.conv.weight.data.fill_(0.0)
    assert m.conv.weight.abs().sum().item() > 0


def test_parameters() -> None:
    p = nn.Parameter(fovea.ones(2, 3))
    assert repr(p).startswith("Parameter containing:\ntensor([[1., 1., 1.],")
    assert p.requires_grad
    assert p.is_leaf
    assert not nn.Parameter(fovea.ones(1), requires_grad=False).requires_grad
    assert type(p * 2) is fovea.Tensor
    assert nn.Parameter().shape == (0,)
    assert isinstance(copy.deepcopy(p), nn.Parameter)
    assert isinstance(pickle.loads(pickle.dumps(p)), nn.Parameter)
    with pytest.raises(TypeError, match="only floating-point"):
        nn.Parameter(fovea.tensor([1]))
    assert nn.Parameter(fovea.tensor([1]), requires_grad=False).dtype is fovea.int64


# -- errors ------------------------------------------------------------------------------------


def test_errors_name_the_layer() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Conv2d(4, 8, 3)))
            self.blocks = nn.ModuleList([nn.Identity(), nn.Linear(3, 2)])

        def forward(self, x: Any) -> Any:
            return self.features(x) if x.ndim == 4 else self.blocks[1](x)

    with pytest.raises(ShapeError) as info:
        Net()(fovea.ones(1, 3, 8, 8))
    assert info.value.module_path == ["features", "1", "0"]
    assert "  at      features.1.0 (test_module.py:" in str(info.value)
    with pytest.raises(ShapeError) as info:
        Net()(fovea.ones(1, 4))
    assert info.value.module_path == ["blocks", "1"]
    with pytest.raises(ShapeError) as info:
        nn.Conv2d(4, 8, 3)(fovea.ones(1, 3, 8, 8))
    assert info.value.module_path == []


def test_calls_are_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call runs two functions of Python's besides ``forward``, and no more."""
    monkeypatch.setattr(watching, "join", None)  # Keras's front door has one more, once it is open
    layer, x = nn.Identity(), fovea.ones(1)
    layer(x)
    called: list[str] = []

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        layer(x)
    finally:
        sys.setprofile(before)
    assert called == ["__call__", "_call", "forward"]


@pytest.mark.parametrize("requires_grad", [True, False])
def test_parts_of_parameters_are_plain_tensors(requires_grad: bool) -> None:
    weight = nn.Parameter(fovea.ones(3, 2), requires_grad=requires_grad)
    for part in (weight[0], weight[:2], weight[0, 1], weight.t(), weight + 1):
        assert type(part) is fovea.Tensor
