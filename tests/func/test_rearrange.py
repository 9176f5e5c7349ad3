"""fovea.func.rearrange against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, ShapeError
from tests.func.compare import both

X = np.arange(24.0).reshape(2, 3, 4)
PATTERNS: list[tuple[str, dict[str, int]]] = [
    ("a b c -> c (b a)", {}), ("a b c -> a b c", {}), ("... c -> c ...", {}),
    ("a (b1 b2) c -> a b1 b2 c", {"b1": 3}), ("a b (c1 c2) -> (a c2) b c1", {"c1": 2}),
    ("a b c -> a b c 1", {}), ("a b c -> a () b c", {}), ("a ... -> a (...)", {}),
    ("... -> (...)", {}), ("a b c ... -> ... c b a", {}), ("(a a2) ... -> a ... a2", {"a": 2}),
    ("  a   b c->(  a c) b ", {}),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "sizes"), PATTERNS)
def test_patterns(pattern: str, sizes: dict[str, int]) -> None:
    both(lambda ns, x: ns.func.rearrange(x, pattern, **sizes), X)


def test_other_tensors() -> None:
    both(lambda ns, x: ns.func.rearrange([x, x * 2], "n a b c -> a (n b) c"), X)
    both(lambda ns, x: ns.func.rearrange(x[:, :1], "a 1 c -> c a"), X)
    both(lambda ns, x: ns.func.rearrange(x[:0], "a b c -> (a b) c"), X)
    both(lambda ns, x: ns.vmap(lambda x: ns.func.rearrange(x, "b c -> c b"))(x), X)
    both(lambda ns, x: ns.func.grad(
        lambda x: (ns.func.rearrange(x, "a b c -> (c a) b") ** 2)[:2].sum())(x), X)  # fmt: skip


def test_errors() -> None:
    cases: list[tuple[type[Exception], str, str, dict[str, int]]] = [
        (ArgumentError, "one side", "a b c -> a b", {}),
        (ShapeError, "names 2 dimensions", "a b -> a b", {}),
        (ShapeError, "names 4 dimensions", "a b c d ... -> a b c d ...", {}),
        (ArgumentError, "',' in", "a b c, -> a b c", {}),
        (ArgumentError, "'1a' in", "1a b c -> b c", {}),
        (ArgumentError, "'_' in", "a _ c -> c a _", {}),
        (ArgumentError, "'2' in", "a (b 2) c -> a b c", {}),
        (ArgumentError, "twice", "a a c -> a c", {}),
        (ArgumentError, "one '->'", "a b c", {}),
        (ArgumentError, "open", "a (b c -> a b c", {}),
        (ShapeError, "names 2 dimensions", "(a ...) c -> a ... c", {}),
        (ArgumentError, "does not name", "a b c -> a b c", {"d": 3}),
        (ArgumentError, "not known", "a (x y z) c -> a x y z c", {"x": 3}),
        (ShapeError, "size 4 is not", "a b (x y) -> a b x y", {"x": 3}),
        (ShapeError, "size 3 is not 1", "a 1 c -> a c", {}),
    ]
    x = fovea.tensor(X)
    for kind, message, pattern, sizes in cases:
        with pytest.raises(kind, match=message):
            fovea.func.rearrange(x, pattern, **sizes)
