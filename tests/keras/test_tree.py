"""``keras.tree``: structures of things."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import pytest

from fovea import keras as fk

Pair = namedtuple("Pair", ["x", "y"])
STRUCTURES = [
    5,
    None,
    [1, (2, [3])],
    {"b": 1, "a": [2, None]},
    OrderedDict([("b", 1), ("a", 2)]),
    Pair(1, {"k": (2,)}),
    [],
    [{"foo": 42}],
    ((1, 2), [3], {"a": 4}),
]


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_one_structure(keras: Any, structure: Any) -> None:
    ours, theirs = fk.tree, keras.tree
    assert ours.is_nested(structure) == theirs.is_nested(structure)
    flat = ours.flatten(structure)
    assert flat == theirs.flatten(structure)
    assert ours.flatten_with_path(structure) == theirs.flatten_with_path(structure)
    packed = ours.pack_sequence_as(structure, range(len(flat)))
    assert packed == theirs.pack_sequence_as(structure, list(range(len(flat))))
    assert type(packed) is type(structure) or not flat or not ours.is_nested(structure)
    assert ours.lists_to_tuples(structure) == theirs.lists_to_tuples(structure)
    for none_is_leaf in (True, False):
        args = (lambda *v: [str(w) for w in v], structure, structure)
        found = ours.map_structure(*args, none_is_leaf=none_is_leaf)
        assert found == theirs.map_structure(*args, none_is_leaf=none_is_leaf)


@pytest.mark.parametrize("top_down", [True, False])
@pytest.mark.parametrize("structure", STRUCTURES[2:], ids=str)
def test_traverse(keras: Any, structure: Any, top_down: bool) -> None:
    def run(tree: Any) -> Any:
        seen: list[Any] = []

        def visit(part: Any) -> Any:
            seen.append(part)
            if part == 2:
                return tree.MAP_TO_NONE
            return "list" if isinstance(part, list) and len(part) == 2 else None

        return tree.traverse(visit, structure, top_down=top_down), seen

    assert run(fk.tree) == run(keras.tree)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([0, 1], [2, 3]),
        ([0, 1], (2, 3)),
        ([0, 1], [2]),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, OrderedDict(a=2)),
        (1, [1]),
        ([1, [2]], [1, 2]),
        (Pair(1, 2), (1, 2)),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["assert_same_structure", "assert_same_paths"])
def test_comparisons(keras: Any, name: str, a: Any, b: Any) -> None:
    try:
        getattr(keras.tree, name)(a, b)
    except ValueError:
        with pytest.raises(ValueError, match="structures"):
            getattr(fk.tree, name)(a, b)
    else:
        getattr(fk.tree, name)(a, b)


def test_up_to(keras: Any) -> None:
    for shallow in ([None, None], [None, [None, None]], (0, 0), {"a": 0}):
        for structure in ([[1, 1], [2, 2]], (1, 2), {"a": [3]}, 5):
            try:
                want = keras.tree.map_structure_up_to(shallow, str, structure)
            except ValueError:
                with pytest.raises(ValueError, match="alike"):
                    fk.tree.map_structure_up_to(shallow, str, structure)
            else:
                assert fk.tree.map_structure_up_to(shallow, str, structure) == want


def test_shapes(keras: Any) -> None:
    for shapes in ((2, None), [(1, 2), (None,)], {"a": (3, 4), "b": [(5,)]}):
        assert fk.tree.map_shape_structure(len, shapes) == keras.tree.map_shape_structure(
            len, shapes
        )


def test_wrong_numbers_of_leaves() -> None:
    with pytest.raises(ValueError, match="2 leaves, 3 were given"):
        fk.tree.pack_sequence_as([0, 0], [1, 2, 3])
    with pytest.raises(ValueError, match="at least one"):
        fk.tree.map_structure(str)
