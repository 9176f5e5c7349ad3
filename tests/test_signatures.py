"""Arguments of optimizers, schedules, data tools and functions are PyTorch's: names, order, defaults."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

import pytest

import fovea
from tests.nn.test_signatures import Signature, signature

torch = pytest.importorskip("torch")

MODULES = {
    "optim": (fovea.optim, torch.optim),
    "optim.lr_scheduler": (fovea.optim.lr_scheduler, torch.optim.lr_scheduler),
    "optim.swa_utils": (fovea.optim.swa_utils, torch.optim.swa_utils),
    "utils.data": (fovea.utils.data, torch.utils.data),
}
# What ours takes beside PyTorch's arguments, after them.
MORE: dict[str, list[tuple[str, bool, Any]]] = {
    "utils.data.DataLoader": [("worker_type", True, None), ("worker_nice", True, 10)],
}
CLASSES = sorted(
    (place, name)
    for place, (ours, theirs) in MODULES.items()
    for name in dir(ours)
    if isinstance(getattr(ours, name), type)
    and isinstance(getattr(theirs, name, None), type)
    and getattr(theirs, name).__module__.startswith(f"torch.{place}")
)


@pytest.mark.parametrize(("place", "name"), CLASSES)
def test_classes(place: str, name: str) -> None:
    ours, theirs = (getattr(module, name) for module in MODULES[place])
    expected = signature(theirs.__init__) + MORE.get(f"{place}.{name}", [])
    if any(p[0] in ("args", "kwargs") for p in expected):
        pytest.skip("PyTorch's says nothing")
    assert signature(ours.__init__) == expected


# -- functions ---------------------------------------------------------------------------------

FUNCTIONS = sorted(
    name
    for name in dir(torch)
    if not name.startswith("_")
    and inspect.isroutine(getattr(torch, name))
    and inspect.isroutine(getattr(fovea, name, None))
)
OTHERWISE = {
    "broadcast_to": "PyTorch's takes size=, too; its docstring says shape",
    "flip": "`dims` may also be several numbers",
    "load": "nothing is unpickled by a module of one's choice",
    "permute": "`dims` may also be several numbers",
    "reshape": "`shape` may also be several numbers",
    "result_type": "of any number of operands",
    "save": "nothing is pickled by a module of one's choice",
    "searchsorted": "PyTorch's takes input=, its docstring says values",
    "set_num_interop_threads": "PyTorch's docstring names no argument",
    "set_num_threads": "PyTorch's docstring names no argument",
}
# Arguments of new tensors, keywords in both, and results to write into.
LEFT_OUT = frozenset(
    ["out", "dtype", "layout", "device", "requires_grad", "pin_memory", "memory_format"]
)


def positional(function: Any) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind in kinds and p.name not in LEFT_OUT]


def documented(name: str, text: str) -> list[list[str]]:
    """The positional arguments of each form of a function that its docstring begins a line with."""
    found = []
    pattern = rf"^\s*(?:torch\.)?{re.escape(name)}\((.*?)\)(?:\s*->|\s*$|\s*\n)"
    for inside in re.findall(pattern, text, re.S | re.M):
        try:
            tree = ast.parse(f"def f({' '.join(inside.split())}): pass").body[0]
        except SyntaxError:
            continue
        assert isinstance(tree, ast.FunctionDef)
        found.append([a.arg for a in tree.args.args if a.arg not in LEFT_OUT])
    return found


def forms(name: str) -> list[list[str]]:
    """PyTorch's positional arguments of a function, in each form that it has; none: it says nothing."""
    theirs = getattr(torch, name)
    try:
        parameters: Signature = signature(theirs)
    except ValueError:
        return documented(name, theirs.__doc__ or "")
    if any(p[0] in ("args", "kwargs") for p in parameters):
        return documented(name, theirs.__doc__ or "")
    return [positional(theirs)]


COMPARED = [name for name in FUNCTIONS if forms(name)]  # of the others PyTorch says nothing


@pytest.mark.parametrize("name", COMPARED)
def test_functions(name: str) -> None:
    expected = forms(name)
    ours = positional(getattr(fovea, name))
    fits = any(ours[: len(form)] == form for form in expected)
    assert fits != (name in OTHERWISE), f"{ours}; PyTorch: {expected}"


