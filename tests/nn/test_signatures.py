"""Every module, function and initializer has the arguments that PyTorch's has: names, order, defaults."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

import pytest

import fovea
import fovea.nn as nn
import fovea.nn.functional as F

torch = pytest.importorskip("torch")

# PyTorch's takes *args, to ignore them or to hand them on.
OPEN = frozenset(
    [
        "Module", "Parameter", "Buffer", "LogSigmoid", "Sigmoid", "Softmax2d", "Softsign", "Tanh",
        "Tanhshrink", "Transformer", "LSTM", "GRU", "RNN", "RNNBase", "FractionalMaxPool2d",
        "UninitializedParameter", "UninitializedBuffer",
    ]
)  # fmt: skip
REQUIRED = inspect.Parameter.empty
Signature = list[tuple[str, bool, Any]]


def shared(ours: Any, theirs: Any) -> list[str]:
    return sorted(n for n in dir(ours) if not n.startswith("_") and hasattr(theirs, n))


CLASSES = [n for n in shared(nn, torch.nn) if isinstance(getattr(nn, n), type)]
UNDOCUMENTED = frozenset(["conv_tbc"])  # PyTorch's docstring has no signature
FUNCTIONS = [
    n
    for n in shared(F, torch.nn.functional)
    if inspect.isroutine(getattr(F, n)) and n not in UNDOCUMENTED
]
INITIALIZERS = [  # PyTorch's old names, without the underscore, take *args
    n
    for n in shared(nn.init, torch.nn.init)
    if inspect.isfunction(getattr(nn.init, n)) and not hasattr(nn.init, f"{n}_")
]


def signature(function: Any) -> Signature:
    """Names, whether they are keywords only, and defaults (functions by their names)."""
    out = []
    for p in inspect.signature(function).parameters.values():
        default = getattr(p.default, "__name__", p.default) if callable(p.default) else p.default
        out.append(
            (p.name, p.kind is p.KEYWORD_ONLY, REQUIRED if p.default is REQUIRED else default)
        )
    return [entry for entry in out if entry[0] != "self"]


def documented(function: Any) -> Signature:
    """The signature that stands in the docstring of a function written in C."""
    text = re.match(r"\s*\w+\((.*?)\)\s*(->|\n|$)", function.__doc__ or "", re.S)
    assert text, "no signature in the docstring"
    tree = ast.parse(f"def f({text.group(1)}): pass").body[0]
    assert isinstance(tree, ast.FunctionDef)
    names = [a.arg for a in tree.args.args]
    defaults = [eval(ast.unparse(d), {}) for d in tree.args.defaults]  # 1./8 is no literal
    values = [REQUIRED] * (len(names) - len(defaults)) + defaults
    return list(zip(names, [False] * len(names), values, strict=True))


@pytest.mark.parametrize("name", [n for n in CLASSES if n not in OPEN])
def test_modules(name: str) -> None:
    ours, theirs = getattr(nn, name), getattr(torch.nn, name)
    assert signature(ours.__init__) == signature(theirs.__init__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    theirs = getattr(torch.nn.functional, name)
    try:
        expected = signature(theirs)
    except ValueError:
        expected = documented(theirs)
    else:
        if expected[:1] == [("args", False, REQUIRED)]:  # chosen between by a flag
            expected = documented(theirs)
    ours = signature(getattr(F, name))
    assert [entry[0] for entry in ours] == [entry[0] for entry in expected]
    assert [entry[2] for entry in ours] == [entry[2] for entry in expected]


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializers(name: str) -> None:
    theirs = getattr(torch.nn.init, name)
    assert signature(getattr(nn.init, name)) == signature(theirs)


def test_something_is_compared() -> None:
    assert len(CLASSES) > 100
    assert len(FUNCTIONS) > 70
    assert fovea.nn is nn