def test_something_is_compared() -> None:
    assert len(CLASSES) > 45
    assert len(COMPARED) > 350


KEYWORDS = {
    "permute": ({"dims": (1, 0)}, (2, 3)),
    "reshape": ({"shape": (3, 2)}, (2, 3)),
    "swapaxes": ({"axis0": 0, "axis1": 1}, (2, 3)),
    "diag": ({"diagonal": 1}, (3, 3)),
    "flip": ({"dims": [0]}, (2, 3)),
    "matrix_power": ({"n": 3}, (3, 3)),
    "pinverse": ({"rcond": 1e-10}, (2, 3)),
}


@pytest.mark.parametrize("name", KEYWORDS)
def test_keywords(name: str) -> None:
    options, shape = KEYWORDS[name]
    x = torch.arange(1.0, 1.0 + shape[0] * shape[1], dtype=torch.float64).reshape(shape)
    ours = getattr(fovea, name)(input=fovea.from_numpy(ndarray=x.numpy()), **options)
    expected = getattr(torch, name)(input=x, **options)
    assert fovea.allclose(ours, fovea.from_numpy(expected.numpy().copy()))


def test_other_keywords() -> None:
    assert fovea.zeros(size=(2,)).tolist() == [0, 0] and fovea.ones(size=[2]).tolist() == [1, 1]
    assert fovea.empty(size=(2, 3)).shape == (2, 3)
    assert fovea.arange(end=3).tolist() == [0, 1, 2]
    index = fovea.tensor([[0, 1]])
    assert fovea.scatter(fovea.zeros(1, 3), dim=1, index=index, value=2.0).tolist() == [[2, 2, 0]]
    with pytest.raises(ValueError, match="either src or value"):
        fovea.scatter(fovea.zeros(1, 3), 1, index)
    assert fovea.promote_types(type1=fovea.int8, type2=fovea.uint8) is fovea.int16
    assert fovea.can_cast(from_=fovea.int8, to=fovea.float32)
    x = fovea.eye(2) * 2
    assert fovea.concatenate([x, x], axis=1).shape == (2, 4) == fovea.concat([x, x], dim=1).shape
    out = fovea.empty(2, 2)
    assert fovea.chain_matmul(x, x, x, out=out) is out and out.tolist() == [[8, 0], [0, 8]]
    for name in ("det", "logdet", "inverse"):
        theirs = getattr(torch, name)(input=torch.eye(2) * 2)
        assert fovea.allclose(getattr(fovea, name)(input=x), fovea.from_numpy(theirs.numpy()))


def test_how_tensors_print() -> None:
    values = [[1e-5, 12345.0], [3.25, 1.0]]
    try:
        for options in (
            {},
            {"sci_mode": False},
            {"sci_mode": True},
            {"profile": "short"},
            {"profile": "full"},
        ):
            fovea.set_printoptions(**options), torch.set_printoptions(**options)
            for data in (values, [1.0, 2.0], list(range(1200))):
                assert str(fovea.tensor(data)) == str(torch.tensor(data)), options
        with pytest.raises(ValueError, match="profile is one of"):
            fovea.set_printoptions(profile="long")
    finally:
        fovea.set_printoptions(profile="default"), torch.set_printoptions(profile="default")


NUMPY = [
    "sum",
    "mean",
    "prod",
    "amax",
    "amin",
    "any",
    "all",
    "argmax",
    "argmin",
    "var",
    "std",
    "median",
    "max",
    "min",
    "aminmax",
    "logsumexp",
    "nansum",
    "nanmean",
    "nanmedian",
    "mode",
]
ALONG = {  # what has no keepdim: other arguments, and whether it is a method, too
    "cumsum": ((), True),
    "cumprod": ((), True),
    "cummax": ((), True),
    "cummin": ((), True),
    "logcumsumexp": ((), True),
    "count_nonzero": ((), True),
    "diff": ((), True),
    "softmax": ((), True),
    "log_softmax": ((), True),
    "unsqueeze": ((), True),
    "quantile": ((0.5,), True),
    "nanquantile": ((0.25,), True),
    "kthvalue": ((2,), True),
    "tensor_split": ((2,), True),
    "trapezoid": ((), False),
    "cumulative_trapezoid": ((), False),
    "std_mean": ((), False),
    "var_mean": ((), False),
    "gradient": ((), False),
}


@pytest.mark.parametrize("name", NUMPY)
def test_numpys_names(name: str) -> None:
    """``axis`` and ``keepdims`` are ``dim`` and ``keepdim``, in functions and methods."""
    x = torch.tensor([[1.0, 5.0, 2.0], [7.0, 0.0, 3.0]])
    ours = fovea.tensor(x.tolist())
    for options in ({"axis": 1}, {"axis": 0, "keepdims": True}, {"dim": -1, "keepdims": False}):
        if name == "aminmax" and "keepdims" in options:
            continue  # PyTorch's takes the one and not the other
        expected = getattr(torch, name)(x, **options)
        for got in (getattr(fovea, name)(ours, **options), getattr(ours, name)(**options)):
            agree(got, expected)


def agree(got: Any, expected: Any) -> None:
    several = isinstance(expected, tuple | list)
    for a, b in zip(got, expected, strict=True) if several else [(got, expected)]:
        assert a.shape == tuple(b.shape)
        assert fovea.allclose(a.double(), fovea.tensor(b.tolist(), dtype=fovea.float64))


@pytest.mark.parametrize("name", ALONG)
def test_numpys_axis(name: str) -> None:
    x = torch.tensor([[1.0, 5.0, 2.0], [7.0, 0.0, 3.0]])
    ours, (more, method) = fovea.tensor(x.tolist()), ALONG[name]
    for axis in (0, -1):
        expected = getattr(torch, name)(x, *more, axis=axis)
        agree(getattr(fovea, name)(ours, *more, axis=axis), expected)
        if method:
            agree(getattr(ours, name)(*more, axis=axis), expected)


def test_axes_of_indices() -> None:
    x, ours = torch.arange(6.0).reshape(2, 3), fovea.arange(6.0).reshape(2, 3)
    at = [[1, 0, 1]]
    calls: dict[str, Any] = {
        "select": lambda lib, t: lib.select(t, axis=1, index=2),
        "index_select": lambda lib, t: lib.index_select(t, axis=1, index=lib.tensor([2, 0])),
        "narrow": lambda lib, t: t.narrow(axis=1, start=1, length=2),
        "take_along_dim": lambda lib, t: lib.take_along_dim(t, lib.tensor(at), axis=0),
        "scatter": lambda lib, t: lib.scatter(t, axis=0, index=lib.tensor(at), value=9.0),
        "index_add": lambda lib, t: lib.index_add(
            t, axis=0, index=lib.tensor([1]), source=lib.ones(1, 3)
        ),
        "index_fill": lambda lib, t: t.index_fill(axis=1, index=lib.tensor([1]), value=-1.0),
    }
    for name, call in calls.items():
        expected, got = call(torch, x), call(fovea, ours)
        assert got.tolist() == expected.tolist(), name


def test_axes_of_shapes_and_orders() -> None:
    x, ours = torch.arange(6.0).reshape(1, 2, 3), fovea.arange(6.0).reshape(1, 2, 3)
    calls: dict[str, Any] = {
        "squeeze": lambda lib, t: lib.squeeze(t, axis=0),
        "cat": lambda lib, t: lib.cat([t, t], axis=1),
        "stack": lambda lib, t: lib.stack([t, t], axis=2),
        "chunk": lambda lib, t: lib.chunk(t, 2, axis=1)[1],
        "unbind": lambda lib, t: lib.unbind(t, axis=1)[1],
        "sort": lambda lib, t: lib.sort(t, axis=1, descending=True)[0],
        "argsort": lambda lib, t: lib.argsort(t, axis=1),
        "topk": lambda lib, t: lib.topk(t, 1, axis=2)[0],
    }
    for name, call in calls.items():
        assert call(fovea, ours).tolist() == call(torch, x).tolist(), name
    assert ours.squeeze(axis=0).shape == (2, 3) and len(ours.chunk(2, axis=1)) == 2
